"""From the cameras' messages to jobs, on the executor's thread and without ROS.

Every message is counted, checked, looked at (`lookout`) and paired. While one camera has stopped,
the frames of the other one become jobs of their own where that is asked for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from time import monotonic_ns
from typing import Any

from paif_ros.cameras.lookout import CameraState, Lookout
from paif_ros.errors import ImageFormatError
from paif_ros.fusion.jobs import Capture, Job
from paif_ros.images.messages import NS, reader_of, stamp_of
from paif_ros.monitoring.accounting import Counts, DropReason, Source
from paif_ros.monitoring.notices import Level, Notices
from paif_ros.monitoring.statistics import Statistics
from paif_ros.parameters import Parameters
from paif_ros.sync.holding import Holder
from paif_ros.sync.pairing import Frame, Pair, Pairer, Pairing
from paif_ros.sync.skews import SkewCase, skew_report

NO_PAIR_NS = 2 * NS
MANY = 30  # frames of each camera before it is said that most of them find no partner
RECENT = 20  # looks, half a second each


class Intake:
    """Makes jobs out of two cameras' messages.

    Args:
        parameters: gives the present values.
        statistics: counts every frame.
        notices: says what is wrong.
        deliver: takes each job.
        topics: the topic of each camera, for texts.
        why_silent: says why no images of a camera come at all.
        clock: ns of the clock that says when messages come; that of a recording offline.
        on_drop: called with each frame that becomes no part of a job: its camera, its stamp as
            the camera sent it in ns, and the reason.
    """

    def __init__(
        self,
        parameters: Callable[[], Parameters],
        statistics: Statistics,
        notices: Notices,
        deliver: Callable[[Job], None],
        *,
        topics: Mapping[Source, str],
        why_silent: Callable[[Source], str],
        clock: Callable[[], int] = monotonic_ns,
        on_drop: Callable[[Source, int, DropReason], None] = lambda *_: None,
    ) -> None:
        self._clock = clock
        self._on_drop = on_drop
        self._parameters = parameters
        self._statistics = statistics
        self._notices = notices
        self._deliver = deliver
        self._seen = self._sync = parameters().sync
        self._lookout = Lookout(topics, why_silent, round(self._sync.timeout * NS), notices, clock)
        kind = Holder if self._sync.mode == 'hold_thermal' else Pairer
        self._pairing: Pairing[Capture] = kind(self._limit(), self._sync.queue_size, self._drop)
        self._unpaired_since: int | None = None  # when the first good frame since a pair came
        self._counts: deque[Counts] = deque(maxlen=RECENT)  # at the last looks
        self.unpaired = ''  # what is wrong with the pairing, in a few words

    @property
    def jumps(self) -> int:
        """Jumps back in time so far."""
        return self._pairing.jumps

    @property
    def clock_difference(self) -> int | None:
        """By how many ns thermal stamps are older than RGB ones that come in with them."""
        return self._lookout.clock_difference

    @property
    def trace(self) -> tuple[object, ...]:
        """All that later jobs depend on, as plain values: equal traces make equal jobs."""
        return (self._pairing.trace, self._lookout.trace)

    def state(self, source: Source) -> CameraState:
        """Describe a camera at this moment."""
        return self._lookout.state(source, self._pairing.pending(source))

    def receive(self, source: Source, message: Any, stamp_age: int | None = None) -> None:
        """Take a camera's message.

        Args:
            source: the camera.
            message: sensor_msgs Image or CompressedImage.
            stamp_age: ROS time of its receipt minus its stamp in ns, None where not known.
        """
        received = self._clock()
        self._follow_parameters()
        self._statistics.frame_received(source, stamp_age)
        try:
            reader_of(message).check(message)
        except ImageFormatError as err:  # here, so that it takes no good frame's partner or place
            self._count_drop(source, message, DropReason.MALFORMED)
            text = f'{source} image dropped: {err}'
            self._notices.now_and_then(Level.WARN, f'malformed.{source}', text)
            return
        stamp = self._stamp(source, message)
        frozen = self._lookout.frame(source, message, stamp, received)
        frame = Frame(source, stamp, received, Capture(message, frozen))
        alone = self._sync.on_missing == 'degrade' and self._lookout.stopped(
            source.other, received
        )
        if alone:
            self._send_alone(frame)
        else:
            self._pair(frame)

    def info(self, source: Source, message: Any) -> None:
        """Take a camera_info."""
        self._lookout.info(source, self._stamp(source, message))

    def look(self) -> None:
        """Say what is wrong with the cameras. To be called once or twice a second."""
        self._follow_parameters()
        self._lookout.look(self._sync.mode == 'pair', self._sync.on_missing == 'degrade')
        if self._parameters().registration.mode == 'none':
            self._lookout.say_stretched()
        since = self._unpaired_since
        self.unpaired = ''
        if not self._lookout.both_send:
            self._counts.clear()
        elif since is not None and self._clock() - since > NO_PAIR_NS:
            self.unpaired = 'both cameras send but no frames pair'
            text = f'{self.unpaired} for 2 s: {self._why_nothing_pairs()}'
            self._notices.once(Level.WARN, 'no_pairs', text)
        elif self._most_are_left_over():
            self.unpaired = 'most frames of both cameras find no partner'
            text = f'{self.unpaired} although some pair: {self._why_nothing_pairs()}'
            self._notices.once(Level.WARN, 'little_pairs', text)
        else:
            self._notices.forget('little_pairs')

    def finish(self) -> None:
        """Make the pairs that were put off because a nearer frame might have come: none will."""
        for pair in self._pairing.finish():
            self._send(pair)

    def close(self, reason: DropReason) -> None:
        """Drop what waits for a partner."""
        self._pairing.flush(reason)

    def _stamp(self, source: Source, message: Any) -> int:
        """Return a message's stamp in ns, a thermal one with the correction of its clock."""
        stamp = stamp_of(message)
        if source is Source.THERMAL and stamp:  # a missing stamp stays missing
            stamp += round(self._sync.thermal_offset * NS)
        return stamp

    def _limit(self) -> int:
        """Return the largest skew of a pair in ns."""
        seconds = {
            'pair': self._sync.slop,
            'exact': 0.0,
            'hold_thermal': self._sync.max_age,
        }
        return round(seconds[self._sync.mode] * NS)

    def _follow_parameters(self) -> None:
        """Take over what may change at any time."""
        sync = self._parameters().sync
        if sync is self._seen:
            return
        before, self._seen = self._sync, sync
        # The mode and the length of the queues were taken at activation.
        self._sync = replace(sync, mode=before.mode, queue_size=before.queue_size)
        self._lookout.set_timeout(round(sync.timeout * NS))
        if isinstance(self._pairing, Holder):
            self._pairing.max_age = self._limit()
        elif isinstance(self._pairing, Pairer):
            self._pairing.slop = self._limit()
        if sync.thermal_offset != before.thermal_offset:
            self._pairing.flush(DropReason.NO_PARTNER)  # their stamps are of another clock
            self._lookout.set_thermal_clock()

    def _drop(self, frame: Frame[Capture], reason: DropReason) -> None:
        self._count_drop(frame.source, frame.payload.message, reason)

    def _count_drop(self, source: Source, message: Any, reason: DropReason) -> None:
        self._statistics.frame_dropped(source, reason)
        self._on_drop(source, stamp_of(message), reason)

    def _pair(self, frame: Frame[Capture]) -> None:
        if self._unpaired_since is None:
            self._unpaired_since = frame.received
        jumps = self._pairing.jumps
        for pair in self._pairing.push(frame):
            self._send(pair)
        if self._pairing.jumps != jumps:
            text = f'the stamps of {frame.source} went back in time, as when a bag starts again'
            self._notices.now_and_then(Level.INFO, 'jump', f'{text}: older frames are dropped')

    def _send(self, pair: Pair[Capture]) -> None:
        self._unpaired_since = None
        self._notices.forget('no_pairs')
        ticket = self._statistics.pair_made(pair.skew, pair.reused)
        self._deliver(Job(pair.visible, pair.thermal, self._clock(), ticket))

    def _send_alone(self, frame: Frame[Capture]) -> None:
        """Make a frame a job of its own, unless it repeats an earlier one."""
        if not self._pairing.push_alone(frame):
            return
        visible = frame if frame.source is Source.VISIBLE else None
        thermal = frame if frame.source is Source.THERMAL else None
        ticket = self._statistics.single_made(frame.source)
        self._deliver(Job(visible, thermal, self._clock(), ticket))

    def _most_are_left_over(self) -> bool:
        """Whether most recent frames of both cameras found no partner; of the faster one many do.

        A few seconds count, so that a node that has paired well for weeks says so too.
        """
        self._counts.append(self._statistics.snapshot().frames)
        old, new = self._counts[0], self._counts[-1]
        lone = DropReason.NO_PARTNER
        came = [new.received[s] - old.received[s] for s in Source]
        left = [new.dropped[s].get(lone, 0) - old.dropped[s].get(lone, 0) for s in Source]
        return all(n >= MANY and 2 * few > n for n, few in zip(came, left, strict=True))

    def _why_nothing_pairs(self) -> str:
        case = SkewCase(
            self._pairing.last_skews,
            self._lookout.watch(Source.VISIBLE),
            self._lookout.watch(Source.THERMAL),
            self._sync.mode,
            self._limit(),
            round(self._sync.thermal_offset * NS),
        )
        report = skew_report(case)
        if report is not None:
            return str(report)
        dropped = self._statistics.snapshot().frames.dropped
        reasons = sorted({why.value for each in dropped.values() for why in each})
        return (
            f'their frames can not be compared ({", ".join(reasons) or "none waits"}): see that '
            'their drivers set header.stamp'
        )
