"""Measure what FP16 does to each part of a network: how far fused picture and mask move.

    python -m export.islands models/weights/paif_small.safetensors
    python -m export.islands models/weights/paif_small.safetensors --write docs/precision.md

Every part of `models/precision.py` changes its type alone, on real pairs: those that stay in FP32
in the mixed model are put into FP16 there, the others into FP16 in the FP32 model. The arithmetic
is torch's FP16 on the CPU (`export/half.py`: FP16 operands, FP32 sums, one rounding for each
operation), never ONNX Runtime's, which hides the error. An engine on a GPU may keep sums in FP16
or round less often; only the parity gate on the device can tell.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from tqdm import tqdm

from export.half import FastHalf
from export.moved import FUSED_PSNR, MASK_AGREEMENT, NO_NOISE, Answer, Bytes, Moved, compare
from export.to_onnx import PICTURES, parse_size, read_pairs
from models.checkpoint import CheckpointError, load_paif
from models.deploy import DeployedPAIF, deploy
from models.precision import FP32, ISLANDS, MIXED, PARTS, WORKERS, Precision
from paif_ros.command_line import TRAINING_LIBRARIES, add_version

BEGIN, END = '<!-- islands: begin -->', '<!-- islands: end -->'
Pair = tuple[Bytes, Bytes]  # visible, thermal


@torch.inference_mode()
def answers(network: DeployedPAIF, pairs: Sequence[Pair]) -> list[Answer]:
    """Return what a deployment network answers to pairs, in true FP16 where it says so."""
    found = []
    with FastHalf():
        for visible, thermal in pairs:
            outputs = network(torch.from_numpy(visible)[None], torch.from_numpy(thermal)[None])
            found.append(Answer(*(output[0].numpy() for output in outputs)))
    return found


def settings() -> dict[str, tuple[str, Precision]]:
    """Return the rows of the table: title, what it is, which parts are in FP16."""
    rows = {
        'mixed': ('the mixed model', MIXED),
        'all FP16': ('every part in FP16', Precision(frozenset(PARTS))),
    }
    rows |= {f'mixed, {p} too': (text, MIXED.moved(to_half=[p])) for p, text in ISLANDS.items()}
    return rows | {f'only {p}': (text, FP32.moved(to_half=[p])) for p, text in WORKERS.items()}


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


def rewrite(path: Path, text: str) -> None:
    """Replace what stands between the two marks of a document.

    Raises:
        ValueError: the document has no such marks.
    """
    before, begin, rest = path.read_text('utf-8').partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        msg = f'{path} has no {BEGIN} and {END}: add them where the table belongs'
        raise ValueError(msg)
    path.write_text(f'{before}{BEGIN}\n{text}\n{END}{after}', 'utf-8')


def main(argv: list[str] | None = None) -> int:
    """Measure and print the table; return 0, or 2 on bad arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_version(parser, *TRAINING_LIBRARIES)
    parser.add_argument('weights', type=Path)
    parser.add_argument('--config', help='name in models/configs or a path; not for ours')
    parser.add_argument(
        '--size', type=parse_size, default=(480, 640), help='HEIGHTxWIDTH, default 480x640'
    )
    parser.add_argument('--pictures', type=Path, default=PICTURES, help='folder {vi,ir}/NAME')
    parser.add_argument('--write', type=Path, help='put the table into this document')
    parser.add_argument('--json', type=Path, help='write the figures there too')
    args = parser.parse_args(argv)
    try:
        network = load_paif(args.weights, args.config)
        pairs = read_pairs(args.pictures, args.size)
    except (CheckpointError, OSError, ValueError) as err:
        print(f'error: {err}', file=sys.stderr)
        return 2
    expected = answers(deploy(network), pairs)
    rows = {}
    for title, (text, precision) in tqdm(settings().items(), unit='part', mininterval=5):
        rows[title] = (text, compare(answers(deploy(network, precision), pairs), expected))
    height, width = args.size
    says = (
        f'`{args.weights.name}`, {len(pairs)} real pairs at '
        f'{height}x{width}, worst pair against FP32; the gate asks for {FUSED_PSNR:g} dB and '
        f'{100 * MASK_AGREEMENT:g} %. torch {torch.__version__}, CPU.'
    )
    text = f'{says}\n\n{table(rows)}'
    print(text)
    if args.write:
        rewrite(args.write, text)
    if args.json:
        report = {title: asdict(moved) for title, (_, moved) in rows.items()}
        args.json.write_text(json.dumps({'weights': str(args.weights), 'rows': report}, indent=2))
    return 0


if __name__ == '__main__':
    sys.exit(main())
