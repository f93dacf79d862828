"""PAIF's training losses (spec: the active criterion of the official training code)."""

from __future__ import annotations

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from models.datasets.pair import IGNORE
from models.similarity import gaussian, ssim_map

SSIM_WEIGHT = 1.1
FUSION_WEIGHT, SEGMENTATION_WEIGHT = 0.1, 4.0  # of the joint loss


def ssim(x: Tensor, y: Tensor) -> Tensor:
    """Mean structural similarity (Wang et al., 2004), 11x11 Gaussian window, zero padding.

    Args:
        x: [N, 1, H, W] in 0..1.
        y: the same shape.

    Returns:
        A scalar, 1 for equal pictures.
    """
    window = gaussian().to(x)

    def blur(t: Tensor) -> Tensor:
        rows = F.conv2d(t, window.view(1, 1, -1, 1), padding=(len(window) // 2, 0))
        return F.conv2d(rows, window.view(1, 1, 1, -1), padding=(0, len(window) // 2))

    return ssim_map(x, y, blur).mean()


def fusion_loss(fused: Tensor, target: Tensor) -> Tensor:
    """Return L1 plus 1.1 (1 - SSIM) between the fused luma and its target, both [N, 1, H, W]."""
    return F.l1_loss(fused, target) + SSIM_WEIGHT * (1 - ssim(fused, target))


def segmentation_loss(logits: Tensor, label: Tensor, weights: Tensor | None = None) -> Tensor:
    """Cross-entropy of logits resized to the label.

    Args:
        logits: [N, classes, h, w].
        label: int64 [N, H, W]; 255 is ignored.
        weights: [classes], or None for equal ones.
    """
    logits = F.interpolate(logits, label.shape[1:], mode='bilinear', align_corners=False)
    return F.cross_entropy(logits, label, weights, ignore_index=IGNORE)


def saliency(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Global contrast of every pixel: its mean distance to all others.

    Source: Zhai and Shah, 2006, eq. 7.

    Args:
        picture: uint8 [H, W].

    Returns:
        float32 [H, W] in 0..1, the most salient grey level at 1; all 0 on a flat picture.
    """
    counts = np.bincount(picture.ravel(), minlength=256).astype(np.float64)
    levels = np.arange(256)
    contrast = np.abs(levels[:, None] - levels[None]) @ counts  # [256]
    top = contrast[counts > 0].max()
    return (contrast / top if top > 0 else np.zeros(256)).astype(np.float32)[picture]


def thermal_weight(
    thermal: NDArray[np.uint8], luma: NDArray[np.uint8], share: float = 0.5
) -> NDArray[np.float32]:
    """How much of the thermal picture the target of fusion takes.

    It is share + (1 - share) (S_thermal - S_luma); the target is weight * thermal +
    (1 - weight) * luma, a saliency-weighted mean. The paper's own target files are not public;
    this choice is ours, after Ma et al., "Infrared and visible image fusion based on visual
    saliency map and weighted least square optimization" (2017), eq. 8, which has a share of 0.5.

    Args:
        thermal: uint8 [H, W].
        luma: uint8 [H, W].
        share: weight of the thermal picture where both are equally salient, 0.5..1.

    Returns:
        float32 [H, W] in 2 share - 1..1.
    """
    return (share + (1 - share) * (saliency(thermal) - saliency(luma))).astype(np.float32)
