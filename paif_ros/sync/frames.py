"""Frames, pairs, and what every way of pairing can do. Nothing here knows ROS or pixels."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from paif_ros.monitoring.accounting import DropReason, Source

T = TypeVar('T')


@dataclass(frozen=True, eq=False)
class Frame(Generic[T]):
    """One image of one camera. Compared by identity: equal stamps do not make equal frames.

    Attributes:
        source: the camera.
        stamp: when it was taken, in ns of the clock that both cameras are brought to.
        received: when it got here, in ns of the monotonic clock.
        payload: whatever belongs to it.
    """

    source: Source
    stamp: int
    received: int
    payload: T


@dataclass(frozen=True, eq=False)
class Pair(Generic[T]):
    """Two frames that belong together.

    Attributes:
        visible: the RGB camera's, in no other pair.
        thermal: the thermal camera's.
        reused: whether the thermal frame was in an earlier pair.
    """

    visible: Frame[T]
    thermal: Frame[T]
    reused: bool = False

    @property
    def skew(self) -> int:
        """Stamp of the visible frame minus that of the thermal one, in ns."""
        return self.visible.stamp - self.thermal.stamp

    @property
    def received(self) -> int:
        """When the later frame got here, the first moment the pair could be made; monotonic ns."""
        return max(self.visible.received, self.thermal.received)


class Pairing(Protocol[T]):
    """Makes pairs out of two streams of frames: `Pairer` or `Holder`. Belongs to one thread.

    Every drop is reported once the state is consistent, so `on_drop` may raise (which is logged)
    or call back in.
    """

    @property
    def last_skews(self) -> tuple[int, ...]:
        """Skews (visible minus thermal, ns) of the last frames compared, paired or not."""

    @property
    def jumps(self) -> int:
        """How many jumps back in time started a new epoch so far."""

    @property
    def trace(self) -> tuple[object, ...]:
        """All that later pairs depend on, as plain values: equal traces make equal pairs."""

    def pending(self, source: Source) -> int:
        """Return how many frames of a camera wait to become part of a pair."""

    def push(self, frame: Frame[T]) -> list[Pair[T]]:
        """Take the next frame of a camera and return the pairs that it makes, oldest first."""

    def push_alone(self, frame: Frame[T]) -> bool:
        """Take the next frame of a camera that is to be used without the other one.

        Its stamp is judged as with `push`, so that no frame is used twice or after a newer one;
        the camera's frames that still wait are dropped as NO_PARTNER for that reason.

        Returns:
            Whether it may be used; otherwise it was dropped and reported.
        """

    def finish(self) -> list[Pair[T]]:
        """Return the pairs that can be made knowing that no frame follows, oldest first."""

    def flush(self, reason: DropReason) -> None:
        """Drop every waiting frame for this reason, and start afresh with any stamp."""


class Drops(Generic[T]):
    """Keeps drops back until they can be reported.

    Args:
        on_drop: called with each dropped frame and the reason. If it raises, that is logged.
    """

    def __init__(self, on_drop: Callable[[Frame[T], DropReason], None]) -> None:
        self._on_drop = on_drop
        self._drops: list[tuple[Frame[T], DropReason]] = []

    def add(self, frame: Frame[T], reason: DropReason) -> None:
        """Keep a drop."""
        self._drops.append((frame, reason))

    def report(self) -> None:
        """Report all drops that were kept."""
        drops, self._drops = self._drops, []
        for frame, reason in drops:
            try:
                self._on_drop(frame, reason)
            except Exception:  # pairs that are already made must not be lost with it
                logging.getLogger(__name__).exception('on_drop failed for a %s frame', reason)
