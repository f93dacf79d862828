"""What becomes of every frame: the reasons to drop one, and counters that must balance.

received = paired + dropped + pending holds exactly, for each camera, at every moment.
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


class DropReason(str, Enum):
    """Why a frame did not end in a published result."""

    BAD_STAMP = 'bad_stamp'  # zero or negative
    DUPLICATE = 'duplicate'  # same stamp as the stream's frame before
    OUT_OF_ORDER = 'out_of_order'  # a little older than the stream's frame before
    TIME_JUMP = 'time_jump'  # of a time that was left by a jump back
    NO_PARTNER = 'no_partner'
    OVERFLOW = 'overflow'  # oldest of a full queue
    SUPERSEDED = 'superseded'  # a newer pair took its place before the model was free
    MALFORMED = 'malformed'
    ENGINE_ERROR = 'engine_error'
    NO_SUBSCRIBER = 'no_subscriber'  # nobody listens, so nothing was computed
    SHUTDOWN = 'shutdown'

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Counts:
    """A moment's numbers of an `Accounting`.

    Attributes:
        received: frames that came in, by source.
        paired: pairs that reached their end.
        dropped: frames dropped, by source and reason; reasons that never occurred are left out.
    """

    received: Mapping[Source, int]
    paired: int
    dropped: Mapping[Source, Mapping[DropReason, int]]

    def balanced(self, pending: Mapping[Source, int]) -> bool:
        """Whether each frame is in exactly one place: received = paired + dropped + pending.

        Args:
            pending: frames still under way, by source: in the pairer, the mailbox, the worker.
        """
        return all(
            self.received[source]
            == self.paired + sum(self.dropped[source].values()) + pending.get(source, 0)
            for source in Source
        )


class Accounting:
    """Counts what becomes of every frame. Each method may be called from any thread.

    A pair is counted when its result is out; where it ends otherwise (superseded, engine error)
    both its frames are dropped for that reason instead.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._received = dict.fromkeys(Source, 0)
        self._paired = 0
        self._dropped: dict[Source, dict[DropReason, int]] = {source: {} for source in Source}

    def receive(self, source: Source) -> None:
        """Count a frame that came in."""
        with self._lock:
            self._received[source] += 1

    def drop(self, source: Source, reason: DropReason) -> None:
        """Count a frame that was dropped."""
        with self._lock:
            reasons = self._dropped[source]
            reasons[reason] = reasons.get(reason, 0) + 1

    def drop_pair(self, reason: DropReason) -> None:
        """Count both frames of a pair as dropped, as one step."""
        with self._lock:
            for reasons in self._dropped.values():
                reasons[reason] = reasons.get(reason, 0) + 1

    def pair(self) -> None:
        """Count a pair that reached its end."""
        with self._lock:
            self._paired += 1

    def counts(self) -> Counts:
        """Return a copy of all numbers of one moment."""
        with self._lock:
            dropped = {source: dict(reasons) for source, reasons in self._dropped.items()}
            return Counts(dict(self._received), self._paired, dropped)
