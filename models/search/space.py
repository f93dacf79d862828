"""What the search chooses from: one operator for each of the six edges of a fusion network."""

from __future__ import annotations

import random

import torch
from torch import Tensor

from models.genotype import Genotype

# The union recommended in the spec, 4.3: the released genotype, what is left of the authors' own
# list and that of their sister project.
OPERATORS = (
    'Residualblocks_3_1',
    'Residualblocks_5_1',
    'Residualblocks_7_1',
    'Residualblocks_3_2',
    'Denseblocks_3_1',
    'Denseblocks_5_1',
    'Denseblocks_3_2',
    'DilConv_3_2',
    'DilConv_5_2',
    'SepConv_3_1',
    'ECAattention_3',
    'SPAattention_3',
)
CELLS = ('normal_1', 'normal_2', 'normal_3')
POSITIONS = 2
EDGES = len(CELLS) * POSITIONS


def genotype_of(choices: list[int], name: str) -> Genotype:
    """Return the genotype with operator `choices[2 * cell + position]` at each edge."""
    names = [OPERATORS[i] for i in choices]
    cells = {cell: (names[2 * i], names[2 * i + 1]) for i, cell in enumerate(CELLS)}
    return Genotype(name=name, **cells)


def edges_of(genotype: Genotype) -> tuple[str, ...]:
    """Return a genotype's operators edge by edge: thermal, visible and fused cell."""
    return (*genotype.normal_1, *genotype.normal_2, *genotype.normal_3)


def best(alpha: Tensor, name: str) -> Genotype:
    """Return the genotype of the largest logits `alpha` [6, 12]."""
    return genotype_of(alpha.argmax(1).tolist(), name)


def draw(rng: random.Random, name: str) -> Genotype:
    """Draw a genotype, every operator as likely as another at each edge."""
    return genotype_of([rng.randrange(len(OPERATORS)) for _ in range(EDGES)], name)


def entropy(alpha: Tensor) -> float:
    """Return the mean entropy over the edges of softmax(`alpha` [6, 12]) in nats, 0..ln 12."""
    log_p = torch.log_softmax(alpha.detach(), 1)
    return float(-(log_p.exp() * log_p).sum(1).mean())
