"""What each part of CrossFuse's deployment graph computes in (see `models.precision`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from models import precision
from models.precision import Precision

SHARED = ('luma', 'recolour', 'stretch', 'resize', 'confidence', 'rounding')
ISLANDS = {
    'statistics': "mean and variance of every pixel's channels (LayerNorm)",
    'norms': 'squares of queries and keys, summed over the whole picture',
    'softmax': "temperature and softmax of the channels' attention, 1 / norms",
    'coupling': 'high frequencies: exp, and what it is multiplied with',
    'upsampling': 'guided upsampling: box means, variances, division',
    'sigmoid': "change and luma to the fused luma's sigmoid",
} | {name: precision.ISLANDS[name] for name in SHARED}
WORKERS = {
    'stream': 'first convolution, sums of branches and skips',
    'attention': 'convolutions and products of the attention of channels',
    'feed_forward': 'gated feed-forward: convolutions, GELU',
    'base': 'low frequencies: 3x3 convolutions, attention, feed-forward',
    'detail': 'high frequencies: bottlenecks, mixing convolutions',
    'tail': "decoder's first 1x1 and last two convolutions",
} | {name: text for name, text in precision.WORKERS.items() if name.startswith(('stage', 'deco'))}


@dataclass(frozen=True)
class CrossFusePrecision(Precision):
    """Which parts of CrossFuse compute in FP16."""

    parts: ClassVar[Mapping[str, str]] = ISLANDS | WORKERS


FP32 = CrossFusePrecision()
MIXED = CrossFusePrecision(frozenset(WORKERS))
PRECISIONS = {'fp32': FP32, 'mixed': MIXED}
