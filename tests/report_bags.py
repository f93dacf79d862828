"""A small bag with what a node publishes, written by rosbags."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from paif_ros.replay.messages import store

SECONDS = 10
START = 1_700_000_000
SIZE = (16, 32)


def write_bag(path: Path) -> Path:
    """Write ten seconds: diagnostics, masks with a quarter of class 1, pictures, labels."""
    from rosbags.rosbag2 import Writer

    types = store()

    def of(kind: str) -> Any:
        return types.types[kind]

    def header(second: float) -> Any:
        whole = int(second)
        stamp = of('builtin_interfaces/msg/Time')(START + whole, int((second - whole) * 1e9))
        return of('std_msgs/msg/Header')(stamp, 'rgb')

    def image(second: float, pixels: np.ndarray, encoding: str) -> Any:
        step = pixels[0].nbytes
        return of('sensor_msgs/msg/Image')(
            header(second), *SIZE, encoding, 0, step, pixels.reshape(-1)
        )

    def diagnostics(second: int) -> Any:
        status, pair = (
            of('diagnostic_msgs/msg/DiagnosticStatus'),
            of('diagnostic_msgs/msg/KeyValue'),
        )
        lost = 2 * second if second < SECONDS - 1 else 1  # it was started anew
        values = {
            'results.rate_hz': '9.9',
            'visible.rate_hz': '10.0',
            'thermal.rate_hz': '12.0',
            'latency.total.p50_ms': f'{40 + second}.0',
            'latency.total.p99_ms': '90.0',
            'thermal.dropped.no_partner': str(lost),
            'model.weights_sha256': 'ab' * 32,
        }
        error = second == 5
        told = status(
            level=2 if error else 0,
            name='/fusion: fusion',
            message='camera stopped <b>' if error else 'fusing',
            hardware_id='CPU',
            values=[pair(key, value) for key, value in values.items()],
        )
        return of('diagnostic_msgs/msg/DiagnosticArray')(header(second), [told])

    def labels() -> Any:
        names = ('background', 'car', 'person')
        kind = of('vision_msgs/msg/VisionClass')
        return of('vision_msgs/msg/LabelInfo')(
            header(0), [kind(number, name) for number, name in enumerate(names)], 0.0
        )

    mask = np.zeros(SIZE, np.uint8)
    mask[:8, :16] = 1
    color = np.full((*SIZE, 3), 90, np.uint8)
    with Writer(path, version=9) as writer:
        connections: dict[str, Any] = {}

        def put(topic: str, kind: str, second: float, message: Any) -> None:
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=types)
            at = round((START + second) * 1e9)
            writer.write(connections[topic], at, types.serialize_cdr(message, kind))

        put('/fusion/segmentation/label_info', 'vision_msgs/msg/LabelInfo', 0, labels())
        for second in range(SECONDS):
            put('/diagnostics', 'diagnostic_msgs/msg/DiagnosticArray', second, diagnostics(second))
            for topic, pixels, encoding in (
                ('/color/image_raw', color, 'rgb8'),
                ('/fusion/thermal/image', mask, 'mono8'),
                ('/fusion/fused/image', color, 'rgb8'),
                ('/fusion/segmentation/overlay', color, 'rgb8'),
                ('/fusion/segmentation/mask', mask, 'mono8'),
            ):
                put(topic, 'sensor_msgs/msg/Image', second, image(second, pixels, encoding))
    return path
