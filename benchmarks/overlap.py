"""What `engine.overlap` gives where the network leaves the CPU free, as a GPU does.

`python -m benchmarks.overlap` sends pairs through the node's own worker: mailbox, decoding,
thermal range, drawing, packing, in one thread or with overlapping stages. In place of the network
stands a pause of `--network` ms with a stored answer, so that no GPU is needed; DDS is left out.
Both ways take turns, so that noise on the machine falls on both alike. With a real network and
DDS: `python -m benchmarks.end_to_end.versus`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic_ns, process_time_ns, sleep
from typing import Any

import numpy as np

from benchmarks.node_overhead import (
    FRAMES,
    PERIOD,
    SIZE,
    StoredEngine,
    camera_images,
    new_image,
)
from paif_ros.command_line import add_version
from paif_ros.engines.base import U8, Prediction
from paif_ros.fusion.jobs import Capture, Job
from paif_ros.fusion.outgoing import picture_messages
from paif_ros.fusion.pipeline import Infos, Pipeline
from paif_ros.fusion.results import Result, Wanted
from paif_ros.fusion.worker import Worker
from paif_ros.monitoring.accounting import DropReason, Source
from paif_ros.monitoring.notices import Notices
from paif_ros.monitoring.statistics import Statistics
from paif_ros.parameters import Parameters, specs
from paif_ros.registration.registration import Registration
from paif_ros.sync.pairing import Frame

WAYS = ('never', 'always')  # values of engine.overlap
SETTLE = 20.0  # seconds for what is under way
EXAMPLES = """
examples:
  python -m benchmarks.overlap
  python -m benchmarks.overlap --network 5 --rate 200 --rounds 9 --json /tmp/overlap.json
"""


class PausingEngine(StoredEngine):
    """Answers after a pause, in which the CPU is free.

    Args:
        pause: seconds.
    """

    def __init__(self, pause: float) -> None:
        super().__init__()
        self._pause = pause

    def infer(self, visible: U8, thermal: U8) -> Prediction:
        """Return the prediction, later."""
        sleep(self._pause)
        return super().infer(visible, thermal)


class Outlet:
    """Makes the messages of fused picture, mask and overlay, and notes when each pair's are."""

    def __init__(self) -> None:
        self.ends: dict[int, int] = {}

    def wanted(self) -> Wanted | None:
        """Return what the demo listens to."""
        return Wanted(fused=True, mask=True, overlay=True)

    def infos(self, job: Job) -> Infos:
        """Return none."""
        return Infos()

    def pack(self, job: Job, result: Result) -> Any:
        """Return the messages, and the pair's stamp."""
        heard = picture_messages(job, result, lambda _picture, small: not small, self, 90)
        return job.reference.stamp, list(heard)

    def send(self, packed: Any) -> None:
        """Note the time."""
        self.ends[packed[0]] = monotonic_ns()

    def image(self, header: Any) -> Any:
        """Return an empty Image; see `Maker`."""
        return new_image()

    def compressed(self, header: Any, kind: str) -> Any:
        """Not asked for: nobody takes compressed pictures."""
        raise AssertionError(kind)


@dataclass(frozen=True)
class Turn:
    """A stretch of pairs in one way.

    Attributes:
        way: one of `WAYS`.
        rate: results a second.
        latency_ms: median from the pair to its messages.
        latency_p99_ms: 99th percentile of it.
        cpu_ms: processor time of this process for a result.
        superseded: pairs in whose place a newer one was taken.
        results: pairs whose messages were made.
    """

    way: str
    rate: float
    latency_ms: float
    latency_p99_ms: float
    cpu_ms: float
    superseded: int
    results: int


def run(way: str, pause: float, rate: float, count: int) -> Turn:
    """Send pairs through a worker.

    Args:
        way: one of `WAYS`.
        pause: of the network, seconds.
        rate: pairs a second.
        count: pairs.
    """
    values = {name: spec.default for name, spec in specs().items()}
    values |= {'model_path': 'stored', 'engine.overlap': way, 'sync.max_age': 60.0}
    parameters = Parameters.from_values(values)
    outlet, statistics = Outlet(), Statistics()
    pipeline = Pipeline(PausingEngine(pause), Registration('none', None))
    notices = Notices(lambda _level, _text: None)
    worker = Worker(pipeline, outlet, statistics, notices, lambda: parameters)
    worker.wait_loaded(SETTLE)
    worker.open()
    images, made = camera_images(), {}
    cpu, start = process_time_ns(), monotonic_ns()
    for number in range(count):
        sleep(max(0.0, start / 1e9 + number / rate - monotonic_ns() / 1e9))
        stamp, now = (number + 1) * PERIOD, monotonic_ns()
        sent = zip(Source, images[number % FRAMES], strict=True)
        visible, thermal = (Frame(s, stamp, now, Capture(message)) for s, message in sent)
        made[stamp] = now
        worker.put(Job(visible, thermal, now, statistics.pair_made(0)))
    end = monotonic_ns() + SETTLE * 1e9
    while sum(statistics.snapshot().pending.values()) and monotonic_ns() < end:
        sleep(0.002)
    cpu = process_time_ns() - cpu
    worker.shut(SETTLE, DropReason.INACTIVE)
    worker.stop(SETTLE)
    late = np.array([outlet.ends[stamp] - made[stamp] for stamp in outlet.ends]) / 1e6
    return Turn(
        way=way,
        rate=1e9 * len(late) / (max(outlet.ends.values()) - start),
        latency_ms=float(np.median(late)),
        latency_p99_ms=float(np.percentile(late, 99)),
        cpu_ms=cpu / 1e6 / len(late),
        superseded=statistics.snapshot().lost[DropReason.SUPERSEDED],
        results=len(late),
    )


def table(turns: list[tuple[Turn, ...]]) -> str:
    """Return a Markdown table of medians over the rounds, and of the rounds' ratios."""
    lines = [f'| figure | {" | ".join(WAYS)} | ratio |', '|---|---|---|---|']
    words = {
        'rate': 'results a second',
        'latency_ms': 'latency, p50 ms',
        'latency_p99_ms': 'latency, p99 ms',
        'cpu_ms': 'processor ms a result',
    }
    for figure, text in words.items():
        values = np.array([[getattr(turn, figure) for turn in both] for both in turns])
        one, other = np.median(values, axis=0)
        ratio = np.median(values[:, 1] / values[:, 0])
        lines.append(f'| {text} | {one:.1f} | {other:.1f} | {ratio:.2f} |')
    return '\n'.join(lines)


def main(argv: list[str] | None = None) -> int:
    """Measure in turns, print, and write the JSON."""
    parser = argparse.ArgumentParser(
        prog='benchmarks.overlap',
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_version(parser)
    parser.add_argument('--network', type=float, default=10.0, help='ms of the network (10)')
    parser.add_argument('--rate', type=float, default=200.0, help='pairs a second (200)')
    parser.add_argument('--pairs', type=int, default=400, help='of each turn (400)')
    parser.add_argument('--rounds', type=int, default=5, help='turns of each way (5)')
    parser.add_argument('--json', type=Path, metavar='OUT', help='write the figures there too')
    args = parser.parse_args(argv)
    if args.network < 0 or not 0 < args.rate <= 10_000 or args.pairs < 10 or args.rounds < 1:
        parser.error('--network from 0, --rate above 0, --pairs from 10, --rounds from 1')
    load = os.getloadavg()[0]
    turns = [
        tuple(run(way, args.network / 1e3, args.rate, args.pairs) for way in WAYS)
        for _ in range(args.rounds)
    ]
    print(
        f'{SIZE[1]}x{SIZE[0]}, a network of {args.network:g} ms, {args.pairs} pairs at '
        f'{args.rate:g} fps, {args.rounds} rounds, load {load:.1f} before and '
        f'{os.getloadavg()[0]:.1f} after\n'
    )
    print(table(turns))
    if args.json:
        facts = [[asdict(turn) for turn in both] for both in turns]
        args.json.write_text(json.dumps(facts, indent=2) + '\n', encoding='utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(main())
