"""A ROS node of ours that listens to a fusion node, in a process of its own."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from paif_ros.errors import PaifError
from paif_ros.view.profile import set_profile


class StartError(PaifError):
    """A program that looks at a node can't start.

    Attributes:
        what: could not be had, such as 'port 8030'.
        reason: why, and what to do.
    """

    def __init__(self, what: str, reason: str) -> None:
        self.what = what
        self.reason = reason
        super().__init__(f'{what}: {reason}')


def stop_event() -> threading.Event:
    """Return an event that SIGINT and SIGTERM set from now on."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop


@contextmanager
def listening(name: str, ros_args: list[str]) -> Iterator[Any]:
    """Start ROS with a node, and end both. Signals are left to the caller.

    Args:
        name: of the node.
        ros_args: for rclpy, such as ['--ros-args', '-r', 'a:=b'].

    Yields:
        The rclpy node.

    Raises:
        StartError: ROS 2 is not there, or does not take the arguments.
    """
    try:
        import rclpy
        from rclpy.signals import SignalHandlerOptions
    except ImportError as err:
        raise StartError(
            'rclpy', 'not in this Python; source a ROS 2 first, as /opt/ros/jazzy/setup.bash'
        ) from err
    set_profile()
    context = rclpy.Context()
    try:
        rclpy.init(args=ros_args, context=context, signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as err:
        raise StartError(' '.join(ros_args), ' '.join(str(err).split())) from err
    try:
        node = rclpy.create_node(name, context=context)
        try:
            yield node
        finally:
            node.destroy_node()
    finally:
        context.try_shutdown()


def resolve(node: Any, option: str, name: str) -> str:
    """Return the full name of a topic or node.

    Args:
        node: an rclpy node of ours, whose namespace a relative name is in.
        option: that the name was given with.
        name: as it was given.

    Raises:
        StartError: ROS 2 knows no such names.
    """
    from rclpy.exceptions import NameValidationException

    try:
        return str(node.resolve_topic_name(name))
    except (NameValidationException, RuntimeError, ValueError) as err:
        raise StartError(option, ' '.join(str(err).split())) from err


def spin(node: Any, ended: Callable[[], bool], often: Mapping[float, Callable[[], None]]) -> None:
    """Receive until told to stop.

    Args:
        node: an rclpy node.
        ended: asked ten times a second.
        often: what to call, by the seconds between two calls. Time goes on while /clock stands.
    """
    from rclpy.clock import Clock, ClockType
    from rclpy.executors import SingleThreadedExecutor

    steady = Clock(clock_type=ClockType.STEADY_TIME)
    for seconds, call in often.items():
        node.create_timer(seconds, call, clock=steady)
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    try:
        while not ended():
            executor.spin_once(timeout_sec=0.1)
    finally:
        executor.shutdown()
