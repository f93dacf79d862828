"""From a trained CrossFuse network to the graph that is exported: the same function, less work.

`deploy(network)` returns a module with the contract of every exported model. What it changes, each
step exact up to rounding:

* Both modalities are one batch through the encoder.
* LayerNorm over channels stays in [N, C, H, W]. With x~ = x / std, the rest of it, mean, weight
  and bias, is linear and stands in the 1x1 convolution behind it:
  W (g (x - mean) / std + b) = W diag(g) (I - 1/C) x~ + W b.
* The 1x1 before a dense 3x3 is folded into it (low frequencies): a third of their products.
* Channel attention is a matrix for each picture: after its softmax the heads stand on the diagonal
  of [C, C], the last 1x1 is multiplied in, and the values meet that one product. Queries and keys
  are not normalised; their products are divided by both norms.
* No map is split: each half has a convolution of its own. The sums of concatenated maps likewise.
* Reflection pads the input of a bottleneck's 1x1, which is half as wide as its output.
* GELU is written in the order that ONNX Runtime knows as one operator.

In mixed precision sums over all pixels of a picture stay in FP32, and there queries and keys are
brought to norms that FP16 can multiply (`models.crossfuse.precision`).
"""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.crossfuse.layers import (
    BaseFeatures,
    Bottleneck,
    ChannelNorm,
    Coupling,
    DetailFeatures,
    GatedFeedForward,
    RestormerBlock,
)
from models.crossfuse.network import CrossFuse, Decoder, Encoder
from models.crossfuse.precision import FP32, CrossFusePrecision
from models.crossfuse.upsampling import guided_upsampling
from models.deploy import DeployedCascade, gelu, pointwise, shrink, with_weights
from models.paif import stretch_image

EPSILON = 1e-5  # of LayerNorm
LEAST_NORM = 1e-12  # of queries and keys, below which they are not divided by it


def matrix(conv: nn.Conv2d) -> Tensor:
    """Return the weight of a 1x1 convolution as [cout, cin]."""
    return conv.weight[:, :, 0, 0]


def rows(conv: nn.Conv2d, first: int, count: int) -> nn.Conv2d:
    """Return a convolution that gives `count` of the channels, from `first` on.

    A grouped one takes the input of these channels' groups alone.
    """
    weight = conv.weight[first : first + count]
    bias = None if conv.bias is None else conv.bias[first : first + count]
    part: Any = copy.deepcopy(conv)
    if conv.groups > 1:
        part.groups = conv.groups * count // conv.out_channels
    return with_weights(part, weight, bias)


def chunks(conv: nn.Conv2d, count: int) -> nn.ModuleList:
    """Return a convolution as `count` ones of as many channels each."""
    size = conv.out_channels // count
    return nn.ModuleList(rows(conv, k * size, size) for k in range(count))


def after_norm(norm: ChannelNorm, conv: nn.Conv2d) -> nn.Conv2d:
    """Return a 1x1 convolution that takes x / std where `conv` takes the norm of x."""
    weight = matrix(conv) * norm.body.weight
    centred = weight - weight.mean(1, keepdim=True)
    return pointwise(centred, matrix(conv) @ norm.body.bias)


def times(products: Tensor, x: Tensor) -> Tensor:
    """Multiply every pixel's channels [N, C, H, W] with matrices [N, D, C] to [N, D, H, W]."""
    return (products @ x.flatten(2)).unflatten(2, x.shape[2:])


class Statistics(nn.Module):
    """Mean of every pixel's channels, and 1 / their standard deviation.

    Args:
        channels: C.
        precision: what is computed in FP16.
    """

    share: Tensor

    def __init__(self, channels: int, precision: CrossFusePrecision) -> None:
        super().__init__()
        self.precision = precision
        self.register_buffer('share', torch.full((1, 1, channels), 1 / channels))

    def mean(self, x: Tensor) -> Tensor:
        """Return [N, 1, H, W] for float32 [N, C, H, W].

        Of one picture ONNX Runtime takes many times as long for a mean as for a product. TensorRT,
        for which the mixed form is, fuses means with what stands around them.
        """
        if self.precision.half:
            return x.mean(1, keepdim=True)
        return times(self.share, x)

    def forward(self, x: Tensor, part: str) -> Tensor:
        """Return 1 / deviation, [N, 1, H, W] for [N, C, H, W], in the type of `part`."""
        x = self.precision.cast('statistics', x)
        mean = self.mean(x)
        variance = self.mean(x * x) - mean * mean
        # Rounding may take a variance of 0 below it.
        return self.precision.cast(part, torch.rsqrt(variance.clamp(min=0) + EPSILON))


class AttentionMatrix(nn.Module):
    """Makes the matrix [N, C, C] that attention of channels and its last 1x1 are.

    Args:
        temperature: factor of each head, [heads, 1, 1].
        last: the 1x1 convolution after the attention.
        part: name of the part in `precision`.
        precision: what is computed in FP16.
    """

    last: Tensor
    temperature: Tensor

    def __init__(
        self, temperature: Tensor, last: nn.Conv2d, part: str, precision: CrossFusePrecision
    ) -> None:
        super().__init__()
        heads = len(temperature)
        weight = matrix(last).unflatten(1, (heads, -1)).transpose(0, 1)  # [heads, C, C / heads]
        self.part, self.precision, self.heads = part, precision, heads
        self.register_buffer('last', precision.cast(part, weight.detach().clone()[None]))
        self.register_buffer('temperature', temperature.detach().clone())

    def forward(self, q: Tensor, k: Tensor) -> Tensor:
        """Compute the matrix for queries and keys [N, C, H, W]."""
        cast = self.precision.cast
        q, k = (x.unflatten(1, (self.heads, -1)).flatten(3) for x in (q, k))
        norms = [
            torch.linalg.vector_norm(cast('norms', x), dim=-1, keepdim=True).clamp(min=LEAST_NORM)
            for x in (q, k)
        ]
        if self.precision.dtype(self.part) == torch.float16:
            # A product over all pixels is over FP16's largest number, and of normalised rows the
            # entries are under its smallest ones: both are given a norm of `middle`.
            middle = q.shape[-1] ** 0.25
            q, k = (
                x * cast(self.part, middle / norm) for x, norm in zip((q, k), norms, strict=True)
            )
            cosines = cast('softmax', q @ k.transpose(-2, -1)) / middle**2
        else:
            inverse = cast('softmax', norms[0] * norms[1].transpose(-2, -1))
            cosines = cast('softmax', q @ k.transpose(-2, -1)) / inverse
        attention = (cosines * self.temperature).softmax(-1)  # [N, heads, C / heads, C / heads]
        # [N, heads, C, C / heads] to [N, C, C].
        return (self.last @ cast(self.part, attention)).transpose(1, 2).flatten(2)


class FeedForward(nn.Module):
    """Norm and gated feed-forward, the skip included."""

    def __init__(
        self, norm: ChannelNorm, net: GatedFeedForward, part: str, precision: CrossFusePrecision
    ) -> None:
        super().__init__()
        self.part, self.precision = part, precision
        self.statistics = Statistics(net.project_in.in_channels, precision)
        # The 3x3 convolution's groups lie within either half, so the halves part here already.
        self.expand = chunks(after_norm(norm, net.project_in), 2)
        self.spread = chunks(net.dwconv, 2)
        self.last = net.project_out
        precision.place(part, self.expand, self.spread, self.last)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, H, W] to the same shape."""
        cast = self.precision.cast
        y = cast(self.part, x) * self.statistics(x, self.part)
        gate, value = (
            spread(expand(y)) for spread, expand in zip(self.spread, self.expand, strict=True)
        )
        return x + cast('stream', self.last(gelu(gate) * value))


class Block(nn.Module):
    """A Restormer block."""

    def __init__(self, block: RestormerBlock, precision: CrossFusePrecision) -> None:
        super().__init__()
        self.precision = precision
        attention = block.attn
        self.statistics = Statistics(attention.qkv.in_channels, precision)
        self.expand = chunks(after_norm(block.norm1, attention.qkv), 3)
        self.spread = chunks(attention.qkv_dwconv, 3)
        self.attend = AttentionMatrix(
            attention.temperature, attention.project_out, 'attention', precision
        )
        self.feed = FeedForward(block.norm2, block.ffn, 'feed_forward', precision)
        precision.place('attention', self.expand, self.spread)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, H, W] to the same shape."""
        cast = self.precision.cast
        y = cast('attention', x) * self.statistics(x, 'attention')
        q, k, v = (
            spread(expand(y)) for spread, expand in zip(self.spread, self.expand, strict=True)
        )
        x = x + cast('stream', times(self.attend(q, k), v))
        y_2: Tensor = self.feed(x)
        return y_2


class Base(nn.Module):
    """Features of low frequency; their norm stays whole, for zeros are added around it."""

    weight: Tensor
    bias: Tensor

    def __init__(self, net: BaseFeatures, precision: CrossFusePrecision) -> None:
        super().__init__()
        self.precision = precision
        attention = net.attn
        self.statistics = Statistics(attention.qkv1.in_channels, precision)
        dense = attention.qkv2
        # [cout, cmid, 3, 3] x [cmid, cin].
        for name in ('weight', 'bias'):
            values = getattr(net.norm1.body, name).detach().view(-1, 1, 1).clone()
            self.register_buffer(name, precision.cast('statistics', values))
        weight = torch.einsum('omkl,mi->oikl', dense.weight, matrix(attention.qkv1))
        self.dense = chunks(with_weights(dense, weight, None), 3)
        self.attend = AttentionMatrix(attention.scale, attention.proj, 'base', precision)
        self.feed = FeedForward(net.norm2, net.mlp, 'base', precision)
        precision.place('base', self.dense)

    def normalised(self, x: Tensor) -> Tensor:
        """Return LayerNorm of [N, C, H, W]."""
        y = self.precision.cast('statistics', x)
        y = (y - self.statistics.mean(y)) * self.statistics(
            x, 'statistics'
        ) * self.weight + self.bias
        return self.precision.cast('base', y)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, H, W] to the same shape."""
        y = self.normalised(x)
        q, k, v = (dense(y) for dense in self.dense)
        x = x + self.precision.cast('stream', times(self.attend(q, k), v))
        fed: Tensor = self.feed(x)
        return fed


def bottleneck(net: Bottleneck) -> nn.Sequential:
    """Return a bottleneck whose input comes reflected already, one pixel on every side."""
    layers: Any = net.bottleneckBlock
    first, act, _, spread, again, last = layers
    return nn.Sequential(first, act, spread, again, last)


class DeployedCoupling(nn.Module):
    """A coupling that takes and gives both halves apart."""

    def __init__(self, net: Coupling, precision: CrossFusePrecision) -> None:
        super().__init__()
        self.precision = precision
        self.mix = chunks(net.shffleconv, 2)
        self.phi, self.rho, self.eta = map(
            bottleneck, (net.theta_phi, net.theta_rho, net.theta_eta)
        )
        precision.place('detail', self.mix, self.phi, self.rho, self.eta)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map [N, C, H, W] to two of C / 2 channels."""
        one, two = (mix(x) for mix in self.mix)
        two = two + self.phi(F.pad(one, [1] * 4, mode='reflect'))
        around = F.pad(two, [1] * 4, mode='reflect')
        cast = self.precision.cast
        factor = torch.exp(cast('coupling', self.rho(around)))
        one = cast('detail', cast('coupling', one) * factor) + self.eta(around)
        return one, two


class Detail(nn.Module):
    """Features of high frequency."""

    def __init__(self, net: DetailFeatures, precision: CrossFusePrecision) -> None:
        super().__init__()
        self.precision = precision
        couplings = [node for node in net.net if isinstance(node, Coupling)]
        self.nodes = nn.ModuleList(DeployedCoupling(node, precision) for node in couplings)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, H, W] to the same shape."""
        x = self.precision.cast('detail', x)
        for node in self.nodes:
            x = torch.cat(node(x), 1)
        return x


class DeployedEncoder(nn.Module):
    """The encoder."""

    def __init__(self, net: Encoder, precision: CrossFusePrecision) -> None:
        super().__init__()
        blocks = [block for block in net.encoder_level1 if isinstance(block, RestormerBlock)]
        self.precision, self.first = precision, net.patch_embed.proj
        self.blocks = nn.Sequential(*(Block(block, precision) for block in blocks))
        self.base = Base(net.baseFeature, precision)
        self.detail = Detail(net.detailFeature, precision)
        precision.place('stream', self.first)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return low and high frequencies [N, C, H, W] of pictures [N, 1, H, W]."""
        shared = self.blocks(self.first(self.precision.cast('stream', x)))
        return self.base(shared), self.detail(shared)


class DeployedDecoder(nn.Module):
    """The decoder up to the change of the luma."""

    def __init__(self, net: Decoder, precision: CrossFusePrecision) -> None:
        super().__init__()
        blocks = [block for block in net.encoder_level2 if isinstance(block, RestormerBlock)]
        self.precision = precision
        self.of_base, self.of_detail = (
            pointwise(w) for w in matrix(net.reduce_channel).chunk(2, 1)
        )
        self.blocks = nn.Sequential(*(Block(block, precision) for block in blocks))
        self.last = net.output
        precision.place('tail', self.of_base, self.of_detail, self.last)

    def forward(self, base: Tensor, detail: Tensor) -> Tensor:
        """Map features [N, C, H, W] to [N, 1, H, W]."""
        cast = self.precision.cast
        x = self.of_base(cast('tail', base)) + self.of_detail(cast('tail', detail))
        y: Tensor = self.last(cast('tail', self.blocks(cast('stream', x))))
        return y


class DeployedCrossFuse(DeployedCascade):
    """CrossFuse: encoder, fusion layers and decoder in front."""

    encoder: DeployedEncoder
    base_fuse: Base
    detail_fuse: Detail
    decoder: DeployedDecoder

    def __init__(self, network: CrossFuse, precision: CrossFusePrecision) -> None:
        super().__init__(
            network,
            precision,
            encoder=DeployedEncoder(network.encoder, precision),
            base_fuse=Base(network.base_fuse, precision),
            detail_fuse=Detail(network.detail_fuse, precision),
            decoder=DeployedDecoder(network.decoder, precision),
        )
        self.reduction = network.config.scale

    def fuse(self, thermal: Tensor, luma: Tensor) -> Tensor:
        """Fuse [N, 1, H, W] in 0..1 with the same to [N, 1, H, W] over all of 0..1."""
        cast, count = self.precision.cast, thermal.shape[0]
        both = shrink(torch.cat((luma, thermal)), self.reduction)
        base, detail = (x[:count] + x[count:] for x in self.encoder(both))
        change = self.decoder(self.base_fuse(base), self.detail_fuse(detail))
        if self.reduction > 1:
            small = cast('upsampling', both[count:]), cast('upsampling', both[:count])
            large = cast('upsampling', thermal), cast('upsampling', luma)
            change = guided_upsampling(cast('upsampling', change), small, large)
        fused = torch.sigmoid(cast('sigmoid', change) + cast('sigmoid', luma))
        return stretch_image(cast('stretch', fused))


@torch.no_grad()
def deploy(network: CrossFuse, precision: CrossFusePrecision = FP32) -> DeployedCrossFuse:
    """Return the deployment form of a trained network, in eval mode; it is left as it is.

    Args:
        network: the trained network.
        precision: which parts compute in FP16.
    """
    deployed = DeployedCrossFuse(copy.deepcopy(network).eval(), precision)
    return deployed.eval().requires_grad_(False)
