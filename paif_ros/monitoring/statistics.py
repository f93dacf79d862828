"""What became of every frame and job, and how long each stage took. For several threads.

A job is what the worker makes one result of: a pair, or a frame of one camera alone.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

from paif_ros.monitoring.accounting import Accounting, Counts, DropReason, JobKind, Source

NS_PER_MS = 1e6
# How a job, mostly a pair, can end other than published. Every job ends in exactly one way.
PAIR_REASONS = (
    DropReason.SUPERSEDED,
    DropReason.STALE,
    DropReason.MALFORMED,
    DropReason.UNREGISTERED,
    DropReason.ENGINE_ERROR,
    DropReason.NO_SUBSCRIBER,
    DropReason.INACTIVE,
    DropReason.SHUTDOWN,
)


@dataclass(frozen=True)
class StageTimes:
    """Where the time of one published result went, each in nanoseconds.

    Attributes:
        pairing: receipt of the later frame until the job was made.
        waiting: job made until it was taken, and between stages where these overlap.
        decode: messages to arrays.
        thermal: thermal frame to 8 bit.
        registration: thermal frame into the RGB frame, both to the model's size.
        inference: the engine alone.
        convert: back to the camera's size, overlay, arrays to messages.
        publish: handing the messages to the middleware.
        total: receipt of the later frame until all is published.
    """

    pairing: int
    waiting: int
    decode: int
    thermal: int
    registration: int
    inference: int
    convert: int
    publish: int
    total: int

    @property
    def unexplained(self) -> int:
        """What the stages leave of the total, in nanoseconds."""
        return 2 * self.total - sum(getattr(self, name) for name in STAGES)


STAGES = tuple(field.name for field in fields(StageTimes))


@dataclass(frozen=True)
class Percentiles:
    """Median and 99th percentile in milliseconds, NaN without values."""

    p50: float
    p99: float


@dataclass(frozen=True)
class Extremes:
    """Smallest and largest value in milliseconds, NaN without values."""

    least: float
    most: float


@dataclass(frozen=True)
class Ticket:
    """Names one job from its start to its end.

    Attributes:
        number: unlike that of any other job of the same `Statistics`.
        kind: which frames it uses up.
    """

    number: int
    kind: JobKind


@dataclass(frozen=True)
class Snapshot:
    """All numbers of one moment.

    sum of made = sum of results + sum of lost + sum of pending, exactly.

    Attributes:
        frames: what became of the frames of each camera.
        made: jobs made since the start, by kind.
        results: jobs whose result was published, by kind.
        lost: jobs that ended without a result, by `PAIR_REASONS`, zeros included.
        lost_alone: those of them that were of one camera.
        pending: jobs that wait or are worked on, by kind.
        latency: percentiles by stage over the last results.
        skew: percentiles of the distance of the two stamps over the last pairs.
        stamp_age: by source, receipt minus stamp of the last frames. Far from zero where the
            camera's clock is not the node's.
        deaths: workers that ended by an error of ours.
    """

    frames: Counts
    made: Mapping[JobKind, int]
    results: Mapping[JobKind, int]
    lost: Mapping[DropReason, int]
    lost_alone: Mapping[DropReason, int]
    pending: Mapping[JobKind, int]
    latency: Mapping[str, Percentiles]
    skew: Percentiles
    stamp_age: Mapping[Source, Extremes]
    deaths: int = 0

    @property
    def pairs(self) -> int:
        """Pairs made since the start, those with a reused thermal frame included."""
        return sum(count for kind, count in self.made.items() if kind.is_pair)

    @property
    def fused(self) -> int:
        """Pairs whose result was published, those with a reused thermal frame included."""
        return sum(count for kind, count in self.results.items() if kind.is_pair)

    @property
    def pending_frames(self) -> Mapping[Source, int]:
        """Frames that belong to pending jobs, by source."""
        return {
            source: sum(n for kind, n in self.pending.items() if source in kind.consumes)
            for source in Source
        }


class Statistics:
    """Counts frames and jobs, and keeps the times of the last ones.

    Args:
        window: jobs, and frames of each camera, that percentiles and extremes look back on.
    """

    def __init__(self, window: int = 500) -> None:
        self._lock = threading.Lock()
        self._frames = Accounting()
        self._made = dict.fromkeys(JobKind, 0)
        self._results = dict.fromkeys(JobKind, 0)
        self._lost = dict.fromkeys(PAIR_REASONS, 0)
        self._lost_alone = dict.fromkeys(PAIR_REASONS, 0)
        self._pending: set[Ticket] = set()
        self._deaths = 0
        self._times: deque[StageTimes] = deque(maxlen=window)
        self._skews: deque[int] = deque(maxlen=window)
        self._ages: dict[Source, deque[int]] = {source: deque(maxlen=window) for source in Source}

    def frame_received(self, source: Source, stamp_age: int | None = None) -> None:
        """Count a frame that came in.

        Args:
            source: its camera.
            stamp_age: ROS time of its receipt minus its stamp in nanoseconds, of any sign. None
                where one of the two is not known.
        """
        with self._lock:
            self._frames.receive(source)
            if stamp_age is not None:
                self._ages[source].append(stamp_age)

    def frame_dropped(self, source: Source, reason: DropReason) -> None:
        """Count a frame that did not become part of a job."""
        with self._lock:
            self._frames.drop(source, reason)

    def pair_made(self, skew: int, reused: bool = False) -> Ticket:
        """Count a new pair.

        Args:
            skew: distance of its two stamps in nanoseconds, of any sign.
            reused: whether its thermal frame was in an earlier pair.

        Returns:
            What `job_done` or `job_lost` take when it ends.
        """
        with self._lock:
            self._skews.append(abs(skew))
            return self._make(JobKind.REUSED if reused else JobKind.PAIR)

    def single_made(self, source: Source) -> Ticket:
        """Count a frame that is to be a result without the other camera.

        Returns:
            What `job_done` or `job_lost` take when it ends.
        """
        with self._lock:
            return self._make(JobKind.alone(source))

    def job_done(self, ticket: Ticket, times: StageTimes) -> None:
        """Count a job whose result is out. Changes nothing where the job has ended already."""
        with self._lock:
            if ticket in self._pending:
                self._pending.remove(ticket)
                self._results[ticket.kind] += 1
                self._frames.finish(ticket.kind)
                self._times.append(times)

    def job_lost(self, ticket: Ticket, reason: DropReason) -> None:
        """Count a job that ended without a result. Nothing changes where it had ended already.

        Raises:
            ValueError: the reason is not one of `PAIR_REASONS`.
        """
        _check(reason)
        with self._lock:
            if ticket in self._pending:
                self._lose(ticket, reason)

    def abandon(self, reason: DropReason) -> None:
        """Count every pending job as lost. How those jobs end later changes nothing.

        A worker that is stuck in native code when the node is deactivated or shut down can't
        count its job twice, nor upset the counts after the next activation.

        Raises:
            ValueError: the reason is not one of `PAIR_REASONS`.
        """
        _check(reason)
        with self._lock:
            for ticket in tuple(self._pending):
                self._lose(ticket, reason)

    def worker_died(self) -> None:
        """Count a worker that ended by an error of ours."""
        with self._lock:
            self._deaths += 1

    def snapshot(self) -> Snapshot:
        """Return all counts and percentiles of this moment."""
        with self._lock:
            frames, lost = self._frames.counts(), dict(self._lost)
            lost_alone = dict(self._lost_alone)
            made, results = dict(self._made), dict(self._results)
            pending = dict.fromkeys(JobKind, 0)
            for ticket in self._pending:
                pending[ticket.kind] += 1
            times, skews, deaths = list(self._times), list(self._skews), self._deaths
            ages = {source: list(kept) for source, kept in self._ages.items()}
        return Snapshot(
            frames=frames,
            made=made,
            results=results,
            lost=lost,
            lost_alone=lost_alone,
            pending=pending,
            latency={name: percentiles([getattr(t, name) for t in times]) for name in STAGES},
            skew=percentiles(skews),
            stamp_age={source: extremes(kept) for source, kept in ages.items()},
            deaths=deaths,
        )

    def _make(self, kind: JobKind) -> Ticket:
        ticket = Ticket(sum(self._made.values()), kind)
        self._made[kind] += 1
        self._pending.add(ticket)
        return ticket

    def _lose(self, ticket: Ticket, reason: DropReason) -> None:
        self._pending.remove(ticket)
        self._lost[reason] += 1
        self._lost_alone[reason] += not ticket.kind.is_pair
        self._frames.lose(ticket.kind, reason)


def _check(reason: DropReason) -> None:
    if reason not in PAIR_REASONS:
        raise ValueError(f'{reason} is no reason to lose a job, use one of PAIR_REASONS')


def percentiles(values: Iterable[int]) -> Percentiles:
    """Return the nearest-rank percentiles of nanoseconds, in milliseconds."""
    ordered = sorted(values)
    if not ordered:
        return Percentiles(float('nan'), float('nan'))

    def rank(percent: int) -> float:
        return ordered[max(0, -(-len(ordered) * percent // 100) - 1)] / NS_PER_MS

    return Percentiles(rank(50), rank(99))


def extremes(values: Sequence[int]) -> Extremes:
    """Return the smallest and largest of nanoseconds, in milliseconds."""
    if not values:
        return Extremes(float('nan'), float('nan'))
    return Extremes(min(values) / NS_PER_MS, max(values) / NS_PER_MS)
