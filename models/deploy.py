"""From a trained PAIF network to the one that is exported: the same function, for much less work.

`deploy(network)` returns a module with the contract of every exported model: uint8 pictures in;
fused picture, mask and its confidence out. What it changes, each step exact up to rounding:

* Guided filter. Box means are linear and act on every channel alike, so they commute with the 1x1
mix.
  With m = box(F), c = box(gF) - box(g) m (the covariance with guide g) and r_e = 1 / (var(g) + e):

      low_e = g box(a_e) + box(b_e),   a_e = c r_e,   b_e = m - a_e box(g)

  and the mix of [low_1, low_2, F - low_1, F - low_2] with [L1 L2 H1 H2] becomes, with
  W_e = L_e - H_e,

      A = sum_e W_e (c r_e),   B = (W_1 + W_2) m - A box(g)
      mix = g box(A) + box(B) + (H1 + H2) F + bias

  so c, m and the guide's statistics are shared by both eps, no high-pass map is built, and 2C
  channels go through the second box mean where the plain network takes 4C.
* BatchNorm, and the 1x1 convolution after a dilated 3x3, are folded into the convolution before
them; the
  1/3 of a dense block into its last one (PReLU is positively homogeneous).
* SegFormer's decoder. Resizing is linear per channel with weights that sum to 1, so the projection
of
  every scale, its slice of the fusing 1x1 and the BatchNorm become one 1x1 at the scale's own
  resolution.
* A PReLU of one slope is a LeakyReLU, which engines fuse into the convolution before it.
* A convolution to one map computes 4 x 4 pixels at once, as 16 maps that are then shuffled: CPU
  engines take as long for one map as for 16.
* What is taken over the channels, and the guides' box means, is taken of both modalities as one
  batch: ONNX Runtime reduces the channels of a single picture many times as slowly.
* GELU is written so that ONNX Runtime fuses it.
* Both colour conversions become one 1x1: the chroma of the visible picture as an offset to the
fused luma.

In mixed precision the heavy parts compute in FP16 and the parts that FP16 would break, or that
cost nothing, stay in FP32: `models/precision.py` names them, and the casts are explicit here.
"""

from __future__ import annotations

import copy
import math
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.fusion import (
    EPSILONS,
    Chain,
    FusionNet,
    box_mean_pool,
    channel_statistics,
    guide_of,
)
from models.operators import (
    AttentionBlock,
    ChannelGate,
    DenseBlock,
    DilatedConv,
    Operator,
    ResidualBlock,
    SeparableConv,
    SpatialConv,
)
from models.paif import PAIF, rgb_to_ycrcb, stretch_image, ycrcb_to_rgb
from models.precision import FP32, Precision
from models.segformer import AllMLPDecoder, MixFFN, MixTransformer, SegFormer

BLOCK = 4  # pixels along each side of the block that a convolution to one map computes at once


def fold_batch_norm(
    weight: Tensor, bias: Tensor | None, norm: nn.BatchNorm2d
) -> tuple[Tensor, Tensor]:
    """Fold a BatchNorm into the weight [cout, ...] and bias [cout] of the layer before it."""
    mean, var = norm.running_mean, norm.running_var
    assert mean is not None and var is not None  # noqa: PT018 - for the type checker: ours always track
    scale = norm.weight / torch.sqrt(var + norm.eps)
    start = torch.zeros_like(mean) if bias is None else bias
    return weight * scale.view(-1, *[1] * (weight.ndim - 1)), (start - mean) * scale + norm.bias


def with_weights(layer: nn.Conv2d, weight: Tensor, bias: Tensor | None) -> nn.Conv2d:
    """Return a convolution like `layer` with weights [cout, cin / groups, k, k], bias [cout]."""
    channels = (weight.shape[1] * layer.groups, weight.shape[0])
    like: Any = layer  # its attributes are typed wider than the constructor takes
    new = nn.Conv2d(
        *channels,
        like.kernel_size,
        like.stride,
        like.padding,
        like.dilation,
        layer.groups,
        bias is not None,
    )
    new.weight = nn.Parameter(weight.detach().clone())
    if bias is not None:
        new.bias = nn.Parameter(bias.detach().clone())
    return new


def pointwise(weight: Tensor, bias: Tensor | None = None) -> nn.Conv2d:
    """Return a 1x1 convolution with weight [cout, cin] and bias [cout]."""
    return with_weights(nn.Conv2d(1, 1, 1), weight[:, :, None, None], bias)


def gelu(x: Tensor) -> Tensor:
    """Compute GELU in an order of products that ONNX Runtime fuses, in its blocked layout too."""
    return x * (torch.erf(x / math.sqrt(2)) + 1) * 0.5


def in_blocks(layer: nn.Conv2d) -> nn.Sequential:
    """Return a convolution to one map as one that computes blocks of BLOCK x BLOCK pixels.

    Each pixel of a block is a map of its own, with the kernel moved to its place among zeros.

    Args:
        layer: k x k, 'same' zero padding, one output map.

    Returns:
        A module for pictures whose sides are multiples of BLOCK, as those of exported models are.
    """
    cout, cin, kernel, _ = layer.weight.shape
    assert cout == 1
    assert layer.stride == layer.dilation == (1, 1)
    side = kernel + BLOCK - 1
    weight = layer.weight.new_zeros(BLOCK * BLOCK, cin, side, side)
    for place in range(BLOCK * BLOCK):
        row, column = divmod(place, BLOCK)
        weight[place, :, row : row + kernel, column : column + kernel] = layer.weight[0]
    like = nn.Conv2d(cin, BLOCK * BLOCK, side, BLOCK, kernel // 2)
    bias = None if layer.bias is None else layer.bias.repeat(BLOCK * BLOCK)
    return nn.Sequential(with_weights(like, weight, bias), nn.PixelShuffle(BLOCK))


def leaky(act: nn.PReLU) -> nn.LeakyReLU:
    """Return a PReLU of one slope as the LeakyReLU it is, which engines fuse."""
    return nn.LeakyReLU(float(act.weight))


def with_leaky(layers: nn.Module) -> nn.Module:
    """Replace every PReLU below `layers` in place; return it."""
    for name, child in layers.named_children():
        if isinstance(child, nn.PReLU):
            setattr(layers, name, leaky(child))
        else:
            with_leaky(child)
    return layers


class Residual(nn.Module):
    """Adds a branch to its input."""

    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, H, W] to the same shape."""
        return x + self.branch(x)


class FoldedDense(nn.Module):
    """A dense block without its concatenations, whose last convolution holds the residual weight.

    A convolution of concatenated maps is the sum of one convolution for each of them; engines add
    the sum while they write the result, and the concatenated maps of 2C and 3C channels are never
    built.
    """

    def __init__(self, block: DenseBlock) -> None:
        super().__init__()
        conv2, conv3 = block.conv2.conv, block.conv3.conv
        self.conv1 = block.conv1.conv
        self.conv2 = nn.ModuleList(with_weights(conv2, w, None) for w in conv2.weight.chunk(2, 1))
        last = conv3.weight * DenseBlock.RESIDUAL
        self.conv3 = nn.ModuleList(with_weights(conv3, w, None) for w in last.chunk(3, 1))
        self.act = block.lrelu

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, H, W] to the same shape."""
        x1 = self.act(self.conv1(x))
        x2 = self.act(self.conv2[0](x) + self.conv2[1](x1))
        return x + self.act(self.conv3[0](x) + self.conv3[1](x1) + self.conv3[2](x2))


def fold_residual(block: ResidualBlock) -> nn.Module:
    """Fold the 1x1 and the BatchNorm of a residual block into its dilated 3x3."""
    layers: Any = block.op
    first, dilated, mix, norm, act = layers
    # [cout, cmid] x [cmid, cin, 3, 3]: the 1x1 after the 3x3 is one 3x3.
    weight = torch.einsum('om,mikl->oikl', mix.weight[:, :, 0, 0], dilated.weight)
    weight, bias = fold_batch_norm(weight, None, norm)
    return Residual(nn.Sequential(first, with_weights(dilated, weight, bias), act))


def fold_norm_after(mix: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """Return the convolution `mix` with the BatchNorm after it folded in."""
    return with_weights(mix, *fold_batch_norm(mix.weight, mix.bias, norm))


class DeployedChannelGate(nn.Module):
    """Channel attention whose mean over the picture has its own precision."""

    def __init__(self, gate: ChannelGate, precision: Precision) -> None:
        super().__init__()
        self.conv = gate.conv
        self.precision = precision

    def forward(self, x: Tensor) -> Tensor:
        """Return the gate [N, C, 1, 1] in 0..1 for `x` [N, C, H, W]."""
        mean = self.precision.cast('global_mean', x).mean((2, 3)).unsqueeze(1)  # [N, 1, C]
        gate = torch.sigmoid(self.conv(self.precision.cast('cells', mean)))
        return gate.transpose(1, 2).unsqueeze(-1)


def fold_operator(operator: nn.Module, precision: Precision = FP32) -> nn.Module:
    """Return an operator in its deployment form; the attention blocks have nothing to fold."""
    assert isinstance(operator, Operator)
    block = operator._op
    if isinstance(block, DenseBlock):
        return FoldedDense(block)
    if isinstance(block, ResidualBlock):
        return fold_residual(block)
    if isinstance(block, DilatedConv):
        parts: Any = block.op
        relu, depthwise, mix, norm = parts
        return Residual(nn.Sequential(relu, depthwise, fold_norm_after(mix, norm)))
    if isinstance(block, SeparableConv):
        layers: Any = block.op
        return nn.Sequential(
            *layers[:2],
            fold_norm_after(layers[2], layers[3]),
            *layers[4:6],
            fold_norm_after(layers[6], layers[7]),
        )
    if isinstance(block, AttentionBlock):
        if isinstance(block.se, ChannelGate):
            block.se = DeployedChannelGate(block.se, precision)
        else:
            block_gate(block.se)
    return block


def block_gate(gate: nn.Module) -> None:
    """Let a spatial gate compute its map in blocks."""
    assert isinstance(gate, SpatialConv)
    holder: Any = gate.spatial
    holder.conv = in_blocks(holder.conv)


class GuidedMix(nn.Module):
    """Guided decomposition of one modality and its 1x1 mix in one, as the module describes.

    Args:
        mix: the trained 1x1 convolution [C, 4C] over [low_1, low_2, high_1, high_2].
    """

    def __init__(self, mix: nn.Conv2d, precision: Precision) -> None:
        super().__init__()
        self.precision = precision
        low_1, low_2, high_1, high_2 = mix.weight[:, :, 0, 0].chunk(4, 1)  # each [C, C]
        w_1, w_2 = low_1 - high_1, low_2 - high_2
        self.covariance_mixes = nn.ModuleList((pointwise(w_1), pointwise(w_2)))
        self.mean_mix = pointwise(w_1 + w_2)
        self.skip_mix = pointwise(high_1 + high_2, mix.bias)

    def forward(
        self, features: Tensor, guide: Tensor, mean_guide: Tensor, variance: Tensor
    ) -> Tensor:
        """Mix the bands of features.

        Args:
            features: [N, C, H, W].
            guide: [N, 1, H, W], as `guides` returns it and what follows.
            mean_guide: [N, 1, H, W].
            variance: [N, 1, H, W].

        Returns:
            [N, C, H, W].
        """
        cast = self.precision.cast
        x = cast('box_statistics', features)
        mean = box_mean_pool(x)
        covariance = box_mean_pool(guide * x) - mean_guide * mean
        covariance, variance = cast('division', covariance), cast('division', variance)
        mix_1, mix_2 = self.covariance_mixes
        a = mix_1(cast('filter_mixes', covariance / (variance + EPSILONS[0]))) + mix_2(
            cast('filter_mixes', covariance / (variance + EPSILONS[1]))
        )
        b = self.mean_mix(cast('filter_mixes', mean)) - a * cast('filter_mixes', mean_guide)
        a, b, guide = (cast('filter_means', t) for t in (a, b, guide))
        y: Tensor = guide * box_mean_pool(a) + (
            box_mean_pool(b) + cast('filter_means', self.skip_mix(cast('filter_mixes', features)))
        )
        return y


def guides(thermal: Tensor, visible: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Return guide, its box mean and its variance, each [N, 1, H, W], for each modality.

    Args:
        thermal: features [N, C, H, W].
        visible: likewise.
    """
    guide = guide_of(torch.cat((thermal, visible)))  # [2N, 1, H, W]
    mean, mean_square = box_mean_pool(torch.cat((guide, guide * guide))).chunk(2)
    parts = (guide, mean, mean_square - mean * mean)
    return list(zip(*(part.chunk(2) for part in parts), strict=True))


class DeployedFusion(nn.Module):
    """The fusion network in its deployment form; thermal and luma [N, 1, H, W] to fused luma."""

    def __init__(self, net: FusionNet, precision: Precision) -> None:
        super().__init__()
        self.precision = precision

        def cell(chain: Chain) -> nn.Sequential:
            return nn.Sequential(*(fold_operator(op, precision) for op in chain._ops))

        parts = net.decompation
        self.stem_thermal, self.stem_visible = net.stem_1, net.stem_2
        self.mix_thermal, self.mix_visible = (
            GuidedMix(parts.conv1x1_lf, precision),
            GuidedMix(parts.conv1x1_hf, precision),
        )
        self.chain_thermal, self.chain_visible = cell(parts.chain), cell(parts.chain2)
        self.gate = net.spa
        self.chain = cell(net.chain)
        block_gate(self.gate)
        out: Any = net.stem_out
        out[1] = in_blocks(out[1])
        self.out = out
        with_leaky(self)
        precision.place('stems', self.stem_thermal, self.stem_visible)
        precision.place('filter_mixes', self.mix_thermal, self.mix_visible)
        precision.place('cells', self.chain_thermal, self.chain_visible, self.chain)
        precision.place('tail', self.gate, self.out)

    def forward(self, thermal: Tensor, luma: Tensor) -> Tensor:
        """Fuse [N, 1, H, W] in 0..1 with [N, 1, H, W] in 0..1 to [N, 1, H, W] in -1..1."""
        cast = self.precision.cast
        thermal = self.stem_thermal(cast('stems', thermal))
        visible = self.stem_visible(cast('stems', luma))
        of_thermal, of_visible = guides(
            cast('box_statistics', thermal), cast('box_statistics', visible)
        )
        a_thermal, a_visible = (
            cast('cells', self.mix_thermal(thermal, *of_thermal)),
            cast('cells', self.mix_visible(visible, *of_visible)),
        )
        thermal, visible = cast('cells', thermal), cast('cells', visible)
        d_thermal = cast('tail', a_thermal + self.chain_thermal(a_thermal) + thermal)
        d_visible = cast('tail', a_visible + self.chain_visible(a_visible) + visible)
        # Maximum and mean of the thermal channels, then of the visible ones: [N, 4, H, W].
        maps = channel_statistics(torch.cat((d_thermal, d_visible)))
        gate = self.gate(torch.cat(maps.chunk(2), 1))
        mixed = d_visible + gate * (d_thermal - d_visible)
        y: Tensor = self.out(mixed + cast('tail', self.chain(cast('cells', mixed))))
        return y


class DeployedDecoder(nn.Module):
    """SegFormer's decoder with projection, fusing 1x1 and BatchNorm as one 1x1 for each scale."""

    def __init__(self, decoder: AllMLPDecoder) -> None:
        super().__init__()
        fuse = decoder.linear_fuse
        weight, bias = fold_batch_norm(fuse.conv.weight[:, :, 0, 0], None, fuse.bn)
        # The fusing convolution reads c4, c3, c2, c1 in this order.
        layers = (decoder.linear_c4, decoder.linear_c3, decoder.linear_c2, decoder.linear_c1)
        slices = weight.chunk(4, 1)
        for part, layer in zip(slices, layers, strict=True):
            bias = bias + part @ layer.proj.bias
        projections = [
            pointwise(part @ layer.proj.weight) for part, layer in zip(slices, layers, strict=True)
        ]
        finest = pointwise(slices[3] @ layers[3].proj.weight, bias)
        self.scales = nn.ModuleList(
            [finest, projections[2], projections[1], projections[0]]
        )  # c1 to c4
        self.predict = decoder.linear_pred

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Map the encoder's four maps to logits [N, classes, H / 4, W / 4]."""
        total = self.scales[0](maps[0])
        for layer, x in zip(list(self.scales)[1:], maps[1:], strict=True):
            total = total + F.interpolate(
                layer(x), total.shape[2:], mode='bilinear', align_corners=False
            )
        y: Tensor = self.predict(F.relu(total))
        return y


class DeployedSegFormer(nn.Module):
    """The segmenter in its deployment form: the trained encoder, the folded decoder."""

    def __init__(self, net: SegFormer, precision: Precision) -> None:
        super().__init__()
        self.precision = precision
        self.encoder: MixTransformer = net.encoder
        self.decoder = DeployedDecoder(net.decoder)
        for module in self.encoder.modules():
            if isinstance(module, MixFFN):
                module.act = gelu
        for i in range(1, 5):
            parts = ('patch_embed', 'block', 'norm')
            precision.place(f'stage{i}', *(getattr(self.encoder, f'{part}{i}') for part in parts))
        precision.place('decoder', self.decoder)

    def forward(self, x: Tensor) -> Tensor:
        """Map a normalised RGB picture [N, 3, H, W] to logits [N, classes, H / 4, W / 4]."""
        maps = []
        for i in range(1, 5):
            x = self.encoder.stage(i, self.precision.cast(f'stage{i}', x))
            maps.append(x)
        y: Tensor = self.decoder([self.precision.cast('decoder', x) for x in maps])
        return y


def best_probability(logits: Tensor) -> Tensor:
    """Return the softmax of the best class, [N, classes, H, W] to [N, H, W] in 0..1.

    Its numerator is exp(0) once the largest logit is subtracted, so no softmax over classes is
    built: a sixth of the time in ONNX Runtime. Taken after the logits were enlarged, like the
    argmax; before, it is 1.4 ms cheaper at 480x640 and up to 0.31 too sure along class borders.
    """
    return 1 / torch.exp(logits - logits.amax(1, keepdim=True)).sum(1)


def shrink(x: Tensor, factor: int) -> Tensor:
    """Return means of factor x factor pixels of [N, C, H, W]."""
    # Rows, then columns: `export.graph_rules` lets no other pool through.
    for kernel in ((factor, 1), (1, factor)) if factor > 1 else ():
        x = F.avg_pool2d(x, kernel, count_include_pad=False)
    return x


class SegmentedFusion(Protocol):
    """A network with a SegFormer of ours behind its fusion, such as PAIF.

    Attributes:
        config: says whether the segmenter sees colours, and means of how many pixels.
        denoise_net: the segmenter (official name).
        mean: of what it sees, [1, 3, 1, 1] in 0..255.
        std: likewise.
    """

    config: Any
    denoise_net: SegFormer
    mean: Tensor
    std: Tensor


class DeployedCascade(nn.Module):
    """What is exported: the contract of `paif_ros.contract`, uint8 pictures in and out.

    Fusion of two lumas, the visible picture's colours, a SegFormer. A network adds `fuse`.

    Args:
        network: lends its segmenter, `denoise_net`, and what that sees.
        precision: which parts compute in FP16.
        fusion: modules of `fuse` by their names; they come first, in the exported file too.
    """

    luma: Tensor
    offset: Tensor
    scale: Tensor
    shift: Tensor

    def __init__(
        self, network: SegmentedFusion, precision: Precision, **fusion: nn.Module
    ) -> None:
        super().__init__()
        self.precision = precision
        for name, module in fusion.items():
            self.add_module(name, module)
        self.segmenter = DeployedSegFormer(network.denoise_net, precision)
        self.colour = network.config.colour
        self.pool = network.config.pool
        # Columns: what pure red, green and blue add to Y, and to fused RGB beside the fused luma.
        primaries = torch.eye(3).view(3, 3, 1, 1)
        ycrcb = rgb_to_ycrcb(primaries)
        chroma = ycrcb_to_rgb(torch.cat((torch.zeros(3, 1, 1, 1), ycrcb[:, 1:]), 1))
        cast = precision.cast
        luma, offset = ycrcb[:, :1].permute(1, 0, 2, 3), chroma.permute(1, 0, 2, 3)
        self.register_buffer('luma', cast('luma', luma.contiguous()))  # [1, 3, 1, 1]
        self.register_buffer('offset', cast('recolour', offset.contiguous()))  # [3, 3, 1, 1]
        self.register_buffer('scale', cast('stretch', 255 / network.std))  # [1, 3, 1, 1]
        self.register_buffer('shift', cast('stretch', network.mean / network.std))

    def fuse(self, thermal: Tensor, luma: Tensor) -> Tensor:
        """Fuse [N, 1, H, W] in 0..1 with the same to the picture that is shown, [N, 1, H, W]."""
        raise NotImplementedError

    def compute(self, thermal: Tensor, visible: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Fuse and segment pictures in 0..1.

        Args:
            thermal: [N, 1, H, W] in 0..1.
            visible: RGB [N, 3, H, W] in 0..1.

        Returns:
            Fused luma [N, 1, H, W], fused RGB [N, 3, H, W] in 0..1, logits [N, classes, h, w]
            where h and w are H and W divided by 4 * pool.
        """
        cast = self.precision.cast
        fused = self.fuse(thermal, F.conv2d(cast('luma', visible), self.luma))
        chroma = F.conv2d(cast('recolour', visible), self.offset)
        rgb = (cast('recolour', fused) + chroma).clamp(0, 1)
        seen = shrink(cast('stretch', rgb), self.pool)
        if not self.colour:
            seen = F.conv2d(seen, cast('stretch', self.luma))  # one channel, spread by the scale
        logits = self.segmenter(stretch_image(seen) * self.scale - self.shift)
        return fused, rgb, logits

    def forward(self, visible: Tensor, thermal: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Fuse and segment camera pictures.

        Args:
            visible: uint8 [N, H, W, 3] RGB.
            thermal: uint8 [N, H, W].

        Returns:
            Fused picture uint8 [N, H, W, 3] RGB, class ids uint8 [N, H, W], and the probability of
            these classes, uint8 [N, H, W], 255 for certain.
        """
        # TensorRT takes uint8 only beside a cast: cast before anything else, and last of all.
        rgb = visible.float().permute(0, 3, 1, 2) * (1 / 255)
        gray = thermal.float().unsqueeze(1) * (1 / 255)
        _, fused, logits = self.compute(gray, rgb)
        cast = self.precision.cast
        picture = torch.round(cast('rounding', fused) * 255).permute(0, 2, 3, 1)
        logits = F.interpolate(
            cast('resize', logits), rgb.shape[2:], mode='bilinear', align_corners=False
        )
        sure = best_probability(cast('confidence', logits))
        confidence = torch.round(cast('rounding', sure) * 255)
        return (
            picture.to(torch.uint8),
            logits.argmax(1).to(torch.uint8),
            confidence.to(torch.uint8),
        )


class DeployedPAIF(DeployedCascade):
    """PAIF: the searched fusion network in front."""

    fusion: DeployedFusion

    def __init__(self, network: PAIF, precision: Precision) -> None:
        fusion = network.enhance_net
        assert isinstance(fusion, FusionNet)  # `deploy` refuses all others
        super().__init__(network, precision, fusion=DeployedFusion(fusion, precision))

    def fuse(self, thermal: Tensor, luma: Tensor) -> Tensor:
        """Fuse [N, 1, H, W] in 0..1 with the same; the fused luma may lie in -1..1."""
        y: Tensor = self.fusion(thermal, luma)
        return y


@torch.no_grad()
def deploy(network: PAIF, precision: Precision = FP32) -> DeployedPAIF:
    """Return the deployment form of a trained network, in eval mode; it is left as it is.

    Args:
        network: the trained network.
        precision: which parts compute in FP16.

    Raises:
        ValueError: the network stretches whole batches, which no exported model does, or has a
            baseline in place of its fusion network.
    """
    if network.config.fusion != 'paif':
        msg = (
            f"fusion {network.config.fusion!r}: a baseline for comparison, only 'paif' is exported"
        )
        raise ValueError(msg)
    if network.config.stretch != 'image':
        msg = (
            f"stretch {network.config.stretch!r}: only 'image' is exported, "
            'a picture must not depend on its neighbours'
        )
        raise ValueError(msg)
    deployed = DeployedPAIF(copy.deepcopy(network).eval(), precision)
    return deployed.eval().requires_grad_(False)
