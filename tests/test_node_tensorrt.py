"""The node on TensorRT, in its own process on a real graph; TensorRT and the GPU are stand-ins."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tiny_model
from tensorrt_rig import write_model

pytest.importorskip('rclpy', reason='needs ROS 2 (or its wheels) in this Python')

from faults import ERROR, RELIABLE, Cameras, Remote, eight_bit, level, matched, stamps, told
from ros_checks import assert_balanced, assert_clean
from ros_rig import Rig, pixels_of

STANDINS = Path(__file__).parent / 'standins'


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that rules the stand-ins, see tests/standins/machine.py; it is HOME too."""
    folder = tmp_path / 'machine'
    folder.mkdir()
    monkeypatch.setenv('PYTHONPATH', str(STANDINS))
    monkeypatch.setenv('PAIF_STANDIN', str(folder))
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / 'model')


def live(machine: Path) -> dict[str, int]:
    """What the node holds of the GPU."""
    return dict(json.loads((machine / 'live').read_text()))


def test_it_builds_with_progress_and_the_next_start_does_not(machine: Path, model: Path) -> None:
    (machine / 'slow').touch()
    with Rig(model, listen=('mask',), wait='configuring', home=machine, qos=RELIABLE) as rig:
        rig.until(lambda: rig.values()['engine.progress'].startswith('building a tensorrt'), 30)
        (machine / 'slow').unlink()
        rig.until(lambda: rig.values()['state'] == 'active', 30)
        values = rig.values()
        assert (values['engine.backend'], values['engine.provider']) == ('tensorrt', 'Orin')
        assert values['engine.progress'] == ''
        rig.until(lambda: rig.visible.get_subscription_count() > 0)
        matched(rig)
        cameras = Cameras(rig)
        stamp = cameras.one(eight_bit)
        rig.until(lambda: stamp in stamps(rig.got['mask']))
        assert live(machine)['executable'] == 1
        remote = Remote(rig)
        assert remote.go('deactivate')
        assert remote.go('cleanup')
        assert live(machine) == {}
        ending = rig.stop()
        assert_clean(ending)
        assert_balanced(rig)
        assert 'building a tensorrt engine of tiny.onnx: ' in ending.text
        assert 'on tensorrt Orin (the fastest that works: tensorrt 10.16.1.11' in ending.text
    with Rig(model, listen=('mask',), home=machine) as rig:
        ending = rig.stop()
        assert_clean(ending)
        assert 'building' not in ending.text
        assert f'kept in {machine}/.cache/paif_ros)' in ending.text


def test_masks_are_those_of_the_model(machine: Path, model: Path) -> None:
    with Rig(model, listen=('mask',), home=machine, qos=RELIABLE) as rig:
        cameras = Cameras(rig, lambda number: np.full((48, 64), 40 * (number % 7), np.uint8))
        matched(rig)
        cameras.until(lambda: len(rig.got['mask']) >= 7)
        found = {int(pixels_of(mask).max()) for mask in rig.got['mask']}
        assert found == {0, 1, 2}
        assert all(np.ptp(pixels_of(mask)) == 0 for mask in rig.got['mask'])


def test_fault_16_out_of_gpu_memory(machine: Path, model: Path) -> None:
    """At run time and at configure; each is over when there is room again."""
    settings = {'engine.backend': 'tensorrt'}
    with Rig(model, listen=('mask',), home=machine, qos=RELIABLE, **settings) as rig:
        cameras, remote = Cameras(rig), Remote(rig)
        matched(rig)
        cameras.until(lambda: len(rig.got['mask']) > 0)
        (machine / 'full').touch()
        cameras.until(lambda: rig.count('pairs.engine_error') > 2)
        cameras.until(lambda: level(rig) == ERROR)
        assert 'cudaErrorMemoryAllocation' in told(rig)
        (machine / 'full').unlink()
        before = len(rig.got['mask'])
        cameras.until(lambda: len(rig.got['mask']) > before)

        assert remote.go('deactivate')
        assert remote.go('cleanup')
        (machine / 'full').touch()
        assert not remote.go('configure')
        rig.until(lambda: told(rig).startswith('unconfigured: cuda: cudaHostAlloc failed'))
        assert level(rig) == ERROR
        assert live(machine) == {}
        (machine / 'full').unlink()
        assert remote.go('configure')
        assert remote.go('activate')
        ending = rig.stop()
        assert_clean(ending)
        assert 'the GPU has no memory left' in ending.text


def test_fault_27_sigint_during_a_build(machine: Path, model: Path) -> None:
    (machine / 'slow').touch()
    with Rig(model, listen=(), wait='configuring', home=machine) as rig:
        rig.until(lambda: rig.values()['engine.progress'].startswith('building'), 30)
        ending = rig.stop()
        assert_clean(ending)
        assert 'told to stop' in ending.text
    assert not list((machine / '.cache' / 'paif_ros').glob('*.plan*'))
    assert not list((machine / '.cache' / 'paif_ros').glob('*.part'))


def test_a_refused_engine_leaves_the_node_unconfigured(machine: Path, model: Path) -> None:
    settings = {'engine.backend': 'tensorrt', 'engine.on_mismatch': 'refuse'}
    with Rig(model, listen=(), home=machine, **settings) as rig:
        assert_clean(rig.stop())
    tiny_model.write(model, work=1)
    with Rig(model, listen=(), wait='unconfigured', home=machine, **settings) as rig:
        rig.until(lambda: level(rig) == ERROR)
        assert 'engine onnx_sha256: expected' in told(rig)
        assert 'engine.on_mismatch rebuild' in told(rig)
