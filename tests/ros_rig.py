"""The fusion node in its own process, with cameras and listeners in the test's process."""

from __future__ import annotations

import array
import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image

from paif_ros.fastdds import profile_environment

ROOT = Path(__file__).resolve().parents[1]
TOPICS = {
    'fused': (Image, '/fusion/fused/image'),
    'info': (CameraInfo, '/fusion/fused/camera_info'),
    'mask': (Image, '/fusion/segmentation/mask'),
    'overlay': (Image, '/fusion/segmentation/overlay'),
}
ENCODINGS = {
    ('uint8', 3): 'rgb8',
    ('uint8', 2): 'mono8',
    ('uint16', 2): 'mono16',
    ('float32', 2): '32FC1',
}


@cache
def domain() -> int:
    """Return a ROS domain that is this process's alone: groups of tests run at once.

    Raises:
        RuntimeError: if all are taken.
    """
    for step in range(90):
        number = 10 + (os.getpid() + step) % 90  # another than that of the run before
        try:
            lock = os.open(f'{tempfile.gettempdir()}/paif_ros_domain_{number}', os.O_CREAT)
        except PermissionError:  # another user's
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # held until this process ends
        except BlockingIOError:
            os.close(lock)
            continue
        return number
    raise RuntimeError('ROS domains 10 to 99 are all taken by runs of these tests: end some')


def environment() -> dict[str, str]:
    """Return the environment of a graph of our own, with images through shared memory."""
    profile = profile_environment(ROOT / 'config' / 'fastdds_shm.xml', {})
    return {
        **os.environ,
        **profile,
        'PYTHONPATH': os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')]),
        'ROS_DOMAIN_ID': str(domain()),
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
        'RCUTILS_COLORIZED_OUTPUT': '0',
    }


def image(pixels: np.ndarray, stamp: int, frame_id: str) -> Image:
    """Return a message with these pixels.

    Args:
        pixels: uint8 [H, W, 3], uint8 [H, W], uint16 [H, W] or float32 [H, W].
        stamp: nanoseconds.
        frame_id: the camera's frame.
    """
    message = Image()
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 10**9)
    message.header.frame_id = frame_id
    message.height, message.width = pixels.shape[:2]
    message.encoding = ENCODINGS[str(pixels.dtype), pixels.ndim]
    message.step = pixels[0].nbytes
    data = array.array('B')
    data.frombytes(pixels.tobytes())
    message.data = data
    return message


def pixels_of(message: Image) -> np.ndarray:
    """Return the pixels of an rgb8 or mono8 message."""
    channels = {'rgb8': (3,), 'mono8': ()}[message.encoding]
    return np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, *channels)


@dataclass(frozen=True)
class Ending:
    """How the node's process ended: exit code, seconds after the signal, its output."""

    code: int
    seconds: float
    text: str


class Rig:
    """Starts the node on entering and kills what is left of it on leaving.

    Args:
        model: value of model_path.
        listen: names of `TOPICS` to subscribe to.
        wait: the node's state to wait for on entering.
        raw: whether it is to subscribe to the cameras' raw images, which is waited for too.
        qos: profile of the cameras' publishers.
        launcher: command that starts the node's command, such as `setpriv`.
        home: HOME of the node's process, in place of ours.
        parameters: further parameters of the node.
    """

    def __init__(
        self,
        model: Path | str,
        listen: tuple[str, ...] = tuple(TOPICS),
        *,
        wait: str = 'active',
        raw: bool = True,
        qos: QoSProfile = qos_profile_sensor_data,
        launcher: tuple[str, ...] = (),
        home: Path | None = None,
        **parameters: object,
    ) -> None:
        self._listen = listen
        self._wait = wait
        self._raw = raw
        self._qos = qos
        self._launcher = launcher
        self._home = {'HOME': str(home)} if home else {}
        settings = {'model_path': model, 'diagnostics.rate': 10.0, 'engine.threads': 1}
        settings.update({key.replace('__', '.'): value for key, value in parameters.items()})
        self._arguments = [
            part for key, value in settings.items() for part in ('-p', f'{key}:={value}')
        ]
        self.got: dict[str, list[Any]] = {name: [] for name in (*TOPICS, 'diagnostics')}

    def __enter__(self) -> Rig:
        os.environ.update(environment())
        self._output = tempfile.TemporaryFile('w+')  # a pipe nobody reads would fill up
        self.process = subprocess.Popen(
            [
                *(*self._launcher, sys.executable, '-m', 'paif_ros.node', '--ros-args'),
                *self._arguments,
            ],
            env={**environment(), **self._home},
            cwd=ROOT,
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )
        self._context = Context()
        rclpy.init(context=self._context)
        self.node = rclpy.create_node('rig', context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self.visible = self.node.create_publisher(Image, 'color/image_raw', self._qos)
        self.thermal = self.node.create_publisher(Image, 'thermal/image_raw', self._qos)
        self.info = self.node.create_publisher(CameraInfo, 'color/camera_info', self._qos)
        for name in self._listen:
            kind, topic = TOPICS[name]
            self.node.create_subscription(kind, topic, self.got[name].append, 10)
        self.node.create_subscription(
            DiagnosticArray, '/diagnostics', self.got['diagnostics'].append, 10
        )
        try:
            self.until(self._ready, 30.0)
        except BaseException:  # then __exit__ is not called
            self.__exit__(None, None, None)
            raise
        self.spin(0.3)  # the node's publishers must have seen our subscriptions too
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if kind is not None:
            print(self.text())
        self._output.close()
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)

    def _ready(self) -> bool:
        if not self.got['diagnostics'] or self.values()['state'] != self._wait:
            return False
        publishers = (self.info, *((self.visible, self.thermal) if self._raw else ()))
        topics = [TOPICS[name][1] for name in self._listen]
        return self._wait != 'active' or (
            all(publisher.get_subscription_count() for publisher in publishers)
            and all(self.node.count_publishers(topic) for topic in topics)
        )

    def spin(self, seconds: float) -> None:
        """Receive for a while."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)

    def until(self, condition: Callable[[], bool], timeout: float = 10.0) -> None:
        """Receive until something is true, and fail if it does not get true in time."""
        end = time.monotonic() + timeout
        while not condition():
            assert self.process.poll() is None, f'the node has ended:\n{self.text()}'
            assert time.monotonic() < end, f'waited {timeout} s in vain:\n{self.text()}'
            self._executor.spin_once(timeout_sec=0.05)

    def send(self, visible: Image, thermal: Image) -> None:
        """Publish a pair, the RGB image with a camera_info of its stamp."""
        info = CameraInfo(header=visible.header, height=visible.height, width=visible.width)
        info.k[0] = float(visible.header.stamp.nanosec)  # tells them apart
        self.info.publish(info)
        self.visible.publish(visible)
        self.thermal.publish(thermal)

    def text(self) -> str:
        """Return what the node has printed so far."""
        self._output.seek(0)
        return self._output.read()

    def values(self) -> dict[str, str]:
        """Return the last diagnostics by key."""
        return {item.key: item.value for item in self.got['diagnostics'][-1].status[0].values}

    def count(self, key: str) -> int:
        """Return one counter of the last diagnostics."""
        return int(self.values()[key])

    def stop(self, number: int = signal.SIGINT) -> Ending:
        """Send a signal, keep receiving until the process is gone, and drain what it sent last."""
        start = time.monotonic()
        self.process.send_signal(number)
        while self.process.poll() is None and time.monotonic() - start < 10.0:
            self._executor.spin_once(timeout_sec=0.01)
        seconds = time.monotonic() - start
        self.spin(0.3)
        return Ending(self.process.wait(1.0), seconds, self.text())
