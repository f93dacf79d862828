"""Patches of pictures: where they are, their statistics, and the k that fit a target best."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.datasets.pair import Bytes
from models.vision_alignment.gamma import Means, distance


@dataclass(frozen=True, order=True)
class Patch:
    """Where a patch is.

    Attributes:
        sample: number of the sample in its domain's listing.
        frame: number of the picture in the sample: films have several.
        x: left column.
        y: top row.
    """

    sample: int
    frame: int
    x: int
    y: int


@dataclass(frozen=True)
class Scored:
    """A patch and how far it is from the target, in grey levels (`score`)."""

    score: float
    patch: Patch


def corners(shape: tuple[int, ...], patch: int, stride: int) -> list[tuple[int, int]]:
    """Return the (x, y) of all full patches of a picture [H, W, ...], row by row."""
    rows = range(0, shape[0] - patch + 1, stride)
    return [(x, y) for y in rows for x in range(0, shape[1] - patch + 1, stride)]


def cut(picture: Bytes, x: int, y: int, patch: int) -> Bytes:
    """Return the patch [patch, patch, ...] of a picture [H, W, ...] whose corner is at (x, y)."""
    return picture[y : y + patch, x : x + patch]


def channel_means(patch: Bytes) -> Means:
    """Return float64 [C], the mean of each channel of uint8 [H, W, C]."""
    return np.asarray(patch.mean((0, 1), dtype=np.float64))


def score(patch: Bytes, target: Means) -> float:
    """Return the distance of a patch's channel means from the target's (spec 3.2).

    Args:
        patch: uint8 [H, W, C].
        target: float64 [C].
    """
    return distance(channel_means(patch), target)


class MeanOfPatches:
    """Channel means over patches of one size, in integers: exact, whatever the order.

    Args:
        sums: sum of the levels of each of the three channels, to go on with.
        pixels: of all patches together.
    """

    def __init__(self, sums: Sequence[int] = (0, 0, 0), pixels: int = 0) -> None:
        self.sums = np.array(sums, np.int64)
        self.pixels = pixels

    def add(self, patch: Bytes) -> None:
        """Add a patch, uint8 [H, W, 3]."""
        self.sums += patch.sum((0, 1), dtype=np.int64)
        self.pixels += patch.shape[0] * patch.shape[1]

    @property
    def means(self) -> Means:
        """The mean of each channel, float64 [3]."""
        return self.sums / self.pixels


class Best:
    """The k patches of the lowest score of all that were offered; memory grows with k alone.

    Of equal scores the earlier ones stay.

    Args:
        k: patches to keep, 1 or more.
        offered: number of patches seen, to go on with.
        total: sum of their scores.
        items: of another one (`items`).
    """

    def __init__(
        self, k: int, offered: int = 0, total: float = 0.0, items: Sequence[Sequence[float]] = ()
    ) -> None:
        self.k, self.offered, self.total = k, offered, total
        # The worst one is first.
        self._heap = [(w, int(o), Patch(*map(int, place))) for w, o, *place in items]

    def offer(self, scored: Scored) -> None:
        """Keep a patch if it is among the k best so far."""
        item = (-scored.score, -self.offered, scored.patch)
        self.offered += 1
        self.total += scored.score
        if len(self._heap) < self.k:
            heapq.heappush(self._heap, item)
        elif item > self._heap[0]:
            heapq.heapreplace(self._heap, item)

    @property
    def kept(self) -> list[Scored]:
        """The patches kept, best first."""
        return [Scored(-worth, patch) for worth, _, patch in sorted(self._heap, reverse=True)]

    def items(self) -> list[list[float]]:
        """Return all that decides what is kept from here on, as JSON can hold it."""
        return [[w, o, p.sample, p.frame, p.x, p.y] for w, o, p in sorted(self._heap)]
