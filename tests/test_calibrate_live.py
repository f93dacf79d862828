"""The command calibrate on live topics of a real ROS 2 graph."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2 (or its wheels) in this Python')

import rclpy
from rclpy.context import Context
from rclpy.qos import qos_profile_sensor_data
from rigs import drawn, errors, moved, rig
from ros_rig import environment, image
from sensor_msgs.msg import CameraInfo, Image

from paif_ros import calibrate, check_registration
from paif_ros.registration.calibration import load

ROOT = Path(__file__).resolve().parents[1]


def test_live_topics(tmp_path: Path) -> None:
    """Real publishers in this process, the command in its own."""
    os.environ.update(environment())
    homography, size = rig(1)
    pairs = moved(drawn(6), homography, size)
    context = Context()
    rclpy.init(context=context)
    node = rclpy.create_node('cameras', context=context)
    color = node.create_publisher(Image, 'front/color', qos_profile_sensor_data)
    heat = node.create_publisher(Image, 'thermal/image_raw', qos_profile_sensor_data)
    info = node.create_publisher(CameraInfo, 'thermal/camera_info', qos_profile_sensor_data)
    out = tmp_path / 'rig.yaml'
    process = subprocess.Popen(
        [
            sys.executable, '-m', 'paif_ros.calibrate', str(out), '--live', '--count', '6',
            '--interval', '0.1', '--ros-args', '-r', 'color/image_raw:=front/color',
        ],
        env=environment(), cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    output: list[str] = []
    assert process.stdout is not None
    reader = threading.Thread(target=lambda: output.extend(process.stdout or ()))
    reader.start()
    try:
        end = time.monotonic() + 120
        number = 0
        while process.poll() is None and time.monotonic() < end:
            visible, thermal = pairs[number % 6]
            stamp = 10**12 + number * 10**8
            lens = CameraInfo(width=size[0], height=size[1], distortion_model='plumb_bob')
            lens.k = [450.0, 0.0, size[0] / 2, 0.0, 450.0, size[1] / 2, 0.0, 0.0, 1.0]
            info.publish(lens)
            color.publish(image(visible, stamp, 'rgb'))
            heat.publish(image(thermal, stamp + 3_000_000, 'thermal'))
            number += 1
            time.sleep(0.1)
        code = process.wait(10.0)
    finally:
        process.kill()
        process.wait()
        reader.join(5.0)
        node.destroy_node()
        rclpy.shutdown(context=context)
    text = ''.join(output)
    assert code == 0, text
    assert 'pair 6 of 6' in text
    calibration = load(out)
    assert np.median(errors(np.array(calibration.homography), homography, size)) < 0.5
    assert calibration.thermal_camera is not None
    assert calibration.thermal_camera.focal == 450.0


@pytest.mark.parametrize('topic', ['bad topic', 'bad-topic', '9x', '', 'a//b', '/a/', '{x}'])
@pytest.mark.parametrize('option', ['--color-topic', '--thermal-topic'])
@pytest.mark.parametrize('command', [calibrate, check_registration])
def test_topics_that_ros_does_not_take(
    command: ModuleType,
    option: str,
    topic: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = [str(tmp_path / 'a.yaml')] if command is calibrate else []
    with pytest.raises(SystemExit) as ended:
        command.main([*out, '--live', option, topic, '--timeout', '1'])
    assert ended.value.code == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert f'{option} is {topic!r}, expected a name such as camera/image_raw' in said


def test_ros_arguments_that_ros_does_not_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        calibrate.main([str(tmp_path / 'a.yaml'), '--live', '--ros-args', '-r', 'a:=b-c'])
    assert ended.value.code == 1
    assert "--ros-args is '--ros-args -r a:=b-c'" in capsys.readouterr().err


def test_live_without_cameras(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, '-m', 'paif_ros.calibrate', str(tmp_path / 'a.yaml'), '--live',
         '--timeout', '1'],
        env=environment(), cwd=ROOT, text=True, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert result.returncode == 1
    assert '0 frames on /color/image_raw, 0 on /thermal/image_raw' in result.stderr
    assert 'Traceback' not in result.stderr
