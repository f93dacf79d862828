"""The node's output topics, and the camera_info that belongs to each picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rclpy.event_handler import PublisherEventCallbacks
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from paif_ros.contract import ClassLabel
from paif_ros.fusion.jobs import Job
from paif_ros.fusion.outgoing import (
    FUSED_INFO,
    LABELS,
    PICTURES,
    CameraInfos,
    fused_camera_info,
    job_infos,
    picture_messages,
)
from paif_ros.fusion.pipeline import Infos
from paif_ros.fusion.results import Result, Wanted
from paif_ros.monitoring.accounting import Source
from paif_ros.monitoring.notices import Level, Notices
from paif_ros.parameters import Parameters
from paif_ros.pictures.labels import label_info_message
from paif_ros.ros.qos import Overrides, fits, name_of, words

# Without event handlers, see `inputs.QUIET`.
QUIET = PublisherEventCallbacks(use_default_callbacks=False)

Outgoing = tuple[Any, Any]  # a publisher and a message for it


class RosMaker:
    """Makes rclpy's messages."""

    def image(self, header: Any) -> Image:
        """Return an empty sensor_msgs/Image with a header."""
        return Image(header=header)

    def compressed(self, header: Any, kind: str) -> CompressedImage:
        """Return an empty sensor_msgs/CompressedImage with a header and a format."""
        return CompressedImage(header=header, format=kind)


class OutputTopics:
    """The node's publishers, and the messages made for them. What nobody listens to is not made.

    Reliable, so that rviz and `ros2 topic echo` see them without settings.

    Args:
        node: the node that owns them.
        parameters: gives the present values.
        notices: says which subscriber's QoS does not fit.

    Raises:
        ParameterError: an override is not allowed. No publisher was made then.
    """

    def __init__(
        self, node: LifecycleNode, parameters: Callable[[], Parameters], notices: Notices
    ) -> None:
        self._node = node
        self._parameters = parameters
        self._notices = notices
        self._infos = {source: CameraInfos() for source in Source}
        depth = parameters().output.queue_size
        reliable = QoSProfile(depth=depth, reliability=ReliabilityPolicy.RELIABLE)
        # All overrides are read before anything is made: one that is not allowed leaves nothing.
        profiles = {
            topic: Overrides(node, topic, 'publisher').apply(reliable)
            for topic in (
                *(self._topic(picture) for picture in PICTURES),
                *(
                    self._topic(picture, True)
                    for picture in PICTURES
                    if PICTURES[picture].compressed
                ),
                node.resolve_topic_name(FUSED_INFO),
            )
        }
        self._offered: dict[str, QoSProfile] = profiles

        def create(kind: type, topic: str) -> Any:
            return node.create_lifecycle_publisher(
                kind, topic, profiles[topic], event_callbacks=QUIET
            )

        self._images = {picture: create(Image, self._topic(picture)) for picture in PICTURES}
        self._compressed = {
            picture: create(CompressedImage, self._topic(picture, True))
            for picture in PICTURES
            if PICTURES[picture].compressed
        }
        self._info = create(CameraInfo, node.resolve_topic_name(FUSED_INFO))
        self._labels: Any = None

    def _topic(self, picture: str, compressed: bool = False) -> str:
        """Return the full name of a picture's topic; who remaps the raw one remaps both."""
        topic: str = self._node.resolve_topic_name(PICTURES[picture].name)
        return f'{topic}/compressed' if compressed else topic

    def look(self) -> None:
        """Say which subscribers get nothing, because their QoS does not fit."""
        for topic, offered in self._offered.items():
            asked = self._node.get_subscriptions_info_by_topic(topic)
            misfits = [info for info in asked if not fits(offered, info.qos_profile)]
            if not misfits:
                self._notices.forget(f'qos.{topic}')
                continue
            theirs = '; '.join(
                f'{name_of(info)} asks for {words(info.qos_profile)}' for info in misfits
            )
            self._notices.once(
                Level.WARN,
                f'qos.{topic}',
                f'a subscriber of {topic} gets nothing, its QoS does not fit: this node offers '
                f'{words(offered)}, {theirs}. Change the subscriber, or the '
                f'qos_overrides.{topic}.publisher.* parameters',
            )

    def add_info(self, source: Source, info: CameraInfo) -> None:
        """Keep a camera's camera_info for its picture."""
        self._infos[source].add(info)

    def announce(self, classes: Sequence[ClassLabel]) -> None:
        """Publish what the mask's ids mean, once and for all who come later, where possible."""
        message = label_info_message(classes)
        if message is None:
            return
        profile = QoSProfile(
            depth=1,
            reliability=ReliabilityPolicy.RELIABLE,
            durability=DurabilityPolicy.TRANSIENT_LOCAL,
        )
        message.header.stamp = self._node.get_clock().now().to_msg()
        # Not a lifecycle publisher: the labels hold from configure on.
        self._labels = self._node.create_publisher(
            type(message), LABELS, profile, event_callbacks=QUIET
        )
        self._labels.publish(message)

    def close(self) -> None:
        """Destroy the publishers."""
        for publisher in (*self._images.values(), *self._compressed.values(), self._info):
            self._node.destroy_lifecycle_publisher(publisher)
        if self._labels is not None:
            self._node.destroy_publisher(self._labels)

    # ---- the worker's thread

    def wanted(self) -> Wanted | None:
        """Return what has subscribers now, or None where nothing has."""
        heard = {
            picture
            for publishers in (self._images, self._compressed)
            for picture, publisher in publishers.items()
            if publisher.get_subscription_count()
        }
        if not heard and not self._info.get_subscription_count():
            return None
        return Wanted(**dict.fromkeys(heard, True))

    def infos(self, job: Job) -> Infos:
        """Return the camera_info messages that belong to a job's frames."""
        return job_infos(self._infos, job)

    def pack(self, job: Job, result: Result) -> list[Outgoing]:
        """Make the messages of a result. All carry the reference frame's header unchanged."""
        if result.confidence is None:
            self._say_no_confidence()
        quality = self._parameters().output.jpeg_quality
        outgoing: list[Outgoing] = [
            ((self._compressed if compressed else self._images)[picture], message)
            for picture, compressed, message in picture_messages(
                job, result, self._heard, RosMaker(), quality
            )
        ]
        if self._info.get_subscription_count():
            info = fused_camera_info(self._infos, job, result)
            if info is not None:
                outgoing.append((self._info, info))
        return outgoing

    def _heard(self, picture: str, compressed: bool) -> bool:
        publisher = (self._compressed if compressed else self._images)[picture]
        return bool(publisher.get_subscription_count())

    def _say_no_confidence(self) -> None:
        if self._heard('confidence', False):
            self._notices.once(
                Level.INFO,
                'no_confidence',
                f'{self._topic("confidence")} has a subscriber, but this model gives no '
                'confidence: export it again with export/to_onnx.py',
            )

    def send(self, packed: list[Outgoing]) -> None:
        """Publish them."""
        for publisher, message in packed:
            publisher.publish(message)
