"""Both cameras of the benchmark, as their own process: sends pairs at the rate it is told.

Pictures are random pixels, serialised once; each message gets the present time as its stamp.
Best effort, as camera drivers send.
"""

from __future__ import annotations

import array
import sys
import time
from itertools import cycle
from typing import Any

import numpy as np
import rclpy
from rclpy.qos import qos_profile_sensor_data
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image

from benchmarks.end_to_end.lines import answer, commands
from demo.wire import restamp
from paif_ros.monitoring.statistics import percentiles

SIZES = {  # (height, width) of the rgb8 and of the mono16 image
    'vga': ((480, 640), (480, 640)),
    '720p': ((720, 1280), (512, 640)),
    '1080p': ((1080, 1920), (512, 640)),
}
DIFFERENT = 4  # pictures in turn, so that no cache holds them all and no camera looks frozen
MATCH_SECONDS = 60.0


def pictures(size: str) -> list[tuple[bytes, bytes]]:
    """Return serialised pairs of an rgb8 and a mono16 image of one of `SIZES`."""
    random = np.random.default_rng(0)
    color, thermal = SIZES[size]

    def serialised(pixels: np.ndarray, encoding: str) -> bytes:
        height, width = pixels.shape[:2]
        data = array.array('B', pixels.tobytes())
        step = pixels[0].nbytes
        image = Image(height=height, width=width, encoding=encoding, step=step, data=data)
        image.header.frame_id = 'camera'
        return bytes(serialize_message(image))

    return [
        (
            serialised(random.integers(0, 256, (*color, 3), np.uint8), 'rgb8'),
            serialised(random.normal(29000, 800, thermal).astype(np.uint16), 'mono16'),
        )
        for _ in range(DIFFERENT)
    ]


def send(publishers: list[Any], pairs: Any, rate: float, seconds: float) -> dict[str, Any]:
    """Send pairs for a while and say what was sent.

    Returns:
        'stamps' in ns, 'seconds' from the first pair to the last, and by how many milliseconds
        pairs were late at the 99th percentile, 'late_p99_ms'.
    """
    stamps: list[int] = []
    late: list[int] = []
    start = time.monotonic_ns()
    for number in range(max(1, round(rate * seconds))):
        due = start + round(number * 1e9 / rate)
        time.sleep(max(0, due - time.monotonic_ns()) / 1e9)
        late.append(time.monotonic_ns() - due)
        if late[-1] > 1e9 * max(1.0, seconds):
            break  # it can't keep up at all
        stamp = time.time_ns()
        for publisher, raw in zip(publishers, next(pairs), strict=True):
            publisher.publish(restamp(raw, stamp))
        stamps.append(stamp)
    return {
        'stamps': stamps,
        'seconds': (stamps[-1] - stamps[0]) / 1e9,
        'late_p99_ms': percentiles(late).p99,
    }


def main() -> None:
    """Wait for the node to listen, then send what standard input asks for."""
    rclpy.init()
    node = rclpy.create_node('cameras')
    publishers = [
        node.create_publisher(Image, topic, qos_profile_sensor_data)
        for topic in ('color/image_raw', 'thermal/image_raw')
    ]
    pairs = cycle(pictures(sys.argv[1]))
    until = time.monotonic() + MATCH_SECONDS
    while any(not publisher.get_subscription_count() for publisher in publishers):
        if time.monotonic() > until:
            sys.exit('nobody listens to the cameras')
        time.sleep(0.01)
    answer({'ready': True})
    for command in commands():
        answer(send(publishers, pairs, command['rate'], command['seconds']))
    node.destroy_node()
    rclpy.try_shutdown()


if __name__ == '__main__':
    main()
