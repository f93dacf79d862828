r"""Measure what FP16 does to each part of a network: how far fused picture and mask move.

    python -m export.islands models/weights/paif_small.safetensors
    python -m export.islands models/weights/paif_small.safetensors --write docs/precision.md
    python -m export.islands models/weights/crossfuse_small.safetensors --network crossfuse \
        --write docs/crossfuse.md

Every part of `models/precision.py` (`models/crossfuse/precision.py`) changes its type alone, on
real pairs: those that stay in FP32 in the mixed model are put into FP16 there, the others into
FP16 in the FP32 model. The arithmetic is torch's FP16 on the CPU (`export/half.py`: FP16 operands,
FP32 sums, one rounding for each operation), never ONNX Runtime's, which hides the error. An engine
on a GPU may keep sums in FP16 or round less often; only the parity gate on the device can tell.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from export.half import FastHalf
from export.moved import FUSED_PSNR, MASK_AGREEMENT, NO_NOISE, Answer, Bytes, Moved, compare
from export.to_onnx import PICTURES, parse_size, read_pairs
from models import precision
from models.checkpoint import CheckpointError, load_paif
from models.crossfuse import deploy as crossfuse_deploy
from models.crossfuse import precision as crossfuse_precision
from models.crossfuse.checkpoint import load_crossfuse
from models.deploy import DeployedCascade, deploy
from models.evaluation.pages import put
from models.precision import Precision
from paif_ros.command_line import TRAINING_LIBRARIES, add_version

MARK = 'islands'  # of the table's place in a document
Pair = tuple[Bytes, Bytes]  # visible, thermal


@dataclass(frozen=True)
class Kind:
    """A network whose parts are measured.

    Attributes:
        load: reads weights, with the name of a configuration where they carry none.
        deploy: makes the deployment form in a precision.
        mixed: which parts are in FP16 in the mixed model, and which parts there are.
    """

    load: Callable[[Path, str | None], Any]
    deploy: Callable[[Any, Any], DeployedCascade]
    mixed: Precision


KINDS = {
    'paif': Kind(load_paif, deploy, precision.MIXED),
    'crossfuse': Kind(load_crossfuse, crossfuse_deploy.deploy, crossfuse_precision.MIXED),
}


@torch.inference_mode()
def answers(network: DeployedCascade, pairs: Sequence[Pair]) -> list[Answer]:
    """Return what a deployment network answers to pairs, in true FP16 where it says so."""
    found = []
    with FastHalf():
        for visible, thermal in pairs:
            outputs = network(torch.from_numpy(visible)[None], torch.from_numpy(thermal)[None])
            found.append(Answer(*(output[0].numpy() for output in outputs)))
    return found


def settings(mixed: Precision) -> dict[str, tuple[str, Precision]]:
    """Return the rows of the table: title, what it is, which parts are in FP16."""
    fp32, everything = mixed.moved(to_full=mixed.half), mixed.moved(to_half=mixed.parts)
    rows = {
        'mixed': ('the mixed model', mixed),
        'all FP16': ('every part in FP16', everything),
    }
    islands = {part: text for part, text in mixed.parts.items() if part not in mixed.half}
    workers = {part: text for part, text in mixed.parts.items() if part in mixed.half}
    rows |= {f'mixed, {p} too': (text, mixed.moved(to_half=[p])) for p, text in islands.items()}
    return rows | {f'only {p}': (text, fp32.moved(to_half=[p])) for p, text in workers.items()}


def table(rows: dict[str, tuple[str, Moved]]) -> str:
    """Return the measurements as a Markdown table."""
    lines = [
        '| in FP16 | what it is | fused: max | p99.9 | PSNR dB | mask same, % | confidence: max |',
        '|---|---|---|---|---|---|---|',
    ]
    for title, (text, moved) in rows.items():
        noise = 'equal' if moved.fused_psnr == NO_NOISE else f'{moved.fused_psnr:.1f}'
        verdict = '' if moved.passes() else ' **fails**'
        lines.append(
            f'| {title}{verdict} | {text} | {moved.fused_max} | {moved.fused_p999:.0f} '
            f'| {noise} | {100 * moved.agreement:.3f} | {moved.confidence_max} |'
        )
    return '\n'.join(lines)


def main(argv: list[str] | None = None) -> int:
    """Measure and print the table; return 0, or 2 on bad arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_version(parser, *TRAINING_LIBRARIES)
    parser.add_argument('weights', type=Path)
    parser.add_argument('--network', choices=sorted(KINDS), default='paif')
    parser.add_argument('--config', help='name of a configuration or a path; not for ours')
    parser.add_argument(
        '--size', type=parse_size, default=(480, 640), help='HEIGHTxWIDTH, default 480x640'
    )
    parser.add_argument('--pictures', type=Path, default=PICTURES, help='folder {vi,ir}/NAME')
    parser.add_argument('--write', type=Path, help='put the table into this document')
    parser.add_argument('--json', type=Path, help='write the figures there too')
    args = parser.parse_args(argv)
    kind = KINDS[args.network]
    try:
        network = kind.load(args.weights, args.config)
        pairs = read_pairs(args.pictures, args.size)
    except (CheckpointError, OSError, ValueError) as err:
        print(f'error: {err}', file=sys.stderr)
        return 2
    mixed = kind.mixed
    expected = answers(kind.deploy(network, mixed.moved(to_full=mixed.half)), pairs)
    rows = {}
    for title, (text, chosen) in tqdm(settings(mixed).items(), unit='part', mininterval=5):
        rows[title] = (text, compare(answers(kind.deploy(network, chosen), pairs), expected))
    height, width = args.size
    says = (
        f'`{args.weights.name}`, {len(pairs)} real pairs at '
        f'{height}x{width}, worst pair against FP32; the gate asks for {FUSED_PSNR:g} dB and '
        f'{100 * MASK_AGREEMENT:g} %. torch {torch.__version__}, CPU.'
    )
    text = f'{says}\n\n{table(rows)}'
    print(text)
    if args.write:
        put(args.write, MARK, text)
    if args.json:
        report = {title: asdict(moved) for title, (_, moved) in rows.items()}
        args.json.write_text(json.dumps({'weights': str(args.weights), 'rows': report}, indent=2))
    return 0


if __name__ == '__main__':
    sys.exit(main())
