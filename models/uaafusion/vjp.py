"""SS_Net with its own gradient as a forward graph: what autograd computes, in exportable layers.

UAAFusion's stages ask for the gradient of the segmenter's scores by the picture. No engine
differentiates, so the vector-Jacobian product is written out: the layers in reverse, with

* a 3x3 convolution of stride 1 by one with the flipped, transposed kernel;
* one of stride 2 by one of stride 1 that makes the four phases of each pixel, then a
  depth-to-space (kernel rows 1 for even pixels, 2 and 0 for odd ones);
* ReLU and ReLU6 by the mask of where their output is inside its limits;
* resizing, and everything linear around it, by the transposed matrices.

What else changes is exact up to rounding: BatchNorm is folded into the convolution before it, and
the decoder's first 3x3 over the enlarged high level Z is taken before the enlarging. Its nine taps
are 1x1 convolutions at 1/16 of the size, and what is left is a product with constant matrices from
both sides, which hold resize and shift of every tap: with A the resize by rows or columns,

    y = sum over dy, dx of (shift_dy A) (W_dy,dx Z) (shift_dx A)^T

or an eighth of the multiplications, forwards and backwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.deploy import fold_batch_norm, pointwise, with_weights
from models.uaafusion.segmenter import LOW, InvertedResidual, SSNet, resized

STRIDE = 16  # of the high level
LIMIT = 6.0  # of ReLU6
# Kernel rows (or columns) that an even and an odd input pixel see, by offset of the output pixel.
PHASES = (((1, 1),), ((1, 2), (2, 0)))


def folded(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """Return a convolution with the BatchNorm after it folded in."""
    return with_weights(conv, *fold_batch_norm(conv.weight, conv.bias, norm))


def transposed(conv: nn.Conv2d) -> nn.Sequential:
    """Return what maps the gradient of a convolution's output to that of its input.

    Args:
        conv: 1x1, or 3x3 whose padding is its dilation; of stride 1, or 2 on even sizes; dense or
            depthwise.

    Raises:
        ValueError: a convolution of another kind.
    """
    size, stride, depthwise = conv.kernel_size[0], conv.stride[0], conv.groups > 1
    padding = conv.dilation[0] * (size // 2)
    if (
        size not in (1, 3)
        or stride not in (1, 2)
        or conv.padding != (padding, padding)
        or (depthwise and (conv.groups, 1) != (conv.in_channels, conv.weight.shape[1]))
        or (stride == 2 and conv.dilation[0] > 1)
    ):
        msg = f'no transposed form of {conv}: 1x1 or 3x3, stride 1 or 2, dense or depthwise'
        raise ValueError(msg)
    # [cin, cout / groups, k, k]
    weight = conv.weight if depthwise else conv.weight.transpose(0, 1)
    if stride == 1:
        back = nn.Conv2d(
            conv.out_channels,
            conv.in_channels,
            size,
            1,
            padding,
            conv.dilation[0],
            conv.groups,
            bias=False,
        )
        back.weight = nn.Parameter(weight.flip(2, 3).detach().clone())
        return nn.Sequential(back)
    kernels = weight.new_zeros(weight.shape[0], 2, 2, weight.shape[1], 3, 3)
    for row, down in enumerate(PHASES):
        for column, right in enumerate(PHASES):
            for y, from_y in down:
                for x, from_x in right:
                    kernels[:, row, column, :, y, x] = weight[:, :, from_y, from_x]
    back = nn.Conv2d(
        conv.out_channels, 4 * conv.in_channels, 3, 1, 1, groups=conv.groups, bias=False
    )
    back.weight = nn.Parameter(kernels.flatten(0, 2).detach().clone())
    return nn.Sequential(back, nn.PixelShuffle(2))


class Linear(nn.Module):
    """A convolution with its vector-Jacobian product."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv, self.back = conv, transposed(conv)

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution of [N, cin, H, W]."""
        y: Tensor = self.conv(x)
        return y

    def vjp(self, gradient: Tensor) -> Tensor:
        """Return the gradient of the input, of that of the output."""
        y: Tensor = self.back(gradient)
        return y


def cast(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Return `x` in a type; the same tensor where it has it, so no Cast node."""
    return x if x.dtype == dtype else x.to(dtype)


def inside(gradient: Tensor, output: Tensor, limit: float | None = None) -> Tensor:
    """Return the gradient before a ReLU, or a ReLU6 with `limit`, of its output's gradient."""
    passed = output > 0
    if limit is not None:
        passed = passed & (output < limit)
    return torch.where(passed, gradient, torch.zeros((), dtype=gradient.dtype))


class Block(nn.Module):
    """An inverted residual, folded; or with `first` the first convolution."""

    def __init__(self, layers: list[nn.Conv2d], *, skip: bool, projects: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Linear(conv) for conv in layers)
        self.skip, self.projects = skip, projects

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the output, and the outputs of each ReLU6 for `vjp`."""
        y, outputs = x, []
        for place, layer in enumerate(self.layers):
            y = layer(y)
            if place < len(self.layers) - self.projects:
                y = y.clamp(0.0, LIMIT)
                outputs.append(y)
        return (x + y if self.skip else y), outputs

    def vjp(self, gradient: Tensor, outputs: list[Tensor]) -> Tensor:
        """Return the gradient of the input, of that of the output."""
        g = gradient
        for place in reversed(range(len(self.layers))):
            if place < len(outputs):
                g = inside(g, outputs[place], LIMIT)
            layer = self.layers[place]
            assert isinstance(layer, Linear)
            g = layer.vjp(g)
        return gradient + g if self.skip else g


def folded_block(block: nn.Module) -> Block:
    """Fold an inverted residual, or the first convolution with its BatchNorm and ReLU6."""
    layers = list(block.conv if isinstance(block, InvertedResidual) else block.children())
    convs = [
        folded(conv, norm)
        for conv, norm in pairwise(layers)
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    ]
    residual = isinstance(block, InvertedResidual)
    return Block(convs, skip=residual and bool(block.skip), projects=residual)


def resize_matrix(small: int, large: int) -> Tensor:
    """Return the matrix [large, small] of a linear resize with corners on corners."""
    at = torch.arange(large, dtype=torch.float64) * (small - 1) / max(large - 1, 1)
    low = at.floor().clamp(max=max(small - 2, 0)).long()
    share = at - low
    matrix = torch.zeros(large, small, dtype=torch.float64)
    rows = torch.arange(large)
    matrix[rows, low] = 1 - share
    matrix[rows, (low + 1).clamp(max=small - 1)] += share
    return matrix.float()


def tap_matrix(small: int, large: int) -> Tensor:
    """Return the resize and each tap of a 3-wide kernel over it, [large, 3 small]."""
    resize = F.pad(resize_matrix(small, large), (0, 0, 1, 1))
    return torch.cat([resize[tap : tap + large] for tap in range(3)], 1)


class EnlargedConv(nn.Module):
    """A 3x3 convolution over an enlarged map, taken before the enlarging.

    Args:
        weight: of the convolution, [cout, cin, 3, 3].
        small: (rows, columns) of the map.
        large: of the enlarged one.
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, weight: Tensor, small: tuple[int, int], large: tuple[int, int]) -> None:
        super().__init__()
        self.taps = Linear(pointwise(weight.permute(0, 2, 3, 1).flatten(0, 2)))  # [9 cout, cin]
        self.small = small
        self.register_buffer('rows', tap_matrix(small[0], large[0]))
        self.register_buffer('columns', tap_matrix(small[1], large[1]))

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, cin, h, w] to [N, cout, H, W]."""
        h, w = self.small
        taps = self.taps(x).unflatten(1, (-1, 3, 3)).transpose(3, 4)  # [N, cout, 3, h, 3, w]
        return self.rows @ (taps.reshape(x.shape[0], -1, 3 * h, 3 * w) @ self.columns.T)

    def vjp(self, gradient: Tensor) -> Tensor:
        """Map the gradient [N, cout, H, W] to that of the small map [N, cin, h, w]."""
        h, w = self.small
        taps = (self.rows.T @ gradient) @ self.columns  # [N, cout, 3 h, 3 w]
        spread = taps.unflatten(3, (3, w)).unflatten(2, (3, h)).transpose(3, 4)
        return self.taps.vjp(spread.reshape(gradient.shape[0], -1, h, w))


@dataclass(frozen=True)
class Tape:
    """Outputs of every ReLU of a forward, as `DeployedSegmenter.vjp` needs them."""

    blocks: list[list[Tensor]]
    shortcut: Tensor
    cat: Tensor
    features: Tensor


class DeployedSegmenter(nn.Module):
    """SS_Net with its gradient, for pictures of one size.

    Args:
        net: trained weights; left as they are.
        size: (height, width), multiples of 16.
        dtype: what decoder and gradient compute in. Pictures, logits, gradients of pictures and
            the feature extractor's forward stay in FP32: in FP16 one in a thousand of its ReLU6
            outputs would change sides, which is all that FP16 does to the gradient.
    """

    rows: Tensor
    columns: Tensor

    def __init__(
        self, net: SSNet, size: tuple[int, int], dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        if size[0] % STRIDE or size[1] % STRIDE:
            msg = f'size {size[0]}x{size[1]}: both must be multiples of {STRIDE}'
            raise ValueError(msg)
        self.size = size
        quarter = size[0] // 4, size[1] // 4
        self.blocks = nn.ModuleList(folded_block(b) for b in net.feature_extractor.features)
        shortcut: Any = net.shortcut_conv  # its layers are typed as modules of any kind
        cat: Any = net.cat_conv
        self.shortcut = Linear(folded(shortcut[0], shortcut[1]))
        first = folded(cat[0], cat[1])
        low = self.shortcut.conv.out_channels
        high_weight, low_weight = first.weight.split((first.in_channels - low, low), 1)
        self.high = EnlargedConv(high_weight, (size[0] // STRIDE, size[1] // STRIDE), quarter)
        self.low = Linear(with_weights(first, low_weight, first.bias))
        self.cat = Linear(folded(cat[4], cat[5]))
        self.classes = Linear(pointwise(net.cls_conv.weight[:, :, 0, 0], net.cls_conv.bias))
        self.register_buffer('rows', resize_matrix(quarter[0], size[0]))
        self.register_buffer('columns', resize_matrix(quarter[1], size[1]))
        for part in (self.shortcut, self.high, self.low, self.cat, self.classes):
            part.to(dtype)
        for layer in self.blocks.modules():
            if isinstance(layer, Linear):
                layer.back.to(dtype)
        self.rows, self.columns = self.rows.to(dtype), self.columns.to(dtype)

    @property
    def dtype(self) -> torch.dtype:
        """What decoder and gradient compute in."""
        return self.rows.dtype

    def run(self, x: Tensor) -> tuple[Tensor, Tape]:
        """Return the logits [N, classes, H, W] of a luma picture [N, 1, H, W], and the tape."""
        outputs, kind = [], x.dtype
        low = x
        for place, block in enumerate(self.blocks):
            x, found = block(x)
            outputs.append(found)
            if place == LOW:
                low = x
        shortcut = F.relu(self.shortcut(cast(low, self.dtype)))
        cat = F.relu(self.high(cast(x, self.dtype)) + self.low(shortcut))
        features = F.relu(self.cat(cat))
        logits = resized(cast(self.classes(features), kind), self.size)
        return logits, Tape(outputs, shortcut, cat, features)

    def forward(self, x: Tensor) -> Tensor:
        """Map a luma picture [N, 1, H, W] to logits [N, classes, H, W]."""
        return self.run(x)[0]

    def vjp(self, gradient: Tensor, tape: Tape) -> Tensor:
        """Return the gradient of the picture [N, 1, H, W], of that of logits of its size."""
        g = self.classes.vjp((self.rows.T @ gradient) @ self.columns)
        g = inside(self.cat.vjp(inside(g, tape.features)), tape.cat)
        low = self.shortcut.vjp(inside(self.low.vjp(g), tape.shortcut))
        g = self.high.vjp(g)
        for place in reversed(range(len(self.blocks))):
            if place == LOW:
                g = g + low
            block = self.blocks[place]
            assert isinstance(block, Block)
            g = block.vjp(g, tape.blocks[place])
        return g

    def guidance(self, fused: Tensor, mask: Tensor) -> Tensor:
        """Return the gradient of mean(mask S(fused)) by each fused picture [N, 1, H, W].

        The mean is each picture's own, so that none depends on its neighbours in a batch; for one
        picture it is that of `models.uaafusion.network.guidance`.

        Args:
            fused: [N, 1, H, W].
            mask: [N, classes, H, W].
        """
        logits, tape = self.run(fused)
        scores = torch.sigmoid(logits)
        gradient = self.vjp(cast(mask * scores * (1 - scores), self.dtype), tape)
        # Divided last: a five-millionth in every layer would leave the range of FP16.
        return cast(gradient, fused.dtype) / (logits.shape[1] * self.size[0] * self.size[1])
