"""The messages of a result, whoever sends them: the node's topics, or a bag without ROS."""

from __future__ import annotations

import copy
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from paif_ros.fusion.jobs import Job
from paif_ros.fusion.pipeline import Infos
from paif_ros.fusion.results import Result
from paif_ros.images.codec import pack
from paif_ros.images.compressed import encode
from paif_ros.monitoring.accounting import Source
from paif_ros.pictures.camera_info import scale_camera_info

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


class CameraInfos:
    """The last camera_info messages of a camera by stamp. One thread adds, another one finds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._infos: OrderedDict[tuple[int, int], Any] = OrderedDict()

    def add(self, info: Any) -> None:
        """Keep a message, and forget the oldest one past `INFOS_KEPT`."""
        stamp = info.header.stamp
        with self._lock:
            self._infos[stamp.sec, stamp.nanosec] = info
            self._infos.move_to_end((stamp.sec, stamp.nanosec))
            if len(self._infos) > INFOS_KEPT:
                self._infos.popitem(last=False)

    def find(self, header: Any) -> Any | None:
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


class Maker(Protocol):
    """Makes messages of whichever library."""

    def image(self, header: Any) -> Any:
        """Return an empty sensor_msgs/Image with a header."""

    def compressed(self, header: Any, kind: str) -> Any:
        """Return an empty sensor_msgs/CompressedImage with a header and a format."""


def job_infos(kept: Mapping[Source, CameraInfos], job: Job) -> Infos:
    """Return the camera_info messages that belong to a job's frames."""
    frames = {Source.VISIBLE: job.visible, Source.THERMAL: job.thermal}
    found = {
        source.value: kept[source].find(frame.payload.message.header)
        for source, frame in frames.items()
        if frame is not None
    }
    return Infos(**found)


def picture_messages(
    job: Job, result: Result, heard: Callable[[str, bool], bool], maker: Maker, quality: int
) -> Iterator[tuple[str, bool, Any]]:
    """Make the messages of a result. All carry the reference frame's header unchanged.

    Args:
        job: what the result was made of.
        result: the pictures.
        heard: whether somebody takes a picture, and whether as CompressedImage.
        maker: makes the empty messages.
        quality: of JPEG, 1 to 100.

    Yields:
        Name of the picture, whether it is compressed, and the message.
    """
    header = job.reference.payload.message.header
    for picture, topic in PICTURES.items():
        pixels = getattr(result, picture)
        if pixels is None:
            continue
        if heard(picture, False):
            image = maker.image(header)
            pack(image, pixels, topic.encoding)
            yield picture, False, image
        if topic.compressed and heard(picture, True):
            kind, data = encode(pixels, topic.encoding, topic.compressed, quality)
            small = maker.compressed(header, kind)
            small.data = data
            yield picture, True, small


def fused_camera_info(kept: Mapping[Source, CameraInfos], job: Job, result: Result) -> Any | None:
    """Return the camera_info of a result's pictures, None where the camera has sent none.

    To be asked late: drivers send it after the picture.
    """
    source = Source.THERMAL if job.visible is None else Source.VISIBLE
    info = kept[source].find(job.reference.payload.message.header)
    if info is None:
        return None
    height, width = result.size
    return scale_camera_info(info, width, height)
