"""What a network asks of a board, and how long it would take there: projected, not measured.

    python -m benchmarks.roofline
    python -m benchmarks.roofline --onnx models/weights/paif_small.onnx --detail
    python -m benchmarks.roofline --config my_variant.json --size 480x640

Counts operations, parameters and bytes moved of exported ONNX graphs (`benchmarks/onnx_costs.py`),
and projects the latency of their engines on Jetsons and desktop GPUs (`roofline_model.py`) beside
the figures that peers publish. A configuration is exported with random weights, which takes torch
and some minutes for all of them; `--onnx` takes any file and needs only onnx. Sides that are not
multiples of 32 are rounded up: 720x1280 is counted as 736x1280. INT8 of a configuration is the
mixed graph with the convolutions and matrix products of cells, encoder and decoder in 8 bits, a
rule and no measurement; a Q/DQ file given with `--onnx` is counted as it is.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import onnx

from benchmarks.boards import BOARDS
from benchmarks.onnx_costs import Costs, GraphError, count
from benchmarks.onnx_kernels import Kernel, kernels
from benchmarks.onnx_parts import GUIDED, RESULTS, STEMS, paif_parts
from benchmarks.roofline_graphs import Size, exported_size, paif_graph, segformer_graph
from benchmarks.roofline_model import (
    ANCHORS,
    CASES,
    calibrate,
    floor_seconds,
    load_anchors,
    median,
    quantised,
    save_anchors,
    seconds,
    slack,
)
from benchmarks.roofline_tables import show
from paif_ros.command_line import TRAINING_LIBRARIES, add_version

CONFIGS = ('paif_small', 'paif_official_b0', 'paif_official_b3')
SIZES = ('480x640', '512x512', '720x1280')
HOST_MS = 3.0  # of each frame's time left to the node: decoding, pairing, copies, packing
VERDICTS = ('yes', 'likely', 'unlikely', 'no')


def verdict(latency: dict[str, float], fps: float) -> str:
    """Say whether an engine makes a rate, from its latencies in ms by case."""
    budget = 1e3 / fps - HOST_MS
    fit = [latency[case] <= budget for case in ('slow', 'expected', 'fast')]
    return VERDICTS[fit.index(True)] if any(fit) else VERDICTS[-1]


def project(network: str, size: Size, precision: str, costs: Costs, fps: float) -> dict[str, Any]:
    """Return everything that is known of one graph: what it asks for, and each board's latency."""
    work = kernels(costs)
    boards = {}
    for board in BOARDS:
        latency = {name: 1e3 * seconds(work, board, case) for name, case in CASES.items()}
        latency['slow'] *= slack(board)
        boards[board.name] = {
            **{f'{name}_ms': value for name, value in latency.items()},
            'floor_ms': 1e3 * floor_seconds(work, board),
            'makes_it': verdict(latency, fps),
            'status': 'projected',
        }
    return {
        'network': network,
        'size': list(size),
        'fps': fps,
        'precision': precision,
        'gflop': costs.operations / 1e9,
        'other_gflop': sum(node.other for node in costs.nodes) / 1e9,
        'parameters': costs.parameters,
        'kernels': len(work),
        'moved_mb': sum(kernel.moved for kernel in work) / 1e6,
        'unfused_mb': costs.unfused_bytes / 1e6,
        'unknown_operators': costs.unknown,
        'parts': _shares(work, lambda kernel: kernel.part),
        'classes': _shares(work, lambda kernel: kernel.family),
        'boards': boards,
    }


def _shares(work: Iterable[Kernel], key: Any) -> dict[str, dict[str, float]]:
    table: dict[str, dict[str, float]] = defaultdict(
        lambda: {'kernels': 0, 'gflop': 0.0, 'other_gflop': 0.0, 'moved_mb': 0.0}
    )
    for kernel in work:
        row = table[key(kernel)]
        row['kernels'] += 1
        row['gflop'] += kernel.operations / 1e9
        row['other_gflop'] += kernel.other / 1e9
        row['moved_mb'] += kernel.moved / 1e6
    return dict(table)


def exported(config: str, size: Size, precision: str, folder: Path | None) -> onnx.ModelProto:
    """Export a configuration, or read it from `folder` if an earlier run has left it there."""
    if folder is None:
        return paif_graph(config, size, precision)
    path = folder / f'{Path(config).stem}_{size[0]}x{size[1]}_{precision}.onnx'
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        onnx.save(paif_graph(config, size, precision), path)
    return onnx.load(path)


def of_config(config: str, size: Size, fps: float, folder: Path | None) -> list[dict[str, Any]]:
    """Project a configuration in FP32, mixed and INT8."""
    size, name = exported_size(size), Path(config).stem
    rows, costs = [], None
    for precision in ('fp32', 'mixed'):
        costs = count(exported(config, size, precision, folder), paif_parts)
        rows.append(project(name, size, precision, costs, fps))
    assert costs is not None
    parts = [
        part
        for part in {node.part for node in costs.nodes}
        if part not in (GUIDED, STEMS, RESULTS)
    ]
    rows.append(project(name, size, 'int8', quantised(costs, parts), fps))
    return rows


def of_file(path: Path, fps: float) -> dict[str, Any]:
    """Project an ONNX file as it is.

    Raises:
        GraphError: it can not be counted, or is no ONNX file.
    """
    try:
        model = onnx.load(path)
    except Exception as err:  # protobuf's errors share no base class but this one
        msg = f'{str(path)!r} can not be read as ONNX: {str(err).splitlines()[0]}'
        raise GraphError(msg) from err
    costs = count(model, paif_parts)
    said = {entry.key: entry.value for entry in model.metadata_props}
    precision = said.get('precision') or _precision(kernels(costs))
    shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    last = 3 if shape[-1] == 3 else 2  # the contract's [N, H, W, 3], or [N, C, H, W]
    size = (shape[1], shape[2]) if last == 3 else (shape[-2], shape[-1])
    return project(path.name, size, precision, costs, fps)


def _precision(work: Iterable[Kernel]) -> str:
    """Return the precision of a file that does not say it, by what its heavy kernels read."""
    heavy = ('convolution', 'matrix product')
    widths = {kernel.width for kernel in work if kernel.family in heavy}
    return 'int8' if 1 in widths else 'mixed' if 2 in widths else 'fp32'


def parse_size(text: str) -> Size:
    """Read HEIGHTxWIDTH.

    Raises:
        argparse.ArgumentTypeError: it reads otherwise.
    """
    parts = text.lower().split('x')
    if len(parts) != 2 or not all(part.isdecimal() and int(part) > 0 for part in parts):
        msg = f'size {text!r}: give HEIGHTxWIDTH, such as 480x640'
        raise argparse.ArgumentTypeError(msg)
    return int(parts[0]), int(parts[1])


def make_anchors() -> None:
    """Export and count the networks that calibrate, write them, and print the fits."""
    names = [case.anchor for case in CASES.values()]
    save_anchors(ANCHORS, {name: count(segformer_graph(name)) for name in names})
    anchors = load_anchors()
    for name, case in CASES.items():
        fits = calibrate(anchors[case.anchor], case)
        listed = ', '.join(f'{board} {value:.3f}' for board, value in fits.items())
        print(f'{name} ({case.anchor}): {listed}; median {median(fits):.3f}, in use {case.tensor}')


def main(argv: list[str] | None = None) -> int:
    """Count, project and print; exit code 2 where a graph can not be counted."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_version(parser, *TRAINING_LIBRARIES)
    parser.add_argument('--onnx', type=Path, action='append', default=[], help='ONNX file')
    parser.add_argument('--config', action='append', help=f'default {", ".join(CONFIGS)}')
    parser.add_argument('--size', type=parse_size, action='append', help='HEIGHTxWIDTH')
    parser.add_argument('--graphs', type=Path, help='folder that keeps exported graphs')
    parser.add_argument('--fps', type=float, default=30.0, help='the rate to make, default 30')
    parser.add_argument('--detail', action='store_true', help='by part and by operator class')
    parser.add_argument('--markdown', action='store_true', help='tables as Markdown')
    parser.add_argument('--json', type=Path, help='write the figures there too')
    parser.add_argument('--anchors', action='store_true', help='count the peers anew (torch)')
    args = parser.parse_args(argv)
    if args.fps <= 0 or 1e3 / args.fps <= HOST_MS:
        parser.error(f'--fps {args.fps:g}: give more than 0 and less than {1e3 / HOST_MS:.0f}')
    if args.anchors:
        make_anchors()
        return 0
    configs = args.config or ([] if args.onnx else CONFIGS)
    sizes = args.size or [parse_size(size) for size in SIZES]
    try:
        rows = [of_file(path, args.fps) for path in args.onnx]
        for config in configs:
            for size in sizes:
                rows += of_config(config, size, args.fps, args.graphs)
    except (GraphError, OSError, ValueError) as err:
        print(f'error: {err}', file=sys.stderr)
        return 2
    except ModuleNotFoundError as err:
        cure = 'a configuration is exported, which needs torch and onnxscript; or count a file'
        print(f'error: {err}; {cure} with --onnx', file=sys.stderr)
        return 2
    show(rows, args.fps, HOST_MS, as_markdown=args.markdown, detail=args.detail)
    if args.json:
        args.json.write_text(json.dumps(report(rows), indent=1) + '\n')
    return 0


def report(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return everything printed, with the assumptions, as JSON values."""
    return {
        'status': 'projected, not measured',
        'assumptions': {
            'cases': {name: vars(case) for name, case in CASES.items()},
            'host_ms': HOST_MS,
            'boards': [
                {**vars(board), 'published': vars(board.published) if board.published else None}
                for board in BOARDS
            ],
        },
        'rows': list(rows),
    }


if __name__ == '__main__':
    sys.exit(main())
