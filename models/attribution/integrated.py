"""Integrated gradients for every class of a mask, and the fusion weights made of them.

Sources: Sundararajan, Taly, Yan, "Axiomatic Attribution for Deep Networks", ICML 2017, eq. 1 and
3; Bai et al., "Deep Unfolding Multi-modal Image Fusion Network via Attribution Analysis", IEEE
TCSVT 35(4), 2025 (the weights).

For the region R_j of class j and its mean score q_j over R_j, a picture x contributes (x - b)
times the mean of dq_j/dx along the straight path from the baseline b to x.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

FLOOR = 1e-8  # keeps the weights at one half where neither picture contributes
RULES = ('right', 'middle')  # where in each step of the path the gradient is taken


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """Return class ids int64 [N, H, W] as regions, bool [N, classes, H, W].

    Ids outside 0..classes - 1, such as 255 for unknown, are in no region.
    """
    known = (labels >= 0) & (labels < classes)
    regions = F.one_hot(labels.where(known, torch.zeros_like(labels)), classes).bool()
    return (regions & known[..., None]).permute(0, 3, 1, 2)


@dataclass(frozen=True)
class Integral:
    """Integrated gradients of one class.

    Attributes:
        label: its id.
        pixels: pixels of its region, over the whole batch.
        contributions: one [N, C, H, W] for each picture: what each pixel adds to
            the mean score over the region.
    """

    label: int
    pixels: int
    contributions: tuple[Tensor, ...]

    @property
    def totals(self) -> tuple[float, ...]:
        """What each picture as a whole adds to the score."""
        return tuple(float(part.sum()) for part in self.contributions)


def region_score(scores: Tensor, regions: Tensor, label: int) -> Tensor:
    """Return the mean score of a class over its region, from [N, classes, H, W] each."""
    return scores[:, label][regions[:, label]].mean()


def integrated_gradients(
    function: Callable[..., Tensor],
    pictures: Sequence[Tensor],
    regions: Tensor,
    steps: int,
    *,
    labels: Sequence[int] | None = None,
    baselines: Sequence[Tensor] | None = None,
    rule: str = 'middle',
) -> list[Integral]:
    """Say what every pixel of some pictures adds to the score of each class.

    All classes share one forward for each step. Parameters of the network get no gradients.

    Args:
        function: takes the pictures, returns scores [N, classes, H, W].
        pictures: one or more, [N, C, H, W] each.
        regions: bool [N, classes, H, W]; the region of a class spans the whole batch.
        steps: points on the path.
        labels: classes to explain; all that have a region if None.
        baselines: where the paths start, one for each picture; black if None.
        rule: 'middle' of each step, more exact, or its 'right' end as in the official code.

    Returns:
        One integral for each class that has a region, by its id.

    Raises:
        ValueError: steps under 1, an unknown rule, or baselines of another number.
    """
    if steps < 1 or rule not in RULES:
        msg = f'{steps} steps by rule {rule!r}: at least 1, and one of {RULES}'
        raise ValueError(msg)
    ends = [picture.detach() for picture in pictures]
    starts = [torch.zeros_like(end) for end in ends] if baselines is None else list(baselines)
    if len(starts) != len(ends):
        msg = f'{len(starts)} baselines for {len(ends)} pictures: give one for each'
        raise ValueError(msg)
    present = [int(j) for j in regions.flatten(2).any(2).any(0).nonzero()]
    present = [j for j in present if labels is None or j in labels]
    sums = {j: [torch.zeros_like(end) for end in ends] for j in present}
    for step in range(1, steps + 1) if present else ():
        part = (step if rule == 'right' else step - 0.5) / steps
        with torch.enable_grad():
            # x * part, not b + part (x - b), for black: the same rounding as the official code.
            points = [
                (end * part if baselines is None else start + part * (end - start))
                .detach()
                .requires_grad_()
                for start, end in zip(starts, ends, strict=True)
            ]
            scores = function(*points)
            for j in present:
                gradients = torch.autograd.grad(
                    region_score(scores, regions, j),
                    points,
                    retain_graph=j != present[-1],
                    allow_unused=True,
                )
                for total, gradient in zip(sums[j], gradients, strict=True):
                    if gradient is not None:
                        total.add_(gradient)
    return [
        Integral(
            label=j,
            pixels=int(regions[:, j].sum()),
            contributions=tuple(
                total / steps * (end - start)
                for total, start, end in zip(sums[j], starts, ends, strict=True)
            ),
        )
        for j in present
    ]


def class_maps(integrals: Sequence[Integral], regions: Tensor, picture: int = 0) -> Tensor:
    """Return how much a picture helps each class, spread over the class's region.

    On R_j the map of class j is ReLU(sum over R_j of the contributions) / |R_j|, elsewhere 0. The
    sums run over the whole batch.

    Args:
        integrals: of `integrated_gradients`.
        regions: bool [N, classes, H, W].
        picture: which of the pictures.

    Returns:
        [N, classes, H, W], 0 or more.
    """
    kind = integrals[0].contributions[picture].dtype if integrals else torch.float32
    maps = torch.zeros(regions.shape, dtype=kind, device=regions.device)
    for found in integrals:
        region = regions[:, found.label]
        inside = found.contributions[picture].sum(1)[region].sum() / found.pixels
        maps[:, found.label][region] = inside.clamp(min=0)
    return maps


@dataclass(frozen=True)
class Weights:
    """How much the fused picture should take from each modality, pixel by pixel.

    Attributes:
        thermal: w_i, [N, 1, H, W] in 0..1.
        visible: w_v, the same; they sum to 1.
        thermal_map: what they are made of, [N, classes, H, W].
        visible_map: the same of the visible picture.
    """

    thermal: Tensor
    visible: Tensor
    thermal_map: Tensor
    visible_map: Tensor


def weights_of(thermal_map: Tensor, visible_map: Tensor) -> Weights:
    """Return w_i and w_v of class maps [N, classes, H, W]."""
    of_thermal, of_visible = thermal_map.sum(1, keepdim=True), visible_map.sum(1, keepdim=True)
    total = of_thermal + of_visible + 2 * FLOOR
    return Weights(
        (of_thermal + FLOOR) / total, (of_visible + FLOOR) / total, thermal_map, visible_map
    )


def fusion_weights(
    segmenter: Callable[[Tensor], Tensor],
    thermal: Tensor,
    visible: Tensor,
    regions: Tensor,
    steps: int,
) -> Weights:
    """Return the weights of Bai et al.: each picture alone through one segmenter.

    Args:
        segmenter: maps [N, C, H, W] to scores [N, classes, H, W].
        thermal: [N, C, H, W].
        visible: the same shape.
        regions: bool [N, classes, H, W].
        steps: points on the path, the right end of each step (official).
    """
    maps = []
    for picture in (thermal, visible):
        found = integrated_gradients(segmenter, [picture], regions, steps, rule='right')
        maps.append(class_maps(found, regions))
    return weights_of(*maps)
