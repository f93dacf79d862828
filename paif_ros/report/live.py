"""Watches a running node for a report, from a process of its own."""

from __future__ import annotations

import platform
from collections.abc import Callable
from functools import partial
from time import monotonic, time
from typing import Any

from paif_ros import __version__
from paif_ros.parameters import specs
from paif_ros.report.of_node import run_of_node
from paif_ros.report.of_replay import parameter_table
from paif_ros.report.page import ReportError
from paif_ros.report.run import Run, Table
from paif_ros.report.watch import MOST_FRAMES, Watch
from paif_ros.report.words import utc
from paif_ros.view.classes import ClassesClient
from paif_ros.view.listening import listening, spin
from paif_ros.view.pictures import CHOICES, topic_of
from paif_ros.view.status import fusion_statuses

LOOK_SECONDS = 0.1
OPEN_END = 60.0  # seconds between key frames at first, where no end is known
ASKED = ('fused', 'overlay', 'thermal', 'rgb')


class Watcher:
    """Listens to a node.

    It subscribes to masks all the time, to other pictures only while a key frame is due, and best
    effort, so that it can't hold up the node's publishers.

    Args:
        node: an rclpy node of ours.
        fusion: full name of the fusion node.
        color_topic: of the RGB camera.
        watch: takes what is heard.
        pictures: whether to listen to pictures at all: who does not leaves the node as it is.
    """

    def __init__(
        self, node: Any, fusion: str, color_topic: str, watch: Watch, pictures: bool
    ) -> None:
        from diagnostic_msgs.msg import DiagnosticArray
        from rcl_interfaces.srv import GetParameters
        from rclpy.qos import QoSProfile, ReliabilityPolicy
        from sensor_msgs.msg import Image

        self.others: set[str] = set()
        self.parameters: dict[str, object] = {}
        self._node, self._fusion, self._watch, self._pictures = node, fusion, watch, pictures
        self._start: float | None = None
        self._qos = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._image = Image
        color = node.resolve_topic_name(color_topic)
        self._topics = {
            choice.name: topic_of(choice, fusion, color, False)
            for choice in CHOICES
            if choice.name in ASKED
        }
        self._subscriptions: list[Any] = []
        self._classes = ClassesClient(node, fusion)
        self._client = node.create_client(GetParameters, f'{fusion}/get_parameters')
        self._request = GetParameters.Request(names=list(specs()))
        self._answer: Any = None
        node.create_subscription(DiagnosticArray, '/diagnostics', self._diagnose, 10)
        if pictures:
            mask = f'{fusion}/segmentation/mask'
            node.create_subscription(Image, mask, self._take_mask, self._qos)

    @property
    def seconds(self) -> float:
        """Since the first diagnostics of the node, 0 before."""
        return 0.0 if self._start is None else monotonic() - self._start

    def look(self) -> None:
        """Subscribe to pictures where a key frame is due. Called now and then."""
        self._classes.look()
        self._watch.classes = self._classes.labels
        self._ask_parameters()
        due = self._pictures and self._start is not None and self._watch.picker.wants(self.seconds)
        if due and not self._subscriptions:
            self._subscriptions = [
                self._node.create_subscription(
                    self._image, topic, partial(self._take, name), self._qos
                )
                for name, topic in self._topics.items()
            ]
        elif not due and self._subscriptions:
            for subscription in self._subscriptions:
                self._node.destroy_subscription(subscription)
            self._subscriptions = []

    def _ask_parameters(self) -> None:
        if self._answer is None:
            if self._client.service_is_ready():
                self._answer = self._client.call_async(self._request)
        elif not self.parameters and self._answer.done() and self._answer.result() is not None:
            from rclpy.parameter import parameter_value_to_python

            values = (parameter_value_to_python(v) for v in self._answer.result().values)
            self.parameters = dict(zip(self._request.names, values, strict=False))

    def _diagnose(self, message: Any) -> None:
        for status in fusion_statuses(message):
            if status.node != self._fusion:
                if len(self.others) < MOST_FRAMES:
                    self.others.add(status.node)
                continue
            if self._start is None:
                self._start = monotonic()
            self._watch.diagnose(self.seconds, status)

    def _take_mask(self, message: Any) -> None:
        if self._start is not None:
            self._watch.mask(self.seconds, message)

    def _take(self, name: str, message: Any) -> None:
        self._watch.picker.add(self.seconds, name, message)


def watch_node(
    name: str,
    color_topic: str,
    seconds: float,
    ros_args: list[str],
    ended: Callable[[], bool],
    *,
    pictures: bool,
    patience: float,
) -> Run:
    """Watch a node, and return what is to be reported.

    Args:
        name: of the node, relative or absolute.
        color_topic: of the RGB camera.
        seconds: to watch it for, 0 until told to end.
        ros_args: for rclpy.
        ended: asked often; True ends the watching.
        pictures: whether to listen to pictures.
        patience: seconds to wait for its first diagnostics.

    Raises:
        ReportError: nothing was heard of the node.
        StartError: ROS 2 can't be had.
    """
    watch = Watch((seconds or OPEN_END * MOST_FRAMES) / MOST_FRAMES)
    began, started = monotonic(), time()
    with listening('paif_report', ros_args) as node:
        fusion = node.resolve_topic_name(name)
        watcher = Watcher(node, fusion, color_topic, watch, pictures)

        def done() -> bool:
            silent = not watch.heard and monotonic() - began > patience
            return ended() or silent or bool(seconds and watcher.seconds > seconds)

        spin(node, done, {LOOK_SECONDS: watcher.look})
        ros = _ros_version()
    if not watch.heard:
        there = ', '.join(sorted(watcher.others))
        cure = f'name one of {there} with --node' if there else 'start it, or set ROS_DOMAIN_ID'
        raise ReportError(f'no diagnostics of {fusion} in {patience:g} s', cure)
    versions = {
        'paif_ros (this report)': __version__, 'python': platform.python_version(), 'ROS 2': ros,
        'machine': platform.machine(),
    }  # fmt: skip
    tables = [Table.of('Versions', versions)]
    if watcher.parameters:
        tables.append(parameter_table(watcher.parameters))
    moment = utc(_iso(started))
    notes = () if pictures else ('No pictures were listened to, so class areas are not known.',)
    return run_of_node(watch, f'{fusion}, watched from {moment}', tables, notes)


def _ros_version() -> str:
    import os
    from importlib.metadata import PackageNotFoundError, version

    try:
        rclpy = f'rclpy {version("rclpy")}'
    except PackageNotFoundError:
        rclpy = ''
    return f'{os.environ.get("ROS_DISTRO", "")} {rclpy}'.strip()


def _iso(seconds: float) -> str:
    from datetime import datetime, timezone

    return datetime.fromtimestamp(seconds, timezone.utc).isoformat()
