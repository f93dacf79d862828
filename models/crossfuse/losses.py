"""CrossFuse's training losses (spec section 2: those of the official training code)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from models.crossfuse.network import Features
from models.similarity import SIGMA, WINDOW, ssim_map
from models.uaafusion.losses import SOBEL, gradient
from models.weak_aggressive import gaussian_blur

RECONSTRUCTION_SSIM, DECOMPOSITION, DETAIL_GRADIENT, FUSED_GRADIENT = 5.0, 2.0, 5.0, 10.0
FLOOR = 1.01  # keeps the denominator of the decomposition over 0: correlations are over -1


def correlation(one: Tensor, two: Tensor) -> Tensor:
    """Return Pearson's correlation over the pixels, mean of all channels; a scalar in -1..1.

    Args:
        one: [N, C, H, W].
        two: the same shape.
    """
    eps = torch.finfo(torch.float32).eps
    one, two = (x.flatten(2) - x.flatten(2).mean(2, keepdim=True) for x in (one, two))
    spread = one.square().sum(2).sqrt() * two.square().sum(2).sqrt()
    return ((one * two).sum(2) / (eps + spread)).clamp(-1, 1).mean()


def decomposition(thermal: Features, visible: Features) -> Tensor:
    """Return how much the high frequencies agree, for how much the low ones do; a scalar."""
    detail, base = (
        correlation(getattr(visible, kind), getattr(thermal, kind)) for kind in ('detail', 'base')
    )
    return detail.square() / (FLOOR + base)


def ssim_loss(one: Tensor, two: Tensor) -> Tensor:
    """Return the mean of (1 - SSIM) / 2, clipped to 0..1 at every pixel.

    Source: Wang et al. 2004, with a Gaussian window, pictures reflected at their edges.

    Args:
        one: [N, 1, H, W] in 0..1, both sides over 5 pixels.
        two: the same shape.
    """
    similar = ssim_map(one, two, lambda x: gaussian_blur(x, (WINDOW, WINDOW), SIGMA))
    return ((1 - similar) / 2).clamp(0, 1).mean()


def spatial_gradient(x: Tensor) -> Tensor:
    """Return the Sobel gradient [N, 2, H, W] of [N, 1, H, W], its kernel's weights sum up to 1."""
    along = torch.tensor(SOBEL).to(x)
    kernels = torch.stack((along, along.T))[:, None] / along.abs().sum()  # [2, 1, 3, 3]
    return F.conv2d(F.pad(x, [1] * 4, mode='replicate'), kernels)


@dataclass(frozen=True)
class Reconstruction:
    """The loss of the first phase, in scalars.

    Attributes:
        pictures: of both pictures, 5 SSIM + MSE each.
        decomposition: see `decomposition`.
        gradient: L1 between gradients of the visible picture and of its reconstruction.
    """

    pictures: Tensor
    decomposition: Tensor
    gradient: Tensor

    @property
    def total(self) -> Tensor:
        """The loss."""
        return self.pictures + DECOMPOSITION * self.decomposition + DETAIL_GRADIENT * self.gradient


def reconstruction(
    thermal: tuple[Tensor, Tensor, Features], visible: tuple[Tensor, Tensor, Features]
) -> Reconstruction:
    """Compute the loss of the first phase.

    Args:
        thermal: picture [N, 1, H, W] in 0..1, its reconstruction, its features.
        visible: the same of the luma.
    """
    pictures = torch.stack(
        [
            RECONSTRUCTION_SSIM * ssim_loss(picture, again) + F.mse_loss(picture, again)
            for picture, again, _ in (thermal, visible)
        ]
    )
    return Reconstruction(
        pictures.sum(),
        decomposition(thermal[2], visible[2]),
        F.l1_loss(spatial_gradient(visible[0]), spatial_gradient(visible[1])),
    )


@dataclass(frozen=True)
class Fusion:
    """The loss of a fused picture, in scalars.

    Attributes:
        intensity: L1 to the brighter of both pictures at every pixel.
        gradient: L1 to the larger gradient of both.
    """

    intensity: Tensor
    gradient: Tensor

    @property
    def total(self) -> Tensor:
        """The loss."""
        return self.intensity + FUSED_GRADIENT * self.gradient


def fusion(fused: Tensor, thermal: Tensor, luma: Tensor) -> Fusion:
    """Compute the loss of a fused picture; all are [N, 1, H, W] in 0..1."""
    edges = torch.maximum(gradient(thermal), gradient(luma))
    return Fusion(
        F.l1_loss(fused, torch.maximum(thermal, luma)), F.l1_loss(gradient(fused), edges)
    )
