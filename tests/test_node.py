"""The node on a real ROS 2 graph: it runs in its own process, the cameras in this one."""

from __future__ import annotations

import ast
import os
import time
from pathlib import Path

import numpy as np
import pytest
import tiny_model

pytest.importorskip('rclpy', reason='needs ROS 2 (or its wheels) in this Python')

import rclpy
from ros_checks import (
    PERIOD,
    START,
    assert_balanced,
    assert_clean,
    camera_pair,
    send,
    send_and_wait,
)
from ros_rig import ROOT, Rig, environment, image, pixels_of

from paif_ros.pictures.drawing import overlay, palette
from paif_ros.thermal.agc import Agc, ThermalConfig


def eight_bit(heat: np.ndarray) -> np.ndarray:
    """What the node makes of a thermal frame with thermal.smoothing 0."""
    return Agc().apply(heat, ThermalConfig(smoothing=0.0), 1)


@pytest.fixture(scope='module')
def vga_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.write(tmp_path_factory.mktemp('vga') / 'tiny.onnx', (480, 640))


def test_150_vga_pairs_at_30_hz(vga_model: Path) -> None:
    """The images between the processes arrive, and every output is what the model computes.

    With Fast DDS's defaults 0 to 27 of 150 arrive; with the profile all do on a machine that has
    time for them. A tenth may be lost on a busy one, which no setting can help.
    """
    size, count = (480, 640), 150
    frames = [camera_pair(number, size) for number in range(10)]
    with Rig(vga_model, thermal__smoothing=0.0) as rig:
        due = time.monotonic()
        for number in range(count):
            color, heat = frames[number % 10]
            stamp = START + number * PERIOD
            rig.send(image(color, stamp, 'rgb_optical'), image(heat, stamp + 10**6, 'thermal'))
            due += PERIOD / 1e9
            rig.spin(max(0.0, due - time.monotonic()))
        rig.spin(0.5)
        ending = rig.stop()
        assert_clean(ending)
        assert_balanced(rig)
        assert rig.count('visible.received') >= 0.9 * count
        assert rig.count('thermal.received') >= 0.9 * count
        fused, made = rig.count('pairs.fused'), rig.count('pairs.made')
        assert made >= 0.9 * count
        assert fused + rig.count('pairs.superseded') == made
        assert fused > count // 2, 'this machine is too slow to say anything'
        names = ('fused', 'mask', 'overlay', 'info')
        by_stamp = {name: {str(m.header.stamp): m for m in rig.got[name]} for name in names}
        whole = [stamp for stamp in by_stamp['fused'] if all(stamp in by_stamp[n] for n in names)]
        assert 0.9 * fused <= len(whole) <= fused
        own_info = 0
        for answer, mask, painted, info in (
            tuple(by_stamp[name][stamp] for name in names) for stamp in whole
        ):
            stamp = answer.header.stamp.sec * 10**9 + answer.header.stamp.nanosec
            number, rest = divmod(stamp - START, PERIOD)
            assert rest == 0
            assert answer.header.frame_id == 'rgb_optical'
            assert answer.header == mask.header == painted.header == info.header
            assert (info.height, info.width) == (480, 640)
            own_info += info.k[0] == info.header.stamp.nanosec
            color, heat = frames[number % 10]
            expected = tiny_model.expected(color, eight_bit(heat))
            np.testing.assert_array_equal(pixels_of(answer), expected[0])
            np.testing.assert_array_equal(pixels_of(mask), expected[1])
            drawn = overlay(*expected, palette(tiny_model.CLASSES), 0.5)
            np.testing.assert_array_equal(pixels_of(painted), drawn)
        assert own_info >= 0.9 * len(whole), 'the latest one stands in where one is lost'
        assert (answer.encoding, mask.encoding, painted.encoding) == ('rgb8', 'mono8', 'rgb8')
        assert rig.values()['skew.p50_ms'] == '1.000'
        assert 'ready: tiny test at 640x480' in ending.text


def test_nothing_is_computed_without_subscribers(tiny: Path) -> None:
    with Rig(tiny, listen=()) as rig:
        send_and_wait(rig, range(5), 'pairs.no_subscriber')
        assert rig.got['diagnostics'][-1].status[0].message.startswith(('idle', 'no frames'))
        assert_clean(rig.stop())
        assert_balanced(rig)
        assert rig.count('pairs.no_subscriber') == 5
        assert rig.values()['latency.inference.p50_ms'] == 'nan'


def test_other_sizes_come_back_at_the_rgb_cameras_size(tiny: Path) -> None:
    with Rig(tiny) as rig:
        color = camera_pair(0, (120, 200))[0]  # of another shape than the thermal one: said
        heat = camera_pair(0, (24, 32))[1]
        rig.send(image(color, START, 'rgb'), image(heat, START, 'thermal'))
        rig.until(lambda: all(rig.got[name] for name in ('fused', 'mask', 'overlay', 'info')))
        for name in ('fused', 'mask', 'overlay', 'info'):
            answer = rig.got[name][0]
            assert (answer.height, answer.width) == (120, 200), name
        rig.spin(1.0)
        ending = rig.stop()
        assert_clean(ending)
        assert ending.text.count('stretched to the other') == 1


def test_the_latest_camera_info_stands_in_for_a_missing_one(tiny: Path) -> None:
    with Rig(tiny, listen=('fused', 'info')) as rig:
        color, heat = camera_pair(0)
        rig.visible.publish(image(color, START, 'rgb'))
        rig.thermal.publish(image(heat, START, 'thermal'))
        rig.until(lambda: len(rig.got['fused']) == 1)
        assert not rig.got['info']  # none has come, so none is made up
        send(rig, 1)
        rig.until(lambda: len(rig.got['info']) == 1)
        rig.visible.publish(image(color, START + 2 * PERIOD, 'rgb'))
        rig.thermal.publish(image(heat, START + 2 * PERIOD, 'thermal'))
        rig.until(lambda: len(rig.got['info']) == 2)
        first, second = rig.got['info']
        assert second.header == rig.got['fused'][-1].header
        assert second.k[0] == first.k[0]
        assert_clean(rig.stop())


def test_parameters_of_the_running_node(tiny: Path) -> None:
    from rcl_interfaces.srv import DescribeParameters, SetParameters
    from rclpy.parameter import Parameter

    with Rig(tiny, listen=('overlay',)) as rig:
        client = rig.node.create_client(SetParameters, '/fusion/set_parameters')
        rig.until(client.service_is_ready)

        def change(name: str, value: object) -> tuple[bool, str]:
            request = SetParameters.Request()
            request.parameters = [Parameter(name, value=value).to_parameter_msg()]
            future = client.call_async(request)
            rig.until(future.done)
            result = future.result().results[0]
            return result.successful, result.reason

        accepted, reason = change('overlay.alpha', 2.0)
        assert not accepted
        assert all(part in reason for part in ('overlay.alpha', '2.0', '1.0')), reason
        accepted, reason = change('diagnostics.rate', 2.0)
        assert not accepted
        assert 'read-only' in reason
        accepted, reason = change('classes', 'mine')
        assert not accepted
        accepted, reason = change('thermal.range_min', 70000.0)
        assert not accepted
        assert 'below thermal.range_max' in reason
        assert change('sync.slop', 0.1) == (True, '')
        accepted, reason = change('overlay.alpha', 'much')
        assert not accepted
        assert change('overlay.alpha', 1.0) == (True, '')

        color, heat = camera_pair(0)
        rig.send(image(color, START, 'rgb'), image(heat, START, 'thermal'))
        rig.until(lambda: bool(rig.got['overlay']))
        expected = tiny_model.expected(color, eight_bit(heat))
        drawn = overlay(*expected, palette(tiny_model.CLASSES), 1.0)
        np.testing.assert_array_equal(pixels_of(rig.got['overlay'][0]), drawn)

        client = rig.node.create_client(DescribeParameters, '/fusion/describe_parameters')
        rig.until(client.service_is_ready)
        future = client.call_async(DescribeParameters.Request(names=['overlay.alpha']))
        rig.until(future.done)
        descriptor = future.result().descriptors[0]
        assert 'class colours' in descriptor.description
        assert descriptor.floating_point_range[0].to_value == 1.0
        assert_clean(rig.stop())


def test_no_private_name_of_rclpy_is_reused(tiny: Path) -> None:
    """rclpy.Node has private attributes too: overwriting one breaks it, only much later."""

    from rclpy.lifecycle import LifecycleNode

    tree = ast.parse((ROOT / 'paif_ros' / 'node.py').read_text('utf-8'))
    kind = next(
        item for item in tree.body if isinstance(item, ast.ClassDef) and item.name == 'FusionNode'
    )
    ours = {item.name for item in kind.body if isinstance(item, ast.FunctionDef)} - {'__init__'}
    ours -= {f'on_{step}' for step in ('configure', 'activate', 'deactivate', 'cleanup')}
    for item in ast.walk(kind):
        if isinstance(item, ast.Attribute) and isinstance(item.ctx, ast.Store):
            ours.add(item.attr)
    context = rclpy.context.Context()
    rclpy.init(context=context)
    plain = LifecycleNode('plain', context=context)
    theirs = set(dir(plain))
    plain.destroy_node()
    rclpy.shutdown(context=context)
    assert '_worker' in ours
    assert not {name for name in ours & theirs if name.startswith('_')}


def test_overlay_work_needs_a_subscriber(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The node in this process, to see what it calls."""

    from rclpy.executors import SingleThreadedExecutor
    from sensor_msgs.msg import Image

    from paif_ros.node import FusionNode

    os.environ.update(environment())
    drawn = []

    def counted(*arguments: object, **options: object) -> np.ndarray:
        drawn.append(arguments)
        return overlay(*arguments, **options)  # type: ignore[arg-type]

    rclpy.init(args=['--ros-args', '-p', f'model_path:={tiny}'])
    node, rig = FusionNode(), rclpy.create_node('rig')
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    executor.add_node(rig)
    try:
        visible = rig.create_publisher(Image, 'color/image_raw', 5)
        thermal = rig.create_publisher(Image, 'thermal/image_raw', 5)
        got: dict[str, list[Image]] = {'mask': [], 'overlay': []}

        def listen(name: str) -> None:
            rig.create_subscription(Image, f'/fusion/segmentation/{name}', got[name].append, 5)
            spin(0.5)

        def spin(seconds: float) -> None:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                executor.spin_once(timeout_sec=0.05)

        def play(numbers: range) -> None:
            """Send pairs, each when the one before has come back."""
            for number in numbers:
                color, heat = camera_pair(number)
                before, end = len(got['mask']), time.monotonic() + 10
                visible.publish(image(color, START + number * PERIOD, 'rgb'))
                thermal.publish(image(heat, START + number * PERIOD, 'thermal'))
                while len(got['mask']) == before and time.monotonic() < end:
                    spin(0.05)
            spin(0.3)

        listen('mask')
        end = time.monotonic() + 10
        while visible.get_subscription_count() + thermal.get_subscription_count() < 2:
            assert time.monotonic() < end
            spin(0.05)
        spin(0.3)
        monkeypatch.setattr('paif_ros.fusion.results.overlay', counted)
        play(range(3))
        assert (len(got['mask']), len(drawn)) == (3, 0)
        listen('overlay')
        play(range(3, 6))
        assert (len(got['mask']), len(got['overlay']), len(drawn)) == (6, 3, 3)
    finally:
        assert node.stop()
        executor.shutdown()
        node.destroy_node()
        rig.destroy_node()
        rclpy.shutdown()
