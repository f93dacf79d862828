"""The Rerun logger with the real library: a file is written, and read by Rerun's own tool."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import report_runs as runs
import rerun_files

pytest.importorskip('rerun', reason='pip install -r requirements/rerun.txt')

from paif_ros.view.listening import StartError
from paif_ros.view.rerun_logger import RerunLogger, Target
from paif_ros.view.rerun_sink import RerunSink


def printed(*files: Path) -> str:
    """Return what `rerun rrd print` says of files: every chunk with its entity and columns."""
    tool = Path(sys.executable).with_name('rerun')
    result = subprocess.run(
        [tool, 'rrd', 'print', '-vvv', *files],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_a_replay_in_two_parts(tmp_path: Path) -> None:
    rows = runs.rows(12)
    sink = RerunSink()
    assert (sink.wanted.fused, sink.wanted.mask, sink.wanted.thermal) == (True, True, True)
    sink.begin(runs.beginning(tmp_path))
    for row in rows[:6]:
        sink.take(runs.fused(row))
    sink.drop(runs.drops(12)[0])
    sink.checkpoint()
    for row in rows[6:8]:
        sink.take(runs.fused(row))  # lost in a crash
    sink.close()
    again = RerunSink()
    again.begin(runs.beginning(tmp_path, part=1))
    assert sorted(path.name for path in tmp_path.glob('rerun/*')) == ['part_0000.rrd']
    for row in rows[6:]:
        again.take(runs.fused(row))
    again.checkpoint()
    again.close()
    files = sorted(tmp_path.glob('rerun/*.rrd'))
    assert [path.name for path in files] == ['part_0000.rrd', 'part_0001.rrd']
    text = printed(*files)
    for entity in (
        '/cameras/rgb', '/cameras/thermal', '/result/fused', '/result/mask', '/latency/inference',
        '/latency/total', '/areas/car', '/skew/ms', '/agc/low', '/log',
    ):  # fmt: skip
        assert entity in text, entity
    for file in files:
        expected = {
            label.id: (label.name, int.from_bytes((*label.color, 255 * (label.id > 0)), 'big'))
            for label in runs.CLASSES
        }
        assert rerun_files.annotations(file) == expected
    assert 'thermal frame dropped: no_partner' in text or 'visible frame dropped' in text
    assert 'AnnotationContext' in text
    ids = set(re.findall(r'Recording,\s+"paif_ros",\s+"(\w+)"', text))
    assert len(ids) == 1, 'both parts are of one recording'


def test_a_file_that_can_not_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / 'file').touch()
    with pytest.raises(StartError, match='can not be written'):
        RerunLogger(Target(tmp_path / 'file' / 'x.rrd'))


def test_without_the_library_it_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'rerun', None)
    with pytest.raises(StartError, match='pip install rerun-sdk'):
        RerunSink()
