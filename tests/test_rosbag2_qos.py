"""The QoS files for rosbag2: its format, all topics of the node, and profiles that match."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

CONFIG = Path(__file__).resolve().parents[1] / 'config'
RECORD, PLAY = 'rosbag2_record_qos.yaml', 'rosbag2_play_qos.yaml'
# What rosbag2 reads, and nothing else: an unknown key stops it.
POLICIES = {
    'history': {'keep_last', 'keep_all'},
    'reliability': {'reliable', 'best_effort'},
    'durability': {'volatile', 'transient_local'},
}
LATCHED = ('/fusion/segmentation/label_info', '/tf_static')


def read(name: str) -> dict[str, dict[str, Any]]:
    overrides = yaml.safe_load((CONFIG / name).read_text('utf-8'))
    assert isinstance(overrides, dict)
    return overrides


@pytest.mark.parametrize('name', [RECORD, PLAY])
def test_format(name: str) -> None:
    for topic, policies in read(name).items():
        assert topic.startswith('/'), topic
        assert set(policies) == {*POLICIES, 'depth'}, topic
        assert isinstance(policies['depth'], int), topic
        assert policies['depth'] > 0, topic
        for key, allowed in POLICIES.items():
            assert policies[key] in allowed, topic
        latched = policies['durability'] == 'transient_local'
        assert latched == (topic in LATCHED), topic


@pytest.mark.parametrize('name', [RECORD, PLAY])
def test_all_topics_of_the_node_are_there(name: str) -> None:
    pytest.importorskip('rclpy', reason='needs ROS 2')
    from paif_ros.ros.inputs import IMAGES, INFOS
    from paif_ros.ros.outputs import FUSED_INFO, LABELS, PICTURES

    topics = {*IMAGES.values(), *INFOS.values(), FUSED_INFO, LABELS, '/diagnostics'}
    topics |= {f'{image}/compressed' for image in IMAGES.values()}
    for topic in PICTURES.values():
        topics |= {topic.name, f'{topic.name}/compressed'} if topic.compressed else {topic.name}
    full = {f'/{topic.replace("~", "fusion").lstrip("/")}' for topic in topics}
    assert set(read(name)) == {*full, '/tf_static'}


def as_profile(policies: dict[str, Any]) -> Any:
    """Make the rclpy profile, the way ros2bag's commands do."""
    from rclpy.qos import (
        QoSDurabilityPolicy,
        QoSHistoryPolicy,
        QoSProfile,
        QoSReliabilityPolicy,
    )

    return QoSProfile(
        history=QoSHistoryPolicy.get_from_short_key(policies['history']),
        depth=policies['depth'],
        reliability=QoSReliabilityPolicy.get_from_short_key(policies['reliability']),
        durability=QoSDurabilityPolicy.get_from_short_key(policies['durability']),
    )


def test_recorder_and_player_match_whoever_is_there() -> None:
    qos = pytest.importorskip('rclpy.qos', reason='needs ROS 2')
    reliable = qos.QoSProfile(depth=5)
    latched = qos.QoSProfile(depth=1, durability=qos.QoSDurabilityPolicy.TRANSIENT_LOCAL)
    best_effort = qos.qos_profile_sensor_data

    def match(publisher: Any, subscriber: Any) -> bool:
        return qos.qos_check_compatible(publisher, subscriber)[0] != qos.QoSCompatibility.ERROR

    assert not match(best_effort, reliable)  # what the files are for
    record, play = read(RECORD), read(PLAY)
    for topic in record:
        recorder, player = as_profile(record[topic]), as_profile(play[topic])
        # Cameras may offer either kind; the node's own topics are reliable, some kept.
        is_camera = topic.startswith(('/color', '/thermal'))
        offers = [reliable, best_effort] if is_camera else [reliable]
        for offer in [latched] if topic in LATCHED else offers:
            assert match(offer, recorder), topic
        for request in (best_effort, reliable, *([latched] if topic in LATCHED else [])):
            assert match(player, request), topic
