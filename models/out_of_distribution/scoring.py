"""Scores a fusion on a domain: fusion metrics, and the masks of one segmenter behind all."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.crossfuse.network import CrossFuse
from models.evaluation.masks import Tensors
from models.fusion_metrics import FusionMetrics, fusion_metrics, mean_metrics
from models.metrics import confusion, scores
from models.out_of_distribution.sets import Domain
from models.paif import PAIF, recolour, rgb_to_ycrcb, stretch_image
from models.uaafusion.network import UAAFusion
from models.uaafusion.patches import luma_of

METRICS = ('EN', 'SD', 'SF', 'AG', 'MI', 'SCD', 'VIF', 'Qabf', 'MSSIM')


def fused_rgb(network: nn.Module, thermal: Tensor, visible: Tensor) -> Tensor:
    """Return the fused picture in the visible one's colours, RGB [N, 3, H, W] in 0..1.

    Args:
        network: of one of the three systems.
        thermal: [N, 1, H, W] in 0..1.
        visible: RGB [N, 3, H, W] in 0..1.
    """
    ycrcb = rgb_to_ycrcb(visible)
    if isinstance(network, UAAFusion):
        # Trained without a segmenter, so without its attention.
        *_, last = network.stages(thermal, ycrcb[:, :1], None)
        return recolour(stretch_image(last.fused), ycrcb)
    assert isinstance(network, PAIF | CrossFuse)
    return network.fuse(thermal, visible)[1]


@torch.no_grad()
def score(network: nn.Module, segmenter: PAIF, domain: Domain) -> dict[str, float]:
    """Score a trained fusion.

    Args:
        network: in eval mode.
        segmenter: lends its segmenter, the same one for every fusion.
        domain: pairs with or without labels.

    Returns:
        Means of METRICS over the pairs and, where there are labels, 'miou' and 'miou_foreground'
        in 0..1 over one confusion matrix. With two classes everything that is not background
        is taken together.
    """
    found: list[FusionMetrics] = []
    matrix = np.zeros((max(domain.classes, 1),) * 2, np.int64)
    for pair in domain.pairs:
        tensors = Tensors.of([pair])
        rgb = fused_rgb(network, tensors.thermal, tensors.visible)
        picture = (rgb[0] * 255).round().to(torch.uint8).movedim(0, 2).numpy()
        found.append(fusion_metrics(luma_of(pair.visible), pair.thermal, luma_of(picture)))
        if domain.classes:
            logits = segmenter.denoise_net(segmenter.segmenter_input(rgb))
            full = F.interpolate(logits, pair.label.shape, mode='bilinear', align_corners=False)
            mask = full.argmax(1)[0].to(torch.uint8).numpy()
            if domain.classes == 2:
                mask = np.minimum(mask, 1)
            matrix += confusion(pair.label, mask, domain.classes)
    mean = mean_metrics(found)
    result = {name: float(getattr(mean, name)) for name in METRICS}
    if domain.classes:
        scored = scores(matrix)
        result |= {'miou': scored.miou, 'miou_foreground': scored.miou_foreground}
    return result
