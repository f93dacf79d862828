"""The node's subscriptions: matched to what the cameras' drivers offer, and watched."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from paif_ros.cameras.lookout import LOST
from paif_ros.monitoring.accounting import Source
from paif_ros.monitoring.notices import Level, Notices
from paif_ros.parameters import InputParameters
from paif_ros.ros.qos import Overrides, fits, matching, name_of, words

IMAGES = {Source.VISIBLE: 'color/image_raw', Source.THERMAL: 'thermal/image_raw'}
INFOS = {Source.VISIBLE: 'color/camera_info', Source.THERMAL: 'thermal/camera_info'}


# Without event handlers: rclpy's executors break when one is destroyed while another thread waits.
# What events would tell, `look` finds out.
QUIET = SubscriptionEventCallbacks(use_default_callbacks=False)


class ImageInput:
    """The subscription to one camera's images.

    It is made anew when what the publishers offer calls for another profile.

    Args:
        node: owns it.
        source: the camera.
        compressed: whether it sends CompressedImage.
        receive: takes each message.
        notices: says what does not fit.

    Raises:
        ParameterError: an override is not allowed. Nothing was subscribed to then.
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
        # As image_transport does it: who remaps the image remaps the compressed one too.
        self.topic: str = node.resolve_topic_name(IMAGES[source])
        if compressed:
            self.topic += '/compressed'
        self._overrides = Overrides(node, self.topic, 'subscription')
        self._publishers: list[Any] = []
        self._told = 0  # publishers when their number was looked at last
        self.incompatible = ''  # what does not fit, in words, empty where all does

    @property
    def profile(self) -> str:
        """The profile in use, in words."""
        return words(self._profile)

    def open(self) -> None:
        """Subscribe with what suits the publishers that are there now."""
        self._publishers = self._node.get_publishers_info_by_topic(self.topic)
        self._subscribe()

    def look(self) -> None:
        """Match the subscription to the publishers that are there now. Takes microseconds."""
        self._publishers = self._node.get_publishers_info_by_topic(self.topic)
        self._say_publishers()
        wanted = self._overrides.apply(matching(self._offered))
        if self._publishers and wanted.reliability != self._profile.reliability:
            old = self.profile
            self.close()
            self._subscribe()
            self._notices.say(
                Level.INFO,
                f'{self.topic}: subscribed with {self.profile}, as offered; before: {old}',
            )
        self._say_incompatible()

    def why_silent(self) -> str:
        """Say why no images come, as far as that can be known, and what to do."""
        if self.incompatible:
            return f'QoS does not fit: {self.incompatible}'
        if not self._publishers:
            return 'nobody publishes it. Check the camera driver, the topic and ROS_DOMAIN_ID'
        names = ', '.join(sorted({name_of(publisher) for publisher in self._publishers}))
        return f'{names} offers it, and nothing arrives. {LOST}'

    def close(self) -> None:
        """End the subscription."""
        self._node.destroy_subscription(self._subscription)

    @property
    def _offered(self) -> list[QoSProfile]:
        return [publisher.qos_profile for publisher in self._publishers]

    def _subscribe(self) -> None:
        self._profile = self._overrides.apply(matching(self._offered))
        self._subscription = self._node.create_subscription(
            self._kind, self.topic, self._receive, self._profile, event_callbacks=QUIET
        )

    def _say_incompatible(self) -> None:
        misfits = [offered for offered in self._offered if not fits(offered, self._profile)]
        if not misfits:
            self.incompatible = ''
            self._notices.forget(f'qos.{self._source}')
            return
        self.incompatible = (
            f'{self.topic} is offered with {words(misfits[0])}, this node asks for {self.profile}'
        )
        self._notices.once(
            Level.WARN,
            f'qos.{self._source}',
            f'no images from a publisher whose QoS does not fit: {self.incompatible}. Change the '
            f'qos_overrides.{self.topic}.subscription.* parameters, or the publisher',
        )

    def _say_publishers(self) -> None:
        before, self._told = self._told, len(self._publishers)
        if 1 < self._told != before:
            names = ', '.join(sorted(name_of(publisher) for publisher in self._publishers))
            self._notices.say(
                Level.WARN,
                f'{len(self._publishers)} publishers on {self.topic} ({names}): their frames get '
                'mixed. Stop all but one, or remap',
            )


class Inputs:
    """All subscriptions of the node while it is active.

    Args:
        node: owns them.
        values: how the images come.
        image: takes an image's camera and message.
        info: takes a camera_info's camera and message.
        notices: says what does not fit.

    Raises:
        ParameterError: an override is not allowed. Nothing was subscribed to then.
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
        for subscription in self.images.values():
            subscription.open()
        self._infos = [
            node.create_subscription(
                CameraInfo,
                topic,
                partial(info, source),
                qos_profile_sensor_data,
                event_callbacks=QUIET,
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
