"""The node's own work for a pair against the way most Python nodes do it.

`python -m benchmarks.reference_overhead` runs the same messages through `node_overhead`'s path and
through a small reference: pairing as in message_filters.ApproximateTimeSynchronizer (Python), images
as in cv_bridge (`imgmsg_to_cv2` with conversion, `cv2_to_imgmsg` with `tobytes`), thermal to 8 bit
by NumPy percentiles, overlay by NumPy. Neither has inference or DDS. They take turns in blocks in one
process: nothing of them runs beside the other. Processor seconds, so that load adds nothing.
"""  # noqa: E501 - a name of message_filters

from __future__ import annotations

import argparse
import os
import sys
from time import process_time_ns
from typing import Any

import cv2
import numpy as np

from benchmarks.node_overhead import (
    FRAMES,
    PERIOD,
    SIZE,
    StoredEngine,
    camera_images,
    measure,
    new_image,
)
from paif_ros.command_line import add_version

COLORS = np.array([[0, 40, 200], [80, 40, 200], [160, 40, 200]], np.uint8)
EXAMPLES = """
examples:
  python -m benchmarks.reference_overhead --blocks 5
"""


class ApproximateTime:
    """Pairs nearest stamps, all that wait sorted on each add, as message_filters does."""

    def __init__(self, queue: int = 10, slop: int = 20_000_000) -> None:
        self._queue, self._slop = queue, slop
        self._waiting: tuple[dict[int, Any], dict[int, Any]] = ({}, {})

    def add(self, side: int, stamp: int, message: Any) -> tuple[Any, Any] | None:
        """Add a message of side 0 or 1 (stamp in ns); return a pair where one is complete."""
        mine, other = self._waiting[side], self._waiting[1 - side]
        mine[stamp] = message
        while len(mine) > self._queue:
            del mine[min(mine)]
        near = sorted((abs(s - stamp), s) for s in other if abs(s - stamp) <= self._slop)
        if not near:
            return None
        partner = other.pop(near[0][1])
        del mine[stamp]
        return (message, partner) if side == 0 else (partner, message)


def imgmsg_to_cv2(message: Any, dtype: type, channels: int) -> np.ndarray:
    """Return a message's pixels as cv_bridge does: a view, or a copy where colours change."""
    shape = (message.height, message.width, channels)[: 3 if channels > 1 else 2]
    pixels = np.ndarray(shape, dtype, buffer=message.data)
    # cv_bridge users ask for bgr8, and convert back for a network that takes RGB.
    return cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if channels == 3 else pixels


def cv2_to_imgmsg(pixels: np.ndarray, encoding: str) -> Any:
    """Return a message as cv_bridge makes it, pixels by way of bytes."""
    message = new_image()
    message.height, message.width = pixels.shape[:2]
    message.encoding, message.is_bigendian = encoding, 0
    message.step = pixels.strides[0]
    message.data = pixels.tobytes()
    return message


def reference(pairs: int) -> list[float]:
    """Return processor milliseconds of the reference for each pair."""
    images, sync, engine = camera_images(), ApproximateTime(), StoredEngine()
    times = []
    for number in range(pairs):
        color, heat = images[number % FRAMES]
        stamp = (number + 1) * PERIOD
        start = process_time_ns()
        sync.add(1, stamp, heat)
        pair = sync.add(0, stamp + 2_000_000, color)
        assert pair is not None
        rgb = cv2.cvtColor(imgmsg_to_cv2(pair[0], np.uint8, 3), cv2.COLOR_BGR2RGB)
        raw = imgmsg_to_cv2(pair[1], np.uint16, 1).astype(np.float32)
        low, high = np.percentile(raw, (1, 99))
        gray = (np.clip((raw - low) / max(high - low, 1), 0, 1) * 255).astype(np.uint8)
        answer = engine.infer(
            cv2.resize(rgb, SIZE[::-1]), np.asarray(cv2.resize(gray, SIZE[::-1]), np.uint8)
        )
        fused = np.asarray(cv2.resize(answer.fused, SIZE[::-1]))
        overlay = fused.copy()
        where = answer.mask > 0
        overlay[where] = (fused[where] * 0.5 + COLORS[answer.mask[where]] * 0.5).astype(np.uint8)
        for pixels, encoding in ((fused, 'rgb8'), (answer.mask, 'mono8'), (overlay, 'rgb8')):
            cv2_to_imgmsg(pixels, encoding)
        times.append((process_time_ns() - start) / 1e6)
    return times


def main(argv: list[str] | None = None) -> int:
    """Measure in turns and print medians and their ratio."""
    parser = argparse.ArgumentParser(
        prog='benchmarks.reference_overhead',
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_version(parser)
    parser.add_argument('--blocks', type=int, default=5, help='blocks of 60 pairs of each')
    args = parser.parse_args(argv)
    load = os.getloadavg()[0]
    blocks = [(float(np.median(reference(60))), measure(60, 0.0)) for _ in range(args.blocks)]
    theirs = float(np.median([ms for ms, _ in blocks]))
    ours = float(np.median([report.p50['cpu'] for _, report in blocks]))
    p99 = float(np.median([report.p99['total'] for _, report in blocks]))
    ratio = float(np.median([ms / report.p50['cpu'] for ms, report in blocks]))
    print(f'{args.blocks} blocks of 60 pairs of {SIZE[1]}x{SIZE[0]}, load {load:.1f} before')
    print(f'reference {theirs:.2f} ms, ours {ours:.2f} ms of processor: {ratio:.1f} times less')
    print(f'ours, by the clock, p99 {p99:.2f} ms')
    return 0


if __name__ == '__main__':
    sys.exit(main())
