"""Pairs the frames of two cameras by their stamps, and reports every frame that it drops.

Nearest partner first, never back in time, no frame twice.

How a pair is found: `a` is the older of the two queues' heads, `b` the other one.
  - Further apart than the slop: `a` is dropped, for stream B has already passed it.
  - `a`'s successor is nearer to `b`, by more than a margin: `a` is dropped.
  - It is not, or can't be going by the shortest recent interval of stream A: they are a pair.
  - It is not known yet and could be nearer: wait for it.

The margin is a quarter of the slop, or of the distance from `a` to its successor where that is
less. Without one, two free-running cameras half a period apart would change partners with each
flicker of their stamps, and lose a frame each time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from paif_ros.errors import ParameterError
from paif_ros.monitoring.accounting import DropReason, Source
from paif_ros.sync.frames import Drops, Frame, Pair, Pairing
from paif_ros.sync.stamps import Timeline

__all__ = ['Frame', 'Pair', 'Pairer', 'Pairing']

T = TypeVar('T')

JUMP_NS = 1_000_000_000
SKEWS = 64  # kept for `last_skews`
_MARGIN = 4  # margin = slop or step / 4: at 30 Hz and 20 ms, 1 ms of jitter costs 1 frame of 100


class Pairer(Generic[T]):
    """Makes pairs of nearest frames, each frame in one pair at most. A `Pairing`.

    Args:
        slop: largest |skew| of a pair in ns, 0 for equal stamps only (a hardware trigger).
        queue_size: frames kept per stream, 1 or more. It must span the delay between the streams.
        on_drop: called with each dropped frame and the reason.
        jump: a step back in ns beyond which a stream has jumped, see `Timeline`.
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
        jump: int = JUMP_NS,
        learn: bool = True,
    ) -> None:
        if queue_size < 1:
            raise ParameterError('queue_size', queue_size, '1 or more')
        self._timeline = Timeline(slop, jump)
        self.slop = slop
        self._queue_size = queue_size
        self._drops = Drops(on_drop)
        self._learn = learn
        self._queues: dict[Source, deque[Frame[T]]] = {source: deque() for source in Source}
        self._skews: deque[int] = deque(maxlen=SKEWS)

    @property
    def slop(self) -> int:
        """Largest |skew| of a pair in ns. A new value counts from the next push on.

        Raises:
            ParameterError: it is set below 0.
        """
        return self._slop

    @slop.setter
    def slop(self, value: int) -> None:
        if value < 0:
            raise ParameterError('slop', value, '0 or more')
        self._slop = self._timeline.reach = value

    @property
    def last_skews(self) -> tuple[int, ...]:
        """Skews (visible minus thermal, ns) of the last heads compared, in or out of the slop.

        Where no pairs come, the smallest of them by size is the slop that would have made one.
        """
        return tuple(self._skews)

    @property
    def jumps(self) -> int:
        """How many jumps back in time started a new epoch so far."""
        return self._timeline.jumps

    @property
    def trace(self) -> tuple[object, ...]:
        """All that later pairs depend on, as plain values."""
        waiting = [[frame.stamp for frame in self._queues[source]] for source in Source]
        return (waiting, self._timeline.trace)

    def pending(self, source: Source) -> int:
        """Return how many frames of a stream wait for a partner, 0 to queue_size."""
        return len(self._queues[source])

    def push(self, frame: Frame[T]) -> list[Pair[T]]:
        """Take a frame.

        Args:
            frame: the next frame of its stream.

        Returns:
            The pairs that can be made now, oldest first, mostly none or one. Both streams move
            strictly forward from pair to pair within an epoch, and no frame is used twice.
        """
        pairs: list[Pair[T]] = []
        if self._admit(frame):
            queue = self._queues[frame.source]
            queue.append(frame)
            pairs += self._match()
            if len(queue) > self._queue_size:
                self._drop_head(queue, DropReason.OVERFLOW)
                pairs += self._match()
        self._drops.report()
        return pairs

    def push_alone(self, frame: Frame[T]) -> bool:
        """Take a frame that is to be used without the other camera, see `Pairing`."""
        admitted = self._admit(frame)
        if admitted:
            self._clear(frame.source, DropReason.NO_PARTNER)
        self._drops.report()
        return admitted

    def finish(self) -> list[Pair[T]]:
        """Return the pairs that can be made knowing that no frame follows, oldest first."""
        pairs = self._match(last=True)
        self._drops.report()
        return pairs

    def flush(self, reason: DropReason) -> None:
        """Drop every waiting frame for this reason, and start afresh with any stamp."""
        for source in Source:
            self._clear(source, reason)
        self._timeline.reset()
        self._drops.report()

    def _admit(self, frame: Frame[T]) -> bool:
        reason, left = self._timeline.admit(frame.source, frame.stamp)
        for source in left:
            self._clear(source, DropReason.TIME_JUMP)
        if reason is not None:
            self._drops.add(frame, reason)
        return reason is None

    def _match(self, last: bool = False) -> list[Pair[T]]:
        """Make every pair that can be decided, `last` where no frame follows."""
        visible, thermal = self._queues[Source.VISIBLE], self._queues[Source.THERMAL]
        pairs: list[Pair[T]] = []
        while visible and thermal:
            skew = visible[0].stamp - thermal[0].stamp
            older = visible if skew <= 0 else thermal
            hopeless = abs(skew) > self._slop or self._nearer_follows(older, abs(skew))
            if hopeless is None and not last:
                break
            self._skews.append(skew)
            if hopeless:
                self._drop_head(older, DropReason.NO_PARTNER)
            else:
                pairs.append(Pair(visible.popleft(), thermal.popleft()))
        return pairs

    def _nearer_follows(self, older: deque[Frame[T]], distance: int) -> bool | None:
        """Whether the older head's successor is nearer to the other head, None if not known.

        Args:
            older: the queue of the older head.
            distance: from it forward to the other head, ns.
        """
        if distance == 0:
            return False
        if len(older) > 1:
            return self._is_nearer(older[1].stamp - older[0].stamp, distance)
        if self._learn:
            shortest = self._timeline.shortest_interval(older[0].source)
            # An interval may be a fifth shorter than the shortest seen, for jitter's sake.
            if not self._is_nearer(shortest * 4 // 5, distance):
                return False
        return None

    def _is_nearer(self, step: int, distance: int) -> bool:
        """Whether a frame `step` after the older head is nearer to the other one, by the margin.

        The other head is `distance` ahead: a frame less than twice that far ahead is nearer.
        """
        return _MARGIN * step + min(self._slop, step) < _MARGIN * 2 * distance

    def _clear(self, source: Source, reason: DropReason) -> None:
        queue = self._queues[source]
        while queue:
            self._drop_head(queue, reason)

    def _drop_head(self, queue: deque[Frame[T]], reason: DropReason) -> None:
        self._drops.add(queue.popleft(), reason)
