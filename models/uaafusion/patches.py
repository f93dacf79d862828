"""What UAAFusion trains on: squares of both pictures, cut once (official) or drawn at random."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from models.data import Augmentation, augment
from models.datasets.pair import IGNORE, Bytes, LabelledPair

LEAST_CONTRAST = 0.1


@dataclass(frozen=True)
class Patch:
    """A square of a registered pair.

    Attributes:
        thermal: uint8 [S, S].
        luma: of the visible picture, uint8 [S, S].
        label: uint8 [S, S] class ids, 255 where unknown.
    """

    thermal: Bytes
    luma: Bytes
    label: Bytes


@dataclass(frozen=True)
class Patches:
    """Tensors of several patches.

    Attributes:
        thermal: float32 [N, 1, S, S] in 0..1.
        luma: the same.
        label: int64 [N, S, S].
    """

    thermal: Tensor
    luma: Tensor
    label: Tensor


def luma_of(visible: Bytes) -> Bytes:
    """Return the luma uint8 [H, W] of a picture, uint8 [H, W, 3] RGB."""
    return np.asarray(cv2.cvtColor(visible, cv2.COLOR_RGB2GRAY), np.uint8)


@dataclass(frozen=True)
class Crops:
    """Random squares, resized, mirrored and varied in tone: one of each pair in every epoch.

    Ours: the official code trains on the same squares in every epoch, which a few hundred pairs
    are too few for.

    Attributes:
        pairs: where they are cut from.
        config: how they vary.
    """

    pairs: Sequence[LabelledPair]
    config: Augmentation

    def __len__(self) -> int:
        return len(self.pairs)

    def draw(self, numbers: Sequence[int], rng: np.random.Generator) -> list[Patch]:
        """Return a crop of each pair whose number is given."""
        drawn = [augment(self.pairs[i], rng, self.config) for i in numbers]
        return [Patch(pair.thermal, luma_of(pair.visible), pair.label) for pair in drawn]


def is_low_contrast(picture: Bytes) -> bool:
    """Whether the percentiles of a picture, uint8 [H, W], lie so close that it shows nothing."""
    low, high = np.percentile(picture.astype(np.float64) / 255, (10, 90))
    return bool(high <= 0 or (high - low) / high < LEAST_CONTRAST)


def cut(pairs: Iterable[LabelledPair], size: int, *, labelled: bool = False) -> list[Patch]:
    """Cut pairs into squares that touch and do not overlap; what is left at the edges is lost.

    A square is dropped where either picture has low contrast.

    Args:
        pairs: registered pairs.
        size: side of a square in pixels.
        labelled: drop also squares that show nothing but background or unknown pixels.
    """
    patches = []
    for pair in pairs:
        luma = luma_of(pair.visible)
        rows, columns = pair.label.shape
        for top in range(0, rows - size + 1, size):
            for left in range(0, columns - size + 1, size):
                window = np.s_[top : top + size, left : left + size]
                patch = Patch(pair.thermal[window], luma[window], pair.label[window])
                if labelled and not ((patch.label != 0) & (patch.label != IGNORE)).any():
                    continue
                if not is_low_contrast(patch.thermal) and not is_low_contrast(patch.luma):
                    patches.append(patch)
    return patches


def stack(patches: Sequence[Patch]) -> Patches:
    """Return patches of one size as tensors."""

    def pictures(values: list[Bytes]) -> Tensor:
        return torch.from_numpy(np.stack(values))[:, None].float() / 255

    return Patches(
        pictures([patch.thermal for patch in patches]),
        pictures([patch.luma for patch in patches]),
        torch.from_numpy(np.stack([patch.label for patch in patches])).long(),
    )
