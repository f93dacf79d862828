"""Search a genotype.

    python -m models.search --segmenter WEIGHTS --data ../shared/data --out runs/small

WEIGHTS is a trained PAIF (safetensors), best an adversarially trained one: its segmenter judges
the supernet's pictures and stays as it is. Half of DATA/train trains the weights, the other half
judges the architecture; DATA/val is not seen. `--out` holds the checkpoint, the log (CSV) and at
the end `genotype.json`. Stopped, the same command goes on where it was.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import torch

from models.checkpoint import load_paif
from models.data import read_folder
from models.search.hypergradient import KINDS
from models.search.searcher import Searcher, SearchPlan
from models.search.supernet import RELAXATIONS
from models.search.table import load_latencies
from paif_ros.command_line import TRAINING_LIBRARIES, add_version


def main(argv: list[str] | None = None) -> int:
    """Search, resume or finish; return 0, or 2 on bad input."""
    plain = SearchPlan(channels=8)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_version(parser, *TRAINING_LIBRARIES)
    parser.add_argument('--segmenter', type=Path, required=True, help='weights of a trained PAIF')
    parser.add_argument('--data', type=Path, required=True, help='folder with train/')
    parser.add_argument('--out', type=Path, required=True, help='folder of the run')
    parser.add_argument('--name', help="genotype's name; the run's folder's by default")
    parser.add_argument('--channels', type=int, default=plain.channels)
    parser.add_argument('--latency-table', default='cpu', help='name in models/latency, or a path')
    parser.add_argument('--network', default='paif_small', help='entry of it that totals are of')
    parser.add_argument('--latency-weight', type=float, default=plain.latency)
    parser.add_argument('--relaxation', choices=RELAXATIONS, default=plain.relaxation)
    parser.add_argument('--hypergradient', choices=KINDS, default=plain.hypergradient)
    parser.add_argument('--adversarial', type=float, default=plain.adversarial, help='lambda')
    parser.add_argument('--attack', default=plain.attack)
    parser.add_argument('--warmup', type=int, default=plain.warmup)
    parser.add_argument('--steps', type=int, default=plain.steps)
    parser.add_argument('--batch', type=int, default=plain.batch)
    parser.add_argument('--size', type=int, nargs=2, default=plain.size, help='of the crops')
    parser.add_argument('--rate', type=float, default=plain.rate)
    parser.add_argument('--alpha-rate', type=float, default=plain.alpha_rate)
    parser.add_argument('--seed', type=int, default=plain.seed)
    parser.add_argument('--threads', type=int, default=1, help='threads of torch')
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    try:
        plan = SearchPlan(
            channels=args.channels,
            warmup=args.warmup,
            steps=args.steps,
            batch=args.batch,
            size=(args.size[0], args.size[1]),
            relaxation=args.relaxation,
            hypergradient=args.hypergradient,
            rate=args.rate,
            alpha_rate=args.alpha_rate,
            adversarial=args.adversarial,
            attack=args.attack,
            latency=args.latency_weight,
            seed=args.seed,
        )
        table = load_latencies(args.latency_table)
        network = load_paif(args.segmenter)
        pairs = read_folder(args.data / 'train', len(network.config.classes))
        args.out.mkdir(parents=True, exist_ok=True)
        searcher = Searcher(network, plan, pairs, table, args.network, args.out)
        found = replace(searcher.run(), name=args.name or args.out.name)
    except (OSError, ValueError) as err:
        print(f'error: {err}', file=sys.stderr)
        return 2
    path = args.out / 'genotype.json'
    path.write_text(found.to_json() + '\n')
    total = table.total(found, args.network, args.channels)
    print(f'{found.to_json()}\n{total:.1f} ms by the table; wrote {path}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
