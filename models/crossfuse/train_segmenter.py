"""Train the segmenter behind CrossFuse's fused picture, with the tools of PAIF's.

    python -m models.crossfuse.train_segmenter runs/crossfuse/weights.safetensors --data ../shared/data --init models/weights/paif_small.safetensors --out runs/mask

All pairs are fused once, then the segmenter learns on the fused pictures (`models.train`, stage
'segment' with "fused": true), clean or under attacks as the recipe says. The fusion stays as it
is. Stopped, the same command goes on where it was. Exit codes: 0 trained, 2 bad input.
"""  # noqa: E501 - command lines

from __future__ import annotations

import argparse
import pickle
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from models.checkpoint import CheckpointError, load_paif
from models.crossfuse.checkpoint import load_crossfuse, save_crossfuse
from models.datasets.errors import DatasetError
from models.recipe import load_recipe
from models.sources import read_sources
from models.trainer import Trainer
from models.workers import Workers
from paif_ros.command_line import TRAINING_LIBRARIES, add_version

RECIPE = Path(__file__).parent / 'recipes' / 'segmenter.json'


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    found = argparse.ArgumentParser(
        prog='python -m models.crossfuse.train_segmenter',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_version(found, *TRAINING_LIBRARIES)
    add = found.add_argument
    add('weights', type=Path, help='of CrossFuse: ours, or an official checkpoint')
    add('--config', help='name in models/crossfuse/configs or a path; ours carry their own')
    add('--recipe', default=str(RECIPE), help='with stages of the kind segment alone')
    add('--data', type=Path, help='folder as models.train takes it')
    add('--init', type=Path, help="a PAIF network's weights, whose segmenter is the start")
    add('--scenes', type=int, help="generated scenes, instead of the recipe's")
    add('--scale-steps', type=float, default=1.0, help='multiplies the steps of every stage')
    add('--out', type=Path, required=True, help='folder of the run')
    add('--save-every', type=int, default=50, help='steps between checkpoints')
    add('--workers', type=int, default=1, help='processes that prepare batches')
    add('--threads', type=int, default=2, help='threads of torch on a CPU')
    add('--device', default='auto', help='auto, cpu or cuda')
    return found


def main(argv: list[str] | None = None) -> int:
    """Train, resume or finish; return 0, or 2 on bad input."""
    args = parser().parse_args(argv)
    torch.set_num_threads(args.threads)
    try:
        recipe = load_recipe(args.recipe).scaled(args.scale_steps)
        if any(stage.kind != 'segment' for stage in recipe.stages):
            kinds = [stage.kind for stage in recipe.stages]
            msg = f"recipe {args.recipe} has stages {kinds}: here 'segment' alone is trained"
            raise ValueError(msg)
        if args.scenes is not None:
            recipe = replace(recipe, scenes=args.scenes)
        torch.manual_seed(recipe.seed)
        lent = load_paif(args.init) if args.init else None
        network = load_crossfuse(args.weights, args.config, segmenter=lent, fusion_only=True)
        workers = Workers.from_environment(args.device)
        sources = read_sources(recipe, args.data, len(network.config.classes))
        args.out.mkdir(parents=True, exist_ok=True)
        # It looks for the segmenter and what it sees under the names that PAIF has for them.
        trainee: Any = network
        trainer = Trainer(trainee, recipe, sources, args.out, workers)
        trainer.run(args.workers, args.save_every)
    except (CheckpointError, DatasetError, OSError, ValueError, pickle.UnpicklingError) as err:
        print(f'error: {err}', file=sys.stderr)
        return 2
    if workers.rank == 0:
        trained: Any = trainer.averaged()
        save_crossfuse(args.out / 'weights.safetensors', trained)
        print(f'wrote {args.out / "weights.safetensors"}')
    workers.close()
    return 0


if __name__ == '__main__':
    sys.exit(main())
