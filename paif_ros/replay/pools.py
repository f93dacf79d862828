"""Where the tasks of many recordings run: processes of this machine, or a Ray cluster.

Neither schedules anything itself: that is left to Python's ProcessPoolExecutor and to Ray. A task
whose process is killed is given out again, and goes on from its last checkpoint.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Protocol

from paif_ros.errors import PaifError
from paif_ros.replay.options import Task
from paif_ros.replay.ray_head import RayHead
from paif_ros.replay.work import Done
from paif_ros.replay.work import work as do_task

Work = Callable[[Task, bool], Done]
START_SECONDS = 300.0  # for Ray on this machine, which may be busy
WAIT = 0.5  # seconds between two looks at how far all are
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Outcome:
    """How a task ended.

    Attributes:
        index: place of the task.
        done: what it made, None where it failed.
        error: why it failed, else empty.
    """

    index: int
    done: Done | None
    error: str = ''


class Pool(Protocol):
    """Runs tasks side by side."""

    @property
    def name(self) -> str:
        """What it is, for the manifest."""

    def run(self, tasks: Sequence[Task], look: Callable[[], None]) -> Iterator[Outcome]:
        """Run tasks.

        Args:
            tasks: in the order in which they should begin.
            look: called twice a second.

        Yields:
            Each task's outcome, as they end.
        """


class Processes:
    """Processes of this machine. A `Pool`.

    Args:
        workers: how many at once.
        retries: how often tasks are given out again after a process was killed.
        stopped: asked whether to give out no more.
        work: does a task; found by its name in the other processes.
    """

    def __init__(
        self,
        workers: int,
        retries: int,
        stopped: Callable[[], bool] = lambda: False,
        work: Work = do_task,
    ) -> None:
        self._work = work
        self._workers = workers
        self._retries = retries
        self._stopped = stopped

    @property
    def name(self) -> str:
        """What it is."""
        return f'{self._workers} processes'

    def run(self, tasks: Sequence[Task], look: Callable[[], None]) -> Iterator[Outcome]:
        """Run tasks, see `Pool`."""
        left = dict(enumerate(tasks))
        for _ in range(self._retries + 1):
            yield from self._attempt(left, look)
            if not left or self._stopped():
                break
        for index in left:
            yield Outcome(index, None, 'stopped' if self._stopped() else 'its process was killed')

    def _attempt(self, left: dict[int, Task], look: Callable[[], None]) -> Iterator[Outcome]:
        """Run what is left; remove from it what came to an end."""
        # With a limit, however high, Python starts processes afresh rather than by fork, which
        # would copy the locks of whatever threads there are.
        limit: dict[str, Any] = {}
        if sys.version_info >= (3, 11):
            limit['max_tasks_per_child'] = 10**9
        with ProcessPoolExecutor(self._workers, **limit) as pool:
            futures: dict[Future[Done], int] = {
                pool.submit(self._work, task, True): index for index, task in left.items()
            }
            waiting = set(futures)
            while waiting:
                ended, waiting = wait(waiting, WAIT, FIRST_COMPLETED)
                look()
                if self._stopped():
                    for future in waiting:
                        future.cancel()
                for future in ended:
                    outcome = _outcome(futures[future], future)
                    if outcome is not None:
                        del left[outcome.index]
                        yield outcome


def _outcome(index: int, future: Future[Done]) -> Outcome | None:
    """Return how a task ended, None where it did not, as when a process was killed."""
    if future.cancelled():
        return None
    try:
        return _judged(index, future.result())
    except BrokenProcessPool:
        return None
    except OSError as err:
        return Outcome(index, None, str(err))
    except Exception as err:  # a bug in one task leaves the others alone
        return Outcome(index, None, repr(err))


def _judged(index: int, done: Done) -> Outcome:
    return Outcome(index, None, done.error) if done.error else Outcome(index, done)


class Ray:
    """A Ray cluster, or Ray on this machine. A `Pool`. All machines need to see the same files.

    Args:
        address: of a cluster, such as 'auto' or 'ray://host:10001'; '' is that of RAY_ADDRESS, and
            starts Ray here where there is none.
        workers: how many tasks at once where Ray is started here.
        retries: how often Ray runs a task again that failed or whose process was killed. Where Ray
            is started here, that holds for tasks too that it kills itself since the machine runs
            out of memory; a cluster has its own number for these, by default without an end.
        cpus: that a task takes.
        gpus: that a task takes, such as 0.5.
        work: does a task; found by its name in the other processes.

    Raises:
        PaifError: Ray is not installed.
    """

    def __init__(
        self,
        address: str,
        workers: int,
        retries: int,
        *,
        cpus: float = 1.0,
        gpus: float = 0.0,
        work: Work = do_task,
    ) -> None:
        self._work = work
        os.environ.setdefault('RAY_USAGE_STATS_ENABLED', '0')  # before it is imported
        os.environ.setdefault('RAY_task_oom_retries', str(retries))
        try:
            import ray
        except ImportError as err:
            raise PaifError('--ray needs Ray: pip install "ray>=2.40"') from err
        self._ray: Any = ray
        self._address = address or os.environ.get('RAY_ADDRESS', '')
        self._workers = workers
        self._retries = retries
        self._share = {'num_cpus': cpus, 'num_gpus': gpus}

    @property
    def name(self) -> str:
        """What it is."""
        place = self._address or f'{self._workers} workers'
        return f'Ray {self._ray.__version__} ({place})'

    def run(self, tasks: Sequence[Task], look: Callable[[], None]) -> Iterator[Outcome]:
        """Run tasks, see `Pool`."""
        ray = self._ray
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get('PYTHONPATH')])])
        options: dict[str, Any] = {'runtime_env': {'env_vars': {'PYTHONPATH': path}}}
        head = None if self._address else RayHead(self._workers)
        try:
            self._connect(head, options)
            remote = ray.remote(
                max_retries=self._retries, retry_exceptions=[OSError], **self._share
            )(self._work)
            waiting = {remote.remote(task, True): index for index, task in enumerate(tasks)}
            while waiting:
                ended, _ = ray.wait(list(waiting), num_returns=1, timeout=WAIT)
                look()
                for reference in ended:
                    yield self._outcome(waiting.pop(reference), reference)
        finally:
            ray.shutdown()
            if head is not None:
                head.close()

    def _connect(self, head: RayHead | None, options: dict[str, Any]) -> None:
        """Connect to the cluster; to that of this machine as soon as it is there."""
        options |= {'address': self._address} if head is None else head.options
        end = monotonic() + START_SECONDS
        while True:
            if head is not None:
                head.look()
            try:
                self._ray.init(log_to_driver=False, logging_level='ERROR', **options)
            except Exception as err:  # Ray raises whatever comes
                self._ray.shutdown()
                if head is None or monotonic() > end:
                    text = ' '.join(str(err).split())[:500]
                    raise PaifError(f'Ray can not be reached or started: {text}') from err
            else:
                return

    def _outcome(self, index: int, reference: Any) -> Outcome:
        try:
            return _judged(index, self._ray.get(reference))
        except self._ray.exceptions.RayTaskError as err:
            cause = err.cause
            text = str(cause) if isinstance(cause, OSError) else repr(cause)
            return Outcome(index, None, text)
        except self._ray.exceptions.OutOfMemoryError:
            text = 'Ray killed its process, for the machine runs out of memory: fewer --workers, '
            return Outcome(index, None, f'{text}or end what else takes it')
        except self._ray.exceptions.RayError as err:
            return Outcome(index, None, ' '.join(str(err).split())[:500])
