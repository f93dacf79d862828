"""The camera_info of a picture that was resized."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any


def scale_camera_info(info: Any, width: int, height: int) -> Any:
    """Return the camera_info of a picture that was resized to `width` x `height`.

    As image_proc's resize node does it: K and P are scaled with the picture, D, R and the
    distortion model stay, since they do not depend on pixels. The region of interest is scaled
    too, and binning stays, so the rules of CameraInfo hold for the new picture as for the old one:
    a roi of 640 columns out of 1280 scaled to 320 is a roi of 320 out of 640.

    Args:
        info: a sensor_msgs/CameraInfo, or anything with its fields; it is left as it is.
        width: columns of the new picture, 1 or more.
        height: rows of the new picture, 1 or more.

    Returns:
        A new message of the same kind with the same header. Where `info` names no size, which
        can't be scaled, its K and P are 0: in ROS, the sign of a camera without calibration.
    """
    scaled = copy.copy(info)
    scaled.roi = copy.copy(info.roi)
    columns = (info.roi.width or info.width) / max(1, info.binning_x)
    rows = (info.roi.height or info.height) / max(1, info.binning_y)
    if columns == 0 or rows == 0:
        scaled.width, scaled.height = width, height
        scaled.k, scaled.p = [0.0] * 9, [0.0] * 12
        return scaled
    x, y = width / columns, height / rows
    scaled.width, scaled.height = round(info.width * x), round(info.height * y)
    scaled.k, scaled.p = _scaled(info.k, x, y, 3), _scaled(info.p, x, y, 4)
    scaled.roi.x_offset, scaled.roi.width = round(info.roi.x_offset * x), round(info.roi.width * x)
    scaled.roi.y_offset, scaled.roi.height = (
        round(info.roi.y_offset * y),
        round(info.roi.height * y),
    )
    return scaled


def _scaled(matrix: Sequence[float], x: float, y: float, columns: int) -> list[float]:
    """Scale the first row of a row-major matrix by x and the second one by y."""
    return [float(value) * (x, y, 1.0)[place // columns] for place, value in enumerate(matrix)]
