"""Bags: what is written is read back whole, and mistakes are named."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from rosbags.highlevel import AnyReader

from scenes.bag import COLOR, COLOR_INFO, THERMAL, write_bag
from scenes.clips import drawn_clip, real_clip
from scenes.make_bag import choose_clip, parse_size

SIZE = (96, 128)
ROOT = Path(__file__).resolve().parent.parent


def read(path: Path) -> dict[str, list]:
    topics: dict[str, list] = {}
    with AnyReader([path]) as reader:
        for connection, when, raw in reader.messages():
            message = reader.deserialize(raw, connection.msgtype)
            topics.setdefault(connection.topic, []).append((when, message))
    return topics


def nanoseconds(message) -> int:
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def test_round_trip(tmp_path: Path) -> None:
    clip = drawn_clip(['day', 'night'], 1.0, 10.0, SIZE, 3)
    summary = write_bag(tmp_path / 'bag', clip, seed=3)
    assert [(s.name, s.first, s.count) for s in summary.sections] == [
        ('day', 0, 5),
        ('night', 5, 5),
    ]
    topics = read(summary.path)
    assert {topic: len(rows) for topic, rows in topics.items()} == {
        COLOR: 10, COLOR_INFO: 10, THERMAL: 10,
    }  # fmt: skip
    for shot, (_, color), (_, heat), (_, info) in zip(
        clip.shots(), topics[COLOR], topics[THERMAL], topics[COLOR_INFO], strict=True
    ):
        assert (color.encoding, color.step, color.is_bigendian) == ('rgb8', 3 * SIZE[1], 0)
        assert (heat.encoding, heat.step, heat.is_bigendian) == ('mono16', 2 * SIZE[1], 0)
        assert color.header.frame_id == info.header.frame_id == 'rgb_optical_frame'
        assert heat.header.frame_id == 'thermal_optical_frame'
        assert (color.height, color.width) == (info.height, info.width) == SIZE
        assert np.array_equal(color.data.reshape(*SIZE, 3), shot.visible)
        assert np.array_equal(heat.data.view('<u2').reshape(SIZE), shot.thermal)
        assert nanoseconds(info) == nanoseconds(color)
        assert abs(nanoseconds(color) - nanoseconds(heat)) < 6_000_000
        assert info.k[0] > 0
        assert info.k[2] == pytest.approx((SIZE[1] - 1) / 2)
    for rows in topics.values():
        assert all(when == nanoseconds(message) for when, message in rows)
        assert all(a[0] < b[0] for a, b in pairwise(rows))


def test_equal_clips_give_equal_bags(tmp_path: Path) -> None:
    clip = drawn_clip(['smoke'], 0.3, 10.0, SIZE, 1)
    bags = [write_bag(tmp_path / name / 'bag', clip).path for name in 'ab']
    files = [next(bag.glob('*.mcap')) for bag in bags]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_metadata_says_how_to_play(tmp_path: Path) -> None:
    path = write_bag(tmp_path / 'bag', drawn_clip(['day'], 0.3, 10.0, SIZE, 0)).path
    bag = yaml.safe_load((path / 'metadata.yaml').read_text())['rosbag2_bagfile_information']
    assert bag['storage_identifier'] == 'mcap'
    assert bag['message_count'] == 9
    assert bag['version'] == 8
    for topic in bag['topics_with_message_count']:
        profile = yaml.safe_load(topic['topic_metadata']['offered_qos_profiles'])[0]
        assert profile['reliability'] == 2  # best effort, as cameras send


def write_film(path: Path, colors: list[int]) -> None:
    film = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'mp4v'), 20.0, SIZE[::-1])
    assert film.isOpened()
    for value in colors:
        film.write(np.full((*SIZE, 3), value, np.uint8))
    film.release()


def test_real_film_is_written_as_mono8(tmp_path: Path) -> None:
    for kind, low in (('visible', 10), ('infrared', 60)):
        write_film(tmp_path / f'clip_{kind}.mp4', [low + 8 * i for i in range(20)])
    clip = real_clip(tmp_path / 'clip', seconds=0.8, rate=10.0)
    assert (clip.count, clip.rate) == (8, 10.0)
    topics = read(write_bag(tmp_path / 'bag', clip).path)
    heat = [message for _, message in topics[THERMAL]]
    assert {message.encoding for message in heat} == {'mono8'}
    # Every second frame of the 20 Hz film, starting with the first.
    assert [float(m.data.mean()) for m in heat] == pytest.approx(
        [60 + 16 * i for i in range(8)], abs=4
    )
    assert all(not message.k.any() for _, message in topics[COLOR_INFO])  # camera unknown


def test_real_folder(tmp_path: Path) -> None:
    for kind in ('vi', 'ir'):
        (tmp_path / 'set' / kind).mkdir(parents=True)
        for name in ('b', 'a', 'only_' + kind):
            picture = np.full((*SIZE, 3) if kind == 'vi' else SIZE, ord(name[0]), np.uint8)
            cv2.imwrite(str(tmp_path / 'set' / kind / f'{name}.png'), picture)
    shots = list(real_clip(tmp_path / 'set').shots())
    assert [int(shot.thermal[0, 0]) for shot in shots] == [ord('a'), ord('b')]
    assert all(shot.visible.shape == (*SIZE, 3) and shot.name == 'set' for shot in shots)


def test_pairs_of_different_size_are_refused(tmp_path: Path) -> None:
    write_film(tmp_path / 'c_visible.mp4', [9, 9])
    film = cv2.VideoWriter(
        str(tmp_path / 'c_infrared.mp4'), cv2.VideoWriter.fourcc(*'mp4v'), 20, (64, 64)
    )
    film.write(np.zeros((64, 64, 3), np.uint8))
    film.release()
    with pytest.raises(ValueError, match='128x96 but thermal is 64x64'):
        list(real_clip(tmp_path / 'c').shots())


def test_missing_clip_says_what_to_pass(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r'nope_visible\.mp4.*Pass the prefix'):
        choose_clip(tmp_path / 'nope', None, None)
    (tmp_path / 'bad_visible.mp4').write_bytes(b'no film')
    (tmp_path / 'bad_infrared.mp4').write_bytes(b'no film')
    with pytest.raises(ValueError, match=r'bad_visible\.mp4 can not be read'):
        real_clip(tmp_path / 'bad')


def test_existing_folders_are_kept(tmp_path: Path) -> None:
    clip = drawn_clip(['day'], 0.1, 10.0, SIZE, 0)
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine' / 'thesis.txt').write_text('x')
    with pytest.raises(FileExistsError, match='is no bag'):
        write_bag(tmp_path / 'mine', clip, replace=True)
    assert (tmp_path / 'mine' / 'thesis.txt').exists()
    write_bag(tmp_path / 'bag', clip)
    with pytest.raises(FileExistsError, match='exists already'):
        write_bag(tmp_path / 'bag', clip)
    write_bag(tmp_path / 'bag', clip, replace=True)


def test_command_line(tmp_path: Path) -> None:
    base = [sys.executable, '-m', 'scenes.make_bag']
    good = [*base, str(tmp_path / 'bag'), '--seconds', '0.4', '--size', '96x128']
    done = subprocess.run(good, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert '4 pairs at 10 Hz (day 1, night 1, glare 1, smoke 1)' in done.stdout
    assert '4/4' in done.stderr
    bad = [*base, str(tmp_path / 'x'), '--conditions', 'fog']
    done = subprocess.run(bad, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "'fog'" in done.stderr
    assert 'Traceback' not in done.stderr


def test_sizes_of_the_command_line() -> None:
    assert parse_size('480x640') == (480, 640)
    with pytest.raises(Exception, match='480x640'):
        parse_size('big')
