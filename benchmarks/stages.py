"""Where the time of one frame goes, stage by stage, in the node on a real graph.

    python -m benchmarks.stages --json /tmp/stages.json

Two processes send and receive pictures over Fast DDS as in `benchmarks.end_to_end`, slowly enough
that no frame waits for the one before. The stages are the node's own timing, as its diagnostics
have it: pairing, waiting, decode, thermal (16 bit to 8), registration (warp, and both to the
model's size), inference, convert (pictures and messages), publish. Inference is split by kind of
node by the engine's own profiler, in a run of its own. Other programs on the machine add to
everything but the processor time.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict, dataclass

from benchmarks.compare import BACKENDS, operators
from benchmarks.end_to_end.figures import Trial, stages_of
from benchmarks.end_to_end.graph import Graph
from benchmarks.end_to_end.options import SIZES, add_common, add_settings, on_graph, parsed

PROG = 'benchmarks.stages'
EXAMPLES = """
examples:
  python -m benchmarks.stages --json /tmp/stages.json
  python -m benchmarks.stages --backend openvino --size 1080p
  python -m benchmarks.stages --rate 2 --seconds 10 --set engine.threads=1
exit codes: 0 measured, 1 a process failed, 2 bad arguments, 130 stopped
"""


@dataclass(frozen=True)
class Report:
    """What a frame takes.

    Attributes:
        size: of the pictures.
        engine: backend and provider as the node says.
        stages: p50 and p99 in milliseconds by stage, 'total' last: from the receipt of the later
            frame until all is published.
        operators: milliseconds of an inference by kind of node, the slowest first; empty where
            the engine does not say.
        trial: latency from process to process, drops, processor time.
        peak_mib: peak resident memory of the node.
    """

    size: str
    engine: str
    stages: dict[str, dict[str, float]]
    operators: dict[str, float]
    trial: Trial
    peak_mib: float


def measure(args: argparse.Namespace) -> Report:
    """Run a graph for a while, then the engine's profiler.

    Raises:
        GraphError: a process failed.
    """
    parameters = {'engine.backend': args.backend, **dict(args.set)}
    with Graph(args.model, args.size, parameters) as graph:
        trial = graph.run(args.rate, args.seconds)
        said, peak = graph.diagnostics, graph.peak_mib
    backend, provider = said['engine.backend'], said['engine.provider']
    threads = int(dict(args.set).get('engine.threads', 0)) or os.cpu_count() or 1
    kinds = operators(backend, args.model, threads) if backend in BACKENDS else {}
    return Report(args.size, f'{backend} {provider}', stages_of(said), kinds, trial, peak)


def table(report: Report) -> str:
    """Return Markdown tables of the stages and of the kinds of nodes."""
    lines = ['| stage | p50 ms | p99 ms |', '|---|---|---|']
    lines += [
        f'| {stage} | {spread["p50"]:.2f} | {spread["p99"]:.2f} |'
        for stage, spread in report.stages.items()
    ]
    late = report.trial.latency_ms
    if late:
        lines.append(f'| camera to result, over DDS | {late["p50"]:.2f} | {late["p99"]:.2f} |')
    if report.operators:
        total = sum(report.operators.values())
        lines += ['', '| node | ms | share |', '|---|---|---|']
        lines += [
            f'| {kind} | {ms:.1f} | {ms / total:.0%} |'
            for kind, ms in list(report.operators.items())[:10]
        ]
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
    parser.add_argument('--backend', default='auto', help="the node's engine.backend (auto)")
    parser.add_argument('--size', choices=SIZES, default='vga', help='of the pictures (vga)')
    parser.add_argument('--rate', type=float, default=4.0, help='pairs a second (4)')
    parser.add_argument('--seconds', type=float, default=10.0, help='how long (10)')
    add_settings(parser, '--set', 'a parameter of the node')
    return parsed(parser, argv, rate=(0.0, 1000), seconds=(0.0, 600))


def main(argv: list[str] | None = None) -> int:
    """Measure, print, and write the JSON."""
    args = arguments(argv)
    report = on_graph(PROG, lambda: measure(args))
    trial = report.trial
    print(
        f'{args.model.stem}, {report.size}, {report.engine}, {os.cpu_count()} cores, '
        f'{trial.results} of {trial.sent} pairs at {args.rate:g} fps, load {trial.load:.1f} before'
    )
    print(
        f'{trial.node_cpu_ms:.0f} ms of processor a result, peak memory '
        f'{report.peak_mib:.0f} MiB\n'
    )
    print(table(report))
    if args.json:
        facts = {'model': args.model.name, **asdict(report), 'cores': os.cpu_count()}
        args.json.write_text(json.dumps(facts, indent=2) + '\n', encoding='utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(main())
