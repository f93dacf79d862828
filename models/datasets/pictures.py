"""Reads the pictures of data sets, and refuses what would only look as if it had been read.

Pillow, not OpenCV: OpenCV fills the missing half of a cut-off JPEG with grey, turns 16 bit into 8,
and gives a palette picture's colours in place of its ids, all without a word.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from models.datasets.errors import PixelFormatError, SizeMismatch, UnreadablePicture
from models.datasets.pair import Bytes

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff')
COLOUR = ('RGB', 'RGBA')  # Pillow's names; the alpha of a photograph means nothing
GREY = ('L', 'RGB', 'RGBA')  # grey is often stored in three equal channels
IDS = ('L', 'P', 'RGB', 'RGBA')
MOST_COLOUR = 12  # levels between the channels of a grey picture: what JPEG makes of it
BITS = {
    'I;16': '16 bit',
    'I;16B': '16 bit',
    'I': '16 or 32 bit',
    'F': '32 bit float',
    '1': '1 bit',
}


@dataclass(frozen=True)
class Header:
    """What a picture's first bytes say.

    Attributes:
        height: rows.
        width: columns.
        mode: Pillow's name of the pixel format.
    """

    height: int
    width: int
    mode: str


def pictures(folder: Path) -> dict[str, Path]:
    """Return the pictures of a folder by their names without ending; none where it is missing."""
    return {
        path.stem: path for path in sorted(folder.glob('*')) if path.suffix.lower() in SUFFIXES
    }


def _open(path: Path) -> Image:
    from PIL import Image

    try:
        return Image.open(path)
    except (OSError, Image.DecompressionBombError, SyntaxError, ValueError) as err:
        raise UnreadablePicture(path, 'no picture that Pillow reads', str(err)) from err


def read_header(path: Path, modes: tuple[str, ...], role: str) -> Header:
    """Read a picture's size and format without its pixels.

    Args:
        path: of the picture.
        modes: allowed formats: COLOUR, GREY or IDS.
        role: what it is for, for the message.

    Raises:
        UnreadablePicture: no picture.
        PixelFormatError: another format.
    """
    with _open(path) as picture:
        header = Header(picture.height, picture.width, picture.mode)
    _check_mode(path, header.mode, modes, role)
    return header


def _check_mode(path: Path, mode: str, modes: tuple[str, ...], role: str) -> None:
    if mode in modes:
        return
    found = f'{role} is {BITS.get(mode, "grey" if mode == "L" else "format " + mode)} ({mode})'
    cure = f'allowed: 8 bit, {" or ".join(modes)}'
    if mode in ('I', 'I;16', 'I;16B', 'F') and modes == GREY:
        cure += '; map it to 8 bit as the robot does, with paif_ros.thermal.agc.Agc'
    raise PixelFormatError(path, found, cure)


def _decode(path: Path, modes: tuple[str, ...], role: str) -> Bytes:
    with _open(path) as picture:
        _check_mode(path, picture.mode, modes, role)
        try:
            return np.array(picture, np.uint8)
        except (OSError, SyntaxError, ValueError) as err:
            raise UnreadablePicture(path, 'pixels that can not be decoded', str(err)) from err


def read_rgb(path: Path) -> Bytes:
    """Read uint8 [H, W, 3] RGB.

    Raises:
        UnreadablePicture: no picture, or cut off.
        PixelFormatError: grey, or not 8 bit.
    """
    return np.ascontiguousarray(_decode(path, COLOUR, 'the visible picture')[..., :3])


def read_rgba(path: Path) -> Bytes:
    """Read uint8 [H, W, 4], four channels in any meaning."""
    return _decode(path, ('RGBA',), 'the picture of both cameras')


def read_grey(path: Path) -> Bytes:
    """Read uint8 [H, W], also where it is stored in three equal channels.

    Raises:
        UnreadablePicture: no picture, or cut off.
        PixelFormatError: false colours, or not 8 bit.
    """
    return _flat(path, _decode(path, GREY, 'the thermal picture'), 'the thermal picture')


def read_ids(path: Path) -> Bytes:
    """Read uint8 [H, W] class ids: of a palette picture the index, not its colours.

    Raises:
        UnreadablePicture: no picture, or cut off.
        PixelFormatError: colours in place of ids.
    """
    return _flat(path, _decode(path, IDS, 'the label'), 'the label')


def _flat(path: Path, picture: Bytes, role: str) -> Bytes:
    """Return one channel of those that should be equal."""
    if picture.ndim == 2:
        return picture
    channels = picture[..., :3].astype(np.int16)
    spread = int(np.ptp(channels, axis=2).max())
    if spread > (MOST_COLOUR if path.suffix.lower() in ('.jpg', '.jpeg') else 0):
        found = f'{role} has colours (channels differ by {spread})'
        cure = 'allowed: one channel, or three equal ones'
        raise PixelFormatError(path, found, cure)
    return np.ascontiguousarray(picture[..., 0])


def check_sizes(path: Path, sizes: dict[str, tuple[int, int]]) -> None:
    """Refuse pictures of one pair whose heights or widths differ.

    Args:
        path: of the picture to name.
        sizes: (rows, columns) of each.

    Raises:
        SizeMismatch: names each one's size.
    """
    if len(set(sizes.values())) > 1:
        each = ', '.join(f'{name} {rows}x{cols}' for name, (rows, cols) in sizes.items())
        raise SizeMismatch(path, f'{each} (rows x columns)', 'sizes must be equal')
