"""PAIF whole: colour conversion, fusion, recolouring, normalisation, SegFormer."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.baselines import baseline
from models.class_labels import from_objects, to_objects
from models.fusion import FusionNet
from models.genotype import Genotype, load_genotype, read_named
from models.segformer import SegFormer
from paif_ros.contract import ClassLabel

IMAGENET_MEAN = (123.675, 116.28, 103.53)  # RGB, for pictures in 0..255
IMAGENET_STD = (58.395, 57.12, 57.375)
FLAT_RANGE = 1e-6  # a picture whose values differ by less than this holds nothing to stretch
CONFIGS = Path(__file__).parent / 'configs'


@dataclass(frozen=True)
class PAIFConfig:
    """Everything that makes one PAIF network another.

    Attributes:
        variant: name of this configuration.
        genotype: operators of the fusion network's cells.
        channels: width of the fusion network.
        backbone: 'mit_nano', or 'mit_b0' to 'mit_b5'.
        embedding: width of SegFormer's decoder.
        classes: labels of the mask.
        fusion: 'paif', or the name of one of `models.baselines` in its place.
        colour: whether the segmenter sees the fused picture's colours, as in the paper, or its
            luma alone. Recolouring adds the visible picture's chroma to a luma that may come from
            the thermal one, so within eps for each camera an attack moves a colour channel by
            three times eps, but the luma by eps.
        pool: the segmenter sees means of pool x pool pixels of the fused picture; 1 in the paper.
            2 leaves the segmenter a quarter of the pixels, in training too.
        stretch: 'image' stretches each picture of a batch by itself before segmentation; 'batch'
            stretches the whole batch by one range as the official code does.
        box: 'conv', 'pool' or 'cumsum' (official), how the guided filter takes its means.
    """

    variant: str
    genotype: Genotype
    channels: int
    backbone: str
    embedding: int
    classes: tuple[ClassLabel, ...]
    fusion: str = 'paif'
    colour: bool = True
    pool: int = 1
    stretch: str = 'image'
    box: str = 'conv'

    def official(self) -> PAIFConfig:
        """Return this configuration in parity mode: computed as the official code computes it."""
        return replace(self, stretch='batch', box='cumsum')

    def to_json(self) -> str:
        """Return the configuration as JSON text, as it travels in the header of weights files."""
        return json.dumps(
            {
                'network': 'paif',
                'variant': self.variant,
                'genotype': json.loads(self.genotype.to_json()),
                'channels': self.channels,
                'backbone': self.backbone,
                'embedding': self.embedding,
                'fusion': self.fusion,
                'colour': self.colour,
                'pool': self.pool,
                'classes': to_objects(self.classes),
            }
        )

    @classmethod
    def from_json(cls, text: str) -> PAIFConfig:
        """Read a configuration; `genotype` is an object or a name in `models/genotypes`.

        Raises:
            ValueError: an entry is missing or can't be used; the message names it.
        """
        data = json.loads(text)
        if data.get('network') != 'paif':
            msg = f"configuration of network {data.get('network')!r}, expected 'paif'"
            raise ValueError(msg)
        try:
            genotype = data['genotype']
            return cls(
                variant=str(data['variant']),
                genotype=load_genotype(genotype)
                if isinstance(genotype, str)
                else Genotype.from_json(json.dumps(genotype)),
                channels=int(data['channels']),
                backbone=str(data['backbone']),
                embedding=int(data['embedding']),
                fusion=str(data.get('fusion', 'paif')),
                colour=bool(data.get('colour', True)),
                pool=int(data.get('pool', 1)),
                classes=from_objects(data['classes']),
            )
        except KeyError as err:
            msg = f'configuration lacks {err.args[0]!r}'
            raise ValueError(msg) from err


def load_config(name: str | Path) -> PAIFConfig:
    """Load a configuration by the path of its JSON file, or by name from `models/configs`.

    Raises:
        FileNotFoundError: neither exists; the message lists the known names.
        ValueError: the file can't be used.
    """
    return PAIFConfig.from_json(read_named(name, CONFIGS, 'configuration'))


def rgb_to_ycrcb(rgb: Tensor) -> Tensor:
    """Convert RGB [N, 3, H, W] in 0..1 to Y, Cr, Cb of the same shape and range."""
    red, green, blue = rgb.split(1, 1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return torch.cat((luma, 0.713 * (red - luma) + 0.5, 0.564 * (blue - luma) + 0.5), 1)


def ycrcb_to_rgb(ycrcb: Tensor) -> Tensor:
    """Convert Y, Cr, Cb [N, 3, H, W] to RGB of the same shape, not clipped."""
    luma, cr, cb = ycrcb.split(1, 1)
    cr, cb = cr - 0.5, cb - 0.5
    return torch.cat((luma + 1.403 * cr, luma - 0.714 * cr - 0.344 * cb, luma + 1.773 * cb), 1)


def recolour(luma: Tensor, ycrcb: Tensor) -> Tensor:
    """Give a luma picture [N, 1, H, W] the chroma of Y, Cr, Cb [N, 3, H, W]; RGB in 0..1."""
    return ycrcb_to_rgb(torch.cat((luma, ycrcb[:, 1:]), 1)).clamp(0, 1)


def stretch_batch(x: Tensor) -> Tensor:
    """Stretch a batch [N, C, H, W] to 0..1 by its one range; NaN where all is equal."""
    return (x - x.min()) / (x.max() - x.min())


def stretch_image(x: Tensor) -> Tensor:
    """Stretch each picture of [N, C, H, W] to 0..1 by its own range; a flat one becomes 0."""
    low, high = x.amin((1, 2, 3), keepdim=True), x.amax((1, 2, 3), keepdim=True)
    span = high - low
    return (x - low) / torch.where(span > FLAT_RANGE, span, torch.ones_like(span))


STRETCHES = {'batch': stretch_batch, 'image': stretch_image}


class PAIF(nn.Module):
    """Fusion and segmentation of a registered thermal and visible pair.

    Attributes:
        enhance_net: the fusion network (official name).
        denoise_net: the segmentation network (official name).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: PAIFConfig) -> None:
        super().__init__()
        if config.stretch not in STRETCHES:
            msg = f'stretch {config.stretch!r}: choose one of {sorted(STRETCHES)}'
            raise ValueError(msg)
        if config.pool < 1:
            msg = f'pool {config.pool}: 1 for the picture as it is, 2 for half its size, ...'
            raise ValueError(msg)
        self.config = config
        self.enhance_net: nn.Module = (
            FusionNet(config.genotype, config.channels, config.box)
            if config.fusion == 'paif'
            else baseline(config.fusion, config.channels)
        )
        self.denoise_net = SegFormer(config.backbone, len(config.classes), config.embedding)
        self.register_buffer(
            'mean', torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False
        )
        self.register_buffer('std', torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)

    def fuse(self, thermal: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        """Fuse a pair.

        Args:
            thermal: [N, 1 or more, H, W] in 0..1; only the first channel is used.
            visible: RGB [N, 3, H, W] in 0..1.

        Returns:
            Fused luma [N, 1, H, W] in -1..1, and the fused picture in the visible one's colours,
            RGB [N, 3, H, W] clipped to 0..1.
        """
        ycrcb = rgb_to_ycrcb(visible)
        fused = self.enhance_net(thermal[:, :1], ycrcb[:, :1])
        if self.config.fusion == 'thermal':  # the thermal camera alone, so no colours either
            return fused, fused.expand(-1, 3, -1, -1)
        return fused, recolour(fused, ycrcb)

    def segmenter_input(self, rgb: Tensor) -> Tensor:
        """Pool, stretch and normalise RGB [N, 3, H, W] in 0..1 as the segmenter sees it.

        Returns:
            [N, 3, H / pool, W / pool].
        """
        if self.config.pool > 1:
            rgb = F.avg_pool2d(rgb, self.config.pool)
        return self.normalise(rgb)

    def normalise(self, rgb: Tensor) -> Tensor:
        """Stretch and normalise an already pooled picture [N, 3, H, W] in 0..1."""
        if not self.config.colour:
            rgb = rgb_to_ycrcb(rgb)[:, :1].expand(-1, 3, -1, -1)
        return (STRETCHES[self.config.stretch](rgb) * 255 - self.mean) / self.std

    def forward(self, thermal: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        """Fuse and segment a pair (arguments as in `fuse`).

        Returns:
            Fused luma [N, 1, H, W] in -1..1 and logits [N, classes, h, w], where h and
            w are H and W divided by 4 * pool.
        """
        fused, rgb = self.fuse(thermal, visible)
        return fused, self.denoise_net(self.segmenter_input(rgb))
