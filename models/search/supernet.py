"""A fusion network that holds every operator at every edge, and the logits that choose."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.fusion import FusionNet
from models.genotype import Genotype
from models.operators import Operator
from models.search.space import EDGES, OPERATORS, POSITIONS, edges_of, genotype_of

RELAXATIONS = ('gumbel', 'softmax')


class Edge(nn.Module):
    """All operators over the same input, weighted; only those with a weight are computed."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.operators = nn.ModuleList(Operator(name, channels) for name in OPERATORS)
        self.mix: Tensor | None = None
        self.active: Sequence[int] = ()

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, H, W] to [N, C, H, W].

        Raises:
            RuntimeError: no weights were set (`Supernet.use`).
        """
        if self.mix is None:
            msg = 'the supernet has no architecture yet: call Supernet.use first'
            raise RuntimeError(msg)
        first, *others = (self.mix[i] * self.operators[i](x) for i in self.active)
        return sum(others, first)


class Supernet(FusionNet):
    """PAIF's fusion network with an `Edge` in place of each of its six operators.

    BatchNorm takes the statistics of its batch in every mode: what comes before an operator
    changes with each draw, so running statistics would be those of no network, and attacks, made
    in eval mode, would be made for another function than the one that is trained.

    Args:
        channels: width of the features.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(genotype_of([0] * EDGES, 'supernet'), channels)
        self.edges = [Edge(channels) for _ in range(EDGES)]  # registered by the chains below
        cells = [nn.Sequential(*self.edges[i : i + POSITIONS]) for i in range(0, EDGES, POSITIONS)]
        parts: nn.Module = self.decompation
        parts.chain, parts.chain2, chain = cells
        setattr(self, 'chain', chain)  # noqa: B010 - typed as FusionNet's own chain
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.track_running_stats = False
                module.running_mean = module.running_var = module.num_batches_tracked = None

    def use(self, mix: Tensor) -> None:
        """Weigh the operators by `mix` [6, 12] from now on; those of weight 0 are left out."""
        for edge, weights in zip(self.edges, mix, strict=True):
            edge.mix = weights
            edge.active = weights.detach().nonzero().flatten().tolist()

    def fix(self, genotype: Genotype) -> None:
        """Use the operators of a genotype alone."""
        mix = torch.zeros(EDGES, len(OPERATORS))
        for edge, name in enumerate(edges_of(genotype)):
            mix[edge, OPERATORS.index(name)] = 1
        self.use(mix)


class Architecture(nn.Module):
    """The logits alpha of every operator at every edge, as a probability and as a draw.

    Args:
        relaxation: 'softmax' weighs all operators (DARTS: Liu et al., ICLR 2019, eq. 2);
            'gumbel' draws one for each edge, with the softmax's gradient (GDAS: Dong and Yang,
            CVPR 2019, eq. 4 and 5), for a twelfth of the work.
        generator: of the first logits, small numbers so that no operator leads.

    Raises:
        ValueError: the relaxation is unknown.
    """

    def __init__(self, relaxation: str, generator: torch.Generator) -> None:
        super().__init__()
        if relaxation not in RELAXATIONS:
            msg = f'relaxation {relaxation!r}: choose one of {RELAXATIONS}'
            raise ValueError(msg)
        self.relaxation = relaxation
        start = 1e-3 * torch.randn(EDGES, len(OPERATORS), generator=generator)
        self.alpha = nn.Parameter(start)

    def probabilities(self) -> Tensor:
        """Return softmax(alpha), [6, 12]."""
        return self.alpha.softmax(1)

    def draw(self, temperature: float, generator: torch.Generator) -> Tensor:
        """Return weights [6, 12] of the operators, rows sum to 1, with a gradient to alpha.

        Args:
            temperature: of the Gumbel softmax whose gradient a draw takes.
            generator: of the draw.
        """
        if self.relaxation == 'softmax':
            return self.probabilities()
        uniform = torch.rand(self.alpha.shape, generator=generator).clamp(1e-9, 1 - 1e-7)
        noisy = self.alpha.log_softmax(1) - torch.log(-torch.log(uniform))
        soft = (noisy / temperature).softmax(1)
        hard = torch.zeros_like(soft).scatter(1, soft.argmax(1, keepdim=True), 1.0)
        # Exactly 0 and 1 forwards: `hard - soft + soft` would leave roundings, and so operators.
        return hard + (soft - soft.detach())
