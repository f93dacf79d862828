"""sensor_msgs/CompressedImage in and out, as compressed_image_transport writes and reads it.

A compressed image can claim any size in a few bytes. Its header is read here, and held to limits,
before OpenCV is given a single byte; whatever is wrong, the answer is an ImageFormatError.
"""

from __future__ import annotations

import array
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from paif_ros.errors import ImageFormatError
from paif_ros.images.codec import MAX_BYTES, MAX_SIDE, bytes_of, read_only
from paif_ros.images.encodings import LAYOUTS, to_rgb, to_thermal
from paif_ros.images.picture_headers import Header, read_header

_KINDS = ('jpeg', 'png')
# (encoding, kind): numpy type, channels, what the transport calls the stored pixels.
_WRITABLE = {
    ('rgb8', 'jpeg'): (np.uint8, 3, 'bgr8'),
    ('rgb8', 'png'): (np.uint8, 3, 'bgr8'),
    ('mono8', 'jpeg'): (np.uint8, 1, ''),
    ('mono8', 'png'): (np.uint8, 1, ''),
    ('mono16', 'png'): (np.uint16, 1, ''),
}


class CompressedLike(Protocol):
    """The fields of a sensor_msgs/msg/CompressedImage, whoever made it."""

    format: str
    data: Any


@dataclass(frozen=True)
class _Format:
    """A checked format string.

    Attributes:
        source: encoding of the image before it was compressed; '' where the string is only a kind.
        swapped: whether red and blue changed places before the compression.
    """

    source: str
    swapped: bool


def check(message: CompressedLike) -> None:
    """Refuse a malformed message by its format string and image header, without decoding.

    Args:
        message: of either camera.

    Raises:
        ImageFormatError: the message is malformed. One that passes can still fail to be decoded.
    """
    _checked(message)


def is_false_colour(message: CompressedLike) -> bool:
    """Tell whether a thermal message is a coloured picture, of which luma is taken.

    Raises:
        ImageFormatError: the message is malformed.
    """
    form, header, _ = _checked(message)
    return header.colour or form.source.startswith('bayer_')


def decode_visible(message: CompressedLike) -> NDArray[np.uint8]:
    """Read a compressed colour image.

    Args:
        message: JPEG or PNG of up to 8191 x 8191 pixels and 256 MiB when decoded. `format` is as
            compressed_image_transport writes it ('rgb8; jpeg compressed bgr8'), or just 'jpeg',
            'jpg' or 'png'. The header of the data decides between JPEG and PNG.

    Returns:
        uint8 [H, W, 3] RGB, 0 to 255, read-only. Grey is repeated, transparency is dropped, 16
        bits are scaled to 8, and a Bayer mosaic is demosaiced.

    Raises:
        ImageFormatError: the message is malformed, cut short, too large, or holds no picture
            (16UC1, or compressedDepth).
    """
    return read_only(to_rgb(*_decoded(message)))


def decode_thermal(message: CompressedLike) -> NDArray[Any]:
    """Read a compressed thermal image.

    Args:
        message: as for `decode_visible`. PNG keeps 16 bit counts, JPEG has 8.

    Returns:
        [H, W] uint8 (luma of a coloured picture), or uint16 counts of a 16 bit grey PNG,
        read-only.

    Raises:
        ImageFormatError: the message is malformed, cut short, or too large.
    """
    return read_only(to_thermal(*_decoded(message)))


def encode(
    pixels: NDArray[Any], encoding: str, kind: str, quality: int = 90
) -> tuple[str, array.array[int]]:
    """Compress an image.

    Args:
        pixels: uint8 [H, W, 3] for rgb8, uint8 [H, W] for mono8, or uint16 [H, W] for mono16
            (PNG only); sides from 1 to 8191 pixels.
        encoding: 'rgb8', 'mono8' or 'mono16'.
        kind: 'jpeg', or 'png' without loss.
        quality: of JPEG, 1 to 100.

    Returns:
        What goes into `format` and `data` of a CompressedImage.

    Raises:
        ImageFormatError: an argument is another one, or the array does not fit the encoding.
    """
    import cv2

    if (encoding, kind) not in _WRITABLE:
        allowed = ', '.join(f'{one} as {other}' for one, other in _WRITABLE)
        raise ImageFormatError('encoding', f'{encoding} as {kind}', f'one of {allowed}')
    if not 1 <= quality <= 100:
        raise ImageFormatError('quality', quality, 'an integer from 1 to 100')
    dtype, channels, stored = _WRITABLE[encoding, kind]
    tail = (3,) if channels == 3 else ()
    if (
        pixels.dtype != dtype
        or pixels.shape[2:] != tail
        or pixels.ndim < 2
        or not all(1 <= side <= MAX_SIDE for side in pixels.shape[:2])
    ):
        found = f'{pixels.dtype} {list(pixels.shape)}'
        wanted = f'{np.dtype(dtype)} {["H", "W", *tail]}, sides from 1 to {MAX_SIDE}'
        raise ImageFormatError('data', found, wanted)
    if channels == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    # Nothing for PNG: OpenCV's own choice is five times as fast as any level that is asked for.
    options = [cv2.IMWRITE_JPEG_QUALITY, int(quality)] if kind == 'jpeg' else []
    suffix = '.jpg' if kind == 'jpeg' else '.png'
    done, packed = cv2.imencode(suffix, np.ascontiguousarray(pixels), options)
    if not done:
        raise ImageFormatError('data', list(pixels.shape), f'one that OpenCV can write as {kind}')
    data = array.array('B')
    data.frombytes(packed.data)
    return f'{encoding}; {kind} compressed {stored}', data


def _checked(message: CompressedLike) -> tuple[_Format, Header, NDArray[np.uint8]]:
    form = _parsed(message.format)
    data = bytes_of(message.data)
    if data.size > MAX_BYTES:
        raise ImageFormatError('data', f'{data.size} bytes', f'up to {MAX_BYTES} bytes')
    header = read_header(data.tobytes())
    for field, side in (('height', header.height), ('width', header.width)):
        if not 1 <= side <= MAX_SIDE:
            raise ImageFormatError(field, side, f'1 to {MAX_SIDE} pixels')
    if header.decoded_bytes > MAX_BYTES:
        found = f'{header.decoded_bytes} bytes when decoded'
        raise ImageFormatError('data', found, f'up to {MAX_BYTES} bytes')
    return form, header, data


def _parsed(text: object) -> _Format:
    """Read 'KIND', or 'SOURCE; KIND compressed STORED' with any of the latter parts absent."""
    expected = "'jpeg', 'png', or such as 'rgb8; jpeg compressed bgr8'"
    if not isinstance(text, str):
        raise ImageFormatError('format', text, expected)
    source, semicolon, rest = text.partition(';')
    words = (rest if semicolon else source).lower().split()
    if not words or words[0].replace('jpg', 'jpeg') not in _KINDS:
        raise ImageFormatError('format', text[:80], expected)
    stored = words[2] if len(words) > 2 and words[1] == 'compressed' else ''
    return _Format(source.strip() if semicolon else '', stored.startswith('rgb'))


def _decoded(message: CompressedLike) -> tuple[NDArray[Any], str]:
    """Decode to [H, W] or [H, W, C] in native byte order, and name the encoding that it has."""
    import cv2

    form, header, data = _checked(message)
    try:
        pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    except cv2.error as err:
        raise ImageFormatError('data', header.kind, 'a picture that OpenCV decodes') from err
    # The sides would also differ after a rotation by EXIF, which this flag forbids.
    if pixels is None or pixels.shape[:2] != (header.height, header.width):
        raise ImageFormatError('data', header.kind, 'a whole picture of the size in its header')
    if pixels.dtype not in (np.uint8, np.uint16):
        raise ImageFormatError('data', str(pixels.dtype), '8 or 16 bits per sample')
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    encoding = _encoding(form, channels, 8 * pixels.dtype.itemsize)
    if min(pixels.shape[:2]) < (least := LAYOUTS[encoding].least):
        raise ImageFormatError('data', list(pixels.shape), f'sides from {least} for {encoding}')
    return pixels, encoding


def _encoding(form: _Format, channels: int, bits: int) -> str:
    """Name the encoding of what OpenCV decoded."""
    if channels == 1:
        mosaic = f'{form.source[:10]}{bits}'  # a JPEG of a 16 bit mosaic has 8 bits
        if form.source.startswith('bayer_') and mosaic in LAYOUTS:
            return mosaic
        # What may be depth stays as unknown as it was: 16UC1.
        return form.source if form.source == f'{bits}UC1' else f'mono{bits}'
    order = 'rgb' if form.swapped else 'bgr'
    return f'{order}{"a" if channels == 4 else ""}{bits}'
