"""Score the masks of trained weights on labelled pairs.

    python -m models.evaluate --weights FILE.safetensors --data ../shared/data/test
    python -m models.evaluate --weights FILE.safetensors --scenes 24 --json OUT
    python -m models.evaluate --weights FILE.safetensors --scenes 24 --missing thermal --fill grey

`--data` is a folder laid out {vi,ir,label}/NAME; `--scenes` draws scenes training never sees.
`--missing` also scores every pair without one camera, its picture filled in from what is left.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from tqdm import tqdm

from models.checkpoint import load_paif
from models.data import LabelledPair, generate, read_folder, to_tensors
from models.losses import fusion_loss
from models.metrics import Scores, confusion, scores
from models.paif import PAIF
from paif_ros.fusion.stand_in import stand_in_thermal, stand_in_visible

SCENE_SEED = 500  # of the first evaluation scene; training starts at 1000, the demo plays 0
CAMERAS = ('thermal', 'visible')
FILLS = ('black', 'grey', 'copy')


def without(pair: LabelledPair, camera: str, fill: str) -> LabelledPair:
    """Return a pair as if one camera had stopped.

    Args:
        pair: both pictures.
        camera: which one of `CAMERAS` is missing.
        fill: what stands in for it: 'black' as in the node, 'grey' level 128 everywhere, 'copy'
            the other picture (luma of RGB for thermal, thermal in three channels for RGB).
    """
    if camera == 'thermal':
        filled = {
            'black': stand_in_thermal(pair.visible),
            'grey': np.full_like(pair.thermal, 128),
            'copy': cv2.cvtColor(pair.visible, cv2.COLOR_RGB2GRAY),
        }
        return replace(pair, thermal=np.asarray(filled[fill], np.uint8))
    filled = {
        'black': stand_in_visible(pair.thermal),
        'grey': np.full_like(pair.visible, 128),
        'copy': cv2.cvtColor(pair.thermal, cv2.COLOR_GRAY2RGB),
    }
    return replace(pair, visible=np.asarray(filled[fill], np.uint8))


@torch.inference_mode()
def evaluate(network: PAIF, pairs: list[LabelledPair], what: str) -> tuple[Scores, float]:
    """Run a network over pairs, one at a time as a robot would.

    Returns:
        The scores of its masks, and the mean fusion loss towards the training target.
    """
    classes = len(network.config.classes)
    matrix, losses = np.zeros((classes, classes), np.int64), []
    for pair in tqdm(pairs, desc=what, unit='pair', mininterval=5):
        batch = to_tensors([pair])
        fused, logits = network(batch.thermal, batch.visible)
        losses.append(float(fusion_loss(fused, batch.target)))
        logits = torch.nn.functional.interpolate(logits, pair.label.shape, mode='bilinear')
        mask = logits.argmax(1)[0].numpy().astype(np.uint8)
        matrix += confusion(pair.label, mask, classes)
    return scores(matrix), float(np.mean(losses))


def row(title: str, found: Scores) -> str:
    """Return scores in percent as one row of the table."""
    means = f'{100 * found.miou:6.1f} {100 * found.miou_foreground:6.1f}'
    return f'{title:40s} {means} ' + ' '.join(f'{100 * value:10.1f}' for value in found.iou)


def main(argv: list[str] | None = None) -> int:
    """Evaluate, print a table, write the JSON; return 0, or 2 on bad arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--weights', type=Path, required=True)
    parser.add_argument('--config', help='name in models/configs or a path; ours carry their own')
    parser.add_argument('--data', type=Path, action='append', default=[], help='may be repeated')
    parser.add_argument('--scenes', type=int, default=0, help='generated scenes of 5 frames each')
    parser.add_argument('--json', type=Path, help='write the scores there too')
    parser.add_argument(
        '--missing',
        choices=CAMERAS,
        action='append',
        default=[],
        help='also score without this camera; may be repeated',
    )
    parser.add_argument(
        '--fill',
        choices=FILLS,
        action='append',
        help='what stands in for it; may be repeated, default all of them',
    )
    args = parser.parse_args(argv)
    if not args.data and not args.scenes:
        parser.error('nothing to evaluate on: name --data, --scenes or both')
    if args.fill and not args.missing:
        parser.error('--fill wants to know for which camera: name --missing')
    try:
        network = load_paif(args.weights, args.config)
        names = [label.name for label in network.config.classes]
        sets = {str(folder): read_folder(folder, len(names)) for folder in args.data}
    except (OSError, ValueError) as err:
        print(f'error: {err}', file=sys.stderr)
        return 2
    for pair in generate(range(SCENE_SEED, SCENE_SEED + args.scenes), 5):
        sets.setdefault(f'generated, {pair.name.split("/")[0]}', []).append(pair)

    report: dict[str, Any] = {}
    print(
        f'{"IoU in %":40s} {"mean":>6s} {"fgnd":>6s} ' + ' '.join(f'{n[:10]:>10s}' for n in names)
    )
    for what, pairs in sets.items():
        found, loss = evaluate(network, pairs, what)
        report[what] = {
            'pairs': len(pairs),
            'fusion_loss': loss,
            'attacks': {'none': asdict(found)},
            'missing': {},
        }
        print(row(f'{what} ({len(pairs)})', found), flush=True)
        for camera, fill in product(args.missing, args.fill or FILLS):
            left = [without(pair, camera, fill) for pair in pairs]
            found, _ = evaluate(network, left, f'{what} without {camera}')
            report[what]['missing'].setdefault(camera, {})[fill] = asdict(found)
            print(row(f'  without {camera}: {fill}', found), flush=True)
    if args.json:
        args.json.write_text(json.dumps({'weights': str(args.weights), 'sets': report}, indent=2))
    return 0


if __name__ == '__main__':
    sys.exit(main())
