"""Train a PAIF network by a recipe: standard, or adversarially against attacks made as it learns.

    python -m models.train --recipe own --data ../data/mine --out runs/mine
    python -m models.train --recipe robust --data ../shared/data --out runs/small
    torchrun --nproc-per-node 4 -m models.train --recipe robust --data ... --out ...

Recipes are JSON files in `models/recipes`; each names its stages (`models.recipe`). Stopped, the
same command goes on where it was. `--out` holds the checkpoint, the log (CSV) and, at the end,
`weights.safetensors`.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import torch

from models.checkpoint import load_paif, save_paif, warm_start
from models.paif import PAIF, load_config
from models.recipe import load_recipe
from models.sources import read_sources
from models.trainer import Trainer
from models.workers import Workers
from paif_ros.command_line import TRAINING_LIBRARIES, add_version


def main(argv: list[str] | None = None) -> int:
    """Train, resume or finish a network; return 0, or 2 on bad input."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_version(parser, *TRAINING_LIBRARIES)
    parser.add_argument('--config', default='paif_small', help='name in models/configs, or a path')
    parser.add_argument('--recipe', default='standard', help='name in models/recipes, or a path')
    parser.add_argument(
        '--data',
        type=Path,
        help='folder with train/ and val/, each {vi,ir,label}/NAME; camvid/, roadscene/ and '
        'video/ beside them are used where the recipe names them',
    )
    parser.add_argument('--out', type=Path, required=True, help='folder of the run')
    parser.add_argument(
        '--init', type=Path, help='weights to start from; parts that do not fit start fresh'
    )
    parser.add_argument('--scenes', type=int, help="generated scenes, instead of the recipe's")
    parser.add_argument('--seed', type=int, help="instead of the recipe's")
    parser.add_argument(
        '--scale-steps', type=float, default=1.0, help='multiplies the steps of every stage'
    )
    parser.add_argument('--save-every', type=int, default=50, help='steps between checkpoints')
    parser.add_argument('--workers', type=int, default=1, help='processes that prepare batches')
    parser.add_argument('--threads', type=int, default=2, help='threads of torch on a CPU')
    parser.add_argument('--device', default='auto', help='auto, cpu or cuda')
    args = parser.parse_args(argv)

    torch.set_num_threads(args.threads)
    try:
        recipe = load_recipe(args.recipe).scaled(args.scale_steps)
        given = {'scenes': args.scenes, 'seed': args.seed}
        recipe = replace(recipe, **{k: v for k, v in given.items() if v is not None})
        config = load_config(args.config)
        if len(recipe.class_weights) != len(config.classes):
            msg = (
                f'recipe {args.recipe!r} has {len(recipe.class_weights)} class_weights, '
                f'configuration {args.config!r} has {len(config.classes)} classes: one for each'
            )
            raise ValueError(msg)
        workers = Workers.from_environment(args.device)
        sources = read_sources(recipe, args.data, len(config.classes))
        torch.manual_seed(recipe.seed)
        network = PAIF(config)
        if args.init:
            fresh = warm_start(network, load_paif(args.init))
            print(f'{len(fresh)} of {len(network.state_dict())} tensors start fresh')
        args.out.mkdir(parents=True, exist_ok=True)
        trainer = Trainer(network, recipe, sources, args.out, workers)
        trainer.run(args.workers, args.save_every)
    except (OSError, ValueError) as err:
        print(f'error: {err}', file=sys.stderr)
        return 2
    if workers.rank == 0:
        save_paif(args.out / 'weights.safetensors', trainer.averaged())
        print(f'wrote {args.out / "weights.safetensors"}')
    workers.close()
    return 0


if __name__ == '__main__':
    sys.exit(main())
