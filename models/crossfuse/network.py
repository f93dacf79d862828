"""CrossFuse whole: shared encoder, fusion of low and high frequencies, decoder, segmenter.

Source: Shi et al., "CrossFuse: Learning Infrared and Visible Image Fusion by Cross-Sensor Top-K
Vision Alignment and Beyond", IEEE TCSVT 2025, arXiv 2502.14493. Written anew from a description of
layers and formulas; `models.crossfuse.layers` has the blocks. The segmenter behind the fused
picture is ours: the system has none.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.class_labels import from_objects, to_objects
from models.crossfuse.layers import BaseFeatures, DetailFeatures, RestormerBlock, plain_conv
from models.crossfuse.upsampling import guided_upsampling
from models.genotype import read_named
from models.paif import IMAGENET_MEAN, IMAGENET_STD, recolour, rgb_to_ycrcb, stretch_image
from models.segformer import SegFormer
from paif_ros.contract import ClassLabel

CONFIGS = Path(__file__).parent / 'configs'
SHAPE = (
    'channels',
    'heads',
    'blocks',
    'decoder_blocks',
    'nodes',
    'scale',
    'backbone',
    'embedding',
    'colour',
    'pool',
)


@dataclass(frozen=True)
class CrossFuseConfig:
    """Everything that makes one CrossFuse network another; numbers are the official ones.

    Attributes:
        variant: name of this configuration.
        classes: labels of the mask.
        channels: width of all features.
        heads: of every channel attention.
        blocks: Restormer blocks of the encoder.
        decoder_blocks: of the decoder.
        nodes: couplings of the encoder's high frequencies.
        scale: 1 computes at the picture's size. 2 computes on means of 2x2 pixels and brings the
            result back by guided upsampling, which has no weights: any weights run at any scale.
        backbone: of the segmenter, 'mit_nano', or 'mit_b0' to 'mit_b5'.
        embedding: width of the segmenter's decoder.
        colour: whether the segmenter sees the fused picture's colours or its luma alone.
        pool: the segmenter sees means of pool x pool pixels.
    """

    variant: str
    classes: tuple[ClassLabel, ...]
    channels: int = 64
    heads: int = 8
    blocks: int = 4
    decoder_blocks: int = 4
    nodes: int = 3
    scale: int = 1
    backbone: str = 'mit_b0'
    embedding: int = 128
    colour: bool = True
    pool: int = 1

    def __post_init__(self) -> None:
        numbers = {key: getattr(self, key) for key in SHAPE if key not in ('backbone', 'colour')}
        if min(numbers.values()) < 1 or self.channels % 2 or self.channels % self.heads:
            msg = f'{numbers}: all at least 1, channels even and a multiple of heads'
            raise ValueError(msg)

    def to_json(self) -> str:
        """Return the configuration as JSON text, as it travels in the header of weights files."""
        shape = {key: getattr(self, key) for key in SHAPE}
        named = {'network': 'crossfuse', 'variant': self.variant}
        return json.dumps(named | shape | {'classes': to_objects(self.classes)})

    def architecture(self) -> str:
        """Return what is to know of the network's shape beside its name, as JSON text."""
        return json.dumps({key: getattr(self, key) for key in SHAPE})

    @classmethod
    def from_json(cls, text: str) -> CrossFuseConfig:
        """Read a configuration.

        Raises:
            ValueError: an entry is missing or can't be used; the message names it.
        """
        data = json.loads(text)
        if data.get('network') != 'crossfuse':
            msg = f"configuration of network {data.get('network')!r}, expected 'crossfuse'"
            raise ValueError(msg)
        try:
            shape = {key: data[key] for key in SHAPE}
            return cls(str(data['variant']), from_objects(data['classes']), **shape)
        except KeyError as err:
            msg = f'configuration lacks {err.args[0]!r}'
            raise ValueError(msg) from err


def load_config(name: str | Path) -> CrossFuseConfig:
    """Load a configuration by its path, or by name from `models/crossfuse/configs`.

    Raises:
        FileNotFoundError: neither exists; the message lists the known names.
        ValueError: the file can't be used.
    """
    return CrossFuseConfig.from_json(read_named(name, CONFIGS, 'configuration of CrossFuse'))


class Features(NamedTuple):
    """What the encoder finds in a picture, [N, C, H, W] each.

    Attributes:
        base: low frequencies.
        detail: high frequencies.
        shared: what both were made of.
    """

    base: Tensor
    detail: Tensor
    shared: Tensor


class PatchEmbed(nn.Module):
    """The first 3x3 convolution, under the name `proj`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.proj = plain_conv(1, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, 1, H, W] to [N, C, H, W]."""
        y: Tensor = self.proj(x)
        return y


class Encoder(nn.Module):
    """Restormer blocks, then both kinds of features; one and the same for both modalities."""

    def __init__(self, config: CrossFuseConfig) -> None:
        super().__init__()
        c, heads = config.channels, config.heads
        self.patch_embed = PatchEmbed(c)
        self.encoder_level1 = nn.Sequential(
            *(RestormerBlock(c, heads) for _ in range(config.blocks))
        )
        self.baseFeature = BaseFeatures(c, heads)
        self.detailFeature = DetailFeatures(c, config.nodes)

    def forward(self, x: Tensor) -> Features:
        """Encode a picture [N, 1, H, W] in 0..1."""
        shared = self.encoder_level1(self.patch_embed(x))
        return Features(self.baseFeature(shared), self.detailFeature(shared), shared)


class Decoder(nn.Module):
    """Both kinds of features to a picture."""

    def __init__(self, config: CrossFuseConfig) -> None:
        super().__init__()
        c = config.channels
        self.reduce_channel = plain_conv(2 * c, c)
        self.encoder_level2 = nn.Sequential(
            *(RestormerBlock(c, config.heads) for _ in range(config.decoder_blocks))
        )
        self.output = nn.Sequential(
            plain_conv(c, c // 2, 3), nn.LeakyReLU(), plain_conv(c // 2, 1, 3)
        )

    def change(self, base: Tensor, detail: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is added to the picture [N, 1, H, W], and the reduced features."""
        reduced = self.reduce_channel(torch.cat((base, detail), 1))
        return self.output(self.encoder_level2(reduced)), reduced

    def forward(self, base: Tensor, detail: Tensor, picture: Tensor | None = None) -> Tensor:
        """Decode features [N, C, H, W].

        Args:
            base: low frequencies.
            detail: high frequencies.
            picture: [N, 1, H, W] in 0..1 that the result is a change of.

        Returns:
            [N, 1, H, W], above 0 and below 1; of a picture without change only 0.50 to 0.73.
        """
        change, _ = self.change(base, detail)
        return torch.sigmoid(change if picture is None else change + picture)


class CrossFuse(nn.Module):
    """Fusion of a registered thermal and visible pair, and its segmentation.

    Attributes:
        encoder: `DIDF_Encoder` of official files.
        decoder: `DIDF_Decoder`.
        base_fuse: `BaseFuseLayer`.
        detail_fuse: `DetailFuseLayer`.
        denoise_net: SegFormer; PAIF's name for it, so that its tools find it.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: CrossFuseConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder, self.decoder = Encoder(config), Decoder(config)
        self.base_fuse = BaseFeatures(config.channels, config.heads)
        self.detail_fuse = DetailFeatures(config.channels, 1)
        self.denoise_net = SegFormer(config.backbone, len(config.classes), config.embedding)
        for name, values in (('mean', IMAGENET_MEAN), ('std', IMAGENET_STD)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    def shrink(self, picture: Tensor) -> Tensor:
        """Return a picture [N, 1, H, W] at the size that is computed at."""
        scale = self.config.scale
        return picture if scale == 1 else F.avg_pool2d(picture, scale)

    def fuse_features(self, thermal: Features, visible: Features) -> tuple[Tensor, Tensor]:
        """Return fused low and high frequencies, [N, C, H, W] each."""
        return (
            self.base_fuse(visible.base + thermal.base),
            self.detail_fuse(visible.detail + thermal.detail),
        )

    def fuse_luma(self, thermal: Tensor, luma: Tensor) -> Tensor:
        """Fuse two pictures [N, 1, H, W] in 0..1 to one of the same shape, not stretched yet."""
        small = self.shrink(thermal), self.shrink(luma)
        base, detail = self.fuse_features(*(self.encoder(picture) for picture in small))
        change, _ = self.decoder.change(base, detail)
        if self.config.scale > 1:
            change = guided_upsampling(change, small, (thermal, luma))
        return torch.sigmoid(change + luma)

    def reconstruct(self, picture: Tensor) -> tuple[Tensor, Features]:
        """Encode and decode a picture [N, 1, H, W]: the first phase of training.

        Returns:
            The picture again, [N, 1, H, W] in 0..1 (not stretched), and its features.
        """
        features = self.encoder(picture)
        return self.decoder(features.base, features.detail, picture), features

    def fuse(self, thermal: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        """Fuse a pair.

        Args:
            thermal: [N, 1 or more, H, W] in 0..1; only the first channel is used.
            visible: RGB [N, 3, H, W] in 0..1.

        Returns:
            Fused luma [N, 1, H, W], each picture stretched to all of 0..1, and that in the visible
            picture's colours, RGB [N, 3, H, W] in 0..1.
        """
        ycrcb = rgb_to_ycrcb(visible)
        fused = stretch_image(self.fuse_luma(thermal[:, :1], ycrcb[:, :1]))
        return fused, recolour(fused, ycrcb)

    def segmenter_input(self, rgb: Tensor) -> Tensor:
        """Pool and normalise RGB [N, 3, H, W] in 0..1; [N, 3, H / pool, W / pool]."""
        pool = self.config.pool
        return self.normalise(rgb if pool == 1 else F.avg_pool2d(rgb, pool))

    def normalise(self, rgb: Tensor) -> Tensor:
        """Stretch and normalise an already pooled picture [N, 3, H, W] as PAIF does."""
        if not self.config.colour:
            rgb = rgb_to_ycrcb(rgb)[:, :1].expand(-1, 3, -1, -1)
        return (stretch_image(rgb) * 255 - self.mean) / self.std

    def forward(self, thermal: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        """Fuse and segment a pair (arguments as in `fuse`).

        Returns:
            Fused luma [N, 1, H, W] over all of 0..1 and logits [N, classes, h, w], where h and w
            are H and W divided by 4 * pool.
        """
        fused, rgb = self.fuse(thermal, visible)
        return fused, self.denoise_net(self.segmenter_input(rgb))
