"""Pairs of pictures from the topics of running cameras. The only part here that needs ROS."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from paif_ros.errors import ImageFormatError
from paif_ros.images.messages import stamp_of
from paif_ros.monitoring.accounting import Source
from paif_ros.registration.alignment.refusal import InputError
from paif_ros.registration.alignment.scenes import (
    Collector,
    Scenes,
    decode,
    info_topic,
    read_lens,
)
from paif_ros.registration.intrinsics import Intrinsics

_NODE = 'calibrate'


def check_topic(option: str, topic: str) -> None:
    """Refuse a topic that rclpy does not take. Without rclpy there is nothing to ask.

    Args:
        option: that it was given by.
        topic: its name, relative or absolute.

    Raises:
        InputError: it is no name of a topic.
    """
    try:
        from rclpy.exceptions import NameValidationException
        from rclpy.expand_topic_name import expand_topic_name
        from rclpy.validate_full_topic_name import validate_full_topic_name
    except ImportError:
        return
    try:
        for name in (topic, info_topic(topic)):
            validate_full_topic_name(expand_topic_name(name, _NODE, '/'))
    except (NameValidationException, RuntimeError, ValueError) as err:
        expected = f'a name such as camera/image_raw ({_reason(err)})'
        raise InputError(option, topic, expected) from err


def from_topics(
    count: int,
    *,
    color_topic: str,
    thermal_topic: str,
    slop: float,
    thermal_offset: float,
    interval: float,
    timeout: float,
    ros_args: list[str],
) -> Scenes:
    """Take pairs from live topics.

    Args:
        count: how many pairs.
        color_topic: Image of the RGB camera, CompressedImage where it ends in /compressed.
        thermal_topic: the same of the thermal camera.
        slop: largest difference of a pair's stamps, seconds.
        thermal_offset: seconds added to thermal stamps.
        interval: seconds between the pairs that are taken, so that scenes differ.
        timeout: seconds to wait for the next pair.
        ros_args: for rclpy, such as ['--ros-args', '-r', 'a:=b'].

    Raises:
        InputError: ROS 2 is not there, or no pair came in time; it says what came.
    """
    try:
        import rclpy
        from rclpy.signals import SignalHandlerOptions
    except ImportError as err:
        raise InputError('--live', 'without rclpy', 'a sourced ROS 2, or --bag') from err
    context = rclpy.Context()
    try:
        # Python's own handling of Ctrl-C ends the wait; rclpy's would end the context under it.
        rclpy.init(args=ros_args, context=context, signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as err:
        raise InputError(
            '--ros-args', ' '.join(ros_args), f'what ROS 2 reads ({_reason(err)})'
        ) from err
    try:
        node = rclpy.create_node(_NODE, context=context)
        taker = _Taker(node, color_topic, thermal_topic, Collector(slop, thermal_offset), interval)
        executor = rclpy.executors.SingleThreadedExecutor(context=context)
        executor.add_node(node)
        try:
            _take(taker, executor, count, timeout)
        finally:
            executor.shutdown()
            node.destroy_node()
    finally:
        context.try_shutdown()
    return taker.scenes()


def _reason(err: Exception) -> str:
    """Return what rclpy says, in one line and without the place in its source."""
    return ' '.join(str(err).split()).split(', at /', maxsplit=1)[0]


class _Taker:
    """Subscribes to both cameras, pairs and decodes what comes."""

    def __init__(
        self, node: Any, color: str, thermal: str, collector: Collector, interval: float
    ) -> None:
        from rclpy.qos import qos_profile_sensor_data
        from sensor_msgs.msg import CameraInfo, CompressedImage, Image

        self.pairs: list[tuple[Any, Any]] = []
        self.refused = ''  # the last picture that could not be read
        self._collector = collector
        self._interval = interval
        self._next = 0.0
        self._lenses: dict[Source, Intrinsics | None] = dict.fromkeys(Source)
        self._topics = (node.resolve_topic_name(color), node.resolve_topic_name(thermal))
        for source, topic in ((Source.VISIBLE, color), (Source.THERMAL, thermal)):
            kind = CompressedImage if topic.endswith('/compressed') else Image
            node.create_subscription(
                kind, topic, partial(self._take, source), qos_profile_sensor_data
            )
            node.create_subscription(
                CameraInfo, info_topic(topic), partial(self._learn, source),
                qos_profile_sensor_data,
            )  # fmt: skip

    def _learn(self, source: Source, info: Any) -> None:
        if self._lenses[source] is None:
            self._lenses[source] = read_lens(info)

    def _take(self, source: Source, message: Any) -> None:
        made = self._collector.push(source, stamp_of(message), message)
        new, self._collector.pairs = self._collector.pairs[-made:] if made else [], []
        if not new or time.monotonic() < self._next:
            return
        try:
            visible, thermal = new[-1]
            self.pairs.append((decode(Source.VISIBLE, visible), decode(Source.THERMAL, thermal)))
        except ImageFormatError as err:
            self.refused = str(err)
            return
        self._next = time.monotonic() + self._interval

    def words(self) -> str:
        """Say what came of what was asked for."""
        received = self._collector.received
        if self.refused:
            return self.refused
        if all(received.values()):
            return self._collector.words()
        return (
            f'{received[Source.VISIBLE]} frames on {self._topics[0]}, '
            f'{received[Source.THERMAL]} on {self._topics[1]}'
        )

    def scenes(self) -> Scenes:
        """Return what was taken."""
        return Scenes(
            ' and '.join(self._topics),
            self.pairs,
            self._lenses[Source.VISIBLE],
            self._lenses[Source.THERMAL],
        )


def _take(taker: _Taker, executor: Any, count: int, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while len(taker.pairs) < count:
        before = len(taker.pairs)
        executor.spin_once(timeout_sec=0.1)
        if len(taker.pairs) > before:
            print(f'pair {len(taker.pairs)} of {count}', flush=True)
            deadline = time.monotonic() + timeout
        if time.monotonic() > deadline:
            raise InputError(
                '--live',
                f'{len(taker.pairs)} of {count} pairs in time; {taker.words()}',
                'running cameras on --color-topic and --thermal-topic, paired within --slop; if '
                'frames are lost, set the Fast DDS profile of the README in this shell too',
            )
