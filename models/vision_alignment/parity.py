"""Compare Top-k alignment with what the official code computed (see `models.parity`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.vision_alignment.gamma import (
    apply_tables,
    fit_gammas,
    gamma_tables,
    level_counts,
    means_after,
)
from models.vision_alignment.patches import (
    Best,
    MeanOfPatches,
    Patch,
    Scored,
    corners,
    score,
)

EXACT, ROUNDING, GAMMA = 0.0, 1e-9, 1e-2
LEVEL = 0.02  # grey levels that the means may differ by after gammas of an optimiser
PATCH, STRIDE = 64, 200


def compared(fixture: Mapping[str, NDArray[Any]]) -> Iterator[tuple[str, Tensor, float]]:
    """Select and correct the stored patches, whose channels are blue, green and red.

    Yields:
        Name of every stored array, ours, and the tolerance.
    """
    external = fixture['in/external_vis']
    target, all_of_it = (MeanOfPatches() for _ in range(2))
    for means, patches in ((target, fixture['in/target']), (all_of_it, external)):
        for patch in patches:
            means.add(patch)
    yield 'out/target_means', _double(target.means), ROUNDING
    yield 'out/external_means', _double(all_of_it.means), ROUNDING
    best = Best(int(fixture['in/k']))
    scores = [score(patch, target.means) for patch in external]
    for number, value in enumerate(scores):
        best.offer(Scored(value, Patch(number, 0, 0, 0)))
    kept = [scored.patch.sample for scored in best.kept]
    yield 'out/differences', _double(scores), ROUNDING
    yield 'out/topk_index', torch.tensor(kept), EXACT
    counts = level_counts(external[kept])
    fit = fit_gammas(counts, target.means)
    yield 'out/gamma_BGR', _double(fit.gammas), GAMMA
    after = means_after(counts, gamma_tables(fit.gammas))
    yield 'out/corrected_means', _double(after), LEVEL
    official = gamma_tables([float(gamma) for gamma in fixture['out/gamma_BGR']])
    yield 'out/corrected', torch.from_numpy(apply_tables(external[kept], official)), EXACT


def table(fixture: Mapping[str, NDArray[Any]]) -> Tensor:
    """Return the tables of the stored exponents, uint8 [N, 256]; the official ones are equal."""
    return torch.from_numpy(gamma_tables([float(gamma) for gamma in fixture['lut/gammas']]))


def other_crops(fixture: Mapping[str, NDArray[Any]]) -> int:
    """Return how many names of crops differ from the official ones, in order or by count."""
    shape = tuple(int(side) for side in fixture['crop/shape'])
    ours = [f'img_patch_{x}_{y}.png' for x, y in corners(shape, PATCH, STRIDE)]
    official = [str(name) for name in fixture['crop/names']]
    return sum(a != b for a, b in zip(ours, official, strict=False)) + abs(
        len(ours) - len(official)
    )


def _double(values: Any) -> Tensor:
    return torch.from_numpy(np.asarray(values, np.float64))
