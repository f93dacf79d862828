"""Structural similarity (Wang et al., 2004), whatever stands beyond the pictures' edges."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

WINDOW, SIGMA = 11, 1.5
C1, C2 = 0.01**2, 0.03**2  # for a range of 1


def gaussian(size: int = WINDOW, sigma: float = SIGMA) -> Tensor:
    """Return a normalised Gaussian, float64 [size]."""
    offsets = torch.arange(size, dtype=torch.float64) - size // 2
    weights = torch.exp(-0.5 * (offsets / sigma).square())
    return weights / weights.sum()


def ssim_map(x: Tensor, y: Tensor, blur: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the structural similarity at every pixel, 1 where the pictures are equal.

    Args:
        x: [N, 1, H, W] in 0..1.
        y: the same shape.
        blur: takes the mean under the window of `gaussian`, with the padding of one's choice.
    """
    mean_x, mean_y = blur(x), blur(y)
    var_x = blur(x * x) - mean_x.square()
    var_y = blur(y * y) - mean_y.square()
    covariance = blur(x * y) - mean_x * mean_y
    top = (2 * mean_x * mean_y + C1) * (2 * covariance + C2)
    return top / ((mean_x.square() + mean_y.square() + C1) * (var_x + var_y + C2))
