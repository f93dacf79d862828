"""Why does the mask say so: the shares of the thermal and the visible picture in a class.

A fusion and segmentation network is a function of both pictures, so the path of integrated
gradients runs from two black pictures to the pair, and what the two add to a class's score sums up
to how far the score rose.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from models.attribution.integrated import (
    Integral,
    integrated_gradients,
    one_hot,
    region_score,
)
from models.paif import FLAT_RANGE, PAIF, rgb_to_ycrcb
from models.uaafusion.network import UAAFusion

Network = PAIF | UAAFusion
Scores = Callable[[Tensor, Tensor], Tensor]
STEPS = 16


def paif_scores(network: PAIF, thermal: Tensor, visible: Tensor) -> Scores:
    """Return PAIF as a function of both pictures that integrated gradients can follow.

    The stretch before the segmenter undoes any change of contrast: along a path from black to the
    pair the segmenter would see one and the same picture, and jump at its start. So the range is
    held at that of the pair, and the path tells about contents.

    Args:
        network: in eval mode.
        thermal: [N, 1, H, W] in 0..1, the pair that is explained.
        visible: RGB [N, 3, H, W].

    Returns:
        A function of pictures like these to softmax probabilities [N, classes, H, W].
    """
    pool = network.config.pool

    def seen(of_thermal: Tensor, of_visible: Tensor) -> Tensor:
        rgb = network.fuse(of_thermal, of_visible)[1]
        return F.avg_pool2d(rgb, pool) if pool > 1 else rgb

    with torch.no_grad():
        pair = seen(thermal, visible)
        low, high = (end((1, 2, 3), keepdim=True) for end in (pair.amin, pair.amax))
    span = torch.where(high - low > FLAT_RANGE, high - low, torch.ones_like(low))

    def scores(of_thermal: Tensor, of_visible: Tensor) -> Tensor:
        rgb = seen(of_thermal, of_visible)
        if not network.config.colour:
            rgb = luma_of(rgb).expand(-1, 3, -1, -1)
        logits = network.denoise_net(((rgb - low) / span * 255 - network.mean) / network.std)
        full = F.interpolate(logits, of_thermal.shape[2:], mode='bilinear', align_corners=False)
        return torch.softmax(full, 1)

    return scores


def uaafusion_scores(network: UAAFusion, thermal: Tensor, visible: Tensor) -> Scores:
    """Return UAAFusion as a function of both pictures to scores [N, classes, H, W] in 0..1.

    The mask that leads the stages is held at that of the pair; the attention inside is a gradient
    itself and is taken as a constant at each point, as in training.

    Args:
        network: in eval mode.
        thermal: [N, 1, H, W] in 0..1, the pair that is explained.
        visible: RGB [N, 3, H, W].
    """
    mask = torch.sigmoid(network.mean_logits(thermal, luma_of(visible)))

    def scores(of_thermal: Tensor, of_visible: Tensor) -> Tensor:
        fused = network.fuse_luma(of_thermal, luma_of(of_visible), mask)
        return network.segmenter(fused)

    return scores


def luma_of(visible: Tensor) -> Tensor:
    """Return the luma [N, 1, H, W] of RGB [N, 3, H, W]."""
    return rgb_to_ycrcb(visible)[:, :1]


def scores_of(network: Network, thermal: Tensor, visible: Tensor) -> Scores:
    """Return a network as `paif_scores` or `uaafusion_scores` do."""
    if isinstance(network, UAAFusion):
        return uaafusion_scores(network, thermal, visible)
    return paif_scores(network, thermal, visible)


@dataclass(frozen=True)
class Reason:
    """Why the mask shows a class where it does.

    Attributes:
        label: class id.
        pixels: of its region.
        score: mean score over the region for the pair.
        black: the same for two black pictures.
        thermal: what the thermal picture adds to it, as a whole.
        visible: what the visible picture adds.
        thermal_map: what each pixel adds, [H, W].
        visible_map: the same of the visible picture, its channels summed.
    """

    label: int
    pixels: int
    score: float
    black: float
    thermal: float
    visible: float
    thermal_map: Tensor
    visible_map: Tensor

    @property
    def thermal_share(self) -> float:
        """Part of the thermal picture in what speaks for the class, 0..1; one half for nothing."""
        both = max(self.thermal, 0.0) + max(self.visible, 0.0)
        return max(self.thermal, 0.0) / both if both > 0 else 0.5

    @property
    def gap(self) -> float:
        """How far both are from `score - black`: 0 for infinitely many steps."""
        return self.thermal + self.visible - (self.score - self.black)


@dataclass(frozen=True)
class Explanation:
    """A pair's mask and a reason for each explained class.

    Attributes:
        mask: class ids, int64 [H, W].
        fused: fused picture, RGB [3, H, W] in 0..1.
        reasons: by class id.
    """

    mask: Tensor
    fused: Tensor
    reasons: tuple[Reason, ...]


def explain(
    network: Network,
    thermal: Tensor,
    visible: Tensor,
    labels: Sequence[int] | None = None,
    steps: int = STEPS,
) -> Explanation:
    """Explain the mask of one pair.

    Args:
        network: in eval mode; its weights get no gradients.
        thermal: [1, 1, H, W] in 0..1.
        visible: RGB [1, 3, H, W] in 0..1.
        labels: class ids to explain; all that the mask has if None.
        steps: points on the path; see `Reason.gap` for whether they are enough.

    Raises:
        ValueError: more than one pair.
    """
    if len(thermal) != 1:
        msg = f'{len(thermal)} pairs at once: regions would span all of them, explain one by one'
        raise ValueError(msg)
    with torch.no_grad():
        fused = network.fuse(thermal, visible)[1]
        scores = scores_of(network, thermal, visible)
        top = scores(thermal, visible)
        mask = network_mask(network, thermal, visible)
        bottom = scores(torch.zeros_like(thermal), torch.zeros_like(visible))
    regions = one_hot(mask, top.shape[1])
    found = integrated_gradients(scores, (thermal, visible), regions, steps, labels=labels)
    reasons = tuple(reason(integral, regions, top, bottom) for integral in found)
    return Explanation(mask[0], fused[0], reasons)


def network_mask(network: Network, thermal: Tensor, visible: Tensor) -> Tensor:
    """Return the network's mask of pictures in 0..1, int64 [N, H, W]."""
    logits = network(thermal, visible)[1]
    full = F.interpolate(logits, thermal.shape[2:], mode='bilinear', align_corners=False)
    return full.argmax(1)


def reason(integral: Integral, regions: Tensor, top: Tensor, bottom: Tensor) -> Reason:
    """Return an integral as a reason.

    Args:
        integral: of the thermal and the visible picture.
        regions: bool [1, classes, H, W].
        top: scores of the pair, [1, classes, H, W].
        bottom: scores of black pictures.
    """
    of_thermal, of_visible = (part.sum(1)[0] for part in integral.contributions)
    return Reason(
        label=integral.label,
        pixels=integral.pixels,
        score=float(region_score(top, regions, integral.label)),
        black=float(region_score(bottom, regions, integral.label)),
        thermal=float(of_thermal.sum()),
        visible=float(of_visible.sum()),
        thermal_map=of_thermal,
        visible_map=of_visible,
    )
