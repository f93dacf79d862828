"""What the ids of a mask mean, for whoever reads it: as JSON text and as vision_msgs/LabelInfo."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from paif_ros.contract import ClassLabel


def classes_json(classes: Sequence[ClassLabel]) -> str:
    """Return the classes as JSON text.

    Args:
        classes: the labels of the mask.

    Returns:
        A list such as `[{"id": 1, "name": "car", "color": [0, 120, 255]}]`, colours RGB, 0 to 255.
    """
    return json.dumps([asdict(label) for label in classes])


def label_info_message(classes: Sequence[ClassLabel], header: Any = None) -> Any | None:
    """Return the classes as a vision_msgs/LabelInfo.

    Args:
        classes: the labels of the mask.
        header: std_msgs/Header of the message; left at its default where None.

    Returns:
        The message with threshold 0 (unused: a pixel has its best class, however sure), or None
        where vision_msgs, or a version of it with LabelInfo, is not installed.
    """
    try:
        from vision_msgs.msg import LabelInfo, VisionClass
    except ImportError:
        return None
    message = LabelInfo()
    if header is not None:
        message.header = header
    message.class_map = [
        VisionClass(class_id=label.id, class_name=label.name) for label in classes
    ]
    return message
