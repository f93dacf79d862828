"""The layers of CrossFuse: channel attention, gated feed-forward, affine coupling.

Source: Shi et al., "CrossFuse", IEEE TCSVT 2025; its blocks are those of Restormer (Zamir et al.,
CVPR 2022, section 3) and of CDDFuse. Attribute names are the official keys. Written anew from a
description of layers and formulas. No convolution has a bias unless said.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def plain_conv(cin: int, cout: int, kernel: int = 1, groups: int = 1) -> nn.Conv2d:
    """Return a convolution without bias that keeps the picture's size, zeros around it."""
    return nn.Conv2d(cin, cout, kernel, padding=kernel // 2, groups=groups, bias=False)


class ChannelNorm(nn.Module):
    """LayerNorm over the channels of every pixel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, H, W] to the same shape."""
        y: Tensor = self.body(x.permute(0, 2, 3, 1))
        return y.permute(0, 3, 1, 2)


def channel_attention(qkv: Tensor, temperature: Tensor) -> Tensor:
    """Attend from channels to channels of the same head (Zamir et al., eq. 1).

    Args:
        qkv: queries, keys and values one after the other, [N, 3C, H, W].
        temperature: factor of each head before the softmax, [heads, 1, 1].

    Returns:
        [N, C, H, W].
    """
    q, k, v = (part.unflatten(1, (len(temperature), -1)).flatten(3) for part in qkv.chunk(3, 1))
    # [N, heads, C / heads, HW] each; the map is [N, heads, C / heads, C / heads].
    scores = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1)
    y = (scores * temperature).softmax(-1) @ v
    return y.flatten(1, 2).unflatten(2, qkv.shape[2:])


class TransposedAttention(nn.Module):
    """Channel attention over depthwise features (MDTA)."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        c = channels
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = plain_conv(c, 3 * c)
        self.qkv_dwconv = plain_conv(3 * c, 3 * c, 3, 3 * c)
        self.project_out = plain_conv(c, c)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, H, W] to the same shape."""
        y: Tensor = self.project_out(
            channel_attention(self.qkv_dwconv(self.qkv(x)), self.temperature)
        )
        return y


class BaseAttention(nn.Module):
    """Channel attention over features of a dense 3x3 convolution (of the low frequencies)."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        c = channels
        self.scale = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv1 = plain_conv(c, 3 * c)
        self.qkv2 = plain_conv(3 * c, 3 * c, 3)
        self.proj = plain_conv(c, c)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, H, W] to the same shape."""
        y: Tensor = self.proj(channel_attention(self.qkv2(self.qkv1(x)), self.scale))
        return y


class GatedFeedForward(nn.Module):
    """Feed-forward in which one half gates the other (GDFN; Zamir et al., eq. 2).

    Args:
        channels: C.
        factor: hidden channels of each half, as a multiple of C.
        groups: of the 3x3 convolution over both halves.
    """

    def __init__(self, channels: int, factor: int, groups: int) -> None:
        super().__init__()
        hidden = factor * channels
        self.project_in = plain_conv(channels, 2 * hidden)
        self.dwconv = plain_conv(2 * hidden, 2 * hidden, 3, groups)
        self.project_out = plain_conv(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, H, W] to the same shape."""
        gate, value = self.dwconv(self.project_in(x)).chunk(2, 1)
        y: Tensor = self.project_out(F.gelu(gate) * value)
        return y


class RestormerBlock(nn.Module):
    """Channel attention and gated feed-forward, each after a norm and with a skip."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.norm1 = ChannelNorm(channels)
        self.attn = TransposedAttention(channels, heads)
        self.norm2 = ChannelNorm(channels)
        self.ffn = GatedFeedForward(channels, 2, 4 * channels)  # depthwise

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, H, W] to the same shape."""
        x = x + self.attn(self.norm1(x))
        y: Tensor = x + self.ffn(self.norm2(x))
        return y


class BaseFeatures(nn.Module):
    """Features of low frequency (LSFE): as a Restormer block, with dense convolutions."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.norm1 = ChannelNorm(channels)
        self.attn = BaseAttention(channels, heads)
        self.norm2 = ChannelNorm(channels)
        self.mlp = GatedFeedForward(channels, 1, channels)  # two channels in a group

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, H, W] to the same shape."""
        x = x + self.attn(self.norm1(x))
        y: Tensor = x + self.mlp(self.norm2(x))
        return y


class Bottleneck(nn.Module):
    """1x1, depthwise 3x3 that reflects the picture at its edges, 1x1; ReLU6 between them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        wide = 2 * channels
        self.bottleneckBlock = nn.Sequential(
            plain_conv(channels, wide),
            nn.ReLU6(),
            nn.ReflectionPad2d(1),
            nn.Conv2d(wide, wide, 3, groups=wide, bias=False),
            nn.ReLU6(),
            plain_conv(wide, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, H, W] to the same shape."""
        y: Tensor = self.bottleneckBlock(x)
        return y


class Coupling(nn.Module):
    """An invertible step on two halves of the channels: mix, then each changes the other."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.theta_phi = Bottleneck(half)
        self.theta_rho = Bottleneck(half)
        self.theta_eta = Bottleneck(half)
        self.shffleconv = nn.Conv2d(channels, channels, 1)  # official spelling; it has a bias

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, H, W] to the same shape."""
        one, two = self.shffleconv(x).chunk(2, 1)
        two = two + self.theta_phi(one)
        one = one * torch.exp(self.theta_rho(two)) + self.theta_eta(two)
        return torch.cat((one, two), 1)


class DetailFeatures(nn.Module):
    """Features of high frequency (SSFE): several couplings."""

    def __init__(self, channels: int, nodes: int) -> None:
        super().__init__()
        self.net = nn.Sequential(*(Coupling(channels) for _ in range(nodes)))

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, H, W] to the same shape."""
        y: Tensor = self.net(x)
        return y
