"""Weak-aggressive augmentation and its self-supervised loss (CrossFuse, spec section 2).

A weak view of the fused picture is a random crop, an aggressive view is the same crop blurred;
the loss is the mean square of their difference. The crop and the blur are drawn once for a batch.

The official code has three quirks, kept in `OFFICIAL` and `official_beta`. Its blur is 9 pixels
wide and 21 high: a pair of numbers in torchvision's order, and a blur that treats columns unlike
rows without a reason. No gradient is stopped, so the loss is least on a flat crop: all it can do
is smooth the fused picture. And its weight falls until epoch 120 of 160, then rises again.

By default (our choice) the kernel is square, the weak view is the supervisor and gets no gradient,
as in weak-to-strong consistency training (Sohn et al., "FixMatch", 2020), and the weight only
falls. The blurred view is then drawn towards the sharp one, which asks fusion for contrast that
survives blur, where the official loss takes contrast away. It has no minimum of its own; the L1 of
the fusion loss holds it: its gradient on a pixel is 1, the other's is at most 2 beta on average
over the crops.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from models.similarity import gaussian

WEIGHT = 0.1  # beta where it is largest
TURN = 120  # epoch at which the official beta is 0 and turns


@dataclass(frozen=True)
class WeakAggressive:
    """How both views are made.

    Attributes:
        size: side of the square crop in pixels; a smaller picture is taken whole on that side.
        kernel: (width, height) of the Gaussian in pixels, both odd.
        sigma: (least, largest) standard deviation of the Gaussian in pixels; drawn evenly.
        stop_gradient: whether the weak view is a constant in the loss.
    """

    size: int = 32
    kernel: tuple[int, int] = (21, 21)
    sigma: tuple[float, float] = (0.1, 5.0)
    stop_gradient: bool = True

    def __post_init__(self) -> None:
        if self.size < 1:
            msg = f'crop of {self.size} pixels: at least 1'
            raise ValueError(msg)
        if any(side < 1 or side % 2 == 0 for side in self.kernel):
            msg = f'kernel {self.kernel} (width, height): both odd and at least 1'
            raise ValueError(msg)
        if not 0 < self.sigma[0] <= self.sigma[1]:
            msg = f'sigma {self.sigma} (least, largest): over 0, in that order'
            raise ValueError(msg)

    def views(self, picture: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw the weak and the aggressive view of a batch.

        Args:
            picture: [N, C, H, W].
            generator: on the picture's device.

        Returns:
            Both [N, C, h, w], h and w at most `size`.

        Raises:
            ValueError: the crop is too small for the kernel, whose borders are mirrored.
        """
        weak = self._crop(picture, generator)
        low, high = self.sigma
        sigma = low + (high - low) * _uniform(generator)
        return weak, gaussian_blur(weak, self.kernel, sigma)

    def _crop(self, picture: Tensor, generator: torch.Generator) -> Tensor:
        for axis in (-2, -1):
            length = picture.shape[axis]
            side = min(self.size, length)
            start = min(int(_uniform(generator) * (length - side + 1)), length - side)
            picture = picture.narrow(axis, start, side)
        return picture

    def loss(self, fused: Tensor, generator: torch.Generator) -> Tensor:
        """Return the self-supervised loss of fused pictures, not weighted yet.

        Args:
            fused: [N, 1, H, W] in 0..1.
            generator: on their device.

        Returns:
            A scalar, 0 or more.

        Raises:
            ValueError: as `views`.
        """
        weak, aggressive = self.views(fused, generator)
        return F.mse_loss(aggressive, weak.detach() if self.stop_gradient else weak)


OURS = WeakAggressive()
OFFICIAL = WeakAggressive(kernel=(9, 21), stop_gradient=False)


def _uniform(generator: torch.Generator) -> float:
    """Draw a number in [0, 1)."""
    return torch.rand((), generator=generator, device=generator.device).item()


def gaussian_blur(picture: Tensor, kernel: tuple[int, int], sigma: float) -> Tensor:
    """Blur with a Gaussian cut off at the kernel, as torchvision's GaussianBlur does.

    Args:
        picture: [N, C, H, W].
        kernel: (width, height) in pixels, both odd; borders are mirrored.
        sigma: standard deviation in pixels.

    Raises:
        ValueError: the picture is not larger than half the kernel.
    """
    width, height = kernel
    if picture.shape[-1] <= width // 2 or picture.shape[-2] <= height // 2:
        msg = (
            f'picture of {picture.shape[-1]}x{picture.shape[-2]} under a kernel of '
            f'{width}x{height} (width x height): larger than half of it on both sides'
        )
        raise ValueError(msg)
    channels = picture.shape[1]
    padded = F.pad(picture, (width // 2, width // 2, height // 2, height // 2), mode='reflect')
    across = gaussian(width, sigma).to(picture).expand(channels, 1, 1, -1)
    down = gaussian(height, sigma).to(picture)[:, None].expand(channels, 1, -1, 1)
    return F.conv2d(F.conv2d(padded, across, groups=channels), down, groups=channels)


def official_beta(epoch: int, weight: float = WEIGHT) -> float:
    """Return the official weight of the loss in an epoch: 0 at 120, and rising after that.

    Args:
        epoch: counted from 0 over both phases; the loss is used from 40 to 159.
        weight: at epoch 0.
    """
    return weight * (math.cos(math.pi * epoch / TURN) + 1) / 2


def decaying_beta(step: int, steps: int, weight: float = WEIGHT) -> float:
    """Return a weight that falls by half a cosine over a phase: what is evidently meant.

    Args:
        step: epoch or step counted from the start of the phase, 0 to `steps` - 1.
        steps: of the phase.
        weight: at step 0; 0 would be reached at step `steps`.

    Raises:
        ValueError: a step that the phase does not have.
    """
    if not 0 <= step < steps:
        msg = f'step {step} of a phase of {steps}: 0 to {steps - 1}'
        raise ValueError(msg)
    return weight * (math.cos(math.pi * step / steps) + 1) / 2
