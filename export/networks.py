"""The networks that are exported: how each is loaded, transformed and described."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from models import deploy as paif_deploy
from models.checkpoint import load_paif
from models.crossfuse import deploy as crossfuse_deploy
from models.crossfuse.checkpoint import load_crossfuse
from models.crossfuse.precision import PRECISIONS as CROSSFUSE_PRECISIONS
from models.precision import FP32, MIXED, PRECISIONS, Precision
from models.uaafusion import deploy as uaafusion_deploy
from models.uaafusion.checkpoint import load_uaafusion


class Plain(Protocol):
    """A trained network, as evaluation and attacks see it."""

    config: Any

    def __call__(self, thermal: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        """Return fused luma and logits of pictures in 0..1, [N, 1, H, W] and RGB [N, 3, H, W]."""
        ...


@dataclass(frozen=True)
class Exportable:
    """One kind of network.

    Attributes:
        load: reads weights strictly, with the name of a configuration where they carry none.
        deploy: makes the deployment form for (height, width) in a precision.
        precisions: names of those it can be exported in.
        architecture: JSON text for the card's `genotype`.
        bound: of fused luma and logits, transformed against plain, in float32.
    """

    load: Callable[[Path, str | None], Any]
    deploy: Callable[[Any, tuple[int, int], Precision], Any]
    precisions: tuple[str, ...]
    architecture: Callable[[Any], str]
    bound: float


def _deploy_paif(network: Any, size: tuple[int, int], precision: Precision) -> Any:
    del size  # the same graph for every size
    return paif_deploy.deploy(network, precision)


def _deploy_uaafusion(
    network: Any, size: tuple[int, int], precision: Precision, *, guided: bool = True
) -> Any:
    if precision not in (FP32, MIXED):
        msg = f"UAAFusion in precision '{precision}': only 'fp32' and 'mixed' are exported"
        raise ValueError(msg)
    return uaafusion_deploy.deploy(network, size, guided=guided, half=precision == MIXED)


def _deploy_crossfuse(network: Any, size: tuple[int, int], precision: Precision) -> Any:
    del size  # the same graph for every size
    if str(precision) not in CROSSFUSE_PRECISIONS:
        names = sorted(CROSSFUSE_PRECISIONS)
        msg = f"CrossFuse in precision '{precision}': only {names} are exported"
        raise ValueError(msg)
    return crossfuse_deploy.deploy(network, CROSSFUSE_PRECISIONS[str(precision)])


def _architecture(config: Any) -> str:
    return str(config.architecture())


NETWORKS = {
    'paif': Exportable(
        load=load_paif,
        deploy=_deploy_paif,
        precisions=tuple(sorted(PRECISIONS)),
        architecture=lambda config: config.genotype.to_json(),
        bound=1e-4,
    ),
    'crossfuse': Exportable(
        load=load_crossfuse,
        deploy=_deploy_crossfuse,
        precisions=tuple(sorted(CROSSFUSE_PRECISIONS)),
        architecture=_architecture,
        bound=1e-4,
    ),
    'uaafusion': Exportable(
        load=load_uaafusion,
        deploy=_deploy_uaafusion,
        precisions=('fp32', 'mixed'),
        architecture=_architecture,
        # Gradients jump where a ReLU6 switches: the official code's own float32 and float64 differ
        # by up to 1.7e-4.
        bound=5e-4,
    ),
    # The same weights without the attention: an approximation that is written only where it moves
    # the fused luma by less than half a grey level.
    'uaafusion_unguided': Exportable(
        load=load_uaafusion,
        deploy=partial(_deploy_uaafusion, guided=False),
        precisions=('fp32', 'mixed'),
        architecture=_architecture,
        bound=0.5 / 255,
    ),
}
