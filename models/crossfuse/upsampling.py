"""Guided upsampling: a small map brought to a picture's size along the edges of two pictures.

In every window the map is taken for a linear function of both pictures, r = a_1 p_1 + a_2 p_2 + b.
The coefficients are found where it is cheap, and meet the pictures at their full size.

Source: He and Sun, "Fast guided filter", arXiv 1505.00996, section 2; the guide of several
channels is eq. 14 of He, Sun, Tang, "Guided image filtering" (TPAMI 2013).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from models.fusion import box_mean_pool

EPSILON = 1e-3  # of both guides' variances; pictures are in 0..1
Pair = tuple[Tensor, Tensor]


def coefficients(small: Tensor, guides: Pair) -> Tensor:
    """Return a_1, a_2 and b of every pixel, [N, 3, h, w].

    Args:
        small: [N, 1, h, w].
        guides: [N, 1, h, w] in 0..1 each.
    """
    one, two = guides
    every = (one, two, small, one * one, two * two, one * two, one * small, two * small)
    mean_1, mean_2, mean, square_1, square_2, cross, with_1, with_2 = box_mean_pool(
        torch.cat(every, 1)
    ).split(1, 1)
    variance_1 = square_1 - mean_1 * mean_1 + EPSILON
    variance_2 = square_2 - mean_2 * mean_2 + EPSILON
    cross = cross - mean_1 * mean_2
    with_1, with_2 = with_1 - mean_1 * mean, with_2 - mean_2 * mean
    # At least EPSILON squared: the variances without it are those of a covariance matrix.
    determinant = variance_1 * variance_2 - cross * cross
    a_1 = (variance_2 * with_1 - cross * with_2) / determinant
    a_2 = (variance_1 * with_2 - cross * with_1) / determinant
    return torch.cat((a_1, a_2, mean - a_1 * mean_1 - a_2 * mean_2), 1)


def guided_upsampling(small: Tensor, guides: Pair, large_guides: Pair) -> Tensor:
    """Enlarge a map.

    Args:
        small: [N, 1, h, w].
        guides: two pictures in 0..1 at that size, [N, 1, h, w] each.
        large_guides: the same at full size, [N, 1, H, W] each.

    Returns:
        [N, 1, H, W].
    """
    found = box_mean_pool(coefficients(small, guides))
    size = large_guides[0].shape[2:]
    a_1, a_2, b = F.interpolate(found, size, mode='bilinear', align_corners=False).split(1, 1)
    return a_1 * large_guides[0] + a_2 * large_guides[1] + b
