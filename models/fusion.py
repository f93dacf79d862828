"""PAIF's fusion network: decomposition, searched cells, attention, one fused luma.

Source: Liu et al., "PAIF: Perception-Aware Infrared-Visible Image Fusion for Attack-Tolerant
Semantic Segmentation", ACM MM 2023. Attribute names are the official keys, `decompation` included.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.genotype import Genotype
from models.operators import Operator, SpatialConv, channel_statistics, conv

RADIUS = 4  # of the guided filter, in pixels
EPSILONS = (1e-3, 1e-4)  # its regularisation, for features in the range of pictures scaled to 0..1

BoxMean = Callable[[Tensor], Tensor]


def box_mean_cumsum(x: Tensor) -> Tensor:
    """Mean over the window inside the picture, by cumulative sums as the published filter.

    Args:
        x: [N, C, H, W].

    Returns:
        [N, C, H, W].
    """

    def window_sum(t: Tensor, dim: int) -> Tensor:
        total = t.cumsum(dim)
        size = t.shape[dim]
        upper = torch.cat(
            (
                total.narrow(dim, RADIUS, size - RADIUS),
                total.narrow(dim, size - 1, 1).repeat_interleave(RADIUS, dim),
            ),
            dim,
        )
        lower = F.pad(
            total.narrow(dim, 0, size - RADIUS - 1),
            (0, 0, RADIUS + 1, 0) if dim == 2 else (RADIUS + 1, 0),
        )
        return upper - lower

    count = window_sum(window_sum(torch.ones_like(x[:1, :1]), 2), 3)
    return window_sum(window_sum(x, 2), 3) / count


def box_mean_pool(x: Tensor) -> Tensor:
    """Mean over the window inside the picture, by two average pools without padding.

    Closer to float64 than cumulative sums, whose rounding grows with the picture.

    Args:
        x: [N, C, H, W].

    Returns:
        [N, C, H, W].
    """
    width = 2 * RADIUS + 1
    rows = F.avg_pool2d(x, (width, 1), 1, (RADIUS, 0), count_include_pad=False)
    return F.avg_pool2d(rows, (1, width), 1, (0, RADIUS), count_include_pad=False)


def window_sizes(x: Tensor) -> Tensor:
    """Return how many pixels of each window lie inside a picture like `x`, [1, 1, H, W]."""

    def along(size: int) -> Tensor:
        at = torch.arange(size, device=x.device)
        upper = (at + RADIUS).clamp(max=size - 1)
        return (upper - (at - RADIUS).clamp(min=0) + 1).to(x.dtype)

    return along(x.shape[2])[:, None] * along(x.shape[3])[None, None, None]


def box_mean_conv(x: Tensor) -> Tensor:
    """Mean over the window inside the picture, by two depthwise convolutions.

    As exact as the pools and, in channels_last, cheaper on a CPU forwards and backwards: training
    and attacks spend much of their time on box means.

    Args:
        x: [N, C, H, W].

    Returns:
        [N, C, H, W].
    """
    channels, width = x.shape[1], 2 * RADIUS + 1
    ones = x.new_ones(channels, 1, width, 1)
    # Autocast would turn these convolutions into bfloat16, which ruins the variances.
    with torch.autocast(x.device.type, enabled=False):
        rows = F.conv2d(x, ones, padding=(RADIUS, 0), groups=channels)
        total = F.conv2d(rows, ones.mT, padding=(0, RADIUS), groups=channels)
    return total / window_sizes(x)


BOX_MEANS: dict[str, BoxMean] = {
    'conv': box_mean_conv,
    'cumsum': box_mean_cumsum,
    'pool': box_mean_pool,
}


def guided_filters(
    guide: Tensor, x: Tensor, epsilons: tuple[float, ...], box: BoxMean
) -> list[Tensor]:
    """Smooth `x` along the edges of `guide`, once for each regularisation.

    The filters share every box mean that does not depend on the regularisation, and those that
    are left are taken in two calls, since one call over many channels is cheaper than many calls.

    Source: He, Sun, Tang, "Guided Image Filtering", ECCV 2010, eq. 5 to 8.

    Args:
        guide: [N, 1, H, W].
        x: [N, C, H, W], H and W over 2r+1 = 9 pixels.
        epsilons: regularisations of the guide's variance.
        box: mean over the window.

    Returns:
        One [N, C, H, W] for each of `epsilons`.
    """
    channels = x.shape[1]
    means = box(torch.cat((x, guide, guide * x, guide * guide), 1))
    mean_x, mean_guide, mean_product, mean_square = means.split((channels, 1, channels, 1), 1)
    covariance = mean_product - mean_guide * mean_x
    variance = mean_square - mean_guide * mean_guide
    slopes = [covariance / (variance + eps) for eps in epsilons]
    offsets = [mean_x - a * mean_guide for a in slopes]
    smooth = box(torch.cat((*slopes, *offsets), 1)).split(channels, 1)
    return [a * guide + b for a, b in zip(smooth, smooth[len(epsilons) :], strict=False)]


def guide_of(features: Tensor) -> Tensor:
    """Return the guide [N, 1, H, W] of `features` [N, C, H, W]: their range over the channels."""
    return features.amax(1, keepdim=True) - features.amin(1, keepdim=True)


class Chain(nn.Module):
    """A cell: two operators one after the other. Its skip is added by the caller."""

    def __init__(self, operators: tuple[str, str], channels: int) -> None:
        super().__init__()
        self._ops = nn.ModuleList(Operator(name, channels) for name in operators)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, H, W] to [N, C, H, W]."""
        for operator in self._ops:
            x = operator(x)
        return x


class Decomposition(nn.Module):
    """Splits features of both modalities into low and high frequencies, mixes them, refines them.

    The convolutions are named for low and high frequency in official keys, yet each serves one
    modality: `conv1x1_lf` the thermal picture, `conv1x1_hf` the visible one.
    """

    def __init__(self, genotype: Genotype, channels: int, box: BoxMean) -> None:
        super().__init__()
        self.box = box
        self.conv1x1_lf = conv(4 * channels, channels, 1, bias=True)
        self.conv1x1_hf = conv(4 * channels, channels, 1, bias=True)
        self.chain = Chain(genotype.normal_1, channels)
        self.chain2 = Chain(genotype.normal_2, channels)
        self.relu = nn.PReLU()  # in official checkpoints, used by nothing

    def bands(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return low and high bands [N, 2C, H, W] of `features` [N, C, H, W], eps by eps."""
        guide = guide_of(features)
        low = guided_filters(guide, features, EPSILONS, self.box)
        return torch.cat(low, 1), torch.cat([features - band for band in low], 1)

    def forward(self, thermal: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        """Map both modalities' features [N, C, H, W] to refined ones of the same shape."""
        a_thermal = self.conv1x1_lf(torch.cat(self.bands(thermal), 1))
        a_visible = self.conv1x1_hf(torch.cat(self.bands(visible), 1))
        d_thermal = a_thermal + self.chain(a_thermal) + thermal
        d_visible = a_visible + self.chain2(a_visible) + visible
        return d_thermal, d_visible


class FusionNet(nn.Module):
    """Fuses a thermal and a visible luma picture into one luma picture.

    Args:
        genotype: the operators of the three cells.
        channels: width of the features (32 in the paper).
        box: 'conv', 'pool' or 'cumsum' (as the official code computes it): one function, computed
            in three ways.
    """

    def __init__(self, genotype: Genotype, channels: int = 32, box: str = 'conv') -> None:
        super().__init__()
        if channels < 2 or channels % 2:
            msg = f'fusion network with {channels} channels: needs an even number of at least 2'
            raise ValueError(msg)
        if box not in BOX_MEANS:
            msg = f'box mean {box!r}: choose one of {sorted(BOX_MEANS)}'
            raise ValueError(msg)
        self.stem_1 = nn.Sequential(conv(1, channels, 3), nn.PReLU())
        self.stem_2 = nn.Sequential(conv(1, channels, 3), nn.PReLU())
        self.decompation = Decomposition(genotype, channels, BOX_MEANS[box])
        self.spa = SpatialConv(4, 5)
        self.chain = Chain(genotype.normal_3, channels)
        self.stem_out = nn.Sequential(
            conv(channels, channels // 2, 3), conv(channels // 2, 1, 3), nn.PReLU(), nn.Tanh()
        )

    def forward(self, thermal: Tensor, luma: Tensor) -> Tensor:
        """Fuse two pictures.

        Args:
            thermal: [N, 1, H, W] in 0..1, H and W at least 10 pixels.
            luma: [N, 1, H, W] in 0..1.

        Returns:
            Fused luma [N, 1, H, W] in -1..1 (tanh), not clipped to 0..1.
        """
        d_thermal, d_visible = self.decompation(self.stem_1(thermal), self.stem_2(luma))
        gate = self.spa(
            torch.cat((channel_statistics(d_thermal), channel_statistics(d_visible)), 1)
        )
        mixed = gate * d_thermal + (1 - gate) * d_visible
        y: Tensor = self.stem_out(mixed + self.chain(mixed))
        return y
