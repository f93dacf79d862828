"""What holds for both kinds of image messages, sensor_msgs Image and CompressedImage."""

from __future__ import annotations

from typing import Any

from paif_ros.images import codec, compressed

NS = 10**9


def is_compressed(message: Any) -> bool:
    """Whether a message is a CompressedImage: that has a format, an Image has not."""
    return hasattr(message, 'format')


def reader_of(message: Any) -> Any:
    """Return the module that checks and decodes a message: `compressed` or `codec`."""
    return compressed if is_compressed(message) else codec


def is_false_colour(message: Any) -> bool:
    """Whether a thermal message holds a coloured picture, of which only the luma can be taken."""
    if is_compressed(message):
        return compressed.is_false_colour(message)
    return codec.is_false_colour(message.encoding)


def stamp_of(message: Any) -> int:
    """Return the stamp of a message's header in ns."""
    stamp = message.header.stamp
    return int(stamp.sec) * NS + int(stamp.nanosec)
