"""The node's output topics, and the camera_info that belongs to each picture."""

from __future__ import annotations

import copy
import threading
from collections import OrderedDict
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from paif_ros.codec import pack
from paif_ros.pipeline import Result, Wanted

INFOS_KEPT = 64  # camera_info messages that wait for their picture, two seconds at 30 Hz

Outgoing = tuple[Any, Any]  # a publisher and a message for it


class CameraInfos:
    """The last camera_info messages by stamp. One thread adds, another one finds."""

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

    def find(self, header: Header) -> CameraInfo | None:
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
    """Publishers of the fused picture with its camera_info, the mask and the overlay.

    Reliable, so that rviz and `ros2 topic echo` see them without settings.

    Args:
        node: the node that owns them.
        depth: messages that each queue keeps.
    """

    def __init__(self, node: Node, depth: int) -> None:
        qos = QoSProfile(depth=depth, reliability=ReliabilityPolicy.RELIABLE)
        self._fused = node.create_publisher(Image, '~/fused/image', qos)
        self._info = node.create_publisher(CameraInfo, '~/fused/camera_info', qos)
        self._mask = node.create_publisher(Image, '~/segmentation/mask', qos)
        self._overlay = node.create_publisher(Image, '~/segmentation/overlay', qos)

    def wanted(self) -> Wanted | None:
        """Return what has subscribers now, or None where nothing has."""
        fused, mask, overlay, info = (
            publisher.get_subscription_count() > 0
            for publisher in (self._fused, self._mask, self._overlay, self._info)
        )
        return Wanted(fused, mask, overlay) if fused or mask or overlay or info else None

    def pack(self, header: Header, result: Result, info: CameraInfo | None) -> list[Outgoing]:
        """Make the messages of one pair.

        Args:
            header: the RGB camera's, which every output carries unchanged.
            result: the pictures, None where not wanted.
            info: the camera_info with that header, None where none came.
        """
        outgoing: list[Outgoing] = []
        for publisher, pixels, encoding in (
            (self._fused, result.fused, 'rgb8'),
            (self._mask, result.mask, 'mono8'),
            (self._overlay, result.overlay, 'rgb8'),
        ):
            if pixels is not None:
                image = Image(header=header)
                pack(image, pixels, encoding)
                outgoing.append((publisher, image))
        if info is not None:
            outgoing.append((self._info, info))
        return outgoing
