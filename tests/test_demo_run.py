"""The whole demo on a real graph: node, player and recorder as processes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('rosbags')
pytest.importorskip('onnxruntime')
tiny_model = pytest.importorskip('tiny_model')

from scenes.clips import Clip

ROOT = Path(__file__).resolve().parent.parent


def command(folder: Path, seconds: float) -> list[str]:
    model = tiny_model.write(folder / 'tiny.onnx', (48, 64))
    out = ['--out', str(folder / 'out'), '--model', str(model), '--seconds', str(seconds)]
    return [sys.executable, '-m', 'demo.run', *out]


def left_behind(folder: Path) -> list[str]:
    """Return the command lines of processes that work in the folder."""
    found = []
    for entry in Path('/proc').glob('[0-9]*/cmdline'):
        try:
            line = entry.read_bytes().replace(b'\0', b' ').decode(errors='replace')
        except OSError:  # it ended meanwhile
            continue
        if str(folder) in line:
            found.append(line)
    return found


def test_demo_from_end_to_end(tmp_path: Path) -> None:
    done = subprocess.run(
        command(tmp_path, 2.0), cwd=ROOT, capture_output=True, text=True, timeout=90, check=False
    )
    out = tmp_path / 'out'
    assert (out / 'report.json').is_file(), done.stderr
    report = json.loads((out / 'report.json').read_text())
    assert report['pairs_in'] == 20
    assert report['fused'] + sum(report['dropped_pairs'].values()) == 20, report
    assert report['fused'] >= 10  # the rest can only have been replaced by newer ones
    assert all(check['ok'] for check in report['checks']), report['checks']
    assert 0 < report['latency']['total']['p50'] <= report['latency']['end to end']['p50'] + 1
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'pairs in         20' in done.stdout
    assert cv2.imread(str(out / 'contact_sheet.png')).shape[1] == 1280
    film = cv2.VideoCapture(str(out / 'demo.mp4'))
    assert int(film.get(cv2.CAP_PROP_FRAME_COUNT)) == 20
    assert (out / 'output_bag' / 'metadata.yaml').is_file()
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_demo_takes_everything_with_it(tmp_path: Path, number: int) -> None:
    with (tmp_path / 'said').open('w+') as said:
        demo = subprocess.Popen(
            command(tmp_path, 30.0), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=said
        )
        try:
            end = time.monotonic() + 40
            while '== 2/4' not in (tmp_path / 'said').read_text():
                assert demo.poll() is None
                assert time.monotonic() < end
                time.sleep(0.1)
            time.sleep(2.0)  # somewhere between starting and playing
            assert len(left_behind(tmp_path)) >= 4
            demo.send_signal(number)
            assert demo.wait(25.0) == {signal.SIGINT: 130, signal.SIGTERM: 143}[number]
        finally:
            demo.kill()
            demo.wait()
    assert left_behind(tmp_path) == []
    assert 'Traceback' not in (tmp_path / 'said').read_text()


def test_nothing_of_an_earlier_run_passes_for_this_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from demo import stage

    def fail(*_: object, **__: object) -> None:
        raise OSError('disk full')

    (tmp_path / 'logs').mkdir()
    old = [tmp_path / name for name in ('contact_sheet.png', 'demo.mp4', 'logs/recorder.json')]
    for path in old:
        path.write_text('old')
    monkeypatch.setattr(stage, 'write_bag', fail)
    with pytest.raises(OSError, match='disk full'):
        stage.run(Clip(1, 10.0, None, lambda: iter(())), tmp_path, tmp_path / 'm.onnx', 0)
    assert not any(path.exists() for path in old)
