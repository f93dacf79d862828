"""How thermal values become grey: the settings, a frame's own range, and the linear stretch.

Everything here is without memory. `agc.Agc` puts it together and follows the scene over time.

A camera's 16 bit range is far wider than any scene, so by default each frame's own percentiles set
the range: a single hot pixel or a dead one does not darken the rest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paif_ros.errors import ImageFormatError, ParameterError

MID_GREY = 128
# Percentiles are read from a grid of at least this many pixels, and from all of a smaller frame.
# Exact ones need the whole frame sorted, ten times the work for a fraction of a grey level.
_SAMPLES = 16384
_MODES = ('fixed', 'percentile', 'equalize')
_EQUALIZERS = ('plateau', 'clahe')
# min_span 0 stands for these: counts of an integer frame, and units of a 32FC1 one (degrees).
_MIN_COUNTS, _MIN_UNITS = 64.0, 2.0
# float32 resolves 2**-23 of a value; a range of this part of it still has 256 distinct levels.
_FINEST = 2.0**-15
# No temperature is beyond it, and differences and products of what is within stay in float32.
_LARGEST = 1e18
# Bounds of the settings, those of parameters.yaml.
_MOST, _LEAST_SCALE = 1e6, 1e-6

Range = tuple[float, float]  # raw values (counts, or units of 32FC1) of black and white


@dataclass(frozen=True)
class ThermalConfig:
    """What the thermal.* parameters say; parameters.yaml describes each.

    Values are raw * scale + offset: counts, or degrees as the user scales them.

    Attributes:
        agc: 'fixed', 'percentile' or 'equalize'.
        low_percentile: percent of the frame below black, 0 to below high_percentile.
        high_percentile: percentile that becomes white, up to 100.
        min_span: smallest range stretched to 8 bits, in values. 0 means 64 raw counts, or 2 raw
            units of a 32FC1 frame.
        range_min: value of black with agc 'fixed', -1e6 to 1e6.
        range_max: value of white with agc 'fixed', above range_min to 1e6.
        equalizer: 'plateau' or 'clahe', with agc 'equalize'.
        smoothing: time constant in seconds with which the range follows the scene; 0 for each
            frame's own range.
        scale: 1e-6 to 1e6.
        offset: -1e6 to 1e6.

    Raises:
        ParameterError: a value is outside its range.
    """

    agc: str = 'percentile'
    low_percentile: float = 1.0
    high_percentile: float = 99.0
    min_span: float = 0.0
    range_min: float = 0.0
    range_max: float = 65535.0
    equalizer: str = 'plateau'
    smoothing: float = 0.5
    scale: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        low, range_min = self.low_percentile, self.range_min
        value = f'-{_MOST:g} to {_MOST:g}'
        for name, fine, allowed in (
            ('agc', self.agc in _MODES, ', '.join(_MODES)),
            ('equalizer', self.equalizer in _EQUALIZERS, ', '.join(_EQUALIZERS)),
            ('low_percentile', 0.0 <= low < 100.0, '0 to below 100 percent'),
            (
                'high_percentile',
                low < self.high_percentile <= 100.0,
                f'above low_percentile ({low:g}) to 100 percent',
            ),
            ('min_span', 0.0 <= self.min_span <= _MOST, f'0 to {_MOST:g}'),
            ('range_min', abs(range_min) <= _MOST, value),
            (
                'range_max',
                range_min < self.range_max <= _MOST,
                f'above range_min ({range_min:g}) to {_MOST:g}',
            ),
            ('smoothing', 0.0 <= self.smoothing < math.inf, '0 or more seconds'),
            ('scale', _LEAST_SCALE <= self.scale <= _MOST, f'{_LEAST_SCALE:g} to {_MOST:g}'),
            ('offset', abs(self.offset) <= _MOST, value),
        ):
            if not fine:
                raise ParameterError(f'thermal.{name}', getattr(self, name), allowed)

    def fixed_range(self) -> Range:
        """Return range_min and range_max as raw values, apart even where rounding joins them."""
        low = (self.range_min - self.offset) / self.scale
        high = (self.range_max - self.offset) / self.scale
        return low, max(high, low + abs(low) * 1e-12 + 1e-12)


def check_frame(thermal: NDArray[Any]) -> None:
    """Refuse what is no thermal frame.

    Args:
        thermal: an array.

    Raises:
        ImageFormatError: it is not [H, W] with pixels, or not uint8, uint16 or float32 in native
            byte order.
    """
    if thermal.ndim != 2 or thermal.size == 0:
        raise ImageFormatError('thermal', list(thermal.shape), 'a shape [H, W] with pixels')
    if thermal.dtype not in (np.uint8, np.uint16, np.float32) or not thermal.dtype.isnative:
        allowed = 'uint8, uint16 or float32 in native byte order'
        raise ImageFormatError('thermal', str(thermal.dtype), allowed)


def sampled(thermal: NDArray[Any]) -> NDArray[Any]:
    """Return the pixels of a regular grid, as a view: enough of them to know the histogram."""
    stride = max(1, math.isqrt(thermal.size // _SAMPLES))
    return thermal[::stride, ::stride]


def percentile_range(thermal: NDArray[Any], config: ThermalConfig) -> Range | None:
    """Find the raw values of black and white of one frame by its percentiles.

    Args:
        thermal: uint16 or float32 [H, W].
        config: its percentiles, and the span that the range has at least.

    Returns:
        Two raw values, the second the larger one; they may leave 0 to 65535. None where no pixel
        is finite.
    """
    sample = sampled(thermal).ravel()
    if thermal.dtype.kind == 'f':
        sample = _finite(sample)
        if sample.size == 0 and (sample := _finite(thermal.ravel())).size == 0:
            return None
    percentiles = (config.low_percentile, config.high_percentile)
    ranks = [round(p / 100.0 * (sample.size - 1)) for p in percentiles]
    ordered = np.partition(sample, ranks)
    low, high = (float(ordered[rank]) for rank in ranks)
    if high - low < (span := _least_span(thermal, config, (low + high) / 2.0)):
        middle = (low + high) / 2.0
        low, high = middle - span / 2.0, middle + span / 2.0
    return low, high


def stretch(thermal: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """Map raw values linearly to 8 bit.

    Args:
        thermal: uint16 [H, W], or float32 [H, W] without NaN; infinities are black and white.
        low: raw value that becomes 0.
        high: raw value that becomes 255, above `low`.

    Returns:
        uint8 [H, W], a new array.
    """
    import cv2

    # Despite its name a rounding, saturating convert: nothing is negative here.
    return np.asarray(cv2.convertScaleAbs(scaled(thermal, low, high, 255)), np.uint8)


def scaled(thermal: NDArray[Any], low: float, high: float, top: int) -> NDArray[np.float32]:
    """Map raw values linearly to 0..top, clipped, as float32.

    Args:
        thermal: uint16 or float32 [H, W] without NaN.
        low: raw value that becomes 0.
        high: raw value that becomes `top`, above `low`.
        top: the largest level.

    Returns:
        float32 [H, W], a new array.
    """
    # The difference first: near 30,000 counts, a product would have lost the last digits already.
    with np.errstate(over='ignore'):
        levels = np.subtract(thermal, np.float32(low), dtype=np.float32)
        levels *= np.float32(min(top / (high - low), _LARGEST))
    return np.clip(levels, 0.0, np.float32(top), out=levels)


def _finite(values: NDArray[np.float32]) -> NDArray[np.float32]:
    # NaN compares false. What is beyond any temperature counts as infinite.
    return values[np.abs(values) <= _LARGEST]


def _least_span(thermal: NDArray[Any], config: ThermalConfig, middle: float) -> float:
    """Return the raw span that a frame around `middle` is stretched over at least."""
    wanted = config.min_span / config.scale
    if thermal.dtype.kind == 'f':
        return max(wanted or _MIN_UNITS, abs(middle) * _FINEST)
    return max(wanted or _MIN_COUNTS, 1.0)
