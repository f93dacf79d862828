"""Score the masks of trained weights on labelled pairs, clean and under attacks.

    python -m models.evaluate --weights FILE.safetensors --data ../shared/data/test
    python -m models.evaluate --weights FILE --data DIR --attacks none,pgd5,pgd20 --json OUT
    python -m models.evaluate --weights FILE --data DIR --attacks none --sweep 1,2,4,8,16
    python -m models.evaluate --weights FILE --data DIR --inputs fused,visible,thermal
    python -m models.evaluate --weights FILE --data DIR --attacks none,pgd5 --pictures FOLDER
    python -m models.evaluate --weights FILE.onnx --data DIR --fusion-metrics
    python -m models.evaluate --network uaafusion --weights FILE.safetensors --data DIR
    python -m models.evaluate --network crossfuse --weights FILE.safetensors --data DIR
    python -m models.evaluate --weights FILE.safetensors --scenes 24 --missing thermal --fill grey

`--data` is a folder laid out {vi,ir,label}/NAME; `--scenes` draws scenes training never sees.
`--attacks` takes the names that `models.attacks` describes. Scores are pooled over all pairs of a
set, and over all sets at the top of the JSON (`attacks.NAME.miou`), as the official code does;
'fgnd' is the mean without background, which alone makes a network that sees nothing look robust.
Where names end in D or N, as MSRS and MFNet have them, day and night have rows of their own.
An exported .onnx is scored in the engine that the robot runs it in, and on clean pairs only.
"""

from __future__ import annotations

import argparse
import json
import pickle
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from export.networks import NETWORKS
from models.attacks import Attack, parse_attack
from models.checkpoint import CheckpointError, sha256
from models.datasets.pair import LabelledPair
from models.evaluation.exported import Exported
from models.evaluation.fused import losses, metrics
from models.evaluation.inputs import INPUTS, feed
from models.evaluation.masks import Outcome, outcomes
from models.evaluation.report import FUSED, Found, header, row, rows, together
from models.evaluation.sets import CAMERAS, FILLS, read_sets, spread, without
from models.evaluation.sheets import Sheets
from models.fusion_metrics import fusion_table, mean_metrics
from models.metrics import Scores, scores
from paif_ros.command_line import TRAINING_LIBRARIES, add_version
from paif_ros.contract import ClassLabel
from paif_ros.errors import PaifError

KINDS = ('crossfuse', 'paif', 'uaafusion')
SHEETS = 3  # pairs of each set that are drawn
Run = Callable[[str, Sequence[LabelledPair], Sequence[Attack], 'str | None'], Iterator[Outcome]]


@dataclass(frozen=True)
class Subject:
    """What is evaluated.

    Attributes:
        classes: labels of its mask.
        run: takes one of INPUTS, pairs, attacks and the title of a progress bar.
    """

    classes: tuple[ClassLabel, ...]
    run: Run


def load(args: argparse.Namespace) -> Subject:
    """Load weights or an exported file."""
    if args.weights.suffix == '.onnx':
        exported = Exported(args.weights, args.threads)
        return Subject(
            exported.classes, lambda _f, pairs, _a, what: exported.outcomes(pairs, what)
        )
    network = NETWORKS[args.network].load(args.weights, args.config)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def run(
        name: str, pairs: Sequence[LabelledPair], attacks: Sequence[Attack], what: str | None
    ) -> Iterator[Outcome]:
        return outcomes(
            feed(network, name),
            pairs,
            attacks,
            seed=args.seed,
            batch=args.batch,
            device=args.device,
            what=what,
        )

    return Subject(network.config.classes, run)


def swept(text: str, kind: str) -> list[str]:
    """Return the names of an attack at several eps.

    Args:
        text: eps in 1/255, such as '1,2,4'.
        kind: name of the attack, without an eps of its own.

    Raises:
        ValueError: one of both can't be read.
    """
    match = re.fullmatch(r'([a-z]+\d*(?:-[a-z_\d]+)?)((?::[a-z]+)?(?:x\d+)?)', kind)
    if match is None or parse_attack(kind).name == 'none':
        msg = f'--sweep-attack {kind!r}: an attack without an eps of its own, such as pgd5'
        raise ValueError(msg)
    names = [f'{match[1]}@{eps.strip()}/255{match[2]}' for eps in text.split(',')]
    for name in names:
        parse_attack(name)
    return names


def plan(args: argparse.Namespace) -> list[Attack]:
    """Return the attacks that are asked for, each once, the clean pairs first."""
    names = [name.strip() for name in args.attacks.split(',')]
    if args.sweep:
        names += swept(args.sweep, args.sweep_attack)
    if args.pictures:
        names.append('none')
    attacks = [parse_attack(name) for name in dict.fromkeys(names)]
    return sorted(attacks, key=lambda attack: attack.name != 'none')


def collect(
    subject: Subject,
    pairs: Sequence[LabelledPair],
    attacks: Sequence[Attack],
    args: argparse.Namespace,
    what: str,
) -> Found:
    """Run everything that is asked for on one set; print what a missing camera costs."""
    # The official attack at eps 8/255 has two names, and is made once.
    same = {a.name: next(b for b in attacks if replace(b, name=a.name) == a) for a in attacks}
    once = [attack for attack in attacks if same[attack.name] is attack]
    sheets = None
    if args.pictures:
        places = spread(range(len(pairs)), SHEETS)
        sheets = Sheets(args.pictures / Path(what).name, subject.classes, places)
    found = Found(list(pairs))
    matrices: dict[str, dict[str, NDArray[np.int64]]] = {}
    for name in args.inputs:
        counted: dict[str, list[NDArray[np.int64]]] = {attack.name: [] for attack in once}
        title = what if name == FUSED else f'{what}, {name}'
        for outcome in subject.run(name, pairs, once, title):
            counted[outcome.attack] += outcome.confusions()
            if name != FUSED:
                continue
            if outcome.attack == 'none':
                found.losses += losses(outcome)
                found.metrics += metrics(outcome) if args.fusion_metrics else []
            if sheets is not None:
                sheets.take(outcome, next(a for a in once if a.name == outcome.attack))
        stacked = {attack: np.stack(several) for attack, several in counted.items()}
        matrices[name] = {attack.name: stacked[same[attack.name].name] for attack in attacks}
    found.matrices = matrices
    for camera, fill in product(args.missing, args.fill or FILLS):
        left = [without(pair, camera, fill) for pair in pairs]
        scored = clean(subject, left, f'{what} without {camera}')
        found.missing.setdefault(camera, {})[fill] = scored
    return found


def clean(subject: Subject, pairs: Sequence[LabelledPair], what: str) -> Scores:
    """Score pairs as they are."""
    total: Any = 0
    for outcome in subject.run(FUSED, pairs, [parse_attack('none')], what):
        total = total + sum(outcome.confusions())
    return scores(total)


def parser_of() -> argparse.ArgumentParser:
    """Return the command's options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_version(parser, *TRAINING_LIBRARIES)
    add = parser.add_argument
    add('--weights', type=Path, required=True, help='.safetensors, official .pth, or .onnx')
    add('--network', choices=KINDS, default='paif', help='default paif')
    add('--config', help='name of a configuration or a path; ours carry their own')
    add('--data', type=Path, action='append', default=[], help='may be repeated')
    add('--scenes', type=int, default=0, help='generated scenes of 5 frames each')
    add('--limit', type=int, help='pairs of each set, spread evenly')
    add('--attacks', default='none', help='names, with commas between them; default none')
    add('--sweep', help='eps in 1/255, with commas between them, such as 1,2,4,8,16')
    add('--sweep-attack', default='pgd5', help='which attack is swept; default pgd5')
    add('--inputs', default=FUSED, help='fused,visible,thermal: what the segmenter is fed with')
    add('--fusion-metrics', action='store_true', help='also score the clean fused pictures')
    add('--pictures', type=Path, help=f'folder for sheets of {SHEETS} pairs of each set')
    add('--json', type=Path, help='write the scores there too')
    add(
        '--missing',
        choices=CAMERAS,
        action='append',
        default=[],
        help='also score without this camera; may be repeated',
    )
    add(
        '--fill',
        choices=FILLS,
        action='append',
        help='what stands in for it; may be repeated, default all of them',
    )
    add('--batch', type=int, default=1, help='pairs of one size at a time')
    add('--seed', type=int, default=0, help='of the random starts of attacks')
    add('--threads', type=int, default=0, help='CPU threads, 0 leaves it to the library')
    add('--device', default='cpu', help='cpu or cuda; default cpu')
    return parser


def check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """End with an error message and code 2 where options do not go together."""
    args.inputs = [name.strip() for name in args.inputs.split(',')]
    if not args.data and not args.scenes:
        parser.error('nothing to evaluate on: name --data, --scenes or both')
    if args.fill and not args.missing:
        parser.error('--fill wants to know for which camera: name --missing')
    if FUSED not in args.inputs or not set(args.inputs) <= set(INPUTS):
        parser.error(f'--inputs {",".join(args.inputs)}: fused, and perhaps visible or thermal')
    if args.batch < 1 or args.threads < 0 or args.scenes < 0 or args.seed < 0:
        parser.error('--batch is at least 1; --threads, --scenes and --seed at least 0')
    if args.limit is not None and args.limit < 1:
        parser.error(f'--limit {args.limit}: at least 1 pair')
    if not re.fullmatch(r'cpu|cuda(:\d+)?', args.device):
        parser.error(f'--device {args.device}: cpu, cuda, or cuda: and a number')
    if args.device != 'cpu' and not torch.cuda.is_available():
        parser.error(f'--device {args.device}: this torch finds no GPU here; take cpu')


def main(argv: list[str] | None = None) -> int:
    """Evaluate, print a table, write the JSON; return 0, or 2 on bad arguments."""
    parser = parser_of()
    args = parser.parse_args(argv)
    check(parser, args)
    if args.threads:
        torch.set_num_threads(args.threads)
    try:
        attacks = plan(args)
        attacked = any(attack.name != 'none' for attack in attacks)
        if args.pictures and not attacked:
            parser.error('--pictures shows attacks: name one, such as --attacks none,pgd5')
        if args.weights.suffix == '.onnx' and (attacked or len(args.inputs) > 1):
            parser.error(
                f'{args.weights.name} has no gradients and no way around its fusion: attack the '
                'weights that it was exported from, and score the file with --attacks none'
            )
        subject = load(args)
        names = [label.name for label in subject.classes]
        sets = read_sets(args.data, args.scenes, names, args.limit)
    except (CheckpointError, OSError, PaifError, ValueError, pickle.UnpicklingError) as err:
        print(f'error: {err}', file=sys.stderr)
        return 2
    results: dict[str, Found] = {}
    print(header(names))
    for what, pairs in sets.items():
        results[what] = collect(subject, pairs, attacks, args, what)
        print('\n'.join(rows(what, results[what])))
        for camera, fills in results[what].missing.items():
            for fill, scored in fills.items():
                print(row(f'  without {camera}: {fill}', scored))
        sys.stdout.flush()
    whole = together(results.values())
    if len(results) > 1:
        print('\n'.join(rows('all', whole)))
    if whole.metrics:
        listed = list(results.items()) + ([('all', whole)] if len(results) > 1 else [])
        print(fusion_table([(name, mean_metrics(found.metrics)) for name, found in listed]))
    if args.json:
        report = {
            'network': args.network,
            'weights': str(args.weights),
            'sha256': sha256(args.weights),
            'seed': args.seed,
            **whole.to_json(),
            'sets': {what: found.to_json() for what, found in results.items()},
        }
        args.json.write_text(json.dumps(report, indent=2) + '\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
