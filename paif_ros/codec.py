"""Camera messages to arrays and back, without ROS and without a copy where none is needed.

A message is checked field by field before its bytes are looked at; whatever is wrong with it,
the answer is an ImageFormatError that names the field. Rare encodings (Bayer, YUV, 16 bit colour)
are left to cv_bridge or rosbags-image, whichever is installed.
"""

from __future__ import annotations

import array
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from paif_ros.errors import ImageFormatError

MAX_SIDE = 8191  # pixels
MAX_BYTES = 256 * 1024 * 1024

# Name of the cv2 colour code that leads from each visible encoding to rgb8; None needs none.
_TO_RGB = {
    'rgb8': None,
    'bgr8': 'COLOR_BGR2RGB',
    'rgba8': 'COLOR_RGBA2RGB',
    'bgra8': 'COLOR_BGRA2RGB',
    'mono8': 'COLOR_GRAY2RGB',
    '8UC1': 'COLOR_GRAY2RGB',
}
_THERMAL = frozenset({'mono8', '8UC1', 'mono16', '16UC1'})
# (samples per pixel, bytes per sample). An encoding that is not here is refused: 8UC3, for one,
# does not say whether red or blue comes first.
_LAYOUT = {
    'mono8': (1, 1),
    '8UC1': (1, 1),
    'mono16': (1, 2),
    '16UC1': (1, 2),
    **{f'{order}8': (len(order), 1) for order in ('rgb', 'bgr', 'rgba', 'bgra')},
    **{f'{order}16': (len(order), 2) for order in ('rgb', 'bgr', 'rgba', 'bgra')},
    **{f'bayer_{tile}8': (1, 1) for tile in ('rggb', 'bggr', 'gbrg', 'grbg')},
    **{f'bayer_{tile}16': (1, 2) for tile in ('rggb', 'bggr', 'gbrg', 'grbg')},
    **dict.fromkeys(('uyvy', 'yuv422', 'yuyv', 'yuv422_yuy2'), (2, 1)),
}
_NATIVE_BIG = int(sys.byteorder == 'big')


class ImageLike(Protocol):
    """The fields of a sensor_msgs/msg/Image, whoever made it (rclpy, rosbags, a test)."""

    height: int
    width: int
    encoding: str
    is_bigendian: Any
    step: int
    data: Any


@dataclass(frozen=True)
class _Plain:
    """A checked image with packed rows in native byte order, as the libraries want it."""

    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: NDArray[np.uint8]


def check(image: ImageLike) -> None:
    """Refuse a malformed message by its fields alone, in microseconds.

    Args:
        image: a message of either camera.

    Raises:
        ImageFormatError: the message is malformed. One that passes can still fail to be decoded,
            where its encoding needs a library.
    """
    _checked(image)


def decode_visible(image: ImageLike) -> NDArray[np.uint8]:
    """Read a colour image.

    Args:
        image: a message in rgb8, bgr8, rgba8, bgra8, mono8 or 8UC1 (grey is repeated to three
            channels), or in Bayer, YUV 4:2:2 or 16 bit colour where a library is installed.
            `data` is a flat buffer of bytes of exactly step * height.

    Returns:
        uint8 [H, W, 3] RGB, 0 to 255, read-only. With rgb8 it is a view of the message's data.

    Raises:
        ImageFormatError: the message is malformed, or needs a library that is not installed.
    """
    rows = _samples(image)
    if image.encoding not in _TO_RGB:
        return _by_library(image, rows, 'rgb8')
    code = _TO_RGB[image.encoding]
    if code is None:
        return cast('NDArray[np.uint8]', _read_only(rows))
    import cv2

    return cast('NDArray[np.uint8]', _read_only(cv2.cvtColor(rows, getattr(cv2, code))))


def decode_thermal(image: ImageLike) -> NDArray[Any]:
    """Read a thermal image.

    Args:
        image: a message in mono8, 8UC1, mono16 or 16UC1, or a colour picture of the scene in any
            other readable encoding where a library is installed: its luma is taken. `data` is a
            flat buffer of bytes of exactly step * height.

    Returns:
        [H, W] uint8 (0 to 255), or uint16 counts in native byte order, read-only. It is a view of
        the message's data unless bytes had to be swapped.

    Raises:
        ImageFormatError: the message is malformed, or needs a library that is not installed.
    """
    rows = _samples(image)
    if image.encoding not in _THERMAL:
        return _by_library(image, rows, 'mono8')
    return _read_only(rows)


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
    channels, size = _LAYOUT[image.encoding]
    height, width = int(image.height), int(image.width)
    rows = flat.reshape(height, -1)[:, : width * channels * size]
    samples = rows.view(f'{">" if image.is_bigendian else "<"}u{size}')
    # No-op for native order; else one swapped copy. A buffer at an odd address is copied too.
    samples = np.require(samples.astype(f'=u{size}', copy=False), requirements='A')
    return samples.reshape(height, width, channels) if channels > 1 else samples


def _checked(image: ImageLike) -> NDArray[np.uint8]:
    """Check every field of a message and view its data as uint8 [step * height]."""
    encoding = image.encoding
    if not isinstance(encoding, str) or encoding not in _LAYOUT:
        raise ImageFormatError('encoding', encoding, f'one of {", ".join(sorted(_LAYOUT))}')
    channels, size = _LAYOUT[encoding]
    height = _check_range('height', image.height, 1, MAX_SIDE)
    width = _check_range('width', image.width, 1, MAX_SIDE)
    _check_range('is_bigendian', image.is_bigendian, 0, 1)
    step = _check_range('step', image.step, width * channels * size, MAX_BYTES // height)
    if step % size:
        raise ImageFormatError('step', step, f'a multiple of {size} bytes for {encoding}')
    return _bytes_of(image.data, step * height)


def _bytes_of(data: object, expected: int) -> NDArray[np.uint8]:
    """View a flat buffer of bytes as uint8 [expected]."""
    try:
        view = memoryview(data)  # type: ignore[arg-type]
    except (TypeError, ValueError, BufferError) as err:
        raise ImageFormatError('data', type(data).__name__, 'a flat buffer of bytes') from err
    if view.format != 'B' or view.ndim != 1 or not view.c_contiguous:
        found = f'buffer of format {view.format!r} in {view.ndim} dimensions'
        raise ImageFormatError('data', found, 'a flat contiguous buffer of bytes')
    if view.nbytes != expected:
        raise ImageFormatError('data', f'{view.nbytes} bytes', f'step * height = {expected} bytes')
    return np.frombuffer(view, np.uint8)


def _read_only(pixels: NDArray[Any]) -> NDArray[Any]:
    """Guard the message's own bytes, and keep views and copies alike for the caller."""
    pixels = pixels.view()
    pixels.setflags(write=False)
    return pixels


def _by_library(image: ImageLike, rows: NDArray[Any], target: str) -> NDArray[np.uint8]:
    """Convert by cv_bridge or rosbags-image to uint8 [H, W, 3] ('rgb8') or [H, W] ('mono8').

    Both are given packed rows in native order: rosbags-image does not look at `step`, and
    cv_bridge fails on foreign byte order with NumPy 2.
    """
    height, width = rows.shape[:2]
    shape = (height, width, 3) if target == 'rgb8' else (height, width)
    packed = np.frombuffer(np.ascontiguousarray(rows).data.cast('B'), np.uint8)
    plain = _Plain(height, width, image.encoding, _NATIVE_BIG, packed.size // height, packed)
    expected = (
        'a simpler encoding, or the ROS package cv_bridge or the PyPI package rosbags-image '
        'installed to read this one'
    )
    failure: Exception | None = None
    for convert in _libraries():
        expected = f'one that is convertible to {target}'
        try:
            pixels = np.asarray(convert(plain, target))
        except Exception as err:  # each library and OpenCV below it raise what they like
            failure = err
            continue
        if pixels.dtype == np.uint8 and pixels.shape == shape:
            return _read_only(pixels)
    raise ImageFormatError('encoding', image.encoding, expected) from failure


def _libraries() -> Iterator[Callable[[Any, str], Any]]:
    """Give the converters (message, target encoding) of the libraries that are installed.

    An installed cv_bridge may still fail, on import or on use, where its binary was built for
    another NumPy; then the next one has its turn.
    """
    with suppress(Exception):
        yield import_module('cv_bridge').CvBridge().imgmsg_to_cv2
    with suppress(Exception):
        yield import_module('rosbags.image').message_to_cvimage
