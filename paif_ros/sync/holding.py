"""Gives every visible frame a thermal frame of a slower camera, the same one several times.

A 9 Hz thermal camera beside a 30 Hz RGB camera would leave two of three RGB frames without a
partner. Here each visible frame is paired at once, without waiting, with the nearest of the
thermal frames that are here, unless that one's stamp is too far away. Of a thermal camera that
keeps up that is its last frame. Of one that is ahead, as beside an RGB camera whose pictures take
long to arrive, it is the frame of that moment rather than one of the future.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from paif_ros.errors import ParameterError
from paif_ros.monitoring.accounting import DropReason, Source
from paif_ros.sync.frames import Drops, Frame, Pair
from paif_ros.sync.pairing import JUMP_NS, SKEWS
from paif_ros.sync.stamps import Timeline

T = TypeVar('T')


@dataclass(eq=False)
class _Held(Generic[T]):
    """A thermal frame, and whether a pair was made of it."""

    frame: Frame[T]
    used: bool = False


class Holder(Generic[T]):
    """Makes one pair of each visible frame, thermal frames again and again. A `Pairing`.

    Args:
        max_age: largest |skew| of a pair in ns.
        queue_size: thermal frames kept, 1 or more. It must span the delay of the visible frames.
        on_drop: called with each frame that ends in no pair, and the reason.
        jump: a step back in ns beyond which a stream has jumped, see `Timeline`.

    Raises:
        ParameterError: max_age, queue_size or jump is out of range.
    """

    def __init__(
        self,
        max_age: int,
        queue_size: int,
        on_drop: Callable[[Frame[T], DropReason], None],
        jump: int = JUMP_NS,
    ) -> None:
        if queue_size < 1:
            raise ParameterError('queue_size', queue_size, '1 or more')
        self._timeline = Timeline(max_age, jump)
        self.max_age = max_age
        self._queue_size = queue_size
        self._drops = Drops(on_drop)
        self._held: deque[_Held[T]] = deque()  # by stamp
        self._skews: deque[int] = deque(maxlen=SKEWS)

    @property
    def max_age(self) -> int:
        """Largest |skew| of a pair in ns. A new value counts from the next push on.

        Raises:
            ParameterError: it is set below 0.
        """
        return self._max_age

    @max_age.setter
    def max_age(self, value: int) -> None:
        if value < 0:
            raise ParameterError('max_age', value, '0 or more')
        self._max_age = self._timeline.reach = value

    @property
    def last_skews(self) -> tuple[int, ...]:
        """Skews (ns) of the last visible frames to their nearest thermal frame, paired or not."""
        return tuple(self._skews)

    @property
    def jumps(self) -> int:
        """How many jumps back in time started a new epoch so far."""
        return self._timeline.jumps

    @property
    def trace(self) -> tuple[object, ...]:
        """All that later pairs depend on, as plain values."""
        return ([[held.frame.stamp, held.used] for held in self._held], self._timeline.trace)

    def pending(self, source: Source) -> int:
        """Return how many frames have been in no pair yet. No visible frame ever waits."""
        if source is Source.VISIBLE:
            return 0
        return sum(not held.used for held in self._held)

    def push(self, frame: Frame[T]) -> list[Pair[T]]:
        """Take a frame.

        Args:
            frame: the next frame of its stream.

        Returns:
            The pair of a visible frame, or nothing. Within an epoch the visible frames move
            strictly forward from pair to pair, the thermal frames never back.
        """
        pairs: list[Pair[T]] = []
        if self._admit(frame):
            if frame.source is Source.VISIBLE:
                pairs += self._pair(frame)
            else:
                self._held.append(_Held(frame))
                if len(self._held) > self._queue_size:
                    self._drop_oldest(DropReason.OVERFLOW)
        self._drops.report()
        return pairs

    def push_alone(self, frame: Frame[T]) -> bool:
        """Take a frame that is to be used without the other camera, see `Pairing`."""
        admitted = self._admit(frame)
        if admitted and frame.source is Source.THERMAL:
            self._clear(DropReason.NO_PARTNER)
        self._drops.report()
        return admitted

    def finish(self) -> list[Pair[T]]:
        """Return nothing: no pair ever waits."""
        return []

    def flush(self, reason: DropReason) -> None:
        """Drop every thermal frame without a pair for this reason, and start afresh."""
        self._clear(reason)
        self._timeline.reset()
        self._drops.report()

    def _admit(self, frame: Frame[T]) -> bool:
        reason, left = self._timeline.admit(frame.source, frame.stamp)
        if Source.THERMAL in left:
            self._clear(DropReason.TIME_JUMP)
        if reason is not None:
            self._drops.add(frame, reason)
        return reason is None

    def _pair(self, visible: Frame[T]) -> list[Pair[T]]:
        held = self._held
        # Later visible frames are nearer to the second one still, so the first one may go.
        while len(held) > 1 and _distance(held[1], visible) <= _distance(held[0], visible):
            self._drop_oldest(DropReason.NO_PARTNER)
        if held:
            pair = Pair(visible, held[0].frame, held[0].used)
            self._skews.append(pair.skew)
            if abs(pair.skew) <= self._max_age:
                held[0].used = True
                return [pair]
        self._drops.add(visible, DropReason.NO_PARTNER)
        return []

    def _clear(self, reason: DropReason) -> None:
        while self._held:
            self._drop_oldest(reason)

    def _drop_oldest(self, reason: DropReason) -> None:
        held = self._held.popleft()
        if not held.used:
            self._drops.add(held.frame, reason)


def _distance(held: _Held[T], visible: Frame[T]) -> int:
    return abs(held.frame.stamp - visible.stamp)
