"""When both cameras take their pictures: nearly together, never quite."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scenes.config import STAMPS

JITTER_NS = 2_000_000  # each camera misses its tick by up to this much
LAG_NS = 3_000_000  # the thermal camera's clock stands up to this far off
SHARE = 0.2  # but both stay below this share of a period, so that order and partners are certain


@dataclass(frozen=True)
class Stamps:
    """Times of pictures, frame i of one camera belongs to frame i of the other.

    Attributes:
        visible: int64 [N], nanoseconds, strictly rising.
        thermal: int64 [N], nanoseconds, strictly rising.
    """

    visible: NDArray[np.int64]
    thermal: NDArray[np.int64]


def make_stamps(seed: int, rate: float, count: int, start: int) -> Stamps:
    """Return the stamps of `count` pairs; equal arguments give equal stamps.

    Args:
        seed: 0 or more.
        rate: pairs per second, above 0.
        count: how many, 0 or more.
        start: nanoseconds of the first tick.

    Raises:
        ValueError: an argument is out of range.
    """
    if seed < 0 or rate <= 0 or count < 0 or start < 0:
        raise ValueError(
            f'seed {seed}, count {count} and start {start} must be 0 or more, rate {rate} above 0'
        )
    rng = np.random.default_rng([seed, STAMPS])
    period = 1e9 / rate
    jitter, lag = min(JITTER_NS, SHARE * period), min(LAG_NS, SHARE * period)
    ticks = start + np.rint(np.arange(count) * period).astype(np.int64)
    offset = round(float(rng.uniform(-lag, lag)))
    own = np.rint(rng.uniform(0, jitter, (2, count))).astype(np.int64)
    return Stamps(visible=ticks + own[0], thermal=np.maximum(ticks + own[1] + offset, 0))
