"""Notes when each result of the node arrives, as its own process, with the node's diagnostics.

Pictures are unpacked only as far as their stamp: recording must not take the processor from the
node that is measured.
"""

from __future__ import annotations

import queue
import threading
import time
from functools import partial
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import Image

from benchmarks.end_to_end.lines import answer, commands
from demo.topics import DIAGNOSTICS, FUSED, MASK, NODE
from demo.wire import stamp_of

DEPTH = 20
SETTLE_SECONDS = 10.0  # for what is under way in the node, at most
CALM_SECONDS = 0.2  # without any message: diagnostics may overtake pictures


class Recorder(Node):
    """Keeps arrivals and the last diagnostics."""

    def __init__(self) -> None:
        super().__init__('recorder')
        self.arrivals: dict[str, list[tuple[int, int]]] = {FUSED: [], MASK: []}
        self.diagnostics: dict[str, str] = {}
        self.said = ''
        self.when = 0  # stamp of the diagnostics in ns
        self.last = 0  # when the last picture came, ns
        for topic in self.arrivals:
            self.create_subscription(Image, topic, partial(self._take, topic), DEPTH, raw=True)
        self.create_subscription(DiagnosticArray, DIAGNOSTICS, self._hear, DEPTH)

    def _take(self, topic: str, raw: bytes) -> None:
        self.last = time.time_ns()
        self.arrivals[topic].append((stamp_of(raw), self.last))

    def _hear(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if NODE in status.name:
                self.diagnostics = {item.key: item.value for item in status.values}
                self.said = status.message
                self.when = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec

    def ready(self) -> bool:
        """Whether the node is active and its outputs are there."""
        there = all(self.count_publishers(topic) for topic in self.arrivals)
        return there and self.diagnostics.get('state') == 'active'

    def failed(self) -> bool:
        """Whether the node says that it could not be configured."""
        return self.diagnostics.get('state') == 'unconfigured' and self.said.startswith(
            'unconfigured: '
        )

    def idle_since(self, moment: int) -> bool:
        """Whether diagnostics later than this, in ns, say that no frame is under way."""
        pending = [self.diagnostics.get(f'{camera}.pending') for camera in ('visible', 'thermal')]
        return self.when > moment and pending == ['0', '0']

    def collect(self) -> dict[str, Any]:
        """Return what arrived since the last call, and the diagnostics of now."""
        arrivals = list(self.arrivals.values())
        for topic in self.arrivals:
            self.arrivals[topic] = []
        return {'arrivals': arrivals, 'diagnostics': self.diagnostics}


def main() -> None:
    """Say when the node is ready; then, for each line of standard input, what has arrived."""
    rclpy.init()
    node = Recorder()
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    while not node.ready():
        executor.spin_once(timeout_sec=0.05)
        if node.failed():
            break
    answer({'ready': node.ready(), 'said': node.said, 'diagnostics': node.diagnostics})
    asked: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def read() -> None:
        for command in commands():
            asked.put(command)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    while reader.is_alive():
        executor.spin_once(timeout_sec=0.05)
        if asked.empty():
            continue
        asked.get()
        begun = time.time_ns()
        while not node.idle_since(begun) and time.time_ns() < begun + SETTLE_SECONDS * 1e9:
            executor.spin_once(timeout_sec=0.05)
        while time.time_ns() < node.last + CALM_SECONDS * 1e9:
            executor.spin_once(timeout_sec=0.05)
        answer(node.collect())
    executor.shutdown()
    node.destroy_node()
    rclpy.try_shutdown()


if __name__ == '__main__':
    main()
