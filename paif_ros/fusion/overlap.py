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

from paif_ros.fusion.pace import Pace, Stage
from paif_ros.fusion.runner import Runner, Task
from paif_ros.monitoring.accounting import DropReason


class Overlap:
    """Runs tasks until all has ended. Inference stays on the thread that calls `run`.

    Args:
        runner: has the stages.
        pace: says when to begin; told what each stage does.
        take: returns the next task, or None after a while without one.
        ended: whether no task is to be begun any more.
        settle: called on each of the two other threads first.
    """

    def __init__(
        self,
        runner: Runner,
        pace: Pace,
        take: Callable[[], Task | None],
        ended: Callable[[], bool],
        settle: Callable[[], None],
    ) -> None:
        self._runner = runner
        self._pace = pace
        self._take = take
        self._ended = ended
        self._settle = settle
        # One slot each; None is the end.
        self._ready: queue.Queue[Task | None] = queue.Queue(1)
        self._answered: queue.Queue[Task | None] = queue.Queue(1)

    def run(self) -> None:
        """Work until `ended`, and until every task that was begun has ended too."""
        others = [
            threading.Thread(target=work, name=name, daemon=True)
            for name, work in (('prepare', self._prepare), ('finish', self._finish))
        ]
        for thread in others:
            thread.start()
        while (task := self._ready.get()) is not None:
            if self._pass(Stage.INFER, task, self._runner.infer):
                self._pace.hand_over(Stage.FINISH)
                self._answered.put(task)
        self._answered.put(None)
        for thread in others:
            thread.join()

    def _prepare(self) -> None:
        self._settle()
        while not self._ended():
            self._pace.wait_turn(self._ended)
            task = self._take()
            if task is not None and self._pass(Stage.PREPARE, task, self._runner.prepare):
                self._pace.hand_over(Stage.INFER)
                self._ready.put(task)
        self._ready.put(None)

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
