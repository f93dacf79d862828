"""Tells how far a build is. TensorRT says it as nested phases, each of so many steps."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from paif_ros.errors import EngineError
from paif_ros.tensorrt import library

EVERY = 5.0  # seconds between two reports


class BuildStopped(EngineError):  # noqa: N818 - no error: somebody wanted it
    """A build that was given up because whoever waited for it no longer does."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind, 'the build was stopped; the next start begins it again')


@dataclass
class _Phase:
    parent: str | None
    steps: int
    done: int = 0
    children: dict[str, float] = field(default_factory=dict)  # the part that each has done


class Phases:
    """Works out the part that is done. It never goes back, whatever the phases say."""

    def __init__(self) -> None:
        self._phases: dict[str, _Phase] = {}
        self._part = 0.0

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """A phase begins within another, or by itself."""
        self._phases[name] = _Phase(parent, max(1, steps))

    def step(self, name: str, step: int) -> None:
        """A phase has done its step of this number, from 0."""
        phase = self._phases.get(name)
        if phase is not None:
            phase.done = max(phase.done, min(step + 1, phase.steps))
            phase.children.clear()

    def finish(self, name: str) -> None:
        """A phase is over, however many steps it had done."""
        self._phases.pop(name, None)

    @property
    def part(self) -> float:
        """The part that is done, 0 to 1."""
        roots = [name for name, phase in self._phases.items() if phase.parent is None]
        if roots:
            self._part = max(self._part, self._of(roots[-1], 0))
        return self._part

    def _of(self, name: str, depth: int) -> float:
        phase = self._phases[name]
        inner = [
            self._of(child, depth + 1)
            for child, other in self._phases.items()
            if other.parent == name and child != name and depth < 20
        ]
        return min(1.0, (phase.done + max(inner, default=0.0)) / phase.steps)


def make_monitor(
    module: Any,
    report: Callable[[float, str], None],
    stop: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = monotonic,
) -> Any:
    """Return a progress monitor for a library.

    Args:
        module: the library.
        report: called with part and phase at most every `EVERY` seconds, and at the first step.
        stop: asked at each step whether to give the build up.
        clock: seconds.

    Whatever either raises stops the build and is kept as `failure`: no exception can pass through
    TensorRT's own code, its bindings swallow it.
    """

    class Monitor(module.IProgressMonitor):  # type: ignore[misc, name-defined]
        """Called from the threads that build, one call at a time."""

        def __init__(self) -> None:
            module.IProgressMonitor.__init__(self)
            self.failure: BaseException | None = None
            self.phases = Phases()
            self.reported = clock() - EVERY

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            try:
                self.phases.start(phase_name, parent_phase, num_steps)
            except BaseException as err:
                self.failure = err

        def phase_finish(self, phase_name: str) -> None:
            try:
                self.phases.finish(phase_name)
            except BaseException as err:
                self.failure = err

        def step_complete(self, phase_name: str, step: int) -> bool:
            try:
                return self.failure is None and self.go_on(phase_name, step)
            except BaseException as err:
                self.failure = err
                return False

        def go_on(self, phase_name: str, step: int) -> bool:
            self.phases.step(phase_name, step)
            now = clock()
            if now - self.reported >= EVERY:
                self.reported = now
                report(self.phases.part, phase_name)
            if stop():
                self.failure = BuildStopped(library.kind_of(module))
                return False
            return True

    return Monitor()


@contextmanager
def interrupts_into(monitor: Any) -> Iterator[None]:
    """Let Ctrl-C stop a build through its monitor.

    Python raises KeyboardInterrupt at the first instruction of a callback, where the bindings
    swallow it. So for the time of a build the handler only leaves it with the monitor. A handler
    that somebody else has set, and builds on other threads than the main one, are left alone.
    """
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield
        return

    def leave(_number: int, _frame: Any) -> None:
        monitor.failure = KeyboardInterrupt()
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a second one does not wait

    signal.signal(signal.SIGINT, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
