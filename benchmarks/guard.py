"""Count what a frame costs, without a clock: a test compares the counts with committed ones.

    python -m benchmarks.guard           # the counts of now beside those committed
    python -m benchmarks.guard --write   # commit to the counts of now

Operations, bytes and nodes are those of the shipped `paif_nano.onnx` by shape inference; calls are
those of Python functions, C functions included, that the node's own path makes for a pair:
pairing, mailbox, decoding, thermal range, drawing, packing and the steady mask, without inference
and DDS.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.node_overhead import measure
from paif_ros.command_line import add_version

FIGURES = Path(__file__).with_name('guard.json')
MODEL = Path(__file__).parents[1] / 'models' / 'weights' / 'paif_nano.onnx'
SLACK = 1.05  # Python and library versions call a little differently
PAIRS = 20
EXAMPLES = """
examples:
  python -m benchmarks.guard
  python -m benchmarks.guard --write
exit codes: 0 no count has grown, 1 one has
"""


@dataclass(frozen=True)
class Figures:
    """What is counted.

    Attributes:
        operations: of convolutions and matrix products, a multiply-add is two.
        unfused_bytes: activations and weights moved if every node ran alone.
        nodes: of the graph.
        calls: of Python and C functions for a pair on the node's own path.
    """

    operations: int
    unfused_bytes: int
    nodes: int
    calls: int


def measure_graph(model: Path = MODEL) -> dict[str, int]:
    """Return operations, bytes and nodes of an exported file."""
    import onnx

    from benchmarks.onnx_costs import count

    graph = onnx.load(model)
    costs = count(graph)
    return {
        'operations': costs.operations,
        'unfused_bytes': costs.unfused_bytes,
        'nodes': len(graph.graph.node),
    }


def measure_calls() -> dict[str, int]:
    """Return how many functions the node's own path calls for a pair."""
    measure(1, 0.0)  # imports what is imported late
    counts = []
    for pairs in (PAIRS, 2 * PAIRS):  # their difference is free of what is done once
        profile = cProfile.Profile()
        profile.runcall(measure, pairs, 0.0)
        counts.append(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]
    return {'calls': round((counts[1] - counts[0]) / PAIRS)}


def grown(committed: Figures, found: Figures) -> list[str]:
    """Return a sentence for every count that is more than 5 % above the committed one."""
    return [
        f'{name} is {value}, {value / asdict(committed)[name] - 1:.1%} above the committed '
        f'{asdict(committed)[name]}; if that is wanted, run `python -m benchmarks.guard --write`'
        for name, value in asdict(found).items()
        if value > asdict(committed)[name] * SLACK
    ]


def main(argv: list[str] | None = None) -> int:
    """Count, print, and compare or write."""
    parser = argparse.ArgumentParser(
        prog='benchmarks.guard',
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_version(parser)
    parser.add_argument('--write', action='store_true', help='commit to the counts of now')
    args = parser.parse_args(argv)
    found = Figures(**measure_graph(), **measure_calls())
    if args.write:
        FIGURES.write_text(json.dumps(asdict(found), indent=2) + '\n', encoding='utf-8')
    committed = Figures(**json.loads(FIGURES.read_text('utf-8')))
    for name, value in asdict(found).items():
        print(f'{name:14} {value:>14}  committed {asdict(committed)[name]:>14}')
    worse = grown(committed, found)
    print('\n'.join(worse))
    return int(bool(worse))


if __name__ == '__main__':
    sys.exit(main())
