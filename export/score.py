"""Score the exported forms of a network beside FP32: fused picture, mask, IoU on labelled pairs.

    python -m export.score WEIGHTS --data ../shared/data/test --model paif_small_int8.onnx

FP16 forms (`--precision`) run in torch's FP16 on the CPU, as in export/islands.py; files
(`--model`) in ONNX Runtime on the CPU, whose INT8 is real and whose FP16 is not: name INT8 files
there. Pairs have to have the model's size.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from export.islands import Pair, answers
from export.moved import Answer, psnr
from export.to_int8 import Session
from models.checkpoint import CheckpointError, load_paif
from models.data import LabelledPair, read_folder
from models.deploy import deploy
from models.metrics import confusion, scores
from models.precision import PRECISIONS
from paif_ros.command_line import TRAINING_LIBRARIES, add_version

Form = Callable[[Pair], Answer]


@dataclass(frozen=True)
class Score:
    """How one form does on one set.

    Attributes:
        psnr: mean of the fused picture against FP32's in dB, 99 where equal.
        psnr_worst: of the worst pair.
        agreement: mean part of the mask that is FP32's.
        agreement_worst: of the worst pair.
        miou: mean IoU against the labels.
        foreground: the same without class 0.
    """

    psnr: float
    psnr_worst: float
    agreement: float
    agreement_worst: float
    miou: float
    foreground: float


def in_torch(network: object) -> Form:
    """Return a deployment network as a form."""
    return lambda pair: answers(network, [pair])[0]  # type: ignore[arg-type]


def in_onnxruntime(path: Path) -> Form:
    """Return a file as a form."""
    session = Session.of(path.read_bytes())
    return lambda pair: session.answers([pair])[0][0]


def score(forms: dict[str, Form], pairs: list[LabelledPair], classes: int) -> dict[str, Score]:
    """Score forms on pairs; the first of them is what the others are compared with."""
    noise: dict[str, list[float]] = {name: [] for name in forms}
    same: dict[str, list[float]] = {name: [] for name in forms}
    matrix = {name: np.zeros((classes, classes), np.int64) for name in forms}
    for pair in tqdm(pairs, unit='pair', mininterval=5):
        plain: Answer | None = None
        for name, form in forms.items():
            found = form((pair.visible, pair.thermal))
            plain = plain or found
            noise[name].append(psnr(found.fused, plain.fused))
            same[name].append(float((found.mask == plain.mask).mean()))
            matrix[name] += confusion(pair.label, found.mask, classes)
    result = {}
    for name in forms:
        iou = scores(matrix[name])
        result[name] = Score(
            float(np.mean(noise[name])),
            min(noise[name]),
            float(np.mean(same[name])),
            min(same[name]),
            iou.miou,
            iou.miou_foreground,
        )
    return result


def main(argv: list[str] | None = None) -> int:
    """Score, print a Markdown table, write the JSON; return 0, or 2 on bad arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_version(parser, *TRAINING_LIBRARIES)
    parser.add_argument('weights', type=Path)
    parser.add_argument('--config', help='name in models/configs or a path; not for ours')
    parser.add_argument(
        '--data', type=Path, action='append', required=True, help='may be repeated'
    )
    parser.add_argument('--precision', action='append', choices=sorted(PRECISIONS), default=[])
    parser.add_argument('--model', type=Path, action='append', default=[], help='INT8 .onnx')
    parser.add_argument('--json', type=Path, help='write the scores there too')
    args = parser.parse_args(argv)
    try:
        network = load_paif(args.weights, args.config)
        classes = len(network.config.classes)
        sets = {folder.name: read_folder(folder, classes) for folder in args.data}
        names = dict.fromkeys(['fp32', *args.precision])
        forms = {name: in_torch(deploy(network, PRECISIONS[name])) for name in names}
        forms |= {path.name: in_onnxruntime(path) for path in args.model}
    except (CheckpointError, OSError, ValueError) as err:
        print(f'error: {err}', file=sys.stderr)
        return 2
    report = {}
    lines = [
        '| set (pairs) | form | fused PSNR dB, mean (worst) | mask as FP32 %, mean (worst) '
        '| mIoU % | foreground % |',
        '|---|---|---|---|---|---|',
    ]
    for what, pairs in sets.items():
        found = score(forms, pairs, classes)
        report[what] = {name: asdict(row) for name, row in found.items()}
        lines += [
            f'| {what} ({len(pairs)}) | {name} | {row.psnr:.1f} ({row.psnr_worst:.1f}) '
            f'| {100 * row.agreement:.2f} ({100 * row.agreement_worst:.2f}) '
            f'| {100 * row.miou:.2f} | {100 * row.foreground:.2f} |'
            for name, row in found.items()
        ]
    print('\n'.join(lines))
    if args.json:
        args.json.write_text(json.dumps(report, indent=2))
    return 0


if __name__ == '__main__':
    sys.exit(main())
