"""One node under soak, in its own process, and what sends it pairs and takes its answers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from time import clock_gettime_ns, monotonic, monotonic_ns
from typing import Any

import numpy as np

from benchmarks.soak_report import BLOCK, Sample

ROOT = Path(__file__).resolve().parents[1]
PERIOD = 33_333_333  # ns between two stamps
START = 1_000 * 10**9
PICTURES = 8  # different ones, so that the thermal camera does not look frozen
START_SECONDS, ANSWER_SECONDS = 60.0, 2.0


def camera_images(size: tuple[int, int]) -> list[tuple[Any, Any]]:
    """Return pairs of messages, rgb8 and mono16, with random pictures."""
    import array

    from sensor_msgs.msg import Image

    random = np.random.default_rng(0)
    height, width = size

    def image(pixels: np.ndarray, encoding: str) -> Any:
        data = array.array('B', pixels.tobytes())
        step = pixels[0].nbytes
        return Image(height=height, width=width, encoding=encoding, step=step, data=data)

    return [
        (
            image(random.integers(0, 256, (*size, 3), np.uint8), 'rgb8'),
            image(random.normal(29000, 800, size).astype(np.uint16), 'mono16'),
        )
        for _ in range(PICTURES)
    ]


class Line:
    """One node in its own process, with its cameras and a listener on a node of this process.

    Args:
        ros: the node of this process.
        executor: spins it.
        model: file of the network.
        size: height and width of the pictures.
        namespace: of the node and its topics.
    """

    def __init__(
        self, ros: Any, executor: Any, model: Path, size: tuple[int, int], namespace: str = ''
    ) -> None:
        from diagnostic_msgs.msg import DiagnosticArray
        from rclpy.qos import QoSProfile
        from sensor_msgs.msg import Image

        self._executor = executor
        self._images = camera_images(size)
        self._name = f'{namespace}/fusion'
        self._values: dict[str, str] = {}
        self._under_way: dict[int, int] = {}  # when each was sent, by stamp
        self.latencies: list[int] = []  # ns, of every answered pair
        self.costs: list[int] = []  # ns, computed by the node for every sent pair
        self.sent = self.answered = 0
        self._computed = 0
        # A pipe that nobody reads would fill up.
        self._output = tempfile.TemporaryFile('w+')  # noqa: SIM115 - closed by __exit__
        self._process = subprocess.Popen(
            [
                *(sys.executable, '-m', 'paif_ros.node', '--ros-args'),
                *('-r', f'__ns:={namespace or "/"}'),
                *('-p', f'model_path:={model}', '-p', 'engine.threads:=1'),
            ],
            env=os.environ,
            cwd=ROOT,
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )
        reliable = QoSProfile(depth=5)  # the node then asks for it too, and nothing is lost
        self._cameras = [
            ros.create_publisher(Image, f'{namespace}/{camera}/image_raw', reliable)
            for camera in ('color', 'thermal')
        ]
        ros.create_subscription(Image, f'{self._name}/segmentation/mask', self._take, 10)
        ros.create_subscription(DiagnosticArray, '/diagnostics', self._hear, 10)

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._output.close()

    def wait_ready(self) -> None:
        """Wait until a pair is answered.

        Raises:
            RuntimeError: none is; the text is what the node has said.
        """
        until = monotonic() + START_SECONDS
        while self._values.get('state') != 'active' or not all(
            camera.get_subscription_count() for camera in self._cameras
        ):
            self._look(until)
        self.spin(1.5)  # the node looks twice a second at what is offered, and subscribes anew
        while not self.latencies:
            self.send_pair()
            self.wait_answered()
            self._look(until)

    def _look(self, until: float) -> None:
        if self._process.poll() is not None or monotonic() > until:
            raise RuntimeError(f'the node does not answer:\n{self.text()}')
        self._executor.spin_once(timeout_sec=0.05)

    def send_pair(self) -> None:
        """Publish the next pair."""
        messages = self._images[self.sent % PICTURES]
        stamp = START + self.sent * PERIOD
        self._under_way[stamp] = monotonic_ns()
        self._count_cost()
        for camera, message in zip(self._cameras, messages, strict=True):
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 10**9)
            camera.publish(message)
        self.sent += 1

    def _count_cost(self) -> None:
        """Note what the node has computed since this was asked before: for one pair, or idle."""
        clock = (~self._process.pid << 3) | 2  # Linux's number for the CPU time of a process
        before, self._computed = self._computed, clock_gettime_ns(clock)
        self.costs.append(self._computed - before)

    def wait_answered(self) -> None:
        """Wait until nothing is under way, though not for ever: a pair may have been dropped."""
        until = monotonic() + ANSWER_SECONDS
        while self._under_way and (left := until - monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)
        self._under_way.clear()

    def spin(self, seconds: float) -> None:
        """Receive for a while, once at least: a sender that is late must not be deaf."""
        until = monotonic() + seconds
        while True:
            self._executor.spin_once(timeout_sec=max(0.0, until - monotonic()))
            if monotonic() >= until:
                return

    def block(self) -> tuple[list[int], list[int]]:
        """Send one pair after the other. Returns their latencies and costs in ns."""
        answered, sent = len(self.latencies), len(self.costs)
        for _ in range(BLOCK + 1):
            self.send_pair()
            self.wait_answered()
        return self.latencies[answered:], self.costs[sent + 1 :]  # the first is of idle time

    def sample(self) -> Sample:
        """Return what the node's process holds now."""
        folder = Path('/proc') / str(self._process.pid)
        pages = int((folder / 'statm').read_text().split()[1])
        return Sample(
            answered=len(self.latencies),
            memory=pages * os.sysconf('SC_PAGE_SIZE'),
            threads=len(os.listdir(folder / 'task')),
            files=len(os.listdir(folder / 'fd')),
        )

    def stop(self) -> dict[str, str]:
        """End the node. Returns its last diagnostics."""
        self._process.send_signal(signal.SIGINT)
        until = monotonic() + 5.0
        while self._process.poll() is None and monotonic() < until:
            self._executor.spin_once(timeout_sec=0.01)
        self.spin(0.3)
        return self._values

    def text(self) -> str:
        """Return what the node has printed."""
        self._output.seek(0)
        return self._output.read()

    def _take(self, mask: Any) -> None:
        now, stamp = monotonic_ns(), mask.header.stamp.sec * 10**9 + mask.header.stamp.nanosec
        self.answered += 1
        if stamp in self._under_way:
            self.latencies.append(now - self._under_way[stamp])
        # Results come in the order of their pairs: what is older was dropped.
        self._under_way = {at: sent for at, sent in self._under_way.items() if at > stamp}

    def _hear(self, message: Any) -> None:
        for status in message.status:
            if status.name.startswith(f'{self._name}:'):
                self._values = {item.key: item.value for item in status.values}
