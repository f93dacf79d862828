"""Several pairs of cameras: in one process and in two, from one model file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_model

pytest.importorskip('rclpy', reason='needs ROS 2 (or its wheels) in this Python')

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from ros_checks import PERIOD, START, camera_pair
from ros_rig import ROOT, environment, image, pixels_of
from sensor_msgs.msg import Image

from paif_ros.thermal.agc import Agc, ThermalConfig

NAMES = ('front', 'robot/rear')
PAIRS = """
parameters: {thermal.smoothing: 0.0, diagnostics.rate: 10}
pairs:
  front:
    color_topic: /front/color/image_raw
  robot/rear:
    color_topic: /rear_camera/rgb
    thermal_topic: /rear_camera/heat
    parameters: {sync: {mode: exact}}
"""
# Where the cameras of each node are.
CAMERAS = {
    'front': ('/front/color/image_raw', '/front/thermal/image_raw'),
    'robot/rear': ('/rear_camera/rgb', '/rear_camera/heat'),
}


class Fleet:
    """Processes with nodes, and cameras and listeners for every node."""

    def __init__(self) -> None:
        os.environ.update(environment())
        self._context = Context()
        rclpy.init(context=self._context)
        self.ros = rclpy.create_node('rig', context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.ros)
        self.processes: list[subprocess.Popen[str]] = []
        self._outputs: list[Any] = []
        self.fused: dict[str, list[Image]] = {name: [] for name in NAMES}
        self.values: dict[str, dict[str, str]] = {}
        self._cameras: dict[str, list[Any]] = {}
        for name in NAMES:
            self._cameras[name] = [
                self.ros.create_publisher(Image, topic, 5) for topic in CAMERAS[name]
            ]
            topic = f'/{name}/fusion/fused/image'
            self.ros.create_subscription(Image, topic, self.fused[name].append, 10)
        self.ros.create_subscription(DiagnosticArray, '/diagnostics', self._hear, 10)

    def _hear(self, message: DiagnosticArray) -> None:
        for status in message.status:
            node = status.name.removesuffix('/fusion: fusion').strip('/')
            self.values[node] = {item.key: item.value for item in status.values}

    def start(self, *arguments: str) -> None:
        output = tempfile.TemporaryFile('w+')  # noqa: SIM115 - closed by close()
        self._outputs.append(output)
        self.processes.append(
            subprocess.Popen(
                [sys.executable, '-m', 'paif_ros.node', *arguments],
                env=environment(),
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )

    def text(self) -> str:
        for output in self._outputs:
            output.seek(0)
        return '\n'.join(output.read() for output in self._outputs)

    def until(self, condition: Callable[[], bool], seconds: float = 20.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f'waited {seconds} s in vain:\n{self.text()}'
            self._executor.spin_once(timeout_sec=0.05)

    def ready(self) -> bool:
        return all(
            self.values.get(name, {}).get('state') == 'active'
            and self.ros.count_publishers(f'/{name}/fusion/fused/image')
            and all(camera.get_subscription_count() for camera in self._cameras[name])
            for name in NAMES
        )

    def send(self, name: str, number: int) -> None:
        """Send a pair of its own to one node."""
        self.send_pictures(name, number, *self.pictures(name, number))

    def send_pictures(self, name: str, number: int, color: np.ndarray, heat: np.ndarray) -> None:
        stamp = START + number * PERIOD
        for camera, pixels in zip(self._cameras[name], (color, heat), strict=True):
            camera.publish(image(pixels, stamp, f'{name} camera'))

    @staticmethod
    def pictures(name: str, number: int) -> tuple[np.ndarray, np.ndarray]:
        return camera_pair(1000 * NAMES.index(name) + number)

    def stop(self) -> float:
        """Send SIGINT to all. Returns the seconds until the last has ended."""
        start = time.monotonic()
        for process in self.processes:
            process.send_signal(signal.SIGINT)
        self.until(lambda: all(process.poll() is not None for process in self.processes), 10.0)
        seconds = time.monotonic() - start
        end = time.monotonic() + 0.3  # what they sent last
        self.until(lambda: time.monotonic() > end)
        return seconds

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()
        for output in self._outputs:
            output.close()
        self._executor.shutdown()
        self.ros.destroy_node()
        rclpy.shutdown(context=self._context)


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    fleet = Fleet()
    yield fleet
    fleet.close()


def play(fleet: Fleet, count: int = 10) -> None:
    """Send pairs to both in turns, and see that each answers with its own pictures."""
    end = time.monotonic() + 1.2  # the nodes look twice a second at what is offered
    fleet.until(lambda: time.monotonic() > end)
    for number in range(count):
        for name in NAMES:
            fleet.send(name, number)
        fleet.until(lambda n=number: all(len(fleet.fused[name]) > n for name in NAMES))  # type: ignore[misc]
    for name in NAMES:
        for number, answer in enumerate(fleet.fused[name]):
            color, heat = fleet.pictures(name, number)
            grey = Agc().apply(heat, ThermalConfig(smoothing=0.0), 1)
            np.testing.assert_array_equal(pixels_of(answer), tiny_model.expected(color, grey)[0])
            assert answer.header.frame_id == f'{name} camera'


def assert_ended_well(fleet: Fleet, count: int) -> None:
    assert fleet.stop() < 2.0
    assert [process.returncode for process in fleet.processes] == [0] * len(fleet.processes)
    assert 'Traceback' not in fleet.text()
    for name in NAMES:
        assert fleet.values[name]['pairs.fused'] == str(count)
        assert fleet.values[name]['visible.received'] == str(count)


def test_two_pairs_in_one_process(tiny: Path, tmp_path: Path, fleet: Fleet) -> None:
    path = tmp_path / 'pairs.yaml'
    path.write_text(PAIRS)
    fleet.start('--pairs', str(path), '--ros-args', '-p', f'model_path:={tiny}')
    fleet.until(fleet.ready)
    play(fleet)
    modes = [fleet.values[name]['sync.mode'] for name in NAMES]
    assert modes == ['pair', 'exact']
    assert_ended_well(fleet, 10)


def test_one_of_two_in_a_process_is_without_a_model(
    tiny: Path, tmp_path: Path, fleet: Fleet
) -> None:
    """The other one works, and this one says which it is and why."""
    path = tmp_path / 'pairs.yaml'
    path.write_text(
        f'pairs: {{front: , robot/rear: {{parameters: {{model_path: {tmp_path}/none.onnx}}}}}}'
    )
    fleet.start('--pairs', str(path), '--ros-args', '-p', f'model_path:={tiny}')
    fleet.until(lambda: len(fleet.values) == 2 and fleet.values['front']['state'] == 'active')
    fleet.until(lambda: 'could not start' in fleet.text())
    assert fleet.values['robot/rear']['state'] == 'unconfigured'
    assert 'there is no model file' in fleet.text()
    assert 'robot.rear.fusion' in fleet.text()
    assert fleet.stop() < 2.0
    assert 'Traceback' not in fleet.text()


def test_a_signal_while_both_of_a_process_compute(tmp_path: Path, fleet: Fleet) -> None:
    """The two seconds are those of the process: one node does not wait for the other's network."""
    model = tiny_model.write(tmp_path / 'stalling.onnx', stall=2000)
    path = tmp_path / 'pairs.yaml'
    path.write_text(PAIRS)
    fleet.start('--pairs', str(path), '--ros-args', '-p', f'model_path:={model}')
    fleet.until(fleet.ready)
    end = time.monotonic() + 1.2
    fleet.until(lambda: time.monotonic() > end)
    color, _ = fleet.pictures(NAMES[0], 0)
    heat = np.full(color.shape[:2], 255, np.uint8)
    for name in NAMES:
        fleet.send_pictures(name, 0, color, heat)
    fleet.until(lambda: all(float(fleet.values[name]['engine.busy_s']) > 0.1 for name in NAMES))
    assert fleet.stop() < 2.0
    assert [process.returncode for process in fleet.processes] == [0]
    assert 'Traceback' not in fleet.text()
    assert [fleet.values[name]['pairs.shutdown'] for name in NAMES] == ['1', '1']


def test_two_processes(tiny: Path, fleet: Fleet) -> None:
    for name in NAMES:
        fleet.start(
            *('--ros-args', '-r', f'__ns:=/{name}', '-p', f'model_path:={tiny}'),
            *('-p', 'thermal.smoothing:=0.0', '-p', 'diagnostics.rate:=10.0'),
            *('-r', f'color/image_raw:={CAMERAS[name][0]}'),
            *('-r', f'thermal/image_raw:={CAMERAS[name][1]}'),
        )
    fleet.until(fleet.ready)
    play(fleet)
    assert_ended_well(fleet, 10)


def test_a_wrong_file_starts_nothing(tmp_path: Path) -> None:
    path = tmp_path / 'pairs.yaml'
    path.write_text('pairs: {front: {parameters: {sync.slop: 7}}}')
    result = subprocess.run(
        [sys.executable, '-m', 'paif_ros.node', '--pairs', str(path)],
        env=environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert result.returncode == 1
    assert "parameter 'sync.slop' is 7" in result.stderr
    assert 'Traceback' not in result.stderr
