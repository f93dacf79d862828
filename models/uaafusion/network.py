"""UAAFusion whole: unfolding stages with memory, led by what the segmenter attends to.

Source: Bai et al., "Deep Unfolding Multi-modal Image Fusion Network via Attribution Analysis",
IEEE TCSVT 35(4), 2025. Attribute names inside `fusion` and `segmenter` are the official keys.
Written anew from a description of layers and formulas.

The unfolded problem is min_f |sqrt(w_i)(f - i)|^2 / 2 + |sqrt(w_v)(f - v)|^2 / 2 + prior(f), with
weights w_i + w_v = 1 of thermal i and visible v. Each stage is a gradient step on the first two
terms (the data step) and a learned block in place of the prior. In the official code the data step
is computed and thrown away, so the weights reach nothing but the training loss; `data_step` of the
configuration takes the step as it was meant.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from models.attribution.integrated import Weights, fusion_weights, one_hot
from models.class_labels import from_objects, to_objects
from models.genotype import read_named
from models.paif import recolour, rgb_to_ycrcb, stretch_image
from models.uaafusion.segmenter import SSNet
from paif_ros.contract import ClassLabel

CONFIGS = Path(__file__).parent / 'configs'
ALPHA = 1e-3  # first step size of the data step


@dataclass(frozen=True)
class UAAFusionConfig:
    """Everything that makes one UAAFusion network another.

    Attributes:
        variant: name of this configuration.
        classes: labels of the mask.
        channels: width of the fusion network; 32 in the paper.
        stages: unfolded steps.
        steps: points on the path of the attribution weights.
        decoder: width of the segmenter's decoder; 256 in the paper.
        data_step: whether the data step is taken; the official code loses it.
        multiplier: of the channels of the segmenter's feature extractor; 1 in the paper.
    """

    variant: str
    classes: tuple[ClassLabel, ...]
    channels: int = 32
    stages: int = 5
    steps: int = 5
    decoder: int = 256
    data_step: bool = False
    multiplier: float = 1.0

    def __post_init__(self) -> None:
        if min(self.channels, self.stages, self.steps, self.decoder) < 1 or self.channels % 2:
            msg = (
                f'channels {self.channels}, stages {self.stages}, steps {self.steps}, decoder '
                f'{self.decoder}: all at least 1, channels even'
            )
            raise ValueError(msg)
        if not 0.1 <= self.multiplier <= 4:
            msg = f'multiplier {self.multiplier} of segmenter channels: 0.1 to 4, 1 is official'
            raise ValueError(msg)

    def to_json(self) -> str:
        """Return the configuration as JSON text, as it travels in the header of weights files."""
        return json.dumps(
            {
                'network': 'uaafusion',
                'variant': self.variant,
                'channels': self.channels,
                'stages': self.stages,
                'steps': self.steps,
                'decoder': self.decoder,
                'data_step': self.data_step,
                'multiplier': self.multiplier,
                'classes': to_objects(self.classes),
            }
        )

    def architecture(self) -> str:
        """Return what is to know of the network's shape beside its name, as JSON text."""
        shape = ('channels', 'stages', 'steps', 'decoder', 'data_step', 'multiplier')
        return json.dumps({key: getattr(self, key) for key in shape})

    @classmethod
    def from_json(cls, text: str) -> UAAFusionConfig:
        """Read a configuration.

        Raises:
            ValueError: an entry is missing or can't be used; the message names it.
        """
        data = json.loads(text)
        if data.get('network') != 'uaafusion':
            msg = f"configuration of network {data.get('network')!r}, expected 'uaafusion'"
            raise ValueError(msg)
        try:
            return cls(
                variant=str(data['variant']),
                classes=from_objects(data['classes']),
                channels=int(data['channels']),
                stages=int(data['stages']),
                steps=int(data['steps']),
                decoder=int(data['decoder']),
                data_step=bool(data['data_step']),
                multiplier=float(data.get('multiplier', 1.0)),  # absent from older weights
            )
        except KeyError as err:
            msg = f'configuration lacks {err.args[0]!r}'
            raise ValueError(msg) from err


def load_config(name: str | Path) -> UAAFusionConfig:
    """Load a configuration by its path, or by name from `models/uaafusion/configs`.

    Raises:
        FileNotFoundError: neither exists; the message lists the known names.
        ValueError: the file can't be used.
    """
    return UAAFusionConfig.from_json(read_named(name, CONFIGS, 'configuration of UAAFusion'))


def reflect_conv(cin: int, cout: int) -> nn.Conv2d:
    """Return a 3x3 convolution that reflects the picture at its edges."""
    return nn.Conv2d(cin, cout, 3, padding=1, padding_mode='reflect')


class ConvUnit(nn.Module):
    """Two 3x3 convolutions with a PReLU of one slope between them."""

    def __init__(self, cin: int, middle: int, cout: int) -> None:
        super().__init__()
        self.conv_unit = nn.Sequential(
            reflect_conv(cin, middle), nn.PReLU(), reflect_conv(middle, cout)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, cin, H, W] to [N, cout, H, W]."""
        y: Tensor = self.conv_unit(x)
        return y


class ConvLSTM(nn.Module):
    """Long memory across the stages.

    The first call has no memory to forget: its gate and the convolutions of h are left out, and
    h = o c without the tanh of later calls, as in the official code.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        c = channels
        self.conv_xf, self.conv_hf = reflect_conv(c, c), reflect_conv(c, c)
        self.conv_xi, self.conv_hi = reflect_conv(c, c), reflect_conv(c, c)
        self.conv_xo, self.conv_ho = reflect_conv(c, c), reflect_conv(c, c)
        self.conv_xj, self.conv_hj = reflect_conv(c, c), reflect_conv(c, c)

    def forward(self, x: Tensor, memory: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor]:
        """Take in x [N, C, H, W]; memory (h, c) and the result have the same shape."""
        if memory is None:
            i, o = torch.sigmoid(self.conv_xi(x)), torch.sigmoid(self.conv_xo(x))
            c = i * torch.tanh(self.conv_xj(x))
            return o * c, c
        h, c = memory
        f = torch.sigmoid(self.conv_xf(x) + self.conv_hf(h))
        i = torch.sigmoid(self.conv_xi(x) + self.conv_hi(h))
        o = torch.sigmoid(self.conv_xo(x) + self.conv_ho(h))
        j = torch.tanh(self.conv_xj(x) + self.conv_hj(h))
        c = f * c + i * j
        return o * torch.tanh(c), c


@dataclass(frozen=True)
class Stage:
    """What one stage hands to the next.

    Attributes:
        fused: [N, 1, H, W], of all stages but the start in 0..1.
        long: long memory [N, C, H, W].
        short: short memory [N, C, H, W].
        memory: h and c of the ConvLSTM, [N, C, H, W] each; None at the start.
        attention: what led the stage, [N, 1, H, W]: mean of gradient times step over the path of
            fused pictures so far.
    """

    fused: Tensor
    long: Tensor
    short: Tensor
    memory: tuple[Tensor, Tensor] | None
    attention: Tensor


class UnfoldingBlock(nn.Module):
    """The learned part of a stage; all maps have the picture's size."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = c = channels
        self.conv1 = ConvUnit(1, c, c)
        self.conv2 = ConvUnit(3 * c, c, c)
        self.conv3 = ConvUnit(c, c, c)
        self.conv4 = nn.Sequential(ConvUnit(c, c // 2, 1), nn.Sigmoid())
        self.conv5 = ConvUnit(3 * c, c, c)
        self.conv6 = ConvUnit(c, c, c)
        self.lstm = ConvLSTM(c)

    def forward(self, fused: Tensor, before: Stage, attention: Tensor) -> Stage:
        """Run the block on a fused picture, the stage before, and the attention [N, 1, H, W]."""
        a = self.conv1(fused)
        long = self.conv2(torch.cat((a, before.long, before.short), 1))
        short = long + self.conv3(long) * torch.sigmoid(attention)
        fused = self.conv4(short)
        memory = self.lstm(self.conv5(torch.cat((a, long, short), 1)), before.memory)
        return Stage(fused, self.conv6(memory[0]), short, memory, attention)


class UnfoldingFusion(nn.Module):
    """The fusion network's weights. `init_conv_f0` is in official files and has no use."""

    def __init__(self, channels: int, stages: int) -> None:
        super().__init__()
        c = channels
        self.alpha = nn.Parameter(torch.full((stages,), ALPHA))
        self.init_conv_ir = ConvUnit(1, c // 2, c // 2)
        self.init_conv_vi = ConvUnit(1, c // 2, c // 2)
        self.init_conv_f0 = nn.Sequential(ConvUnit(c, c, 1), nn.Sigmoid())
        self.blockflow = nn.ModuleList(UnfoldingBlock(c) for _ in range(stages))

    def start(self, thermal: Tensor, luma: Tensor) -> Stage:
        """Return the stage before the first, of pictures [N, 1, H, W] in 0..1."""
        both = torch.cat((self.init_conv_ir(thermal), self.init_conv_vi(luma)), 1)
        return Stage((thermal + luma) / 2, both, both, None, torch.zeros_like(thermal))


def guidance(segmenter: SSNet, fused: Tensor, mask: Tensor) -> Tensor:
    """Return the gradient of mean(mask S(fused)) by a fused picture [N, 1, H, W].

    Args:
        segmenter: S.
        fused: cut off from what made it.
        mask: [N, classes, H, W].
    """
    with torch.enable_grad():
        picture = fused.detach().requires_grad_()
        (gradient,) = torch.autograd.grad((mask * segmenter(picture)).mean(), picture)
    return gradient


class UAAFusion(nn.Module):
    """Fusion of a registered thermal and visible pair, and its segmentation.

    Attributes:
        fusion: the fusion network (`model_f` of official files).
        segmenter: SS_Net (`model_s`), which leads the fusion in training and at work.
    """

    def __init__(self, config: UAAFusionConfig) -> None:
        super().__init__()
        self.config = config
        self.fusion = UnfoldingFusion(config.channels, config.stages)
        self.segmenter = SSNet(len(config.classes), config.decoder, config.multiplier)

    def stages(
        self, thermal: Tensor, luma: Tensor, mask: Tensor | None, weights: Weights | None = None
    ) -> Iterator[Stage]:
        """Run the unfolded stages one by one.

        Args:
            thermal: [N, 1, H, W] in 0..1.
            luma: of the visible picture, the same shape.
            mask: [N, classes, H, W]: one-hot labels in training, else scores of the mean picture.
                None leaves the segmenter out: an attention of 0 everywhere.
            weights: of both modalities; only the data step asks for them.

        Yields:
            The start, then every stage.

        Raises:
            ValueError: the configuration takes the data step and there are no weights.
        """
        stage = self.fusion.start(thermal, luma)
        yield stage
        before, attention = stage.fused.detach(), stage.attention
        for k, block in enumerate(self.fusion.blockflow):
            fused = stage.fused
            if k and mask is not None:
                path = fused.detach()
                # Running mean of gradient times step: an integral of gradients along f_0 .. f_k.
                gain = guidance(self.segmenter, path, mask) * (path - before)
                attention = ((k - 1) * attention + gain) / k
                before = path
            if self.config.data_step:
                if weights is None:
                    msg = 'the data step needs weights: call `weigh` first'
                    raise ValueError(msg)
                target = weights.thermal * thermal + weights.visible * luma
                fused = fused - self.fusion.alpha[k] * (fused - target)
            stage = block(fused, stage, attention)
            yield stage

    def weigh(
        self, thermal: Tensor, luma: Tensor, label: Tensor | None = None
    ) -> tuple[Tensor, Weights]:
        """Return the mask that leads the stages, and the weights of both modalities.

        Args:
            thermal: [N, 1, H, W] in 0..1.
            luma: the same shape.
            label: int64 [N, H, W] in 0..classes - 1; without it the mean picture is segmented.

        Returns:
            Mask [N, classes, H, W] and weights; neither carries a gradient.
        """
        count = len(self.config.classes)
        if label is None:
            logits = self.mean_logits(thermal, luma)
            mask, region = torch.sigmoid(logits), one_hot(logits.argmax(1), count)
        else:
            region = one_hot(label, count)
            mask = region.to(thermal.dtype)
        steps = self.config.steps
        return mask, fusion_weights(self.segmenter, thermal, luma, region, steps)

    @torch.no_grad()
    def mean_logits(self, thermal: Tensor, luma: Tensor) -> Tensor:
        """Return the segmenter's logits [N, classes, H, W] for the mean picture."""
        return self.segmenter.logits((thermal + luma) / 2)

    def fuse_luma(self, thermal: Tensor, luma: Tensor, mask: Tensor | None = None) -> Tensor:
        """Fuse two pictures [N, 1, H, W] in 0..1 to one of the same shape and range.

        Without the data step the weights reach nothing, so they are not computed: bit for bit the
        official fused picture for a fraction of its time.

        Args:
            thermal: [N, 1, H, W].
            luma: [N, 1, H, W].
            mask: [N, classes, H, W], instead of the scores of the mean picture.
        """
        weights = None
        if self.config.data_step:
            label = None if mask is None else mask.argmax(1)
            found, weights = self.weigh(thermal, luma, label)
            mask = found if mask is None else mask
        elif mask is None:
            mask = torch.sigmoid(self.mean_logits(thermal, luma))
        *_, last = self.stages(thermal, luma, mask, weights)
        return last.fused

    def fuse(self, thermal: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        """Fuse a pair.

        Args:
            thermal: [N, 1 or more, H, W] in 0..1; only the first channel is used.
            visible: RGB [N, 3, H, W] in 0..1.

        Returns:
            Fused luma [N, 1, H, W] in 0..1; and the fused picture, RGB [N, 3, H, W] in 0..1: the
            luma stretched to its full range, in the visible picture's colours.
        """
        ycrcb = rgb_to_ycrcb(visible)
        fused = self.fuse_luma(thermal[:, :1], ycrcb[:, :1])
        return fused, recolour(stretch_image(fused), ycrcb)

    def forward(self, thermal: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        """Fuse and segment a pair (arguments as in `fuse`).

        Returns:
            Fused luma [N, 1, H, W] in 0..1 and logits [N, classes, H, W].
        """
        fused, _ = self.fuse(thermal, visible)
        return fused, self.segmenter.logits(fused)

    def with_data_step(self) -> UAAFusion:
        """Return a network of the same weights that takes the data step."""
        other = UAAFusion(replace(self.config, data_step=True))
        other.load_state_dict(self.state_dict())
        return other.train(self.training)
