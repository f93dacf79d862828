"""The gradient of the validation loss in alpha, through weights that follow alpha.

With F the upper (validation) and f the lower (training) loss, weights w and architecture a, the
gradient of F(w*(a), a) is dF/da - d2f/dadw (d2f/dw2)^-1 dF/dw. Both second derivatives are taken
as Gauss-Newton outer products of rank one, df/dw df/dw' and df/da df/dw', which leaves

    g = dF/da - rho df/da,   rho = <dF/dw, df/dw> / <df/dw, df/dw>

Source: spec of PAIF, 4.4. The released code of the sister project has the opposite sign and an
extra step size, which no derivation gives; this is the derived one. It is exact where f is the
square of one residual that is linear in w and a.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

KINDS = ('first', 'rank1')


@dataclass(frozen=True)
class Gradients:
    """Gradients of one loss.

    Attributes:
        weights: of each weight; None where it takes no part.
        architecture: of alpha, or of anything that alpha acts through.
    """

    weights: tuple[Tensor | None, ...]
    architecture: Tensor


def inner(a: Sequence[Tensor | None], b: Sequence[Tensor | None]) -> float:
    """Return the inner product of two lists of gradients, where None stands for zeros."""
    pairs = zip(a, b, strict=True)
    return float(sum(torch.sum(x * y) for x, y in pairs if x is not None and y is not None))


def projection(upper: Gradients, lower: Gradients) -> float:
    """Return rho; 0 where the training loss has no gradient in the weights."""
    square = inner(lower.weights, lower.weights)
    return inner(upper.weights, lower.weights) / square if square > 0 else 0.0


def hypergradient(upper: Gradients, lower: Gradients, kind: str) -> Tensor:
    """Return the gradient that the architecture follows, shaped as `architecture`.

    Args:
        upper: of the validation loss.
        lower: of the training loss, at the same weights and architecture.
        kind: 'first' takes the weights as they are (dF/da alone); 'rank1' the formula above.

    Raises:
        ValueError: the kind is unknown.
    """
    if kind == 'first':
        return upper.architecture
    if kind == 'rank1':
        return upper.architecture - projection(upper, lower) * lower.architecture
    msg = f'hypergradient {kind!r}: choose one of {KINDS}'
    raise ValueError(msg)
