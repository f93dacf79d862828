"""What each part of the deployment graph computes in, written into the graph itself.

Builders that choose by themselves do it wrongly: automatic converters put the guided filter in
FP16 without a word, where it is off by many grey levels. So every part has a name and a type here,
and the deployment network casts explicitly where one part hands over to the next. How far the
pictures move when a part changes its type is measured by `python -m export.islands`, see
docs/precision.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

ISLANDS = {
    'luma': 'luma of the visible picture',
    'box_statistics': 'guided filter: guide, box means, variance, covariance',
    'division': 'guided filter: covariance / (variance + eps)',
    'global_mean': 'mean of a map over the whole picture (channel attention)',
    'recolour': "fused luma and the visible picture's chroma to RGB, clamp to 0..1",
    'stretch': "min-max stretch of the fused picture, the segmenter's normalisation",
    'resize': "the logits' resize to the picture's size, argmax",
    'confidence': 'softmax of the best class',
    'rounding': 'times 255, rounding to bytes',
}
WORKERS = {
    'stems': 'first convolution of each modality',
    'filter_mixes': 'guided filter: 1x1 convolutions over its coefficients and features',
    'filter_means': 'guided filter: box means of the mixed coefficients, times the guide, sum',
    'cells': "the searched cells' convolutions and gates",
    'tail': 'gate between the modalities, last two convolutions, tanh',
    'stage1': "encoder's stage at stride 4: embedding, attention, feed-forward, norms",
    'stage2': 'the same at stride 8',
    'stage3': 'the same at stride 16',
    'stage4': 'the same at stride 32',
    'decoder': "1x1 convolutions and resizes of the encoder's maps, prediction",
}
PARTS = ISLANDS | WORKERS


@dataclass(frozen=True)
class Precision:
    """Which parts compute in FP16; all others compute in FP32.

    Attributes:
        parts: what each part is; another network's precision lists its own.
        half: names of `parts`.
    """

    parts: ClassVar[Mapping[str, str]] = PARTS
    half: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        unknown = sorted(self.half - self.parts.keys())
        if unknown:
            msg = f'parts {unknown} of the network: choose from {sorted(self.parts)}'
            raise ValueError(msg)

    def moved(self, *, to_half: Iterable[str] = (), to_full: Iterable[str] = ()) -> Precision:
        """Return this precision with some parts in FP16 and others in FP32.

        Raises:
            ValueError: there is no such part.
        """
        to_full = frozenset(to_full)
        type(self)(to_full)  # refuses unknown names, which taking away would not
        return type(self)((self.half | frozenset(to_half)) - to_full)

    def dtype(self, part: str) -> torch.dtype:
        """Return what a part computes in."""
        if part not in self.parts:
            msg = f'part {part!r} of the network: choose from {sorted(self.parts)}'
            raise ValueError(msg)
        return torch.float16 if part in self.half else torch.float32

    def cast(self, part: str, x: Tensor) -> Tensor:
        """Return `x` in the type of a part; the same tensor where it has it, so no Cast node."""
        dtype = self.dtype(part)
        return x if x.dtype == dtype else x.to(dtype)

    def place(self, part: str, *modules: nn.Module) -> None:
        """Turn the weights of modules into the type of their part."""
        for module in modules:
            module.to(self.dtype(part))

    def __str__(self) -> str:
        for name, known in PRECISIONS.items():
            if self == known:
                return name
        extra = [f'+{part}' for part in sorted(self.half - WORKERS.keys())]
        return ' '.join(['mixed', *extra, *(f'-{p}' for p in sorted(WORKERS.keys() - self.half))])


FP32 = Precision()
MIXED = Precision(frozenset(WORKERS))
# For a TensorRT that computes transformers wrongly in FP16: the whole encoder and decoder in FP32.
SAFE = MIXED.moved(to_full=('stage1', 'stage2', 'stage3', 'stage4', 'decoder'))
PRECISIONS = {'fp32': FP32, 'mixed': MIXED, 'safe': SAFE}
