"""The node's subscriptions: matched to what the cameras' drivers offer, and watched."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from paif_ros.accounting import Source
from paif_ros.notices import Level, Notices
from paif_ros.parameters import InputParameters
from paif_ros.ros_qos import Overrides, matching, name_of, words

IMAGES = {Source.VISIBLE: 'color/image_raw', Source.THERMAL: 'thermal/image_raw'}
# The value of each policy that a publisher may offer and a subscription can't ask more than.
WEAKER = {
    'reliability': int(ReliabilityPolicy.BEST_EFFORT),
    'durability': int(DurabilityPolicy.VOLATILE),
}
INFOS = {Source.VISIBLE: 'color/camera_info', Source.THERMAL: 'thermal/camera_info'}


class ImageInput:
    """The subscription to one camera's images.

    It is made anew when what the publishers offer calls for another profile.

    Args:
        node: owns it.
        source: the camera.
        compressed: whether it sends CompressedImage.
        receive: takes each message.
        notices: says what does not fit.
    """

    def __init__(
        self,
        node: Node,
        source: Source,
        compressed: bool,
        receive: Callable[[Any], None],
        notices: Notices,
    ) -> None:
        self._node = node
        self._source = source
        self._receive = receive
        self._notices = notices
        self._kind = CompressedImage if compressed else Image
        self._name = IMAGES[source] + ('/compressed' if compressed else '')
        self.topic: str = node.resolve_topic_name(self._name)
        self._overrides = Overrides(node, self.topic, 'subscription')
        self.publishers = 0
        self.incompatible = ''  # what does not fit, in words, empty where all does
        self.lost = 0  # messages that the middleware says it lost
        self._offered: list[QoSProfile] = []
        self._subscribe()

    @property
    def profile(self) -> str:
        """The profile in use, in words."""
        return words(self._profile)

    def look(self) -> None:
        """Match the subscription to the publishers that are there now. Takes microseconds."""
        publishers = self._node.get_publishers_info_by_topic(self.topic)
        self._offered = [info.qos_profile for info in publishers]
        self._say_publishers([name_of(publisher) for publisher in publishers])
        wanted = self._overrides.apply(matching(self._offered))
        if publishers and wanted.reliability != self._profile.reliability:
            before = self.profile
            self.close()
            self._subscribe()
            self._notices.say(
                Level.INFO,
                f'{self.topic}: subscribed with {self.profile}, as offered; before: {before}',
            )
        if self.incompatible and not self._misfits():
            self.incompatible = ''
            self._notices.forget(f'qos.{self._source}')

    def close(self) -> None:
        """End the subscription."""
        self._node.destroy_subscription(self._subscription)

    def _subscribe(self) -> None:
        self._profile = self._overrides.apply(matching(self._offered))
        self._subscription = self._node.create_subscription(
            self._kind,
            self._name,
            self._receive,
            self._profile,
            event_callbacks=SubscriptionEventCallbacks(
                incompatible_qos=lambda _: self._say_incompatible(),
                message_lost=self._count_lost,
            ),
        )

    def _misfits(self) -> list[QoSProfile]:
        """The offered profiles from which nothing can be received with ours."""
        return [
            offered
            for offered in self._offered
            if any(
                int(getattr(offered, policy)) == WEAKER[policy]
                and int(getattr(self._profile, policy)) != WEAKER[policy]
                for policy in WEAKER
            )
        ]

    def _say_incompatible(self) -> None:
        self.look()
        misfits = self._misfits()
        if not misfits:
            return  # matched meanwhile
        self.incompatible = (
            f'{self.topic} is offered with {words(misfits[0])}, this node asks for {self.profile}'
        )
        self._notices.once(
            Level.WARN,
            f'qos.{self._source}',
            f'no images from a publisher whose QoS does not fit: {self.incompatible}. Change the '
            f'qos_overrides.{self.topic}.subscription.* parameters, or the publisher',
        )

    def _count_lost(self, event: Any) -> None:
        self.lost += event.total_count_change

    def _say_publishers(self, names: list[str]) -> None:
        before, self.publishers = self.publishers, len(names)
        if len(names) > 1 and len(names) != before:
            self._notices.say(
                Level.WARN,
                f'{len(names)} publishers on {self.topic} ({", ".join(sorted(names))}): their '
                'frames get mixed. Stop all but one, or remap',
            )


class Inputs:
    """All subscriptions of the node while it is active.

    Args:
        node: owns them.
        values: how the images come.
        image: takes an image's camera and message.
        info: takes a camera_info's camera and message.
        notices: says what does not fit.
    """

    def __init__(
        self,
        node: Node,
        values: InputParameters,
        image: Callable[[Source, Any], None],
        info: Callable[[Source, Any], None],
        notices: Notices,
    ) -> None:
        self._node = node
        transport = {
            Source.VISIBLE: values.color_transport,
            Source.THERMAL: values.thermal_transport,
        }
        self.images = {
            source: ImageInput(
                node, source, transport[source] == 'compressed', partial(image, source), notices
            )
            for source in Source
        }
        self._infos = [
            node.create_subscription(
                CameraInfo, topic, partial(info, source), qos_profile_sensor_data
            )
            for source, topic in INFOS.items()
        ]

    def look(self) -> None:
        """Match every subscription to its publishers. To be called once or twice a second."""
        for subscription in self.images.values():
            subscription.look()

    def close(self) -> None:
        """End all subscriptions."""
        for image in self.images.values():
            image.close()
        for info in self._infos:
            self._node.destroy_subscription(info)
