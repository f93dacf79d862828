"""Many recordings at once: processes and Ray, stretches that fit, tasks that are killed."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip('rosbags')
pytest.importorskip('mcap')
pytest.importorskip('onnxruntime')

import replay_rig as rig

from paif_ros.errors import PaifError
from paif_ros.replay.many import Archive
from paif_ros.replay.options import Inputs, Options, Task
from paif_ros.replay.pools import Pool, Processes, Ray
from paif_ros.replay.ray_head import RayHead
from paif_ros.replay.record import RunRecord, read_drops, read_frames
from paif_ros.replay.stretches import same_state

COUNT = 24  # at 10 Hz
SPLIT = 0.8  # seconds: three stretches


@pytest.fixture(scope='module')
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording with lone frames on both sides of a border between stretches."""
    rows = rig.recording(COUNT)
    gone = {4 * 7 + 2, 4 * 16}
    return rig.write_bag(
        tmp_path_factory.mktemp('many') / 'long', [r for n, r in enumerate(rows) if n not in gone]
    )


@pytest.fixture(scope='module')
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rig.write_bag(tmp_path_factory.mktemp('many') / 'short', rig.recording(2, first=50))


def facts(folder: Path) -> list[Any]:
    rows = [
        (r.number, r.stamp_ns, r.skew_ms, round(r.agc_low or 0, 3), r.shares, r.dropped_visible)
        for r in read_frames(folder)
    ]
    counts = RunRecord.read(folder).counts
    labels = '/fusion/segmentation/label_info'  # each stretch says it
    bag = rig.raw_bag(folder / 'bag', ('/diagnostics', labels))
    return [rows, list(read_drops(folder)), bag, counts]


@pytest.fixture(scope='module')
def opts(tiny: Path) -> Options:
    return rig.options(tiny, copy=True)


@pytest.fixture(scope='module')
def whole(recorded: Path, opts: Options, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    folder = tmp_path_factory.mktemp('one') / 'out'
    rig.run(rig.task(recorded, folder, opts))
    return facts(folder)


class Here:
    """Runs tasks in this process, one after the other: the plan without the machinery."""

    name = 'here'

    def run(self, tasks: Any, look: Any) -> Any:
        from paif_ros.replay.pools import Outcome
        from paif_ros.replay.work import Done

        for index, todo in enumerate(tasks):
            look()
            record, _ = rig.run(todo)
            yield Outcome(index, Done(record.to_dict(), (), 0))


def archive(tasks: list[Task], folder: Path, pool: Pool, split: float) -> dict[str, Any]:
    said: list[str] = []
    made = Archive(
        tasks,
        folder,
        pool,
        split=split,
        workers=2,
        say=lambda level, text: said.append(text),
        progress=rig.Silent(),
    ).run()
    assert json.loads((folder / 'manifest.json').read_text()) == made
    return {**made, 'said': said}


def test_stretches_give_what_the_whole_gives(
    recorded: Path, opts: Options, tmp_path: Path, whole: list[Any]
) -> None:
    todo = rig.task(recorded, tmp_path / 'out', opts)
    tree = archive([todo], tmp_path / 'out', Here(), SPLIT)
    (entry,) = tree['recordings']
    assert (tree['exit_code'], len(entry['tasks']), entry['redone']) == (0, 3, [])
    assert facts(tmp_path / 'out') == whole
    assert not (tmp_path / 'out' / 'parts').exists()


def test_a_stretch_out_of_step_is_done_again(
    recorded: Path, opts: Options, tmp_path: Path, whole: list[Any], monkeypatch: Any
) -> None:
    """Without a lead the second stretch can't know what waits, nor the range of the first."""
    monkeypatch.setattr('paif_ros.replay.stretches.LEAST_LEAD', 0.0)
    monkeypatch.setattr('paif_ros.replay.stretches.TIME_CONSTANTS', 0)
    short_of = replace(opts, parameters={**opts.parameters, 'sync.timeout': 0.1})
    todo = rig.task(recorded, tmp_path / 'out', short_of)
    tree = archive([todo], tmp_path / 'out', Here(), SPLIT)
    assert tree['recordings'][0]['redone'] == [1, 2]
    assert any('not in step' in text for text in tree['said'])
    assert facts(tmp_path / 'out') == whole


def test_two_processes_one_of_which_is_killed(
    recorded: Path, short: Path, opts: Options, tmp_path: Path, whole: list[Any]
) -> None:
    """A bag that can't be read fails alone; a killed task is taken up where it stopped."""
    broken = tmp_path / 'broken.mcap'
    broken.write_bytes(b'\x89MCAP0\r\n')
    out = tmp_path / 'out'
    tasks = [
        Task(Inputs((str(path),)), str(out / path.stem), opts)
        for path in (recorded, broken, short)
    ]
    pool = Processes(2, retries=2, work=rig.work_that_dies_once)
    tree = archive(tasks, out, pool, -1.0)
    assert [entry['exit_code'] for entry in tree['recordings']] == [0, 1, 0], tree['said']
    assert tree['exit_code'] == 1
    assert (tmp_path / 'long.died').exists()
    assert facts(out / 'long') == whole
    assert tree['counts']['fused'] == whole[3].fused + 2


def test_ray_with_two_workers(
    recorded: Path,
    short: Path,
    opts: Options,
    tmp_path: Path,
    whole: list[Any],
    *,
    monkeypatch: Any,
) -> None:
    """The same through Ray on this machine, one task a stretch, one of them killed once."""
    pytest.importorskip('ray')
    monkeypatch.setenv('PYTHONPATH', str(Path(__file__).parent))
    monkeypatch.setenv('RAY_worker_niceness', '0')
    out = tmp_path / 'out'
    tasks = [Task(Inputs((str(p),)), str(out / p.stem), opts) for p in (recorded, short)]
    heads: list[RayHead] = []

    def started(workers: int) -> RayHead:
        heads.append(RayHead(workers))
        return heads[-1]

    monkeypatch.setattr('paif_ros.replay.pools.RayHead', started)
    pool = Ray('', 2, retries=2, work=rig.work_that_dies_once)
    tree = archive(tasks, out, pool, 1.2)
    assert [entry['exit_code'] for entry in tree['recordings']] == [0, 0], tree['said']
    assert [len(entry['tasks']) for entry in tree['recordings']] == [2, 1]
    assert facts(out / 'long') == whole
    processes = {t['process'] for entry in tree['recordings'] for t in entry['tasks']}
    killed = int((out / 'long' / '00000.died').read_text())
    assert killed not in processes, 'Ray gave its task to another one'
    assert tree['pool'].startswith('Ray ')
    (head,) = heads
    assert head._process.poll() is not None
    assert not head._folder.exists()


def test_a_ray_that_does_not_start_is_told(monkeypatch: Any) -> None:
    pytest.importorskip('ray')
    monkeypatch.setattr('sys.executable', shutil.which('false'))
    with pytest.raises(PaifError, match='Ray has ended with code 1'):
        list(Ray('', 2, retries=0).run([], lambda: None))


def test_traces_are_compared_exactly_but_for_the_ranges_last_bits() -> None:
    trace = [[[[1, 2], [3]], [False, False]], [100.0, 200.0]]
    assert same_state(trace, json.loads(json.dumps(trace)))
    assert same_state(trace, [trace[0], [100.0 + 1e-5, 200.0]])
    assert not same_state(trace, [trace[0], [100.1, 200.0]])
    assert not same_state(trace, [trace[0], None])
    assert not same_state(trace, [[[[1, 2], [4]], [False, False]], trace[1]])
