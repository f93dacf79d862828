"""Camera messages to arrays and back, without ROS and without a copy where none is needed.

A message is checked field by field before its bytes are looked at; whatever is wrong with it,
the answer is an ImageFormatError that names the field.
"""

from __future__ import annotations

import array
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from paif_ros.errors import ImageFormatError
from paif_ros.images.encodings import LAYOUTS, is_false_colour, to_rgb, to_thermal

__all__ = [
    'MAX_BYTES', 'MAX_SIDE', 'ImageLike', 'bytes_of', 'check', 'decode_thermal', 'decode_visible',
    'is_false_colour', 'pack', 'read_only',
]  # fmt: skip

MAX_SIDE = 8191  # pixels
MAX_BYTES = 256 * 1024 * 1024


class ImageLike(Protocol):
    """The fields of a sensor_msgs/msg/Image, whoever made it (rclpy, rosbags, a test)."""

    height: int
    width: int
    encoding: str
    is_bigendian: Any
    step: int
    data: Any


def check(image: ImageLike) -> None:
    """Refuse a malformed message by its fields alone, in microseconds.

    Args:
        image: a message of either camera.

    Raises:
        ImageFormatError: the message is malformed. One that passes is still refused by
            `decode_visible` where it holds no picture (16UC1, 32FC1).
    """
    _checked(image)


def decode_visible(image: ImageLike) -> NDArray[np.uint8]:
    """Read a colour image.

    Args:
        image: a message in rgb8, bgr8, rgba8, bgra8, their 16 bit twins, Bayer, YUV 4:2:2 (uyvy,
            yuyv), or mono8, mono16 or 8UC1 (grey is repeated to three channels). `data` is a flat
            buffer of bytes of exactly step * height.

    Returns:
        uint8 [H, W, 3] RGB, 0 to 255, read-only. With rgb8 it is a view of the message's data.

    Raises:
        ImageFormatError: the message is malformed or holds no picture (16UC1, 32FC1).
    """
    return read_only(to_rgb(_samples(image), image.encoding))


def decode_thermal(image: ImageLike) -> NDArray[Any]:
    """Read a thermal image.

    Args:
        image: a message in mono8, 8UC1, mono16, 16UC1 or 32FC1, or a coloured picture of the scene
            in any encoding that `decode_visible` reads: its luma is taken (see
            `is_false_colour`). `data` is a flat buffer of bytes of exactly step * height.

    Returns:
        [H, W] uint8 (0 to 255), uint16 counts, or float32 (whatever the camera sent, NaN and
        infinities included), in native byte order, read-only. Single-channel images are views of
        the message's data unless bytes had to be swapped or were not aligned.

    Raises:
        ImageFormatError: the message is malformed.
    """
    return read_only(to_thermal(_samples(image), image.encoding))


def pack(image: ImageLike, pixels: NDArray[np.uint8], encoding: str) -> None:
    """Fill every field of a message but its header.

    The bytes go over as one block: numpy arrays given to an rclpy message would be walked element
    by element (50 ms and more a frame), an array.array is taken as it is.

    Args:
        image: the message to fill.
        pixels: uint8 [H, W, 3] for rgb8, or [H, W] for mono8, sides from 1 to 8191 pixels.
        encoding: 'rgb8' or 'mono8'.

    Raises:
        ImageFormatError: the encoding is another one, or the array does not fit it.
    """
    if encoding not in ('rgb8', 'mono8'):
        raise ImageFormatError('encoding', encoding, "'rgb8' or 'mono8'")
    tail = (3,) if encoding == 'rgb8' else ()
    if pixels.dtype != np.uint8 or pixels.ndim != 2 + len(tail) or pixels.shape[2:] != tail:
        found = f'{pixels.dtype} {list(pixels.shape)}'
        raise ImageFormatError('data', found, f'uint8 {["H", "W", *tail]} for {encoding}')
    height, width = pixels.shape[:2]
    _check_range('height', height, 1, MAX_SIDE)
    _check_range('width', width, 1, MAX_SIDE)
    data = array.array('B')
    data.frombytes(np.ascontiguousarray(pixels).data)
    image.height = height
    image.width = width
    image.encoding = encoding
    image.is_bigendian = 0
    image.step = len(data) // height
    image.data = data


def _check_range(field: str, value: object, low: int, high: int) -> int:
    if not isinstance(value, (int, np.integer)) or not low <= value <= high:
        raise ImageFormatError(field, value, f'an integer from {low} to {high}')
    return int(value)


def _samples(image: ImageLike) -> NDArray[Any]:
    """Check a message and view its samples as [H, W] or [H, W, C] in native byte order."""
    flat = _checked(image)
    layout = LAYOUTS[image.encoding]
    height, width = int(image.height), int(image.width)
    rows = flat.reshape(height, -1)[:, : width * layout.channels * layout.size]
    samples = rows.view(f'{">" if image.is_bigendian else "<"}{layout.sample}')
    # No-op for native order; else one swapped copy. A buffer at an odd address is copied too.
    samples = np.require(samples.astype(f'={layout.sample}', copy=False), requirements='A')
    return samples.reshape(height, width, layout.channels) if layout.channels > 1 else samples


def _checked(image: ImageLike) -> NDArray[np.uint8]:
    """Check every field of a message and view its data as uint8 [step * height]."""
    encoding = image.encoding
    if not isinstance(encoding, str) or encoding not in LAYOUTS:
        raise ImageFormatError('encoding', encoding, f'one of {", ".join(sorted(LAYOUTS))}')
    layout = LAYOUTS[encoding]
    height = _check_range('height', image.height, layout.least, MAX_SIDE)
    width = _check_range('width', image.width, layout.least, MAX_SIDE)
    if layout.even and width % 2:
        raise ImageFormatError('width', width, f'an even number for {encoding}')
    _check_range('is_bigendian', image.is_bigendian, 0, 1)
    row = width * layout.channels * layout.size
    step = _check_range('step', image.step, row, MAX_BYTES // height)
    if step % layout.size:
        raise ImageFormatError('step', step, f'a multiple of {layout.size} bytes for {encoding}')
    data = bytes_of(image.data)
    if data.size != step * height:
        wanted = f'step * height = {step * height} bytes'
        raise ImageFormatError('data', f'{data.size} bytes', wanted)
    return data


def bytes_of(data: object) -> NDArray[np.uint8]:
    """View a message's data without a copy.

    Args:
        data: a flat contiguous buffer of bytes: array.array('B'), bytes, bytearray, uint8 [N].

    Returns:
        uint8 [N], read-only where the buffer is.

    Raises:
        ImageFormatError: it is something else.
    """
    try:
        view = memoryview(data)  # type: ignore[arg-type]
    except (TypeError, ValueError, BufferError) as err:
        raise ImageFormatError('data', type(data).__name__, 'a flat buffer of bytes') from err
    if view.format != 'B' or view.ndim != 1 or not view.c_contiguous:
        found = f'buffer of format {view.format!r} in {view.ndim} dimensions'
        raise ImageFormatError('data', found, 'a flat contiguous buffer of bytes')
    return np.frombuffer(view, np.uint8)


def read_only(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return a read-only view: it guards the message's bytes, and copies are treated alike."""
    pixels = pixels.view()
    pixels.setflags(write=False)
    return pixels
