"""Many recordings, or a long one in stretches: tasks for a pool, their results put together.

manifest.json in the common folder says what became of each.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from paif_ros.errors import PaifError
from paif_ros.monitoring.notices import Level
from paif_ros.replay.merge import merge
from paif_ros.replay.opening import open_feed
from paif_ros.replay.options import Task
from paif_ros.replay.pools import Outcome, Pool
from paif_ros.replay.progress import Progress, read_progress
from paif_ros.replay.record import FORMAT, Counts, RunRecord, write_atomically
from paif_ros.replay.stretches import cut, out_of_step, stretches
from paif_ros.replay.verdict import CLEAN, FAILED, LOSSY
from paif_ros.replay.versions import versions
from paif_ros.replay.work import Done

MANIFEST = 'manifest.json'
PARTS = 'parts'  # folder of a recording's stretches, until they are joined
Say = Callable[[Level, str], None]


@dataclass
class Job:
    """One recording.

    Attributes:
        task: of all of it.
        span: ns of recording, None where that is not known without reading it.
        tasks: the stretches, or only `task`.
        done: what they made, by their place.
        errors: why stretches failed.
        redone: stretches that had not been in step with the one before.
        record: of the whole, once it is done.
    """

    task: Task
    span: int | None
    tasks: list[Task] = field(default_factory=list)
    done: dict[int, Done] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    redone: list[int] = field(default_factory=list)
    record: RunRecord | None = None

    @property
    def cut(self) -> bool:
        """Whether it is done in stretches."""
        return len(self.tasks) > 1


class Archive:
    """Replays many recordings.

    Args:
        tasks: one for each recording.
        folder: of all.
        pool: runs the work.
        split: seconds of each stretch, 0 to choose, see `stretches.cut`; below 0 cuts nothing.
        workers: how many tasks there should be at least, to keep all busy.
        say: takes what there is to say.
        progress: is told how far all are.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        folder: Path,
        pool: Pool,
        *,
        split: float,
        workers: int,
        say: Say,
        progress: Progress,
    ) -> None:
        self._folder = folder
        self._pool = pool
        self._say = say
        self._progress = progress
        parts = -(-workers // len(tasks))
        self._jobs = [self._job(task, split, parts) for task in tasks]

    def run(self) -> dict[str, Any]:
        """Do everything.

        Returns:
            What is in manifest.json.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        spans = [job.span for job in self._jobs]
        known = None if None in spans else sum(span or 0 for span in spans)
        self._progress.begin(f'{len(self._jobs)} recordings', known)
        self._write('running')
        places = [(job, number) for job in self._jobs for number in range(len(job.tasks))]
        self._do(places)
        while again := [place for job in self._jobs for place in self._out_of_step(job)]:
            for job, number in again:
                text = 'was not in step with the one before: done again with the whole lead'
                self._say(Level.INFO, f'{job.task.inputs.name}: stretch {number} {text}')
                job.redone.append(number)
                job.tasks[number] = replace(job.tasks[number], lead=None)
                shutil.rmtree(job.tasks[number].folder)
            self._do(again)
        for job in self._jobs:
            self._finish(job)
        self._progress.end()
        return self._write('done')

    # ---- tasks

    def _job(self, task: Task, split: float, parts: int) -> Job:
        """Plan a recording. One that can't be opened fails later, as a task like others."""
        job = Job(task, None, [task])
        try:
            feed = open_feed(task.inputs)
        except PaifError:
            return job
        try:
            span = feed.span
            job.span = None if span is None else span[1] - span[0]
            cuts = [] if split < 0 else cut(feed, task.options.values, split, parts)
        finally:
            feed.close()
        if cuts and not (Path(task.folder) / 'run.json').is_file():  # else it was joined before
            job.tasks = stretches(task, cuts, Path(task.folder) / PARTS)
        return job

    def _do(self, places: Sequence[tuple[Job, int]]) -> None:
        """Run stretches in the pool."""
        for outcome in self._pool.run([job.tasks[n] for job, n in places], self._look):
            job, number = places[outcome.index]
            self._take(job, number, outcome)

    def _take(self, job: Job, number: int, outcome: Outcome) -> None:
        name = job.task.inputs.name
        if outcome.done is None:
            job.errors.append(outcome.error)
            self._say(Level.ERROR, f'{name}: {outcome.error}')
            return
        job.done[number] = outcome.done
        for level, text in outcome.done.notices:
            self._say(Level(level), f'{name}: {text}')
        record = outcome.done.run
        if record.state != 'done':
            job.errors.append(record.message)
            self._say(Level.ERROR, f'{name}: {record.message}')

    def _out_of_step(self, job: Job) -> list[tuple[Job, int]]:
        if not job.cut or job.errors or (Path(job.task.folder) / 'run.json').is_file():
            return []
        wrong = out_of_step(job.tasks)
        # One that read the whole recording is right; what comes before it is then judged anew.
        return [(job, number) for number in wrong if job.tasks[number].lead is not None]

    def _finish(self, job: Job) -> None:
        if job.errors:
            return
        if not job.cut:
            job.record = job.done[0].run
            return
        folder = Path(job.task.folder)
        job.record = merge([Path(task.folder) for task in job.tasks], folder)
        shutil.rmtree(folder / PARTS)

    def _look(self) -> None:
        """Tell how far all are."""
        done = results = 0
        for job in self._jobs:
            for number, task in enumerate(job.tasks):
                if number in job.done:
                    record = job.done[number].run
                    recording = record.recording
                    begin = task.start or recording.start_ns or 0
                    done += max(0, (task.stop or recording.end_ns or 0) - begin)
                    results += record.counts.results
                else:
                    ns, made = read_progress(Path(task.folder))
                    done, results = done + ns, results + made
        self._progress.update(done, results)

    # ---- manifest

    def _write(self, state: str) -> dict[str, Any]:
        codes = [self._code(job) for job in self._jobs]
        code = FAILED if FAILED in codes else LOSSY if LOSSY in codes else CLEAN
        counts = Counts()
        for job in self._jobs:
            if job.record is not None:
                counts = counts + job.record.counts
        tree = {
            'format': FORMAT,
            'state': state,
            'exit_code': code if state == 'done' else None,
            'versions': versions(),
            'command': list(self._jobs[0].task.command),
            'pool': self._pool.name,
            'counts': _plain(counts),
            'recordings': [
                self._entry(job, one if state == 'done' else None)
                for job, one in zip(self._jobs, codes, strict=True)
            ],
        }
        write_atomically(self._folder / MANIFEST, json.dumps(tree, indent=1) + '\n')
        return tree

    def _code(self, job: Job) -> int:
        if job.record is None or job.record.exit_code is None:
            return FAILED
        return job.record.exit_code

    def _entry(self, job: Job, code: int | None) -> dict[str, Any]:
        record = job.record
        return {
            'path': ', '.join(job.task.inputs.paths),
            'folder': str(Path(job.task.folder).relative_to(self._folder)),
            'exit_code': code,
            'message': record.message if record else '; '.join(job.errors),
            'fingerprint': record.recording.fingerprint if record else None,
            'counts': _plain(record.counts) if record else None,
            'redone': job.redone,
            'tasks': [
                {
                    'start_ns': task.start,
                    'stop_ns': task.stop,
                    'lead_ns': task.lead,
                    'state': job.done[n].run.state if n in job.done else 'failed',
                    'seconds': job.done[n].run.seconds if n in job.done else None,
                    'process': job.done[n].process if n in job.done else None,
                }
                for n, task in enumerate(job.tasks)
            ]
            if code is not None
            else [],
        }


def _plain(counts: Counts) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(counts)
