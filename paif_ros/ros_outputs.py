"""The node's output topics, and the camera_info that belongs to each picture."""

from __future__ import annotations

import copy
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rclpy.event_handler import PublisherEventCallbacks
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from paif_ros.accounting import Source
from paif_ros.camera_info import scale_camera_info
from paif_ros.codec import pack
from paif_ros.compressed import encode
from paif_ros.contract import ClassLabel
from paif_ros.jobs import Job
from paif_ros.labels import label_info_message
from paif_ros.notices import Level, Notices
from paif_ros.parameters import Parameters
from paif_ros.pipeline import Infos
from paif_ros.results import Result, Wanted
from paif_ros.ros_qos import Overrides, name_of, words

INFOS_KEPT = 64  # camera_info messages that wait for their picture, two seconds at 30 Hz
LABELS = '~/segmentation/label_info'
FUSED_INFO = '~/fused/camera_info'


@dataclass(frozen=True)
class Topic:
    """One picture of a `Result` and the topic it goes to.

    Attributes:
        name: of the topic.
        encoding: of the picture.
        compressed: 'jpeg' or 'png' where NAME/compressed is offered too, else empty. PNG where a
            changed pixel would be another class.
    """

    name: str
    encoding: str
    compressed: str = ''


PICTURES = {
    'fused': Topic('~/fused/image', 'rgb8', 'jpeg'),
    'mask': Topic('~/segmentation/mask', 'mono8', 'png'),
    'color_mask': Topic('~/segmentation/color_mask', 'rgb8', 'png'),
    'overlay': Topic('~/segmentation/overlay', 'rgb8', 'jpeg'),
    'confidence': Topic('~/segmentation/confidence', 'mono8'),
    'thermal': Topic('~/thermal/image', 'mono8', 'jpeg'),
    'validity': Topic('~/validity', 'mono8'),
}

Outgoing = tuple[Any, Any]  # a publisher and a message for it


class CameraInfos:
    """The last camera_info messages of a camera by stamp. One thread adds, another one finds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._infos: OrderedDict[tuple[int, int], CameraInfo] = OrderedDict()

    def add(self, info: CameraInfo) -> None:
        """Keep a message, and forget the oldest one past `INFOS_KEPT`."""
        stamp = info.header.stamp
        with self._lock:
            self._infos[stamp.sec, stamp.nanosec] = info
            self._infos.move_to_end((stamp.sec, stamp.nanosec))
            if len(self._infos) > INFOS_KEPT:
                self._infos.popitem(last=False)

    def find(self, header: Any) -> CameraInfo | None:
        """Return the camera_info of a picture with the picture's header, or None without any.

        Args:
            header: the picture's. Where no camera_info has its stamp, the latest one counts.
        """
        with self._lock:
            if not self._infos:
                return None
            latest = self._infos[next(reversed(self._infos))]
            found = self._infos.get((header.stamp.sec, header.stamp.nanosec), latest)
        info = copy.copy(found)
        info.header = header
        return info


class OutputTopics:
    """The node's publishers, and the messages made for them. What nobody listens to is not made.

    Reliable, so that rviz and `ros2 topic echo` see them without settings.

    Args:
        node: the node that owns them.
        parameters: gives the present values.
        notices: says which subscriber's QoS does not fit.
    """

    def __init__(
        self, node: LifecycleNode, parameters: Callable[[], Parameters], notices: Notices
    ) -> None:
        self._node = node
        self._parameters = parameters
        self._notices = notices
        self._infos = {source: CameraInfos() for source in Source}
        self._depth = parameters().output.queue_size
        self._images = {
            picture: self._create(Image, topic.name) for picture, topic in PICTURES.items()
        }
        self._compressed = {
            picture: self._create(CompressedImage, f'{topic.name}/compressed')
            for picture, topic in PICTURES.items()
            if topic.compressed
        }
        self._info = self._create(CameraInfo, FUSED_INFO)
        self._labels: Any = None

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
        self._labels = self._node.create_publisher(type(message), LABELS, profile)
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
        frames = {Source.VISIBLE: job.visible, Source.THERMAL: job.thermal}
        found = {
            source.value: self._infos[source].find(frame.payload.message.header)
            for source, frame in frames.items()
            if frame is not None
        }
        return Infos(**found)

    def pack(self, job: Job, result: Result) -> list[Outgoing]:
        """Make the messages of a result. All carry the reference frame's header unchanged."""
        header = job.reference.payload.message.header
        outgoing: list[Outgoing] = []
        for picture, topic in PICTURES.items():
            pixels = getattr(result, picture)
            if pixels is None:
                continue
            if self._images[picture].get_subscription_count():
                image = Image(header=header)
                pack(image, pixels, topic.encoding)
                outgoing.append((self._images[picture], image))
            if picture in self._compressed and self._compressed[picture].get_subscription_count():
                quality = self._parameters().output.jpeg_quality
                kind, data = encode(pixels, topic.encoding, topic.compressed, quality)
                small = CompressedImage(header=header, format=kind)
                small.data = data
                outgoing.append((self._compressed[picture], small))
        source = Source.THERMAL if job.visible is None else Source.VISIBLE
        # Looked for only now: drivers send it after the picture.
        info = self._infos[source].find(header)
        if info is not None and self._info.get_subscription_count():
            height, width = result.size
            outgoing.append((self._info, scale_camera_info(info, width, height)))
        return outgoing

    def send(self, packed: list[Outgoing]) -> None:
        """Publish them."""
        for publisher, message in packed:
            publisher.publish(message)

    def _create(self, kind: type, name: str) -> Any:
        topic = self._node.resolve_topic_name(name)
        profile = QoSProfile(depth=self._depth, reliability=ReliabilityPolicy.RELIABLE)
        profile = Overrides(self._node, topic, 'publisher').apply(profile)

        def say(_: Any) -> None:
            asked = self._node.get_subscriptions_info_by_topic(topic)
            theirs = '; '.join(
                f'{name_of(info)} asks for {words(info.qos_profile)}' for info in asked
            )
            self._notices.now_and_then(
                Level.WARN,
                f'qos.{topic}',
                f'a subscriber of {topic} gets nothing, its QoS does not fit: this node offers '
                f'{words(profile)}, {theirs or "the subscriber is gone already"}. Change the '
                f'subscriber, or the qos_overrides.{topic}.publisher.* parameters',
            )

        return self._node.create_lifecycle_publisher(
            kind, name, profile, event_callbacks=PublisherEventCallbacks(incompatible_qos=say)
        )
