"""ROS 2 messages without ROS: made, read and written with the rosbags library's types."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paif_ros.contract import ClassLabel
from paif_ros.images.messages import NS
from paif_ros.monitoring.diagnostics import Status
from paif_ros.replay.feed import CAMERA_INFO, COMPRESSED, IMAGE

DIAGNOSTICS = 'diagnostic_msgs/msg/DiagnosticArray'
LABEL_INFO = 'vision_msgs/msg/LabelInfo'
# vision_msgs 4 is no part of rosbags: the two types that the node uses, as ROS 2 declares them.
_VISION = {
    'vision_msgs/msg/VisionClass': 'uint16 class_id\nstring class_name\n',
    LABEL_INFO: (
        'std_msgs/Header header\nvision_msgs/VisionClass[] class_map\nfloat32 threshold\n'
    ),
}


@cache
def store() -> Any:
    """Return the message types: those of Humble, which are the same since, and LabelInfo.

    Raises:
        ImportError: rosbags is not installed.
    """
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    types = get_typestore(Stores.ROS2_HUMBLE)
    for name, text in _VISION.items():
        types.register(get_types_from_msg(text, name))
    return types


def read(data: bytes, kind: str) -> Any:
    """Return a serialised message with the fields of its type.

    Raises:
        Exception: it is malformed; rosbags raises what comes.
    """
    return store().deserialize_cdr(data, kind)


def write(message: Any, kind: str) -> memoryview:
    """Return a message serialised (CDR, little endian)."""
    if kind in (IMAGE, COMPRESSED):
        message.data = np.frombuffer(message.data, np.uint8)
    elif kind == CAMERA_INFO:
        for name in ('d', 'k', 'r', 'p'):
            setattr(message, name, np.asarray(getattr(message, name), np.float64))
    return memoryview(store().serialize_cdr(message, kind))


def header(stamp: int, frame: str) -> Any:
    """Return a std_msgs/Header of a stamp in ns."""
    types = store().types
    time = types['builtin_interfaces/msg/Time'](*divmod(stamp, NS))
    return types['std_msgs/msg/Header'](time, frame)


def image(pixels: NDArray[Any], encoding: str, stamp: int, frame: str) -> Any:
    """Return a sensor_msgs/Image of what a film or a picture file shows.

    Args:
        pixels: [H, W] or [H, W, 3], uint8 or uint16.
        encoding: of it, such as 'rgb8' or 'mono16'.
        stamp: ns.
        frame: frame_id.
    """
    rows = np.ascontiguousarray(pixels.astype(pixels.dtype.newbyteorder('<'), copy=False))
    data = np.frombuffer(rows.tobytes(), np.uint8)
    height, width = pixels.shape[:2]
    kind = store().types[IMAGE]
    return kind(header(stamp, frame), height, width, encoding, 0, data.size // height, data)


def compressed_image(data: bytes, form: str, stamp: int, frame: str) -> Any:
    """Return a sensor_msgs/CompressedImage of a file's bytes, `form` 'jpeg' or 'png'."""
    kind = store().types[COMPRESSED]
    return kind(header(stamp, frame), form, np.frombuffer(data, np.uint8))


class RosbagsMaker:
    """Makes empty messages for `picture_messages`."""

    def image(self, header: Any) -> Any:
        """Return an empty sensor_msgs/Image with a header."""
        return store().types[IMAGE](header, 0, 0, '', 0, 0, np.zeros(0, np.uint8))

    def compressed(self, header: Any, kind: str) -> Any:
        """Return an empty sensor_msgs/CompressedImage with a header and a format."""
        return store().types[COMPRESSED](header, kind, np.zeros(0, np.uint8))


def label_info(classes: Sequence[ClassLabel], stamp: int) -> Any:
    """Return what the mask's ids mean as a vision_msgs/LabelInfo."""
    types = store().types
    named = [types['vision_msgs/msg/VisionClass'](label.id, label.name) for label in classes]
    return types[LABEL_INFO](header(stamp, ''), named, 0.0)


def diagnostics(status: Status, node: str, provider: str, stamp: int) -> Any:
    """Return a status as the node's diagnostic_msgs/DiagnosticArray.

    Args:
        status: of the node.
        node: its full name, such as '/fusion'.
        provider: what computes.
        stamp: ns.
    """
    types = store().types
    pair = types['diagnostic_msgs/msg/KeyValue']
    one = types['diagnostic_msgs/msg/DiagnosticStatus'](
        int(status.level),
        f'{node}: fusion',
        status.message,
        provider,
        [pair(key, value) for key, value in status.values],
    )
    return types[DIAGNOSTICS](header(stamp, ''), [one])
