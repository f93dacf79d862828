"""Pairs the frames of two cameras by their stamps, and reports every frame that it drops.

Nearest partner first, never back in time. Nothing here knows ROS or pixels: a frame's payload is
carried along untouched. A `Pairer` belongs to one thread, the executor's.

How a pair is found: `a` is the older of the two queues' heads, `b` the other one.
  - Further apart than the slop: `a` is dropped, for stream B has already passed it.
  - `a`'s successor is strictly nearer to `b`: `a` is dropped.
  - It is not, or can't be going by the shortest recent interval of stream A: they are a pair.
  - It is not known yet and could be nearer: wait for it.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from paif_ros.accounting import Accounting, Counts, DropReason, Source
from paif_ros.errors import ParameterError

__all__ = ['Accounting', 'Counts', 'DropReason', 'Frame', 'Pair', 'Pairer', 'Source']

T = TypeVar('T')

_WINDOW = 32  # intervals remembered per stream
_MIN_INTERVALS = 4  # fewer say little: one lost frame would double the guess
_SKEWS = 64
_RISING = 3  # late frames in a row that tell a short jump back from frames that swapped places


@dataclass(frozen=True, eq=False)
class Frame(Generic[T]):
    """One image of one camera. Compared by identity: equal stamps do not make equal frames.

    Attributes:
        source: the camera.
        stamp: when it was taken, in ns of the camera driver's clock.
        received: when it got here, in ns of the monotonic clock.
        payload: whatever belongs to it.
    """

    source: Source
    stamp: int
    received: int
    payload: T


@dataclass(frozen=True, eq=False)
class Pair(Generic[T]):
    """Two frames that belong together."""

    visible: Frame[T]
    thermal: Frame[T]

    @property
    def skew(self) -> int:
        """Stamp of the visible frame minus that of the thermal one, in ns."""
        return self.visible.stamp - self.thermal.stamp

    @property
    def received(self) -> int:
        """When the later frame got here, the first moment the pair could be made; monotonic ns."""
        return max(self.visible.received, self.thermal.received)


@dataclass(eq=False)
class _Stream(Generic[T]):
    """What is known of one camera's frames."""

    queue: deque[Frame[T]] = field(default_factory=deque)
    latest: int | None = None  # newest stamp of its present epoch
    left: int = 0  # newest stamp of the epoch that it was the first to leave
    epoch: int = 0  # the stream with the higher number has jumped back, the other one not yet
    intervals: deque[int] = field(default_factory=lambda: deque(maxlen=_WINDOW))
    late: list[int] = field(default_factory=list)  # stamps of the last frames, all out of order

    @property
    def shortest_interval(self) -> int:
        """Shortest recent interval in ns, 0 while too few are known."""
        return min(self.intervals) if len(self.intervals) >= _MIN_INTERVALS else 0


class Pairer(Generic[T]):
    """Makes pairs out of two streams of frames.

    After a jump back in time (a bag that starts again, a clock that was set back) a stream lives
    in a new epoch. Frames of the old one are dropped, and those that the other stream still sends
    are dropped too, until it has jumped as well or its stamps are near those of the first.
    A jump forward needs no such care: old frames find no partner and drop out.

    Every drop is reported once the state is consistent, so `on_drop` may raise (which is logged)
    or call back in.

    Args:
        slop: largest |skew| of a pair in ns, 0 for equal stamps only.
        queue_size: frames kept per stream, 1 or more. It must span the delay between the streams.
        on_drop: called with each dropped frame and the reason.
        jump: a step back in ns beyond which a stream has jumped. After a smaller one frames are
            out of order, until three of them in a row rise: then it was the start of a short bag.
        learn: use the shortest recent interval to save waiting for the next frame. Without it the
            pairs depend on the two sequences of stamps alone, not on who arrives first, as long
            as no queue overflows.

    Raises:
        ParameterError: slop, queue_size or jump is out of range.
    """

    def __init__(
        self,
        slop: int,
        queue_size: int,
        on_drop: Callable[[Frame[T], DropReason], None],
        jump: int = 1_000_000_000,
        learn: bool = True,
    ) -> None:
        limits = (('slop', slop, 0), ('queue_size', queue_size, 1), ('jump', jump, 1))
        for name, value, least in limits:
            if value < least:
                raise ParameterError(name, value, f'{least} or more')
        self._slop = slop
        self._queue_size = queue_size
        self._on_drop = on_drop
        self._jump = jump
        self._learn = learn
        self._streams: dict[Source, _Stream[T]] = {source: _Stream() for source in Source}
        self._drops: list[tuple[Frame[T], DropReason]] = []
        self._skews: deque[int] = deque(maxlen=_SKEWS)
        self._jumps = 0

    @property
    def last_skews(self) -> tuple[int, ...]:
        """Skews (visible minus thermal, ns) of the last heads compared, in or out of the slop.

        Where no pairs come, the smallest of them by size is the slop that would have made one.
        """
        return tuple(self._skews)

    @property
    def jumps(self) -> int:
        """How many jumps back in time started a new epoch so far."""
        return self._jumps

    def pending(self, source: Source) -> int:
        """Return how many frames of a stream wait for a partner, 0 to queue_size."""
        return len(self._streams[source].queue)

    def push(self, frame: Frame[T]) -> list[Pair[T]]:
        """Take a frame.

        Args:
            frame: the next frame of its stream.

        Returns:
            The pairs that can be made now, oldest first, mostly none or one. Both streams move
            strictly forward from pair to pair within an epoch, and no frame is used twice.
        """
        reason = self._admit(frame)
        pairs: list[Pair[T]] = []
        if reason is not None:
            self._drops.append((frame, reason))
        else:
            queue = self._streams[frame.source].queue
            queue.append(frame)
            pairs += self._match()
            if len(queue) > self._queue_size:
                self._drop_head(queue, DropReason.OVERFLOW)
                pairs += self._match()
        self._report()
        return pairs

    def flush(self, reason: DropReason) -> None:
        """Drop every waiting frame for this reason, and start afresh with any stamp."""
        for stream in self._streams.values():
            while stream.queue:
                self._drop_head(stream.queue, reason)
        self._streams = {source: _Stream() for source in Source}
        self._report()

    def _admit(self, frame: Frame[T]) -> DropReason | None:
        """Follow a stream's time. Returns why the frame can't be used, or None."""
        if frame.stamp <= 0:
            return DropReason.BAD_STAMP
        own = self._streams[frame.source]
        other = self._other(frame.source)
        if own.latest is None:  # its first frame: it joins the time that is
            own.latest, own.epoch = frame.stamp, other.epoch
            return None
        step = frame.stamp - own.latest
        if step < -self._jump:
            self._jump_back(own, other, left=own.latest)
        elif step == 0:
            return DropReason.DUPLICATE
        elif own.epoch < other.epoch:
            if self._left_behind(frame.stamp, other):
                own.latest = max(own.latest, frame.stamp)
                return DropReason.TIME_JUMP
            own.epoch = other.epoch
            own.intervals.clear()
        elif step < 0:
            if not self._rises(own, frame.stamp):
                return DropReason.OUT_OF_ORDER
            self._jump_back(own, other, left=own.latest)
        else:
            own.intervals.append(step)
        own.late.clear()
        own.latest = frame.stamp
        return None

    def _rises(self, own: _Stream[T], stamp: int) -> bool:
        """Whether a frame out of order is the last one of so many that their time is a new one."""
        if own.late and stamp <= own.late[-1]:
            own.late.clear()
        own.late.append(stamp)
        return len(own.late) >= _RISING

    def _jump_back(self, own: _Stream[T], other: _Stream[T], left: int) -> None:
        """Move a stream to the new time: the one that the other is in already, or a new one."""
        own.intervals.clear()  # each lap of a bag is then paired alike
        while own.queue:
            self._drop_head(own.queue, DropReason.TIME_JUMP)
        if own.epoch < other.epoch:
            own.epoch = other.epoch  # the other one jumped first, and keeps its new frames
            return
        own.epoch += 1
        own.left = left
        self._jumps += 1
        while other.queue:
            self._drop_head(other.queue, DropReason.TIME_JUMP)

    def _left_behind(self, stamp: int, jumped: _Stream[T]) -> bool:
        """Whether a stamp belongs to the time that the other stream has jumped back from.

        Going by the distance, a camera that lags by more than the jump, or whose clock alone was
        wrong for a while, does not shut out the other one for good.
        """
        if jumped.latest is None:
            return False
        ahead = stamp - jumped.latest
        return ahead > max(self._jump, self._slop) and ahead >= abs(stamp - jumped.left)

    def _match(self) -> list[Pair[T]]:
        """Make every pair that can be decided."""
        visible, thermal = (self._streams[source] for source in Source)
        pairs: list[Pair[T]] = []
        while visible.queue and thermal.queue:
            skew = visible.queue[0].stamp - thermal.queue[0].stamp
            older = visible if skew <= 0 else thermal
            hopeless = abs(skew) > self._slop or self._nearer_follows(older, abs(skew))
            if hopeless is None:
                break
            self._skews.append(skew)
            if hopeless:
                self._drop_head(older.queue, DropReason.NO_PARTNER)
            else:
                pairs.append(Pair(visible.queue.popleft(), thermal.queue.popleft()))
        return pairs

    def _nearer_follows(self, older: _Stream[T], distance: int) -> bool | None:
        """Whether the older head's successor is nearer to the other head, None if not known.

        Args:
            older: the stream of the older head.
            distance: from its head forward to the other head, ns.
        """
        if distance == 0:
            return False
        # The other head is `distance` ahead of this one: a successor that comes less than twice
        # that far ahead is nearer to it.
        if len(older.queue) > 1:
            return older.queue[1].stamp - older.queue[0].stamp < 2 * distance
        # An interval may be a fifth shorter than the shortest seen, for jitter's sake.
        if self._learn and older.shortest_interval * 4 >= 2 * distance * 5:
            return False
        return None

    def _other(self, source: Source) -> _Stream[T]:
        return self._streams[Source.THERMAL if source is Source.VISIBLE else Source.VISIBLE]

    def _drop_head(self, queue: deque[Frame[T]], reason: DropReason) -> None:
        self._drops.append((queue.popleft(), reason))

    def _report(self) -> None:
        drops, self._drops = self._drops, []
        for frame, reason in drops:
            try:
                self._on_drop(frame, reason)
            except Exception:  # pairs that are already made must not be lost with it
                logging.getLogger(__name__).exception('on_drop failed for a %s frame', reason)
