"""The ROS side of the view: it listens to the fusion node's pictures while somebody looks."""

from __future__ import annotations

from collections import deque
from functools import partial
from time import monotonic
from typing import Any

from paif_ros.view.classes import ClassesClient
from paif_ros.view.gallery import MOSAIC, Gallery
from paif_ros.view.pictures import CHOICES, topic_of
from paif_ros.view.status import NodeStatus, PictureStatus, ViewStatus, fusion_statuses

LOOK_SECONDS = 0.2
RATE_SECONDS = 5.0  # that rates are counted over
STALE_SECONDS = 5.0  # after which diagnostics say nothing of the present
MAX_NODES = 100  # names that are kept, whatever is published on /diagnostics


class Graph:
    """Subscribes for browsers, and keeps the node's diagnostics.

    Best effort and one message deep: a reliable subscriber that falls behind would hold up the
    fusion node's publishers, this one can't. Nothing is subscribed that nobody looks at, for the
    fusion node computes what has subscribers.

    Args:
        node: an rclpy node of ours.
        fusion: full name of the fusion node.
        color_topic: full name of the RGB camera's; CompressedImage where it ends in /compressed.
        gallery: takes the pictures.
        compressed: whether to take the node's /compressed topics, from another computer.
    """

    def __init__(
        self, node: Any, fusion: str, color_topic: str, gallery: Gallery, *, compressed: bool
    ) -> None:
        from diagnostic_msgs.msg import DiagnosticArray

        self._node = node
        self.fusion = fusion
        self._gallery = gallery
        self._topics = {
            choice.name: topic_of(choice, fusion, color_topic, compressed) for choice in CHOICES
        }
        self._subscriptions: dict[str, Any] = {}
        self._arrivals: dict[str, deque[float]] = {
            choice.name: deque(maxlen=1000) for choice in CHOICES
        }
        self._publishers = dict.fromkeys(self._topics, 0)
        self._status = NodeStatus(fusion)
        self._status_at: float | None = None
        self._others: dict[str, float] = {}
        self._classes = ClassesClient(node, fusion)
        node.create_subscription(DiagnosticArray, '/diagnostics', self._diagnose, 10)

    def look(self) -> None:
        """Subscribe to what is watched, and to nothing else. Called now and then."""
        watched = self._gallery.watched()
        for name in self._topics:
            if name in watched and name not in self._subscriptions:
                self._subscriptions[name] = self._subscribe(name)
            elif name not in watched and name in self._subscriptions:
                self._node.destroy_subscription(self._subscriptions.pop(name))
                self._gallery.forget(name)
                self._arrivals[name].clear()
        self._publishers = {
            name: self._node.count_publishers(topic) for name, topic in self._topics.items()
        }
        self._classes.look()

    def status(self, clients: int) -> ViewStatus:
        """Return everything that is known. May be called from any thread."""
        now, at = monotonic(), self._status_at
        age = None if at is None else now - at
        others = sorted(
            name for name, seen in self._others.copy().items() if now - seen < STALE_SECONDS
        )
        pictures = [
            PictureStatus(
                name=choice.name,
                title=choice.title,
                topic=self._topics[choice.name],
                publishers=self._publishers[choice.name],
                rate=self._rate(choice.name, now),
                problem=self._problem(choice.name),
            )
            for choice in CHOICES
        ]
        pictures.append(PictureStatus(MOSAIC, 'Mosaic', '', 1, 0.0, ''))
        return ViewStatus(
            self._status, age, tuple(others), tuple(pictures), self._classes.text, clients
        )

    def _subscribe(self, name: str) -> Any:
        from rclpy.qos import QoSProfile, ReliabilityPolicy
        from sensor_msgs.msg import CompressedImage, Image

        topic = self._topics[name]
        kind = CompressedImage if topic.endswith('/compressed') else Image
        profile = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        return self._node.create_subscription(kind, topic, partial(self._take, name), profile)

    def _take(self, name: str, message: Any) -> None:
        self._arrivals[name].append(monotonic())
        self._gallery.put(name, message)

    def _diagnose(self, message: Any) -> None:
        now = monotonic()
        for status in fusion_statuses(message):
            if status.node == self.fusion:
                self._status, self._status_at = status, now
            elif status.node in self._others or len(self._others) < MAX_NODES:
                self._others[status.node] = now

    def _rate(self, name: str, now: float) -> float:
        arrivals = [then for then in tuple(self._arrivals[name]) if now - then < RATE_SECONDS]
        return len(arrivals) / RATE_SECONDS if len(arrivals) > 1 else 0.0

    def _problem(self, name: str) -> str:
        if not self._publishers[name]:
            return f'nothing publishes {self._topics[name]}'
        return self._gallery.problem(name)
