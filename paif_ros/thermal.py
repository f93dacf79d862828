"""16 bit thermal counts to the 8 bit picture that the models take.

A camera's 16 bit range is far wider than any scene, so each frame's own percentiles set the
range: a single hot pixel or a dead one does not darken the rest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paif_ros.errors import ImageFormatError, ParameterError

_MAX_COUNT = 65535
# Percentiles are read from a grid of at least this many pixels, and from all of a smaller frame.
# Exact ones need the whole frame sorted, ten times the work for a fraction of a grey level.
_SAMPLES = 16384


@dataclass(frozen=True)
class PercentileRange:
    """Which counts become black and white.

    Attributes:
        low: percentile of the frame that becomes 0, in percent, 0 to 100.
        high: percentile that becomes 255, above `low`.
        min_span: counts, 1 to 65535. A frame that spans fewer is shown with this span around its
            middle, so that the noise of a flat scene is not stretched to full contrast.

    Raises:
        ParameterError: a value is outside its range.
    """

    low: float = 1.0
    high: float = 99.0
    min_span: int = 64

    def __post_init__(self) -> None:
        if not 0.0 <= self.low < 100.0:
            raise ParameterError('low', self.low, '0 to below 100 percent')
        if not self.low < self.high <= 100.0:
            raise ParameterError('high', self.high, f'above low ({self.low}) to 100 percent')
        if not 1 <= self.min_span <= _MAX_COUNT:
            raise ParameterError('min_span', self.min_span, f'1 to {_MAX_COUNT} counts')


def to_uint8(thermal: NDArray[Any], config: PercentileRange) -> NDArray[np.uint8]:
    """Map a thermal frame to 8 bit.

    Args:
        thermal: uint16 [H, W] counts in native byte order, or uint8 [H, W].
        config: the range for uint16 frames.

    Returns:
        uint8 [H, W], 0 to 255, hotter is brighter. A uint8 frame is returned itself, unchanged:
        the camera has set its contrast already, and a second stretch would only widen the steps
        between its 256 levels. A flat uint16 frame becomes mid grey.

    Raises:
        ImageFormatError: another dtype or number of dimensions, or no pixels.
    """
    if thermal.ndim != 2 or thermal.size == 0:
        raise ImageFormatError('thermal', list(thermal.shape), 'a shape [H, W] with pixels')
    if thermal.dtype == np.uint8:
        return thermal
    if thermal.dtype != np.uint16:
        raise ImageFormatError('thermal', str(thermal.dtype), 'uint8 or uint16 in native order')
    import cv2

    low, high = _count_range(thermal, config)
    clipped = np.clip(thermal, max(math.ceil(low), 0), min(math.floor(high), _MAX_COUNT))
    gain = 255.0 / (high - low)
    # Despite its name a saturating convert: nothing is negative here after the clip.
    return np.asarray(cv2.convertScaleAbs(clipped, alpha=gain, beta=-low * gain), np.uint8)


def _count_range(thermal: NDArray[np.uint16], config: PercentileRange) -> tuple[float, float]:
    """Return the counts of black and white, at least `min_span` apart; they may leave 0..65535."""
    stride = max(1, math.isqrt(thermal.size // _SAMPLES))
    sample = thermal[::stride, ::stride].ravel()
    ranks = [round(p / 100.0 * (sample.size - 1)) for p in (config.low, config.high)]
    ordered = np.partition(sample, ranks)
    low, high = (float(ordered[rank]) for rank in ranks)
    if high - low < config.min_span:
        middle = (low + high) / 2.0
        low, high = middle - config.min_span / 2.0, middle + config.min_span / 2.0
    return low, high
