"""Train UAAFusion's fusion network and segmenter together.

    python -m models.uaafusion.train --config official --data fmb:/data/FMB --split train --out runs/uaa
    python -m models.uaafusion.train --config small --data ../shared/data/train --background --logits --out runs/uaa_small

Defaults are the official ones: 40 epochs, batches of 8 patches of 256x256, Adam at 1e-4, halved
every 10 epochs, cross-entropy of scores without background. Stopped, the same command goes on
where it was. `--out` holds the checkpoint, the log (CSV) and, at the end, `weights.safetensors`.
See docs/uaafusion.md.
"""  # noqa: E501 - command lines

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from models.checkpoint import CheckpointError, load_into, read_parts
from models.data import Augmentation, generate
from models.datasets.pair import IGNORE, LabelledPair
from models.datasets.registry import open_dataset
from models.sources import SCENE_SEED
from models.uaafusion.checkpoint import PARTS, load_uaafusion, save_uaafusion
from models.uaafusion.network import UAAFusion, load_config
from models.uaafusion.patches import Crops, Patch, cut
from models.uaafusion.trainer import Schedule, Trainer
from models.workers import Workers
from paif_ros.command_line import TRAINING_LIBRARIES, add_version

SEGMENTER = 'segmenter.'  # how its keys begin in weights of both networks
FRAMES = 5  # of each generated scene
# How random crops vary: less than PAIF's first stages, as in its later ones (`models/recipes`).
CROPS = Augmentation(scale=(0.5, 1.3), tone=0.15, noise=5.0, tint=0.1, haze=0.12)


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    found = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_version(found, *TRAINING_LIBRARIES)
    usual = Schedule()
    add = found.add_argument
    add('--config', default='official', help='name in models/uaafusion/configs, or a path')
    add(
        '--data',
        action='append',
        default=[],
        metavar='NAME:FOLDER',
        help='labelled pairs, see docs/datasets.md; may be given again',
    )
    add('--split', default='all', help='of every --data, such as train')
    add('--scenes', type=int, default=0, help='generated scenes beside them')
    add('--out', type=Path, required=True, help='folder of the run')
    add('--init', type=Path, help='weights of both networks to start from')
    add('--init-segmenter', type=Path, help="SS_Net's weights, such as SS_pretrain.pth")
    add('--epochs', type=int, default=usual.epochs)
    add('--batch', type=int, default=usual.batch)
    add('--patch', type=int, default=256, help='side of a patch in pixels, default 256')
    add('--rate', type=float, default=usual.rate)
    add('--halve-every', type=int, default=usual.halve_every, help='epochs')
    add('--seed', type=int, default=usual.seed)
    add('--data-step', action='store_true', help='take the data step that the official code loses')
    add('--background', action='store_true', help='learn background; the official code does not')
    add('--logits', action='store_true', help='cross-entropy of logits; official: of scores')
    add('--segmenter-only', action='store_true', help='a start for joint training (--init)')
    add('--fusion-only', action='store_true', help='the other start, without attention')
    add('--patches', type=int, help='this many of the patches at most, spread evenly')
    add('--labelled', action='store_true', help='only patches that show more than background')
    add('--crops', action='store_true', help='random varied crops in place of patches')
    add(
        '--class-weights',
        type=parse_weights,
        default=(),
        metavar='W0,W1,...',
        help='of the cross-entropy, one for each class; default equal ones',
    )
    add('--frozen-norms', action='store_true', help="keep the segmenter's BatchNorm statistics")
    add('--no-dropout', action='store_true', help="leave out the segmenter's dropout")
    add(
        '--self-supervised',
        type=float,
        default=usual.self_supervised,
        metavar='WEIGHT',
        help="of CrossFuse's weak-aggressive loss, such as 0.1; default 0, which leaves it out",
    )
    add('--save-every', type=int, default=50, help='steps between checkpoints')
    add('--threads', type=int, default=2, help='threads of torch on a CPU')
    add('--device', default='auto', help='auto, cpu or cuda')
    return found


def parse_weights(text: str) -> tuple[float, ...]:
    """Read numbers over 0 with commas between them.

    Raises:
        argparse.ArgumentTypeError: it reads otherwise.
    """
    try:
        weights = tuple(float(part) for part in text.split(','))
    except ValueError:
        weights = ()
    if not weights or not all(0 < weight < math.inf for weight in weights):
        msg = f'{text!r}: give a number over 0 for each class, such as 0.4,0.7,1.5,5'
        raise argparse.ArgumentTypeError(msg)
    return weights


def training_patches(
    pairs: list[LabelledPair], args: argparse.Namespace
) -> Sequence[Patch] | Crops:
    """Return what the command line asks to train on, and say how much it is."""
    found: Sequence[Patch] | Crops
    if args.crops:
        found = Crops(pairs, replace(CROPS, size=(args.patch, args.patch)))
        print(f'random crops of {args.patch}x{args.patch} from {len(pairs)} pairs')
        return found
    found = cut(pairs, args.patch, labelled=args.labelled)
    if args.patches is not None:
        found = found[:: max(1, -(-len(found) // args.patches))]
    print(f'{len(found)} patches of {args.patch}x{args.patch} from {len(pairs)} pairs')
    return found


def initial(args: argparse.Namespace) -> UAAFusion:
    """Return the network to train, with the weights that the command line names.

    Raises:
        CheckpointError, OSError, ValueError: the weights or the configuration can't be used.
    """
    config = load_config(args.config)
    if args.data_step:
        config = replace(config, data_step=True)
    torch.manual_seed(args.seed)
    network = UAAFusion(config)
    if args.init:
        network = load_uaafusion(args.init, config)
    if args.init_segmenter:
        state, _ = read_parts(args.init_segmenter, PARTS)
        of_both = {
            key.removeprefix(SEGMENTER): value
            for key, value in state.items()
            if key.startswith(SEGMENTER)
        }
        load_into(network.segmenter, of_both or state, args.init_segmenter)
    return network


def main(argv: list[str] | None = None) -> int:
    """Train, resume or finish a network; return 0, or 2 on bad input."""
    args = parser().parse_args(argv)
    torch.set_num_threads(args.threads)
    try:
        schedule = Schedule(
            epochs=args.epochs,
            batch=args.batch,
            rate=args.rate,
            halve_every=args.halve_every,
            ignored=IGNORE if args.background else Schedule.ignored,
            on_logits=args.logits,
            seed=args.seed,
            segmenter_only=args.segmenter_only,
            class_weights=args.class_weights,
            frozen_norms=args.frozen_norms,
            fusion_only=args.fusion_only,
            dropout=not args.no_dropout,
            self_supervised=args.self_supervised,
        )
        network = initial(args)
        names = [label.name for label in network.config.classes]
        pairs: list[LabelledPair] = []
        for text in args.data:
            pairs += open_dataset(text, args.split, names)
        if args.scenes:
            pairs += generate(range(SCENE_SEED, SCENE_SEED + args.scenes), FRAMES)
        if not pairs:
            msg = 'no pairs: name some with --data, or draw some with --scenes'
            raise ValueError(msg)
        patches = training_patches(pairs, args)
        args.out.mkdir(parents=True, exist_ok=True)
        device = Workers.from_environment(args.device).device
        Trainer(network, schedule, patches, out=args.out, device=device).run(args.save_every)
    except (CheckpointError, OSError, ValueError) as err:
        print(f'error: {err}', file=sys.stderr)
        return 2
    save_uaafusion(args.out / 'weights.safetensors', network)
    print(f'wrote {args.out / "weights.safetensors"}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
