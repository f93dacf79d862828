"""What became of every frame and pair, and how long each stage took. For several threads."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from paif_ros.accounting import Accounting, Counts, DropReason, Source

NS_PER_MS = 1e6
# How a pair can end other than fused. Every pair ends in exactly one way.
PAIR_REASONS = (
    DropReason.SUPERSEDED,
    DropReason.MALFORMED,
    DropReason.ENGINE_ERROR,
    DropReason.NO_SUBSCRIBER,
    DropReason.SHUTDOWN,
)


@dataclass(frozen=True)
class StageTimes:
    """Where the time of one fused pair went, each in nanoseconds.

    Attributes:
        pairing: receipt of the later frame until the pair was made.
        waiting: pair made until the worker took it.
        decode: messages to arrays, thermal to 8 bit, both to the model's size.
        inference: the engine alone.
        convert: back to the camera's size, overlay, arrays to messages.
        publish: handing the messages to the middleware.
        total: receipt of the later frame until all is published.
    """

    pairing: int
    waiting: int
    decode: int
    inference: int
    convert: int
    publish: int
    total: int


STAGES = tuple(field.name for field in fields(StageTimes))


@dataclass(frozen=True)
class Percentiles:
    """Median and 99th percentile in milliseconds, NaN without values."""

    p50: float
    p99: float


@dataclass(frozen=True)
class Snapshot:
    """All numbers of one moment.

    Attributes:
        frames: what became of the frames of each camera.
        pairs: pairs made since the start = frames.paired + sum of lost + pending, exactly.
        lost: pairs that ended without a result, by `PAIR_REASONS`, zeros included.
        pending: pairs that wait or are worked on.
        latency: percentiles by stage over the last fused pairs.
        skew: percentiles of the distance of the two stamps over the last pairs.
    """

    frames: Counts
    pairs: int
    lost: Mapping[DropReason, int]
    pending: int
    latency: Mapping[str, Percentiles]
    skew: Percentiles


class Statistics:
    """Counts frames and pairs, and keeps the times of the last ones.

    Args:
        window: pairs that the percentiles look back on.
    """

    def __init__(self, window: int = 500) -> None:
        self._lock = threading.Lock()
        self._frames = Accounting()
        self._pairs = 0
        self._lost: Counter[DropReason] = Counter()
        self._times: deque[StageTimes] = deque(maxlen=window)
        self._skews: deque[int] = deque(maxlen=window)
        self._fused = 0
        self._closed = False

    def frame_received(self, source: Source) -> None:
        """Count a frame that came in."""
        with self._lock:
            self._frames.receive(source)

    def frame_dropped(self, source: Source, reason: DropReason) -> None:
        """Count a frame that found no partner."""
        with self._lock:
            self._frames.drop(source, reason)

    def pair_made(self, skew: int) -> None:
        """Count a new pair.

        Args:
            skew: distance of its two stamps in nanoseconds, of any sign.
        """
        with self._lock:
            self._pairs += 1
            self._skews.append(abs(skew))

    def pair_fused(self, times: StageTimes) -> None:
        """Count a pair whose result is out."""
        with self._lock:
            if not self._closed:
                self._fused += 1
                self._frames.pair()
                self._times.append(times)

    def pair_lost(self, reason: DropReason) -> None:
        """Count a pair that ended without a result."""
        with self._lock:
            if not self._closed:
                self._lose(reason)

    def close(self) -> None:
        """Count the pairs still pending as SHUTDOWN. How they end later changes nothing."""
        with self._lock:
            for _ in range(self._pending()):
                self._lose(DropReason.SHUTDOWN)
            self._closed = True

    def snapshot(self) -> Snapshot:
        """Return all counts and percentiles of this moment."""
        with self._lock:
            frames, pairs, pending = self._frames.counts(), self._pairs, self._pending()
            lost = {reason: self._lost[reason] for reason in PAIR_REASONS}
            times, skews = list(self._times), list(self._skews)
        latency = {name: percentiles([getattr(t, name) for t in times]) for name in STAGES}
        return Snapshot(frames, pairs, lost, pending, latency, percentiles(skews))

    def _lose(self, reason: DropReason) -> None:
        self._lost[reason] += 1
        self._frames.drop_pair(reason)

    def _pending(self) -> int:
        return self._pairs - self._fused - sum(self._lost.values())


def percentiles(values: Sequence[int]) -> Percentiles:
    """Return the nearest-rank percentiles of nanoseconds, in milliseconds."""
    if not values:
        return Percentiles(float('nan'), float('nan'))
    ordered = sorted(values)

    def rank(percent: int) -> float:
        return ordered[max(0, -(-len(ordered) * percent // 100) - 1)] / NS_PER_MS

    return Percentiles(rank(50), rank(99))
