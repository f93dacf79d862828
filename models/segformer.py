"""SegFormer: the Mix Transformer encoder (MiT-B0 to B5) and the all-MLP decoder.

Written from Xie et al., "SegFormer: Simple and Efficient Design for Semantic Segmentation with
Transformers", NeurIPS 2021, sections 3.1 and 3.2, with attribute names that official PAIF
checkpoints have as keys.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NORM_EPS = (
    1e-6  # of block and stage norms; patch embeddings and the reduced keys use the default 1e-5
)
HEADS = (1, 2, 5, 8)
REDUCTIONS = (8, 4, 2, 1)


@dataclass(frozen=True)
class MiTConfig:
    """Widths and depths of the encoder's four stages (Xie et al., appendix, table 6)."""

    dims: tuple[int, int, int, int]
    depths: tuple[int, int, int, int]


BACKBONES = {
    # Half as wide as B0, our choice: for robots without a GPU.
    'mit_nano': MiTConfig((16, 32, 80, 128), (2, 2, 2, 2)),
    'mit_b0': MiTConfig((32, 64, 160, 256), (2, 2, 2, 2)),
    'mit_b1': MiTConfig((64, 128, 320, 512), (2, 2, 2, 2)),
    'mit_b2': MiTConfig((64, 128, 320, 512), (3, 4, 6, 3)),
    'mit_b3': MiTConfig((64, 128, 320, 512), (3, 4, 18, 3)),
    'mit_b4': MiTConfig((64, 128, 320, 512), (3, 8, 27, 3)),
    'mit_b5': MiTConfig((64, 128, 320, 512), (3, 6, 40, 3)),
}


def to_tokens(x: Tensor) -> Tensor:
    """Return [N, C, H, W] as [N, HW, C]."""
    return x.flatten(2).transpose(1, 2)


def to_map(tokens: Tensor, height: int, width: int) -> Tensor:
    """Return [N, HW, C] as [N, C, H, W]."""
    return tokens.transpose(1, 2).reshape(tokens.shape[0], -1, height, width)


class PatchEmbed(nn.Module):
    """Overlapping patch embedding: a strided convolution and LayerNorm."""

    def __init__(self, cin: int, cout: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(cin, cout, kernel, stride, kernel // 2)
        self.norm = nn.LayerNorm(cout)

    def forward(self, x: Tensor) -> tuple[Tensor, int, int]:
        """Map [N, cin, H, W] to tokens [N, hw, cout] and their grid h, w."""
        x = self.proj(x)
        return self.norm(to_tokens(x)), x.shape[2], x.shape[3]


class Attention(nn.Module):
    """Self-attention whose keys and values are taken from a grid reduced by `reduction`."""

    def __init__(self, dim: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = (dim // heads) ** -0.5
        self.q = nn.Linear(dim, dim)
        self.kv = nn.Linear(dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)
        self.reduction = reduction
        if reduction > 1:
            self.sr = nn.Conv2d(dim, dim, reduction, reduction)
            self.norm = nn.LayerNorm(dim)

    def forward(self, tokens: Tensor, height: int, width: int) -> Tensor:
        """Map [N, HW, C] to [N, HW, C]."""
        n, length, dim = tokens.shape
        q = self.q(tokens).reshape(n, length, self.heads, -1).transpose(1, 2)  # [N, heads, HW, d]
        if self.reduction > 1:
            tokens = self.norm(to_tokens(self.sr(to_map(tokens, height, width))))
        kv = self.kv(tokens).reshape(n, tokens.shape[1], 2, self.heads, -1)
        k, v = kv.permute(2, 0, 3, 1, 4)  # each [N, heads, HW / reduction^2, d]
        weights = (q @ k.transpose(-2, -1) * self.scale).softmax(-1)
        y: Tensor = self.proj((weights @ v).transpose(1, 2).reshape(n, length, dim))
        return y


class DepthwiseConv(nn.Module):
    """A depthwise 3x3 convolution of tokens on their grid."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(dim, dim, 3, 1, 1, groups=dim)

    def forward(self, tokens: Tensor, height: int, width: int) -> Tensor:
        """Map [N, HW, C] to [N, HW, C]."""
        return to_tokens(self.dwconv(to_map(tokens, height, width)))


class MixFFN(nn.Module):
    """Feed-forward block that learns position by a depthwise convolution (Xie et al., eq. 3)."""

    def __init__(self, dim: int, ratio: int = 4) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, ratio * dim)
        self.dwconv = DepthwiseConv(ratio * dim)
        self.fc2 = nn.Linear(ratio * dim, dim)
        self.act: Callable[[Tensor], Tensor] = F.gelu  # deployed networks write it otherwise

    def forward(self, tokens: Tensor, height: int, width: int) -> Tensor:
        """Map [N, HW, C] to [N, HW, C]."""
        y: Tensor = self.fc2(self.act(self.dwconv(self.fc1(tokens), height, width)))
        return y


class Block(nn.Module):
    """One transformer layer: attention and feed-forward, each after a norm and with a skip."""

    def __init__(self, dim: int, heads: int, reduction: int, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.attn = Attention(dim, heads, reduction)
        self.norm2 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.mlp = MixFFN(dim)
        self.drop_path = drop_path

    def _branch(self, y: Tensor) -> Tensor:
        """Drop the whole branch for some samples while training (stochastic depth)."""
        if not self.training or self.drop_path == 0.0:
            return y
        keep = 1.0 - self.drop_path
        return (
            y
            * torch.bernoulli(torch.full((y.shape[0], 1, 1), keep, device=y.device, dtype=y.dtype))
            / keep
        )

    def forward(self, tokens: Tensor, height: int, width: int) -> Tensor:
        """Map [N, HW, C] to [N, HW, C]."""
        tokens = tokens + self._branch(self.attn(self.norm1(tokens), height, width))
        return tokens + self._branch(self.mlp(self.norm2(tokens), height, width))


class MixTransformer(nn.Module):
    """The encoder: four stages at strides 4, 8, 16 and 32.

    Args:
        config: widths and depths.
        drop_path: stochastic depth of the last layer; it rises to this linearly.
    """

    def __init__(self, config: MiTConfig, drop_path: float = 0.1) -> None:
        super().__init__()
        rates = torch.linspace(0, drop_path, sum(config.depths)).tolist()
        cin, done = 3, 0
        for i, (dim, depth) in enumerate(zip(config.dims, config.depths, strict=True), start=1):
            kernel, stride = (7, 4) if i == 1 else (3, 2)
            blocks = [
                Block(dim, HEADS[i - 1], REDUCTIONS[i - 1], rate)
                for rate in rates[done : done + depth]
            ]
            setattr(self, f'patch_embed{i}', PatchEmbed(cin, dim, kernel, stride))
            setattr(self, f'block{i}', nn.ModuleList(blocks))
            setattr(self, f'norm{i}', nn.LayerNorm(dim, eps=NORM_EPS))
            cin, done = dim, done + depth

    def stage(self, i: int, x: Tensor) -> Tensor:
        """Map what the stage before stage `i` (1 to 4) gave, for 1 the picture, to its own map."""
        tokens, height, width = getattr(self, f'patch_embed{i}')(x)
        for block in getattr(self, f'block{i}'):
            tokens = block(tokens, height, width)
        return to_map(getattr(self, f'norm{i}')(tokens), height, width)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map a normalised RGB picture [N, 3, H, W] to four maps, strides 4, 8, 16 and 32."""
        maps = []
        for i in range(1, 5):
            x = self.stage(i, x)
            maps.append(x)
        return maps


class Projection(nn.Module):
    """A linear layer over the channels of a map, under the name `proj`."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.proj = nn.Linear(cin, cout)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, cin, H, W] to [N, cout, H, W]."""
        return to_map(self.proj(to_tokens(x)), x.shape[2], x.shape[3])


class FuseConv(nn.Module):
    """1x1 convolution, BatchNorm and ReLU."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, 1, bias=False)
        self.bn = nn.BatchNorm2d(cout)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, cin, H, W] to [N, cout, H, W]."""
        return F.relu(self.bn(self.conv(x)))


class AllMLPDecoder(nn.Module):
    """Projects, resizes to stride 4, fuses and classifies (Xie et al., eq. 4)."""

    def __init__(
        self, dims: tuple[int, ...], embedding: int, classes: int, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.linear_c4 = Projection(dims[3], embedding)
        self.linear_c3 = Projection(dims[2], embedding)
        self.linear_c2 = Projection(dims[1], embedding)
        self.linear_c1 = Projection(dims[0], embedding)
        self.linear_fuse = FuseConv(4 * embedding, embedding)
        self.dropout = nn.Dropout2d(dropout)
        self.linear_pred = nn.Conv2d(embedding, classes, 1)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Map the encoder's four maps to logits [N, classes, H / 4, W / 4]."""
        size = maps[0].shape[2:]
        layers = (self.linear_c4, self.linear_c3, self.linear_c2, self.linear_c1)
        resized = [
            F.interpolate(layer(x), size, mode='bilinear', align_corners=False)
            for layer, x in zip(layers, reversed(maps), strict=True)
        ]
        y: Tensor = self.linear_pred(self.dropout(self.linear_fuse(torch.cat(resized, 1))))
        return y

    def commuted(self, maps: list[Tensor]) -> Tensor:
        """Compute what forward does with less work, equal but for rounding.

        1x1 convolutions and bilinear resizing commute, so each scale is projected and fused at its
        own resolution, and only the sum is built at stride 4.

        Args:
            maps: the encoder's four.
        """
        layers = (self.linear_c4, self.linear_c3, self.linear_c2, self.linear_c1)
        parts = self.linear_fuse.conv.weight[:, :, 0, 0].chunk(4, 1)  # each [embedding, embedding]
        total = None
        for layer, part, x in zip(layers, parts, reversed(maps), strict=True):
            weight, bias = part @ layer.proj.weight, part @ layer.proj.bias
            y = F.conv2d(x, weight[:, :, None, None], bias)
            y = F.interpolate(y, maps[0].shape[2:], mode='bilinear', align_corners=False)
            total = y if total is None else total + y
        logits: Tensor = self.linear_pred(self.dropout(F.relu(self.linear_fuse.bn(total))))
        return logits


class SegFormer(nn.Module):
    """Encoder and decoder; logits at a quarter of the picture's height and width.

    Args:
        backbone: name in BACKBONES.
        classes: number of classes.
        embedding: width of the decoder.
    """

    def __init__(self, backbone: str, classes: int, embedding: int = 256) -> None:
        super().__init__()
        if backbone not in BACKBONES:
            msg = f'backbone {backbone!r}: choose one of {sorted(BACKBONES)}'
            raise ValueError(msg)
        config = BACKBONES[backbone]
        self.encoder = MixTransformer(config)
        self.decoder = AllMLPDecoder(config.dims, embedding, classes)
        # In official checkpoints; the official forward throws its result away and ours does not
        # compute it.
        self.classifier = nn.Conv2d(config.dims[3], classes, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map a normalised RGB picture [N, 3, H, W] to logits [N, classes, H / 4, W / 4]."""
        y: Tensor = self.decoder(self.encoder(x))
        return y
