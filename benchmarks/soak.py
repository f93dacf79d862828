"""A soak: pair after pair through the real node over real DDS, and what has grown at the end.

    .venv/bin/python -m benchmarks.soak                   # 18,000 pairs, as fast as it goes
    .venv/bin/python -m benchmarks.soak --pairs 0 --minutes 480 --rate 30 --json night.json

The node runs in a process of its own. Without a rate each pair is sent when the one before has
been answered, so that every one must be. With a rate they come as from cameras, and the node drops
what it has no time for. Latency counts from before publishing a pair to the receipt of its mask.
soak_report.py says what is judged, and how. Exit code 0: nothing is wrong, 1: something is.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic

from benchmarks.soak_line import ROOT, Line
from benchmarks.soak_report import BLOCK, Pace, Report, Sample
from paif_ros.command_line import add_version
from paif_ros.fastdds import profile_environment

MODEL = ROOT / 'models' / 'weights' / 'paif_small.onnx'
OPINIONS = 5  # second looks at a growth, see `soak_report`


@dataclass(frozen=True)
class Plan:
    """What to do.

    Attributes:
        model: file of the network.
        pairs: how many, 0 for as many as come in `minutes`.
        minutes: when to end at the latest, 0 for never.
        rate: pairs per second, 0 for one after the other.
        size: height and width of the pictures.
    """

    model: Path = MODEL
    pairs: int = 18_000
    minutes: float = 0.0
    rate: float = 0.0
    size: tuple[int, int] = (480, 640)

    def __post_init__(self) -> None:
        if self.pairs <= 0 and self.minutes <= 0:
            raise ValueError('neither pairs nor minutes: set one of them, or it would never end')


def environment() -> dict[str, str]:
    """Return the environment of a graph of our own, with images through shared memory."""
    return {
        **os.environ,
        **profile_environment(ROOT / 'config' / 'fastdds_shm.xml'),
        'PYTHONPATH': os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')]),
        'ROS_DOMAIN_ID': str(10 + os.getpid() % 90),
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
    }


def soak(line: Line, plan: Plan) -> list[Sample]:
    """Send everything. Returns samples of the node's process, one for each block of pairs."""
    samples, first, start = [line.sample()], line.sent, monotonic()
    while (done := line.sent - first) < plan.pairs or not plan.pairs:
        if plan.minutes and monotonic() - start > plan.minutes * 60:
            break
        line.send_pair()
        if plan.rate:
            line.spin(max(0.0, start + (done + 1) / plan.rate - monotonic()))
        else:
            line.wait_answered()
        if (done + 1) % BLOCK == 0:
            samples.append(line.sample())
    line.wait_answered()
    return samples


def second_opinion(old: Line, fresh: Line) -> Pace:
    """Return the pace of an old node over that of a fresh one, block by block in turns."""
    fresh.wait_ready()
    for _ in range(2):
        fresh.block()  # warms it up
    times: dict[Line, tuple[list[int], list[int]]] = {old: ([], []), fresh: ([], [])}
    for _ in range(18):
        for line, kept in times.items():
            for values, more in zip(kept, line.block(), strict=True):
                values.extend(more)
    return Pace.of(*times[old]).over(Pace.of(*times[fresh]))


def run(plan: Plan) -> Report:
    """Start the node, send everything, end it.

    Raises:
        RuntimeError: the node does not start.
    """
    os.environ.update(environment())
    import rclpy
    from rclpy.context import Context
    from rclpy.executors import SingleThreadedExecutor

    context = Context()
    rclpy.init(context=context)
    ros = rclpy.create_node('soak', context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(ros)
    start, load = monotonic(), os.getloadavg()[0]
    try:
        with Line(ros, executor, plan.model, plan.size) as line:
            line.wait_ready()
            line.latencies.clear()
            line.costs.clear()
            samples = soak(line, plan)
            report = Report(
                seconds=monotonic() - start,
                load=load,
                in_turn=not plan.rate,
                sent=line.sent,
                answered=line.answered,
                latencies=tuple(line.latencies),
                costs=tuple(line.costs),
                samples=tuple(samples),
                opinions=(),
                values={},
            )
            while report.judgeable and report.slower and len(report.opinions) < OPINIONS:
                space = f'/fresh{len(report.opinions)}'
                with Line(ros, executor, plan.model, plan.size, space) as fresh:
                    opinion = second_opinion(line, fresh)
                    fresh.stop()
                report = replace(report, opinions=(*report.opinions, opinion))
            values = line.stop()
    finally:
        executor.shutdown()
        ros.destroy_node()
        rclpy.shutdown(context=context)
    return replace(report, values=values, sent=line.sent, answered=line.answered)


def main(argv: list[str] | None = None) -> int:
    """Run it, print the table, write the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_version(parser)
    parser.add_argument('--model', type=Path, default=MODEL, help='default: the shipped one')
    parser.add_argument('--pairs', type=int, default=18_000, help='0: as many as in --minutes')
    parser.add_argument('--minutes', type=float, default=0.0, help='0: until all pairs are sent')
    parser.add_argument('--rate', type=float, default=0.0, help='Hz, 0: one after the other')
    parser.add_argument('--size', default='480x640', help='HEIGHTxWIDTH of the pictures')
    parser.add_argument('--json', type=Path, help='file for the figures')
    args = parser.parse_args(argv)
    try:
        height, width = map(int, args.size.split('x'))
        plan = Plan(args.model, args.pairs, args.minutes, args.rate, (height, width))
    except ValueError as err:
        parser.error(str(err))
    report = run(plan)
    print(report.table())
    if args.json:
        args.json.write_text(report.json())
    return 1 if report.wrong() else 0


if __name__ == '__main__':
    sys.exit(main())
