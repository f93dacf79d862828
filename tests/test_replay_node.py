"""Same input, same bytes: a recording through a real node and through a replay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2 (or its wheels) in this Python')
pytest.importorskip('rosbags')
pytest.importorskip('mcap')

import replay_rig as bags
import tiny_model
from ros_rig import Rig
from sensor_msgs.msg import CameraInfo, Image

COUNT = 8
WIDE = (72, 96)  # of the cameras: another size than the model's, so that all is resized
CALIBRATION = """\
homography: [[1.02, 0.01, 1.5], [0.005, 0.98, -2.0], [0.00001, 0.00002, 1.0]]
thermal_size: [96, 72]
visible_size: [96, 72]
"""
FIELDS = {
    Image: ('header', 'height', 'width', 'encoding', 'is_bigendian', 'step', 'data'),
    CameraInfo: ('header', 'height', 'width', 'distortion_model', 'd', 'k', 'r', 'p'),
}
TOPICS = {
    'fused': '/fusion/fused/image',
    'mask': '/fusion/segmentation/mask',
    'overlay': '/fusion/segmentation/overlay',
    'info': '/fusion/fused/camera_info',
}


def filled(kind: type, message: Any) -> Any:
    """A rosbags message as one of rclpy's."""
    from array import array

    made = kind()
    made.header.stamp.sec = message.header.stamp.sec
    made.header.stamp.nanosec = message.header.stamp.nanosec
    made.header.frame_id = message.header.frame_id
    for name in FIELDS[kind][1:]:
        value = getattr(message, name)
        if name == 'data':
            value = array('B', value.tobytes())
        elif isinstance(value, np.ndarray):
            value = value.tolist()
        setattr(made, name, value)
    return made


def plain(message: Any, kind: type) -> list[Any]:
    """The fields of a message of either library."""
    found: list[Any] = []
    for name in FIELDS[kind]:
        value = getattr(message, name)
        if name == 'header':
            value = (value.stamp.sec, value.stamp.nanosec, value.frame_id)
        elif name == 'data':
            value = bytes(value)
        elif name in 'dkrp':
            value = [float(number) for number in value]
        found.append(value)
    return found


def frames() -> list[tuple[str, str, int, Any]]:
    """A recording with a lone frame of each camera in it, info before its image."""
    rows = [row for row in bags.recording(COUNT, size=WIDE) if row[0] != bags.NOTE]
    rows = [row for number, row in enumerate(rows) if number not in (9, 13)]
    ahead = {bags.INFO: -(2 * 10**6) - 10**6, bags.COLOR: 0, bags.THERMAL: 0}
    return sorted(
        ((topic, kind, when + ahead[topic], message) for topic, kind, when, message in rows),
        key=lambda row: row[2],
    )


def through_the_node(rig: Rig, rows: list[tuple[str, str, int, Any]]) -> None:
    """Publish it in lockstep: no message before the one before it has come out as it can."""
    publishers = {
        bags.COLOR: (rig.visible, Image, 'visible.received'),
        bags.THERMAL: (rig.thermal, Image, 'thermal.received'),
        bags.INFO: (rig.info, CameraInfo, ''),
    }
    sent = {bags.COLOR: 0, bags.THERMAL: 0, bags.INFO: 0}
    for topic, _, _, message in rows:
        publisher, kind, key = publishers[topic]
        publisher.publish(filled(kind, message))
        sent[topic] += 1
        if key:
            rig.until(lambda key=key, topic=topic: rig.count(key) == sent[topic], 20.0)
            rig.until(lambda: rig.count('pairs.pending') == 0, 20.0)
        else:
            rig.spin(0.05)  # nothing counts camera_infos


@pytest.mark.parametrize('way', ['plain', 'registered'])
def test_the_same_bytes(tmp_path: Path, way: str) -> None:
    model = tiny_model.write(tmp_path / 'tiny.onnx')
    # A busy machine may take long for a pair, which makes it stale; nothing else depends on it.
    given: dict[str, Any] = {'sync.slop': 0.05, 'sync.max_age': 60.0}
    if way == 'registered':
        (tmp_path / 'rig.yaml').write_text(CALIBRATION)
        given |= {
            'registration.mode': 'homography',
            'registration.file': str(tmp_path / 'rig.yaml'),
            'thermal.agc': 'equalize',
            'mask.hold': 3,
        }
    rows = frames()
    with Rig(model, **{key.replace('.', '__'): value for key, value in given.items()}) as rig:
        through_the_node(rig, rows)
        rig.until(lambda: all(len(rig.got[name]) == rig.count('pairs.fused') for name in TOPICS))
        theirs = {name: list(rig.got[name]) for name in TOPICS}
        made = rig.count('pairs.made')
    recorded = bags.write_bag(tmp_path / 'in', rows)
    opts = bags.options(
        model, *(f'{k}:={v}' for k, v in given.items()), topics=('fused', 'mask', 'overlay')
    )
    record, _ = bags.run(bags.task(recorded, tmp_path / 'out', opts))
    ours = bags.read_bag(tmp_path / 'out' / 'bag')
    assert made >= COUNT - 3
    # At a recording's end no nearer frame can come: what the node would wait with is paired.
    assert record.counts.fused - made in (0, 1)
    for name, topic in TOPICS.items():
        kind = CameraInfo if name == 'info' else Image
        assert len(theirs[name]) == made
        for (_, message), other in zip(ours[topic], theirs[name], strict=False):
            assert plain(message, kind) == plain(other, kind), (name, other.header.stamp)
