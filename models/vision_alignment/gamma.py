"""Exponents that draw the channel means of patches to those of a target domain (spec 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.datasets.pair import Bytes

LEVELS = 256
START = 0.5  # of each exponent, in the official code
STALLED, MOST_RESTARTS = 0.1, 20  # grey levels that a new start must gain; new starts
IMPOSSIBLE = 1e6  # objective of exponents at or below 0, over any that pictures can have

Counts = NDArray[np.int64]  # [C, 256], pixels of each level in each channel
Means = NDArray[np.float64]  # [C], grey levels


def gamma_table(gamma: float) -> Bytes:
    """Return uint8 [256]: 255 (level / 255)^(1 / gamma), truncated.

    Raises:
        ValueError: gamma is not over 0.
    """
    if not gamma > 0:
        msg = f'gamma {gamma}: over 0; 1 changes nothing, less darkens'
        raise ValueError(msg)
    return (255 * (np.arange(LEVELS) / 255) ** (1 / gamma)).astype(np.uint8)


def gamma_tables(gammas: Sequence[float]) -> Bytes:
    """Return uint8 [C, 256], the table of each channel."""
    return np.stack([gamma_table(gamma) for gamma in gammas])


def apply_tables(picture: Bytes, tables: Bytes) -> Bytes:
    """Return uint8 [..., C] with each channel taken through its table, uint8 [C, 256]."""
    return np.stack([tables[c][picture[..., c]] for c in range(picture.shape[-1])], axis=-1)


def level_counts(picture: Bytes) -> Counts:
    """Return int64 [C, 256], how often each level is in each channel of uint8 [..., C]."""
    channels = picture.reshape(-1, picture.shape[-1]).T
    return np.stack([np.bincount(channel, minlength=LEVELS) for channel in channels])


def means_after(counts: Counts, tables: Bytes) -> Means:
    """Return float64 [C], the mean of each channel after its table, from the level counts."""
    return (tables.astype(np.int64) * counts).sum(1) / counts.sum(1)


def distance(means: Means, target: Means) -> float:
    """Return the sum over channels of |mean - target|, in grey levels."""
    return float(np.abs(means - target).sum())


@dataclass(frozen=True)
class GammaFit:
    """Exponents of an alignment.

    Attributes:
        gammas: one for each channel, in the order of the counts.
        before: distance of the patches' means from the target's, in grey levels.
        after: the same through the tables.
        converged: whether the optimiser ended by itself.
        restarts: how often it was started again where it had stalled.
    """

    gammas: tuple[float, ...]
    before: float
    after: float
    converged: bool
    restarts: int


def fit_gammas(counts: Counts, target: Means) -> GammaFit:
    """Fit an exponent for each channel by Nelder-Mead (SciPy's defaults) from 0.5.

    The patches are needed only as level counts: their means after a table follow from these, so
    the memory does not grow with the patches. Patches of one size count alike, as in the code.

    On exponents far from 0.5 the optimiser can stall beside the best ones: the distance has kinks
    and steps. It is started again where it stopped while that gains at least 0.1 grey levels (our
    choice); where it has not stalled, the result is the official one.

    Args:
        counts: of all patches together. The official order of channels is blue, green, red; in
            another, the optimiser's path and the last digits differ.
        target: channel means of the target domain, in the same order.

    Raises:
        ValueError: a channel without pixels.
    """
    from scipy.optimize import minimize

    if not counts.sum(1).all():
        msg = f'{counts.sum(1)} pixels in the channels: some in each'
        raise ValueError(msg)

    def objective(gammas: NDArray[np.float64]) -> float:
        if not (gammas > 0).all():
            return IMPOSSIBLE
        return distance(means_after(counts, gamma_tables([float(g) for g in gammas])), target)

    found, restarts = minimize(objective, [START] * len(counts), method='Nelder-Mead'), 0
    while found.fun > STALLED and restarts < MOST_RESTARTS:
        again = minimize(objective, found.x, method='Nelder-Mead')
        if again.fun > found.fun - STALLED:
            break
        found, restarts = again, restarts + 1
    unchanged = means_after(counts, np.tile(np.arange(LEVELS, dtype=np.uint8), (len(counts), 1)))
    return GammaFit(
        tuple(float(gamma) for gamma in found.x),
        distance(unchanged, target),
        float(found.fun),
        bool(found.success),
        restarts,
    )
