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
_MAX_COUNT = 65535
# Percentiles are read from a grid of at least this many pixels, and from all of a smaller frame.
# Exact ones need the whole frame sorted, ten times the work for a fraction of a grey level.
_SAMPLES = 16384
# min_span 0 stands for these: counts of an integer frame, and units of a 32FC1 one (degrees).
_MIN_COUNTS, _MIN_UNITS = 64.0, 2.0
# float32 resolves 2**-23 of a value; a range of this part of it still has 256 distinct levels.
_FINEST = 2.0**-15
# No temperature is beyond it, and differences and products of what is within stay in float32.
_LARGEST = 1e18

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
        range_min: value of black with agc 'fixed'.
        range_max: value of white with agc 'fixed', above range_min.
        equalizer: 'plateau' or 'clahe', with agc 'equalize'.
        smoothing: time constant in seconds with which the range follows the scene; 0 for each
            frame's own range.
        scale: above 0.
        offset: any finite number.

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
        for name, fine, allowed in (
            (
                'agc',
                self.agc in ('fixed', 'percentile', 'equalize'),
                'fixed, percentile, equalize',
            ),
            ('equalizer', self.equalizer in ('plateau', 'clahe'), 'plateau, clahe'),
            ('low_percentile', 0.0 <= low < 100.0, '0 to below 100 percent'),
            (
                'high_percentile',
                low < self.high_percentile <= 100.0,
                f'above low_percentile ({low}) to 100 percent',
            ),
            ('min_span', 0.0 <= self.min_span < math.inf, '0 or a span above it'),
            ('range_min', math.isfinite(range_min), 'a finite value'),
            (
                'range_max',
                range_min < self.range_max < math.inf,
                f'above range_min ({range_min}); to move both, set them in one call',
            ),
            ('smoothing', 0.0 <= self.smoothing < math.inf, '0 or more seconds'),
            ('scale', 0.0 < self.scale < math.inf, 'a number above 0'),
            ('offset', math.isfinite(self.offset), 'a finite number'),
        ):
            if not fine:
                raise ParameterError(f'thermal.{name}', getattr(self, name), allowed)

    def fixed_range(self) -> Range:
        """Return range_min and range_max as raw values."""
        return (
            (self.range_min - self.offset) / self.scale,
            (self.range_max - self.offset) / self.scale,
        )


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

    gain = 255.0 / (high - low)
    if thermal.dtype == np.uint16:
        # The counts inside the range. There are none where all of it lies between two counts or
        # outside of what a count can be; then every pixel is black or white.
        first, last = max(math.ceil(low), 0), min(math.floor(high), _MAX_COUNT)
        if first > last:
            return np.where(thermal > low, np.uint8(255), np.uint8(0))
        inside = np.clip(thermal, first, last)
        # Despite its name a saturating convert: nothing is negative here after the clip.
        return np.asarray(cv2.convertScaleAbs(inside, alpha=gain, beta=-low * gain), np.uint8)
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
    # The difference first: near 30,000 counts, a product would have lost the last ones already.
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


@dataclass(frozen=True)
class PercentileRange:
    """The former settings; `ThermalConfig` replaces them."""

    low: float = 1.0
    high: float = 99.0
    min_span: int = 64


def to_uint8(thermal: NDArray[Any], config: PercentileRange) -> NDArray[np.uint8]:
    """Do what `agc.Agc` does with a single frame; to be replaced by it."""
    from paif_ros.agc import Agc

    percentiles = ThermalConfig(
        low_percentile=config.low, high_percentile=config.high, min_span=float(config.min_span)
    )
    return Agc().apply(thermal, percentiles, 0)
