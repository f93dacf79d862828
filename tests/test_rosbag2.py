"""`fusion.launch.py bag:=PATH`: what is played and recorded, and what is said when it can't be."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from paif_ros import rosbag2
from paif_ros.errors import ParameterError
from paif_ros.rosbag2 import Names

ROOT = Path(__file__).resolve().parents[1]
PLAY = ROOT / 'config' / 'rosbag2_play_qos.yaml'
RECORD = ROOT / 'config' / 'rosbag2_record_qos.yaml'


def bag(folder: Path) -> Path:
    path = folder / 'drive'
    path.mkdir()
    (path / 'metadata.yaml').touch()
    return path


def test_a_bag_is_a_folder_with_metadata_or_a_file(tmp_path: Path) -> None:
    folder = bag(tmp_path)
    assert rosbag2.check_bag(str(folder)) == folder
    (tmp_path / 'a.mcap').touch()
    assert rosbag2.check_bag(str(tmp_path / 'a.mcap')) == tmp_path / 'a.mcap'


@pytest.mark.parametrize(
    ('name', 'cure'), [('nothing', '.mcap'), ('film.mp4', '.mcap'), ('empty', 'reindex')]
)
def test_what_is_no_bag_is_refused(name: str, cure: str, tmp_path: Path) -> None:
    (tmp_path / 'film.mp4').touch()
    (tmp_path / 'empty').mkdir()
    with pytest.raises(ParameterError, match=name) as caught:
        rosbag2.check_bag(str(tmp_path / name))
    assert cure in caught.value.allowed


def test_without_rosbag2_it_says_what_to_install() -> None:
    rosbag2.check_installed([*rosbag2.PACKAGES, 'rclpy'])
    with pytest.raises(ParameterError, match='ros2bag') as caught:
        rosbag2.check_installed(['rclpy', 'rosbag2_transport'], 'jazzy')
    assert 'apt install ros-jazzy-rosbag2' in caught.value.allowed
    assert 'paif_ros replay' in caught.value.allowed
    assert 'rosbag2_transport' not in str(caught.value.value)


def test_outputs_never_go_over_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = bag(tmp_path)
    assert rosbag2.check_target('', folder) == tmp_path / 'drive_outputs'
    assert rosbag2.check_target('new', folder) == tmp_path / 'new'
    (tmp_path / 'drive_outputs').mkdir()
    with pytest.raises(ParameterError, match='drive_outputs'):
        rosbag2.check_target('', folder)


def test_names_follow_the_launch() -> None:
    names = Names('front', {'color_topic': 'cam/image_raw', 'thermal_topic': '/ir/image'})
    assert names.of('/color/image_raw') == '/front/cam/image_raw'
    assert names.of('/color/image_raw/compressed') == '/front/cam/image_raw/compressed'
    assert names.of('/color/camera_info') == '/front/cam/camera_info'
    assert names.of('/thermal/image_raw') == '/ir/image'
    assert names.of('/thermal/camera_info') == '/ir/camera_info'
    assert names.of('/fusion/fused/image') == '/front/fusion/fused/image'
    assert names.of('/diagnostics') == '/diagnostics'
    assert names.of('/tf_static') == '/tf_static'


def test_shipped_files_stay_as_they_are_without_other_names() -> None:
    for path in (PLAY, RECORD):
        assert rosbag2.overrides(path, Names()) == yaml.safe_load(path.read_text())


def test_written_qos_has_the_new_names_and_the_same_policies() -> None:
    names = Names('a/b', {'color_topic': '/rgb/image'})
    path = rosbag2.write_overrides(PLAY, names)
    written, shipped = yaml.safe_load(path.read_text()), yaml.safe_load(PLAY.read_text())
    path.unlink()
    assert len(written) == len(shipped)
    assert written['/rgb/image'] == shipped['/color/image_raw']
    assert '/color/image_raw' not in written
    latched = written['/a/b/fusion/segmentation/label_info']
    assert latched['durability'] == 'transient_local'


def test_the_player_has_a_clock_and_plays_the_cameras_alone() -> None:
    names = Names('', {'color_topic': '/cam/image_raw'})
    command = rosbag2.play_command(Path('/drive'), Path('/q.yaml'), names, '0.5')
    start, topics = command[: command.index('--topics')], command[command.index('--topics') + 1 :]
    assert start == [
        *('ros2', 'bag', 'play', '/drive', '--clock', '100', '--rate', '0.5'),
        *('--qos-profile-overrides-path', '/q.yaml'),
    ]
    assert {'/cam/image_raw', '/cam/camera_info', '/thermal/image_raw', '/tf'} <= set(topics)
    assert not [topic for topic in topics if 'fusion' in topic]
    # Every topic whose QoS matters is named as the QoS file names it.
    assert set(topics) - {'/tf'} <= set(rosbag2.overrides(PLAY, names))


@pytest.mark.parametrize('rate', ['0', '-1', 'nan', 'inf', 'fast', ''])
def test_a_rate_is_a_number_above_zero(rate: str) -> None:
    with pytest.raises(ParameterError, match='bag_rate'):
        rosbag2.play_command(Path('/drive'), Path('/q.yaml'), Names(), rate)


def test_the_recorder_takes_every_output() -> None:
    command = rosbag2.record_command(Path('/out'), Path('/q.yaml'), RECORD, Names('front'))
    assert command[:5] == ['ros2', 'bag', 'record', '-o', '/out']
    topics = command[command.index('/q.yaml') + 1 :]
    from paif_ros.fusion.outgoing import PICTURES

    pictures = {f'/front/fusion{picture.name[1:]}' for picture in PICTURES.values()}
    assert pictures < set(topics)
    assert {'/diagnostics', '/front/fusion/segmentation/label_info'} <= set(topics)
    assert not [topic for topic in topics if topic.endswith('/compressed')]
    assert not [topic for topic in topics if topic.startswith(('/color', '/front/color'))]
