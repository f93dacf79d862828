"""Measure how steady the fused frame and the mask are over time, with and without `mask.hold`.

    python -m models.flicker --weights models/weights/paif_small.onnx --data ../shared/data/video
    python -m models.flicker --weights FILE.safetensors --scenes 4 --rate 30 --frames 40 --json OUT

`--data` is a clip (the prefix of PREFIX_visible.mp4 and PREFIX_infrared.mp4, or a folder with vi/
and ir/), or a folder of such films; `--scenes` draws street scenes, whose exact labels tell what
steadiness costs. A fused frame can't be steadier than what came in, so the inputs' own flicker
stands beside it. An .onnx runs in the node's engine, other weights in torch, folded as for export.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from models.checkpoint import CheckpointError, sha256
from models.sequences import SCENE_SEED, Network, Sequence, clips, drawn, load_network
from models.temporal import (
    MaskFlicker,
    MaskMeter,
    MotionEstimator,
    PictureFlicker,
    PictureMeter,
    Truth,
    TruthMeter,
)
from paif_ros.command_line import TRAINING_LIBRARIES, add_version
from paif_ros.errors import PaifError
from paif_ros.fusion.hysteresis import MaskHysteresis, Seen
from paif_ros.parameters import MaskParameters, specs
from paif_ros.pictures.drawing import resize_mask, resize_picture
from scenes.config import CLASSES, PERSON

U8 = NDArray[np.uint8]


@dataclass(frozen=True)
class MaskReport:
    """Flicker of one kind of mask, and what it is worth where labels are exact."""

    flicker: MaskFlicker
    truth: Truth | None


@dataclass(frozen=True)
class Report:
    """All of one clip.

    Attributes:
        name: the clip, or condition and seed of a scene.
        frames: how many.
        rate: frames per second, after leaving frames out.
        pictures: by 'visible', 'thermal', 'fused' (luma).
        ratio: warping error of the fused frame, as part of its contrast, over that of the input
            that flickers more.
        masks: by 'each frame', 'held' and, of scenes, 'label'.
    """

    name: str
    frames: int
    rate: float
    pictures: dict[str, PictureFlicker]
    ratio: float
    masks: dict[str, MaskReport]


def measure(network: Network, sequence: Sequence, hold: MaskParameters) -> Report:
    """Run a network over a clip and measure its outputs and its inputs.

    Args:
        network: to measure.
        sequence: its pairs; they are brought to the network's size.
        hold: of the steadied mask.
    """
    motions, filter_ = MotionEstimator(), MaskHysteresis()
    classes = len(network.classes)
    pictures = {name: PictureMeter() for name in ('visible', 'thermal', 'fused')}
    flickers: dict[str, MaskMeter] = {}
    truths: dict[str, TruthMeter] = {}
    before: U8 | None = None
    number = 0
    shown = tqdm(
        islice(sequence.frames(), sequence.count),
        sequence.name,
        sequence.count,
        unit='frame',
        mininterval=5,
    )
    for number, (visible, thermal, label) in enumerate(shown, start=1):
        size = network.size or thermal.shape
        color, heat = resize_picture(visible, size), resize_picture(thermal, size)
        prediction = network.answer(color, heat)
        stamp = round(number * 1e9 / sequence.rate)
        held = filter_.apply(prediction, Seen(color, heat, stamp), hold)
        luma = _luma(color)
        both = np.asarray(cv2.addWeighted(luma, 0.5, heat, 0.5, 0), np.uint8)
        motion = None if before is None else motions.between(before, both)
        before = both
        frames = {'visible': luma, 'thermal': heat, 'fused': _luma(prediction.fused)}
        for name, picture in frames.items():
            pictures[name].add(picture, motion)
        masks = {'each frame': prediction.mask, 'held': held.mask}
        if label is not None:
            masks['label'] = resize_mask(label, size)
        for name, mask in masks.items():
            flickers.setdefault(name, MaskMeter(classes)).add(mask, motion)
            if label is not None:
                meter = truths.setdefault(name, TruthMeter(classes, PERSON))
                meter.add(masks['label'], mask)
    results = {name: meter.result() for name, meter in pictures.items()}
    worst = max(results['visible'].relative, results['thermal'].relative)
    return Report(
        sequence.name,
        number,
        sequence.rate,
        results,
        results['fused'].relative / worst if worst else float('nan'),
        {
            name: MaskReport(meter.result(), truths[name].result() if name in truths else None)
            for name, meter in flickers.items()
        },
    )


def _luma(rgb: U8) -> U8:
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)


def tables(reports: list[Report]) -> str:
    """Return both tables in Markdown."""
    lines = [
        'Warping error, change of brightness, contrast, in grey levels. Ratio: warping error over '
        'contrast of the fused frame, against the input that flickers more',
        '',
        '| clip | frames | visible | thermal | fused | ratio |',
        '|---|---|---|---|---|---|',
    ]
    for one in reports:
        cells = [
            f'{p.warping_error:.2f}, {p.brightness:.2f}, {p.contrast:.0f}'
            for p in one.pictures.values()
        ]
        lines.append(f'| {one.name} | {one.frames} | {" | ".join(cells)} | {one.ratio:.2f} |')
    lines += [
        '',
        'Masks: pixels that change class and change back within 3 frames, consistency with the '
        'frame before. Against exact labels, people also at the edge that comes and that goes',
        '',
        '| clip | mask | flips % | consistency | IoU foreground | IoU person | recall person '
        '| leading | ghosts |',
        '|---|---|---|---|---|---|---|---|---|',
    ]
    for one in reports:
        for name, mask in one.masks.items():
            values = [f'{100 * mask.flicker.flips:.3f}', _percent(mask.flicker.mean_consistency)]
            if (truth := mask.truth) is not None:
                values += [
                    _percent(value)
                    for value in (
                        truth.miou_foreground,
                        truth.iou[PERSON],
                        truth.recall,
                        truth.leading,
                        truth.ghosts,
                    )
                ]
            cells_ = ' | '.join(values + [''] * (7 - len(values)))
            lines.append(f'| {one.name} | {name} | {cells_} |')
    return '\n'.join(lines)


def _percent(value: float) -> str:
    return '' if np.isnan(value) else f'{100 * value:.1f}'


def main(argv: list[str] | None = None) -> int:
    """Measure, print the tables, write the JSON; return 0, or 2 on bad arguments."""
    known = specs()
    default = {name: int(known[f'mask.{name}'].default) for name in ('confidence', 'motion')}
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_version(parser, *TRAINING_LIBRARIES)
    parser.add_argument('--weights', type=Path, required=True)
    parser.add_argument('--data', type=Path, action='append', default=[], help='may be repeated')
    parser.add_argument('--scenes', type=int, default=0, help='how many generated scenes')
    parser.add_argument('--seed', type=int, default=SCENE_SEED, help='of the first scene')
    parser.add_argument('--rate', type=float, default=10.0, help='frames per second of scenes')
    parser.add_argument('--frames', type=int, default=40, help='of each clip, 0 for all of a film')
    parser.add_argument(
        '--every', type=int, default=1, help='take every so-many-th frame of films'
    )
    parser.add_argument('--hold', type=int, default=3, help='mask.hold of the steadied mask')
    parser.add_argument('--confidence', type=int, default=default['confidence'])
    parser.add_argument('--motion', type=int, default=default['motion'])
    parser.add_argument('--backend', default='onnxruntime', help='engine of an .onnx')
    parser.add_argument('--threads', type=int, default=0, help='of the network, 0: one per core')
    parser.add_argument('--json', type=Path, help='write everything there')
    args = parser.parse_args(argv)
    if not args.data and not args.scenes:
        parser.error('nothing to measure: name --data, --scenes or both')
    if args.every < 1 or args.frames < 0 or (args.scenes and args.frames < 1):
        parser.error('--every has to be 1 or more, --frames 0 or more, 1 or more with --scenes')
    hold = MaskParameters(args.hold, args.confidence, args.motion)
    try:
        for name, value in asdict(hold).items():
            known[f'mask.{name}'].check(value)
        found = [clip for path in args.data for clip in clips(path, args.every, args.frames)]
        found += drawn(args.scenes, args.rate, args.frames, args.seed)
        network = load_network(args.weights, args.backend, args.threads)
        if args.scenes and network.classes[: len(CLASSES)] != CLASSES:
            parser.error(f'scenes have classes {CLASSES}, these weights {network.classes}')
    except (OSError, ValueError, PaifError, CheckpointError) as err:
        print(f'error: {err}', file=sys.stderr)
        return 2
    reports = []
    for sequence in found:
        reports.append(measure(network, sequence, hold))
        if args.json:  # after each clip: they take minutes
            content = {
                'weights': str(args.weights),
                'weights_sha256': sha256(args.weights),
                'hold': asdict(hold),
                'clips': [asdict(report) for report in reports],
            }
            args.json.write_text(json.dumps(content, indent=2) + '\n', encoding='utf-8')
    print(tables(reports))
    return 0


if __name__ == '__main__':
    sys.exit(main())
