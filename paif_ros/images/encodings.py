"""What the encodings of sensor_msgs/Image mean, and how OpenCV turns them into RGB or grey.

The results are cv_bridge's: the same OpenCV colour codes, and 16 bits become 8 by 255 / 65535
after the colour conversion, rounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paif_ros.errors import ImageFormatError


@dataclass(frozen=True)
class Layout:
    """How one pixel is stored, and what OpenCV calls its colours.

    Attributes:
        channels: samples per pixel.
        sample: numpy's name of a sample without its byte order: 'u1', 'u2' or 'f4'.
        to_rgb: name of cv2's colour code to RGB, '' where none is needed, None where the encoding
            does not say that it is a picture (16UC1 and 32FC1 are as often depth).
        to_grey: name of cv2's colour code to luma, '' where the samples are kept as they are.
        even: whether the width must be even, because two pixels share their colour.
        least: smallest height and width. OpenCV answers smaller mosaics with black.
    """

    channels: int
    sample: str
    to_rgb: str | None
    to_grey: str
    even: bool = False
    least: int = 1

    @property
    def size(self) -> int:
        """Bytes per sample."""
        return int(self.sample[1:])


def _layouts() -> dict[str, Layout]:
    """Describe every encoding that can be read.

    One that is not here is refused: 8UC3, for one, does not say whether red or blue comes first.
    """
    table = {
        'mono8': Layout(1, 'u1', 'COLOR_GRAY2RGB', ''),
        '8UC1': Layout(1, 'u1', 'COLOR_GRAY2RGB', ''),
        'mono16': Layout(1, 'u2', 'COLOR_GRAY2RGB', ''),
        '16UC1': Layout(1, 'u2', None, ''),
        '32FC1': Layout(1, 'f4', None, ''),
    }
    for sample, bits in (('u1', 8), ('u2', 16)):
        for order in ('RGB', 'BGR', 'RGBA', 'BGRA'):
            to_rgb = '' if order == 'RGB' else f'COLOR_{order}2RGB'
            table[f'{order.lower()}{bits}'] = Layout(
                len(order), sample, to_rgb, f'COLOR_{order}2GRAY'
            )
        # ROS names a mosaic by its first four pixels, OpenCV by the second row's middle two.
        for tile, name in (('rggb', 'BG'), ('bggr', 'RG'), ('gbrg', 'GR'), ('grbg', 'GB')):
            table[f'bayer_{tile}{bits}'] = Layout(
                1, sample, f'COLOR_Bayer{name}2RGB', f'COLOR_Bayer{name}2GRAY', least=3
            )
    for order, encodings in (('UYVY', ('uyvy', 'yuv422')), ('YUY2', ('yuyv', 'yuv422_yuy2'))):
        layout = Layout(2, 'u1', f'COLOR_YUV2RGB_{order}', f'COLOR_YUV2GRAY_{order}', even=True)
        table.update(dict.fromkeys(encodings, layout))
    return table


LAYOUTS = _layouts()


def is_false_colour(encoding: str) -> bool:
    """Tell whether a thermal image in this encoding is a coloured picture, of which luma is taken.

    A colour palette is not monotone in luma, so hotter is then not always brighter.

    Args:
        encoding: of a message that `codec.check` passed. One that can't be read is not colour.
    """
    layout = LAYOUTS.get(encoding)
    return layout is not None and layout.to_grey != ''


def to_rgb(samples: NDArray[Any], encoding: str) -> NDArray[np.uint8]:
    """Convert to RGB.

    Args:
        samples: uint8 or uint16 [H, W] or [H, W, C] in native byte order, as `encoding` says.
        encoding: a key of LAYOUTS.

    Returns:
        uint8 [H, W, 3], the samples themselves where nothing had to be done.

    Raises:
        ImageFormatError: the encoding holds no picture.
    """
    code = LAYOUTS[encoding].to_rgb
    if code is None:
        raise ImageFormatError('encoding', encoding, 'a colour encoding or mono8, mono16, 8UC1')
    return _converted(samples, code)


def to_thermal(samples: NDArray[Any], encoding: str) -> NDArray[Any]:
    """Convert a picture to luma, and leave single-channel images as they are.

    Args:
        samples: [H, W] or [H, W, C] in native byte order, as `encoding` says.
        encoding: a key of LAYOUTS.

    Returns:
        [H, W]: uint8 luma of a colour encoding, else the samples themselves (uint8, uint16 or
        float32).
    """
    code = LAYOUTS[encoding].to_grey
    return _converted(samples, code) if code else samples


def _converted(samples: NDArray[Any], code: str) -> NDArray[np.uint8]:
    """Run one of cv2's colour codes, then go to 8 bits."""
    if not code and samples.dtype == np.uint8:
        return samples
    import cv2

    if code:
        samples = cv2.cvtColor(np.ascontiguousarray(samples), getattr(cv2, code))
    if samples.dtype != np.uint8:
        samples = cv2.convertScaleAbs(samples, alpha=255.0 / 65535.0)
    return np.asarray(samples, np.uint8)
