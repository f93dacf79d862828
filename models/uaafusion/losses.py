"""UAAFusion's training losses (spec section 3: those of the official training code)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from models.attribution.integrated import Weights

GRADIENT_WEIGHT, SEGMENTATION_WEIGHT = 1.0, 0.1
IGNORED = 0  # background counts in no cross-entropy of the official code
SOBEL = ((-1.0, 0.0, 1.0), (-2.0, 0.0, 2.0), (-1.0, 0.0, 1.0))


def gradient(x: Tensor) -> Tensor:
    """Return |Sobel_x| + |Sobel_y| of a picture [N, 1, H, W], zeros around it."""
    along = torch.tensor(SOBEL).to(x)
    kernels = torch.stack((along, along.T))[:, None]  # [2, 1, 3, 3]
    return F.conv2d(x, kernels, padding=1).abs().sum(1, keepdim=True)


def weight_tensor(class_weights: Sequence[float], like: Tensor) -> Tensor | None:
    """Return class weights as a tensor of the type and place of another; None for none."""
    return like.new_tensor(class_weights) if class_weights else None


def score_loss(
    scores: Tensor, label: Tensor, ignored: int = IGNORED, class_weights: Tensor | None = None
) -> Tensor:
    """Cross-entropy of the segmenter's scores, which are taken as if they were logits (official).

    Args:
        scores: [N, classes, H, W] in 0..1, after the sigmoid.
        label: int64 [N, H, W].
        ignored: label that counts nothing; where all are, the loss is 0.
        class_weights: [classes]; None for equal ones (official).
    """
    if not (label != ignored).any():  # a mean over nothing would be NaN
        return scores.sum() * 0
    return F.cross_entropy(scores, label, class_weights, ignore_index=ignored)


@dataclass(frozen=True)
class Losses:
    """The parts of the loss, scalars.

    Attributes:
        thermal: MSE of w_i (i - f).
        visible: MSE of w_v (v - f).
        gradient: L1 of the fused gradient and the larger one of both sources.
        segmentation: mean cross-entropy of the fused, thermal and visible picture.
        own: weak-aggressive loss of the fused picture, already weighted; CrossFuse's, 0 else.
    """

    thermal: Tensor
    visible: Tensor
    gradient: Tensor
    segmentation: Tensor
    own: Tensor

    @property
    def total(self) -> Tensor:
        """The loss: intensities + gradient + 0.1 segmentation, and what is on top."""
        return (
            self.thermal
            + self.visible
            + GRADIENT_WEIGHT * self.gradient
            + SEGMENTATION_WEIGHT * self.segmentation
            + self.own
        )


def losses(
    fused: Tensor,
    thermal: Tensor,
    luma: Tensor,
    *,
    weights: Weights,
    scores: tuple[Tensor, Tensor, Tensor],
    label: Tensor,
    ignored: int = IGNORED,
    class_weights: Sequence[float] = (),
) -> Losses:
    """Compute all losses of a batch; pictures are [N, 1, H, W] in 0..1.

    Args:
        fused: f.
        thermal: i.
        luma: v.
        weights: w_i and w_v, which carry no gradient.
        scores: of the fused, thermal and visible picture, [N, classes, H, W] each.
        label: int64 [N, H, W].
        ignored: label that no cross-entropy counts.
        class_weights: of the cross-entropy, one for each class; none for equal ones (official).
    """
    of_classes = weight_tensor(class_weights, fused)
    parts = [score_loss(found, label, ignored, of_classes) for found in scores]
    return fusion_losses(
        fused, thermal, luma, weights.thermal, weights.visible, torch.stack(parts).mean()
    )


def fusion_losses(  # noqa: PLR0917 - each is named below
    fused: Tensor,
    thermal: Tensor,
    luma: Tensor,
    of_thermal: Tensor,
    of_visible: Tensor,
    segmentation: Tensor,
) -> Losses:
    """Compute the losses of a fused picture beside that of its segmentation.

    Args:
        fused: f, as all maps [N, 1, H, W].
        thermal: i.
        luma: v.
        of_thermal: w_i.
        of_visible: w_v.
        segmentation: loss of the segmentation, a scalar.
    """
    edges = torch.maximum(gradient(thermal), gradient(luma))
    return Losses(
        # The weights stand inside the square, as in the official code.
        thermal=(of_thermal * (thermal - fused)).square().mean(),
        visible=(of_visible * (luma - fused)).square().mean(),
        gradient=F.l1_loss(gradient(fused), edges),
        segmentation=segmentation,
        own=segmentation.new_zeros(()),
    )
