"""Compare searched genotypes with random search and with the released one, at equal latency.

    python -m models.search.compare --searched nano --config paif_nano --init WEIGHTS \
        --data ../shared/data --out runs/search_nano --json docs/search.json

Arms, each trained by the same short adversarial recipe, over several seeds:

- `searched`: the genotypes of --searched, in turn over the seeds;
- `random`: the best of --candidates drawn genotypes of the same latency (a tenth more or less),
  new ones for every seed. They are trained for as many steps as the search took, all together,
  and the best is kept by the loss that the search minimises, on the pairs it minimises it on;
- `released, narrowed`: PAIF's genotype at the width whose latency is closest to the searched one;
- `released`: PAIF's genotype at the same width, so not at equal latency.

All stand before the segmenter of --init, which stays as it is, as in the search. They are scored
on one fixed crop of each pair of DATA/val, cut round what is labelled, clean and attacked, and by
the loss that the search minimises, on random crops of DATA/val that are the same for all; neither
the search nor training sees those. Stopped, the same command goes on where it was; seeds
scored by other processes in the same --out are read.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from models.attacks import parse_attack
from models.checkpoint import CheckpointError
from models.data import LabelledPair, read_folder
from models.evaluation.masks import attacked_scores
from models.evaluation.sets import spread
from models.genotype import load_genotype
from models.paif import load_config
from models.search.arms import Arm, Yardstick, candidates, narrowed
from models.search.contest import Contest, fixed_crops
from models.search.searcher import SearchPlan
from models.search.table import load_latencies
from paif_ros.command_line import TRAINING_LIBRARIES, add_version

ARMS = ('searched', 'random', 'released, narrowed', 'released')
ATTACKS = ('none', 'pgd5@2/255', 'pgd5')
JUDGE_SEED = 77  # of the crops whose loss is compared: one for all seeds of training


@dataclass(frozen=True)
class Score:
    """Foreground IoU of one trained arm, 0..1.

    Attributes:
        arm: its name.
        seed: of its training.
        genotype: its operators, cell by cell.
        channels: width of its fusion network.
        milliseconds: of the whole network, by the latency table.
        foreground: by the name of the attack.
        loss: what the search minimises, on held-out crops of which half are attacked.
    """

    arm: str
    seed: int
    genotype: tuple[tuple[str, str], ...]
    channels: int
    milliseconds: float
    foreground: dict[str, float]
    loss: float

    def values(self) -> dict[str, float]:
        """Return what is compared: foreground IoU in percent by attack, and the loss."""
        return {
            **{name: round(100 * v, 3) for name, v in self.foreground.items()},
            'loss': self.loss,
        }


def table(scores: Sequence[Score]) -> str:
    """Return mean and range of each arm, and how the others differ from `searched`."""
    names = list(scores[0].values())
    head = ' '.join(f'{name:>20s}' for name in names)
    lines = [f'{"foreground IoU in %":20s} {"ch":>3s} {"ms":>12s} {head}']
    for arm in dict.fromkeys(score.arm for score in scores):
        mine = [score for score in scores if score.arm == arm]
        cells = []
        for name in names:
            found, digits = [s.values()[name] for s in mine], 3 if name == 'loss' else 1
            low, high = min(found), max(found)
            cells.append(f'{np.mean(found):.{digits}f} ({low:.{digits}f} to {high:.{digits}f})')
        ms = sorted({round(score.milliseconds, 1) for score in mine})
        span = f'{ms[0]:.1f}' if len(ms) == 1 else f'{ms[0]:.1f}-{ms[-1]:.1f}'
        row = ' '.join(f'{cell:>20s}' for cell in cells)
        lines.append(f'{arm:20s} {mine[0].channels:3d} {span:>12s} {row}')
    return '\n'.join([*lines, *verdicts(scores)])


def verdicts(scores: Sequence[Score]) -> list[str]:
    """Say for every other arm whether `searched` differs by more than the seeds do.

    The differences are taken seed by seed: data, crops and segmenter are then the same. A mean
    difference that Student's t does not tell from none at 5 % counts as none.
    """
    from scipy.stats import t

    by_seed = {(score.arm, score.seed): score.values() for score in scores}
    lines = []
    for arm in dict.fromkeys(score.arm for score in scores):
        seeds = [s for name, s in by_seed if name == arm and ('searched', s) in by_seed]
        if arm == 'searched' or len(seeds) < 2:
            continue
        for name in scores[0].values():
            gains = [by_seed['searched', s][name] - by_seed[arm, s][name] for s in seeds]
            mean, error = np.mean(gains), np.std(gains, ddof=1) / len(gains) ** 0.5
            word = 'better' if (mean > 0) != (name == 'loss') else 'WORSE'
            bound = t.ppf(0.975, len(gains) - 1) * error  # 4.3 standard errors for three seeds
            found = word if abs(mean) > bound else 'within the spread'
            digits = 3 if name == 'loss' else 1
            unit = '' if name == 'loss' else ' points'
            lines.append(
                f'searched against {arm}, {name}: {mean:+.{digits}f} +- {error:.{digits}f}{unit} '
                f'over {len(seeds)} seeds: {found}'
            )
    return lines


def arms_of(args: argparse.Namespace, contest: Contest, seed: int) -> list[Arm]:
    """Return the arms of a seed; random search is done here."""
    yardstick = Yardstick(load_latencies(args.latency_table), args.config)
    searched = [load_genotype(name) for name in args.searched]
    first = yardstick.arm('searched', searched[seed % len(searched)], args.channels)
    target, released = first.milliseconds, load_genotype('paif')
    found = [first]
    if 'random' in args.arms:
        drawn = candidates(args.candidates, args.channels, target, yardstick, seed)
        found.append(contest.best(drawn, args.search_steps, seed))
    if 'released, narrowed' in args.arms:
        found.append(narrowed('released, narrowed', released, target, yardstick))
    if 'released' in args.arms:
        found.append(yardstick.arm('released', released, args.channels))
    return found


def score(
    arm: Arm, seed: int, contest: Contest, attacks: Sequence[str], val: list[LabelledPair]
) -> Score:
    """Train and score an arm, or read its score where that was done with the same crops."""
    folder = contest.out / f'{arm.name.replace(", ", "_")}_{seed}'
    network = contest.train(arm, contest.steps, seed, contest.pairs, folder)
    kept = folder / 'score.json'
    asked = {'attacks': list(attacks), 'crops': [crop.name for crop in contest.crops]}
    report = json.loads(kept.read_text()) if kept.exists() else {}
    if {key: report.get(key) for key in asked} != asked:
        found = attacked_scores(network, contest.crops, attacks, batch=8, what=arm.name)
        foreground = {name: round(value.miou_foreground, 5) for name, value in found.items()}
        loss = round(contest.loss(network, val, JUDGE_SEED), 5)
        report = {**asked, 'foreground': foreground, 'loss': loss}
        kept.write_text(json.dumps(report) + '\n')
    g = arm.genotype
    return Score(
        arm.name,
        seed,
        (g.normal_1, g.normal_2, g.normal_3),
        arm.channels,
        round(arm.milliseconds, 2),
        report['foreground'],
        report['loss'],
    )


def compare(
    args: argparse.Namespace, contest: Contest, attacks: Sequence[str], val: list[LabelledPair]
) -> list[Score]:
    """Train and score all arms of one seed after the other; write the JSON after each."""
    scores: list[Score] = []
    for seed in range(args.first_seed, args.first_seed + args.seeds):
        for arm in arms_of(args, contest, seed):
            scores.append(score(arm, seed, contest, attacks, val))
            print(f'seed {seed}, {arm.name}: {scores[-1].values()}', flush=True)
            if args.json:
                write(args, contest, scores)
    return scores


def write(args: argparse.Namespace, contest: Contest, scores: list[Score]) -> None:
    """Put this comparison into the JSON, under its configuration; others in it stay."""
    report = json.loads(args.json.read_text()) if args.json.exists() else {}
    report[args.config] = {
        'steps': contest.steps,
        'batch': contest.batch,
        'size': list(contest.size),
        'attack': contest.attack,
        'candidates': args.candidates,
        'search_steps': args.search_steps,
        'init': contest.init.name,
        'crops': len(contest.crops),
        'scores': [asdict(score) for score in scores],
        'verdicts': verdicts(scores),
    }
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps(report, indent=2) + '\n')


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    plan = SearchPlan(channels=8)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_version(parser, *TRAINING_LIBRARIES)
    parser.add_argument('--searched', nargs='+', required=True, help='genotypes, names or paths')
    parser.add_argument('--config', required=True, help='network, and its entry in the table')
    parser.add_argument('--channels', type=int, help="fusion width, the configuration's if none")
    parser.add_argument('--init', type=Path, required=True, help='weights of the segmenter')
    parser.add_argument('--data', type=Path, required=True, help='folder with train/ and val/')
    parser.add_argument('--out', type=Path, required=True, help='folder of the runs')
    parser.add_argument('--json', type=Path, help='write the scores there too')
    parser.add_argument('--latency-table', default='cpu', help='name in models/latency, or a path')
    parser.add_argument('--arms', nargs='+', choices=ARMS, default=ARMS)
    parser.add_argument('--seeds', type=int, default=3)
    parser.add_argument('--first-seed', type=int, default=0, help='for seeds on several machines')
    parser.add_argument('--steps', type=int, default=150, help='of training each arm')
    parser.add_argument('--batch', type=int, default=plan.batch)
    parser.add_argument('--size', type=int, nargs=2, default=(128, 160), help='of all crops')
    parser.add_argument('--candidates', type=int, default=4, help='of random search, each seed')
    parser.add_argument(
        '--search-steps',
        type=int,
        default=plan.warmup + 2 * plan.steps,  # a step of the search takes a batch of each half
        help='of all candidates together: what the search took',
    )
    parser.add_argument('--limit', type=int, help='pairs of val, spread evenly')
    parser.add_argument('--attacks', default=','.join(ATTACKS), help='names, after commas')
    parser.add_argument('--threads', type=int, default=1, help='threads of torch')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Compare, go on or finish; return 0, or 2 on bad input."""
    args = arguments(argv)
    torch.set_num_threads(args.threads)
    attacks = args.attacks.split(',')
    try:
        for name in attacks:
            parse_attack(name)
        config = load_config(args.config)
        args.channels = args.channels or config.channels
        train, val = (
            read_folder(args.data / part, len(config.classes)) for part in ('train', 'val')
        )
        plan, size = SearchPlan(args.channels), (args.size[0], args.size[1])
        contest = Contest(
            replace(config, variant='compared'),
            args.init,
            train,
            fixed_crops(spread(val, args.limit), size),
            args.steps,
            args.batch,
            size,
            plan.attack,
            args.out,
        )
        print(table(compare(args, contest, attacks, val)))
    except (OSError, ValueError, CheckpointError) as err:
        print(f'error: {err}', file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main())
