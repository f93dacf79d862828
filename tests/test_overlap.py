"""Jobs whose stages overlap: the same bytes, the same counts, and an orderly end, without ROS."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic, monotonic_ns
from typing import Any

import numpy as np
import pytest
import tiny_model
from messages import message

from benchmarks import overlap as bench
from paif_ros.contract import ModelCard
from paif_ros.engines import make_engine
from paif_ros.engines.base import EngineInfo
from paif_ros.fusion.jobs import Capture, Job
from paif_ros.fusion.pace import Pace, Stage
from paif_ros.fusion.pipeline import Infos, Pipeline
from paif_ros.fusion.results import Result, Wanted
from paif_ros.fusion.runner import Task
from paif_ros.fusion.worker import Worker, overlaps
from paif_ros.monitoring.accounting import DropReason, Source
from paif_ros.monitoring.notices import Notices
from paif_ros.monitoring.statistics import Statistics
from paif_ros.parameters import Parameters, specs
from paif_ros.registration.registration import Registration
from paif_ros.sync.pairing import Frame

MS = 10**6
PATIENCE = 60.0  # a busy machine is no failure
SIZE = (48, 64)
JOBS = 5
COOL, HOT = 40, 255
EITHER = pytest.mark.parametrize('overlap', ['always', 'never'])


def wait(condition: Callable[[], bool]) -> None:
    """Wait until something is true."""
    end = monotonic() + PATIENCE
    while not condition():
        assert monotonic() < end, 'waited in vain'
        threading.Event().wait(0.002)


class Kept:
    """Keeps what is sent, and lets a test hold a stage up."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, Result]] = []
        self.begun = 0
        self.on_wanted: Callable[[], None] = lambda: None
        self.on_send: Callable[[], None] = lambda: None

    def wanted(self) -> Wanted | None:
        self.begun += 1
        self.on_wanted()
        return Wanted(fused=True, mask=True, overlay=True, thermal=True)

    def infos(self, job: Job) -> Infos:
        return Infos()

    def pack(self, job: Job, result: Result) -> Any:
        return job.reference.stamp, result

    def send(self, packed: Any) -> None:
        self.on_send()
        self.sent.append(packed)


class Rig:
    """A worker with a tiny model, opened."""

    def __init__(self, model: Path, overlap: str, **parameters: Any) -> None:
        values = {name: spec.default for name, spec in specs().items()}
        values |= {'model_path': str(model), 'engine.overlap': overlap, 'sync.max_age': 60.0}
        self.values = Parameters.from_values(values | parameters)
        self.sink, self.statistics = Kept(), Statistics()
        pipeline = Pipeline(make_engine('onnxruntime', model, 1), Registration('none', None))
        self.worker = Worker(
            pipeline,
            self.sink,
            self.statistics,
            Notices(lambda _level, _text: None),
            lambda: self.values,
        )
        assert self.worker.wait_loaded(PATIENCE)
        assert self.worker.failure is None, self.worker.failure
        self.worker.open()

    def put(self, number: int, **what: Any) -> None:
        """Leave a pair for the worker."""
        self.worker.put(self.job(number, **what))

    def job(self, number: int, *, even: int | None = None, broken: bool = False) -> Job:
        """Return a pair whose thermal range and mask differ from the last one's.

        Args:
            number: of the pair, which its stamp tells.
            even: value of all thermal pixels, 8 bit; `HOT` is what the poisoned model fails on.
            broken: whether the thermal message can't be read.
        """
        for source in Source:
            self.statistics.frame_received(source)
        random = np.random.default_rng(number)
        color = random.integers(0, 256, (*SIZE, 3), np.uint8)
        heat: Any = random.normal(29000 + 500 * number, 300, SIZE).astype(np.uint16)
        if even is not None:
            heat = np.full(SIZE, even, np.uint8)
        kind = 'mono16' if even is None else 'mono8'
        stamp = (number + 1) * 33 * MS
        sent = (
            message('rgb8', color.tobytes(), *SIZE),
            message('jpeg' if broken else kind, heat.tobytes(), *SIZE),
        )
        now = monotonic_ns()
        frames = [
            Frame(source, stamp, now, Capture(each))
            for source, each in zip(Source, sent, strict=True)
        ]
        return Job(frames[0], frames[1], now, self.statistics.pair_made(0))

    def put_each(self, numbers: range, **what: Any) -> None:
        """Leave pairs one after the other, so that none takes the place of another."""
        for number in numbers:
            self.put(number, **what)
            wait(lambda: not self.worker._mailbox.pending)

    def end(self) -> None:
        """Wait for all that is in work and end the worker, in order."""
        wait(lambda: not sum(self.statistics.snapshot().pending.values()))
        assert self.worker.shut(PATIENCE, DropReason.INACTIVE)
        assert self.worker.stop(PATIENCE)
        left = {thread.name for thread in threading.enumerate()}
        assert not left & {'prepare', 'finish', 'worker'}
        self.check()

    def check(self) -> None:
        """Every frame is in one place."""
        snapshot = self.statistics.snapshot()
        assert snapshot.fused == len(self.sink.sent)
        assert snapshot.frames.balanced(snapshot.pending_frames)

    @property
    def lost(self) -> dict[DropReason, int]:
        return {reason: n for reason, n in self.statistics.snapshot().lost.items() if n}


def test_overlapping_jobs_have_the_same_bytes(tiny: Path) -> None:
    """Thermal range and steady mask remember earlier jobs; the mask forgets when deactivated."""
    found = {}
    for overlap in ('always', 'never'):
        rig = Rig(tiny, overlap, **{'mask.hold': 3, 'thermal.smoothing': 0.5})
        rig.put_each(range(JOBS))
        wait(lambda: len(rig.sink.sent) == JOBS)  # noqa: B023
        assert rig.worker.shut(PATIENCE, DropReason.INACTIVE)
        rig.worker.open()
        rig.put_each(range(JOBS, 2 * JOBS))
        rig.end()
        assert not rig.lost
        found[overlap] = rig.sink.sent
    stamps = [stamp for stamp, _ in found['never']]
    assert stamps == sorted(stamps)
    assert len(stamps) == 2 * JOBS
    assert [stamp for stamp, _ in found['always']] == stamps
    for (_, one), (_, other) in zip(found['always'], found['never'], strict=True):
        for name in ('fused', 'mask', 'overlay', 'thermal'):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name), name)
        assert list(one.times) == list(other.times)


def test_stages_do_overlap_and_what_is_under_way_is_bounded(tiny: Path) -> None:
    """While one result can't be sent, the next jobs go on, a few, and the newest takes turns."""
    rig = Rig(tiny, 'always')
    release = threading.Event()
    rig.sink.on_send = lambda: release.wait(PATIENCE) and None
    rig.put_each(range(4))  # sent, answered, in the network's thread, prepared
    wait(lambda: rig.sink.begun == 4)
    for number in range(4, 10):
        rig.put(number)
    assert rig.sink.begun == 4
    assert rig.worker.state(0).busy != 0
    release.set()
    wait(lambda: len(rig.sink.sent) == 5)
    rig.end()
    assert [stamp // (33 * MS) - 1 for stamp, _ in rig.sink.sent] == [0, 1, 2, 3, 9]
    assert rig.lost == {DropReason.SUPERSEDED: 5}


def test_without_overlap_one_job_is_in_work(tiny: Path) -> None:
    rig = Rig(tiny, 'never')
    release = threading.Event()
    rig.sink.on_send = lambda: release.wait(PATIENCE) and None
    rig.put_each(range(1))
    for number in range(1, 4):
        rig.put(number)
    assert rig.sink.begun <= 1
    release.set()
    rig.end()
    assert rig.sink.begun == 2
    assert rig.lost == {DropReason.SUPERSEDED: 2}


@EITHER
def test_a_job_that_fails_at_any_stage_costs_itself_only(tmp_path: Path, overlap: str) -> None:
    rig = Rig(tiny_model.write(tmp_path / 'poison.onnx', poison=True), overlap)
    failing = [True]

    def once() -> None:
        if failing and failing.pop():
            raise RuntimeError('no room')

    rig.sink.on_send = once
    rig.put_each(range(1), even=COOL)  # fails in the last stage
    rig.put_each(range(1, 2), broken=True)  # in the first
    rig.put_each(range(2, 5), even=HOT)  # in the network
    wait(lambda: rig.lost.get(DropReason.ENGINE_ERROR) == 4)
    assert rig.worker.failures_in_a_row == 4
    failing.append(True)
    rig.sink.on_wanted, rig.sink.on_send = once, lambda: None
    rig.put_each(range(5, 6), even=COOL)  # in the first stage, by what nobody thought of
    wait(lambda: rig.lost.get(DropReason.ENGINE_ERROR) == 5)
    assert 'no room' in rig.worker.last_error
    rig.put_each(range(6, 8), even=COOL)
    rig.end()
    assert rig.lost == {DropReason.MALFORMED: 1, DropReason.ENGINE_ERROR: 5}
    assert [stamp // (33 * MS) - 1 for stamp, _ in rig.sink.sent] == [6, 7]
    assert rig.worker.failures_in_a_row == 0


def test_a_deactivation_in_the_middle_lets_nothing_more_out(tiny: Path) -> None:
    rig = Rig(tiny, 'always')
    release = threading.Event()
    rig.sink.on_send = lambda: release.wait(PATIENCE) and None
    rig.put_each(range(3))
    wait(lambda: rig.sink.begun == 3)
    assert not rig.worker.shut(0.01, DropReason.INACTIVE), 'a result is being sent'
    release.set()
    assert rig.worker.shut(PATIENCE, DropReason.INACTIVE)
    assert len(rig.sink.sent) == 1, 'the one that was on its way'
    assert rig.lost == {DropReason.INACTIVE: 2}
    rig.worker.open()
    rig.put_each(range(3, 4))
    rig.end()
    assert len(rig.sink.sent) == 2


def test_an_end_in_the_middle_ends_all_threads(tiny: Path) -> None:
    rig = Rig(tiny, 'always')
    release = threading.Event()
    rig.sink.on_send = lambda: release.wait(PATIENCE) and None
    rig.put_each(range(4))
    wait(lambda: rig.sink.begun == 4)
    rig.put(4)
    assert not rig.worker.stop(0.01)
    release.set()
    assert rig.worker.stop(PATIENCE)
    rig.check()
    assert len(rig.sink.sent) == 1
    assert rig.lost[DropReason.SHUTDOWN] == 1, 'that of the mailbox'
    assert sum(rig.lost.values()) == 4
    rig.put(5)
    assert rig.lost[DropReason.SUPERSEDED] == 1, 'nobody will take it'


@pytest.mark.parametrize(
    ('overlap', 'stage', 'thread'),
    [
        ('never', 'run', 'worker'),
        ('always', 'prepare', 'prepare'),
        ('always', 'infer', 'worker'),
        ('always', 'finish', 'finish'),
    ],
)
def test_a_thread_that_ends_by_a_bug_ends_all_and_is_told(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, overlap: str, stage: str, thread: str
) -> None:
    """A bug outside what is guarded for each job: nothing may wait for that thread for ever."""
    rig = Rig(tiny, overlap)
    rig.put_each(range(2))
    wait(lambda: len(rig.sink.sent) == 2)

    def broken(task: Task) -> DropReason | None:
        raise SystemExit('a bug') from KeyError(task.session)

    monkeypatch.setattr(rig.worker._runner, stage, broken)
    rig.put(2)
    wait(lambda: bool(rig.worker.death))
    rig.put(3)
    assert rig.worker.state(0).death == f'the thread {thread} has ended by SystemExit: a bug'
    assert rig.worker.last_error == rig.worker.death
    rig.end()
    assert rig.lost == {DropReason.ENGINE_ERROR: 2}
    assert rig.statistics.snapshot().deaths == 1


def test_a_bug_while_loading_is_told(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> EngineInfo:
        raise SystemExit('a bug')

    monkeypatch.setattr(Pipeline, 'load', broken)
    with pytest.raises(AssertionError, match='worker has ended by SystemExit: a bug'):
        Rig(tiny, 'never')


def test_what_was_prepared_gets_too_old_while_an_inference_lasts(tiny: Path) -> None:
    rig = Rig(tiny, 'never', **{'sync.max_age': 30.0})
    runner = rig.worker._runner
    for held, why in ((0, None), (60_000 * MS, DropReason.STALE)):
        task = Task(rig.job(0))
        assert runner.prepare(task) is None
        task.since -= held
        assert runner.infer(task) is why
    assert rig.worker.stop(PATIENCE)


def test_where_stages_overlap() -> None:
    card = ModelCard('tiny', 'test', '{}', tiny_model.CLASSES, SIZE, '', '')
    for provider, on_cpu in (
        ('CPUExecutionProvider', True),
        ('CPU', True),
        ('CUDAExecutionProvider', False),
        ('NVIDIA H100', False),
    ):
        info = EngineInfo('any', provider, '', card)
        assert overlaps('auto', info) is not on_cpu
        assert overlaps('always', info)
        assert not overlaps('never', info)


def test_its_benchmark(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / 'out.json'
    given = ['--network', '1', '--rate', '200', '--pairs', '10', '--rounds', '1']
    assert bench.main([*given, '--json', str(out)]) == 0
    (both,) = json.loads(out.read_text('utf-8'))
    assert [turn['way'] for turn in both] == ['never', 'always']
    for turn in both:
        assert turn['results'] >= 1
        assert turn['results'] + turn['superseded'] == 10
        assert 0 < turn['latency_ms'] <= turn['latency_p99_ms']
    assert '| results a second |' in capsys.readouterr().out
    with pytest.raises(SystemExit):
        bench.main(['--rate', '0'])


# ---- when to begin


class Clock:
    """Stands still unless it is told."""

    now = 0

    def __call__(self) -> int:
        return self.now


def paced(prepare: int, infer: int, finish: int) -> tuple[Pace, Clock]:
    """Return a pace that has seen a job of these durations."""
    clock = Clock()
    pace = Pace(clock)
    for stage, took in zip(Stage, (prepare, infer, finish), strict=True):
        if stage is not Stage.PREPARE:
            pace.hand_over(stage)
        with pace.at(stage):
            clock.now += took
    pace.done()
    return pace, clock


def test_a_free_pipeline_begins_at_once() -> None:
    assert Pace().wait_ns() <= 0
    assert paced(2, 10, 3)[0].wait_ns() <= 0


def test_a_job_is_prepared_just_before_the_network_is_free() -> None:
    pace, clock = paced(2, 10, 3)
    pace.hand_over(Stage.INFER)
    with pace.at(Stage.INFER):
        assert pace.wait_ns() == 10 - 2
        clock.now += 7
        assert pace.wait_ns() == 1
        clock.now += 20  # it takes longer than usual
        assert pace.wait_ns() <= 0


def test_preparing_is_told_by_its_fastest_and_the_network_by_its_median() -> None:
    clock = Clock()
    pace = Pace(clock)
    for prepare, infer in ((5, 10), (2, 50), (9, 30)):
        with pace.at(Stage.PREPARE):
            clock.now += prepare
        pace.hand_over(Stage.INFER)
        with pace.at(Stage.INFER):
            clock.now += infer
        pace.done()
    pace.hand_over(Stage.INFER)
    with pace.at(Stage.INFER):
        assert pace.wait_ns() == 30 - 2


def test_a_slow_last_stage_holds_back_the_first() -> None:
    pace, clock = paced(2, 10, 30)
    pace.hand_over(Stage.FINISH)
    with pace.at(Stage.FINISH):
        assert pace.wait_ns() == 30 - 10 - 2
        pace.hand_over(Stage.INFER)
        with pace.at(Stage.INFER):
            assert pace.wait_ns() == 2 * 30 - 10 - 2
            clock.now += 10
        pace.hand_over(Stage.FINISH)
        assert pace.wait_ns() == 20 + 30 - 10 - 2


def test_what_is_idle_and_since_when_it_is_busy() -> None:
    pace, clock = paced(2, 10, 3)
    assert pace.wait_idle(0)
    assert pace.busy_since is None
    with pace.at(Stage.PREPARE):
        since = clock.now
        clock.now += 5
        assert pace.busy_since == since
    assert pace.busy_since is None
    assert not pace.wait_idle(0), 'it waits for the next stage'
    pace.done()
    assert pace.wait_idle(0)


def test_an_end_while_waiting_for_a_turn() -> None:
    pace, _ = paced(2, 10, 3)
    pace.hand_over(Stage.INFER)  # something waits for the network, so it is nobody's turn
    ended = threading.Event()
    waiter = threading.Thread(target=pace.wait_turn, args=(ended.is_set,))
    waiter.start()
    ended.set()
    pace.wake()
    waiter.join(PATIENCE)
    assert not waiter.is_alive()
