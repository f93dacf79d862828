"""Three threads for the stages of a job, so that they work on three jobs at once.

While the network computes a job, the one before it is drawn and published and the next one is
decoded and warped. A job goes on to a stage as soon as that is free; `pace` keeps the next one in
the mailbox until then. Nothing is dropped between the stages, so their memories (thermal range,
steady mask) see the same jobs as without overlap, and the results have the same bytes.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import TypeAlias

from paif_ros.fusion.pace import Pace, Stage
from paif_ros.fusion.runner import Runner, Task
from paif_ros.monitoring.accounting import DropReason

Slot: TypeAlias = 'queue.Queue[Task | None]'  # for one task; None is the end


class Overlap:
    """Runs tasks until all has ended. Inference stays on the thread that calls `run`.

    Args:
        runner: has the stages.
        pace: says when to begin; told what each stage does.
        take: returns the next task, or None after a while without one.
        ended: whether no task is to be begun any more.
        settle: called on each of the two other threads first.
        died: told what ended one of the three threads unforeseen. `ended` is to be true then.
    """

    def __init__(
        self,
        runner: Runner,
        pace: Pace,
        take: Callable[[], Task | None],
        ended: Callable[[], bool],
        settle: Callable[[], None],
        *,
        died: Callable[[BaseException], None],
    ) -> None:
        self._runner = runner
        self._pace = pace
        self._take = take
        self._ended = ended
        self._settle = settle
        self._died = died
        self._ready: Slot = queue.Queue(1)
        self._answered: Slot = queue.Queue(1)

    def run(self) -> None:
        """Work until `ended`, and until every task that was begun has ended too."""
        others = [
            threading.Thread(target=self._live, args=what, name=name, daemon=True)
            for name, what in (
                ('prepare', (self._prepare, None, self._ready)),
                ('finish', (self._finish, self._answered, None)),
            )
        ]
        for thread in others:
            thread.start()
        self._live(self._infer, self._ready, self._answered)
        for thread in others:
            thread.join()

    def _live(self, work: Callable[[], None], source: Slot | None, target: Slot | None) -> None:
        """Do a thread's work to its end. However that comes, the other two must come to theirs.

        Args:
            work: of the thread.
            source: where its tasks come from.
            target: where they go.
        """
        try:
            work()
        except BaseException as err:  # SystemExit too, which ends a thread in silence
            self._died(err)
            while source is not None and source.get() is not None:
                pass  # who puts tasks there waits for room
        finally:
            if target is not None:
                target.put(None)

    def _prepare(self) -> None:
        self._settle()
        while not self._ended():
            self._pace.wait_turn(self._ended)
            task = self._take()
            if task is not None and self._pass(Stage.PREPARE, task, self._runner.prepare):
                self._pace.hand_over(Stage.INFER)
                self._ready.put(task)

    def _infer(self) -> None:
        while (task := self._ready.get()) is not None:
            if self._pass(Stage.INFER, task, self._runner.infer):
                self._pace.hand_over(Stage.FINISH)
                self._answered.put(task)

    def _finish(self) -> None:
        self._settle()
        while (task := self._answered.get()) is not None:
            self._pass(Stage.FINISH, task, self._runner.finish)
            self._pace.done()

    def _pass(self, stage: Stage, task: Task, work: Callable[[Task], DropReason | None]) -> bool:
        """Let a stage work on a task. Returns whether it goes on."""
        with self._pace.at(stage):
            lost = work(task)
        if lost is not None and stage is not Stage.FINISH:
            self._pace.done()
        return lost is None
