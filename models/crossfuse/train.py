"""Train CrossFuse's fusion in two phases: reconstruct each modality, then fuse both.

    python -m models.crossfuse.train --aligned RSM3.h5 --official --out runs/crossfuse
    python -m models.crossfuse.train --config small --data ../shared/data/train --epochs 16 --out runs/small

Defaults are the official ones: 160 epochs, 40 of them in phase 1, batches of 8 patches of 64x64,
four Adams at 1e-4, halved every 20 epochs down to 1e-6, gradients clipped to 0.01. `--official` is
for the quirks of the official code, which are left out else. Stopped, the same command goes on
where it was. `--out` holds the checkpoint, the log (CSV) and, at the end, `weights.safetensors`,
whose segmenter is not trained yet: see `models.crossfuse.train_segmenter`, docs/crossfuse.md.
Exit codes: 0 trained, 2 bad input.
"""  # noqa: E501 - command lines

from __future__ import annotations

import argparse
import pickle
import sys
from pathlib import Path

import torch

from models.checkpoint import CheckpointError
from models.crossfuse.checkpoint import load_crossfuse, save_crossfuse
from models.crossfuse.network import CrossFuse, load_config
from models.crossfuse.patches import SIDE, STRIDE, patches_of
from models.crossfuse.trainer import Schedule, Trainer
from models.data import generate
from models.datasets.errors import DatasetError
from models.datasets.pair import LabelledPair
from models.datasets.registry import open_dataset
from models.sources import SCENE_SEED
from models.vision_alignment import read_aligned
from models.workers import Workers
from paif_ros.command_line import TRAINING_LIBRARIES, add_version

FRAMES = 5  # of each generated scene


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    found = argparse.ArgumentParser(
        prog='python -m models.crossfuse.train',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_version(found, *TRAINING_LIBRARIES)
    usual = Schedule()
    add = found.add_argument
    add('--config', default='official', help='name in models/crossfuse/configs, or a path')
    add(
        '--data',
        action='append',
        default=[],
        metavar='NAME:FOLDER',
        help='pairs, see docs/datasets.md; may be given again',
    )
    add('--split', default='all', help='of every --data, such as train')
    add(
        '--aligned',
        type=Path,
        action='append',
        default=[],
        help='training set of models.vision_alignment, or an official .h5; may be given again',
    )
    add('--scenes', type=int, default=0, help='generated scenes beside them')
    add('--out', type=Path, required=True, help='folder of the run')
    add('--init', type=Path, help='weights to start from, ours or official')
    add('--epochs', type=int, default=usual.epochs)
    add('--first-epochs', type=int, help='of phase 1; default a quarter of --epochs')
    add('--batch', type=int, default=usual.batch)
    add('--patch', type=int, default=SIDE, help=f'side of a patch in pixels, default {SIDE}')
    add('--stride', type=int, default=STRIDE, help=f'from patch to patch, default {STRIDE}')
    add('--rate', type=float, default=usual.rate)
    add('--halve-every', type=int, default=usual.halve_every, help='epochs')
    add('--clip', type=float, default=usual.clip, help='norm of the gradient of each part')
    add(
        '--self-supervised',
        type=float,
        default=usual.self_supervised,
        metavar='WEIGHT',
        help='of weak-aggressive augmentation; 0 leaves it out',
    )
    add('--official', action='store_true', help='with the quirks of the official code')
    add('--seed', type=int, default=usual.seed)
    add('--save-every', type=int, default=50, help='steps between checkpoints')
    add('--threads', type=int, default=2, help='threads of torch on a CPU')
    add('--device', default='auto', help='auto, cpu or cuda')
    return found


def initial(args: argparse.Namespace) -> CrossFuse:
    """Return the network to train, with the weights that the command line names.

    Raises:
        CheckpointError, OSError, ValueError: the weights or the configuration can't be used.
    """
    config = load_config(args.config)
    torch.manual_seed(args.seed)
    if args.init:
        return load_crossfuse(args.init, config, fusion_only=True)
    return CrossFuse(config)


def read_pairs(args: argparse.Namespace, names: list[str]) -> list[LabelledPair]:
    """Return all pairs and aligned patches that the command line names.

    Raises:
        DatasetError, OSError, ValueError: they can't be read, or there are none.
    """
    pairs: list[LabelledPair] = []
    for text in args.data:
        pairs += open_dataset(text, args.split, names)
    for path in args.aligned:
        pairs += read_aligned(path, len(names))
    if args.scenes:
        pairs += generate(range(SCENE_SEED, SCENE_SEED + args.scenes), FRAMES)
    if not pairs:
        msg = 'no pairs: name some with --data or --aligned, or draw some with --scenes'
        raise ValueError(msg)
    return pairs


def main(argv: list[str] | None = None) -> int:
    """Train, resume or finish a network; return 0, or 2 on bad input."""
    args = parser().parse_args(argv)
    torch.set_num_threads(args.threads)
    first = args.epochs // 4 if args.first_epochs is None else args.first_epochs
    try:
        schedule = Schedule(
            epochs=args.epochs,
            first=first,
            batch=args.batch,
            rate=args.rate,
            halve_every=args.halve_every,
            clip=args.clip,
            self_supervised=args.self_supervised,
            official=args.official,
            seed=args.seed,
        )
        network = initial(args)
        pairs = read_pairs(args, [label.name for label in network.config.classes])
        patches = patches_of(pairs, args.patch, args.stride, network.config.scale)
        print(f'{len(patches)} patches of {args.patch}x{args.patch} from {len(pairs)} pairs')
        args.out.mkdir(parents=True, exist_ok=True)
        device = Workers.from_environment(args.device).device
        Trainer(network, schedule, patches, out=args.out, device=device).run(args.save_every)
    except (CheckpointError, DatasetError, OSError, ValueError, pickle.UnpicklingError) as err:
        print(f'error: {err}', file=sys.stderr)
        return 2
    save_crossfuse(args.out / 'weights.safetensors', network)
    print(f'wrote {args.out / "weights.safetensors"}; its segmenter is not trained yet')
    return 0


if __name__ == '__main__':
    sys.exit(main())
