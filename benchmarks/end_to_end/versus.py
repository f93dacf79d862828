"""Two settings of the node against each other on a real graph, in turns.

    python -m benchmarks.end_to_end.versus --one engine.overlap=never --other engine.overlap=always

Two graphs as those of `benchmarks.end_to_end`, on ROS domains of their own, take turns of a few
seconds: while one works the other one waits, so that noise on the machine falls on both alike.
What counts are the ratios, the median over the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from contextlib import ExitStack
from dataclasses import asdict

import numpy as np

from benchmarks.end_to_end.figures import Trial
from benchmarks.end_to_end.graph import Graph
from benchmarks.end_to_end.options import (
    SIZES,
    add_common,
    add_settings,
    on_graph,
    parsed,
    rates_of,
)

PROG = 'benchmarks.end_to_end.versus'
EXAMPLES = """
examples:
  python -m benchmarks.end_to_end.versus --one engine.overlap=never --other engine.overlap=always
  python -m benchmarks.end_to_end.versus --one engine.backend=onnxruntime \\
      --other engine.backend=openvino --size 1080p --rates 5 --rounds 9
exit codes: 0 measured, 1 a process failed, 2 bad arguments, 130 stopped
"""

Turn = tuple[Trial, Trial]
"""A trial of the one and of the other, one right after the other."""


def ratio(turns: list[Turn], figure: str) -> tuple[float, float, float]:
    """Return medians of a figure of the one and of the other, and of the other over the one.

    Args:
        turns: those at one rate.
        figure: 'result_rate', 'node_cpu_ms', or a key of `latency_ms`.

    Returns:
        The three, NaN where no turn has results of both.
    """

    def value(trial: Trial) -> float:
        return float(trial.latency_ms.get(figure, np.nan) if trial.latency_ms else np.nan)

    pairs = [
        (getattr(one, figure), getattr(other, figure))
        if hasattr(one, figure)
        else (value(one), value(other))
        for one, other in turns
        if one.results and other.results
    ]
    if not pairs:
        return (float('nan'),) * 3
    values = np.array(pairs)
    shares = np.median(values[:, 1] / values[:, 0])
    return float(np.median(values[:, 0])), float(np.median(values[:, 1])), float(shares)


def measure(args: argparse.Namespace) -> dict[float, list[Turn]]:
    """Run both graphs in turns, by rate.

    Raises:
        GraphError: a process failed.
    """
    turns: dict[float, list[Turn]] = {rate: [] for rate in args.rates}
    with ExitStack() as both:
        one, other = (
            both.enter_context(Graph(args.model, args.size, dict(given)))
            for given in (args.one, args.other)
        )
        for number in range(args.rounds):
            for rate in args.rates:
                print(f'{number + 1}/{args.rounds} {rate:g} pairs a second', file=sys.stderr)
                # Who begins changes, so that neither always follows the other.
                order = (one, other) if number % 2 else (other, one)
                found = {id(graph): graph.run(rate, args.seconds) for graph in order}
                turns[rate].append((found[id(one)], found[id(other)]))
    return turns


def table(turns: dict[float, list[Turn]]) -> str:
    """Return a Markdown table: each figure of the one, of the other, and their ratio."""
    lines = ['| fps in | figure | one | other | other / one |', '|---|---|---|---|---|']
    figures = {
        'result_rate': 'fps out',
        'mean': 'latency ms, mean',
        'p99': 'latency ms, p99',
        'node_cpu_ms': 'CPU ms a result',
    }
    for rate, found in turns.items():
        for figure, words in figures.items():
            one, other, share = ratio(found, figure)
            lines.append(f'| {rate:g} | {words} | {one:.1f} | {other:.1f} | {share:.2f} |')
    return '\n'.join(lines)


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog=PROG,
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_common(parser)
    for name in ('one', 'other'):
        add_settings(parser, f'--{name}', f'a parameter of the {name} node; may be repeated')
    parser.add_argument('--size', choices=SIZES, default='vga', help='of the pictures (vga)')
    parser.add_argument('--rates', type=rates_of, default=[5.0, 60.0], help='pairs/s (5,60)')
    parser.add_argument('--seconds', type=float, default=3.0, help='of each turn (3)')
    parser.add_argument('--rounds', type=int, default=5, help='turns of each at each rate (5)')
    args = parsed(parser, argv, seconds=(0.0, 600), rounds=(1, 1000))
    if not (args.one or args.other):
        parser.error('give --one or --other NAME=VALUE: both nodes would be alike')
    return args


def main(argv: list[str] | None = None) -> int:
    """Measure, print, and write the JSON."""
    args = arguments(argv)
    load = os.getloadavg()
    turns = on_graph(PROG, lambda: measure(args))
    after = os.getloadavg()
    print(
        f'{args.model.stem}, {args.size}, one {dict(args.one)}, other {dict(args.other)}, '
        f'{args.rounds} rounds of {args.seconds:g} s, {os.cpu_count()} cores, load {load[0]:.1f} '
        f'before and {after[0]:.1f} after\n'
    )
    print(table(turns))
    if args.json:
        facts = {
            'one': dict(args.one),
            'other': dict(args.other),
            'size': args.size,
            'load_before': load,
            'load_after': after,
            'turns': {
                str(rate): [[asdict(trial) for trial in turn] for turn in found]
                for rate, found in turns.items()
            },
        }
        args.json.write_text(json.dumps(facts, indent=2) + '\n', encoding='utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(main())
