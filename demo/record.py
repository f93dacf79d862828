"""Records what the node sends, and when it arrives, as its own process.

Messages go into the bag as they came, unpacked only as far as their stamp: recording must not take
the processor from the node that is measured. Until SIGINT or SIGTERM:

    python -m demo.record recorded_bag received.json
"""

from __future__ import annotations

import argparse
import json
import signal
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from rclpy.signals import SignalHandlerOptions
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore
from sensor_msgs.msg import CameraInfo, Image

from demo.topics import DIAGNOSTIC_ARRAY, DIAGNOSTICS, IMAGE, INFO, NODE, OUTPUTS
from demo.wire import stamp_of
from paif_ros.command_line import add_version
from scenes.bag import BAG_VERSION

KINDS = {IMAGE: Image, INFO: CameraInfo, DIAGNOSTIC_ARRAY: DiagnosticArray}
DEPTH = 20


class Recorder(Node):
    """Writes each message at once and notes its stamp and the time of its arrival.

    Args:
        writer: an open bag.
    """

    def __init__(self, writer: Writer) -> None:
        super().__init__('demo_recorder')
        self._writer = writer
        self._arrivals: dict[str, list[tuple[int, int]]] = {}
        self._diagnostics: dict[str, Any] = {}
        store = get_typestore(Stores.ROS2_HUMBLE)
        for topic, kind in {**OUTPUTS, DIAGNOSTICS: DIAGNOSTIC_ARRAY}.items():
            connection = writer.add_connection(topic, kind, typestore=store)
            self._arrivals[topic] = []
            take = partial(self._take, topic, connection)
            self.create_subscription(KINDS[kind], topic, take, DEPTH, raw=True)

    def _take(self, topic: str, connection: Any, raw: bytes) -> None:
        now = time.time_ns()
        self._arrivals[topic].append((stamp_of(raw), now))
        self._writer.write(connection, now, raw)
        if topic == DIAGNOSTICS:
            for status in deserialize_message(raw, DiagnosticArray).status:
                if NODE in status.name:
                    values = {item.key: item.value for item in status.values}
                    self._diagnostics = {'message': status.message, 'values': values}

    def facts(self) -> dict[str, Any]:
        """Return arrivals as (stamp, time of arrival) in ns by topic, and the last diagnostics."""
        return {'arrivals': self._arrivals, 'diagnostics': self._diagnostics}


def main() -> None:
    """Record until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_version(parser)
    parser.add_argument('bag', type=Path, help='folder of the bag, made here')
    parser.add_argument('facts', type=Path, help='JSON file to write what arrived to')
    args = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    with Writer(args.bag, version=BAG_VERSION, storage_plugin=StoragePlugin.MCAP) as writer:
        node = Recorder(writer)
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        while not stop.is_set():
            executor.spin_once(timeout_sec=0.1)
        args.facts.write_text(json.dumps(node.facts()))
        executor.shutdown()
        node.destroy_node()
    rclpy.try_shutdown()


if __name__ == '__main__':
    main()
