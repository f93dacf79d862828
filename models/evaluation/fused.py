"""Fusion scores of fused pictures as a user would save them: rounded to 8 bits."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from models.data import to_tensors
from models.evaluation.masks import Outcome
from models.fusion_metrics import FusionMetrics, fusion_metrics
from models.losses import fusion_loss
from models.paif import recolour, rgb_to_ycrcb
from paif_ros.engines.base import U8


def saved(outcome: Outcome) -> list[U8]:
    """Return the fused pictures in the visible ones' colours, uint8 [H, W, 3] RGB each."""
    if outcome.pictures is not None:
        return list(outcome.pictures)
    rgb = recolour(outcome.fused, rgb_to_ycrcb(outcome.visible))
    return list((rgb * 255).round().to('cpu', torch.uint8).movedim(1, 3).numpy())


def losses(outcome: Outcome) -> list[float]:
    """Return each pair's fusion loss towards the training target."""
    found = []
    for pair, fused in zip(outcome.pairs, outcome.fused.split(1), strict=True):
        found.append(float(fusion_loss(fused.cpu(), to_tensors([pair]).target)))
    return found


def metrics(outcome: Outcome) -> list[FusionMetrics]:
    """Compare the luma of each saved fused picture with its clean sources."""
    return [
        fusion_metrics(_luma(pair.visible), pair.thermal, _luma(picture))
        for pair, picture in zip(outcome.pairs, saved(outcome), strict=True)
    ]


def _luma(rgb: U8) -> U8:
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)
