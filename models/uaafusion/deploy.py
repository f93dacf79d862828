"""From a trained UAAFusion to the graph that is exported: gradients inside, nothing unused.

`deploy(network, size)` returns a module with the contract of every exported model. Only what
reaches its outputs is computed: attribution weights (93 % of the official code's time) and the
memory of the last stage reach nothing, the first stage's attention is 0 and its gradient never
asked for, and neither are the gates that have nothing to forget. What else changes is exact up to
rounding:

* The segmenter's gradient is a forward graph (`models.uaafusion.vjp`).
* Stage 0 starts with both memories equal, so their weights are added; its gate is sigmoid(0) = 1/2
  and stands in the weights.
* The gates of a ConvLSTM are one convolution over [x, h].
* A PReLU of one slope is a LeakyReLU.

With `half`, the layers of the stages, the segmenter's decoder and its whole gradient compute in
FP16; the segmenter's feature extractor, colours, scores, the sums of the attention, the resize of
the logits, classes and rounding stay in FP32.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.deploy import leaky
from models.paif import recolour, rgb_to_ycrcb, stretch_image
from models.uaafusion.network import ConvLSTM, ConvUnit, UAAFusion, UnfoldingBlock
from models.uaafusion.vjp import DeployedSegmenter, cast


class ReflectConv(nn.Module):
    """A 3x3 convolution that reflects the picture at its edges.

    Args:
        weight: [cout, cin, 3, 3].
        bias: [cout].
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.conv = nn.Conv2d(weight.shape[1], weight.shape[0], 3)
        self.conv.weight = nn.Parameter(weight.detach().clone())
        self.conv.bias = nn.Parameter(bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, cin, H, W] to [N, cout, H, W]."""
        y: Tensor = self.conv(F.pad(x, (1, 1, 1, 1), mode='reflect'))
        return y


def bias_of(conv: nn.Conv2d) -> Tensor:
    """Return the bias of a convolution that has one."""
    assert conv.bias is not None
    return conv.bias


def as_it_is(conv: nn.Conv2d) -> ReflectConv:
    """Return a convolution in deployment form."""
    return ReflectConv(conv.weight, bias_of(conv))


def unit(part: ConvUnit, scale: float = 1.0, merged: int = 0) -> nn.Sequential:
    """Return a unit in deployment form.

    Args:
        part: the unit.
        scale: factor on what comes out.
        merged: the last two of this many channels each come in equal, once.
    """
    layers: Any = part.conv_unit  # typed as modules of any kind
    first, act, last = layers
    weight = first.weight
    if merged:
        rest = weight.shape[1] - 2 * merged
        kept, one, other = weight.split((rest, merged, merged), 1)
        weight = torch.cat((kept, one + other), 1)
    return nn.Sequential(
        ReflectConv(weight, bias_of(first)),
        leaky(act),
        ReflectConv(scale * last.weight, scale * bias_of(last)),
    )


class Memory(nn.Module):
    """A ConvLSTM whose gates are one convolution; without memory to start with if `first`."""

    def __init__(self, lstm: ConvLSTM, *, first: bool) -> None:
        super().__init__()
        self.first = first
        gates = 'ioj' if first else 'fioj'
        of_x = [getattr(lstm, f'conv_x{gate}') for gate in gates]
        weight = torch.cat([conv.weight for conv in of_x])
        bias = torch.cat([bias_of(conv) for conv in of_x])
        if not first:
            of_h = [getattr(lstm, f'conv_h{gate}') for gate in gates]
            weight = torch.cat((weight, torch.cat([conv.weight for conv in of_h])), 1)
            bias = bias + torch.cat([bias_of(conv) for conv in of_h])
        self.gates = ReflectConv(weight, bias)

    def forward(self, x: Tensor, memory: list[Tensor]) -> list[Tensor]:
        """Return h and c, [N, C, H, W] each."""
        c = x.shape[1]
        if self.first:
            open_gates, j = self.gates(x).split((2 * c, c), 1)
            i, o = torch.sigmoid(open_gates).split(c, 1)
            cell = i * torch.tanh(j)
            return [o * cell, cell]
        h, cell = memory
        open_gates, j = self.gates(torch.cat((x, h), 1)).split((3 * c, c), 1)
        f, i, o = torch.sigmoid(open_gates).split(c, 1)
        cell = f * cell + i * torch.tanh(j)
        return [o * torch.tanh(cell), cell]


class DeployedStage(nn.Module):
    """A stage; the last one makes no memory.

    Args:
        block: its weights.
        first: whether its memories are equal and its LSTM empty.
        last: whether nothing comes after it.
        guided: whether its attention is anything but 0.
        dtype: what it computes in; pictures come in and go out in FP32.
    """

    def __init__(
        self,
        block: UnfoldingBlock,
        *,
        first: bool,
        last: bool,
        guided: bool,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.guided = guided
        channels = block.channels
        self.first, self.last = first, last
        self.look = unit(block.conv1)
        self.join = unit(block.conv2, merged=channels if first else 0)
        self.refine = unit(block.conv3, scale=1.0 if guided else 0.5)
        to_picture: Any = block.conv4
        self.fuse = unit(to_picture[0])
        if not last:
            self.remember = unit(block.conv5)
            self.memory = Memory(block.lstm, first=first)
            self.recall = unit(block.conv6)
        self.to(dtype)

    @property
    def dtype(self) -> torch.dtype:
        """What it computes in."""
        return next(self.parameters()).dtype

    def forward(
        self, fused: Tensor, long: Tensor, short: Tensor, memory: list[Tensor], attention: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
        """Return fused picture, long and short memory, and h and c."""
        a = self.look(cast(fused, self.dtype))
        long = self.join(torch.cat((a, long) if self.first else (a, long, short), 1))
        change = self.refine(long)
        if self.guided:
            change = change * cast(torch.sigmoid(attention), self.dtype)
        short = long + change
        fused = torch.sigmoid(cast(self.fuse(short), fused.dtype))
        if not self.last:
            memory = self.memory(self.remember(torch.cat((a, long, short), 1)), memory)
            long = self.recall(memory[0])
        return fused, long, short, memory


class DeployedUAAFusion(nn.Module):
    """What is exported: the contract of `paif_ros.contract`, uint8 pictures in and out."""

    def __init__(
        self, network: UAAFusion, size: tuple[int, int], *, guided: bool, half: bool
    ) -> None:
        super().__init__()
        net = network.fusion
        dtype = torch.float16 if half else torch.float32
        self.guided = guided and len(net.blockflow) > 1
        self.segmenter = DeployedSegmenter(network.segmenter, size, dtype)
        self.of_thermal = unit(net.init_conv_ir).to(dtype)
        self.of_visible = unit(net.init_conv_vi).to(dtype)
        blocks = [block for block in net.blockflow if isinstance(block, UnfoldingBlock)]
        self.stages = nn.ModuleList(
            DeployedStage(
                block,
                first=k == 0,
                last=k == len(blocks) - 1,
                guided=guided and k > 0,
                dtype=dtype,
            )
            for k, block in enumerate(blocks)
        )

    def fuse(self, thermal: Tensor, luma: Tensor) -> Tensor:
        """Fuse [N, 1, H, W] in 0..1 with the same to [N, 1, H, W] in 0..1."""
        fused = (thermal + luma) / 2
        mask = torch.sigmoid(self.segmenter(fused)) if self.guided else fused
        kind = self.segmenter.dtype
        of_both = self.of_thermal(cast(thermal, kind)), self.of_visible(cast(luma, kind))
        long = short = torch.cat(of_both, 1)
        memory: list[Tensor] = []
        before = attention = fused
        for k, stage in enumerate(self.stages):
            if k and self.guided:
                gain = self.segmenter.guidance(fused, mask) * (fused - before)
                attention = gain if k == 1 else ((k - 1) * attention + gain) / k
                before = fused
            fused, long, short, memory = stage(fused, long, short, memory, attention)
        return fused

    def compute(self, thermal: Tensor, visible: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Fuse and segment pictures in 0..1.

        Args:
            thermal: [N, 1, H, W] in 0..1.
            visible: RGB [N, 3, H, W] in 0..1.

        Returns:
            Fused luma [N, 1, H, W] in 0..1, fused RGB [N, 3, H, W] in 0..1, logits [N, classes, H,
            W].
        """
        ycrcb = rgb_to_ycrcb(visible)
        fused = self.fuse(thermal, ycrcb[:, :1])
        return fused, recolour(stretch_image(fused), ycrcb), self.segmenter(fused)

    def forward(self, visible: Tensor, thermal: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Fuse and segment camera pictures.

        Args:
            visible: uint8 [N, H, W, 3] RGB.
            thermal: uint8 [N, H, W].

        Returns:
            Fused picture uint8 [N, H, W, 3] RGB; class ids uint8 [N, H, W]; and the score of these
            classes, uint8 [N, H, W], 255 for 1. Scores are sigmoids of one class each: where no
            class fits, the best one's is low.
        """
        # TensorRT takes uint8 only beside a cast: cast before anything else, and last of all.
        rgb = visible.float().permute(0, 3, 1, 2) * (1 / 255)
        gray = thermal.float().unsqueeze(1) * (1 / 255)
        _, picture, logits = self.compute(gray, rgb)
        best = torch.sigmoid(logits.amax(1))
        return (
            torch.round(picture * 255).permute(0, 2, 3, 1).to(torch.uint8),
            logits.argmax(1).to(torch.uint8),
            torch.round(best * 255).to(torch.uint8),
        )


@torch.no_grad()
def deploy(
    network: UAAFusion, size: tuple[int, int], *, guided: bool = True, half: bool = False
) -> DeployedUAAFusion:
    """Return the deployment form of a trained network, in eval mode; it is left as it is.

    Args:
        network: the trained network.
        size: (height, width) of the pictures; multiples of 16.
        guided: whether the segmenter's gradients lead the stages. Without, the attention is 0
            everywhere: an approximation, which leaves out nine of ten runs of the segmenter.
        half: whether the layers compute in FP16, see the module's docstring.

    Raises:
        ValueError: the size does not fit; or the network takes the data step, whose weights ask
            for the gradients of every class at every point of a path.
    """
    if network.config.data_step:
        msg = (
            'data_step: its attribution weights take 2 * steps * classes gradients for each '
            'frame, so it is not exported; train without it for the node'
        )
        raise ValueError(msg)
    deployed = DeployedUAAFusion(copy.deepcopy(network).eval(), size, guided=guided, half=half)
    return deployed.eval().requires_grad_(False)
