"""What can be looked at: the node's output topics, and the RGB camera's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from paif_ros.engines.base import U8
from paif_ros.fusion.outgoing import PICTURES
from paif_ros.images.messages import reader_of


@dataclass(frozen=True)
class Choice:
    """One kind of picture.

    Attributes:
        name: in addresses.
        title: on the page.
        picture: its key in `paif_ros.fusion.outgoing.PICTURES`, '' for the RGB camera's.
    """

    name: str
    title: str
    picture: str


def read(message: Any) -> U8:
    """Return the pixels of an Image or CompressedImage, grey or not, as uint8 [H, W, 3] RGB.

    Raises:
        ImageFormatError: the message is malformed.
    """
    pixels: U8 = reader_of(message).decode_visible(message)
    return pixels


CHOICES = (
    Choice('fused', 'Fused', 'fused'),
    Choice('overlay', 'Overlay', 'overlay'),
    Choice('mask', 'Mask', 'color_mask'),
    Choice('thermal', 'Thermal', 'thermal'),
    Choice('rgb', 'RGB', ''),
)


def topic_of(choice: Choice, node: str, color_topic: str, compressed: bool) -> str:
    """Return the topic of a kind of picture.

    Args:
        choice: the kind.
        node: full name of the fusion node, such as '/fusion'.
        color_topic: full name of the RGB camera's topic.
        compressed: whether the node's /compressed topics are wanted.
    """
    if not choice.picture:
        return color_topic
    topic = PICTURES[choice.picture].name.replace('~', node, 1)
    return f'{topic}/compressed' if compressed else topic
