"""What decides an alignment beside its pictures, and the card that says what it found."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

ORDERS = ('code', 'paper')


@dataclass(frozen=True)
class Settings:
    """What decides an alignment beside its pictures.

    Attributes:
        k: external patches to keep; 1000 in the official data set, 800 in its other script.
        patch: side of a patch in pixels.
        stride: from one patch to the next, in pixels, in both directions.
        order: 'code' selects by the patches as they are and fits the exponents to the selected
            ones; 'paper' fits them to all external patches and selects by what they make of these.
        target_patches: whether the target's own patches go into the training set too.
    """

    k: int = 1000
    patch: int = 64
    stride: int = 200
    order: str = 'code'
    target_patches: bool = True

    def __post_init__(self) -> None:
        if min(self.k, self.patch, self.stride) < 1:
            msg = f'k {self.k}, patch {self.patch}, stride {self.stride}: all at least 1'
            raise ValueError(msg)
        if self.order not in ORDERS:
            msg = f'order {self.order!r}: choose one of {ORDERS}'
            raise ValueError(msg)


@dataclass(frozen=True)
class Card:
    """What an alignment found. Channels are red, green and blue; levels are grey levels.

    Attributes:
        settings: what decided it, with the folders.
        target_patches: patches of the target domain that its means are taken from.
        target_means: mean of each of their channels.
        external_patches: patches of the external domain.
        external_score: mean score of all of them, after the tables with order 'paper'.
        gammas: exponent of each channel.
        distance_before: distance of the channel means of the patches that the exponents are
            fitted to, together, from the target's.
        distance_after: the same through the tables.
        score_before: mean score of the kept patches one by one.
        score_after: the same through the tables.
        converged: whether the optimiser ended by itself.
        restarts: how often it was started again (`models.vision_alignment.gamma.fit_gammas`).
        written: patches of the training set.
    """

    settings: dict[str, Any]
    target_patches: int
    target_means: tuple[float, ...]
    external_patches: int
    external_score: float
    gammas: tuple[float, ...]
    distance_before: float
    distance_after: float
    score_before: float
    score_after: float
    converged: bool
    restarts: int
    written: int

    def to_json(self) -> str:
        """Return the card as JSON text."""
        return json.dumps(asdict(self), indent=1)

    def __str__(self) -> str:
        means, gammas = (
            ', '.join(f'{value:{form}}' for value in values)
            for values, form in ((self.target_means, '.2f'), (self.gammas, '.4f'))
        )
        stopped = f' ({self.restarts} new starts)' if self.restarts else ''
        stopped += '' if self.converged else ' (the optimiser gave up: see the distance)'
        return (
            f'target    {self.target_patches} patches, means of R, G, B {means}\n'
            f'external  {self.external_patches} patches, mean score {self.external_score:.2f}\n'
            f'gammas    R, G, B {gammas}{stopped}\n'
            f'distance  of the means {self.distance_before:.2f} -> {self.distance_after:.2f}\n'
            f'score     of the kept {self.score_before:.2f} -> {self.score_after:.2f}\n'
            f'written   {self.written} pairs'
        )
