"""What can go wrong at the node's inputs, in its engine and at its end, on a real ROS 2 graph."""

from __future__ import annotations

import copy
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tiny_model

pytest.importorskip('rclpy', reason='needs ROS 2 (or its wheels) in this Python')

from diagnostic_msgs.msg import DiagnosticStatus
from ros_checks import (
    PERIOD,
    SIZE,
    START,
    assert_balanced,
    assert_clean,
    camera_pair,
    send,
    send_and_wait,
)
from ros_rig import ROOT, Rig, environment, image


def test_malformed_images_are_counted_and_the_node_lives(tiny: Path) -> None:
    color, heat = camera_pair(0)

    def broken(field: str, value: object) -> object:
        message = copy.deepcopy(image(color, START, 'rgb'))
        setattr(message, field, value)
        return message

    bad = [
        broken('encoding', 'nonsense'),
        broken('encoding', ''),
        broken('step', 0),
        broken('step', 4_000_000_000),
        broken('height', 0),
        broken('height', 8192),
        broken('width', 4_000_000_000),
        broken('data', b''),
        broken('data', bytes(100)),
        broken('is_bigendian', 7),
    ]
    with Rig(tiny) as rig:
        number = 0
        for message in bad:
            for camera in ('visible', 'thermal'):
                number += 1
                stamp = START + number * PERIOD
                pair = {
                    'visible': image(color, stamp, 'rgb'),
                    'thermal': image(heat, stamp, 'thermal'),
                }
                message.header = pair[camera].header  # type: ignore[attr-defined]
                pair[camera] = message  # type: ignore[assignment]
                rig.send(pair['visible'], pair['thermal'])
                mine = f'{camera}.dropped.malformed'
                rig.until(lambda: rig.count(mine) >= (number + 1) // 2)  # noqa: B023
        send_and_wait(rig, range(100, 103))
        ending = rig.stop()
        assert_clean(ending)
        assert_balanced(rig)
        for camera in ('visible', 'thermal'):
            assert rig.count(f'{camera}.dropped.malformed') == len(bad)
            assert rig.count(f'{camera}.dropped.no_partner') == len(bad)  # nothing wrong with them
        assert rig.count('pairs.made') == rig.count('pairs.fused') == len(rig.got['fused']) == 3
        assert "visible image dropped: image field 'encoding' is 'nonsense'" in ending.text
        assert ending.text.count('image dropped') <= 3, 'not throttled'


def test_malformed_images_of_one_camera_that_nobody_listens_to(tiny: Path) -> None:
    message = image(camera_pair(0)[0], START, 'rgb')
    message.step += 1
    with Rig(tiny, listen=()) as rig:
        for number in range(25):
            message.header.stamp.nanosec = number
            rig.visible.publish(message)
            rig.spin(0.1)
        ending = rig.stop()
        assert_clean(ending)
        assert_balanced(rig)
        assert rig.count('visible.dropped.malformed') == 25
        assert 'sync.slop' not in ending.text


def test_an_engine_error_costs_one_pair(tmp_path: Path) -> None:
    model = tiny_model.write(tmp_path / 'poison.onnx', poison=True)
    color, _ = camera_pair(0)
    with Rig(model, listen=('mask',)) as rig:
        for number, top in enumerate((255, 200, 255, 200)):  # 255 makes this model fail
            heat = np.full(SIZE, top, np.uint8)
            stamp = START + number * PERIOD
            rig.send(image(color, stamp, 'rgb'), image(heat, stamp, 'thermal'))
            rig.until(
                lambda: rig.count('pairs.fused') + rig.count('pairs.engine_error') > number  # noqa: B023
            )
        ending = rig.stop()
        assert_clean(ending)
        assert_balanced(rig)
        assert (rig.count('pairs.fused'), rig.count('pairs.engine_error')) == (2, 2)
        assert len(rig.got['mask']) == 2
        assert 'inference failed' in ending.text


def test_stamps_that_are_zero_doubled_or_jump_back(tiny: Path) -> None:
    with Rig(tiny, listen=('mask',)) as rig:
        color, heat = camera_pair(0)
        rig.send(image(color, 0, 'rgb'), image(heat, 0, 'thermal'))
        rig.until(lambda: rig.count('thermal.dropped.bad_stamp') == 1)
        send_and_wait(rig, range(100, 103))
        send(rig, 102)  # again
        rig.until(lambda: rig.count('thermal.dropped.duplicate') == 1)
        send_and_wait(rig, range(3))  # as when a bag starts again
        assert_clean(rig.stop())
        assert_balanced(rig)
        assert rig.count('pairs.fused') == 6


def test_it_says_once_why_nothing_pairs(tiny: Path) -> None:
    with Rig(tiny, sync__slop=0.01) as rig:
        for number in range(30):
            send(rig, number * 10, skew=100_000_000)
            rig.spin(0.1)
        ending = rig.stop()
        assert_clean(ending)
        assert_balanced(rig)
        assert rig.count('pairs.made') == 0
        assert ending.text.count('no frames pair') == 1
        assert 'min -' in ending.text
        assert 'sync.slop' in ending.text or 'sync.thermal_offset' in ending.text


@pytest.mark.parametrize('slower', [True, False])
def test_it_says_once_that_little_pairs(tiny: Path, slower: bool) -> None:
    """As when images are lost on the way, but not where one camera is slower than the other."""
    with Rig(tiny, listen=('mask',)) as rig:
        for number in range(160):
            color, heat = camera_pair(number)
            stamp = START + number * 3 * PERIOD
            if slower or number % 5 < 3:
                rig.visible.publish(image(color, stamp, 'rgb'))
            if number % 5 in ((2,) if slower else (2, 3, 4)):
                rig.thermal.publish(image(heat, stamp, 'thermal'))
            rig.spin(0.02)
        ending = rig.stop()
        assert_clean(ending)
        assert_balanced(rig)
        assert rig.count('pairs.made') >= 30
        assert ('gaps between their stamps' in ending.text) != slower


def test_it_says_that_stamps_are_missing(tiny: Path) -> None:
    with Rig(tiny) as rig:
        color, heat = camera_pair(0)
        for _ in range(25):
            rig.send(image(color, 0, 'rgb'), image(heat, 0, 'thermal'))
            rig.spin(0.1)
        ending = rig.stop()
        assert_clean(ending)
        assert_balanced(rig)
        assert rig.count('visible.dropped.bad_stamp') == 25
        assert ending.text.count('frames can not be compared (bad_stamp): see that their') == 1


def test_it_says_which_camera_is_silent(tiny: Path) -> None:
    with Rig(tiny) as rig:
        for number in range(25):
            rig.visible.publish(image(camera_pair(0)[0], START + number * PERIOD, 'rgb'))
            rig.spin(0.1)
        told = rig.got['diagnostics'][-1].status[0].message
        assert told.startswith('no frames from thermal for')
        ending = rig.stop()
        assert_clean(ending)
        assert_balanced(rig)
        assert ending.text.count('no images on /thermal/image_raw') == 1


def test_a_slow_engine_drops_pairs_and_never_queues_them(tmp_path: Path) -> None:
    model = tiny_model.write(tmp_path / 'slow.onnx', (480, 640), work=12)
    with Rig(model, listen=('mask',)) as rig:
        due = time.monotonic()
        for number in range(90):
            send(rig, number)
            due += 1 / 30
            rig.spin(max(0.0, due - time.monotonic()))
        ending = rig.stop()
        assert_clean(ending)
        assert_balanced(rig)
        values = rig.values()
        assert rig.count('pairs.superseded') > 0
        one = float(values['latency.inference.p99_ms'])
        assert float(values['latency.total.p99_ms']) < 3 * one + 100, 'latency has built up'


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_middle_of_a_long_inference(tmp_path: Path, number: int) -> None:
    model = tiny_model.write(tmp_path / 'slow.onnx', (480, 640), work=200)
    with Rig(model, listen=('mask',)) as rig:
        send(rig, 0)
        send(rig, 1)
        rig.until(lambda: rig.count('pairs.pending') > 0)
        ending = rig.stop(number)
        assert_clean(ending)
        assert_balanced(rig)


@pytest.mark.parametrize(
    ('parameters', 'text'),
    [
        (['model_path:={tiny}', 'sync.slop:=-1.0'], "parameter 'sync.slop' is -1.0"),
        (['model_path:={tiny}', 'sync.slop:=1'], "parameter 'sync.slop' is 1"),
        (['model_path:={tiny}', 'engine.backend:=caffe'], 'one of auto, onnxruntime'),
        (['model_path:={tiny}', 'use_sim_time:=banana'], 'use_sim_time'),
        (['sync.slop:=['], ''),
        (['model_path:={tiny}', 'registration.mode:=homography'], 'ros2 run paif_ros calibrate'),
    ],
)
def test_it_can_not_start(tiny: Path, parameters: list[str], text: str) -> None:
    filled = [p.format(tiny=tiny) for p in parameters]
    arguments = [part for parameter in filled for part in ('-p', parameter)]
    result = subprocess.run(
        [sys.executable, '-m', 'paif_ros.node', '--ros-args', *arguments],
        env=environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert result.returncode == 1
    assert text in result.stderr + result.stdout
    assert 'Traceback' not in result.stderr
    assert (result.stderr + result.stdout).count('[FATAL]') == 1


@pytest.mark.parametrize(
    ('model', 'text'),
    [
        ('', "parameter 'model_path' is ''"),
        ('/no/such/file.onnx', 'there is no model file'),
        ('{root}/package.xml', 'give an .onnx file'),
        ('{broken}', 'can not load'),
    ],
)
def test_without_a_model_it_stays_unconfigured_and_says_why(
    tmp_path: Path, model: str, text: str
) -> None:
    broken = tmp_path / 'broken.onnx'
    broken.write_bytes(b'\x00\x01')
    path = model.format(root=ROOT, broken=broken)
    with Rig(Path(path) if path else "''", wait='unconfigured') as rig:
        rig.until(lambda: rig.got['diagnostics'][-1].status[0].level == DiagnosticStatus.ERROR)
        told = rig.got['diagnostics'][-1].status[0].message
        assert told.startswith('unconfigured: ')
        assert text in told
        ending = rig.stop()
        assert_clean(ending)
        assert ending.text.count('[FATAL]') == 1
        assert 'ros2 lifecycle set /fusion configure' in ending.text


@pytest.mark.parametrize('module', ['paif_ros.main', 'paif_ros.node'])
def test_a_signal_while_it_still_imports(tiny: Path, module: str) -> None:
    process = subprocess.Popen(
        [sys.executable, '-m', module, '--ros-args', '-p', f'model_path:={tiny}'],
        env=environment(),
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    status = Path(f'/proc/{process.pid}/status')
    caught = 1 << (signal.SIGTERM - 1)
    while not int(status.read_text().split('SigCgt:')[1].split()[0], 16) & caught:
        time.sleep(0.002)  # its handlers are not there yet
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, text = process.communicate(timeout=10)
    assert process.returncode == 0, text
    assert 'Traceback' not in text
    assert time.monotonic() - start < 2.0


EMBEDDED = """
import sys
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.parameter import Parameter
from paif_ros.node import FusionNode

rclpy.init()
node = FusionNode(
    'own',
    namespace='robot',
    parameter_overrides=[Parameter('model_path', value=sys.argv[1])],
)
try:
    rclpy.spin(node)
except (KeyboardInterrupt, ExternalShutdownException):
    pass
node.destroy_node()
rclpy.try_shutdown()
"""


def embedded(model: Path) -> subprocess.Popen[str]:
    """Start the node the way that every ROS tutorial starts one."""
    return subprocess.Popen(
        [sys.executable, '-c', EMBEDDED, str(model)],
        env=environment(),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        bufsize=1,
    )


def test_the_node_as_a_module_handles_signals_before_slow_imports() -> None:
    code = (
        'import runpy, sys, types\n'
        'main = sys.modules["paif_ros.main"] = types.ModuleType("paif_ros.main")\n'
        'main.main = lambda: sys.exit("rclpy" in sys.modules or "numpy" in sys.modules)\n'
        'runpy.run_module("paif_ros.node", run_name="__main__")\n'
    )
    result = subprocess.run(
        [sys.executable, '-c', code], cwd=ROOT, capture_output=True, timeout=20, check=False
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize('there', [True, False])
def test_in_a_program_of_others(tmp_path: Path, tiny: Path, there: bool) -> None:
    """It says what happens there too, and its worker has ended when it is destroyed."""
    process = embedded(tiny if there else tmp_path / 'none.onnx')
    assert process.stdout is not None
    said = ''
    while ('ready: ' if there else 'no model file') not in said:
        said += process.stdout.readline()
        assert process.poll() is None, said
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=10)
    assert process.returncode == 0, said + rest
    assert 'Traceback' not in said + rest
    assert '[robot.own]: stopped: 0 pairs' in rest
