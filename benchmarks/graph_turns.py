"""What the benchmarks of exported graphs share: options, turns of several ways, the report."""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.deploy_graph import measure, print_ways, summary


def parse(text: str) -> tuple[int, int]:
    """Read HEIGHTxWIDTH."""
    height, width = (int(side) for side in text.split('x'))
    return height, width


def add_options(parser: argparse.ArgumentParser, ways: Collection[str]) -> None:
    """Add the options that `report_turns` reads, and those of a worker."""
    add = parser.add_argument
    add('--size', default='480x640', help='HEIGHTxWIDTH')
    add('--threads', type=int, default=2)
    add(
        '--cpu',
        action='store_true',
        help='processor seconds: a fairer ratio on a busy machine, with --threads 1',
    )
    add('--rounds', type=int, default=3)
    add('--json', type=Path, help='write the figures there too')
    add('--worker', choices=ways, help=argparse.SUPPRESS)
    add('--models', type=Path, help=argparse.SUPPRESS)


def clock_of(args: argparse.Namespace) -> Callable[[], float]:
    """Return what a worker measures with, seconds."""
    return time.process_time if args.cpu else time.perf_counter


def report_turns(
    args: argparse.Namespace,
    ways: Sequence[str],
    meaning: Mapping[str, str],
    module: str,
    prepare: Callable[[Path], tuple[Path, str]],
) -> None:
    """Run every way in its own process, in turns; print a table and write the JSON.

    Args:
        args: with the options of `add_options`.
        ways: what is compared, 'official' among them.
        meaning: of each way, in words.
        module: that each process runs with `--worker WAY`.
        prepare: writes weights and graphs into a folder; returns the weights' path and a
            description of the network.
    """
    with tempfile.TemporaryDirectory() as folder:
        weights, what = prepare(Path(folder))
        common = ['--weights', str(weights), '--models', folder, '--size', args.size]
        common += ['--threads', str(args.threads), *(['--cpu'] if args.cpu else [])]
        load = os.getloadavg()[0]
        seconds = measure(tuple(ways), common, args.rounds, module)
    report: dict[str, Any] = {
        'network': what,
        'size': list(parse(args.size)),
        'threads': args.threads,
        'clock': 'processor' if args.cpu else 'wall',
        'rounds': args.rounds,
        'machine': platform.processor() or platform.machine(),
        'load_before': load,
        'load_after': os.getloadavg()[0],
        'seconds': {way: [float(np.round(s, 4)) for s in row] for way, row in seconds.items()},
        'ways': summary(seconds),
    }
    print(
        f'{what}, {args.size}, {args.threads} threads, {args.rounds} rounds, '
        f'{report["clock"]} seconds'
    )
    print(f'load {load:.1f} before, {report["load_after"]:.1f} after')
    print_ways(report['ways'], meaning)
    if args.json:
        args.json.write_text(json.dumps(report, indent=2))
