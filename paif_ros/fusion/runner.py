"""Runs one job after the other and counts how each ends: for the node's worker, or without one.

No job stops it: whatever fails is counted, said now and then, and the next job goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic_ns
from typing import Any, Protocol

from paif_ros.errors import CalibrationError, ImageFormatError, PaifError
from paif_ros.fusion.jobs import Job
from paif_ros.fusion.pipeline import Infos, Pipeline, Settings
from paif_ros.fusion.results import Result, Wanted
from paif_ros.monitoring.accounting import DropReason
from paif_ros.monitoring.notices import Level, Notices
from paif_ros.monitoring.statistics import StageTimes, Statistics
from paif_ros.parameters import Parameters

Farewell = Callable[[], DropReason | None]
"""Says why results may not go out any more, None where they may."""


class Sink(Protocol):
    """Where results go: the node's topics, or a file."""

    def wanted(self) -> Wanted | None:
        """Return what is listened to now, None where nothing is."""

    def infos(self, job: Job) -> Infos:
        """Return the camera_info messages that belong to a job."""

    def pack(self, job: Job, result: Result) -> Any:
        """Make whatever `send` takes of a result."""

    def send(self, packed: Any) -> None:
        """Send it off."""


class Runner:
    """Takes jobs through the pipeline to a sink. For one thread; counts may be read from others.

    Args:
        pipeline: loaded before the first job.
        sink: takes the results.
        statistics: counts what becomes of the jobs.
        notices: says what went wrong.
        parameters: gives the present values.
        live: whether jobs get old: one that waited longer than sync.max_age is dropped. Without
            it, as with a recording, `Job.received` and `Job.made` are of another clock.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        sink: Sink,
        statistics: Statistics,
        notices: Notices,
        parameters: Callable[[], Parameters],
        *,
        live: bool = True,
    ) -> None:
        self._pipeline = pipeline
        self._sink = sink
        self._statistics = statistics
        self._notices = notices
        self._parameters = parameters
        self._live = live
        self.failures_in_a_row = 0
        self.last_error = ''
        self.flat_in_a_row = 0

    def forgive(self) -> None:
        """Count failures and flat answers from 0 again."""
        self.failures_in_a_row = self.flat_in_a_row = 0

    def run(self, job: Job, farewell: Farewell = lambda: None) -> DropReason | None:
        """Run a job, send its result, and count how it ends.

        Args:
            job: the frames.
            farewell: asked before anything leaves.

        Returns:
            Why there is no result, None where there is one.
        """
        try:
            lost = self._fuse(job, farewell)
        except ImageFormatError as err:
            lost = DropReason.MALFORMED
            self._complain(Level.WARN, lost, str(err))
        except CalibrationError as err:
            lost = DropReason.UNREGISTERED
            self._complain(Level.ERROR, lost, str(err))
        except Exception as err:  # the next pair may do better, whatever this was
            lost = farewell()  # what it needed was destroyed
            if lost is None:
                lost = DropReason.ENGINE_ERROR
                self.failures_in_a_row += 1
                self.last_error = str(err) if isinstance(err, PaifError) else repr(err)
                self._complain(Level.ERROR, lost, self.last_error)
        if lost is not None:
            self._statistics.job_lost(job.ticket, lost)
        return lost

    def _complain(self, level: Level, kind: DropReason, text: str) -> None:
        self._notices.now_and_then(level, f'pair.{kind}', f'pair dropped: {text}')

    def _fuse(self, job: Job, farewell: Farewell) -> DropReason | None:
        taken = monotonic_ns()
        values = self._parameters()
        if self._live and taken - job.received > values.sync.max_age * 1e9:
            return DropReason.STALE
        wanted = self._sink.wanted()
        if wanted is None:
            return DropReason.NO_SUBSCRIBER
        infos = self._sink.infos(job)
        result = self._pipeline.run(job, wanted, Settings.of(values), infos)
        if wanted.prediction:
            self.failures_in_a_row = 0
            self.flat_in_a_row = self.flat_in_a_row + 1 if result.flat else 0
        computed = monotonic_ns()
        if (reason := farewell()) is not None:
            return reason  # the publishers may be gone
        packed = self._sink.pack(job, result)
        done = monotonic_ns()
        if (reason := farewell()) is not None:
            return reason
        self._sink.send(packed)
        sent = monotonic_ns()
        pairing, waiting = job.made - job.received, taken - job.made if self._live else 0
        times = StageTimes(
            pairing=pairing,
            waiting=waiting,
            **{stage: result.times[stage] for stage in result.times if stage != 'convert'},
            convert=result.times['convert'] + done - computed,
            publish=sent - done,
            total=pairing + waiting + sent - taken,
        )
        self._statistics.job_done(job.ticket, times)
        return None
