"""The thread that owns the engine: it loads it, runs one job after the other, and frees it.

No job stops it: whatever fails is counted, said now and then, and the next job goes on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic_ns
from typing import Any, Protocol

from paif_ros.engines import EngineInfo
from paif_ros.errors import CalibrationError, EngineError, ImageFormatError, PaifError
from paif_ros.fusion.jobs import Job
from paif_ros.fusion.mailbox import Mailbox
from paif_ros.fusion.pipeline import Infos, Pipeline, Settings
from paif_ros.fusion.results import Result, Wanted
from paif_ros.monitoring.accounting import DropReason
from paif_ros.monitoring.notices import Level, Notices
from paif_ros.monitoring.statistics import StageTimes, Statistics
from paif_ros.parameters import Parameters
from paif_ros.thermal.agc import AgcRange


@dataclass(frozen=True)
class WorkerState:
    """What is to be said of the worker.

    Attributes:
        engine: what computes, None while nothing is loaded.
        busy: ns that the job in work has taken so far.
        failures: failed inferences in a row.
        last_error: what the last of them said.
        flat: answers of one single colour in a row.
        agc: the thermal values that are black and white, None for 8-bit frames.
        agreement: mean edge correlation of both cameras over a minute, None until known.
        progress: how far loading is, in words; empty once it is over.
    """

    engine: EngineInfo | None = None
    busy: int = 0
    failures: int = 0
    last_error: str = ''
    flat: int = 0
    agc: AgcRange | None = None
    agreement: float | None = None
    progress: str = ''


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
        self._sink = sink
        self._statistics = statistics
        self._notices = notices
        self._parameters = parameters
        self._mailbox: Mailbox[tuple[int, Job]] = Mailbox()  # with the session it belongs to
        self._session = 0  # ends with each `shut`; what was begun in it does not go out any more
        self._begun = 0  # the session of the last job
        self._loaded = threading.Event()
        self._idle = threading.Condition()
        self._busy_since: int | None = None
        self._open = False
        self._farewell = DropReason.INACTIVE
        self.engine: EngineInfo | None = None
        self.failure: PaifError | None = None  # why it could not load
        self.last_error = ''
        self.failures_in_a_row = 0
        self._flat_in_a_row = 0
        self._progress = ''
        self._thread = threading.Thread(target=self._work, name='worker', daemon=True)
        self._thread.start()

    def wait_loaded(self, timeout: float) -> bool:
        """Wait until `engine` or `failure` is set. Returns whether one is."""
        return self._loaded.wait(timeout)

    def state(self, now: int) -> WorkerState:
        """Describe it at this monotonic time in ns."""
        since = self._busy_since
        return WorkerState(
            engine=self.engine,
            busy=0 if since is None else now - since,
            failures=self.failures_in_a_row,
            last_error=self.last_error,
            flat=self._flat_in_a_row,
            agc=self._pipeline.agc_range,
            agreement=self._pipeline.agreement,
            progress=self._progress,
        )

    def put(self, job: Job) -> None:
        """Leave a job in place of the one that waits."""
        if (replaced := self._mailbox.put((self._session, job))) is not None:
            self._statistics.job_lost(replaced[1].ticket, DropReason.SUPERSEDED)

    def open(self) -> None:
        """Let results go out from now on."""
        self.failures_in_a_row = self._flat_in_a_row = 0
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
        with self._idle:
            return self._idle.wait_for(lambda: self._busy_since is None, timeout)

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
        self._thread.join(timeout)
        return not self._thread.is_alive()

    # ---- the thread

    def _work(self) -> None:
        self._load()
        while self.engine is not None and not self._mailbox.closed:
            waiting = self._mailbox.get(timeout=1.0)
            if waiting is None:
                continue
            self._busy_since = monotonic_ns()
            self._run(*waiting)
            with self._idle:
                self._busy_since = None
                self._idle.notify_all()
        self._pipeline.close()

    def _load(self) -> None:
        try:
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

    def _run(self, session: int, job: Job) -> None:
        """Run a job and count how it ends."""
        lost: DropReason | None = None
        try:
            lost = self._fuse(session, job)
        except ImageFormatError as err:
            lost = DropReason.MALFORMED
            self._complain(Level.WARN, lost, str(err))
        except CalibrationError as err:
            lost = DropReason.UNREGISTERED
            self._complain(Level.ERROR, lost, str(err))
        except Exception as err:  # the next pair may do better, whatever this was
            if not self._open:  # what it needed was destroyed
                self._statistics.job_lost(job.ticket, self._farewell)
                return
            lost = DropReason.ENGINE_ERROR
            self.failures_in_a_row += 1
            self.last_error = str(err) if isinstance(err, PaifError) else repr(err)
            self._complain(Level.ERROR, lost, self.last_error)
        if lost is not None:
            self._statistics.job_lost(job.ticket, lost)

    def _complain(self, level: Level, kind: DropReason, text: str) -> None:
        self._notices.now_and_then(level, f'pair.{kind}', f'pair dropped: {text}')

    def _fuse(self, session: int, job: Job) -> DropReason | None:
        """Run a job, send its result, and count it. Returns why it was dropped, or None."""
        if session != self._begun:  # the node was deactivated in between
            self._begun = session
            self._pipeline.reset()
        taken = monotonic_ns()
        values = self._parameters()
        if taken - job.received > values.sync.max_age * 1e9:
            return DropReason.STALE
        wanted = self._sink.wanted()
        if wanted is None:
            return DropReason.NO_SUBSCRIBER
        infos = self._sink.infos(job)
        result = self._pipeline.run(job, wanted, Settings.of(values), infos)
        if wanted.prediction:
            self.failures_in_a_row = 0
            self._flat_in_a_row = self._flat_in_a_row + 1 if result.flat else 0
        computed = monotonic_ns()
        if not self._open or session != self._session:
            return self._farewell  # the publishers may be gone
        packed = self._sink.pack(job, result)
        done = monotonic_ns()
        if not self._open or session != self._session:
            return self._farewell
        self._sink.send(packed)
        sent = monotonic_ns()
        times = StageTimes(
            pairing=job.made - job.received,
            waiting=taken - job.made,
            **{stage: result.times[stage] for stage in result.times if stage != 'convert'},
            convert=result.times['convert'] + done - computed,
            publish=sent - done,
            total=sent - job.received,
        )
        self._statistics.job_done(job.ticket, times)
        return None
