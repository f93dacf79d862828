"""The operators that PAIF's architecture search chooses from.

A name reads `Name_kernel_dilation` (or `Name_kernel` for ECAattention and SPAattention). All have
stride 1 and "same" zero padding, convolutions without bias, BatchNorm with eps 1e-5, PReLU with
one slope. Attribute names are those of official checkpoints: they are keys of the state_dict,
which is why they read as they do.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


def same_padding(kernel: int, dilation: int) -> int:
    """Return the zero padding in pixels that keeps height and width."""
    return dilation * (kernel - 1) // 2


def conv(
    cin: int, cout: int, kernel: int, dilation: int = 1, *, groups: int = 1, bias: bool = False
) -> nn.Conv2d:
    """Return a stride 1 convolution that keeps height and width."""
    pad = same_padding(kernel, dilation)
    return nn.Conv2d(cin, cout, kernel, 1, pad, dilation, groups, bias)


class NamedConv(nn.Module):
    """A convolution under the name `conv`, as official keys have it."""

    def __init__(
        self, cin: int, cout: int, kernel: int, dilation: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        self.conv = conv(cin, cout, kernel, dilation, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve `x` [N, cin, H, W] to [N, cout, H, W]."""
        y: Tensor = self.conv(x)
        return y


class DenseBlock(nn.Module):
    """Three densely connected convolutions, one shared PReLU; a third is added to the input."""

    RESIDUAL = 0.333333  # as the official code writes it

    def __init__(self, channels: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.conv1 = NamedConv(channels, channels, kernel, dilation)
        self.conv2 = NamedConv(2 * channels, channels, kernel, dilation)
        self.conv3 = NamedConv(3 * channels, channels, kernel, dilation)
        self.lrelu = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, H, W] to [N, C, H, W]."""
        x1 = self.lrelu(self.conv1(x))
        x2 = self.lrelu(self.conv2(torch.cat((x, x1), 1)))
        x3 = self.lrelu(self.conv3(torch.cat((x, x1, x2), 1)))
        return x + self.RESIDUAL * x3


class ResidualBlock(nn.Module):
    """Convolutions k x k, 3x3 of dilation 2, 1x1, BatchNorm and PReLU, added to the input."""

    def __init__(self, channels: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.op = nn.Sequential(
            NamedConv(channels, channels, kernel, dilation),
            conv(channels, channels, 3, 2),
            conv(channels, channels, 1),
            nn.BatchNorm2d(channels),
            nn.PReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, H, W] to [N, C, H, W]."""
        return x + self.op(x)


class ChannelGate(nn.Module):
    """Efficient channel attention: a k-tap convolution along the channels of the global mean."""

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 1, kernel, padding=kernel // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the gate [N, C, 1, 1] in 0..1 for `x` [N, C, H, W]."""
        mean = x.mean((2, 3))  # [N, C]
        return torch.sigmoid(self.conv(mean.unsqueeze(1))).transpose(1, 2).unsqueeze(-1)


class SpatialConv(nn.Module):
    """A convolution of per-pixel channel statistics to one map, under the name `spatial.conv`."""

    def __init__(self, maps: int, kernel: int) -> None:
        super().__init__()
        self.spatial = NamedConv(maps, 1, kernel)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the gate [N, 1, H, W] in 0..1 for the statistics [N, maps, H, W]."""
        return torch.sigmoid(self.spatial(maps))


def channel_statistics(x: Tensor) -> Tensor:
    """Return maximum and mean over the channels of `x` [N, C, H, W] as [N, 2, H, W]."""
    return torch.cat((x.amax(1, keepdim=True), x.mean(1, keepdim=True)), 1)


class SpatialGate(SpatialConv):
    """Spatial attention: a k x k convolution of the channels' maximum and mean."""

    def __init__(self, kernel: int) -> None:
        super().__init__(2, kernel)

    def forward(self, x: Tensor) -> Tensor:
        """Return the gate [N, 1, H, W] in 0..1 for `x` [N, C, H, W]."""
        return super().forward(channel_statistics(x))


class AttentionBlock(nn.Module):
    """u = conv3x3(x), v = conv k x k(PReLU(u)), result PReLU(v * gate(v) + u)."""

    def __init__(self, channels: int, kernel: int, gate: nn.Module) -> None:
        super().__init__()
        self.conv1 = conv(channels, channels, 3)
        self.conv2 = NamedConv(channels, channels, kernel)
        self.se = gate
        self.relu = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, H, W] to [N, C, H, W]."""
        u = self.conv1(x)
        v = self.conv2(self.relu(u))
        y: Tensor = self.relu(v * self.se(v) + u)
        return y


class DilatedConv(nn.Module):
    """ReLU, a depthwise convolution, a 1x1 convolution and BatchNorm, added to the input."""

    def __init__(self, channels: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.op = nn.Sequential(
            nn.ReLU(),
            NamedConv(channels, channels, kernel, dilation, groups=channels),
            conv(channels, channels, 1),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, H, W] to [N, C, H, W]."""
        return x + self.op(x)


class SeparableConv(nn.Module):
    """Twice ReLU, depthwise, 1x1, BatchNorm. No skip; the dilation of its name is not used."""

    def __init__(self, channels: int, kernel: int, dilation: int) -> None:
        super().__init__()
        del dilation
        self.op = nn.Sequential(
            nn.ReLU(),
            conv(channels, channels, kernel, groups=channels),
            conv(channels, channels, 1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            conv(channels, channels, kernel, groups=channels),
            conv(channels, channels, 1),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, H, W] to [N, C, H, W]."""
        y: Tensor = self.op(x)
        return y


class TokenAttention(nn.Module):
    """Multi-head softmax attention between all pixels, heads of 64 channels."""

    HEAD = 64

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_qkv = nn.Linear(channels, 3 * self.HEAD * heads, bias=False)
        self.to_out = nn.Sequential(nn.Linear(self.HEAD * heads, channels))

    def forward(self, tokens: Tensor) -> Tensor:
        """Map [N, L, C] to [N, L, C]; needs memory for N x heads x L x L numbers."""
        n, length, _ = tokens.shape
        qkv = self.to_qkv(tokens).reshape(n, length, 3, self.heads, self.HEAD)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each [N, heads, L, 64]
        weights = (q @ k.transpose(-2, -1) * self.HEAD**-0.5).softmax(-1)
        y: Tensor = self.to_out((weights @ v).transpose(1, 2).reshape(n, length, -1))
        return y


class SelfAttention(nn.Module):
    """conv3x3, attention between all pixels, LayerNorm, conv3x3, one shared PReLU; no skip.

    The second field of its name is the number of heads.
    """

    def __init__(self, channels: int, heads: int, dilation: int) -> None:
        super().__init__()
        del dilation
        self.conv = conv(channels, channels, 3, bias=True)
        self.conv2 = conv(channels, channels, 3, bias=True)
        self.cross_attn = TokenAttention(channels, heads)
        self.norm1 = nn.LayerNorm(channels)
        self.prelu = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, H, W] to [N, C, H, W]."""
        t = self.prelu(self.conv(x))
        tokens = t.flatten(2).transpose(1, 2)  # [N, HW, C]
        tokens = self.norm1(self.cross_attn(tokens))
        y: Tensor = self.prelu(self.conv2(tokens.transpose(1, 2).reshape(t.shape)))
        return y


_BUILDERS: dict[str, Callable[[int, int, int], nn.Module]] = {
    'Denseblocks': DenseBlock,
    'Residualblocks': ResidualBlock,
    'ECAattention': lambda c, k, _: AttentionBlock(c, k, ChannelGate(k)),
    'SPAattention': lambda c, k, _: AttentionBlock(c, k, SpatialGate(k)),
    'DilConv': DilatedConv,
    'SepConv': SeparableConv,
    'SelAttention': SelfAttention,
}
_WITHOUT_DILATION = ('ECAattention', 'SPAattention')


def parse_operator(name: str) -> tuple[str, int, int]:
    """Split an operator's name into its kind, kernel (heads for SelAttention) and dilation.

    Raises:
        ValueError: the name is not `Kind_kernel_dilation` (or `Kind_kernel` for ECAattention and
            SPAattention), the kind is unknown, or a kernel is even.
    """
    kind, *numbers = name.split('_')
    fields = 1 if kind in _WITHOUT_DILATION else 2
    if (
        kind not in _BUILDERS
        or len(numbers) != fields
        or not all(n.isdecimal() and int(n) > 0 for n in numbers)
    ):
        msg = (
            f'unknown operator {name!r}: kinds are {sorted(_BUILDERS)}, '
            'followed by _kernel_dilation or _kernel'
        )
        raise ValueError(msg)
    kernel, dilation = int(numbers[0]), int(numbers[-1]) if fields == 2 else 1
    if kernel % 2 == 0 and kind != 'SelAttention':
        msg = (
            f'operator {name!r} has the even kernel {kernel}: only odd ones keep the picture size'
        )
        raise ValueError(msg)
    return kind, kernel, dilation


class Operator(nn.Module):
    """One operator chosen by name, under the key `_op` of official checkpoints."""

    def __init__(self, name: str, channels: int) -> None:
        super().__init__()
        kind, kernel, dilation = parse_operator(name)
        self._op = _BUILDERS[kind](channels, kernel, dilation)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, H, W] to [N, C, H, W]."""
        y: Tensor = self._op(x)
        return y
