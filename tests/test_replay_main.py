"""The command: exit codes, JSON, help, and that it needs no ROS."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip('rosbags')
pytest.importorskip('mcap')
pytest.importorskip('av')
pytest.importorskip('onnxruntime')

import replay_rig as rig

from paif_ros.replay.arguments import parser
from paif_ros.replay.main import main
from paif_ros.replay.record import RunRecord

ROOT = Path(__file__).resolve().parents[1]
# What a machine without ROS does not have, and what must never be needed.
ROS = (
    'rclpy', 'sensor_msgs', 'std_msgs', 'diagnostic_msgs', 'builtin_interfaces', 'rosbag2_py',
    'rcl_interfaces', 'lifecycle_msgs', 'vision_msgs', 'ament_index_python',
)  # fmt: skip


@pytest.fixture(scope='module')
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = rig.recording(3, small=True)  # CompressedImage
    return rig.write_bag(tmp_path_factory.mktemp('main') / 'drive', rows, 'sqlite3')


def command(capsys: Any, *arguments: object) -> tuple[int, str, str]:
    """Run the command here. Returns exit code, stdout and stderr."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    told = capsys.readouterr()
    return int(ended.value.code or 0), told.out, told.err


def test_without_ros(recorded: Path, tiny: Path, tmp_path: Path) -> None:
    """In a process where importing anything of ROS fails, as it does without ROS."""
    code = (
        f'import sys\nfor name in {ROS!r}:\n    sys.modules[name] = None\n'
        'from paif_ros.replay.main import main\n'
        'main(sys.argv[1:])\n'
    )
    ended = subprocess.run(
        [sys.executable, '-c', code, recorded, '--out', tmp_path / 'out', '--model', tiny,
         '--json', '--video', '--ros-args', '-p', 'sync.slop:=0.01'],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
        env={k: v for k, v in os.environ.items() if not k.startswith(('ROS_', 'AMENT_'))},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert told['counts']['fused'] == 3
    assert told['parameters']['sync.slop'] == 0.01
    assert told['recording']['topics']['color'] == '/color/image_raw/compressed'
    assert RunRecord.from_dict(told) == RunRecord.read(tmp_path / 'out')
    assert '\x1b' not in ended.stderr, 'no colour when piped'


def test_clean_then_in_use_then_overwritten(
    recorded: Path, tiny: Path, tmp_path: Path, capsys: Any
) -> None:
    given = (recorded, '-o', tmp_path / 'out', '--model', tiny, '-q')
    code, out, _ = command(capsys, *given)
    assert code == 0
    assert 'done: 3 of 3 pairs fused' in out
    code, _, err = command(capsys, *given)
    assert code == 2
    assert '--resume' in err
    assert '--overwrite' in err
    assert command(capsys, *given, '--resume')[0] == 0
    assert command(capsys, *given, '--overwrite', '--storage', 'none')[0] == 0
    assert not (tmp_path / 'out' / 'bag').exists()
    (tmp_path / 'other').mkdir()
    (tmp_path / 'other' / 'thesis.tex').touch()
    code, _, err = command(
        capsys, recorded, '-o', tmp_path / 'other', '--overwrite', '--model', tiny
    )
    assert code == 2
    assert (tmp_path / 'other' / 'thesis.tex').exists()


def test_done_with_loss(tiny: Path, tmp_path: Path, capsys: Any) -> None:
    """A recording that was cut off, and a frame without a stamp, are a loss that is told."""
    rows = rig.recording(4)
    rows[4][3].header.stamp.sec = rows[4][3].header.stamp.nanosec = 0
    bag = rig.write_bag(tmp_path / 'in', rows)
    (file,) = bag.glob('*.mcap')
    file.write_bytes(file.read_bytes()[:-2000])
    code, out, _ = command(capsys, file, '-o', tmp_path / 'out', '--model', tiny, '-q', '--json')
    told = json.loads(out)
    assert code == told['exit_code'] == 3
    assert told['counts']['visible']['dropped'] == {'bad_stamp': 1}
    assert [loss['file'] for loss in told['recording']['losses']] == ['in.mcap']
    assert 'header.stamp' in told['message']
    assert 'in.mcap' in told['message']


def test_failed(tiny: Path, tmp_path: Path, capsys: Any) -> None:
    bad = tmp_path / 'bad.mcap'
    bad.write_bytes(b'no bag')
    code, _, err = command(capsys, bad, '-o', tmp_path / 'out', '--model', tiny)
    assert code == 1
    assert 'neither mcap nor sqlite3' in err
    bag = rig.write_bag(tmp_path / 'in', rig.recording(3, skew=4 * 10**7))
    given = (bag, '-o', tmp_path / 'apart', '--model', tiny, '-q')
    code, out, _ = command(capsys, *given)
    assert code == 1
    assert 'nothing was fused' in out
    not_onnx = tmp_path / 'a.onnx'
    not_onnx.write_bytes(b'no model')
    code, out, _ = command(capsys, bag, '-o', tmp_path / 'm', '--model', not_onnx, '-q')
    assert code == 1
    assert RunRecord.read(tmp_path / 'm').state == 'failed'


@pytest.mark.parametrize(
    ('given', 'text'),
    [
        ([], 'RECORDING'),
        (['missing.mcap'], 'missing.mcap'),
        (['BAG', '--color', 'a.mp4'], '--color and --thermal'),
        (['BAG', '-p', 'sync.slop:=7.0'], 'double from 0 to 1'),
        (['BAG', '--video', 'rgb,warm'], 'warm'),
        (['BAG', '--png', 'warm'], 'warm'),
        (['BAG', '--model', 'none.onnx'], 'none.onnx'),
        (['BAG', '--color-topic', '/note'], 'std_msgs/msg/String'),
        (['BAG', '--workers', '0'], '1 or more'),
        (['BAG', '--what'], '--what'),
    ],
)
def test_wrong_arguments(
    recorded: Path, tiny: Path, tmp_path: Path, capsys: Any, *, given: list[str], text: str
) -> None:
    arguments = [str(recorded) if part == 'BAG' else part for part in given]
    model = [] if '--model' in given else ['--model', tiny]
    code, _, err = command(capsys, *arguments, *model, '-o', tmp_path / 'out')
    assert code == 2
    assert text in err
    assert not (tmp_path / 'out').exists()


def test_help_and_version(capsys: Any) -> None:
    code, out, _ = command(capsys, '--help')
    assert code == 0
    assert 'examples:' in out
    assert 'exit codes:' in out
    for line in parser().epilog.splitlines():  # each example can be parsed
        if line.startswith('  paif-replay '):
            words = line.partition('#')[0].replace('"', '').split()[1:]
            parser().parse_args(words)
    code, out, _ = command(capsys, '--version')
    assert code == 0
    lines = dict(line.split(' ', 1) for line in out.splitlines())
    assert {'paif_ros', 'onnxruntime', 'rosbags', 'mcap', 'av', 'python'} <= set(lines)


def test_a_bar_shows_rate_and_time_left() -> None:
    from paif_ros.replay.progress import Bar

    bar = Bar(show=True)
    bar.begin('drive', 20 * 10**9)
    for second in range(5):
        bar.update(second * 10**9, second * 10)
    assert (bar._bar.n, bar._bar.total) == (4.0, 20.0)
    line = str(bar._bar)
    assert '20%' in line
    assert '4.0/20.0 s' in line
    assert '<' in line
    assert 's/s' in line.replace(' ', '')
    assert '40 fused' in line
    bar.end()
