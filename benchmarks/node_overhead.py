"""What the node itself costs per pair, outside inference and DDS.

    python -m benchmarks.node_overhead
    python -m benchmarks.node_overhead --pairs 2000 --rate 30 --json overhead.json

Pushes 640x480 pairs (rgb8 and mono16) through the node's own path: pairing, mailbox, decoding,
thermal to 8 bit, overlay, packing of fused picture, mask and overlay. The engine hands out a
stored answer, and its time is taken out. The aim: 3 ms at the 99th percentile. The row `cpu` is
the process's own time, which other processes on the machine do not add to; `steady` is what a
steady mask (`mask.hold` above 1, off by default) adds to the total.
"""

from __future__ import annotations

import argparse
import array
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic_ns, process_time_ns, sleep
from types import SimpleNamespace
from typing import Any

import numpy as np

from paif_ros.command_line import add_version
from paif_ros.contract import ClassLabel, ModelCard
from paif_ros.engines.base import U8, EngineInfo, Prediction
from paif_ros.fusion.hysteresis import MaskHysteresis, Seen
from paif_ros.fusion.jobs import Capture, Job
from paif_ros.fusion.mailbox import Mailbox
from paif_ros.fusion.pipeline import Infos, Pipeline, Settings
from paif_ros.fusion.results import Wanted
from paif_ros.images.codec import pack
from paif_ros.monitoring.accounting import JobKind, Source
from paif_ros.monitoring.statistics import Ticket, percentiles
from paif_ros.parameters import MaskParameters, OverlayParameters
from paif_ros.registration.registration import Registration
from paif_ros.sync.pairing import Frame, Pair, Pairer
from paif_ros.thermal.agc import ThermalConfig

SIZE = (480, 640)
TARGET_MS = 3.0
WARM_UP = 20
PERIOD = 33_333_333  # ns between two stamps
FRAMES = 8  # different pictures, so that no cache holds them all


class StoredEngine:
    """Answers every pair at once with one prediction: 7 % of its pixels are a class."""

    def __init__(self) -> None:
        random = np.random.default_rng(0)
        mask = np.zeros(SIZE, np.uint8)
        mask[200:380, 100:220] = 2
        self._prediction = Prediction(random.integers(0, 256, (*SIZE, 3), np.uint8), mask)

    def load(self) -> EngineInfo:
        """Return a card of three classes."""
        classes = tuple(ClassLabel(n, str(n), (80 * n, 40, 200)) for n in range(3))
        card = ModelCard('stored', '', '{}', classes, SIZE, '', '')
        return EngineInfo('stored', 'none', 'a benchmark', card)

    def infer(self, visible: U8, thermal: U8) -> Prediction:
        """Return the prediction."""
        return self._prediction

    def close(self) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class Report:
    """Milliseconds per pair, and what was measured with.

    Attributes:
        pairs: how many.
        messages: 'rclpy' or 'plain' where ROS is not installed.
        p50: median by stage.
        p99: 99th percentile by stage; 'steady' is in no total.
        target_p99_ms: what 'total' should stay under.
    """

    pairs: int
    messages: str
    p50: dict[str, float]
    p99: dict[str, float]
    target_p99_ms: float


def new_image() -> Any:
    """Return an empty Image: rclpy's where it is installed, so that its setters are measured."""
    try:
        from sensor_msgs.msg import Image
    except ImportError:
        return SimpleNamespace()
    return Image()


def camera_images() -> list[tuple[Any, Any]]:
    """Return the messages of both cameras as they come from the middleware."""
    random = np.random.default_rng(1)
    images = []
    for _ in range(FRAMES):
        color, heat = new_image(), new_image()
        pack(color, random.integers(0, 256, (*SIZE, 3), np.uint8), 'rgb8')
        heat.height, heat.width = SIZE
        heat.encoding, heat.is_bigendian, heat.step = 'mono16', 0, SIZE[1] * 2
        data = array.array('B')
        data.frombytes(random.normal(29000, 800, SIZE).astype(np.uint16).tobytes())
        heat.data = data
        images.append((color, heat))
    return images


def steady_times(count: int) -> list[int]:
    """Return what the steadying of each of so many masks with confidence takes, in ns."""
    random = np.random.default_rng(2)
    # Blocks of one class, as masks are, and pictures of which the half changes.
    blocks = random.integers(0, 3, (FRAMES, SIZE[0] // 16, SIZE[1] // 16), np.uint8)
    masks = blocks.repeat(16, axis=1).repeat(16, axis=2)
    sure = random.integers(80, 256, (FRAMES, *SIZE), np.uint8)
    colors = random.integers(0, 256, (FRAMES, *SIZE, 3), np.uint8)
    colors[:, :, : SIZE[1] // 2] = colors[0, :, : SIZE[1] // 2]
    heat = colors[..., 0].copy()
    filter_, config = MaskHysteresis(), MaskParameters(hold=3, confidence=150, motion=4)
    times = []
    for number in range(WARM_UP + count):
        one = number % FRAMES
        prediction = Prediction(colors[one], masks[one], sure[one])
        seen = Seen(colors[one], heat[one], (number + 1) * PERIOD)
        start = monotonic_ns()
        filter_.apply(prediction, seen, config)
        if number >= WARM_UP:
            times.append(monotonic_ns() - start)
    return times


def measure(count: int, rate: float) -> Report:
    """Run pairs through the node's path.

    Args:
        count: pairs that are counted, after a few to warm up.
        rate: pairs per second, 0 for one after the other.
    """
    pipeline = Pipeline(StoredEngine(), Registration('none', None))
    pipeline.load()
    settings = Settings(ThermalConfig(), OverlayParameters(0.5, 'fused', False, False))
    wanted = Wanted(fused=True, mask=True, overlay=True)
    pairer: Pairer[Any] = Pairer(20_000_000, 10, lambda frame, reason: None)
    mailbox: Mailbox[Pair[Any]] = Mailbox()
    images = camera_images()
    inside = ('decode', 'thermal', 'registration', 'convert')
    stages: dict[str, list[int]] = {name: [] for name in ('pair', *inside, 'pack', 'total', 'cpu')}
    for number in range(WARM_UP + count):
        color, heat = images[number % FRAMES]
        stamp = (number + 1) * PERIOD
        start, start_cpu = monotonic_ns(), process_time_ns()
        pairer.push(Frame(Source.THERMAL, stamp, start, Capture(heat)))
        frame = Frame(Source.VISIBLE, stamp + 2_000_000, monotonic_ns(), Capture(color))
        for pair in pairer.push(frame):
            mailbox.put(pair)
        taken = mailbox.get(timeout=0)
        paired = monotonic_ns()
        if taken is None:  # a partner is waited for until the pairer knows the cameras' rhythm
            continue
        job = Job(taken.visible, taken.thermal, paired, Ticket(number, JobKind.PAIR))
        result = pipeline.run(job, wanted, settings, Infos())
        computed = monotonic_ns()
        for pixels, encoding in (
            (result.fused, 'rgb8'),
            (result.mask, 'mono8'),
            (result.overlay, 'rgb8'),
        ):
            assert pixels is not None
            pack(new_image(), pixels, encoding)
        end = monotonic_ns()
        if number >= WARM_UP:
            stages['pair'].append(paired - start)
            for name in inside:
                stages[name].append(result.times[name])
            stages['pack'].append(end - computed)
            stages['total'].append(end - start - result.times['inference'])
            stages['cpu'].append(process_time_ns() - start_cpu)
        if rate:
            sleep(max(0.0, 1.0 / rate - (monotonic_ns() - start) / 1e9))
    stages['steady'] = steady_times(count)
    spans = {name: percentiles(times) for name, times in stages.items()}
    return Report(
        pairs=len(stages['total']),
        messages='rclpy' if 'sensor_msgs.msg' in sys.modules else 'plain',
        p50={name: round(span.p50, 3) for name, span in spans.items()},
        p99={name: round(span.p99, 3) for name, span in spans.items()},
        target_p99_ms=TARGET_MS,
    )


def main() -> None:
    """Measure, print, and write the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_version(parser)
    parser.add_argument('--pairs', type=int, default=600, help='pairs to measure')
    parser.add_argument('--rate', type=float, default=0.0, help='pairs per second, 0: at once')
    parser.add_argument('--json', type=Path, help='file for the result')
    options = parser.parse_args()
    report = measure(options.pairs, options.rate)
    print(f'{report.pairs} pairs of 640x480, {report.messages} messages, milliseconds')
    for name in report.p50:
        print(f'{name:>12}  p50 {report.p50[name]:7.3f}  p99 {report.p99[name]:7.3f}')
    verdict = 'within' if report.p99['total'] <= TARGET_MS else 'past'
    print(f'the 99th percentile is {verdict} the aim of {TARGET_MS} ms')
    if options.json:
        options.json.write_text(json.dumps(asdict(report), indent=2) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
