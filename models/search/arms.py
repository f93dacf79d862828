"""What a searched genotype is compared with, at equal latency and at an equal budget."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from models.genotype import Genotype
from models.paif import PAIFConfig
from models.search.space import draw
from models.search.table import Latencies

TOLERANCE = 0.1  # of the latency that counts as equal
TRIES = 200_000  # draws after which no genotype of that latency is expected any more


@dataclass(frozen=True)
class Arm:
    """One network of the comparison.

    Attributes:
        name: as it stands in the table.
        genotype: its operators.
        channels: width of its fusion network.
        milliseconds: of the whole network, by the latency table.
    """

    name: str
    genotype: Genotype
    channels: int
    milliseconds: float

    def config(self, base: PAIFConfig) -> PAIFConfig:
        """Return a configuration with this arm's operators and width."""
        return replace(base, genotype=self.genotype, channels=self.channels)


@dataclass(frozen=True)
class Yardstick:
    """What latencies are read from.

    Attributes:
        table: latencies of one machine.
        network: its entry that totals are of.
    """

    table: Latencies
    network: str

    def arm(self, name: str, genotype: Genotype, channels: int) -> Arm:
        """Return an arm with its latency.

        Raises:
            ValueError: the table lacks the width, an operator or the network.
        """
        return Arm(name, genotype, channels, self.table.total(genotype, self.network, channels))


def narrowed(name: str, genotype: Genotype, target: float, yardstick: Yardstick) -> Arm:
    """Return a genotype at the measured width whose latency is closest to a target.

    Widths are even, so few exist and none may hit the target: the table of the comparison shows
    how far off it is.

    Args:
        name: of the arm.
        genotype: what is narrowed.
        target: milliseconds of the whole network.
        yardstick: has the widths.
    """
    arms = [yardstick.arm(name, genotype, width) for width in sorted(yardstick.table.fusion)]
    return min(arms, key=lambda arm: abs(arm.milliseconds - target))


def candidates(
    count: int, channels: int, target: float, yardstick: Yardstick, seed: int
) -> list[Arm]:
    """Draw different genotypes of about a target's latency.

    Args:
        count: how many.
        channels: width of the fusion network.
        target: milliseconds of the whole network; a tenth more or less counts as equal.
        yardstick: has the latencies.
        seed: of the draw.

    Raises:
        ValueError: so many were not found, which a target outside the space's range does.
    """
    rng = random.Random(seed)
    found: dict[tuple[str, ...], Arm] = {}
    for _ in range(TRIES):
        if len(found) == count:
            break
        genotype = draw(rng, f'random{seed}')
        arm = yardstick.arm('random', genotype, channels)
        if abs(arm.milliseconds - target) <= TOLERANCE * target:
            key = (*genotype.normal_1, *genotype.normal_2, *genotype.normal_3)
            found.setdefault(key, arm)
    if len(found) < count:
        msg = (
            f'{len(found)} of {count} genotypes within {TOLERANCE:.0%} of {target:.1f} ms in '
            f'{TRIES} draws: ask for fewer --candidates'
        )
        raise ValueError(msg)
    return list(found.values())
