"""Engines and networks against the plain eager PAIF, in one interleaved run.

    python -m benchmarks.compare --json /tmp/compare.json
    python -m benchmarks.compare --model models/weights/paif_nano.onnx --rounds 15

The yardstick, `eager`, is the plain torch network `--config` (PAIF with MiT-B0 at full width,
random weights, which take as long as trained ones), computed as the official code does. The same
weights are exported and run in ONNX Runtime and OpenVINO, and so is every `--model`. Each has a
process of its own, and they take turns, one frame each, so that noise on the machine falls on all
alike.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.deploy_graph import build, measure, prepare, serve
from paif_ros.command_line import add_version

SIZE = (480, 640)
BACKENDS = ('onnxruntime', 'openvino')
EXAMPLES = """
examples:
  python -m benchmarks.compare --json /tmp/compare.json
  python -m benchmarks.compare --rounds 15 --model models/weights/paif_nano.onnx
exit codes: 0 measured, 2 bad arguments
"""


@dataclass(frozen=True)
class Row:
    """One way of computing a frame.

    Attributes:
        way: 'eager', or backend and file.
        median_ms: of the frames.
        p10_ms: 10th percentile, what the machine can do when nothing disturbs.
        ratio: median over the rounds of the eager frame over this one, of the same round.
        cpu_ms: median processor time of a frame, all threads.
        memory_mib: peak resident memory of the process.
        operators: milliseconds of a frame by kind of node, the slowest first; empty where the
            engine does not say.
    """

    way: str
    median_ms: float
    p10_ms: float
    ratio: float
    cpu_ms: float
    memory_mib: float
    operators: dict[str, float]


def frame_of(backend: str, model: Path, threads: int) -> Callable[[], object]:
    """Return a function that runs one pair through an engine of the node."""
    from paif_ros.engines import make_engine

    engine = make_engine(backend, model, threads, 'cpu')
    height, width = engine.load().card.input_size
    random = np.random.default_rng(0)
    visible = random.integers(0, 256, (height, width, 3), np.uint8)
    thermal = random.integers(0, 256, (height, width), np.uint8)
    return lambda: engine.infer(visible, thermal)


def operators(backend: str, model: Path, threads: int, frames: int = 3) -> dict[str, float]:
    """Return milliseconds of a frame by kind of node, as the engine's own profiler counts them.

    Args:
        backend: one of `BACKENDS`.
        model: the ONNX file.
        threads: CPU threads.
        frames: how many are run after the first; the last is reported.
    """
    random = np.random.default_rng(0)
    times: Counter[str] = Counter()
    if backend == 'openvino':
        import openvino

        settings = {
            'PERFORMANCE_HINT': 'LATENCY',
            'INFERENCE_PRECISION_HINT': 'f32',
            'INFERENCE_NUM_THREADS': threads,
            'PERF_COUNT': True,
        }
        core = openvino.Core()
        request = core.compile_model(str(model), 'CPU', settings).create_infer_request()
        feeds = {
            port.any_name: random.integers(0, 256, list(port.shape), np.uint8)
            for port in request.model_inputs
        }
        for _ in range(1 + frames):
            request.infer(feeds)
        for node in request.profiling_info:
            times[node.node_type] += 1e3 * node.real_time.total_seconds()
    else:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.enable_profiling = True
        with tempfile.TemporaryDirectory() as folder:
            options.profile_file_prefix = str(Path(folder) / 'profile')
            session = onnxruntime.InferenceSession(
                str(model), options, providers=['CPUExecutionProvider']
            )
            feeds = {
                put.name: random.integers(0, 256, put.shape, np.uint8)
                for put in session.get_inputs()
            }
            for _ in range(1 + frames):
                session.run(None, feeds)
            events = json.loads(Path(session.end_profiling()).read_text('utf-8'))
        runs = [e for e in events if e['name'] == 'model_run']
        start = runs[-1]['ts']
        for event in events:
            if event['name'].endswith('_kernel_time') and event['ts'] >= start:
                times[event['args']['op_name']] += event['dur'] / 1e3
    return {name: round(ms, 3) for name, ms in times.most_common() if ms >= 0.05}


def peak_mib() -> float:
    """Return the peak resident memory of this program in MiB.

    Not `ru_maxrss`, which begins with what the parent held.
    """
    lines = Path('/proc/self/status').read_text('utf-8').splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith('VmHWM')) / 1024


def log_of(way: str, folder: Path) -> Path:
    """Return the file of a worker: a line of processor seconds and peak MiB for each frame."""
    return folder / f'{way.replace("/", "_").replace(":", "_")}.txt'


def run_worker(way: str, args: argparse.Namespace) -> None:
    """Compute frames on demand, as `serve` does, with processor time and memory in a file."""
    if way == 'eager':
        frame = build('official', args.weights, args.exported, SIZE, args.threads)
    else:
        backend, _, model = way.partition(':')
        frame = frame_of(backend, Path(model), args.threads)
    log = log_of(way, args.folder)

    def counted() -> object:
        start = time.process_time()
        answer = frame()
        peak = peak_mib()
        with log.open('a', encoding='utf-8') as file:
            file.write(f'{time.process_time() - start} {peak}\n')
        return answer

    serve(counted)


def rows_of(ways: list[str], args: argparse.Namespace, folder: Path) -> list[Row]:
    """Measure all ways in turns and profile those that run in an engine."""
    common = ['--threads', str(args.threads), '--weights', str(args.weights)]
    common += ['--exported', str(args.exported), '--folder', str(folder)]
    seconds = measure(tuple(ways), common, args.rounds, 'benchmarks.compare')
    rows = []
    for way in ways:
        spent = np.array(seconds[way])
        cpu, peak = np.loadtxt(log_of(way, folder), ndmin=2)[1:].T  # the first is a warm-up
        backend, _, model = way.partition(':')
        rows.append(
            Row(
                way=f'{backend} {Path(model).stem}'.strip(),
                median_ms=1e3 * float(np.median(spent)),
                p10_ms=1e3 * float(np.percentile(spent, 10)),
                ratio=float(np.median(np.array(seconds['eager']) / spent)),
                cpu_ms=1e3 * float(np.median(cpu)),
                memory_mib=float(peak.max()),
                operators=operators(backend, Path(model), args.threads) if model else {},
            )
        )
    return rows


def table(rows: list[Row]) -> str:
    """Return the rows as a Markdown table, with the four slowest kinds of node."""
    lines = [
        '| way | median ms | p10 ms | CPU ms | times faster than eager | peak MiB | by node, ms |',
        '|---|---|---|---|---|---|---|',
    ]
    for row in rows:
        slow = ', '.join(f'{n} {ms:.0f}' for n, ms in list(row.operators.items())[:4])
        lines.append(
            f'| {row.way} | {row.median_ms:.0f} | {row.p10_ms:.0f} | {row.cpu_ms:.0f} '
            f'| {row.ratio:.1f} | {row.memory_mib:.0f} | {slow} |'
        )
    return '\n'.join(lines)


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog='benchmarks.compare',
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_version(parser)
    parser.add_argument('--config', default='paif_official_b0', help='of the eager network')
    parser.add_argument('--model', type=Path, action='append', default=[], help='exported file')
    parser.add_argument('--rounds', type=int, default=7, help='frames of each way')
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--json', type=Path, metavar='OUT', help='write the figures there too')
    parser.add_argument('--worker', help=argparse.SUPPRESS)
    parser.add_argument('--weights', type=Path, help='of the eager network, instead of --config')
    parser.add_argument('--exported', type=Path, help=argparse.SUPPRESS)
    parser.add_argument('--folder', type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    for model in args.model:
        if not model.is_file():
            parser.error(f'there is no model file {str(model)!r}; export one, or name another')
    return args


def main(argv: list[str] | None = None) -> int:
    """Measure, print, and write the JSON."""
    args = arguments(argv)
    if args.worker:
        run_worker(args.worker, args)
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        args.weights, args.exported, what = prepare(args.config, args.weights, SIZE, folder)
        files = [with_card(args.exported, args.config), *args.model]
        ways = ['eager', *(f'{backend}:{file}' for file in files for backend in BACKENDS)]
        load = os.getloadavg()
        rows = rows_of(ways, args, folder)
    report: dict[str, Any] = {
        'yardstick': what,
        'threads': args.threads,
        'rounds': args.rounds,
        'machine': platform.processor() or platform.machine(),
        'cores': os.cpu_count(),
        'load_before': load,
        'load_after': os.getloadavg(),
        'rows': [asdict(row) for row in rows],
    }
    print(f'{what}, {args.threads} threads, {args.rounds} rounds, load {load[0]:.1f} before')
    print(table(rows))
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + '\n', encoding='utf-8')
    return 0


def with_card(exported: Path, config: str) -> Path:
    """Give an exported file the metadata that the node's engines ask for; return its path."""
    import onnx

    from paif_ros.contract import ClassLabel, ModelCard

    model = onnx.load(exported)
    card = ModelCard('paif', config, '{}', (ClassLabel(0, 'any', (0, 0, 0)),), SIZE, '', '')
    onnx.helper.set_model_props(model, card.to_metadata())
    path = exported.with_name(f'{config}.onnx')
    onnx.save(model, path)
    return path


if __name__ == '__main__':
    sys.exit(main())
