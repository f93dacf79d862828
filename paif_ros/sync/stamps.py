"""Follows the time of two cameras by the stamps of their frames alone.

After a jump back in time (a bag that starts again, a clock that was set back) a camera lives in a
new epoch. The frames of the old one that still wait have to go, and those that the other camera
still sends are refused, until it has jumped as well or its stamps are near those of the first. A
jump forward needs no such care: old frames find no partner and drop out.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from paif_ros.errors import ParameterError
from paif_ros.monitoring.accounting import DropReason, Source

_WINDOW = 32  # intervals remembered per camera
_MIN_INTERVALS = 4  # fewer say little: one lost frame would double the guess
_RISING = 3  # late frames in a row that tell a short jump back from frames that swapped places


class Admission(NamedTuple):
    """What a frame's stamp means.

    Attributes:
        reason: why the frame can't be used, or None.
        left: the cameras whose waiting frames are of a time that was left with this frame.
    """

    reason: DropReason | None
    left: tuple[Source, ...] = ()


@dataclass(eq=False)
class _Clock:
    """What is known of one camera's stamps."""

    latest: int | None = None  # newest stamp of its present epoch
    left: int = 0  # newest stamp of the epoch that it was the first to leave
    epoch: int = 0  # the camera with the higher number has jumped back, the other one not yet
    intervals: deque[int] = field(default_factory=lambda: deque(maxlen=_WINDOW))
    late: list[int] = field(default_factory=list)  # stamps of the last frames, all out of order


class Timeline:
    """Decides which stamps can be used. Belongs to one thread.

    Args:
        reach: how far apart the stamps of two frames that belong together may be, in ns.
        jump: a step back in ns beyond which a camera has jumped. After a smaller one frames are
            out of order, until three of them in a row rise: then it was the start of a short bag.

    Raises:
        ParameterError: jump is below 1.
    """

    def __init__(self, reach: int, jump: int) -> None:
        if jump < 1:
            raise ParameterError('jump', jump, '1 or more')
        self.reach = reach
        self._jump = jump
        self._jumps = 0
        self.reset()

    @property
    def jumps(self) -> int:
        """How many jumps back in time started a new epoch so far."""
        return self._jumps

    @property
    def trace(self) -> tuple[object, ...]:
        """All that later decisions depend on, as plain values."""
        clocks = self._clocks.values()
        behind = min(clock.epoch for clock in clocks)
        ahead = [clock.epoch - behind for clock in clocks]
        return tuple(
            (c.latest, c.left if any(ahead) else 0, more, list(c.intervals), list(c.late))
            for c, more in zip(clocks, ahead, strict=True)
        )

    def reset(self) -> None:
        """Forget all stamps and start afresh with any. The jumps stay counted."""
        self._clocks = {source: _Clock() for source in Source}

    def shortest_interval(self, source: Source) -> int:
        """Return a camera's shortest recent interval in ns, 0 while too few are known."""
        intervals = self._clocks[source].intervals
        return min(intervals) if len(intervals) >= _MIN_INTERVALS else 0

    def admit(self, source: Source, stamp: int) -> Admission:
        """Follow a camera's time with its next stamp, in ns."""
        if stamp <= 0:
            return Admission(DropReason.BAD_STAMP)
        own, other = self._clocks[source], self._clocks[source.other]
        left: tuple[Source, ...] = ()
        if own.latest is None:  # its first frame: it joins the time that is
            own.epoch = other.epoch
        else:
            step = stamp - own.latest
            if step < -self._jump:
                left = self._jump_back(source, own.latest)
            elif step == 0:
                return Admission(DropReason.DUPLICATE)
            elif own.epoch < other.epoch:
                if self._left_behind(stamp, other):
                    own.latest = max(own.latest, stamp)
                    return Admission(DropReason.TIME_JUMP)
                own.epoch = other.epoch
                own.intervals.clear()
            elif step < 0:
                if not self._rises(own, stamp):
                    return Admission(DropReason.OUT_OF_ORDER)
                left = self._jump_back(source, own.latest)
            else:
                own.intervals.append(step)
        own.late.clear()
        own.latest = stamp
        return Admission(None, left)

    def _rises(self, own: _Clock, stamp: int) -> bool:
        """Whether a frame out of order is the last one of so many that their time is a new one."""
        if own.late and stamp <= own.late[-1]:
            own.late.clear()
        own.late.append(stamp)
        return len(own.late) >= _RISING

    def _jump_back(self, source: Source, latest: int) -> tuple[Source, ...]:
        """Move a camera to the new time: the one that the other is in already, or a new one."""
        own, other = self._clocks[source], self._clocks[source.other]
        own.intervals.clear()  # each lap of a bag is then paired alike
        if own.epoch < other.epoch:
            own.epoch = other.epoch  # the other one jumped first, and keeps its new frames
            return (source,)
        own.epoch += 1
        own.left = latest
        self._jumps += 1
        return (source, source.other)

    def _left_behind(self, stamp: int, jumped: _Clock) -> bool:
        """Whether a stamp belongs to the time that the other camera has jumped back from.

        Going by the distance, a camera that lags by more than the jump, or whose clock alone was
        wrong for a while, does not shut out the other one for good.
        """
        if jumped.latest is None:
            return False
        ahead = stamp - jumped.latest
        return ahead > max(self._jump, self.reach) and ahead >= abs(stamp - jumped.left)
