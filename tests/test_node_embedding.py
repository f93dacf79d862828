"""The node in programs of others: odd parameters, odd executors, odd moments."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2 (or its wheels) in this Python')

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.context import Context
from rclpy.executors import MultiThreadedExecutor, SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from ros_checks import camera_pair
from ros_rig import image
from sensor_msgs.msg import Image

from paif_ros.errors import ParameterError
from paif_ros.fusion.runner import Runner
from paif_ros.node import FusionNode

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


def make(context: Context, values: dict[str, object], *arguments: str) -> FusionNode:
    overrides = [Parameter(name, value=value) for name, value in values.items()]
    return FusionNode(
        context=context,
        parameter_overrides=overrides,
        cli_args=['--ros-args', *arguments] if arguments else None,
    )


def quiet(tiny: Path, **values: object) -> dict[str, object]:
    return {'model_path': str(tiny), 'autostart': False, 'engine.threads': 1, **values}


def said_by(node: FusionNode) -> list[str]:
    said: list[str] = []
    node._notices._write = lambda level, text: said.append(text)
    return said


def endpoints(node: FusionNode) -> int:
    return len(list(node.publishers)) + len(list(node.subscriptions))


def test_transitions_while_other_threads_spin(tiny: Path, context: Context) -> None:
    """rclpy's executors break where an entity with event handlers goes while a thread waits."""
    node = make(context, quiet(tiny, autostart=True))
    executor = MultiThreadedExecutor(3, context=context)
    executor.add_node(node)
    broken: list[BaseException] = []

    def spin() -> None:
        try:
            executor.spin()
        except BaseException as err:
            broken.append(err)

    spinning = threading.Thread(target=spin, daemon=True)
    spinning.start()
    other = rclpy.create_node('cameras', context=context)
    mine = SingleThreadedExecutor(context=context)
    mine.add_node(other)
    senders = [
        other.create_publisher(Image, f'{name}/image_raw', qos_profile_sensor_data)
        for name in ('color', 'thermal')
    ]
    client = other.create_client(ChangeState, '/fusion/change_state')
    assert client.wait_for_service(10)
    end = time.monotonic() + 20
    while node._state != 'active':
        assert time.monotonic() < end
        time.sleep(0.01)
    steps = (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_ACTIVATE)
    for number in range(300):
        for sender, pixels in zip(senders, camera_pair(number % 8), strict=True):
            sender.publish(image(pixels, time.time_ns(), 'camera'))
        future = client.call_async(
            ChangeState.Request(transition=Transition(id=steps[number % 2]))
        )
        mine.spin_until_future_complete(future, timeout_sec=10)
        assert not broken, broken
        assert future.done(), number
        assert future.result().success, number
    executor.shutdown(timeout_sec=5)
    spinning.join(5)
    node.destroy_node()
    other.destroy_node()
    assert not broken


def test_a_worker_that_ends_by_a_bug_is_told(
    tiny: Path, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so, deactivates itself, and works again after cleanup and configure."""
    fast = {'engine.overlap': 'always', 'diagnostics.rate': 20.0, 'autostart': True}
    node = make(context, quiet(tiny, **fast))
    said = said_by(node)
    other = rclpy.create_node('cameras', context=context)
    told: list[DiagnosticStatus] = []
    results: list[Image] = []
    other.create_subscription(
        DiagnosticArray, '/diagnostics', lambda message: told.append(message.status[0]), 10
    )
    other.create_subscription(Image, '/fusion/segmentation/mask', results.append, 10)
    senders = [
        other.create_publisher(Image, f'{name}/image_raw', qos_profile_sensor_data)
        for name in ('color', 'thermal')
    ]
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    executor.add_node(other)

    def send_until(condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < end, said
            for sender, pixels in zip(senders, camera_pair(0), strict=True):
                sender.publish(image(pixels, time.time_ns(), 'camera'))
            for _ in range(10):
                executor.spin_once(timeout_sec=0.01)

    send_until(lambda: bool(results))
    with monkeypatch.context() as bug:
        bug.setattr(Runner, 'prepare', lambda *_: {}['nobody thought of this'])
        send_until(lambda: node._state == 'inactive' and told[-1].message.startswith('inactive'))
    why = "the thread prepare has ended by KeyError: 'nobody thought of this'"
    assert told[-1].level == DiagnosticStatus.ERROR
    assert told[-1].message == f'inactive: deactivated itself, as {why}'
    assert any(status.message.startswith(f'nothing is fused: {why}') for status in told)
    values = {item.key: item.value for item in told[-1].values}
    assert values['engine.deaths'] == '1'
    assert int(values['pairs.engine_error']) >= 1
    assert values['pairs.pending'] == '0'
    assert any('please report it' in text and 'Traceback' in text for text in said)
    assert 'ros2 lifecycle set /fusion cleanup' in said[-1]
    assert node.trigger_activate() == FAILURE
    assert 'cleanup' in said[-1]
    for transition in ('cleanup', 'configure', 'activate'):
        assert getattr(node, f'trigger_{transition}')() == SUCCESS
    results.clear()
    send_until(lambda: bool(results))
    executor.shutdown()
    node.destroy_node()
    other.destroy_node()


@pytest.mark.parametrize(
    ('override', 'step'),
    [
        ('qos_overrides./thermal/image_raw.subscription.reliability', 'activate'),
        ('qos_overrides./fusion/segmentation/mask.publisher.reliability', 'configure'),
    ],
)
def test_a_step_that_fails_leaves_nothing(
    tiny: Path, context: Context, override: str, step: str
) -> None:
    node = make(context, quiet(tiny, **{override: 'foo'}))
    said = said_by(node)
    if step == 'activate':
        assert node.trigger_configure() == SUCCESS
    before = endpoints(node)
    for _ in range(3):
        assert getattr(node, f'trigger_{step}')() == FAILURE
        assert 'one of reliable, best_effort' in said[-1]
        assert endpoints(node) == before
    assert not node._outputs or not any(p.is_activated for p in node._outputs._images.values())
    node.destroy_node()


def test_what_a_running_node_dumps_starts_another(tiny: Path, context: Context) -> None:
    """As `ros2 param dump` and `--params-file` do; nothing unset must come back as a value."""
    node = make(context, quiet(tiny, **{'qos_overrides./color/image_raw.subscription.depth': 7}))
    assert node.trigger_configure() == SUCCESS
    assert node.trigger_activate() == SUCCESS
    dumped = {
        name: parameter.value
        for name, parameter in node.get_parameters_by_prefix('').items()
        if name != 'use_sim_time'
    }
    node.destroy_node()
    assert dumped['qos_overrides./color/image_raw.subscription.depth'] == 7
    assert None not in dumped.values()
    assert 'person' in dumped['classes']
    again = make(context, {**dumped, 'classes': 'of another model'})
    assert again.trigger_configure() == SUCCESS
    assert 'person' in again.get_parameter('classes').value, 'only the node says that'
    assert again.trigger_activate() == SUCCESS
    again.destroy_node()


def test_a_misspelled_parameter_is_named(
    tiny: Path, context: Context, capfd: pytest.CaptureFixture[str]
) -> None:
    node = make(context, quiet(tiny, **{'sync.slopp': 0.1}))
    node.destroy_node()
    assert 'no parameter of this node: sync.slopp (is it sync.slop?)' in capfd.readouterr().err


def test_a_refused_parameter_leaves_no_node(tiny: Path, context: Context) -> None:
    with pytest.raises(ParameterError, match=r'ROS wants a point in it: 1\.0'):
        make(context, quiet(tiny, **{'sync.slop': 1}))
    other = rclpy.create_node('other', context=context)
    gc.collect()  # rclpy's state machine keeps every lifecycle node until then
    time.sleep(0.3)
    assert 'fusion' not in other.get_node_names()
    other.destroy_node()


def test_somebody_who_was_faster_is_in_charge(tiny: Path, context: Context) -> None:
    node = make(context, quiet(tiny, autostart=True))
    said = said_by(node)
    assert node.trigger_configure() == SUCCESS
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    for _ in range(5):
        executor.spin_once(timeout_sec=0.05)
    assert node._state == 'inactive'
    assert not any('could not start' in text for text in said)
    executor.shutdown()
    node.destroy_node()
    assert node.trigger_shutdown() != SUCCESS, 'and a second shutdown is only refused'


def test_who_remaps_an_image_remaps_the_compressed_one(tiny: Path, context: Context) -> None:
    values = quiet(tiny, **{'input.color_transport': 'compressed'})
    rules = ('-r', 'color/image_raw:=/cam/image', '-r', '~/fused/image:=/out/fused')
    node = make(context, values, *rules)
    assert node.trigger_configure() == SUCCESS
    assert node.trigger_activate() == SUCCESS
    topics = {subscription.topic_name for subscription in node.subscriptions}
    assert '/cam/image/compressed' in topics
    topics = {publisher.topic_name for publisher in node.publishers}
    assert {'/out/fused', '/out/fused/compressed'} <= topics
    node.destroy_node()
