"""The patches that CrossFuse trains on: squares of both pictures, cut out or aligned before."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.datasets.pair import Bytes, LabelledPair
from models.vision_alignment.patches import corners, cut

SIDE, STRIDE = 64, 200  # pixels, official


@dataclass(frozen=True)
class Patches:
    """Patches in memory.

    Attributes:
        thermal: uint8 [K, S, S].
        luma: of the visible pictures, uint8 [K, S, S].
    """

    thermal: Bytes
    luma: Bytes

    def __len__(self) -> int:
        return len(self.thermal)

    def batch(self, places: NDArray[np.integer], device: torch.device) -> tuple[Tensor, Tensor]:
        """Return thermal and luma of some patches, float32 [N, 1, S, S] in 0..1 each."""
        thermal, luma = (
            torch.from_numpy(picture[places])[:, None].to(device).float() / 255
            for picture in (self.thermal, self.luma)
        )
        return thermal, luma


def patches_of(
    pairs: Iterable[LabelledPair], side: int = SIDE, stride: int = STRIDE, scale: int = 1
) -> Patches:
    """Cut pairs into full squares; a pair of that size is one patch.

    Args:
        pairs: registered pairs; their labels are not looked at.
        side: of a square in pixels.
        stride: pixels from one to the next, in both directions.
        scale: of the network; pictures are shrunk to what it computes on before they are cut.

    Raises:
        ValueError: there is no patch, or the numbers can't be used.
    """
    if side < 1 or stride < 1:
        msg = f'patch of {side} pixels, stride {stride}: both at least 1'
        raise ValueError(msg)
    thermal: list[Bytes] = []
    luma: list[Bytes] = []
    for pair in pairs:
        pictures = [pair.thermal, cv2.cvtColor(pair.visible, cv2.COLOR_RGB2GRAY)]
        rows, columns = (length // scale for length in pair.thermal.shape)
        if scale > 1:
            size = (columns, rows)
            pictures = [cv2.resize(p, size, interpolation=cv2.INTER_AREA) for p in pictures]
        for x, y in corners((rows, columns), side, stride):
            for kept, picture in zip((thermal, luma), pictures, strict=True):
                kept.append(cut(np.asarray(picture, np.uint8), x, y, side))
    if not thermal:
        shrunk = f', shrunk {scale} times for this network' if scale > 1 else ''
        msg = (
            f'no patches: no pair is {side} pixels high and wide{shrunk}; lower --patch, or name '
            'more'
        )
        raise ValueError(msg)
    return Patches(np.stack(thermal), np.stack(luma))
