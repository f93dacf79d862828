"""The node on a real graph: highest rate, latency and jitter, from camera to result.

    python -m benchmarks.end_to_end --json /tmp/end_to_end.json

In the manner of NVIDIA's ros2_benchmark. A process sends pairs of random pixels over Fast DDS with
the project's shared-memory profile, the node fuses them in a process of its own, a third process
notes when the fused picture and the mask arrive. First the highest rate with under 5 % drops is
searched for, then latency and jitter are measured at fixed rates. `vga` is 640x480 RGB and
thermal, `720p` and `1080p` are RGB of that size with 640x512 thermal. Other programs on the
machine cost rate and latency, so its load average is beside each figure.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from dataclasses import asdict, dataclass

from benchmarks.end_to_end.figures import Trial, highest_rate, stages_of
from benchmarks.end_to_end.graph import Graph
from benchmarks.end_to_end.options import (
    SIZES,
    add_common,
    add_settings,
    on_graph,
    parsed,
    rates_of,
    sizes_of,
)

PROG = 'benchmarks.end_to_end'
EXAMPLES = """
examples:
  python -m benchmarks.end_to_end --json /tmp/end_to_end.json
  python -m benchmarks.end_to_end --sizes vga --backend openvino
  python -m benchmarks.end_to_end --sizes 1080p --rates 5,10 --seconds 10 --set engine.threads=1
exit codes: 0 measured, 1 a process failed, 2 bad arguments, 130 stopped
"""


@dataclass(frozen=True)
class Report:
    """All that was measured with pictures of one size.

    Attributes:
        size: one of `SIZES`.
        engine: backend and provider as the node says.
        highest: pairs a second with under 5 % drops, None where no rate was kept up.
        search: the trials of the search.
        fixed: the trials at fixed rates.
        stages: the node's own timing of the last trials, p50 and p99 in milliseconds.
        peak_mib: peak resident memory of the node.
    """

    size: str
    engine: str
    highest: float | None
    search: list[Trial]
    fixed: list[Trial]
    stages: dict[str, dict[str, float]]
    peak_mib: float


def measure(size: str, args: argparse.Namespace) -> Report:
    """Start a graph and measure one size."""
    parameters = {'engine.backend': args.backend, **dict(args.set)}
    with Graph(args.model, size, parameters) as graph:

        def probe(rate: float) -> Trial:
            print(f'{size}: {rate:g} pairs a second', file=sys.stderr)
            return graph.run(rate, args.seconds)

        best, search = highest_rate(probe, args.top, args.probes) if args.probes else (None, [])
        fixed = [probe(rate) for rate in args.rates]
        said = graph.diagnostics
        engine = f'{said["engine.backend"]} {said["engine.provider"]}'
        return Report(size, engine, best, search, fixed, stages_of(said), graph.peak_mib)


def table(reports: list[Report]) -> str:
    """Return a Markdown table of the fixed rates and one of the highest ones."""
    lines = []
    if any(report.search for report in reports):
        lines += [
            '| pair | highest rate | flooded: in | out, fps | CPU ms a result | peak MiB |',
            '|---|---|---|---|---|---|',
        ]
        for report in (each for each in reports if each.search):
            flood = report.search[0]
            lowest = min(trial.rate for trial in report.search)
            best = f'below {lowest:.1f}' if report.highest is None else f'{report.highest:.1f}'
            lines.append(
                f'| {report.size} | {best} | {flood.sent_rate:.0f} | {flood.result_rate:.1f} '
                f'| {flood.node_cpu_ms:.0f} | {report.peak_mib:.0f} |'
            )
        lines.append('')
    lines += [
        '| pair | fps in | fps out | dropped | latency ms: mean | p50 | p99 | jitter ms: mean '
        '| max | dropped, by reason | load |',
        '|---|---|---|---|---|---|---|---|---|---|---|',
    ]
    for report in reports:
        for trial in report.fixed:
            late, jitter = trial.latency_ms, trial.jitter_ms
            cells = [f'{late[k]:.0f}' if late else '-' for k in ('mean', 'p50', 'p99')]
            cells += [f'{jitter[k]:.0f}' if jitter else '-' for k in ('mean', 'max')]
            why = ', '.join(f'{reason} {count}' for reason, count in trial.drops.items())
            lines.append(
                f'| {report.size} | {trial.sent_rate:.1f} | {trial.result_rate:.1f} '
                f'| {trial.dropped:.0%} | {" | ".join(cells)} | {why} | {trial.load:.1f} |'
            )
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
    parser.add_argument(
        '--sizes', type=sizes_of, default=list(SIZES), help='of the pictures (vga,720p,1080p)'
    )
    parser.add_argument(
        '--rates', type=rates_of, default=[10.0, 30.0, 60.0], help='fixed rates (10,30,60)'
    )
    parser.add_argument('--seconds', type=float, default=3.0, help='of each trial (3)')
    parser.add_argument('--probes', type=int, default=6, help='trials of the search, 0: none (6)')
    parser.add_argument('--top', type=float, default=60.0, help='highest rate of the search (60)')
    add_settings(parser, '--set', 'a parameter of the node')
    return parsed(parser, argv, seconds=(0.0, 600), probes=(0, 20), top=(0.0, 1000))


def main(argv: list[str] | None = None) -> int:
    """Measure, print, and write the JSON."""
    args = arguments(argv)
    load = os.getloadavg()
    reports = on_graph(PROG, lambda: [measure(size, args) for size in args.sizes])
    after = os.getloadavg()
    print(
        f'{args.model.stem}, {reports[0].engine}, {os.cpu_count()} cores, {args.seconds:g} s a '
        f'trial, load {load[0]:.1f} before and {after[0]:.1f} after\n'
    )
    print(table(reports))
    if args.json:
        facts = {
            'model': args.model.name,
            'settings': {'engine.backend': args.backend, **dict(args.set)},
            'machine': platform.processor() or platform.machine(),
            'cores': os.cpu_count(),
            'load_before': load,
            'load_after': after,
            'seconds': args.seconds,
            'reports': [asdict(report) for report in reports],
        }
        args.json.write_text(json.dumps(facts, indent=2) + '\n', encoding='utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(main())
