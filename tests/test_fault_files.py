"""Faults 17 to 22 of the list: model files, disks and folders that are not as they should be."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny_model

pytest.importorskip('rclpy', reason='needs ROS 2 (or its wheels) in this Python')

from faults import ERROR, LONG, Cameras, Remote, is_ok, level, told
from onnx import TensorProto
from ros_checks import assert_balanced, assert_clean
from ros_rig import ROOT, Rig, environment

KILLS = 60
# A user without root's right to write where no permission says so, in the same user's files.
PLAIN_USER = ('setpriv', '--bounding-set=-dac_override', '--inh-caps=-all')


def test_fault_17_the_model_file_changes_on_disk(tmp_path: Path) -> None:
    """A running node does not mind. The next configure says what is wrong, until it is mended."""
    model = tiny_model.write(tmp_path / 'model.onnx')
    whole = model.read_bytes()
    foreign = tiny_model.write(tmp_path / 'foreign.onnx', metadata={}).read_bytes()
    with Rig(model, listen=('mask',)) as rig:
        remote, cameras = Remote(rig), Cameras(rig)
        cameras.pairs(5)
        for content, text in (
            (whole[: len(whole) // 2], 'can not load'),
            (whole[:1], 'can not load'),
            (b'', 'can not load'),
            (foreign, 'no contract version'),
            (bytes(len(whole)), 'can not load'),
            (None, 'there is no model file'),
        ):
            if content is None:
                model.unlink()
            else:
                model.write_bytes(content)
            if remote.state() == 'active':
                cameras.pairs(5)
                assert remote.go('deactivate')
                assert remote.go('cleanup')
            assert not remote.go('configure'), text
            rig.until(lambda: text in told(rig))  # noqa: B023
            assert level(rig) == ERROR
            assert told(rig).startswith('unconfigured: ')
            assert remote.state() == 'unconfigured'
        tiny_model.write(model, (96, 128))  # repaired, by a larger one
        assert remote.go('configure')
        assert remote.go('activate')
        rig.until(lambda: rig.values()['model.input_size'] == '128x96')
        rig.until(lambda: rig.visible.get_subscription_count() == 1)
        cameras.pairs(5)
        cameras.until(lambda: is_ok(rig))
        ending = rig.stop()
        assert_clean(ending)
        assert_balanced(rig)
        assert ending.text.count('configure failed, the node stays unconfigured') == 6


CALIBRATION = """
import resource, sys
from paif_ros.registration.calibration import Calibration, load, save
def make(method):
    matrix = ((1.0, 0.0, 1.0), (0.0, 1.0, 2.0), (0.0, 0.0, 1.0))
    return Calibration(thermal_size=(64, 48), visible_size=(64, 48), homography=matrix,
                       method=method)
path = sys.argv[1]
"""


def python(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, '-c', CALIBRATION + code, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_fault_18_a_full_disk_leaves_the_old_calibration_whole(tmp_path: Path) -> None:
    """RLIMIT_FSIZE stands for the full disk: a write stops in the middle with an error."""
    path = tmp_path / 'calibration.yaml'
    code = """
from paif_ros.errors import CalibrationError
save(make('old'), path)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    save(make('new'), path)
except CalibrationError as err:
    print(err)
print(load(path).method)
"""
    result = python(code, path)
    assert result.returncode == 0, result.stderr
    said, method = result.stdout.strip().splitlines()
    assert 'a place to write to (File too large)' in said
    assert method == 'old'
    assert os.listdir(tmp_path) == ['calibration.yaml'], 'no draft is left'


def test_fault_18_a_full_file_system_leaves_the_old_calibration_whole(tmp_path: Path) -> None:
    mount = ['mount', '-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', str(tmp_path)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as err:
        pytest.skip(f'a small file system can not be mounted here: {err}')
    try:
        code = """
from paif_ros.errors import CalibrationError
save(make('old'), path)
with open(sys.argv[2], 'wb', buffering=0) as file:
    try:
        while True:
            file.write(bytes(4096))
    except OSError:
        pass
try:
    save(make('new'), path)
except CalibrationError as err:
    print(err)
print(load(path).method)
"""
        result = python(code, tmp_path / 'calibration.yaml', tmp_path / 'filler')
        assert result.returncode == 0, result.stderr
        said, method = result.stdout.strip().splitlines()
        assert 'a place to write to (No space left on device)' in said
        assert method == 'old'
    finally:
        subprocess.run(['umount', str(tmp_path)], check=True)


def test_fault_19_two_nodes_load_one_file_at_the_same_time(tmp_path: Path) -> None:
    model = tiny_model.write(tmp_path / 'model.onnx', work=3)
    before = hashlib.sha256(model.read_bytes()).hexdigest()
    outputs = [tmp_path / f'{number}.txt' for number in range(2)]
    nodes = []
    for number, path in enumerate(outputs):
        arguments = ['-r', f'__ns:=/robot_{number}', '-p', f'model_path:={model}']
        with path.open('w') as file:
            nodes.append(
                subprocess.Popen(
                    [sys.executable, '-m', 'paif_ros.node', '--ros-args', *arguments],
                    env=environment(),
                    cwd=ROOT,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                )
            )
    try:
        end = time.monotonic() + LONG
        while not all('ready: tiny test' in path.read_text() for path in outputs):
            assert all(node.poll() is None for node in nodes)
            assert time.monotonic() < end, [path.read_text() for path in outputs]
            time.sleep(0.05)
        for node in nodes:
            node.send_signal(signal.SIGINT)
        assert [node.wait(10.0) for node in nodes] == [0, 0]
    finally:
        for node in nodes:
            node.kill()
            node.wait()
    for path in outputs:
        text = path.read_text()
        assert text.count('ready: ') == text.count('stopped: ') == 1
        assert 'Traceback' not in text
    assert hashlib.sha256(model.read_bytes()).hexdigest() == before
    assert set(os.listdir(tmp_path)) == {'model.onnx', '0.txt', '1.txt'}, 'it writes nothing there'


def test_fault_20_kill_9_in_the_middle_of_a_write(tmp_path: Path) -> None:
    """Writers of two calibrations are killed at any moment; the file is always one of the two."""
    path = tmp_path / 'calibration.yaml'
    code = f"""
import os, random, signal, time
random.seed(20)
save(make('one'), path)
for number in range({KILLS}):
    writer = os.fork()
    if writer == 0:
        while True:
            save(make('one'), path)
            save(make('two'), path)
    time.sleep(random.uniform(0.0, 0.03))
    os.kill(writer, signal.SIGKILL)
    os.waitpid(writer, 0)
    assert load(path).method in ('one', 'two')
save(make('three'), path)
print(load(path).method)
"""
    result = python(code, path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == 'three'


def test_fault_20_what_a_killed_writer_left_does_not_stop_the_next_one(tmp_path: Path) -> None:
    """In a container every process may have the same id, and so the same draft."""
    path = tmp_path / 'calibration.yaml'
    code = """
import os
from pathlib import Path
save(make('old'), path)
Path(path).with_name(f'.calibration.yaml.{os.getpid()}.draft').write_text('half')
save(make('new'), path)
print(load(path).method)
"""
    result = python(code, path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == 'new'
    assert os.listdir(tmp_path) == ['calibration.yaml']


def test_fault_21_the_models_folder_and_home_are_read_only(tmp_path: Path) -> None:
    """Also where a process that is root is no longer above permissions."""
    root = os.geteuid() == 0
    if root and shutil.which('setpriv') is None:
        pytest.skip('root may write everywhere, and there is no setpriv to change that')
    folder, home = tmp_path / 'models', tmp_path / 'home'
    folder.mkdir()
    home.mkdir()
    model = tiny_model.write(folder / 'model.onnx')
    model.chmod(0o444)
    folder.chmod(0o555)
    home.chmod(0o555)
    launcher = PLAIN_USER if root else ()
    try:
        touch = [*launcher, 'touch', str(home / 'file')]
        assert subprocess.run(touch, capture_output=True, check=False).returncode, 'it may write'
        with Rig(model, listen=('mask',), launcher=launcher, home=home) as rig:
            cameras = Cameras(rig)
            cameras.pairs(5)
            ending = rig.stop()
            assert_clean(ending)
            assert_balanced(rig)
            assert 'Failed to create log directory' in ending.text
            assert 'set ROS_LOG_DIR to a folder that can be written' in ending.text
        assert os.listdir(folder) == ['model.onnx']
    finally:
        folder.chmod(0o755)
        home.chmod(0o755)


def test_fault_22_a_model_that_does_not_keep_the_contract(tmp_path: Path, tiny: Path) -> None:
    right = tiny_model.card((48, 64)).to_metadata()

    def without(key: str) -> dict[str, str]:
        return {name: value for name, value in right.items() if name != key}

    wrong: dict[str, tuple[dict[str, object], str]] = {
        'none': ({'metadata': {}}, 'metadata contract: expected 1, found no contract version'),
        'newer': ({'metadata': {**right, 'contract': '99'}}, 'expected 1, found 99'),
        'classless': ({'metadata': without('classes')}, "found KeyError('classes')"),
        'garbled': ({'metadata': {**right, 'classes': '[{'}}, 'readable class and size entries'),
        'resized': ({'metadata': {**right, 'input_size': '[96, 128]'}}, 'shape'),
        'renamed': ({'outputs': ('merged', 'mask')}, 'model outputs: expected'),
        'typed': ({'dtype': TensorProto.UINT16}, 'dtype: expected uint8, found uint16'),
        'batched': ({'batch': 4}, 'batch size: expected 1, found 4'),
    }
    with Rig(tiny, listen=('mask',), autostart='false', wait='unconfigured') as rig:
        remote = Remote(rig)
        for name, (change, text) in wrong.items():
            path = tiny_model.write(tmp_path / f'{name}.onnx', **change)  # type: ignore[arg-type]
            assert remote.set('model_path', str(path)) == (True, '')
            assert not remote.go('configure'), name
            rig.until(lambda: text in told(rig))  # noqa: B023
            assert level(rig) == ERROR
            assert 'export the model again' in told(rig)
            assert remote.state() == 'unconfigured'
        assert remote.set('model_path', str(tiny)) == (True, '')
        assert remote.go('configure')
        assert remote.go('activate')
        rig.until(lambda: rig.visible.get_subscription_count() == 1)
        Cameras(rig).pairs(5)
        assert_clean(rig.stop())
        assert_balanced(rig)
