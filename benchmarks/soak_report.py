"""What a soak is judged by.

Accounting: every frame and pair that the node took in has exactly one ending in its counters, and
every result that it counts was received.

Latency: the last tenth of the pairs may be 10 % slower than the first, by each of three figures.
The 99th percentile of 1,800 pairs is made by the 18 slowest, on a shared machine by other
programs. So it is taken of each 100 pairs in a row, and the lower quartile of these counts: a node
that got slower is slower in the calm blocks too. The same is done with the time that the node's
process has computed for each pair, in which waiting for a core does not count: it repeats within
5 % where the latency repeats within 50. And the median of the latency shows what waits without
computing.

Where a figure still looks like growth, the machine may have become busier. Then a fresh node is
started and both get blocks in turns, so that other programs meet both. What every one of several
such second opinions finds in the same figure is growth.

Memory, threads, files: the node's process holds no more in the last tenth than in the second one
(the first still fills caches), up to `MEMORY_LIMIT`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from statistics import median

from paif_ros.monitoring.accounting import DropReason, Source
from paif_ros.monitoring.statistics import PAIR_REASONS, percentiles

BLOCK = 100  # pairs
TENTHS = 10
LATENCY_LIMIT = 1.1  # last tenth over first
MEMORY_LIMIT = 5 * 2**20  # bytes
MEBIBYTE = 2**20


@dataclass(frozen=True)
class Sample:
    """What the node's process held after so many answers.

    Attributes:
        answered: pairs.
        memory: bytes.
        threads: how many.
        files: open descriptors.
    """

    answered: int
    memory: int
    threads: int
    files: int


@dataclass(frozen=True)
class Pace:
    """How fast a node answers, in milliseconds; or how fast against another one.

    Attributes:
        p50: median latency.
        p99: lower quartile of the 99th percentiles of blocks.
        cpu_p99: the same of the time that the node's process computed for each pair.
    """

    p50: float
    p99: float
    cpu_p99: float

    @classmethod
    def of(cls, latencies: Sequence[int], costs: Sequence[int]) -> Pace:
        """Judge by the ns of answered pairs and the ns of computing for each sent pair."""
        return cls(percentiles(latencies).p50, calm_p99(latencies), calm_p99(costs))

    def over(self, other: Pace) -> Pace:
        """Return the ratios."""
        return Pace(*(getattr(self, name) / getattr(other, name) for name in FIGURES))


FIGURES = ('p50', 'p99', 'cpu_p99')


@dataclass(frozen=True)
class Report:
    """The figures of a soak.

    Attributes:
        seconds: that it took.
        load: load average of the machine at its start.
        in_turn: whether each pair was sent when the one before had been answered.
        sent: pairs.
        answered: masks received.
        latencies: ns of each answered pair, without those of second opinions.
        costs: ns that the node's process computed for each sent pair, likewise.
        samples: of the node's process.
        opinions: its pace over that of a fresh node, as often as that was asked.
        values: the node's last diagnostics.
    """

    seconds: float
    load: float
    in_turn: bool
    sent: int
    answered: int
    latencies: tuple[int, ...]
    costs: tuple[int, ...]
    samples: tuple[Sample, ...]
    opinions: tuple[Pace, ...]
    values: Mapping[str, str]

    def pace(self, number: int) -> Pace:
        """Return that of one tenth, 0 to 9."""
        return Pace.of(tenth(self.latencies, number), tenth(self.costs, number))

    @property
    def growth(self) -> Pace:
        """The pace of the last tenth over that of the first."""
        return self.pace(9).over(self.pace(0))

    @property
    def slower(self) -> list[str]:
        """The figures that grew by more than the limit, and by every second opinion."""
        return [
            name
            for name in FIGURES
            if all(getattr(seen, name) > LATENCY_LIMIT for seen in (self.growth, *self.opinions))
        ]

    @property
    def memory_growth(self) -> int:
        """Median bytes in the last tenth less those in the second one."""
        second, last = (tenth(self.samples, number) for number in (1, 9))
        return round(median(s.memory for s in last) - median(s.memory for s in second))

    @property
    def judgeable(self) -> bool:
        """Whether each tenth has a block of pairs."""
        return len(self.latencies) >= TENTHS * BLOCK

    def wrong(self) -> list[str]:
        """Return what is wrong, in words; nothing is the aim."""
        if not self.judgeable:
            return [f'{len(self.latencies)} answers are too few to judge by']
        return [*self._miscounted(), *self._grown()]

    def _count(self, key: str) -> int:
        return int(self.values[key])

    def _miscounted(self) -> list[str]:
        found = []
        for source in Source:
            received = self._count(f'{source}.received')
            dropped = sum(self._count(f'{source}.dropped.{reason}') for reason in DropReason)
            used = self._count(f'{source}.paired') + self._count(f'{source}.single')
            if self._count(f'{source}.pending') or received != used + dropped:
                found.append(f'{source}: {received} received, {used} used, {dropped} dropped')
            if self.in_turn and received != self.sent:
                found.append(f'{source}: {self.sent} sent, {received} received')
        made, fused = self._count('pairs.made'), self._count('pairs.fused')
        lost = sum(self._count(f'pairs.{reason}') for reason in PAIR_REASONS)
        singles = [
            self._count(f'singles.{s}.made') - self._count(f'singles.{s}.published')
            for s in Source
        ]
        if self._count('pairs.pending') or made + sum(singles) != fused + lost:
            found.append(f'{made} pairs made, {fused} fused, {lost} lost')
        if self.in_turn and self.answered != fused:
            found.append(f'{fused} fused, {self.answered} answers')
        return found

    def _grown(self) -> list[str]:
        found = []
        for name in self.slower:
            against = ', '.join(f'{getattr(seen, name):.2f}' for seen in self.opinions) or 'none'
            text = f'{name} of the last tenth is {getattr(self.growth, name):.2f} of the first'
            found.append(f'{text}; against fresh nodes: {against}')
        if self.memory_growth > MEMORY_LIMIT:
            found.append(f'memory grew by {self.memory_growth / MEBIBYTE:.1f} MB')
        second, last = (tenth(self.samples, number) for number in (1, 9))
        for name in ('threads', 'files'):
            before, after = (max(getattr(s, name) for s in part) for part in (second, last))
            if after > before:
                found.append(f'{name}: {before}, in the end {after}')
        return found

    def table(self) -> str:
        """Return all figures as Markdown."""
        dropped = {
            f'{name}: {reason}': self._count(f'{name}.{key}{reason}')
            for name, key, reasons in (
                ('pairs', '', PAIR_REASONS),
                *((str(source), 'dropped.', tuple(DropReason)) for source in Source),
            )
            for reason in reasons
        }
        lines = [
            f'{self.sent} pairs in {self.seconds:.0f} s, load {self.load:.1f} at the start',
            '',
            '| tenth | answers | p50 ms | p99 ms | CPU p99 ms | memory MB | threads | files |',
            '|---|---|---|---|---|---|---|---|',
        ]
        for number in range(TENTHS):
            times, held = tenth(self.latencies, number), tenth(self.samples, number)
            if times and held:
                pace = self.pace(number)
                lines.append(
                    f'| {number + 1} | {len(times)} | {pace.p50:.2f} | {pace.p99:.2f} '
                    f'| {pace.cpu_p99:.2f} | {held[-1].memory / MEBIBYTE:.1f} '
                    f'| {held[-1].threads} | {held[-1].files} |'
                )
        lines += ['', '| received | fused | answers received | lost on the way | dropped |']
        lines += ['|---|---|---|---|---|']
        received = [self._count(f'{source}.received') for source in Source]
        lines.append(
            f'| {" + ".join(map(str, received))} | {self._count("pairs.fused")} | {self.answered} '
            f'| {2 * self.sent - sum(received)} '
            f'| {", ".join(f"{n} {what}" for what, n in dropped.items() if n) or "none"} |'
        )
        lines += ['', *(f'WRONG: {text}' for text in self.wrong())]
        if not self.wrong():
            lines.append(
                f'fine: p99 of the last tenth {self.growth.p99:.2f} of the first, of the time '
                f'computed {self.growth.cpu_p99:.2f}, {len(self.opinions)} second opinions, '
                f'memory {self.memory_growth / MEBIBYTE:+.1f} MB'
            )
        return '\n'.join(lines)

    def json(self) -> str:
        """Return the figures, of latencies and costs the percentiles of blocks only."""
        told = asdict(replace(self, latencies=(), costs=()))
        for name in ('latencies', 'costs'):
            blocks = _blocks(getattr(self, name))
            told[name] = {'block_p99_ms': [round(percentiles(b).p99, 3) for b in blocks]}
        told['wrong'] = self.wrong()
        return json.dumps(told, indent=1) + '\n'


def tenth(values: Sequence, number: int) -> Sequence:
    """Return one tenth of a sequence, 0 to 9."""
    ends = [len(values) * n // TENTHS for n in (number, number + 1)]
    return values[ends[0] : ends[1]]


def calm_p99(times: Sequence[int]) -> float:
    """Return the lower quartile of the 99th percentiles of blocks of ns, in milliseconds."""
    found = sorted(percentiles(block).p99 for block in _blocks(times))
    return found[(len(found) - 1) // 4]


def _blocks(values: Sequence[int]) -> list[Sequence[int]]:
    """Cut into parts of `BLOCK` or a few more, without a rest."""
    count = max(1, len(values) // BLOCK)
    ends = [len(values) * n // count for n in range(count + 1)]
    return [values[start:end] for start, end in pairwise(ends)]
