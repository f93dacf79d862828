"""Faults 13 to 16 and 27 of the list: an engine that fails, hangs, lies or starves."""

from __future__ import annotations

import resource
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import tiny_model

pytest.importorskip('rclpy', reason='needs ROS 2 (or its wheels) in this Python')

from faults import (
    ERROR,
    LONG,
    RELIABLE,
    SLACK,
    STEP,
    WARN,
    Cameras,
    Remote,
    eight_bit,
    hot,
    is_ok,
    level,
    matched,
    stamps,
    told,
)
from ros_checks import assert_balanced, assert_clean
from ros_rig import Rig

from paif_ros.engines import make_engine

MEBIBYTE = 2**20
HANG = 3.6  # seconds, more than two transitions wait for an inference


@pytest.fixture(scope='module')
def stalling(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that takes some seconds for a hot frame on this machine, now."""
    folder, count = tmp_path_factory.mktemp('stall'), 20
    engine = make_engine('auto', tiny_model.write(folder / 'probe.onnx', stall=count), 1)
    engine.load()
    took = []
    for _ in range(3):
        start = time.process_time()  # not the clock's: others may be at work meanwhile
        engine.infer(np.zeros((48, 64, 3), np.uint8), hot(0))
        took.append(time.process_time() - start)
    # By the fastest, so that it may take longer, but hardly less.
    return tiny_model.write(folder / 'stall.onnx', stall=round(count * HANG / min(took)))


def hang(rig: Rig, cameras: Cameras) -> None:
    """Send hot frames until one hangs; the cameras send cool ones after that."""
    cameras.heat = hot
    cameras.until(lambda: float(rig.values()['engine.busy_s']) > 0.2)
    cameras.heat = eight_bit


def test_fault_13_inference_raises_once_and_ten_times_in_a_row(tmp_path: Path) -> None:
    """Each costs its pair; the next good one goes on, and the failures are counted anew."""
    model = tiny_model.write(tmp_path / 'poison.onnx', poison=True)
    with Rig(model, listen=('mask',), qos=RELIABLE) as rig:
        cameras = Cameras(rig)
        matched(rig)
        cameras.one(eight_bit)
        for times in (1, 10):
            seen = len(rig.got['diagnostics'])
            for number in range(times):
                cameras.one(hot)
                assert rig.count('engine.failures_in_a_row') == number + 1
            said = [(m.status[0].level, m.status[0].message) for m in rig.got['diagnostics']]
            assert any(
                severity == ERROR and 'the engine fails: onnxruntime: inference failed' in text
                for severity, text in said[seen:]
            )
            good = cameras.one(eight_bit)
            assert rig.count('engine.failures_in_a_row') == 0
            rig.until(lambda: good in stamps(rig.got['mask']))  # noqa: B023
            cameras.until(lambda: is_ok(rig))
        ending = rig.stop()
        assert_clean(ending)
        assert_balanced(rig)
        assert rig.count('pairs.engine_error') == 11
        assert 1 <= ending.text.count('pair dropped: onnxruntime: inference failed') <= 6


def test_fault_13_inference_raises_for_ever_and_the_node_deactivates_itself(
    tmp_path: Path,
) -> None:
    model = tiny_model.write(tmp_path / 'poison.onnx', poison=True)
    with Rig(model, listen=('mask',), engine__max_failures=5) as rig:
        remote, cameras = Remote(rig), Cameras(rig, hot)
        cameras.until(lambda: rig.values()['state'] == 'inactive')
        assert remote.state() == 'inactive'
        assert level(rig) == ERROR
        assert told(rig).startswith('inactive: deactivated itself, as ')
        assert 'inferences in a row failed: onnxruntime: inference failed' in told(rig)
        line = next(line for line in rig.text().splitlines() if 'deactivated itself' in line)
        assert '[ERROR]' in line
        assert '`ros2 lifecycle set /fusion activate`' in line
        received = rig.count('visible.received')
        cameras.play(0.5)
        assert rig.count('visible.received') == received, 'it takes nothing in'
        assert not rig.got['mask']
        # The fault is gone: activate works again, and starts to count anew.
        cameras.heat = eight_bit
        assert remote.go('activate')
        rig.spin(1.2)
        assert remote.state() == 'active', 'old failures count no more'
        rig.until(lambda: rig.visible.get_subscription_count() == 1)
        cameras.pairs(10)
        cameras.until(lambda: is_ok(rig))
        assert remote.state() == 'active'
        cameras.heat = hot
        cameras.until(lambda: rig.values()['state'] == 'inactive')
        assert_clean(rig.stop())
        assert_balanced(rig)


def test_fault_14_inference_hangs_and_leaves_no_backlog(stalling: Path) -> None:
    settings = {'engine__timeout': 0.5, 'sync__timeout': 60.0}
    with Rig(stalling, listen=('mask',), **settings) as rig:
        cameras = Cameras(rig)
        cameras.pairs(10)
        hang(rig, cameras)
        cameras.until(lambda: 'an inference has taken' in told(rig))
        assert level(rig) == ERROR
        assert float(rig.values()['engine.busy_s']) >= 0.5
        results = len(rig.got['mask'])
        cameras.until(lambda: len(rig.got['mask']) >= results + 5)
        cameras.until(lambda: is_ok(rig))
        late = stamps(rig.got['mask'])[results:]
        # First the one that hung, then at once those of now: nothing in between was kept.
        assert late[1] - late[0] > 0.5e9
        assert all(after - before < SLACK * 1e9 for before, after in pairwise(late[1:]))
        assert rig.count('pairs.superseded') >= 5
        # Where the cameras pause too, what has waited is stale when the hang is over.
        before = rig.count('pairs.stale')
        hang(rig, cameras)
        cameras.until(lambda: 'an inference has taken' in told(rig))
        rig.until(lambda: rig.count('pairs.pending') == 0, LONG)
        assert rig.count('pairs.stale') == before + 1
        newest = stamps(rig.got['mask'])[-1]
        cameras.pairs(5)
        rig.until(lambda: stamps(rig.got['mask'])[-1] > newest + STEP)
        ending = rig.stop()
        assert_clean(ending)
        assert_balanced(rig)


def test_fault_14_a_result_that_hung_does_not_come_out_after_a_new_start(stalling: Path) -> None:
    """Deactivated and activated while it hangs: its stamp is long past when it ends."""
    with Rig(stalling, listen=('mask',), sync__timeout=60.0) as rig:
        remote, cameras = Remote(rig), Cameras(rig)
        cameras.pairs(5)
        hang(rig, cameras)
        past = cameras.stamp(cameras.sent['visible'][-1])
        results = len(rig.got['mask'])
        assert remote.go('deactivate')
        assert not remote.go('cleanup'), 'the engine is in use'
        assert 'an inference does not end, so the engine can not be freed' in rig.text()
        assert remote.state() == 'inactive'
        assert remote.go('activate')
        rig.until(lambda: rig.visible.get_subscription_count() == 1)
        cameras.until(lambda: len(rig.got['mask']) >= results + 5)
        assert stamps(rig.got['mask'])[results] > past
        ending = rig.stop()
        assert_clean(ending)
        assert_balanced(rig)


def test_fault_15_nan_in_the_network_is_told(tmp_path: Path) -> None:
    model = tiny_model.write(tmp_path / 'nan.onnx', nan=True)
    with Rig(model, listen=('fused',)) as rig:
        cameras = Cameras(rig)
        cameras.pairs(5)
        assert 'flat' not in told(rig)
        cameras.heat = hot
        cameras.until(lambda: 'the model answered with one flat colour' in told(rig))
        assert level(rig) == WARN
        cameras.heat = eight_bit
        cameras.until(lambda: is_ok(rig))
        assert_clean(rig.stop())
        assert_balanced(rig)


def test_fault_16_out_of_memory_at_run_time_costs_one_pair(tmp_path: Path) -> None:
    model = tiny_model.write(tmp_path / 'hungry.onnx', hungry=True)
    with Rig(model, listen=('mask',), qos=RELIABLE) as rig:
        cameras = Cameras(rig)
        matched(rig)
        cameras.one(eight_bit)
        before = float(rig.values()['memory_mb'])
        for _ in range(3):
            cameras.one(hot)
        good = cameras.one(eight_bit)
        rig.until(lambda: good in stamps(rig.got['mask']))
        assert float(rig.values()['memory_mb']) < before + 100
        ending = rig.stop()
        assert_clean(ending)
        assert_balanced(rig)
        assert rig.count('pairs.engine_error') == 3
        assert 'pair dropped: onnxruntime: inference failed' in ending.text
        assert 'alloc' in ending.text.lower()


def test_fault_16_out_of_memory_at_configure(tiny: Path, tmp_path: Path) -> None:
    """Under a limit of the address space; when there is room again, configure works."""
    large = tiny_model.write(tmp_path / 'large.onnx', (2048, 2048), work=2)
    with Rig(tiny, listen=('mask',)) as rig:
        remote = Remote(rig)
        assert remote.go('deactivate')
        assert remote.go('cleanup')
        assert remote.set('model_path', str(large)) == (True, '')
        status = Path(f'/proc/{rig.process.pid}/status').read_text('utf-8')
        now = int(status.split('VmSize:')[1].split()[0]) * 1024
        _, most = resource.prlimit(rig.process.pid, resource.RLIMIT_AS)
        resource.prlimit(rig.process.pid, resource.RLIMIT_AS, (now + 160 * MEBIBYTE, most))
        assert not remote.go('configure')
        # The level alone may still be that of missing frames, from before the transition.
        rig.until(lambda: told(rig).startswith('unconfigured: onnxruntime: '))
        assert level(rig) == ERROR
        assert remote.state() == 'unconfigured'
        resource.prlimit(rig.process.pid, resource.RLIMIT_AS, (most, most))
        assert remote.go('configure')
        assert remote.go('activate')
        ending = rig.stop()
        assert_clean(ending)
        assert 'configure failed, the node stays unconfigured: onnxruntime: ' in ending.text


def test_fault_27_sigint_while_the_model_loads(tmp_path: Path) -> None:
    """The first run belongs to loading, and this model's takes many seconds."""
    model = tiny_model.write(tmp_path / 'slow.onnx', (480, 640), work=1500)
    with Rig(model, listen=(), wait='configuring') as rig:
        rig.spin(0.5)
        ending = rig.stop()
        assert_clean(ending)
        assert 'told to stop' in ending.text


def test_fault_27_sigint_during_an_inference_that_hangs(stalling: Path) -> None:
    with Rig(stalling, listen=('mask',)) as rig:
        hang(rig, Cameras(rig))
        ending = rig.stop()
        assert_clean(ending)
        assert_balanced(rig)
