"""The benchmark of images over DDS: what it sets, what it prints, and one short real run."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import dds_images
from benchmarks.dds_images import DEPTH, PROFILES, SIZES, Run, environment, table
from paif_ros.fastdds import CHOICES

CONFIG = Path(__file__).resolve().parents[1] / 'config'


def test_each_profile_is_used_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CHOICES:
        monkeypatch.setenv(name, "the user's")
    assert not set(CHOICES) & set(environment('none', 1))
    for profile in PROFILES[1:]:
        found = environment(profile, 1)
        (path,) = {found[name] for name in set(CHOICES) & set(found)}
        assert Path(path).is_file()
        assert Path(path).stem == profile


def test_the_large_profile_has_room_for_1080p_pairs() -> None:
    tree = ElementTree.parse(CONFIG / 'fastdds_shm.xml')
    segment, largest = (
        int(next(item for item in tree.iter() if item.tag.endswith(name)).text or 0)
        for name in ('segment_size', 'maxMessageSize')
    )
    (rows, columns), (thermal_rows, thermal_columns) = SIZES['1080p']
    header = 1024  # of the message, generously
    color = 3 * rows * columns + header
    assert color <= largest
    # As many as both queues hold, and the pair that is being written.
    assert (DEPTH + 1) * (color + 2 * thermal_rows * thermal_columns + header) <= segment


def test_table_joins_rounds() -> None:
    runs = [
        Run('none', 'vga', 'reliable', 150, 0, 140, 0, None, None, 0.5),
        Run('none', 'vga', 'reliable', 150, 7, 140, 6, 1.24, 30.0, 0.5),
    ]
    lines = table(runs).splitlines()
    assert len(lines) == 3
    assert lines[2] == '| vga | reliable | none | 0 to 7 | 140 | 0 to 6 | 1.2 | 30.0 |'
    assert table(runs[:1]).splitlines()[2].endswith('| 0 | 140 | 0 | - | - |')


@pytest.mark.skipif(importlib.util.find_spec('rclpy') is None, reason='needs ROS 2')
def test_a_real_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ['--profile', 'fastdds_shm', '--size', 'vga', '--reliability', 'reliable']
    out = tmp_path / 'runs.json'
    assert dds_images.main([*arguments, '--count', '20', '--json', str(out)]) == 0
    assert '| vga | reliable | fastdds_shm |' in capsys.readouterr().out
    (run,) = json.loads(out.read_text('utf-8'))
    assert run['sent'] == 20
    assert 1 <= run['pairs'] <= min(run['color'], run['thermal']) <= 20
    assert 0 < run['p50'] <= run['p99']
