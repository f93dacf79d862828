"""Writes a clip as a ROS 2 bag (mcap), as a robot would record both cameras. Needs no ROS."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from scenes.camera import Camera
from scenes.clips import Clip, Shot
from scenes.progress import show_progress
from scenes.stamps import make_stamps

COLOR, COLOR_INFO, THERMAL = '/color/image_raw', '/color/camera_info', '/thermal/image_raw'
COLOR_FRAME, THERMAL_FRAME = 'rgb_optical_frame', 'thermal_optical_frame'
IMAGE, INFO = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CameraInfo'
START_NS = 1_700_000_000_000_000_000  # fixed, so that equal clips give equal bags
# Version 8 of the metadata is the newest that Humble's player reads too.
BAG_VERSION = 8
FOREVER = QosTime(9223372036, 854775807)  # how rmw says so
SENSOR_QOS = Qos(
    QosHistory.KEEP_LAST,
    5,
    QosReliability.BEST_EFFORT,
    QosDurability.VOLATILE,
    FOREVER,
    FOREVER,
    QosLiveliness.AUTOMATIC,
    FOREVER,
    False,
)


@dataclass(frozen=True)
class Section:
    """A stretch of pairs of one name: a condition or a clip.

    Attributes:
        name: which.
        first: number of its first pair.
        count: how many pairs.
    """

    name: str
    first: int
    count: int


@dataclass(frozen=True)
class BagSummary:
    """What was written.

    Attributes:
        path: the bag's folder.
        pairs: how many.
        rate: pairs per second.
        sections: its stretches, in order.
    """

    path: Path
    pairs: int
    rate: float
    sections: tuple[Section, ...]


def write_bag(path: Path, clip: Clip, seed: int = 0, replace: bool = False) -> BagSummary:
    """Write a clip.

    Args:
        path: the bag's folder; made here.
        clip: what to write.
        seed: of the jitter between the cameras' stamps.
        replace: whether a bag that lies there already may be deleted.

    Raises:
        FileExistsError: something lies at `path` and is not a bag, or `replace` is False.
    """
    make_room(path, replace)
    store = get_typestore(Stores.ROS2_HUMBLE)  # these messages are the same in all releases
    stamps = make_stamps(seed, clip.rate, clip.count, START_NS)
    names: list[str] = []
    with Writer(path, version=BAG_VERSION, storage_plugin=StoragePlugin.MCAP) as writer:

        def topic(name: str, kind: str) -> Any:
            return writer.add_connection(
                name, kind, typestore=store, offered_qos_profiles=[SENSOR_QOS]
            )

        color, info, thermal = topic(COLOR, IMAGE), topic(COLOR_INFO, INFO), topic(THERMAL, IMAGE)
        shots = show_progress(clip.shots(), clip.count, f'writing {path.name}')
        for index, shot in enumerate(shots):
            seen, felt = int(stamps.visible[index]), int(stamps.thermal[index])
            names.append(shot.name)
            rgb, heat = pair_messages(store, shot, (seen, felt))
            about = info_message(store, clip.camera, shot, seen)
            batch = [
                (seen, color, rgb, IMAGE),
                (seen, info, about, INFO),
                (felt, thermal, heat, IMAGE),
            ]
            for when, connection, message, kind in sorted(batch, key=lambda item: item[0]):
                writer.write(connection, when, store.serialize_cdr(message, kind))
    return BagSummary(path, len(names), clip.rate, _sections(names))


def pair_messages(store: Any, shot: Shot, stamps: tuple[int, int]) -> tuple[Any, Any]:
    """Return the colour and the thermal message of one pair.

    Args:
        store: rosbags type store.
        shot: the pictures. 16-bit thermal becomes mono16, 8-bit mono8.
        stamps: nanoseconds of the colour and of the thermal picture.
    """
    encoding = 'mono16' if shot.thermal.dtype == np.uint16 else 'mono8'
    return (
        _image(store, shot.visible, 'rgb8', stamps[0], COLOR_FRAME),
        _image(store, shot.thermal, encoding, stamps[1], THERMAL_FRAME),
    )


def info_message(store: Any, camera: Camera | None, shot: Shot, stamp: int) -> Any:
    """Return the CameraInfo of the colour camera; an unknown camera has K all zero (REP 104)."""
    kinds = store.types
    matrix = np.array(camera.matrix() if camera is not None else [0.0] * 9)
    projection = np.hstack([matrix.reshape(3, 3), np.zeros((3, 1))]).ravel()
    return kinds[INFO](
        header=_header(store, stamp, COLOR_FRAME),
        height=shot.visible.shape[0],
        width=shot.visible.shape[1],
        distortion_model='plumb_bob',
        d=np.zeros(5),
        k=matrix,
        r=np.eye(3).ravel(),
        p=projection,
        binning_x=0,
        binning_y=0,
        roi=kinds['sensor_msgs/msg/RegionOfInterest'](0, 0, 0, 0, False),
    )


def _image(store: Any, picture: Any, encoding: str, stamp: int, frame: str) -> Any:
    little = picture.astype(picture.dtype.newbyteorder('<'), copy=False)
    data = np.frombuffer(np.ascontiguousarray(little).tobytes(), np.uint8)
    return store.types[IMAGE](
        header=_header(store, stamp, frame),
        height=picture.shape[0],
        width=picture.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=data.size // picture.shape[0],
        data=data,
    )


def _header(store: Any, stamp: int, frame: str) -> Any:
    time = store.types['builtin_interfaces/msg/Time'](stamp // 10**9, stamp % 10**9)
    return store.types['std_msgs/msg/Header'](time, frame)


def make_room(path: Path, replace: bool) -> None:
    """Delete a bag that lies at `path`, and nothing but a bag.

    Raises:
        FileExistsError: something lies there and is not a bag, or `replace` is False.
    """
    if not path.exists():
        return
    if not replace:
        raise FileExistsError(f'{path} exists already: delete it or pass another folder')
    if not (path / 'metadata.yaml').is_file() and not list(path.glob('*.mcap')):
        raise FileExistsError(f'{path} is no bag, it is not deleted: pass another folder')
    shutil.rmtree(path)


def _sections(names: list[str]) -> tuple[Section, ...]:
    starts = [i for i, name in enumerate(names) if i == 0 or name != names[i - 1]]
    ends = [*starts[1:], len(names)]
    return tuple(Section(names[a], a, b - a) for a, b in zip(starts, ends, strict=True))
