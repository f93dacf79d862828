"""Pretext defence initialisation: one start for fusion, aggregated from three attack strengths.

From θ, copies are fitted for a few steps each to pictures under a small, a moderate and a heavy
attack; θ then moves towards their mean, θ <- θ + β mean_k(θ_k - θ) (Reptile: Nichol et al., "On
first-order meta-learning algorithms", 2018). The paper shows the three copies and their
aggregation in a figure (spec 5); that it is Reptile, the strengths, the inner steps and β are our
choice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from models.data import Batch
from models.objective import Objective
from models.paif import PAIF
from models.workers import Workers

STRENGTHS = (2 / 255, 4 / 255, 8 / 255)  # small, moderate, heavy


@dataclass(frozen=True)
class Pretext:
    """One outer step at a time.

    Attributes:
        objective: of kind 'fuse'; its attack's eps and step are scaled to each strength.
        strengths: eps of the attacks, in 0..1.
        inner: steps of each copy.
        beta: how far the network moves towards the copies' mean.
    """

    objective: Objective
    strengths: tuple[float, ...] = STRENGTHS
    inner: int = 2
    beta: float = 0.5

    def step(
        self,
        network: PAIF,
        batch: Batch,
        rate: float,
        generator: torch.Generator,
        workers: Workers,
    ) -> float:
        """Move the fusion network of `network` one outer step; return the mean inner loss.

        Args:
            network: in training mode; BatchNorm statistics follow the copies too.
            batch: pairs of this step; each inner step takes all of them.
            rate: learning rate of the inner Adam steps.
            generator: of the attacks' random starts.
            workers: processes whose copies are averaged too.
        """
        parameters: list[Tensor] = list(network.enhance_net.parameters())
        origin = [p.detach().clone() for p in parameters]
        moves = [torch.zeros_like(p) for p in origin]
        total = 0.0
        for eps in self.strengths:
            total += self._fit(network, batch, self._at(eps), rate, generator)
            with torch.no_grad():
                torch._foreach_add_(moves, torch._foreach_sub(parameters, origin))
                torch._foreach_copy_(parameters, origin)
        workers.average(moves)
        with torch.no_grad():
            torch._foreach_add_(parameters, moves, alpha=self.beta / len(self.strengths))
        return total / (len(self.strengths) * self.inner)

    def _at(self, eps: float) -> Objective:
        """Return the objective under its attack at another strength."""
        attack = self.objective.attack
        scaled = replace(attack, eps=eps, step=attack.step * eps / attack.eps)
        return replace(self.objective, attack=scaled)

    def _fit(
        self,
        network: PAIF,
        batch: Batch,
        objective: Objective,
        rate: float,
        generator: torch.Generator,
    ) -> float:
        """Fit the fusion network to one strength in place; return the sum of its losses."""
        parameters = list(network.enhance_net.parameters())
        optimiser = torch.optim.Adam(parameters, rate)
        total = 0.0
        for _ in range(self.inner):
            loss: Tensor = objective(network, batch, generator)
            grads = torch.autograd.grad(loss, parameters, allow_unused=True)
            for parameter, grad in zip(parameters, grads, strict=True):
                parameter.grad = grad
            optimiser.step()
            total += loss.item()
        return total
