"""Time the deployment graph in ONNX Runtime against the plain torch network with the same weights.

    python -m benchmarks.deploy_graph --config paif_official_b0
    python -m benchmarks.deploy_graph --weights models/weights/paif_small.safetensors

One process for each way of computing (spinning threads of one engine would slow another in the
same process); they take turns, one frame each, so that noise on the machine falls on all alike.
The yardstick is `official`: the plain network as the official code computes it, box means by
cumulative sums.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from paif_ros.command_line import TRAINING_LIBRARIES, add_version

WAYS = ('official', 'plain', 'deployed', 'onnxruntime')
MEANING = {
    'official': 'plain torch network, box means by cumulative sums as in the official code',
    'plain': 'plain torch network, box means by average pools',
    'deployed': 'deployment graph in torch',
    'onnxruntime': 'deployment graph in ONNX Runtime',
}


def build(
    way: str, weights: Path, model: Path, size: tuple[int, int], threads: int
) -> Callable[[], object]:
    """Return a function that computes one frame in the given way."""
    rng = np.random.default_rng(0)
    visible = rng.integers(0, 256, (1, *size, 3), np.uint8)
    thermal = rng.integers(0, 256, (1, *size), np.uint8)
    if way == 'onnxruntime':
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(
            str(model), options, providers=['CPUExecutionProvider']
        )
        return lambda: session.run(None, {'visible': visible, 'thermal': thermal})
    import torch

    from models.checkpoint import load_into, load_paif, read_state
    from models.deploy import deploy
    from models.paif import PAIF

    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    plain = load_paif(weights)
    v, t = torch.from_numpy(visible), torch.from_numpy(thermal)
    if way == 'deployed':
        deployed = deploy(plain)
        return lambda: deployed(v, t)
    if way == 'official':
        plain = PAIF(plain.config.official()).eval()
        load_into(plain, read_state(weights)[0], weights)
    gray, rgb = t[:, None].float() / 255, v.permute(0, 3, 1, 2).float() / 255
    return lambda: plain(gray, rgb)


def worker(way: str, weights: Path, model: Path, size: tuple[int, int], threads: int) -> None:
    """Compute frames in the given way, as `serve` does."""
    serve(build(way, weights, model, size, threads))


def serve(
    frame: Callable[[], object],
    clock: Callable[[], float] = time.perf_counter,
    warm_up: Callable[[], object] | None = None,
) -> None:
    """Compute a frame, then one for every line on standard input; print the seconds it took.

    Args:
        frame: computes one.
        clock: seconds, of the day or of this process's work.
        warm_up: instead of the first frame, which nobody measures.
    """
    (warm_up or frame)()
    print('ready', flush=True)
    for _ in sys.stdin:
        start = clock()
        frame()
        print(clock() - start, flush=True)


def measure(
    ways: tuple[str, ...],
    arguments: list[str],
    rounds: int,
    module: str = 'benchmarks.deploy_graph',
) -> dict[str, list[float]]:
    """Run one process for each way, in turns.

    Args:
        ways: their names.
        arguments: of the command line of each process, beside `--worker WAY`.
        rounds: frames of each.
        module: what each process runs; it ends in `serve`.

    Returns:
        Seconds of every frame, by way.
    """
    environment = os.environ | {'OMP_WAIT_POLICY': 'PASSIVE'}
    processes = {
        way: subprocess.Popen(
            [sys.executable, '-m', module, '--worker', way, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for way in ways
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    try:
        for process in processes.values():
            assert process.stdout is not None
            if process.stdout.readline().strip() != 'ready':
                msg = 'a worker stopped before it was ready; its message is above'
                raise RuntimeError(msg)
        for _ in range(rounds):
            for way, process in processes.items():
                assert process.stdin is not None
                assert process.stdout is not None
                process.stdin.write('\n')
                process.stdin.flush()
                seconds[way].append(float(process.stdout.readline()))
    finally:
        for process in processes.values():
            process.kill()
    return seconds


def prepare(
    config: str | None, weights: Path | None, size: tuple[int, int], folder: Path
) -> tuple[Path, Path, str]:
    """Write weights (seeded random ones for a configuration) and the exported graph.

    Returns:
        Paths of weights and ONNX file, and a description.
    """
    import torch

    from export.to_onnx import export_onnx
    from models.checkpoint import load_paif, save_paif
    from models.deploy import deploy
    from models.paif import PAIF, load_config

    if weights is None:
        torch.manual_seed(0)
        network = PAIF(load_config(config or 'paif_official_b0')).eval()
        weights = folder / 'weights.safetensors'
        save_paif(weights, network)
    network = load_paif(weights)
    model = folder / 'model.onnx'
    model.write_bytes(export_onnx(deploy(network), size, 1, {}).SerializeToString())
    what = (
        f'{network.config.variant}: {network.config.channels} channels, {network.config.backbone}'
    )
    return weights, model, what


def summary(seconds: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Return median, 10th percentile and ratio to `official` of each way, in milliseconds."""
    base = float(np.median(seconds['official']))
    return {
        way: {
            'median_ms': 1e3 * float(np.median(values)),
            'p10_ms': 1e3 * float(np.percentile(values, 10)),
            'ratio': base / float(np.median(values)),
        }
        for way, values in seconds.items()
    }


def print_ways(ways: Mapping[str, Mapping[str, float]], meaning: Mapping[str, str]) -> None:
    """Print what `summary` returns, a line for each way, with what the way means."""
    print(f'{"":12s} {"median ms":>10s} {"p10 ms":>10s} {"ratio":>7s}')
    for way, row in ways.items():
        print(
            f'{way:12s} {row["median_ms"]:10.0f} {row["p10_ms"]:10.0f} {row["ratio"]:6.1f}x  '
            f'{meaning[way]}'
        )


def main(argv: list[str] | None = None) -> int:
    """Measure and print a table; return 0."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_version(parser, *TRAINING_LIBRARIES)
    parser.add_argument(
        '--config', help='configuration with seeded random weights; default paif_official_b0'
    )
    parser.add_argument('--weights', type=Path, help='weights of ours, instead of --config')
    parser.add_argument('--size', default='480x640', help='HEIGHTxWIDTH')
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--json', type=Path, help='write the figures there too')
    parser.add_argument('--worker', choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument('--model', type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    height, width = (int(side) for side in args.size.split('x'))
    if args.worker:
        worker(args.worker, args.weights, args.model, (height, width), args.threads)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        weights, model, what = prepare(args.config, args.weights, (height, width), Path(folder))
        common = [
            '--weights',
            str(weights),
            '--model',
            str(model),
            '--size',
            args.size,
            '--threads',
            str(args.threads),
        ]
        load = os.getloadavg()[0]
        seconds = measure(WAYS, common, args.rounds)
    report: dict[str, Any] = {
        'network': what,
        'size': [height, width],
        'threads': args.threads,
        'rounds': args.rounds,
        'machine': platform.processor() or platform.machine(),
        'load_before': load,
        'load_after': os.getloadavg()[0],
        'ways': summary(seconds),
    }
    print(
        f'{what}, {args.size}, {args.threads} threads, {args.rounds} rounds, '
        f'load {load:.1f} before'
    )
    print_ways(report['ways'], MEANING)
    if args.json:
        args.json.write_text(json.dumps(report, indent=2))
    return 0


if __name__ == '__main__':
    sys.exit(main())
