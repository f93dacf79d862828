"""One run: a recording, or a stretch of it, through the core into one folder.

Whatever happens, run.json says how it ended; a process that is killed leaves it at 'running', and
everything up to the last checkpoint is whole.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from time import monotonic, monotonic_ns
from typing import Any

from paif_ros.engines.base import EngineInfo
from paif_ros.errors import PaifError
from paif_ros.fusion.assembly import pipeline_of
from paif_ros.fusion.outgoing import PICTURES
from paif_ros.fusion.pipeline import Pipeline
from paif_ros.monitoring.notices import Level
from paif_ros.pictures.labels import classes_json
from paif_ros.replay.checkpoint import NAME as CHECKPOINT
from paif_ros.replay.checkpoint import Checkpoint, difference, packed, unpacked
from paif_ros.replay.choice import choose
from paif_ros.replay.core import Core
from paif_ros.replay.feed import AHEAD_NS, Feed, Item, Lookahead
from paif_ros.replay.making import make_sinks
from paif_ros.replay.opening import open_feed
from paif_ros.replay.options import Task
from paif_ros.replay.progress import Progress
from paif_ros.replay.record import (
    DROPS,
    FRAMES,
    Counts,
    Model,
    Recording,
    RowWriter,
    RunRecord,
    drop_cells,
    drop_header,
    frame_cells,
    frame_header,
    write_atomically,
)
from paif_ros.replay.sinks import Beginning, Original, Sink
from paif_ros.replay.verdict import verdict
from paif_ros.replay.versions import fingerprint, sha256, versions

Say = Callable[[Level, str], None]
TRACE = 'trace.json'


class FolderInUseError(PaifError):
    """The folder holds another run.

    Attributes:
        folder: of it.
        reason: what is there and what to do.
    """

    def __init__(self, folder: Path, reason: str) -> None:
        self.folder = folder
        self.reason = reason
        super().__init__(f'{folder}: {reason}')


class Run:
    """One task from its beginning to its end.

    Args:
        task: what to do.
        say: takes what there is to say.
        progress: is told how far it is.
        stopped: asked between two messages whether to stop; what was made till then is kept.
        resume: whether to go on where an earlier run stopped.
        extra: further sinks.
    """

    def __init__(
        self,
        task: Task,
        say: Say,
        progress: Progress,
        stopped: Callable[[], bool] = lambda: False,
        *,
        resume: bool = False,
        extra: Sequence[Sink] = (),
    ) -> None:
        self._task = task
        self._say = say
        self._progress = progress
        self._stopped = stopped
        self._resume = resume
        self._extra = extra
        self._folder = Path(task.folder)
        self._begun = monotonic()
        self._before = 0.0  # seconds of earlier attempts
        self._rows: list[RowWriter] = []
        self._position = self._own = 0  # messages taken, and those that are not of the lead
        self._first: int | None = None
        self._last: int | None = None

    def run(self) -> RunRecord:
        """Do it.

        Returns:
            What is in run.json: whether it ended well, was interrupted, or failed.

        Raises:
            FolderInUseError: the folder holds another run.
            RecordingError, TopicChoiceError, ParameterError: the task makes no sense; nothing was
                written.
        """
        with ExitStack() as stack:
            feed = open_feed(self._task.inputs)
            stack.callback(feed.close)
            options = self._task.options
            self._topics = choose(
                feed,
                self._task.inputs.topics,
                {
                    'color': options.values.input.color_transport,
                    'thermal': options.values.input.thermal_transport,
                },
                [topic.name.replace('~', options.node, 1) for topic in PICTURES.values()],
            )
            self._record = self._new_record(feed)
            sinks = [*make_sinks(options), *self._extra]
            checkpoint = self._take_up()
            if self._done is not None:
                return self._done
            self._folder.mkdir(parents=True, exist_ok=True)
            self._record.write(self._folder)
            return self._attempt(feed, sinks, checkpoint)

    # ---- beginning

    def _new_record(self, feed: Feed) -> RunRecord:
        task = self._task
        bytes_ = sum(path.stat().st_size for path in feed.files)
        return RunRecord(
            state='running',
            exit_code=None,
            message='',
            started=datetime.now(timezone.utc).isoformat(timespec='seconds'),
            seconds=0.0,
            command=task.command,
            versions=versions(),
            recording=Recording(
                path=', '.join(task.inputs.paths),
                kind=feed.kind,
                fingerprint=fingerprint(feed.files),
                bytes=bytes_,
                topics=self._topics,
            ),
            parameters=dict(task.options.parameters),
            options={
                **task.options.told,
                'rate': task.inputs.rate,
                'start': task.start,
                'stop': task.stop,
                'lead': task.lead,
            },
        )

    def _take_up(self) -> Checkpoint | None:
        """Return where an earlier run stopped, None to begin at the beginning."""
        self._done: RunRecord | None = None
        model = Path(str(self._task.options.parameters['model_path']))
        self._key = key_of(self._record, sha256(model) if model.is_file() else '')
        if not self._folder.exists() or not any(self._folder.iterdir()):
            return None
        if not self._resume:
            raise FolderInUseError(
                self._folder,
                'is not empty: go on with --resume, begin anew with --overwrite, or give another '
                'folder with --out',
            )
        before = RunRecord.read(self._folder)
        checkpoint = Checkpoint.read(self._folder)
        if checkpoint is None and before.state != 'done':
            return None
        key = checkpoint.key if checkpoint else key_of(before)
        if changed := difference(key, self._key):
            raise FolderInUseError(
                self._folder,
                f'can not be resumed, as {changed}: begin anew with --overwrite, or give another '
                'folder with --out',
            )
        if checkpoint is None:
            self._done = before
        return checkpoint

    # ---- the work

    def _attempt(
        self, feed: Feed, sinks: Sequence[Sink], checkpoint: Checkpoint | None
    ) -> RunRecord:
        pipeline: Pipeline | None = None
        try:
            self._before = checkpoint.seconds if checkpoint else 0.0
            pipeline = pipeline_of(self._task.options.values)
            engine = pipeline.load(self._say, self._stopped)
            self._record = replace(self._record, model=self._model(engine))
            return self._work(feed, sinks, checkpoint, pipeline, engine)
        except Exception as err:  # whatever it is, run.json must say so
            text = str(err) if isinstance(err, (PaifError, OSError)) else f'{err!r}'
            if not isinstance(err, (PaifError, OSError)):
                self._say(Level.ERROR, f'a bug, please report it: {_traceback(err)}')
            return self._close('failed', f'{text}. What was made is kept: --resume goes on', feed)
        finally:
            for sink in sinks:
                sink.close()
            for rows in self._rows:
                rows.close()
            if pipeline is not None:
                pipeline.close()
            self._progress.end()

    def _work(
        self,
        feed: Feed,
        sinks: Sequence[Sink],
        checkpoint: Checkpoint | None,
        pipeline: Pipeline,
        engine: EngineInfo,
    ) -> RunRecord:
        task, folder = self._task, self._folder
        self._start_trace: Sequence[Any] = ()
        self._pipeline, self._sinks = pipeline, sinks
        self._part = checkpoint.part if checkpoint else 0
        classes = len(engine.card.classes)
        sizes = (checkpoint.frames_bytes, checkpoint.drops_bytes) if checkpoint else (0, 0)
        self._frames = RowWriter(folder / FRAMES, frame_header(classes), sizes[0])
        self._drops = RowWriter(folder / DROPS, drop_header(), sizes[1])
        self._rows = [self._frames, self._drops]
        beginning = Beginning(folder, engine, task.options.values, self._topics, self._part)
        for sink in sinks:
            sink.begin(beginning)
        skims = checkpoint is not None or task.start is not None
        self._core = core = Core(
            pipeline,
            engine,
            task.options,
            self._topics,
            sinks,
            say=self._say,
            write_row=lambda row: self._frames.write(frame_cells(row, classes)),
            write_drop=lambda row: self._drops.write(drop_cells(row)),
            skim=skims,
        )
        if checkpoint is not None:
            count = checkpoint.counts.results
            self._say(
                Level.INFO, f'going on after {count} results, {checkpoint.position} messages'
            )
        ended = self._read(feed, checkpoint)
        if ended and task.stop is None:
            core.end()
        self._save()
        if not ended:
            text = 'interrupted; what was made is kept: --resume goes on'
            return self._close('interrupted', text, feed)
        self._write_trace()
        for sink in sinks:
            sink.finish()
        (folder / CHECKPOINT).unlink()
        return self._close('done', '', feed)

    def _read(self, feed: Feed, checkpoint: Checkpoint | None) -> bool:
        """Take in the recording. Returns whether it came to its end."""
        task, core = self._task, self._core
        originals = any(sink.wants_originals for sink in self._sinks)
        begin_ns, end_ns = self._span(feed)
        self._progress.begin(
            task.inputs.name, None if end_ns is None or begin_ns is None else end_ns - begin_ns
        )
        position = checkpoint.position if checkpoint else 0
        makes = task.start is None and checkpoint is None
        reads = feed.messages(
            None if originals else set(self._topics.values()),
            task.lead,
            None if task.stop is None else task.stop + AHEAD_NS,
        )
        saved = clock = monotonic_ns()
        for item, ahead in Lookahead(reads):
            if task.stop is not None and item.log_ns >= task.stop:
                break
            if self._stopped():
                return False
            # By position where one was reached: it lies at or behind the start.
            if not makes and (
                self._position >= position
                if checkpoint
                else task.start is None or item.log_ns >= task.start
            ):
                makes = True
                self._begin(checkpoint)
            core.know(ahead)
            core.feed(item, monotonic_ns() - clock)
            if originals and makes:
                self._pass_on(item)
            self._note(item)
            if makes and monotonic_ns() - saved > task.options.checkpoint * 1e9:
                self._save()
                saved = monotonic_ns()
            clock = monotonic_ns()
        if not makes:
            self._begin(checkpoint)
        return True

    def _begin(self, checkpoint: Checkpoint | None) -> None:
        """Make results from now on, where before the recording was only followed."""
        self._start_trace = self._core.trace
        self._core.begin(checkpoint.counts if checkpoint else None)
        self._pipeline.memory = unpacked(checkpoint.memory) if checkpoint else None

    def _note(self, item: Item) -> None:
        task = self._task
        self._position += 1
        self._own += task.start is None or item.log_ns >= task.start
        if self._first is None:
            self._first = item.log_ns
        self._last = item.log_ns if self._last is None else max(self._last, item.log_ns)
        done = self._last - (task.start or self._first)
        self._progress.update(max(0, done), self._core.counts.results)

    def _pass_on(self, item: Item) -> None:
        """Give a message of the recording to the sinks that want it."""
        from paif_ros.replay import messages

        topic = item.topic
        data = item.data
        if item.message is not None:
            data = bytes(messages.write(item.message, topic.kind))
        original = Original(
            topic.name, topic.kind, topic.definition, topic.digest, item.log_ns, data
        )
        for sink in self._sinks:
            if sink.wants_originals:
                sink.original(original)

    def _span(self, feed: Feed) -> tuple[int | None, int | None]:
        span = feed.span
        begin = self._task.start if self._task.start is not None else span and span[0]
        end = self._task.stop if self._task.stop is not None else span and span[1]
        return begin, end

    def _save(self) -> None:
        """Make what was done safe from a crash."""
        for sink in self._sinks:
            sink.checkpoint()
        self._part += 1
        Checkpoint(
            key=self._key,
            position=self._position,
            part=self._part,
            frames_bytes=self._frames.flush(),
            drops_bytes=self._drops.flush(),
            counts=self._core.counts,
            seconds=self._seconds,
            memory=packed(self._pipeline.memory),
        ).write(self._folder)

    # ---- the end

    @property
    def _seconds(self) -> float:
        return round(self._before + monotonic() - self._begun, 3)

    def _write_trace(self) -> None:
        """Write what a later stretch of the recording has to agree with."""
        if self._task.start is not None or self._task.stop is not None:
            write_atomically(self._folder / TRACE, json.dumps(self._traces()))

    def _traces(self) -> Mapping[str, Any]:
        return {'start': self._start_trace, 'end': self._core.trace}

    def _close(self, state: str, message: str, feed: Feed) -> RunRecord:
        core = getattr(self, '_core', None)
        counts = core.counts if core is not None else Counts()
        recording = replace(
            self._record.recording,
            start_ns=self._first,
            end_ns=self._last,
            messages=self._own,
            losses=tuple(feed.losses),
        )
        outputs = {
            name: path
            for sink in getattr(self, '_sinks', ())
            for name, path in sink.outputs.items()
        }
        record = replace(
            self._record,
            state=state,
            seconds=self._seconds,
            recording=recording,
            counts=counts,
            outputs=outputs,
            message=message,
        )
        code, text = verdict(record)
        record = replace(record, exit_code=code, message=text)
        record.write(self._folder)
        return record

    def _model(self, engine: EngineInfo) -> Model:
        card = engine.card
        path = str(self._task.options.parameters['model_path'])
        return Model(
            path=path,
            sha256=sha256(Path(path)),
            network=card.network,
            variant=card.variant,
            weights_sha256=card.weights_sha256,
            input_size=card.input_size,
            backend=engine.backend,
            provider=engine.provider,
            precision=engine.precision,
            reason=engine.reason,
            classes=tuple(json.loads(classes_json(card.classes))),
        )


def key_of(record: RunRecord, model: str = '') -> dict[str, Any]:
    """Return what the results of a run depend on, as JSON has it.

    Args:
        record: of the run.
        model: SHA-256 of the model file, where the record does not have it yet.
    """
    return {
        'version': record.versions['paif_ros'],
        'recording': record.recording.fingerprint,
        'topics': dict(record.recording.topics),
        'model': record.model.sha256 if record.model else model,
        'parameters': dict(record.parameters),
        'options': dict(record.options),
    }


def _traceback(err: Exception) -> str:
    import traceback

    return ''.join(traceback.format_exception(err))
