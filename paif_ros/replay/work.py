"""One task in a process of its own, wherever that is."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paif_ros.errors import PaifError
from paif_ros.monitoring.notices import Level
from paif_ros.replay.options import Task
from paif_ros.replay.progress import ProgressFile
from paif_ros.replay.record import RUN, RunRecord
from paif_ros.replay.run import Run


@dataclass(frozen=True)
class Done:
    """What became of a task.

    Attributes:
        record: its run.json, as JSON has it.
        notices: what there was to say, with its level.
        process: id of the process that did it.
        error: why the task makes no sense, else empty; then there is no record. Not an exception,
            since ours can't be sent from process to process.
    """

    record: dict[str, Any]
    notices: tuple[tuple[str, str], ...]
    process: int
    error: str = ''

    @property
    def run(self) -> RunRecord:
        """Its run.json."""
        return RunRecord.from_dict(self.record)


def work(task: Task, resume: bool) -> Done:
    """Do a task.

    Args:
        task: what to do. An attempt before that was killed is taken up where it stopped.
        resume: whether a task that was done already is left as it is; else it is done anew once.

    Raises:
        OSError: the folder can't be made.
    """
    folder = Path(task.folder)
    if not resume and folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for half in folder.glob('.*.tmp'):  # of a process that was killed while it wrote
        half.unlink()
    stop = threading.Event()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, lambda *_: stop.set())
    notices: list[tuple[str, str]] = []

    def say(level: Level, text: str) -> None:
        notices.append((level.value, text))

    begun = (folder / RUN).is_file()
    try:
        record = Run(task, say, ProgressFile(folder), stop.is_set, resume=begun).run()
    except PaifError as err:
        return Done({}, tuple(notices), os.getpid(), str(err))
    return Done(record.to_dict(), tuple(notices), os.getpid())
