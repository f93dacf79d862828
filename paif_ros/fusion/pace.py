"""When the next pair is to be prepared while the one before is computed: neither soon nor late.

A pair that is prepared at once waits ready while newer ones come in, and what leaves is old. One
that is prepared just before the network is free was the newest of the mailbox then, as without
overlap, and no work is done for pairs that are never shown. So it is told from the last few jobs
how long each stage takes, and the next job is begun so that no stage gets it before it is free.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from time import monotonic_ns

KEPT = 9  # durations that the typical one is the median of
CHECK_NS = 10**9  # how often a wait looks whether all has ended


class Stage(Enum):
    """The stages of a job, in order."""

    PREPARE = 'prepare'
    INFER = 'infer'
    FINISH = 'finish'


class Pace:
    """Knows what each stage does, and so when the next job is to be begun. For several threads.

    Args:
        clock: monotonic ns.
    """

    def __init__(self, clock: Callable[[], int] = monotonic_ns) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._since: dict[Stage, int] = {}
        self._took: dict[Stage, deque[int]] = {stage: deque(maxlen=KEPT) for stage in Stage}
        self._waiting = dict.fromkeys(Stage, 0)
        self._in_work = 0

    @property
    def busy_since(self) -> int | None:
        """Since when the stage that has worked longest has its job, ns; None where none works."""
        with self._changed:
            return min(self._since.values(), default=None)

    def wait_idle(self, timeout: float) -> bool:
        """Wait until no job is in work. Returns whether none is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._in_work, timeout)

    @contextmanager
    def at(self, stage: Stage) -> Iterator[None]:
        """Hold while a stage works on a job. It must be followed by `hand_over` or `done`."""
        with self._changed:
            if stage is Stage.PREPARE:
                self._in_work += 1
            else:
                self._waiting[stage] -= 1
            self._since[stage] = self._clock()
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._took[stage].append(self._clock() - self._since.pop(stage))

    def hand_over(self, to: Stage) -> None:
        """Say that a job is ready for a stage."""
        with self._changed:
            self._waiting[to] += 1
            self._changed.notify_all()

    def done(self) -> None:
        """Say that a job has ended, at whichever stage."""
        with self._changed:
            self._in_work -= 1
            self._changed.notify_all()

    def wait_turn(self, ended: Callable[[], bool]) -> None:
        """Wait until the next job is to be begun, or all has ended."""
        with self._changed:
            while not ended():
                left = CHECK_NS if self._waiting[Stage.INFER] else self.wait_ns()
                if left <= 0:
                    return
                self._changed.wait(min(left, CHECK_NS) / 1e9)

    def wake(self) -> None:
        """Let `wait_turn` look at once whether all has ended."""
        with self._changed:
            self._changed.notify_all()

    def wait_ns(self) -> int:
        """Return for how many ns the next job is not to be begun yet, 0 or less for at once.

        To be asked with nothing that waits for the network.
        """
        infer, finish = self._typical(Stage.INFER), self._typical(Stage.FINISH)
        # The least: who is ready late costs the network a moment, who is ready early gets old.
        prepare = min(self._took[Stage.PREPARE], default=0)
        now = self._clock()
        computed = finished = now  # when the network, and the last stage, are free
        if (since := self._since.get(Stage.FINISH)) is not None:
            finished = max(now, since + finish)
        finished += finish * self._waiting[Stage.FINISH]
        if (since := self._since.get(Stage.INFER)) is not None:
            computed = max(now, since + infer)
            finished = max(finished, computed) + finish
        return max(computed - prepare, finished - infer - prepare) - now

    def _typical(self, stage: Stage) -> int:
        took = sorted(self._took[stage])
        return took[len(took) // 2] if took else 0
