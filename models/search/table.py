"""A machine's measured latencies, and what they say about a genotype or a relaxation of one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.genotype import Genotype, read_named
from models.search.space import edges_of

FOLDER = Path(__file__).parents[1] / 'latency'


@dataclass(frozen=True)
class Timing:
    """What one session took, in milliseconds of a run.

    Attributes:
        cpu_p10: 10th percentile of the process's CPU time; what the search uses. On a machine
            whose cores are shared the wall clock counts the waiting too, this does not. Of CUDA:
            of the device's time between two events.
        cpu_median: its median.
        wall_p10: 10th percentile of the wall clock.
        wall_median: its median.
    """

    cpu_p10: float
    cpu_median: float
    wall_p10: float
    wall_median: float


@dataclass(frozen=True)
class Latencies:
    """Latencies measured on one machine, read from `models/latency` or a path.

    Attributes:
        operators: by width of the fusion network, then by name.
        fusion: by width: the fusion network with empty cells.
        networks: by configuration: the whole network, empty cells; its width is in `widths`.
        widths: by configuration: width of its fusion network.
        machine: where, when, with which versions and under which load.
    """

    operators: dict[int, dict[str, Timing]]
    fusion: dict[int, Timing]
    networks: dict[str, Timing]
    widths: dict[str, int]
    machine: dict[str, Any]

    def costs(self, channels: int, names: Sequence[str]) -> Tensor:
        """Return the milliseconds of operators, float32 [len(names)].

        Raises:
            ValueError: the width or an operator was not measured.
        """
        try:
            return torch.tensor([self.operators[channels][name].cpu_p10 for name in names])
        except KeyError as err:
            msg = (
                f'the latency table lacks {err.args[0]!r} at {channels} channels; it has '
                f'{sorted(self.operators)}: measure it with python -m models.search.latency'
            )
            raise ValueError(msg) from err

    def rest(self, network: str, channels: int) -> float:
        """Return the milliseconds of all but the cells: a configuration at some width.

        Raises:
            ValueError: the configuration or the width was not measured.
        """
        try:
            outside = self.networks[network].cpu_p10 - self.fusion[self.widths[network]].cpu_p10
            return outside + self.fusion[channels].cpu_p10
        except KeyError as err:
            msg = (
                f'the latency table lacks {err.args[0]!r}; it has {sorted(self.networks)} and '
                f'widths {sorted(self.fusion)}: measure it with python -m models.search.latency'
            )
            raise ValueError(msg) from err

    def total(self, genotype: Genotype, network: str, channels: int) -> float:
        """Return the milliseconds of a whole network with this genotype, by the table's sum."""
        cells = self.costs(channels, edges_of(genotype)).sum()
        return self.rest(network, channels) + float(cells)

    def to_json(self) -> str:
        """Return the table as JSON text."""
        return json.dumps(asdict(self), indent=2) + '\n'

    @classmethod
    def from_json(cls, text: str) -> Latencies:
        """Read a table.

        Raises:
            ValueError: an entry is missing or has another form.
        """
        data = json.loads(text)
        try:
            return cls(
                operators={
                    int(width): {name: Timing(**t) for name, t in timings.items()}
                    for width, timings in data['operators'].items()
                },
                fusion={int(width): Timing(**t) for width, t in data['fusion'].items()},
                networks={name: Timing(**t) for name, t in data['networks'].items()},
                widths=data['widths'],
                machine=data['machine'],
            )
        except (KeyError, TypeError, AttributeError) as err:
            msg = f'not a latency table: {err!r}'
            raise ValueError(msg) from err


def load_latencies(name: str | Path) -> Latencies:
    """Load a table by the path of its JSON file, or by name from `models/latency`.

    Raises:
        FileNotFoundError: neither exists; the message lists the known names.
        ValueError: the file is not a latency table.
    """
    return Latencies.from_json(read_named(name, FOLDER, 'latency table'))


def expected(probabilities: Tensor, costs: Tensor) -> Tensor:
    """Return the expected milliseconds of the cells under a relaxation, a scalar with gradient.

    Args:
        probabilities: of each operator at each edge, [edges, operators], rows sum to 1.
        costs: of each operator in milliseconds, [operators].
    """
    return (probabilities * costs).sum()
