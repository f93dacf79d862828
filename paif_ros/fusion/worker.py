"""The thread that owns the engine: it loads it, runs one job after the other, and frees it.

With `engine.overlap` two more threads take the work before and after the network, see `overlap`.
"""

from __future__ import annotations

import os
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from paif_ros.engines import EngineInfo
from paif_ros.errors import EngineError, PaifError
from paif_ros.fusion.jobs import Job
from paif_ros.fusion.mailbox import Mailbox
from paif_ros.fusion.overlap import Overlap
from paif_ros.fusion.pace import Pace, Stage
from paif_ros.fusion.pipeline import Pipeline
from paif_ros.fusion.runner import Runner, Sink, Task
from paif_ros.monitoring.accounting import DropReason
from paif_ros.monitoring.notices import Level, Notices
from paif_ros.monitoring.statistics import Statistics
from paif_ros.parameters import Parameters
from paif_ros.thermal.agc import AgcRange


@dataclass(frozen=True)
class WorkerState:
    """What is to be said of the worker.

    Attributes:
        engine: what computes, None while nothing is loaded.
        busy: ns that the job in work has taken so far, or the slowest stage of it.
        failures: failed inferences in a row.
        last_error: what the last of them said.
        flat: answers of one single colour in a row.
        agc: the thermal values that are black and white, None for 8-bit frames.
        agreement: mean edge correlation of both cameras over a minute, None until known.
        progress: how far loading is, in words; empty once it is over.
        death: which of its threads has ended by an error of ours, and by which; else empty.
    """

    engine: EngineInfo | None = None
    busy: int = 0
    failures: int = 0
    last_error: str = ''
    flat: int = 0
    agc: AgcRange | None = None
    agreement: float | None = None
    progress: str = ''
    death: str = ''


def step_back(nice: int) -> None:
    """Give this thread, and those that it starts, less of the CPU where others want it too.

    The engine's threads are started by whoever loads it, and inherit this. Receiving and pairing
    are another thread's, and keep their part.

    Args:
        nice: 0 leaves it as it is, up to 19.
    """
    if nice and hasattr(os, 'setpriority'):
        me = threading.get_native_id()  # Linux counts a thread's priority under its own id
        os.setpriority(os.PRIO_PROCESS, me, max(nice, os.getpriority(os.PRIO_PROCESS, me)))


def overlaps(overlap: str, engine: EngineInfo) -> bool:
    """Tell whether the stages of jobs are to overlap.

    Args:
        overlap: the parameter; 'auto' overlaps where the network leaves the CPU free.
        engine: what was loaded.
    """
    return overlap == 'always' or (overlap == 'auto' and not engine.on_cpu)


class Worker:
    """Runs jobs in a daemon thread, so that native code that hangs can't keep the process alive.

    Args:
        pipeline: not yet loaded. Only the thread touches it.
        sink: takes the results.
        statistics: counts what becomes of the jobs.
        notices: says what went wrong.
        parameters: gives the present values.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        sink: Sink,
        statistics: Statistics,
        notices: Notices,
        parameters: Callable[[], Parameters],
    ) -> None:
        self._pipeline = pipeline
        self._runner = Runner(pipeline, sink, statistics, notices, parameters)
        self._statistics = statistics
        self._notices = notices
        self._parameters = parameters
        self._mailbox: Mailbox[tuple[int, Job]] = Mailbox()  # with the session it belongs to
        self._session = 0  # ends with each `shut`; what was begun in it does not go out any more
        self._pace = Pace()
        self._loaded = threading.Event()
        self._open = False
        self._farewell = DropReason.INACTIVE
        self.engine: EngineInfo | None = None
        self.failure: PaifError | None = None  # why it could not load
        self.death = ''  # why it works no more, though nobody has stopped it
        self._progress = ''
        self._thread = threading.Thread(target=self._work, name='worker', daemon=True)
        self._thread.start()

    def wait_loaded(self, timeout: float) -> bool:
        """Wait until `engine` or `failure` is set. Returns whether one is."""
        return self._loaded.wait(timeout)

    @property
    def failures_in_a_row(self) -> int:
        """Failed inferences since the last one that went well."""
        return self._runner.failures_in_a_row

    @property
    def last_error(self) -> str:
        """What the last of them said, or what has ended the worker."""
        return self.death or self._runner.last_error

    def state(self, now: int) -> WorkerState:
        """Describe it at this monotonic time in ns."""
        since = self._pace.busy_since
        return WorkerState(
            engine=self.engine,
            busy=0 if since is None else now - since,
            failures=self.failures_in_a_row,
            last_error=self.last_error,
            flat=self._runner.flat_in_a_row,
            agc=self._pipeline.agc_range,
            agreement=self._pipeline.agreement,
            progress=self._progress,
            death=self.death,
        )

    def put(self, job: Job) -> None:
        """Leave a job in place of the one that waits."""
        if (replaced := self._mailbox.put((self._session, job))) is not None:
            why = DropReason.ENGINE_ERROR if self.death else DropReason.SUPERSEDED
            self._statistics.job_lost(replaced[1].ticket, why)

    def open(self) -> None:
        """Let results go out from now on."""
        self._runner.forgive()
        self._open = True

    def shut(self, timeout: float, reason: DropReason) -> bool:
        """Let no result go out from now on, and drop the job that waits.

        Args:
            timeout: seconds to wait for the job in work.
            reason: what both count as.

        Returns:
            Whether the job in work has ended.
        """
        self._farewell = reason
        self._open = False
        self._session += 1
        if (left := self._mailbox.get(timeout=0)) is not None:
            self._statistics.job_lost(left[1].ticket, reason)
        if self.death:  # the job in work has no end that the pace knows of
            self._thread.join(timeout)
            return not self._thread.is_alive()
        return self._pace.wait_idle(timeout)

    def stop(self, timeout: float) -> bool:
        """End the thread and free the engine. May be called again.

        Args:
            timeout: seconds to wait for native code.

        Returns:
            Whether the thread has ended.
        """
        self._open = False
        if (left := self._mailbox.close()) is not None:
            self._statistics.job_lost(left[1].ticket, DropReason.SHUTDOWN)
        self._pace.wake()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    # ---- the thread

    def _work(self) -> None:
        try:
            self._load()
            if self.engine is not None:
                self._run_jobs(self.engine)
        except BaseException as err:  # SystemExit too, which ends a thread in silence
            self._died(err)
        finally:
            if self.death:
                self._statistics.abandon(DropReason.ENGINE_ERROR)
            self._pipeline.close()

    def _died(self, err: BaseException) -> None:
        """Say that the thread that calls this ends by an error of ours, and end the others.

        What goes wrong with a job is the runner's to count. This is for what nobody thought of:
        the node would be active otherwise, and fuse nothing.
        """
        name = threading.current_thread().name
        self._farewell, self._open = DropReason.ENGINE_ERROR, False
        text = f'the thread {name} has ended by {type(err).__name__}: {err}'
        if not self.death:
            self.death = text
            self._statistics.worker_died()
        if (left := self._mailbox.close()) is not None:
            self._statistics.job_lost(left[1].ticket, DropReason.ENGINE_ERROR)
        self._pace.wake()
        if not self._loaded.is_set():
            self.failure = EngineError(self._parameters().engine.backend, text)
            self._loaded.set()
        trace = ''.join(traceback.format_exception(err))
        self._notices.say(Level.ERROR, f'{text}. This is a bug; please report it:\n{trace}')

    def _run_jobs(self, engine: EngineInfo) -> None:
        if not overlaps(self._parameters().engine.overlap, engine):
            self._one_by_one()
            return
        Overlap(
            self._runner, self._pace, self._take, self._ended, self._step_back, died=self._died
        ).run()

    def _one_by_one(self) -> None:
        while not self._ended():
            if (task := self._take()) is not None:
                with self._pace.at(Stage.PREPARE):
                    self._runner.run(task)
                self._pace.done()

    def _ended(self) -> bool:
        return self._mailbox.closed

    def _take(self) -> Task | None:
        """Wait a second for a job. Its result goes out only while its session lasts."""
        waiting = self._mailbox.get(timeout=1.0)
        if waiting is None:
            return None
        session, job = waiting

        def farewell() -> DropReason | None:
            return None if self._open and session == self._session else self._farewell

        return Task(job, farewell, session)

    def _step_back(self) -> None:
        step_back(self._parameters().engine.nice)

    def _load(self) -> None:
        try:
            self._step_back()
            self.engine = self._pipeline.load(self._tell, lambda: self._mailbox.closed)
        except PaifError as err:
            self.failure = err
        except Exception as err:  # whatever it is, a node without a network must say so
            text = f'loading failed: {type(err).__name__}: {err}'
            self.failure = EngineError(self._parameters().engine.backend, text)
        self._progress = ''
        self._loaded.set()

    def _tell(self, level: Level, text: str) -> None:
        """Say how loading goes: an engine that is built takes minutes, and says so."""
        self._progress = text
        self._notices.say(level, text)
