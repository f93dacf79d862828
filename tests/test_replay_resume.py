"""A replay that was stopped or killed goes on, and ends as if nothing had happened."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip('rosbags')
pytest.importorskip('mcap')
av = pytest.importorskip('av')
pytest.importorskip('onnxruntime')

import replay_rig as rig

from paif_ros.replay.bag import Bag
from paif_ros.replay.record import RunRecord, read_drops, read_frames
from paif_ros.replay.run import FolderInUseError

COUNT = 6
ROOT = Path(__file__).resolve().parents[1]


def facts(folder: Path) -> list[Any]:
    """All that must not depend on interruptions; not the times that were measured."""
    rows = [
        (r.number, r.stamp_ns, r.log_ns, r.skew_ms, r.agc_low, r.agc_high, r.shares,
         r.dropped_visible, r.dropped_thermal)
        for r in read_frames(folder)
    ]  # fmt: skip
    with av.open(str(folder / 'video.mp4')) as film:
        times = [round(float(f.pts * f.time_base), 3) for f in film.decode(video=0)]
    counts = RunRecord.read(folder).counts
    return [rows, list(read_drops(folder)), rig.raw_bag(folder / 'bag'), times, counts]


@pytest.fixture(scope='module')
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording in which one RGB frame has no partner."""
    rows = [r for n, r in enumerate(rig.recording(COUNT)) if n != 4 * 3 + 2]
    return rig.write_bag(tmp_path_factory.mktemp('resume') / 'in', rows)


def options(tiny: Path, *parameters: str, **more: Any) -> Any:
    settings = {'mosaic': 'fused,mask', 'copy': True, **more}
    return rig.options(tiny, 'mask.hold:=3', *parameters, **settings)


@pytest.fixture(scope='module')
def whole(recorded: Path, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    folder = tmp_path_factory.mktemp('whole') / 'out'
    record, _ = rig.run(rig.task(recorded, folder, options(tiny)))
    assert record.exit_code == 0
    return facts(folder)


def test_interrupted_twice_and_resumed(
    recorded: Path, tiny: Path, tmp_path: Path, whole: list[Any]
) -> None:
    todo = rig.task(recorded, tmp_path / 'out', options(tiny))
    record, _ = rig.run(todo, stop_after=9)
    assert (record.state, record.exit_code) == ('interrupted', 1)
    assert '--resume' in record.message
    for path in record.outputs.values():
        assert (tmp_path / 'out' / path).exists(), 'named, and not there yet'
    record, said = rig.run(todo, stop_after=17, resume=True)
    assert record.state == 'interrupted'
    assert any('going on after' in line for line in said)
    record, _ = rig.run(todo, resume=True)
    assert (record.state, record.exit_code) == ('done', 0)
    assert record.outputs['video'] == 'video.mp4'
    assert facts(tmp_path / 'out') == whole
    again, _ = rig.run(todo, resume=True)
    assert again == record, 'nothing is left to do'


def test_killed_and_resumed(recorded: Path, tiny: Path, tmp_path: Path, whole: list[Any]) -> None:
    """kill -9 in the middle leaves a bag and a film that anyone can read, and is taken up."""
    out = tmp_path / 'out'
    code = (
        'import sys; sys.path[:0] = sys.argv[1:3]\n'
        'from pathlib import Path\n'
        'import replay_rig as rig, test_replay_resume as here\n'
        'from paif_ros.replay.run import Run\n'
        'folders = Path(sys.argv[3]), Path(sys.argv[4])\n'
        'todo = rig.task(*folders, here.options(Path(sys.argv[5]), checkpoint=1e-6))\n'
        'Run(todo, lambda *_: None, rig.Silent(), rig.die_after(13)).run()\n'
    )
    paths = [ROOT, ROOT / 'tests', recorded, out, tiny]
    ended = subprocess.run(
        [sys.executable, '-c', code, *map(str, paths)], check=False, timeout=120,
        capture_output=True, text=True,
    )  # fmt: skip
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert RunRecord.read(out).state == 'running'
    made = rig.raw_bag(out / 'bag')
    assert made == whole[2][: len(made)]
    assert sum(topic == '/fusion/fused/image' for topic, _, _ in made) >= 3
    frames = 0
    for part in sorted((out / 'video_parts').glob('*.mp4')):
        with av.open(str(part)) as film:
            frames += sum(1 for _ in film.decode(video=0))
    assert frames >= 3
    record, _ = rig.run(rig.task(recorded, out, options(tiny)), resume=True)
    assert record.exit_code == 0
    assert facts(out) == whole


def test_a_kill_within_a_part_costs_only_that_part(
    recorded: Path, tiny: Path, tmp_path: Path
) -> None:
    """The file that was being written is no part of the bag, and still gives its messages."""
    from paif_ros.replay.bag_sink import BagSink

    written: list[Path] = []

    class Lost(BagSink):
        """Never closes its file, as after a kill."""

        def checkpoint(self) -> None:
            if self._writer is None or not self._files():
                super().checkpoint()
                return
            self._writer.storage.close_chunk()
            self._writer.storage.bio.flush()
            written.extend((self._folder / '.parts').glob('*/*.mcap'))
            raise OSError('killed')

    opts = rig.options(tiny, storage='none', checkpoint=1e-6)
    sink = Lost(rig.options(tiny))
    record, _ = rig.run(rig.task(recorded, tmp_path / 'out', opts), extra=[sink])
    assert (record.state, record.exit_code) == ('failed', 1)
    assert 'killed' in record.message
    whole_part = Bag(tmp_path / 'out' / 'bag')
    assert not whole_part.losses
    assert list(whole_part.messages())
    cut = Bag(written[0])
    assert list(cut.messages())
    assert cut.losses


def test_another_run_is_not_gone_on_with(recorded: Path, tiny: Path, tmp_path: Path) -> None:
    todo = rig.task(recorded, tmp_path / 'out', options(tiny))
    rig.run(todo, stop_after=9)
    with pytest.raises(FolderInUseError, match='--resume'):
        rig.run(todo)
    other = rig.task(recorded, tmp_path / 'out', options(tiny, 'sync.slop:=0.03'))
    with pytest.raises(FolderInUseError, match=r'parameters.sync.slop was 0.02 and is 0.03'):
        rig.run(other, resume=True)
    path = tmp_path / 'out' / 'checkpoint.json'
    tree = json.loads(path.read_text())
    assert tree['position'] == 9
