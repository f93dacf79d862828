"""What becomes of every frame: the reasons to drop one, and counters that must balance.

received = paired + single + dropped + pending holds exactly, for each camera, at every moment.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Source(str, Enum):
    """Which camera a frame is from."""

    VISIBLE = 'visible'
    THERMAL = 'thermal'

    def __str__(self) -> str:
        return self.value

    @property
    def other(self) -> Source:
        """The other camera."""
        return Source.THERMAL if self is Source.VISIBLE else Source.VISIBLE


class DropReason(str, Enum):
    """Why a frame did not end in a published result."""

    BAD_STAMP = 'bad_stamp'  # zero or negative
    DUPLICATE = 'duplicate'  # same stamp as the stream's frame before
    OUT_OF_ORDER = 'out_of_order'  # a little older than the stream's frame before
    TIME_JUMP = 'time_jump'  # of a time that was left by a jump back
    NO_PARTNER = 'no_partner'  # no frame of the other camera was near, or a nearer one had it
    OVERFLOW = 'overflow'  # oldest of a full queue
    SUPERSEDED = 'superseded'  # a newer pair took its place before the model was free
    STALE = 'stale'  # waited longer than sync.max_age for the network
    MALFORMED = 'malformed'
    UNREGISTERED = 'unregistered'  # the calibration does not fit these pictures
    ENGINE_ERROR = 'engine_error'
    NO_SUBSCRIBER = 'no_subscriber'  # nobody listens, so nothing was computed
    INACTIVE = 'inactive'  # the node was deactivated
    SHUTDOWN = 'shutdown'

    def __str__(self) -> str:
        return self.value


class JobKind(str, Enum):
    """What one result is made of, and so which frames it uses up."""

    PAIR = 'pair'
    REUSED = 'reused'  # a pair whose thermal frame was counted with an earlier pair
    VISIBLE_ALONE = 'visible_alone'
    THERMAL_ALONE = 'thermal_alone'

    def __str__(self) -> str:
        return self.value

    @classmethod
    def alone(cls, source: Source) -> JobKind:
        """Return the kind of a result of one camera."""
        return cls.VISIBLE_ALONE if source is Source.VISIBLE else cls.THERMAL_ALONE

    @property
    def is_pair(self) -> bool:
        """Whether the result is of both cameras."""
        return self in (JobKind.PAIR, JobKind.REUSED)

    @property
    def consumes(self) -> tuple[Source, ...]:
        """The cameras of which it ends a frame."""
        if self is JobKind.PAIR:
            return tuple(Source)
        return (Source.THERMAL,) if self is JobKind.THERMAL_ALONE else (Source.VISIBLE,)


@dataclass(frozen=True)
class Counts:
    """A moment's numbers of an `Accounting`.

    Attributes:
        received: frames that came in, by source.
        paired: frames that ended in a published pair, by source. A thermal frame of several pairs
            ends with its first one, whatever becomes of the later ones.
        single: frames that ended in a published result of their camera alone, by source.
        reused: published pairs whose thermal frame was counted with an earlier pair.
        dropped: frames dropped, by source and reason; reasons that never occurred are left out.
    """

    received: Mapping[Source, int]
    paired: Mapping[Source, int]
    single: Mapping[Source, int]
    reused: int
    dropped: Mapping[Source, Mapping[DropReason, int]]

    def balanced(self, pending: Mapping[Source, int]) -> bool:
        """Whether each frame is in exactly one place.

        Args:
            pending: frames still under way, by source: in the pairer, the mailbox, the worker.

        Returns:
            Whether received = paired + single + dropped + pending for both cameras.
        """
        return all(
            self.received[source]
            == self.paired[source]
            + self.single[source]
            + sum(self.dropped[source].values())
            + pending.get(source, 0)
            for source in Source
        )


class Accounting:
    """Counts what becomes of every frame. Each method may be called from any thread.

    A frame that was made a job is counted when the job ends: `finish` when its result is out,
    `lose` where it ends otherwise (superseded, engine error).
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._received = dict.fromkeys(Source, 0)
        self._paired = dict.fromkeys(Source, 0)
        self._single = dict.fromkeys(Source, 0)
        self._reused = 0
        self._dropped: dict[Source, dict[DropReason, int]] = {source: {} for source in Source}

    def receive(self, source: Source) -> None:
        """Count a frame that came in."""
        with self._lock:
            self._received[source] += 1

    def drop(self, source: Source, reason: DropReason) -> None:
        """Count a frame that was dropped."""
        with self._lock:
            self._drop(source, reason)

    def lose(self, kind: JobKind, reason: DropReason) -> None:
        """Count the frames of a job that ended without a result as dropped, as one step."""
        with self._lock:
            for source in kind.consumes:
                self._drop(source, reason)

    def finish(self, kind: JobKind) -> None:
        """Count the frames of a job whose result is out."""
        with self._lock:
            ends = self._paired if kind.is_pair else self._single
            for source in kind.consumes:
                ends[source] += 1
            self._reused += kind is JobKind.REUSED

    def counts(self) -> Counts:
        """Return a copy of all numbers of one moment."""
        with self._lock:
            return Counts(
                received=dict(self._received),
                paired=dict(self._paired),
                single=dict(self._single),
                reused=self._reused,
                dropped={source: dict(reasons) for source, reasons in self._dropped.items()},
            )

    def _drop(self, source: Source, reason: DropReason) -> None:
        reasons = self._dropped[source]
        reasons[reason] = reasons.get(reason, 0) + 1
