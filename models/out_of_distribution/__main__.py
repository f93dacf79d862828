"""Train on one source, test on the others: PAIF, UAAFusion and CrossFuse side by side.

    python -m models.out_of_distribution --data ../shared/data --out runs/ood
    python -m models.out_of_distribution --data ../shared/data --out runs/ood --source train --seeds 1
    python -m models.out_of_distribution --pages

Every fusion learns on the same patches for the same number of steps, from nothing: on the
source's alone ('plain'), with patches of an external source drawn to it ('aligned',
`models.vision_alignment`), with the weak-aggressive loss ('augmented'), or with 'both'; CrossFuse
also with that loss as the official code has it ('official'). Then it is scored on held-out pairs
of the source and on every other domain. Masks come from one segmenter behind all fused pictures,
so what differs is the fusion. Runs that are there already are not made again: stopped, the same command goes on. The runs go to docs/out_of_distribution.json, the tables
to docs/out_of_distribution.md; `--pages` only writes the tables. Exit codes: 0 done, 2 bad input.
"""  # noqa: E501 - command lines

from __future__ import annotations

import argparse
import sys
from itertools import product
from pathlib import Path

import torch

from models.checkpoint import CheckpointError, load_paif
from models.datasets.errors import DatasetError
from models.datasets.pair import LabelledPair
from models.evaluation.pages import put
from models.out_of_distribution.scoring import score
from models.out_of_distribution.sets import (
    SOURCES,
    Domain,
    patches,
    read_domains,
    read_source,
)
from models.out_of_distribution.table import MARK, PAGE, SCORES, Run, read_runs, text, write_runs
from models.out_of_distribution.training import TRAININGS, Budget, train
from models.vision_alignment import Alignment, Settings, read_aligned, writer_for
from models.vision_alignment import Domain as Source
from models.weak_aggressive import WEIGHT
from paif_ros.command_line import TRAINING_LIBRARIES, add_version

VARIANTS = ('plain', 'aligned', 'augmented', 'both', 'official')
ALIGNED, AUGMENTED = ('aligned', 'both'), ('augmented', 'both', 'official')
RUN = 'run.json'


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    found = argparse.ArgumentParser(
        prog='python -m models.out_of_distribution',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_version(found, *TRAINING_LIBRARIES)
    add = found.add_argument
    add('--data', type=Path, help='folder laid out as ../shared/data')
    add('--out', type=Path, default=Path('runs/ood'), help='folder of the runs')
    add('--source', choices=SOURCES, default='roadscene', help='what is trained on')
    add('--networks', default=','.join(TRAININGS), help='with commas between them')
    add('--variants', default=','.join(VARIANTS), help='with commas between them')
    add('--seeds', type=int, default=2, help='trainings of each')
    add('--steps', type=int, default=240, help='of each training')
    add('--batch', type=int, default=4, help='patches in a step')
    add('--patch', type=int, default=128, help='side of a patch in pixels')
    add('--crop', type=int, default=96, help="side of PAIF's and UAAFusion's crops of patches")
    add('--rate', type=float, default=1e-3)
    add('--k', type=int, default=400, help='aligned patches')
    add('--limit', type=int, default=6, help='pairs of each domain that are scored')
    add(
        '--segmenter',
        type=Path,
        default=Path(__file__).parents[1] / 'weights' / 'paif_small.safetensors',
        help='PAIF weights whose segmenter makes all masks',
    )
    add('--json', type=Path, default=SCORES, help='where the runs are gathered')
    add('--pages', action='store_true', help='only write the tables')
    add('--threads', type=int, default=1, help='threads of torch')
    return found


def chosen(text: str, allowed: tuple[str, ...]) -> list[str]:
    """Read names with commas between them.

    Raises:
        ValueError: one is not allowed.
    """
    names = text.split(',')
    wrong = [name for name in names if name not in allowed]
    if wrong:
        msg = f'{wrong}: choose from {", ".join(allowed)}'
        raise ValueError(msg)
    return names


def aligned(args: argparse.Namespace, external: str) -> list[LabelledPair]:
    """Return the external patches drawn to the source; they are made once."""
    out = args.out / args.source / 'aligned'
    writer = writer_for(out)
    if not writer.finished():
        settings = Settings(args.k, args.patch, args.patch, target_patches=False)
        target, other = (_listed(args.data, name) for name in (args.source, external))
        print(Alignment(target, other, writer, settings).run())
    return read_aligned(out)


def _listed(data: Path, name: str) -> Source:
    layout = 'unlabelled:' if name == 'roadscene' else ''
    return Source.open(f'{layout}{data / name}')


def gather(args: argparse.Namespace) -> list[Run]:
    """Make all runs that are not there yet and return those of this source.

    Raises:
        DatasetError, CheckpointError, OSError, ValueError: pairs or weights can't be used.
    """
    networks = chosen(args.networks, tuple(TRAININGS))
    variants = chosen(args.variants, VARIANTS)
    if not args.data or min(args.seeds, args.steps, args.batch, args.limit) < 1:
        msg = '--data is needed, and --seeds, --steps, --batch and --limit are at least 1'
        raise ValueError(msg)
    external = next(name for name in SOURCES if name != args.source)
    runs = [
        (args.out / args.source / f'{network}-{variant}-{seed}', network, variant, seed)
        for seed, variant, network in product(range(args.seeds), variants, networks)
        if variant != 'official' or network == 'crossfuse'  # its code alone has those quirks
    ]
    missing = [run for run in runs if not (run[0] / RUN).is_file()]
    if missing:
        kept, held = read_source(args.data, args.source)
        own = patches(kept, args.patch)
        wanted = any(variant in ALIGNED for _, _, variant, _ in missing)
        more = aligned(args, external) if wanted else []
        domains = read_domains(args.data, args.source, held, args.limit)
        segmenter = load_paif(args.segmenter).eval()
    for out, network, variant, seed in missing:
        print(f'{args.source}: {network}, {variant}, seed {seed}', flush=True)
        pairs = own + more if variant in ALIGNED else own
        beta = WEIGHT if variant in AUGMENTED else 0.0
        official = variant == 'official'
        budget = Budget(args.steps, args.batch, args.crop, args.rate, beta, seed, official)
        trained = train(network, pairs, budget, out)
        scores = {domain.name: score(trained, segmenter, domain) for domain in domains}
        run = Run(args.source, external, network, variant, seed, _own(domains), scores)
        write_runs(out / RUN, [run])
    return [run for out, *_ in runs for run in read_runs(out / RUN)]


def _own(domains: list[Domain]) -> tuple[str, ...]:
    return tuple(domain.name for domain in domains if domain.own)


def main(argv: list[str] | None = None) -> int:
    """Make the runs and the tables; return 0, or 2 on bad input."""
    args = parser().parse_args(argv)
    torch.set_num_threads(args.threads)
    try:
        if not args.pages:
            found = gather(args)
            others = read_runs(args.json) if args.json.is_file() else []
            others = [run for run in others if run.source != args.source]
            write_runs(args.json, sorted([*others, *found], key=_place))
        tables = text(read_runs(args.json))
        if args.json == SCORES:
            put(PAGE, MARK, tables)
    except (CheckpointError, DatasetError, OSError, ValueError) as err:
        print(f'error: {err}', file=sys.stderr)
        return 2
    print(tables)
    return 0


def _place(run: Run) -> tuple[int, int, int, int]:
    """Return where a run stands in the tables."""
    systems = list(TRAININGS)
    return (
        SOURCES.index(run.source),
        systems.index(run.network),
        VARIANTS.index(run.variant),
        run.seed,
    )


if __name__ == '__main__':
    sys.exit(main())
