"""Automatic gain control: thermal frames to the 8 bit picture that the models take.

The range of black and white follows the scene with a time constant, so that the picture does not
flicker with every hot spot, but jumps with a scene cut.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paif_ros.thermal.equalize import Curve, clahe, plateau
from paif_ros.thermal.ranges import (
    MID_GREY,
    Range,
    ThermalConfig,
    check_frame,
    percentile_range,
    sampled,
    stretch,
)

__all__ = ['Agc', 'AgcRange', 'ThermalConfig']

# A range that is this many times as wide as the frame's own shows next to nothing of it.
_TOO_WIDE = 16.0
# Stands in where no frame had a finite pixel yet: infinite ones are black or white all the same.
_NO_RANGE = (0.0, 1.0)


@dataclass(frozen=True)
class AgcRange:
    """What the last frame's black and white were.

    Attributes:
        low: value (raw * scale + offset) that became 0.
        high: value that became 255.
        unit: 'counts' of an integer frame as the camera sent it, 'degrees' where the frame was
            32FC1 or scaled.
    """

    low: float
    high: float
    unit: str


class Agc:
    """Makes 8 bit frames of one thermal camera. For one thread."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the scene: the next frame sets its own range at once."""
        self._kind: tuple[np.dtype[Any], tuple[int, ...]] | None = None
        self._stamp = 0
        self._followed: Range | None = None
        self._curve: Curve | None = None
        self._range: AgcRange | None = None

    @property
    def range(self) -> AgcRange | None:
        """Black and white of the last frame; None without one, and with uint8 frames.

        May be read from any thread.
        """
        return self._range

    def apply(
        self, thermal: NDArray[Any], config: ThermalConfig, stamp_ns: int, hold: bool = False
    ) -> NDArray[np.uint8]:
        """Map a frame to 8 bit.

        Args:
            thermal: uint16 [H, W] counts, float32 [H, W] or uint8 [H, W], native byte order.
            config: may change with every frame.
            stamp_ns: the frame's stamp in nanoseconds. The range follows by the time between
                stamps; it snaps to the frame's own where the stamp is 0 or goes back, as with a
                new size or type of frame and a scene cut (most pixels are outside of the range, or
                it is 16 times too wide). A frame given again with its stamp gives the same picture
                again.
            hold: keep the range, because what the camera shows now is not the scene (shutter).

        Returns:
            uint8 [H, W], hotter is never darker except with 'clahe'. A uint8 frame is returned
            itself, unchanged, whatever the config: the camera has set its contrast already, and a
            second stretch would only widen the steps between its 256 levels. A flat frame becomes
            mid grey. Pixels of 32FC1 that are NaN become mid grey, infinite ones black or white; a
            frame without any finite pixel leaves the range as it is.

        Raises:
            ImageFormatError: another dtype or number of dimensions, or no pixels.
        """
        check_frame(thermal)
        if thermal.dtype == np.uint8:
            self.reset()
            return thermal
        if self._kind != (thermal.dtype, thermal.shape) or stamp_ns < self._stamp:
            self.reset()
        self._kind = (thermal.dtype, thermal.shape)
        weight = _weight(stamp_ns, self._stamp, config.smoothing)
        self._stamp = stamp_ns

        if config.agc == 'fixed':
            self._followed = None
            black_white = config.fixed_range()
        else:
            held = hold and self._followed is not None
            own = None if held else percentile_range(thermal, config)
            black_white, weight = self._follow(own, weight, thermal)
        known = config.agc == 'fixed' or self._followed is not None
        self._range = _shown(black_white, thermal, config) if known else None
        equalizer = config.equalizer if config.agc == 'equalize' else None
        self._curve = (
            self._curve_for(thermal, black_white, weight) if equalizer == 'plateau' else None
        )

        holes = np.isnan(thermal) if thermal.dtype.kind == 'f' else None
        if holes is not None and holes.any():
            middle = np.float32((black_white[0] + black_white[1]) / 2.0)
            thermal = np.where(holes, middle, thermal)
        grey = self._curve.apply(thermal) if self._curve else stretch(thermal, *black_white)
        if equalizer == 'clahe':
            grey = clahe(grey)
        if holes is not None:
            grey[holes] = MID_GREY
        return grey

    def _follow(
        self, own: Range | None, weight: float, thermal: NDArray[Any]
    ) -> tuple[Range, float]:
        """Move the range towards the frame's own, or keep it; return it and the weight taken."""
        old = self._followed
        if own is None:
            return old or _NO_RANGE, 0.0
        if old is None or _is_cut(old, own, thermal):
            old, weight = own, 1.0
        self._followed = (
            old[0] + weight * (own[0] - old[0]),
            old[1] + weight * (own[1] - old[1]),
        )
        return self._followed, weight

    def _curve_for(self, thermal: NDArray[Any], black_white: Range, weight: float) -> Curve:
        """Move the equalizing curve towards the frame's own, or keep it."""
        if self._curve is None or weight == 1.0:
            return plateau(thermal, *black_white)
        if weight == 0.0:
            return self._curve
        return plateau(thermal, *black_white).moved_from(self._curve, weight)


def _weight(stamp: int, before: int, smoothing: float) -> float:
    """Return the share of a frame's own range in the new one, 0 to 1."""
    if smoothing == 0.0 or stamp <= 0:  # a camera without stamps has no time to follow by
        return 1.0
    return 1.0 - math.exp((before - stamp) / (smoothing * 1e9))


def _is_cut(old: Range, own: Range, thermal: NDArray[Any]) -> bool:
    """Tell whether the range so far would make a frame unreadable.

    Either most of its pixels lie outside, or all of them would become nearly one grey. A frame
    whose own range is far wider is no cut: a hot spot of about one percent of the frame moves a
    percentile by thousands of counts, and would do so whenever it comes or goes.
    """
    sample = sampled(thermal)
    inside = int(np.count_nonzero((sample >= old[0]) & (sample <= old[1])))
    outside = int(np.count_nonzero((sample < old[0]) | (sample > old[1])))  # NaN is neither
    return outside > inside or (own[1] - own[0]) * _TOO_WIDE < old[1] - old[0]


def _shown(black_white: Range, thermal: NDArray[Any], config: ThermalConfig) -> AgcRange:
    low, high = (raw * config.scale + config.offset for raw in black_white)
    as_sent = thermal.dtype.kind == 'u' and config.scale == 1.0 and config.offset == 0.0
    return AgcRange(low, high, 'counts' if as_sent else 'degrees')
