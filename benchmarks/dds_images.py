"""Images lost, and late, between two processes over real DDS.

    .venv/bin/python -m benchmarks.dds_images               # ROS 2 of this Python
    .venv-jazzy/bin/python -m benchmarks.dds_images --rounds 3 --json jazzy.json

One process sends pairs of an RGB and a thermal image at a camera's rate, another one receives
them, with each Fast DDS profile of config/ and without any, best effort and reliable. Latency
counts from before the sender's publish to the receiver's callback. Prints a Markdown table.
Other programs on the machine cost images, so its load average is printed too.
"""

from __future__ import annotations

import argparse
import array
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from itertools import cycle, product
from pathlib import Path
from time import monotonic, monotonic_ns, sleep
from typing import Any

import numpy as np

from paif_ros.command_line import add_version
from paif_ros.fastdds import CHOICES, profile_environment
from paif_ros.monitoring.statistics import percentiles

ROOT = Path(__file__).resolve().parents[1]
PROFILES = ('none', 'fastdds_shm', 'fastdds_shm_small')
SIZES = {  # (height, width) of the rgb8 and of the mono16 image
    'vga': ((480, 640), (480, 640)),
    '1080p': ((1080, 1920), (512, 640)),
}
RELIABILITIES = ('best_effort', 'reliable')
TOPICS = ('color', 'thermal')
DEPTH = 5  # of sensor data QoS, and of the node's outputs
MATCH_SECONDS = 15.0  # for the two processes to find each other
TAIL_SECONDS = 0.7  # for what is under way after the last image
DIFFERENT = 4  # pictures in turn, so that no cache holds them all


@dataclass(frozen=True)
class Run:
    """One run of both processes.

    Attributes:
        profile: one of `PROFILES`.
        size: one of `SIZES`.
        reliability: one of `RELIABILITIES`.
        sent: pairs.
        color: RGB images received.
        thermal: thermal images received.
        pairs: pairs of which both images were received.
        p50: median latency of the RGB images in milliseconds, None where none came.
        p99: 99th percentile of it, None where none came.
        load: load average of the machine before the run.
    """

    profile: str
    size: str
    reliability: str
    sent: int
    color: int
    thermal: int
    pairs: int
    p50: float | None
    p99: float | None
    load: float


def open_node(name: str, reliability: str) -> tuple[Any, Any]:
    """Return a new node and the QoS profile of its topics."""
    import rclpy
    from rclpy.qos import QoSProfile, ReliabilityPolicy

    rclpy.init()
    policy = ReliabilityPolicy[reliability.upper()]
    return rclpy.create_node(name), QoSProfile(depth=DEPTH, reliability=policy)


def messages(size: str) -> Iterator[tuple[Any, Any]]:
    """Return pairs of random images, the same few over and over."""
    from sensor_msgs.msg import Image

    rng = np.random.default_rng(0)

    def image(shape: tuple[int, int], encoding: str, pixel: int) -> Any:
        rows, columns = shape
        data = array.array('B', rng.integers(0, 256, rows * columns * pixel, np.uint8).tobytes())
        return Image(
            height=rows, width=columns, encoding=encoding, step=columns * pixel, data=data
        )

    color, thermal = SIZES[size]
    return cycle(
        [(image(color, 'rgb8', 3), image(thermal, 'mono16', 2)) for _ in range(DIFFERENT)]
    )


def send(size: str, reliability: str, rate: float, count: int) -> None:
    """Send numbered pairs, stamped with the machine's monotonic clock, once somebody listens."""
    from sensor_msgs.msg import Image

    node, qos = open_node('sender', reliability)
    publishers = [node.create_publisher(Image, f'bench/{topic}', qos) for topic in TOPICS]
    until = monotonic() + MATCH_SECONDS
    while any(not publisher.get_subscription_count() for publisher in publishers):
        if monotonic() > until:
            sys.exit('the two processes did not find each other')
        sleep(0.01)
    sleep(0.5)  # the receiver must have seen the sender too
    start, pairs = monotonic(), messages(size)
    for number in range(count):
        sleep(max(0.0, start + number / rate - monotonic()))
        for publisher, message in zip(publishers, next(pairs), strict=True):
            stamp = message.header.stamp
            message.header.frame_id = str(number)
            stamp.sec, stamp.nanosec = divmod(monotonic_ns(), 10**9)
            publisher.publish(message)
    sleep(TAIL_SECONDS)  # an early end would take along what is not delivered yet


def receive(reliability: str) -> None:
    """Count images until standard input ends; print which came and how late."""
    from rclpy.executors import SingleThreadedExecutor
    from sensor_msgs.msg import Image

    node, qos = open_node('receiver', reliability)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    seen: dict[str, set[str]] = {topic: set() for topic in TOPICS}
    late: list[int] = []

    def take(topic: str, message: Any) -> None:
        now = monotonic_ns()
        seen[topic].add(message.header.frame_id)
        if topic == 'color':
            late.append(now - message.header.stamp.sec * 10**9 - message.header.stamp.nanosec)

    for topic in TOPICS:
        node.create_subscription(Image, f'bench/{topic}', partial(take, topic), qos)
    sender = threading.Thread(target=sys.stdin.read, daemon=True)
    sender.start()
    while sender.is_alive():
        executor.spin_once(timeout_sec=0.1)
    times = percentiles(late)
    found = {
        'color': len(seen['color']),
        'thermal': len(seen['thermal']),
        'pairs': len(seen['color'] & seen['thermal']),
        'p50': times.p50 if late else None,
        'p99': times.p99 if late else None,
    }
    print(json.dumps(found), flush=True)


def environment(profile: str, domain: int) -> dict[str, str]:
    """Return the environment of both processes, with the profile and no other choice."""
    kept = {name: value for name, value in os.environ.items() if name not in CHOICES}
    if profile != 'none':
        path = str(ROOT / 'config' / f'{profile}.xml')
        kept |= dict.fromkeys(profile_environment(path, {}), path)
    return kept | {
        'ROS_DOMAIN_ID': str(domain),
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
        'RMW_IMPLEMENTATION': 'rmw_fastrtps_cpp',
    }


def run(profile: str, size: str, reliability: str, rate: float, count: int) -> Run:
    """Start both processes and wait for them.

    Raises:
        subprocess.CalledProcessError: one of them failed; its message is on standard error.
    """
    load, settings = os.getloadavg()[0], environment(profile, 100 + os.getpid() % 100)
    command = [sys.executable, '-m', 'benchmarks.dds_images', '--size', size]
    command += ['--reliability', reliability, '--rate', str(rate), '--count', str(count)]
    receiver = subprocess.Popen(
        [*command, '--role', 'receive'],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=settings,
        cwd=ROOT,
    )
    try:
        subprocess.run([*command, '--role', 'send'], env=settings, cwd=ROOT, check=True)
        text, _ = receiver.communicate('', timeout=20)  # closes its standard input
    finally:
        receiver.kill()
    if receiver.returncode:
        raise subprocess.CalledProcessError(receiver.returncode, receiver.args)
    # Fast DDS prints its warnings on standard output, so the answer is the last line.
    found = json.loads(text.splitlines()[-1])
    return Run(profile, size, reliability, load=load, **found, sent=count)


def table(runs: list[Run]) -> str:
    """Return the runs as Markdown; the rounds of one setting share a line."""
    lines = [
        '| pair | QoS | profile | RGB received | thermal | whole pairs | p50 ms | p99 ms |',
        '|---|---|---|---|---|---|---|---|',
    ]
    for size, reliability, profile in product(SIZES, RELIABILITIES, PROFILES):
        same = [
            run
            for run in runs
            if (run.size, run.reliability, run.profile) == (size, reliability, profile)
        ]
        if same:
            cells = [span(same, name) for name in ('color', 'thermal', 'pairs', 'p50', 'p99')]
            lines.append(f'| {size} | {reliability} | {profile} | {" | ".join(cells)} |')
    return '\n'.join(lines)


def span(runs: list[Run], name: str) -> str:
    """Return the least and the largest value of a field; '-' where no image came."""
    values = [value for value in (getattr(run, name) for run in runs) if value is not None]
    if not values:
        return '-'
    low, high = (
        f'{value:.1f}' if isinstance(value, float) else str(value)
        for value in (min(values), max(values))
    )
    return low if low == high else f'{low} to {high}'


def main(argv: list[str] | None = None) -> int:
    """Measure, print the table, write the JSON; return 0, or 1 where a process failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_version(parser)
    parser.add_argument('--size', choices=SIZES, help='only this pair')
    parser.add_argument('--reliability', choices=RELIABILITIES, help='only this QoS')
    parser.add_argument('--profile', choices=PROFILES, help='only this profile')
    parser.add_argument('--rate', type=float, default=30.0, help='pairs per second')
    parser.add_argument('--count', type=int, default=150, help='pairs of a run')
    parser.add_argument('--rounds', type=int, default=1, help='runs of each setting')
    parser.add_argument('--json', type=Path, help='file for the figures of every run')
    parser.add_argument('--role', choices=('send', 'receive'), help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.role == 'send':
        send(args.size, args.reliability, args.rate, args.count)
        return 0
    if args.role == 'receive':
        receive(args.reliability)
        return 0
    settings = list(
        product(
            [args.profile] if args.profile else PROFILES,
            [args.size] if args.size else SIZES,
            [args.reliability] if args.reliability else RELIABILITIES,
        )
    )
    runs: list[Run] = []
    for number, (profile, size, reliability) in enumerate(settings * args.rounds, 1):
        print(f'{number}/{len(settings) * args.rounds} {profile} {size}', file=sys.stderr)
        try:
            runs.append(run(profile, size, reliability, args.rate, args.count))
        except subprocess.CalledProcessError as err:
            print(f'error: a process ended with {err.returncode}, see above', file=sys.stderr)
            return 1
    loads = [one.load for one in runs]
    print(
        f'{args.count} pairs at {args.rate:g} Hz, {args.rounds} rounds, rclpy {version("rclpy")}, '
        f'{os.cpu_count()} cores, load {min(loads):.1f} to {max(loads):.1f}\n'
    )
    print(table(runs))
    if args.json:
        args.json.write_text(json.dumps([asdict(one) for one in runs], indent=2) + '\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
