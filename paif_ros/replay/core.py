"""The node's core on a recording: what comes in is paired, fused and counted as in the node.

Intake, pairing, thermal range, registration, engine, results and messages are the node's own
objects. Only the clock is another one, that of the recording, and no job waits for another: the
recording goes on when the result is out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from time import monotonic_ns
from typing import Any

import numpy as np

from paif_ros.cameras.intake import Intake
from paif_ros.engines.base import EngineInfo
from paif_ros.errors import EngineError
from paif_ros.fusion.jobs import Job
from paif_ros.fusion.outgoing import LABELS
from paif_ros.fusion.pipeline import Pipeline, Settings
from paif_ros.fusion.results import Result
from paif_ros.fusion.runner import Runner, Task
from paif_ros.fusion.worker import WorkerState
from paif_ros.images.messages import NS, stamp_of
from paif_ros.monitoring.accounting import DropReason, Source
from paif_ros.monitoring.diagnostics import Moment, status
from paif_ros.monitoring.notices import Level, Notices
from paif_ros.monitoring.statistics import Statistics
from paif_ros.replay import messages
from paif_ros.replay.counting import counts_of
from paif_ros.replay.feed import CAMERA_INFO, Item
from paif_ros.replay.options import Options
from paif_ros.replay.outputs import Outputs
from paif_ros.replay.record import Counts, DropRow, FrameRow
from paif_ros.replay.sinks import Outgoing, Sink

LOOK_NS = NS // 2
ROLES = {
    'color': Source.VISIBLE,
    'thermal': Source.THERMAL,
    'color_info': Source.VISIBLE,
    'thermal_info': Source.THERMAL,
}
MS = 1e6


class Core:
    """Takes a recording's messages in order. For one thread.

    Args:
        pipeline: loaded.
        engine: what it said when it was loaded.
        options: parameters and outputs.
        topics: the topic of each role.
        sinks: take the results.
        say: takes what there is to say.
        write_row: takes each line of frames.csv.
        write_drop: takes each line of drops.csv.
        skim: whether the first messages are only to get into step: no result is made of them.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        engine: EngineInfo,
        options: Options,
        topics: Mapping[str, str],
        sinks: Sequence[Sink],
        *,
        say: Callable[[Level, str], None],
        write_row: Callable[[FrameRow], None],
        write_drop: Callable[[DropRow], None],
        skim: bool = False,
    ) -> None:
        self._pipeline = pipeline
        self._engine = engine
        self._options = options
        self._values = options.values
        self._settings = Settings.of(self._values)
        self._roles = {name: role for role, name in topics.items()}
        self._topics = topics
        self._sinks = sinks
        self._write_row = write_row
        self._write_drop = write_drop
        self._skim = skim
        self._notices = Notices(lambda level, text: None if self._skim else say(level, text))
        self._statistics = Statistics()
        self._outputs = Outputs(sinks, options, self.now, self._describe)
        self._runner = Runner(
            pipeline, self._outputs, self._statistics, self._notices, self._present, live=False
        )
        self._intake: Intake | None = None  # made with the first message, when the time is known
        self._jobs: deque[Job] = deque()
        self._now = 0
        self._next_look = self._next_report = 0
        self._before: Moment | None = None
        self._base = self._baseline = Counts()
        self._read_ns = self._pairing_ns = 0
        self._labelled = False

    def now(self) -> int:
        """Return the time in the recording, ns. It never goes back."""
        return self._now

    @property
    def counts(self) -> Counts:
        """What became of everything so far, but for what was skimmed."""
        return self._base + (counts_of(self._statistics.snapshot()) - self._baseline)

    @property
    def trace(self) -> Sequence[Any]:
        """All that later results depend on, as plain values; the AGC's range comes last."""
        agc = self._pipeline.agc_range
        shown = None if agc is None else [agc.low, agc.high]
        return [self._intake.trace if self._intake else None, shown]

    @property
    def failing(self) -> str:
        """Why it makes no sense to go on, else empty."""
        failures = self._runner.failures_in_a_row
        if failures < self._values.engine.max_failures:
            return ''
        return f'{failures} inferences in a row failed: {self._runner.last_error}'

    def begin(self, base: Counts | None) -> None:
        """Make results from now on.

        Args:
            base: counts of what was done before, of a run that is taken up again.
        """
        self._skim = False
        self._labelled = base is not None
        self._base = base or Counts()
        self._baseline = counts_of(self._statistics.snapshot())

    def know(self, items: Sequence[Item]) -> None:
        """Take camera_infos that were recorded a little later: their pictures may come first."""
        for item in items:
            role = self._roles.get(item.topic.name, '')
            if role.endswith('_info') and item.topic.kind == CAMERA_INFO:
                with suppress(Exception):  # a malformed one; rosbags raises what comes
                    self._outputs.add_info(ROLES[role], _message(item))

    def feed(self, item: Item, read_ns: int) -> None:
        """Take the next message.

        Args:
            item: the message.
            read_ns: how long it took to read it.

        Raises:
            EngineError: too many inferences in a row failed.
            Exception: whatever a sink raises.
        """
        self._read_ns += read_ns
        self._now = max(self._now, item.log_ns)
        intake = self._started()
        role = self._roles.get(item.topic.name)
        if role is not None:
            begun = monotonic_ns()
            try:
                message = _message(item)
            except Exception as err:  # rosbags raises what comes
                self._broken(ROLES[role], item, err)
            else:
                self._read_ns += monotonic_ns() - begun
                self._give(intake, role, message)
        self._run_jobs()
        self._look(intake)

    def end(self) -> None:
        """Take the recording's end: what waits is paired or dropped."""
        if self._intake is not None:
            self._intake.finish()
            self._run_jobs()
            self._intake.close(DropReason.NO_PARTNER)
            self._report()

    # ---- messages

    def _present(self) -> Any:
        return self._values

    def _started(self) -> Intake:
        if self._intake is None:
            self._next_look = self._next_report = self._now + LOOK_NS
            topics = {s: self._topics[r] for r, s in ROLES.items() if not r.endswith('_info')}
            self._intake = Intake(
                self._present,
                self._statistics,
                self._notices,
                self._jobs.append,
                topics=topics,
                why_silent=lambda _source: 'the recording has none up to here',
                clock=self.now,
                on_drop=self._dropped,
            )
        if not self._labelled and not self._skim:
            self._labelled = True
            text = messages.label_info(self._engine.card.classes, self._now)
            self._send(self._outputs.name_of(LABELS), messages.LABEL_INFO, text)
        return self._intake

    def _give(self, intake: Intake, role: str, message: Any) -> None:
        source, begun = ROLES[role], monotonic_ns()
        if role.endswith('_info'):
            self._outputs.add_info(source, message)
            intake.info(source, message)
            return
        stamp = stamp_of(message)
        intake.receive(source, message, self._now - stamp if stamp else None)
        self._pairing_ns += monotonic_ns() - begun

    def _broken(self, source: Source, item: Item, err: Exception) -> None:
        """Count a message that is none."""
        if item.topic.kind == CAMERA_INFO:
            return
        self._statistics.frame_received(source)
        self._statistics.frame_dropped(source, DropReason.MALFORMED)
        text = f'{source} image dropped: it can not be deserialised ({err})'
        self._notices.now_and_then(Level.WARN, f'malformed.{source}', text)
        self._dropped(source, 0, DropReason.MALFORMED)

    def _dropped(self, source: Source, stamp: int, reason: DropReason) -> None:
        if self._skim:
            return
        row = DropRow(stamp, source.value, reason.value, self._now)
        self._write_drop(row)
        for sink in self._sinks:
            sink.drop(row)

    # ---- jobs

    def _run_jobs(self) -> None:
        while self._jobs:
            job = self._jobs.popleft()
            if self._skim:
                self._pipeline.follow(job, self._settings)
                self._statistics.job_lost(job.ticket, DropReason.INACTIVE)
                continue
            lost = self._runner.run(Task(job))
            if self._outputs.failure is not None:
                raise self._outputs.failure
            if lost is None:
                self._note()
            else:
                self._lost(job, lost)
            if failing := self.failing:
                raise EngineError(self._engine.backend, failing)

    def _note(self) -> None:
        """Write the line of the last result."""
        row = self._outputs.row
        assert row is not None
        times = {**row.times_ms, 'write': self._outputs.write_ns / MS}
        self._write_row(replace(row, times_ms=times))

    def _lost(self, job: Job, reason: DropReason) -> None:
        frames = {Source.VISIBLE: job.visible, Source.THERMAL: job.thermal}
        for source in job.ticket.kind.consumes:
            frame = frames[source]
            if frame is not None:
                self._dropped(source, stamp_of(frame.payload.message), reason)

    def _describe(self, job: Job, result: Result, pack_ns: int) -> FrameRow:
        stamps = [
            None if frame is None else stamp_of(frame.payload.message)
            for frame in (job.visible, job.thermal)
        ]
        skew = None
        if job.visible is not None and job.thermal is not None:
            skew = (job.visible.stamp - job.thermal.stamp) / MS
        times = {stage: ns / MS for stage, ns in result.times.items()}
        times['convert'] += pack_ns / MS
        times.update(read=self._read_ns / MS, pairing=self._pairing_ns / MS)
        self._read_ns = self._pairing_ns = 0
        counts, agc = self.counts, self._pipeline.agc_range
        return FrameRow(
            number=job.ticket.number,
            kind=job.ticket.kind.value,
            stamp_ns=stamp_of(job.reference.payload.message),
            visible_ns=stamps[0],
            thermal_ns=stamps[1],
            log_ns=self._now,
            skew_ms=skew,
            dropped_visible=sum(counts.visible.dropped.values()),
            dropped_thermal=sum(counts.thermal.dropped.values()),
            agc_low=None if agc is None else agc.low,
            agc_high=None if agc is None else agc.high,
            times_ms=times,
            shares=self._shares(result.mask),
        )

    def _shares(self, mask: Any) -> tuple[float, ...]:
        if mask is None:
            return ()
        classes = len(self._engine.card.classes)
        found = np.bincount(mask.ravel(), minlength=classes)[:classes] / mask.size
        return tuple(float(share) for share in found)

    # ---- diagnostics

    def _look(self, intake: Intake) -> None:
        if self._now >= self._next_look:
            self._next_look = self._now + LOOK_NS
            intake.look()
        if self._now >= self._next_report:
            self._next_report = self._now + round(NS / self._values.diagnostics.rate)
            self._report()

    def _report(self) -> None:
        """Send the node's diagnostics, their rates by the time of the recording."""
        if self._skim or self._intake is None:
            return
        now = self._moment(self._intake)
        told = status(now, self._before or now)
        self._before = now
        provider = self._engine.provider
        message = messages.diagnostics(told, self._options.node, provider, self._now)
        self._send('/diagnostics', messages.DIAGNOSTICS, message)

    def _moment(self, intake: Intake) -> Moment:
        runner = self._runner
        return Moment(
            when=self._now,
            state='active',
            reason='',
            counted=self._statistics.snapshot(),
            values=self._values,
            cameras={source: intake.state(source) for source in Source},
            jumps=intake.jumps,
            unpaired=intake.unpaired,
            clock_difference=intake.clock_difference,
            worker=WorkerState(
                engine=self._engine,
                failures=runner.failures_in_a_row,
                last_error=runner.last_error,
                flat=runner.flat_in_a_row,
                agc=self._pipeline.agc_range,
                agreement=self._pipeline.agreement,
            ),
        )

    def _send(self, topic: str, kind: str, message: Any) -> None:
        outgoing = Outgoing(topic, kind, message, self._now)
        for sink in self._sinks:
            sink.message(outgoing)


def _message(item: Item) -> Any:
    return item.message if item.message is not None else messages.read(item.data, item.topic.kind)
