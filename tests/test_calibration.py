"""Calibration files and CameraInfos: what is good is kept, whatever is broken is named."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

from paif_ros.errors import CalibrationError
from paif_ros.registration.calibration import (
    MAX_FILE,
    Calibration,
    Intrinsics,
    intrinsics_from_camera_info,
    load,
    save,
)

LENS = Intrinsics(
    640, 512, ((600.0, 0.0, 320.0), (0.0, 600.0, 256.0), (0.0, 0.0, 1.0)), 'plumb_bob',
    (-0.3, 0.1, 1e-05, 0.0, 0.0),
)  # fmt: skip
IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
FULL = Calibration(
    thermal_size=(640, 512),
    visible_size=(1920, 1080),
    homography=((2.1, 0.01, 300.0), (-0.02, 2.1, 5.0), (1e-05, -2e-06, 1.0)),
    rotation=IDENTITY,
    translation=(0.05, -0.001, 1e-05),
    plane_depth=7.5,
    thermal_camera=LENS,
    visible_camera=replace(LENS, width=1920, height=1080, model='equidistant', coefficients=()),
    method='chessboard 8x6, 12 pairs',
    residual_px=0.41,
    date='2026-11-21',
)


def tree_of(calibration: Calibration, folder: Path) -> dict[str, Any]:
    save(calibration, folder / 'tree.yaml')
    return yaml.safe_load((folder / 'tree.yaml').read_text())


def refused(folder: Path, text: str | bytes) -> CalibrationError:
    path = folder / 'broken.yaml'
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(CalibrationError) as caught:
        load(path)
    assert len(str(caught.value)) < 1000, 'a message must not grow with the file'
    return caught.value


def info(**changes: Any) -> SimpleNamespace:
    values: dict[str, Any] = {
        'width': 1280, 'height': 1024, 'distortion_model': 'plumb_bob',
        'd': np.array([-0.3, 0.1, 0.0, 0.0, 0.0]),
        'k': np.array([1200.0, 0, 640.0, 0, 1198.0, 500.0, 0, 0, 1]),
        'binning_x': 0, 'binning_y': 0,
        'roi': SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0, do_rectify=False),
    }  # fmt: skip
    return SimpleNamespace(**{**values, **changes})


def test_what_is_written_is_read(tmp_path: Path) -> None:
    for calibration in (
        FULL,
        Calibration((160, 120), (640, 480), homography=((4, 0, 0), (0, 4, 0), (0, 0, 1))),
        replace(FULL, homography=None),
    ):
        save(calibration, tmp_path / 'a.yaml')
        assert load(tmp_path / 'a.yaml') == calibration
    assert sorted(path.name for path in tmp_path.iterdir()) == ['a.yaml']


def test_a_failed_write_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(FULL, tmp_path / 'a.yaml')
    before = (tmp_path / 'a.yaml').read_bytes()

    def full_disk(_: int) -> None:
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(os, 'fsync', full_disk)
    with pytest.raises(CalibrationError, match='No space left'):
        save(replace(FULL, method='new'), tmp_path / 'a.yaml')
    assert (tmp_path / 'a.yaml').read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(CalibrationError, match='No such file'):
        save(FULL, tmp_path / 'missing' / 'a.yaml')


def test_others_may_read_it(tmp_path: Path) -> None:
    """The node often runs as another user than the one who calibrated."""
    (tmp_path / 'plain').touch()
    save(FULL, tmp_path / 'a.yaml')
    assert (tmp_path / 'a.yaml').stat().st_mode == (tmp_path / 'plain').stat().st_mode


def test_numbers_as_people_write_them(tmp_path: Path) -> None:
    """YAML takes 1e-5 for a text, and an unquoted date for a date."""
    (tmp_path / 'a.yaml').write_text(
        'thermal_size: [640, 512]\nvisible_size: [640, 512]\ndate: 2026-11-21\n'
        'homography: [[1, 0, 3], [0, 1, 0], [1e-5, 0, 1]]\n'
    )
    calibration = load(tmp_path / 'a.yaml')
    assert calibration.homography is not None
    assert calibration.homography[2][0] == 1e-5
    assert calibration.date == '2026-11-21'


@pytest.mark.parametrize('factor', [-1.0, 3.0, -1e-3])
def test_any_multiple_of_a_homography_is_the_same(factor: float) -> None:
    assert FULL.homography is not None
    rows = tuple(tuple(factor * value for value in row) for row in FULL.homography)
    other = replace(FULL, homography=rows).homography
    assert np.allclose(np.array(other), np.array(FULL.homography), rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ('change', 'key', 'words'),
    [
        ({'homography': None, 'rotation': None, 'translation': None}, 'homography', 'rotation'),
        ({'rotation': None}, 'rotation', 'together'),
        ({'homography': ((0.0,) * 3,) * 3}, 'homography', 'not zero'),
        ({'homography': ((1, 0, 0), (1, 0, 0), (0, 0, 1))}, 'homography', '16 pixels'),
        ({'homography': ((1, 0, 0), (0, 1, 0), (-0.01, 0, 1))}, 'homography', 'before the camera'),
        ({'homography': ((1, 0, 1e7), (0, 1, 0), (0, 0, 1))}, 'homography', '100000'),
        ({'rotation': ((1, 0, 0), (0, 1, 0), (0, 0, -1))}, 'rotation', 'determinant 1'),
        ({'rotation': ((1, 0, 0), (0, 1.1, 0), (0, 0, 1))}, 'rotation', 'length 1'),
        ({'translation': (0.1, 0.0)}, 'translation', 'metres'),
        ({'translation': (500.0, 0.0, 0.0)}, 'translation', '100'),
        ({'plane_depth': 0.0}, 'plane_depth', 'above 0'),
        ({'plane_depth': float('inf')}, 'plane_depth', 'finite'),
        ({'residual_px': -1}, 'residual_px', '0 or more'),
        ({'thermal_size': (640, 0)}, 'thermal_size', 'integers'),
        ({'visible_size': (640.0, 480.0)}, 'visible_size', 'integers'),
        ({'method': 3}, 'method', 'text'),
    ],
)
def test_impossible_values(change: dict[str, Any], key: str, words: str) -> None:
    with pytest.raises(CalibrationError, match=words) as caught:
        replace(FULL, **change)
    assert caught.value.key == key


def test_files_that_are_no_calibration(tmp_path: Path) -> None:
    assert refused(tmp_path, '').key == 'file'
    assert refused(tmp_path, '[1, 2]').key == 'file'
    assert refused(tmp_path, b'\xff\xfe\x00').key == 'file'
    assert refused(tmp_path, 'a: ' + '[' * 60000).key == 'file'
    assert refused(tmp_path, 'a: ' + '{' * 60000).key == 'file'
    assert refused(tmp_path, '- ' * 30000).key == 'file'
    assert refused(tmp_path, '#' * (MAX_FILE + 1)).expected == f'at most {MAX_FILE} bytes'
    assert refused(tmp_path, 'visible_size: [640, 480]').key == 'thermal_size'
    assert refused(tmp_path, 'thermal_size: [640, 480]').key == 'visible_size'
    assert refused(tmp_path, 'date: 2026-13-45').key == 'file'
    assert refused(tmp_path, '!!python/object/apply:os.getcwd []').key == 'file'
    typo = refused(tmp_path, 'thermal_size: [1, 1]\nvisible_size: [1, 1]\nhomografy: 1')
    assert typo.key == 'homografy'
    assert 'homography' in typo.expected
    with pytest.raises(CalibrationError, match='calibrate'):
        load(tmp_path / 'missing.yaml')
    with pytest.raises(CalibrationError):
        load(tmp_path)


@pytest.mark.parametrize('merge', [False, True])
def test_a_few_lines_do_not_become_gigabytes(tmp_path: Path, merge: bool) -> None:
    lines = ['a0: &a0 {x: 1}']
    for level in range(1, 12):
        many = ', '.join([f'*a{level - 1}'] * 10)
        lines.append(f'a{level}: &a{level} {{"<<": [{many}]}}'.replace('"', '') if merge
                     else f'a{level}: &a{level} [{many}]')  # fmt: skip
    start = time.monotonic()
    assert 'aliases' in refused(tmp_path, '\n'.join(lines)).expected
    assert time.monotonic() - start < 5.0


def test_a_thousand_broken_files(tmp_path: Path) -> None:
    """Values replaced or removed, bytes damaged: an answer, or one kind of error."""
    rng = np.random.default_rng(0)
    tree = tree_of(FULL, tmp_path)
    good = (tmp_path / 'tree.yaml').read_bytes()
    strange: list[Any] = [
        None, True, '', 'x', -1, 0, 1e308, float('nan'), float('inf'), [], {}, [[]], [1, 2],
        {'a': 1}, '1e999', 10**400, 'x' * 5000, [[1, 2, 3]] * 3, [['a'] * 3] * 3, [None] * 3,
    ]  # fmt: skip
    outcomes = {'read': 0, 'refused': 0}
    path = tmp_path / 'a.yaml'
    for number in range(1000):
        if number % 3 == 0:
            raw = bytearray(good)
            for _ in range(int(rng.integers(1, 4))):
                raw[int(rng.integers(len(raw)))] = int(rng.integers(256))
            path.write_bytes(bytes(raw[: int(rng.integers(len(raw)))] if number % 2 else raw))
        else:
            broken = yaml.safe_load(good)
            place: Any = broken
            key: Any = list(tree)[int(rng.integers(len(tree)))]
            while rng.random() < 0.6 and isinstance(place[key], (dict, list)) and place[key]:
                place = place[key]
                keys = list(place) if isinstance(place, dict) else range(len(place))
                key = list(keys)[int(rng.integers(len(keys)))]
            if rng.random() < 0.2:
                del place[key]
            else:
                place[key] = strange[int(rng.integers(len(strange)))]
            path.write_text(yaml.safe_dump(broken))
        words = ''
        try:
            calibration = load(path)
        except CalibrationError as err:
            words = str(err)
        if words:
            assert len(words) < 1000
            outcomes['refused'] += 1
        else:
            assert calibration.homography is not None or calibration.rotation is not None
            outcomes['read'] += 1
    assert outcomes['refused'] > 600, outcomes
    assert outcomes['read'] > 50, outcomes


def test_camera_info() -> None:
    lens = intrinsics_from_camera_info(info())
    assert lens.size == (1280, 1024)
    assert lens.matrix == ((1200.0, 0.0, 640.0), (0.0, 1198.0, 500.0), (0.0, 0.0, 1.0))
    assert lens.coefficients == (-0.3, 0.1, 0.0, 0.0, 0.0)
    assert intrinsics_from_camera_info(info(distortion_model='', d=[])).model == 'plumb_bob'
    assert intrinsics_from_camera_info(info(d=[0.1] * 8)).model == 'rational_polynomial'
    fish = intrinsics_from_camera_info(info(distortion_model='fisheye', d=[0.1] * 4))
    assert fish.model == 'equidistant'


def test_camera_info_of_a_part_of_the_sensor_and_binned() -> None:
    """The same ray must land on the same place of the scene in the picture that is sent."""
    roi = SimpleNamespace(x_offset=200, y_offset=100, width=800, height=600, do_rectify=False)
    lens = intrinsics_from_camera_info(info(roi=roi, binning_x=2, binning_y=2))
    assert lens.size == (400, 300)
    ray = np.array([0.1, -0.05])
    whole = ray * (1200.0, 1198.0) + (640.0, 500.0)
    # Pixel i of a binned picture covers the sensor from 200 + 2 i - 0.5 to 200 + 2 i + 1.5.
    expected = (whole - (200, 100) + 0.5) / 2 - 0.5
    matrix = np.array(lens.matrix)
    assert np.allclose(ray * (matrix[0, 0], matrix[1, 1]) + matrix[:2, 2], expected)


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        ({'k': np.zeros(9)}, 'uncalibrated'),
        ({'k': np.full(9, np.nan)}, 'finite'),
        ({'k': [1.0] * 8}, '9 values'),
        ({'k': [-600.0, 0, 1, 0, 600, 1, 0, 0, 1]}, 'above 0'),
        ({'k': [600.0, 5, 1, 0, 600, 1, 0, 0, 1]}, '0, 0, 1'),
        ({'width': 0}, 'integers from 1'),
        ({'height': 10000}, 'integers from 1'),
        ({'d': [0.1] * 3}, '0 or 4 or 5'),
        ({'d': [0.1] * 6}, '0 or 4 or 5'),
        ({'d': [np.inf] * 5}, 'finite'),
        ({'distortion_model': 'equidistant'}, '0 or 4'),
        ({'distortion_model': 'pinhole?'}, 'one of'),
        ({'distortion_model': ''}, 'one of'),
        ({'distortion_model': None}, 'a text'),
        ({'binning_x': 5000}, 'less than the picture'),
        ({'roi': SimpleNamespace(x_offset=1000, y_offset=0, width=640, height=512)}, 'a part'),
    ],
)
def test_camera_info_that_can_not_be_right(change: dict[str, Any], words: str) -> None:
    with pytest.raises(CalibrationError, match=words):
        intrinsics_from_camera_info(info(**change))


def test_a_thousand_camera_infos() -> None:
    rng = np.random.default_rng(1)
    pool: dict[str, list[Any]] = {
        'width': [0, 1, 640, 8191, 8192, -1, 2**40, None, 'x', 1.5, np.uint32(640)],
        'height': [0, 1, 512, 8192, None, np.int64(480), True],
        'distortion_model': ['', 'plumb_bob', 'rational_polynomial', 'equidistant', 'x', None, 7],
        'd': [[], [0.0] * 4, [0.1] * 5, [1e9] * 5, [0.1] * 8, [0.1] * 12, [0.1] * 14, [0.1] * 9,
              [np.nan] * 5, None, 'abcde', np.zeros((5, 1)), {}],
        'k': [np.zeros(9), np.eye(3).ravel(), [600.0, 0, 1, 0, 600, 1, 0, 0, 1], [np.inf] * 9, [],
              None, np.zeros((3, 3)), ['a'] * 9],
        'binning_x': [0, 1, 2, 10**6, -1, None], 'binning_y': [0, 1, 2, 3, 10**6],
        'roi': [SimpleNamespace(x_offset=a, y_offset=b, width=c, height=d)
                for a, b, c, d in ((0, 0, 0, 0), (1, 1, 10, 10), (-1, 0, 5, 5), (9, 9, 2**31, 1))],
    }  # fmt: skip
    good = 0
    for _ in range(1000):
        changes = {
            key: values[int(rng.integers(len(values)))]
            for key, values in pool.items()
            if rng.random() < 0.3
        }
        try:
            lens = intrinsics_from_camera_info(info(**changes))
        except CalibrationError:
            continue
        good += 1
        assert lens.matrix[0][0] > 0
        assert 1 <= lens.width <= 8191
    assert 50 < good < 700
