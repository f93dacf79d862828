"""Puts together again what belongs together: each sent pair and what the node made of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.highlevel import AnyReader

from demo.topics import FUSED, OVERLAY
from scenes.bag import COLOR, THERMAL, Section

SETTLING = 0.1  # how fast the thermal view's range follows the scene; jumps would flicker


@dataclass(frozen=True)
class Moment:
    """One sent pair and the result for it.

    Attributes:
        index: number of the pair.
        name: the condition or the clip that it belongs to.
        visible: uint8 [H, W, 3] RGB.
        thermal: uint8 [H, W], stretched for the eye.
        fused: uint8 [H, W, 3] RGB, None where the pair was dropped.
        overlay: uint8 [H, W, 3] RGB, None where the pair was dropped.
    """

    index: int
    name: str
    visible: NDArray[np.uint8]
    thermal: NDArray[np.uint8]
    fused: NDArray[np.uint8] | None
    overlay: NDArray[np.uint8] | None


def moments(
    sent: Path, received: Path, stamps: Sequence[int], sections: Sequence[Section]
) -> Iterator[Moment]:
    """Go through both bags side by side, holding one result at a time.

    Args:
        sent: the bag that was played.
        received: the bag that was recorded.
        stamps: those that the colour pictures were sent with, in the order of the bag.
        sections: which condition each pair belongs to.
    """
    names = [part.name for part in sections for _ in range(part.count)]
    stretch = Stretch()
    results = _results(received)
    stamp, result = next(results, (None, {}))
    pairs = _pairs(sent)
    for index, (own, (visible, thermal)) in enumerate(zip(stamps, pairs, strict=False)):
        found: dict[str, NDArray[np.uint8]] = {}
        if stamp == own:
            found = result
            stamp, result = next(results, (None, {}))
        view = stretch(thermal)
        yield Moment(index, names[index], visible, view, found.get(FUSED), found.get(OVERLAY))


class Stretch:
    """Brings thermal counts to 8 bits for the eye, with a range that moves slowly."""

    def __init__(self) -> None:
        self._range: NDArray[np.float64] | None = None

    def __call__(self, thermal: NDArray[Any]) -> NDArray[np.uint8]:
        """Return uint8 [H, W] of uint8 or uint16 [H, W]."""
        now = np.percentile(thermal, (1.0, 99.7))
        jump = self._range is None or abs(now - self._range).max() > 0.5 * np.ptp(self._range)
        # A new scene gets its own range at once.
        self._range = now if jump else self._range + SETTLING * (now - self._range)
        low, high = self._range
        scaled = (thermal.astype(np.float32) - low) * (255.0 / max(high - low, 1.0))
        return np.clip(scaled, 0, 255).astype(np.uint8)


def pixels(message: Any) -> NDArray[Any]:
    """Return the pixels of an rgb8, mono8 or mono16 image message of rosbags.

    Raises:
        ValueError: another encoding.
    """
    kinds = {'rgb8': (np.uint8, 3), 'mono8': (np.uint8, 1), 'mono16': (np.dtype('<u2'), 1)}
    if message.encoding not in kinds:
        raise ValueError(f'encoding {message.encoding!r} is none of {sorted(kinds)}')
    dtype, channels = kinds[message.encoding]
    picture = message.data.view(dtype).reshape(message.height, message.width, channels)
    return picture if channels == 3 else picture[..., 0]


def _pairs(bag: Path) -> Iterator[tuple[NDArray[np.uint8], NDArray[Any]]]:
    waiting: dict[str, list[NDArray[Any]]] = {COLOR: [], THERMAL: []}
    for topic, message in _images(bag, waiting):
        waiting[topic].append(pixels(message))
        if all(waiting.values()):
            yield waiting[COLOR].pop(0), waiting[THERMAL].pop(0)


def _results(bag: Path) -> Iterator[tuple[int, dict[str, NDArray[np.uint8]]]]:
    """Yield the stamp and the pictures of each result that is complete."""
    waiting: dict[int, dict[str, NDArray[np.uint8]]] = {}
    for topic, message in _images(bag, (FUSED, OVERLAY)):
        stamp = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
        result = waiting.setdefault(stamp, {})
        result[topic] = pixels(message)
        if len(result) == 2:
            del waiting[stamp]
            yield stamp, result


def _images(bag: Path, topics: Any) -> Iterator[tuple[str, Any]]:
    with AnyReader([bag]) as reader:
        chosen = [c for c in reader.connections if c.topic in topics]
        for connection, _, raw in reader.messages(chosen):
            yield connection.topic, reader.deserialize(raw, connection.msgtype)
