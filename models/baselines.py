"""What a searched fusion network has to beat: one camera alone, simple rules, a plain network.

Each stands in the place of PAIF's fusion network, in front of the same segmenter, and is trained
by the same recipes: `"fusion": "mean"` in a configuration.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.operators import conv


class Rule(nn.Module):
    """Fusion without weights.

    Args:
        rule: maps thermal and luma [N, 1, H, W] to the fused luma of the same shape.
    """

    def __init__(self, rule: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.rule = rule

    def forward(self, thermal: Tensor, luma: Tensor) -> Tensor:
        """Fuse [N, 1, H, W] in 0..1 with [N, 1, H, W] in 0..1 to the same shape and range."""
        return self.rule(thermal, luma)


RULES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    'mean': lambda thermal, luma: (thermal + luma) / 2,
    'max': torch.maximum,
    'visible': lambda thermal, luma: luma,
    'thermal': lambda thermal, luma: thermal,
}


class GradientDenseBlock(nn.Module):
    """Two densely connected 3x3 convolutions beside a Sobel magnitude (SeAFusion's GRDB, fig. 3).

    Args:
        cin: channels in.
        cout: channels out.
    """

    sobel: Tensor

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.conv1 = conv(cin, cin, 3, bias=True)
        self.conv2 = conv(2 * cin, cin, 3, bias=True)
        self.project = conv(3 * cin, cout, 1, bias=True)
        self.gradient = conv(cin, cout, 1, bias=True)
        across = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
        sobel = torch.stack((across, across.T))[:, None]  # [2, 1, 3, 3]
        self.register_buffer('sobel', sobel.repeat(cin, 1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, cin, H, W] to [N, cout, H, W]."""
        x1 = F.leaky_relu(self.conv1(x), 0.2)
        x2 = F.leaky_relu(self.conv2(torch.cat((x, x1), 1)), 0.2)
        slopes = F.conv2d(x, self.sobel, padding=1, groups=x.shape[1])  # [N, 2 cin, H, W]
        magnitude = slopes.abs().unflatten(1, (-1, 2)).sum(2)
        dense = self.project(torch.cat((x, x1, x2), 1))
        return F.leaky_relu(dense + self.gradient(magnitude), 0.2)


class SeAFusionStyle(nn.Module):
    """A plain fusion network: two encoders of gradient dense blocks, one decoder.

    After Tang, Yuan, Ma, "Image fusion in the loop of high-level vision tasks: A semantic-aware
    real-time infrared and visible image fusion network", Information Fusion 2022, section 3.2;
    written from the description, its widths scaled to `channels`.

    Args:
        channels: of the first layer; the blocks have twice and three times as many.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.thermal, self.visible = self._encoder(channels), self._encoder(channels)
        widths = (6 * channels, 4 * channels, 2 * channels, channels)
        layers: list[nn.Module] = []
        for cin, cout in pairwise(widths):
            layers += [conv(cin, cout, 3, bias=True), nn.LeakyReLU(0.2)]
        self.decoder = nn.Sequential(*layers, conv(channels, 1, 3, bias=True))

    @staticmethod
    def _encoder(channels: int) -> nn.Sequential:
        return nn.Sequential(
            conv(1, channels, 3, bias=True),
            nn.LeakyReLU(0.2),
            GradientDenseBlock(channels, 2 * channels),
            GradientDenseBlock(2 * channels, 3 * channels),
        )

    def forward(self, thermal: Tensor, luma: Tensor) -> Tensor:
        """Fuse [N, 1, H, W] in 0..1 with [N, 1, H, W] in 0..1 to the same shape in 0..1."""
        features = torch.cat((self.thermal(thermal), self.visible(luma)), 1)
        return torch.tanh(self.decoder(features)) / 2 + 0.5


def baseline(name: str, channels: int) -> nn.Module:
    """Return a fusion baseline by name.

    Raises:
        ValueError: there is none of that name.
    """
    if name == 'seafusion':
        return SeAFusionStyle(channels)
    if name not in RULES:
        msg = f"fusion {name!r}: choose 'paif', 'seafusion' or one of {sorted(RULES)}"
        raise ValueError(msg)
    return Rule(RULES[name])
