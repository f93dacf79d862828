"""Train variants of a network alike, several seeds each, and score them side by side.

    python -m models.compare ablation --init SEGMENTER --data ../shared/data --out runs/ablation
    python -m models.compare inputs --init STANDARD --robust-init ROBUST --data DIR --out ...

`ablation`: neither, pretext initialisation alone, online adversarial training alone, both.
`inputs`: RGB alone, thermal alone, their mean and maximum, a SeAFusion-style network and PAIF,
each trained by the standard and by the adversarial recipe, behind the same segmenter.

All variants start from the segmenter of `--init` and are scored on pairs of DATA/val, clean and
under the official PGD-5. Stopped, the same command goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from models.checkpoint import load_paif, save_paif, warm_start
from models.data import read_folder
from models.evaluation.masks import attacked_scores
from models.evaluation.sets import spread
from models.paif import PAIF, PAIFConfig, load_config
from models.recipe import Recipe, Stage
from models.sources import Sources, read_sources
from models.trainer import Trainer
from models.workers import Workers
from paif_ros.command_line import TRAINING_LIBRARIES, add_version

ATTACKS = ('none', 'pgd5')
SHARES = (('pairs', 0.5), ('camvid', 0.25), ('scenes', 0.25))
UNLABELLED = (('pairs', 0.4), ('roadscene', 0.3), ('video', 0.15), ('scenes', 0.15))
INPUTS = ('visible', 'thermal', 'mean', 'max', 'seafusion', 'paif')


@dataclass(frozen=True)
class Arm:
    """One variant.

    Attributes:
        name: as it stands in the table.
        config: its network.
        stages: its training.
        init: weights that its segmenter starts from.
    """

    name: str
    config: PAIFConfig
    stages: tuple[Stage, ...]
    init: Path


@dataclass(frozen=True)
class Score:
    """Foreground IoU of one trained variant, 0..1.

    Attributes:
        arm: name of the variant.
        seed: of its training.
        foreground: by the name of the attack.
    """

    arm: str
    seed: int
    foreground: dict[str, float]


def stages(start: str, joint: float, scale: float) -> tuple[Stage, ...]:
    """Return the stages of a variant.

    Args:
        start: 'fuse', 'pretext' or '' for fusion without weights.
        joint: lambda of the joint stage, 0 for standard training.
        scale: multiplies all steps.
    """
    first = {
        'fuse': (Stage('fuse', 200, 8, (128, 160), 2e-3, 20),),
        # A third of the outer steps: each fits three copies.
        'pretext': (
            Stage('pretext', 67, 8, (128, 160), 2e-3, 5, 1.0, ('textbook2@8/255@4/255',)),
        ),
        '': (),
    }[start]
    last = Stage('joint', 200, 8, (160, 192), 3e-4, 15, joint)
    return Recipe((*first, last), (), ()).scaled(scale).stages


def ablation(config: PAIFConfig, init: Path, scale: float) -> Iterator[Arm]:
    """Yield neither, each and both of the two halves of adaptive adversarial training."""
    for name, start, joint in (
        ('neither', 'fuse', 0.0),
        ('pretext', 'pretext', 0.0),
        ('online', 'fuse', 1.0),
        ('both', 'pretext', 1.0),
    ):
        yield Arm(name, config, stages(start, joint, scale), init)


def inputs(config: PAIFConfig, init: Path, robust: Path, scale: float) -> Iterator[Arm]:
    """Yield every fusion, trained standard and adversarially."""
    for fusion in INPUTS:
        start = 'fuse' if fusion in ('seafusion', 'paif') else ''
        for kind, weights, joint in (('standard', init, 0.0), ('robust', robust, 1.0)):
            arm = replace(config, fusion=fusion)
            yield Arm(f'{fusion}, {kind}', arm, stages(start, joint, scale), weights)


def train_arm(arm: Arm, seed: int, sources: Sources, out: Path) -> PAIF:
    """Train a variant, or read it where it is already trained."""
    weights = out / 'weights.safetensors'
    if not weights.exists():
        out.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(seed)
        network = PAIF(arm.config)
        source = load_paif(arm.init)
        fresh = network.enhance_net.state_dict()
        warm_start(network, source)
        network.enhance_net.load_state_dict(fresh)
        recipe = Recipe(arm.stages, SHARES, UNLABELLED, seed=seed)
        trainer = Trainer(network, recipe, sources, out, Workers(0, 1, torch.device('cpu')))
        trainer.run(loaders=1)
        save_paif(weights, trainer.averaged())
    return load_paif(weights)


def table(scores: list[Score]) -> str:
    """Return mean and range over the seeds, in percent."""
    lines = [f'{"foreground IoU in %":24s} ' + ' '.join(f'{name:>22s}' for name in ATTACKS)]
    for arm in dict.fromkeys(score.arm for score in scores):
        cells = []
        for attack in ATTACKS:
            found = [100 * s.foreground[attack] for s in scores if s.arm == arm]
            cells.append(f'{np.mean(found):6.1f} ({min(found):.1f} to {max(found):.1f})'.rjust(22))
        lines.append(f'{arm:24s} ' + ' '.join(cells))
    return '\n'.join(lines)


def main(argv: list[str] | None = None) -> int:
    """Train and score every variant; return 0, or 2 on bad input."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_version(parser, *TRAINING_LIBRARIES)
    parser.add_argument('what', choices=('ablation', 'inputs'))
    parser.add_argument('--config', default='paif_nano')
    parser.add_argument('--init', type=Path, required=True, help='weights of the segmenter')
    parser.add_argument('--robust-init', type=Path, help='of adversarial variants, else --init')
    parser.add_argument('--data', type=Path, required=True, help='folder with train/, val/, ...')
    parser.add_argument('--out', type=Path, required=True)
    parser.add_argument('--json', type=Path, help='write the scores there too')
    parser.add_argument('--seeds', type=int, default=2)
    parser.add_argument('--limit', type=int, default=20, help='pairs of val, spread evenly')
    parser.add_argument('--scenes', type=int, default=40)
    parser.add_argument('--scale-steps', type=float, default=1.0)
    parser.add_argument('--threads', type=int, default=2)
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    try:
        config = load_config(args.config)
        if args.what == 'ablation':
            arms = list(ablation(config, args.init, args.scale_steps))
        else:
            robust = args.robust_init or args.init
            arms = list(inputs(config, args.init, robust, args.scale_steps))
        plan = Recipe(arms[0].stages, SHARES, UNLABELLED, scenes=args.scenes)
        sources = read_sources(plan, args.data, len(config.classes))
        pairs = spread(read_folder(args.data / 'val', len(config.classes)), args.limit)
    except (OSError, ValueError) as err:
        print(f'error: {err}', file=sys.stderr)
        return 2
    scores = []
    for seed in range(args.seeds):
        for arm in arms:
            folder = args.out / f'{arm.name.replace(", ", "_")}_{seed}'
            network = train_arm(arm, seed, sources, folder)
            found = attacked_scores(network, pairs, ATTACKS)
            by_name = {name: value.miou_foreground for name, value in found.items()}
            scores.append(Score(arm.name, seed, by_name))
            print(f'{arm.name}, seed {seed}: {by_name}', flush=True)
            if args.json:
                args.json.write_text(json.dumps([asdict(s) for s in scores], indent=2) + '\n')
    print(table(scores))
    return 0


if __name__ == '__main__':
    sys.exit(main())
