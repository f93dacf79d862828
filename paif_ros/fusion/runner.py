"""Runs one job after the other and counts how each ends: for the node's worker, or without one.

No job stops it: whatever fails is counted, said now and then, and the next job goes on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic_ns
from typing import Any, Protocol

from paif_ros.errors import CalibrationError, ImageFormatError, PaifError
from paif_ros.fusion.jobs import Job
from paif_ros.fusion.pipeline import Answer, Infos, Inputs, Pipeline, Settings
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


@dataclass(eq=False)
class Task:
    """A job on its way through the stages. It belongs to the stage that has it.

    Attributes:
        job: the frames.
        farewell: asked before anything costs time or leaves.
        session: jobs of one session follow each other in time; the steady mask starts anew with
            each session.
        max_age: ns after which it is stale, as the parameters were when it was taken.
        settings: what the pictures are made with, taken then too.
        wanted: the pictures that were listened to then.
        waited: ns that it waited for a stage, its time in the mailbox included.
        begun: when it was taken, monotonic ns.
        since: when the last stage was done with it, monotonic ns.
        inputs: set by the first stage.
        answer: set by the second stage.
    """

    job: Job
    farewell: Farewell = lambda: None
    session: int = 0
    max_age: float = 0.0
    settings: Settings | None = None
    wanted: Wanted = field(default_factory=Wanted)
    waited: int = 0
    begun: int = 0
    since: int = 0
    inputs: Inputs | None = None
    answer: Answer | None = None


class Runner:
    """Takes jobs through the pipeline to a sink.

    `prepare`, `infer` and `finish` may each have a thread of their own, as long as tasks go
    through them in one order; `run` is all three. Counts may be read from any thread.

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
        self._session = 0  # of the last task that was finished
        self._failing = threading.Lock()
        self.failures_in_a_row = 0
        self.last_error = ''
        self.flat_in_a_row = 0

    def forgive(self) -> None:
        """Count failures and flat answers from 0 again."""
        with self._failing:
            self.failures_in_a_row = self.flat_in_a_row = 0

    def run(self, task: Task) -> DropReason | None:
        """Run a job through all stages, send its result, and count how it ends.

        Returns:
            Why there is no result, None where there is one.
        """
        for stage in (self.prepare, self.infer, self.finish):
            if (lost := stage(task)) is not None:
                return lost
        return None

    def prepare(self, task: Task) -> DropReason | None:
        """Stage 1, the network's inputs. Returns why the job has ended, None where it goes on."""
        return self._guarded(task, self._prepare)

    def infer(self, task: Task) -> DropReason | None:
        """Stage 2, the network. Returns why the job has ended, None where it goes on."""
        return self._guarded(task, self._infer)

    def finish(self, task: Task) -> DropReason | None:
        """Stage 3: pictures, messages, and away with them. Returns why not, None where all is."""
        return self._guarded(task, self._finish)

    def _guarded(
        self, task: Task, stage: Callable[[Task], DropReason | None]
    ) -> DropReason | None:
        try:
            lost = stage(task)
        except ImageFormatError as err:
            lost = DropReason.MALFORMED
            self._complain(Level.WARN, lost, str(err))
        except CalibrationError as err:
            lost = DropReason.UNREGISTERED
            self._complain(Level.ERROR, lost, str(err))
        except Exception as err:  # the next pair may do better, whatever this was
            lost = task.farewell()  # what it needed was destroyed
            if lost is None:
                lost = DropReason.ENGINE_ERROR
                self.last_error = str(err) if isinstance(err, PaifError) else repr(err)
                with self._failing:
                    self.failures_in_a_row += 1
                self._complain(Level.ERROR, lost, self.last_error)
        if lost is not None:
            self._statistics.job_lost(task.job.ticket, lost)
        return lost

    def _complain(self, level: Level, kind: DropReason, text: str) -> None:
        self._notices.now_and_then(level, f'pair.{kind}', f'pair dropped: {text}')

    def _prepare(self, task: Task) -> DropReason | None:
        task.begun, values = monotonic_ns(), self._parameters()
        task.waited = task.begun - task.job.made if self._live else 0
        task.max_age, task.settings = values.sync.max_age * 1e9, Settings.of(values)
        if self._stale(task):
            return DropReason.STALE
        wanted = self._sink.wanted()
        if wanted is None:
            return DropReason.NO_SUBSCRIBER
        task.wanted = wanted
        infos = self._sink.infos(task.job)
        task.inputs = self._pipeline.prepare(task.job, task.settings, infos)
        task.since = monotonic_ns()
        return None

    def _infer(self, task: Task) -> DropReason | None:
        assert task.inputs is not None
        task.waited += monotonic_ns() - task.since
        if (reason := task.farewell()) is not None:
            return reason
        if self._stale(task):  # it was ready, but an inference before it took long
            return DropReason.STALE
        task.answer = self._pipeline.infer(task.inputs, task.wanted)
        task.since = monotonic_ns()
        return None

    def _finish(self, task: Task) -> DropReason | None:
        assert task.inputs is not None
        assert task.answer is not None
        assert task.settings is not None
        job = task.job
        task.waited += monotonic_ns() - task.since
        if task.session != self._session:  # the node was deactivated in between
            self._session = task.session
            self._pipeline.reset()
        result = self._pipeline.finish(job, task.inputs, task.answer, task.wanted, task.settings)
        if task.wanted.prediction:
            with self._failing:
                self.failures_in_a_row = 0
                self.flat_in_a_row = self.flat_in_a_row + 1 if result.flat else 0
        computed = monotonic_ns()
        if (reason := task.farewell()) is not None:
            return reason  # the publishers may be gone
        packed = self._sink.pack(job, result)
        done = monotonic_ns()
        if (reason := task.farewell()) is not None:
            return reason
        self._sink.send(packed)
        sent = monotonic_ns()
        pairing = job.made - job.received
        before = task.begun - job.made if self._live else 0
        times = StageTimes(
            pairing=pairing,
            waiting=task.waited,
            **{stage: result.times[stage] for stage in result.times if stage != 'convert'},
            convert=result.times['convert'] + done - computed,
            publish=sent - done,
            total=pairing + before + sent - task.begun,
        )
        self._statistics.job_done(job.ticket, times)
        return None

    def _stale(self, task: Task) -> bool:
        age = task.job.made - task.job.received + task.waited
        return self._live and age > task.max_age
