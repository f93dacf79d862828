"""The life cycle of the node: its states, what holds in each, and a thousand rounds of it."""

from __future__ import annotations

import gc
import itertools
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import tiny_model

pytest.importorskip('rclpy', reason='needs ROS 2 (or its wheels) in this Python')

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from ros_checks import PERIOD, START, assert_balanced, assert_clean, camera_pair, send
from ros_rig import Rig, image

from paif_ros.node import FusionNode

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE
CYCLES, SETTLED = 1000, 50  # growth is measured after the first 50
MEBIBYTE = 2**20


def make(context: Context, model: Path | str, **parameters: object) -> FusionNode:
    values = {'model_path': str(model), 'autostart': False, 'engine__threads': 1, **parameters}
    overrides = [Parameter(key.replace('__', '.'), value=v) for key, v in values.items()]
    return FusionNode(context=context, parameter_overrides=overrides)


def resident() -> int:
    gc.collect()
    pages = int(Path('/proc/self/statm').read_text().split()[1])
    return pages * os.sysconf('SC_PAGE_SIZE')


def descriptors() -> int:
    return len(os.listdir('/proc/self/fd'))


def test_a_thousand_cycles_leave_nothing_behind(tiny: Path, context: Context) -> None:
    node = make(context, tiny)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    seen: list[tuple[int, int, int]] = []
    for number in range(CYCLES):
        for trigger in ('configure', 'activate', 'deactivate', 'cleanup'):
            assert getattr(node, f'trigger_{trigger}')() == SUCCESS, (number, trigger)
        executor.spin_once(timeout_sec=0)
        if number >= SETTLED - 1:
            seen.append((resident(), threading.active_count(), descriptors()))
    executor.shutdown()
    node.destroy_node()
    memory, threads, files = zip(*seen, strict=True)
    # The least of the last ones against the first settled ones: a leak raises that too.
    assert min(memory[-20:]) - max(memory[:20]) < 5 * MEBIBYTE, memory[:: len(memory) // 20]
    assert max(threads[-20:]) <= max(threads[:20]), threads[:: len(threads) // 20]
    assert max(files[-20:]) <= max(files[:20]), files[:: len(files) // 20]


def test_each_state_has_what_belongs_to_it(tiny: Path, context: Context) -> None:
    node = make(context, tiny)

    def mine() -> tuple[int, int]:
        """How many of our outputs and inputs there are."""
        publishers = [publisher.topic_name for publisher in node.publishers]
        subscriptions = [subscription.topic_name for subscription in node.subscriptions]
        return (
            sum(topic.startswith('/fusion/') for topic in publishers),
            sum(topic.startswith(('/color', '/thermal')) for topic in subscriptions),
        )

    assert mine() == (0, 0)
    assert node.trigger_configure() == SUCCESS
    outputs, inputs = mine()
    assert outputs > 8
    assert inputs == 0
    assert 'person' in node.get_parameter('classes').value
    assert node.trigger_activate() == SUCCESS
    assert mine() == (outputs, 4)
    assert node.trigger_deactivate() == SUCCESS
    assert mine() == (outputs, 0)
    assert node.trigger_activate() == SUCCESS
    assert node.trigger_deactivate() == SUCCESS
    assert node.trigger_cleanup() == SUCCESS
    assert mine() == (0, 0)
    assert not node.has_parameter('classes')
    node.destroy_node()


def test_a_model_is_changed_without_a_new_process(tmp_path: Path, context: Context) -> None:
    """A failed configure says why and leaves the node unconfigured; the next one may succeed."""
    node = make(context, '')
    said: list[str] = []
    node._notices._write = lambda level, text: said.append(text)
    assert node.trigger_configure() == FAILURE
    assert "parameter 'model_path' is ''" in said[-1]
    wrong = tiny_model.write(tmp_path / 'wrong.onnx', metadata={})
    for path, text in (
        (tmp_path / 'none.onnx', 'there is no model file'),
        (wrong, 'no contract version'),
    ):
        node.set_parameters([Parameter('model_path', value=str(path))])
        assert node.trigger_configure() == FAILURE
        assert text in said[-1]
        assert 'stays unconfigured' in said[-1]
    small = tiny_model.write(tmp_path / 'small.onnx', (48, 64))
    large = tiny_model.write(tmp_path / 'large.onnx', (96, 128))
    for path, size in ((small, '64x48'), (large, '128x96')):
        node.set_parameters([Parameter('model_path', value=str(path))])
        assert node.trigger_configure() == SUCCESS
        assert f'at {size}' in said[-1]
        assert node.trigger_cleanup() == SUCCESS
    node.destroy_node()


def test_wrong_transitions_change_nothing(tiny: Path, context: Context) -> None:
    node = make(context, tiny)
    assert node.trigger_activate() != SUCCESS
    assert node.trigger_configure() == SUCCESS
    assert node.trigger_configure() != SUCCESS
    assert node.trigger_activate() == SUCCESS
    assert node.trigger_cleanup() != SUCCESS
    assert node.trigger_shutdown() == SUCCESS
    assert node.trigger_configure() != SUCCESS
    node.destroy_node()


def test_a_broken_calibration_stops_configure(
    tiny: Path, tmp_path: Path, context: Context
) -> None:
    file = tmp_path / 'calibration.yaml'
    file.write_text('homography: 3')
    node = make(context, tiny, registration__mode='homography', registration__file=str(file))
    said: list[str] = []
    node._notices._write = lambda level, text: said.append(text)
    assert node.trigger_configure() == FAILURE
    assert 'calibration' in said[-1]
    node.destroy_node()


def test_what_nobody_thought_of_ends_unconfigured_with_the_reason(
    tiny: Path, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = make(context, tiny)
    said: list[str] = []
    node._notices._write = lambda level, text: said.append(text)

    def broken(*_: object) -> Any:
        raise RuntimeError('a bug')

    assert node.trigger_configure() == SUCCESS
    with monkeypatch.context() as patch:
        patch.setattr('paif_ros.node.Inputs', broken)
        node.trigger_activate()
    assert said[-1] == 'activate broke: RuntimeError: a bug'
    assert node.trigger_configure() == SUCCESS, 'it is unconfigured, and works again'
    assert node.trigger_activate() == SUCCESS
    node.destroy_node()


def test_a_lifecycle_manager_starts_it(tiny: Path) -> None:
    """By the services, as `ros2 lifecycle set` does; nothing is received while it is inactive."""
    from lifecycle_msgs.msg import Transition
    from lifecycle_msgs.srv import ChangeState, GetState

    with Rig(tiny, listen=('mask',), autostart='false', wait='unconfigured') as rig:
        change = rig.node.create_client(ChangeState, '/fusion/change_state')
        ask = rig.node.create_client(GetState, '/fusion/get_state')
        rig.until(lambda: change.service_is_ready() and ask.service_is_ready())

        def go(number: int) -> bool:
            future = change.call_async(ChangeState.Request(transition=Transition(id=number)))
            rig.until(future.done)
            return bool(future.result().success)

        def state() -> str:
            future = ask.call_async(GetState.Request())
            rig.until(future.done)
            return str(future.result().current_state.label)

        numbers = itertools.count()

        def play(count: int) -> None:
            for number in itertools.islice(numbers, count):
                color, heat = camera_pair(number)
                stamp = START + number * PERIOD
                rig.send(image(color, stamp, 'rgb'), image(heat, stamp, 'thermal'))
                rig.spin(0.05)

        def play_until(masks: int) -> None:
            """The first images after an activation may be lost: topics are found one by one."""
            end = time.monotonic() + 10
            while len(rig.got['mask']) < masks:
                assert time.monotonic() < end
                play(1)

        assert state() == 'unconfigured'
        assert not go(Transition.TRANSITION_ACTIVATE)
        assert go(Transition.TRANSITION_CONFIGURE)
        assert state() == 'inactive'
        play(5)
        rig.spin(0.3)
        assert not rig.got['mask']
        assert go(Transition.TRANSITION_ACTIVATE)
        play_until(5)
        assert go(Transition.TRANSITION_DEACTIVATE)
        rig.spin(0.3)
        received = len(rig.got['mask'])
        play(5)
        rig.spin(0.3)
        assert len(rig.got['mask']) == received
        assert go(Transition.TRANSITION_ACTIVATE)
        play_until(received + 5)
        assert go(Transition.TRANSITION_ACTIVE_SHUTDOWN)
        assert state() == 'finalized'
        ending = rig.stop()
        assert_clean(ending)
        assert_balanced(rig)


def test_deactivated_in_the_middle_of_an_inference(tmp_path: Path, context: Context) -> None:
    model = tiny_model.write(tmp_path / 'slow.onnx', (480, 640), work=100)
    node = make(context, model, diagnostics__rate=0.1)
    rig = rclpy.create_node('rig', context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    executor.add_node(rig)
    from sensor_msgs.msg import Image

    got: list[Image] = []
    rig.create_subscription(Image, '/fusion/segmentation/mask', got.append, 5)
    senders = [
        rig.create_publisher(Image, name, 5) for name in ('color/image_raw', 'thermal/image_raw')
    ]
    assert node.trigger_configure() == SUCCESS
    assert node.trigger_activate() == SUCCESS
    end = time.monotonic() + 10
    while node._statistics.snapshot().pairs < 2 and time.monotonic() < end:
        number = round((time.monotonic() - end + 20) * 1000)
        for sender, pixels in zip(senders, camera_pair(number), strict=True):
            sender.publish(image(pixels, START + number * 10**6, 'camera'))
        executor.spin_once(timeout_sec=0.02)
    assert node.trigger_deactivate() == SUCCESS
    counted = node._statistics.snapshot()
    assert not sum(counted.pending.values())
    assert counted.frames.balanced({})
    assert counted.pairs >= 2
    assert node.trigger_activate() == SUCCESS, 'and it goes on'
    assert node.stop() in (True, False)
    executor.shutdown()
    rig.destroy_node()
    node.destroy_node()


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_model_loads(tmp_path: Path, number: int) -> None:
    """The first run belongs to loading, and this model's takes many seconds."""
    model = tiny_model.write(tmp_path / 'slow.onnx', (480, 640), work=1500)
    with Rig(model, wait='configuring') as rig:
        rig.spin(0.5)
        ending = rig.stop(number)
        assert_clean(ending)
        assert 'told to stop' in ending.text


def test_pairs_that_arrive_before_it_is_active_cost_nothing(tiny: Path) -> None:
    with Rig(tiny, autostart='false', wait='unconfigured') as rig:
        send(rig, 0)
        rig.spin(0.3)
        assert rig.count('visible.received') == 0
        assert_clean(rig.stop())
