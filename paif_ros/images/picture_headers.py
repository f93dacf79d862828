"""The sizes in the headers of JPEG and PNG, read without a library and without trust.

Both readers also see whether the data ends as it should (OpenCV 4 fills what is missing of a JPEG
with grey and calls it decoded), and refuse what would keep a decoder busy for seconds: pictures
that are far larger than so few bytes can describe, thousands of scans, packed texts by the dozen.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from paif_ros.errors import ImageFormatError

_PNG = b'\x89PNG\r\n\x1a\n'
_JPEG, _JPEG_END = b'\xff\xd8\xff', b'\xff\xd9'
# Some writers pad what they send. A JPEG must end within this many last bytes.
_PADDING = 1024
# Channels by PNG colour type; a palette is decoded to three, or four with transparency.
_PNG_CHANNELS = {0: 1, 2: 3, 3: 4, 4: 4, 6: 4}
_PNG_STORED = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PNG_COLOURED = (2, 3, 6)
# The usual encoder writes a chunk for every 8 KiB.
_MAX_CHUNKS = 65536
# Each may be 8 MB once unpacked, from a thousandth of that.
_PACKED, _MAX_PACKED = (b'zTXt', b'iTXt', b'iCCP'), 8
# What a byte can stand for at most: deflate reaches 1032 bytes, and JPEG has at least a bit (in
# a progressive one; else two) for every 64 pixels.
_PNG_BYTES, _JPEG_PIXELS = 1032, 512
_START_OF_FRAME = {0xC0, 0xC1, 0xC2}  # baseline, extended, progressive
_START_OF_SCAN = 0xDA
# Segments before the first scan; an ICC profile alone may take 255.
_MAX_SEGMENTS = 512
# A progressive JPEG has ten scans. Each costs a pass over the whole picture, so a small file with
# thousands of them would take minutes.
_MAX_SCANS = 16


@dataclass(frozen=True)
class Header:
    """What the first bytes of a picture say.

    Attributes:
        kind: 'jpeg' or 'png'.
        width: pixels, as stored: any number.
        height: pixels, as stored: any number.
        channels: of the decoded picture, at most.
        bits: of a decoded sample, 8 or 16.
        colour: whether it has more than grey.
    """

    kind: str
    width: int
    height: int
    channels: int
    bits: int
    colour: bool

    @property
    def decoded_bytes(self) -> int:
        """Memory that the decoded picture takes."""
        return self.width * self.height * self.channels * self.bits // 8


def read_header(data: bytes) -> Header:
    """Read the header of a JPEG or PNG picture.

    Args:
        data: the whole picture.

    Raises:
        ImageFormatError: it is neither, its header is broken, it is cut short, or it is of a kind
            that cameras do not send (lossless, CMYK or 12 bit JPEG).
    """
    if data.startswith(_PNG):
        return _png(data)
    if data.startswith(_JPEG):
        return _jpeg(data)
    raise ImageFormatError('data', data[:8], 'a JPEG or PNG picture')


def _png(data: bytes) -> Header:
    if data[8:16] != b'\0\0\0\rIHDR' or len(data) < 33:
        raise ImageFormatError('data', data[8:16], 'a PNG that begins with its IHDR chunk')
    width, height, depth, colour = struct.unpack_from('>IIBB', data, 16)
    if colour not in _PNG_CHANNELS or depth not in (1, 2, 4, 8, 16):
        found = f'PNG of colour type {colour} and {depth} bits'
        raise ImageFormatError('data', found, 'a colour type and depth that PNG has')
    _check_chunks(data)
    stored = width * height * depth * _PNG_STORED[colour] // 8
    _check_density(width, height, stored, len(data) * _PNG_BYTES)
    coloured = colour in _PNG_COLOURED
    return Header('png', width, height, _PNG_CHANNELS[colour], 16 if depth == 16 else 8, coloured)


def _check_chunks(data: bytes) -> None:
    """Walk to the end of a PNG, without unpacking anything."""
    position, packed = len(_PNG), 0
    for _ in range(_MAX_CHUNKS):
        if position + 12 > len(data):
            raise ImageFormatError('data', f'{len(data)} bytes', 'a whole PNG, not cut short')
        length, kind = struct.unpack_from('>I4s', data, position)
        if kind == b'IEND':
            return
        packed += kind in _PACKED
        if packed > _MAX_PACKED:
            raise ImageFormatError('data', kind, f'a PNG of up to {_MAX_PACKED} packed texts')
        position += 12 + length
    raise ImageFormatError('data', 'PNG', f'up to {_MAX_CHUNKS} chunks')


def _check_density(width: int, height: int, content: int, most: int) -> None:
    """Refuse a picture with more content than its bytes can hold, whatever they are."""
    if content > most:
        raise ImageFormatError('data', f'{width} x {height} pixels', 'what so few bytes can hold')


def _jpeg(data: bytes) -> Header:
    frame, position = _jpeg_frame(data)
    if data.find(_JPEG_END, max(position, len(data) - _PADDING)) < 0:
        raise ImageFormatError('data', f'{len(data)} bytes', 'a JPEG with its end, not cut short')
    scans = data.count(b'\xff\xda', position)
    if scans > _MAX_SCANS:
        raise ImageFormatError('data', f'JPEG of {scans} scans', f'up to {_MAX_SCANS} scans')
    precision, height, width, channels = frame
    if precision != 8 or channels not in (1, 3):
        found = f'JPEG of {channels} channels of {precision} bits'
        raise ImageFormatError('data', found, '1 or 3 channels of 8 bits')
    _check_density(width, height, width * height, len(data) * _JPEG_PIXELS)
    return Header('jpeg', width, height, channels, 8, channels == 3)


def _jpeg_frame(data: bytes) -> tuple[tuple[int, int, int, int], int]:
    """Find precision, height, width and channels, and where the first scan begins."""
    frame: tuple[int, int, int, int] | None = None
    position = 2
    for _ in range(_MAX_SEGMENTS):
        if position + 4 > len(data) or data[position] != 0xFF:
            break
        marker = data[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        if marker == _START_OF_SCAN and frame is not None:
            return frame, position
        length = int.from_bytes(data[position + 2 : position + 4], 'big')
        if marker in _START_OF_FRAME:
            if frame is not None or length < 8 or position + 10 > len(data):
                break
            frame = struct.unpack_from('>BHHB', data, position + 4)
        elif marker <= 0x01 or (0xC3 <= marker <= 0xDA and marker != 0xC4) or length < 2:
            # Standalone markers have no place here; the rest are kinds of JPEG that no camera
            # sends (0xC4, Huffman tables, is none), or a scan before its frame.
            break
        position += 2 + length
    found = data[position : position + 4]
    raise ImageFormatError('data', found, f'a baseline or progressive JPEG (at byte {position})')
