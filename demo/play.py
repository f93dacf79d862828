"""The cameras of the demo: plays a bag on the graph in real time, as its own process.

Every message gets the present time as its stamp, as from a camera. With the stamps of the bag,
latency would mean nothing: it is the time from a picture's stamp to the fused picture's arrival.
With the node running:

    python -m demo.play demo_out/input_bag sent.json
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rclpy.signals import SignalHandlerOptions
from rosbags.highlevel import AnyReader
from sensor_msgs.msg import CameraInfo, Image

from demo.topics import DIAGNOSTICS, NODE, OUTPUTS
from demo.wire import restamp, stamp_of
from paif_ros.command_line import add_version
from scenes.bag import COLOR, COLOR_INFO, THERMAL
from scenes.progress import show_progress

KINDS = {COLOR: Image, COLOR_INFO: CameraInfo, THERMAL: Image}
LINGER = 1.0  # seconds


@dataclass
class Played:
    """What was sent.

    Attributes:
        stamps: for each image topic the stamps in nanoseconds, in the order of the bag.
        late: for each message how many nanoseconds it went out after its time.
    """

    stamps: dict[str, list[int]] = field(default_factory=lambda: {COLOR: [], THERMAL: []})
    late: list[int] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        late = sorted(self.late) or [0]
        facts = {'stamps': self.stamps, 'late_p99_ms': late[len(late) * 99 // 100] / 1e6}
        path.write_text(json.dumps(facts))


class Player(Node):
    """Publishes best effort like real cameras do: a lost picture is not sent again."""

    def __init__(self) -> None:
        super().__init__('demo_player')
        self._outlets = {
            topic: self.create_publisher(kind, topic, qos_profile_sensor_data)
            for topic, kind in KINDS.items()
        }
        self._state = ''
        self._complaint = ''
        self.create_subscription(DiagnosticArray, DIAGNOSTICS, self._hear, 10)

    def _hear(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if NODE in status.name:
                self._state = next(v.value for v in status.values if v.key == 'state')
                failed = self._state == 'unconfigured' and status.level == DiagnosticStatus.ERROR
                self._complaint = status.message if failed else ''

    def missing(self) -> list[str]:
        """Return what is not there yet, in words; empty when playing may begin."""
        silent = [t for t, outlet in self._outlets.items() if outlet.get_subscription_count() < 1]
        unheard = [topic for topic in OUTPUTS if self.count_subscribers(topic) < 1]
        reasons = [f'nobody subscribes to {topic}' for topic in (*silent, *unheard)]
        if self._state != 'active':
            reasons.append(f'/{NODE} is {self._state or "not there"}')
        return reasons

    def wait(self, timeout: float, stopped: Callable[[], bool]) -> None:
        """Wait until the node listens, its model is loaded and the recorder listens to it.

        Raises:
            TimeoutError: it took longer than `timeout` seconds; says what is missing. At once
                where the node says that it can't be configured.
        """
        end = time.monotonic() + timeout
        while not stopped():
            rclpy.spin_once(self, timeout_sec=0.05)
            missing = self.missing()
            if not missing:
                return
            if self._complaint:
                raise TimeoutError(f'/{NODE} says: {self._complaint}')
            if time.monotonic() > end:
                raise TimeoutError(f'waited {timeout:.0f} s in vain: {"; ".join(missing)}')

    def play(self, bag: Path, stopped: Callable[[], bool]) -> Played:
        """Publish all messages at the pace of the bag."""
        played = Played()
        renewed: dict[int, int] = {}  # so that an image and its camera_info keep one stamp
        with AnyReader([bag]) as reader:
            chosen = [c for c in reader.connections if c.topic in self._outlets]
            total = sum(connection.msgcount for connection in chosen)
            first, start = reader.start_time, time.monotonic_ns()
            messages = show_progress(reader.messages(chosen), total, 'playing')
            for connection, when, raw in messages:
                due = start + when - first
                time.sleep(max(0, due - time.monotonic_ns()) / 1e9)
                if stopped():
                    break
                stamp = renewed.setdefault(stamp_of(raw), time.time_ns())
                self._outlets[connection.topic].publish(restamp(raw, stamp))
                played.late.append(time.monotonic_ns() - due)
                if connection.topic in played.stamps:
                    played.stamps[connection.topic].append(stamp)
        return played


def main() -> None:
    """Read the command line, wait for the others, play."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_version(parser)
    parser.add_argument('bag', type=Path, help='folder of the bag')
    parser.add_argument('facts', type=Path, help='JSON file to write what was sent to')
    parser.add_argument('--timeout', type=float, default=60.0, help='seconds to wait for the node')
    args = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = Player()
    try:
        node.wait(args.timeout, stop.is_set)
        node.play(args.bag, stop.is_set).save(args.facts)
        # The last pictures lie in this process's shared memory until the node has taken them.
        stop.wait(LINGER)
    except TimeoutError as err:
        print(f'player: {err}', file=sys.stderr)
        sys.exit(1)
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == '__main__':
    main()
