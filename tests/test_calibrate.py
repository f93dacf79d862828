"""The commands calibrate and check_registration, as a user runs them."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from rigs import drawn, errors, moved, real, rig
from rosbags.typesys import Stores, get_typestore

from paif_ros import calibrate, check_registration
from paif_ros.registration.alignment.fit import transfer
from paif_ros.registration.calibration import Calibration, Intrinsics, load, save
from paif_ros.registration.lens import distort, undistort
from scenes.bag import write_bag
from scenes.clips import Clip, Shot, drawn_clip

ROOT = Path(__file__).resolve().parents[1]


def run(command: object, *arguments: object) -> int:
    """Run a command in this process and return its exit code."""
    with pytest.raises(SystemExit) as ended:
        command.main([str(argument) for argument in arguments])  # type: ignore[attr-defined]
    return int(ended.value.code or 0)


def write_folder(folder: Path, pairs: list[tuple[np.ndarray, np.ndarray]]) -> Path:
    for name in ('vi', 'ir'):
        (folder / name).mkdir(parents=True)
    for number, (visible, thermal) in enumerate(pairs):
        cv2.imwrite(str(folder / 'vi' / f'{number}.png'), visible[..., ::-1])
        cv2.imwrite(str(folder / 'ir' / f'{number}.png'), thermal)
    return folder


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four drawn pairs of the rig 1."""
    homography, size = rig(1)
    return write_folder(tmp_path_factory.mktemp('folder'), moved(drawn(4), homography, size))


def test_calibrate_then_check(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / 'rig.yaml'
    assert run(check_registration, '--folder', folder, '--overlay', tmp_path / 'c.png') == 1
    assert 'NOT REGISTERED' in capsys.readouterr().out
    assert run(calibrate, out, '--folder', folder) == 0
    said = capsys.readouterr().out
    assert 'edges, 4 pairs: residual median 0.' in said
    calibration = load(out)
    homography, size = rig(1)
    assert calibration.thermal_size == size
    assert np.median(errors(np.array(calibration.homography), homography, size)) < 0.25
    sheet = cv2.imread(str(tmp_path / 'rig.png'))
    assert sheet is not None
    assert sheet.shape == (4 * 480, 2 * 640, 3)
    assert len(np.unique(sheet[:, 640:].reshape(-1, 3), axis=0)) > 100
    assert run(check_registration, out, '--folder', folder, '--overlay', tmp_path / 'd.png') == 0
    said = capsys.readouterr().out
    assert '\nREGISTERED' in said
    assert cv2.imread(str(tmp_path / 'd.png')) is not None
    # A second run does not destroy what the first one found.
    before = out.read_bytes()
    assert run(calibrate, out, '--folder', folder) == 2
    assert f"OUT is '{out}', expected a new file, or --replace" in capsys.readouterr().err
    assert out.read_bytes() == before


@pytest.mark.parametrize('given', [True, False])
def test_a_picture_that_is_there_is_left_alone(
    given: bool, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / ('holiday.png' if given else 'rig.png')
    picture.write_bytes(b'mine')
    homography, _ = rig(1)
    thermal = np.array([[20.0, 20], [480, 30], [470, 350], [30, 360], [250, 150], [120, 250]])
    # Points, for the search by edges takes long and writes the picture no other way.
    rows = np.hstack([thermal, transfer(homography, thermal)])
    np.savetxt(tmp_path / 'points.csv', rows, delimiter=',')
    arguments = [tmp_path / 'rig.yaml', '--folder', folder, '--method', 'points']
    arguments += ['--points', tmp_path / 'points.csv']
    arguments += ['--overlay', picture] if given else []
    assert run(calibrate, *arguments) == 2
    assert f"--overlay is '{picture}', expected a new file" in capsys.readouterr().err
    assert picture.read_bytes() == b'mine'
    assert not (tmp_path / 'rig.yaml').exists()
    assert run(calibrate, *arguments, '--replace') == 0
    assert cv2.imread(str(picture)) is not None


def test_a_failed_calibration_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    strangers = [(v, drawn(4)[(i + 2) % 4][1]) for i, (v, _) in enumerate(drawn(4))]
    folder = write_folder(tmp_path / 'pictures', strangers)
    assert run(calibrate, tmp_path / 'rig.yaml', '--folder', folder) == 1
    assert capsys.readouterr().err.startswith('calibrate: calibration')
    assert not (tmp_path / 'rig.yaml').exists()
    assert not (tmp_path / 'rig.png').exists()


def test_points_from_a_file(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / 'pictures', real())
    rows = [(20, 20), (600, 30), (590, 450), (30, 440), (300, 200), (150, 330)]
    (tmp_path / 'points.csv').write_text('\n'.join(f'{x},{y},{x + 3},{y - 2}' for x, y in rows))
    arguments = ('--folder', folder, '--method', 'points', '--points', tmp_path / 'points.csv')
    assert run(calibrate, tmp_path / 'rig.yaml', *arguments, '--overlay', tmp_path / 'a.jpg') == 0
    calibration = load(tmp_path / 'rig.yaml')
    shifted = np.array([[1.0, 0, 3], [0, 1, -2], [0, 0, 1]])
    assert errors(np.array(calibration.homography), shifted, (640, 480)).max() < 1e-6
    assert calibration.method == 'points, 6 picked'
    assert (tmp_path / 'a.jpg').is_file()


@pytest.fixture(scope='module')
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn scenes as a robot records them: mono16, jittered stamps, the rig 2."""
    homography, size = rig(2)
    base = drawn_clip(['day', 'night', 'glare'], 1.5, 4.0, (480, 640), 3)

    def shots() -> Iterator[Shot]:
        for shot in base.shots():
            heat = cv2.warpPerspective(shot.thermal, np.linalg.inv(homography), size)
            yield dataclasses.replace(shot, thermal=heat)

    clip = Clip(base.count, base.rate, base.camera, shots)
    return write_bag(tmp_path_factory.mktemp('bag') / 'bag', clip).path


def test_from_a_bag(bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / 'rig.yaml'
    assert run(calibrate, out, '--bag', bag, '--count', 6) == 0, capsys.readouterr().err
    calibration = load(out)
    homography, size = rig(2)
    assert np.median(errors(np.array(calibration.homography), homography, size)) < 0.5
    assert calibration.visible_camera is not None, 'the bag has a camera_info of the RGB camera'
    assert calibration.visible_camera.size == (640, 480)
    assert run(check_registration, out, '--bag', bag, '--count', 4) == 0
    capsys.readouterr()
    assert run(calibrate, tmp_path / 'b.yaml', '--bag', bag, '--thermal-topic', 'ir/image') == 1
    assert '/color/image_raw, /thermal/image_raw' in capsys.readouterr().err
    assert run(calibrate, tmp_path / 'b.yaml', '--bag', bag, '--slop', '0') == 1
    assert 'ms apart' in capsys.readouterr().err


def test_extrinsics_are_checked_with_their_parallax(
    bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rig of the bag is no pinhole pair, so that this transform does not fit is found out."""
    lens = Intrinsics(512, 384, ((400.0, 0, 255.5), (0, 400.0, 191.5), (0, 0, 1)))
    save(
        Calibration(
            (512, 384), (640, 480), rotation=((1, 0, 0), (0, 1, 0), (0, 0, 1)),
            translation=(0.05, 0.0, 0.0), plane_depth=10.0, thermal_camera=lens,
        ),
        tmp_path / 'rig.yaml',
    )  # fmt: skip
    assert run(check_registration, tmp_path / 'rig.yaml', '--bag', bag, '--count', 4) == 1
    said = capsys.readouterr().out
    assert 'exact at 10 m; parallax with 50 mm' in said
    assert 'inf m' in said
    assert 'NOT REGISTERED' in said


def test_extrinsics_with_distortion_register(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Scenes on a plane 6 m away, taken by a rig with two bent lenses that is known."""
    turn = cv2.Rodrigues(np.array([0.01, -0.03, 0.02]))[0]
    rows = tuple(tuple(float(value) for value in row) for row in turn)
    bent = (-0.28, 0.09, 0.001, -0.001, 0.0)
    visible = Intrinsics(
        640, 480, ((520.0, 0, 316), (0, 522.0, 243), (0, 0, 1)), 'plumb_bob', bent
    )
    heat = Intrinsics(480, 384, ((500.0, 0, 242), (0, 500.0, 190), (0, 0, 1)), 'plumb_bob',
                      (-0.35, 0.14, 0.0, 0.0, 0.0))  # fmt: skip
    shift, depth = np.array([0.06, -0.01, 0.02]), 6.0
    # Each thermal pixel's ray to the plane, and on to the RGB pixel that shows the same.
    column, row = np.meshgrid(np.arange(480.0), np.arange(384.0))
    x, y, _ = undistort(column, row, heat)
    ray = turn @ np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
    point = ray * (depth - shift[2]) / ray[2] + shift[:, None]
    u, v, _ = distort(point[0] / point[2], point[1] / point[2], visible)
    maps = [side.reshape(384, 480).astype(np.float32) for side in (u, v)]
    pairs = [(rgb, cv2.remap(warm, *maps, cv2.INTER_LINEAR)) for rgb, warm in drawn(4)]
    folder = write_folder(tmp_path / 'pictures', pairs)
    calibration = Calibration(
        (480, 384), (640, 480), rotation=rows, translation=tuple(shift.tolist()),
        plane_depth=depth, thermal_camera=heat, visible_camera=visible,
    )  # fmt: skip
    save(calibration, tmp_path / 'rig.yaml')
    arguments = ('--folder', folder, '--max-residual', '1.0')
    assert run(check_registration, tmp_path / 'rig.yaml', *arguments) == 0
    said = capsys.readouterr().out
    assert '\nREGISTERED' in said
    # At 1.2 m the same rig is off by 520 px * 0.06 m * (1 / 1.2 - 1 / 6) = 21 px.
    assert run(check_registration, tmp_path / 'rig.yaml', *arguments, '--plane-depth', 1.2) == 1
    assert run(check_registration, tmp_path / 'rig.yaml', *arguments, '--mode', 'none') == 1


@pytest.mark.parametrize(
    'arguments',
    [
        (),
        ('rig.yaml',),
        ('rig.yaml', '--folder', '.', '--live'),
        ('rig.yaml', '--folder', '.', '--method', 'magic'),
        ('rig.yaml', '--folder', '.', '--method', 'chessboard'),
        ('rig.yaml', '--folder', '.', '--method', 'chessboard', '--board', '8'),
        ('rig.yaml', '--folder', '.', '--board', '8x6'),
        ('rig.yaml', '--folder', '.', '--points', 'a.csv'),
        ('rig.yaml', '--folder', '.', '--count', '0'),
        ('rig.yaml', '--folder', '.', '--pairs', '6'),
        ('rig.yaml', '--folder', '.', '--slop', 'nan'),
        ('rig.yaml', '--folder', '.', '--overlay', 'a.txt'),
        ('rig.txt', '--folder', '.'),
        ('missing/rig.yaml', '--folder', '.'),
    ],
)
def test_wrong_arguments(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(calibrate, *arguments) == 2
    assert not list(tmp_path.iterdir())


def test_wrong_arguments_of_the_check(folder: Path, tmp_path: Path) -> None:
    assert run(check_registration, tmp_path / 'missing.yaml', '--folder', folder) == 2
    assert run(check_registration, '--folder', folder, '--mode', 'homography') == 2
    assert run(check_registration, '--folder', folder, '--plane-depth', '-1') == 2
    assert run(check_registration, '--folder', tmp_path) == 1


def test_a_plane_depth_without_extrinsics_is_not_ignored(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = Calibration(
        (480, 384), (640, 480), homography=((1, 0, 0), (0, 1, 0), (0, 0, 1)),
        rotation=((1, 0, 0), (0, 1, 0), (0, 0, 1)), translation=(0.05, 0.0, 0.0), plane_depth=3.0,
    )  # fmt: skip
    save(both, tmp_path / 'both.yaml')
    plain = dataclasses.replace(both, rotation=None, translation=None, plane_depth=None)
    save(plain, tmp_path / 'rig.yaml')
    arguments = ('--folder', folder, '--plane-depth', '3')
    for file, hint in (
        ([tmp_path / 'rig.yaml'], 'a file with rotation and translation, mode homography'),
        ([tmp_path / 'both.yaml'], 'add --mode extrinsics'),
        ([], 'mode none has no depth'),
    ):
        assert run(check_registration, *file, *arguments) == 2
        said = capsys.readouterr().err
        assert '--plane-depth is 3.0, expected' in said
        assert hint in said


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (('rig.yaml', '--bag', '/nope'), "--bag is '/nope', expected a bag that is there"),
        (('rig.yaml', '--folder', '/nope'), "--folder is '/nope', expected two folders"),
        (('rig.txt', '--folder', '.'), "OUT is 'rig.txt', expected a .yaml file"),
        (('rig.yaml', '--folder', '.', '--overlay', 'a.txt'), "--overlay is 'a.txt', expected"),
        (('rig.yaml', '--folder', '.', '--method', 'chessboard'), '--board is None, expected'),
        (
            ('rig.yaml', '--folder', '.', '--method', 'circles', '--board', '8'),
            "--board is '8', expected COLUMNSxROWS",
        ),
        (('rig.yaml', '--folder', '.', '--points', 'a.csv'), "--points is 'a.csv', expected"),
    ],
)
def test_errors_name_the_option_and_not_the_calibration(
    arguments: tuple[str, ...],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(calibrate, *arguments) in (1, 2)
    assert capsys.readouterr().err.startswith(f'calibrate: {words}')


def test_the_help_ends_with_a_command_that_works() -> None:
    """The launch file finds the model and chooses registration.mode by the file."""
    (line,) = [line for line in calibrate.EXAMPLES.splitlines() if 'ros2 launch' in line]
    assert line.split() == [
        'ros2', 'launch', 'paif_ros', 'fusion.launch.py', 'calibration:=$PWD/rig.yaml',
    ]  # fmt: skip
    assert 'ros2 run paif_ros fusion' not in calibrate.EXAMPLES
    assert "'calibration'," in (ROOT / 'launch' / 'fusion.launch.py').read_text('utf-8')


@pytest.mark.parametrize('name', ['calibrate', 'check_registration'])
def test_help_as_a_process(name: str) -> None:
    """Without ROS, and without a heavy import on the way to the text."""
    result = subprocess.run(
        [sys.executable, '-m', f'paif_ros.{name}', '--help'],
        capture_output=True, text=True, timeout=60, check=False, cwd=ROOT,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    for word in ('examples:', 'ros2 run paif_ros', 'exit codes', '--bag', '--live'):
        assert word in result.stdout


def test_pictures_that_do_not_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases = {'empty': [], 'sizes': [real()[0], (real()[1][0][:240], real()[1][1])]}
    for name, pairs in cases.items():
        folder = write_folder(tmp_path / name, pairs)
        assert run(calibrate, tmp_path / 'rig.yaml', '--folder', folder) == 1
    (tmp_path / 'sizes' / 'vi' / '0.png').write_bytes(b'no picture')
    assert run(calibrate, tmp_path / 'rig.yaml', '--folder', tmp_path / 'sizes') == 1
    assert 'OpenCV reads' in capsys.readouterr().err
    (tmp_path / 'nobag').mkdir()
    for path in (tmp_path / 'nobag', tmp_path / 'missing'):
        assert run(calibrate, tmp_path / 'rig.yaml', '--bag', path) == 1
    said = capsys.readouterr().err
    assert 'Traceback' not in said
    assert said.count('calibrate: ') == 2


def test_early_bags_spell_camera_info_in_capitals() -> None:
    from paif_ros.registration.alignment.scenes import _Lower, read_lens

    store = get_typestore(Stores.ROS1_NOETIC)
    kinds = store.types
    header = kinds['std_msgs/msg/Header'](0, kinds['builtin_interfaces/msg/Time'](0, 0), '')
    info = kinds['sensor_msgs/msg/CameraInfo'](
        header, 480, 640, "plumb_bob", np.zeros(5),
        np.array([500.0, 0, 320, 0, 500, 240, 0, 0, 1]),
        np.eye(3).ravel(), np.zeros(12), 0, 0,
        kinds['sensor_msgs/msg/RegionOfInterest'](0, 0, 0, 0, False),
    )  # fmt: skip
    lens = read_lens(_Lower(info))
    assert lens is not None
    assert lens.focal == 500.0
