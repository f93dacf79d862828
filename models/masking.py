"""Is a network robust, or do its gradients only lead attacks astray?

    python -m models.masking --weights FILE --data ../shared/data/test --source OTHER --limit 4

Masked gradients give themselves away (Athalye, Carlini, Wagner, "Obfuscated gradients give a false
sense of security", ICML 2018, section 3.1): one step does more than many, a black-box attack more
than a white-box one, an unbounded attack does not reach zero, random search finds what gradients
do not. Each sign is one check, in foreground IoU over the pairs. Without a sign nothing is proven.

| check | what it compares | suspicious where |
|---|---|---|
| single_step | FGSM with PGD | FGSM does more |
| steps | PGD of N/2, N and 2N steps | more steps do less |
| noise | random signs of the same size with PGD | noise does more |
| restarts | PGD with its worst of R starts | other starts do much more |
| strength | PGD at eps 8, 16, 32 and 64 /255 | larger does less, or the largest leaves an IoU |
| transfer | pictures made against `--source` with PGD | they do more |
| independent | PGD of `torchattacks` with ours | it does more |

PGD is the textbook one, N steps (`--steps`), eps 8/255. 'More' and 'less' by over `--tolerance`.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attacks import parse_attack, perturb
from models.checkpoint import CheckpointError, load_paif
from models.data import LabelledPair, read_folder
from models.evaluation.masks import Tensors, attackable, confusions, draws, masks
from models.evaluation.sets import spread
from models.losses import IGNORE
from models.metrics import confusion, scores
from paif_ros.command_line import TRAINING_LIBRARIES, add_version

STRENGTHS = (8, 16, 32, 64)  # eps in 1/255
GONE = 0.01  # foreground IoU that counts as none
Pictures = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Check:
    """One sign of masked gradients, looked for.

    Attributes:
        name: as in the module's table.
        passed: False where the sign was found, None where the check could not run.
        says: what was found, in words.
        foreground: foreground IoU, 0..1, by attack.
    """

    name: str
    passed: bool | None
    says: str
    foreground: dict[str, float]


class FourChannels(nn.Module):
    """A network as attackers of one picture expect it.

    Args:
        network: forward(thermal, visible) gives fused luma and logits.
        size: (height, width) that the logits are resized to.
    """

    def __init__(self, network: nn.Module, size: Sequence[int]) -> None:
        super().__init__()
        self.network, self.size = network, tuple(size)

    def forward(self, x: Tensor) -> Tensor:
        """Map thermal and RGB in one [N, 4, H, W], 0..1, to logits [N, classes, *size]."""
        _, logits = self.network(x[:, :1], x[:, 1:])
        return F.interpolate(logits, self.size, mode='bilinear', align_corners=False)


class Bench:
    """Foreground IoU of one network on the same pairs under whatever is asked for, each once.

    Args:
        network: forward(thermal, visible) gives fused luma and logits.
        pairs: scored one at a time.
        seed: of the random starts.
    """

    def __init__(self, network: nn.Module, pairs: Sequence[LabelledPair], seed: int = 0) -> None:
        self.network, self.pairs, self.seed = network, pairs, seed
        self.known: dict[str, float] = {}

    def under(self, *names: str) -> dict[str, float]:
        """Return the foreground IoU under attacks, by their names."""
        for name in names:
            if name not in self.known:
                plan = [parse_attack(name)]
                found = confusions(self.network, self.pairs, plan, seed=self.seed, what=name)
                self.known[name] = scores(found[name].sum(0)).miou_foreground
        return {name: self.known[name] for name in names}

    def on(self, make: Callable[[Tensors, torch.Generator], Pictures]) -> float:
        """Return the foreground IoU on pictures that somebody else makes of each pair."""
        matrix: Any = 0
        device = next(self.network.parameters()).device
        with attackable(self.network):
            for pair in self.pairs:
                tensors = Tensors.of([pair], device)
                moved = make(tensors, draws([pair], self.seed, device))
                predicted, classes = masks(self.network, *moved, pair.label.shape)
                matrix = matrix + confusion(pair.label, predicted[0], classes)
        return scores(matrix).miou_foreground


def verdict(name: str, passed: bool, found: dict[str, float]) -> Check:
    """Return a check with its numbers in words."""
    says = ', '.join(f'{attack} {100 * value:.1f}' for attack, value in found.items())
    return Check(name, passed, says, found)


def ordered(
    name: str, found: dict[str, float], tolerance: float, most: float | None = None
) -> Check:
    """Check that foreground IoU never rises from one attack to the next, strongest last.

    Args:
        name: of the check.
        found: foreground IoU by attack, weakest first.
        tolerance: how much it may rise.
        most: what the last attack may leave.
    """
    values = list(found.values())
    falls = all(b <= a + tolerance for a, b in pairwise(values))
    return verdict(name, falls and (most is None or values[-1] <= most), found)


def independent(bench: Bench, steps: int, tolerance: float) -> Check:
    """Compare our PGD with that of `torchattacks`, if it is installed."""
    ours = f'textbook{steps}'
    if importlib.util.find_spec('torchattacks') is None:
        says = 'not run: python -m pip install --no-deps torchattacks'
        return Check('independent', None, says, {})
    import torchattacks  # type: ignore[import-not-found,import-untyped]

    def make(t: Tensors, generator: torch.Generator) -> Pictures:
        four = torch.cat((t.thermal, t.visible), 1)
        size = t.label.shape[1:]
        attack = parse_attack(ours)
        pgd = torchattacks.PGD(
            FourChannels(bench.network, size), attack.eps, attack.step, attack.steps
        )
        with torch.random.fork_rng(devices=[four.device] if four.is_cuda else []):
            torch.manual_seed(generator.initial_seed() % 2**63)
            # Its cross-entropy leaves out -100, ours 255.
            moved = pgd(four, t.label.where(t.label != IGNORE, -100))
        return moved[:, :1], moved[:, 1:]

    found = {'torchattacks PGD': bench.on(make), **bench.under(ours)}
    return ordered('independent', found, tolerance)


def transfer(bench: Bench, source: nn.Module | None, steps: int, tolerance: float) -> Check:
    """Compare pictures made against another network with those made against this one."""
    ours = f'textbook{steps}'
    if source is None:
        return Check('transfer', None, 'not run: name other weights with --source', {})
    attack = parse_attack(ours)
    with attackable(source):
        found = {
            f'{ours} on the source': bench.on(
                lambda t, rng: perturb(source, t.thermal, t.visible, t.label, attack, rng)
            ),
            **bench.under(ours),
        }
    return ordered('transfer', found, tolerance)


def checks(
    bench: Bench, source: nn.Module | None, *, steps: int, restarts: int, tolerance: float
) -> Iterator[Check]:
    """Look for every sign in the module's table.

    Args:
        bench: the network and its pairs.
        source: another network with the same classes, or None.
        steps: N, of PGD.
        restarts: R, of PGD.
        tolerance: difference in foreground IoU, 0..1, that counts as none.
    """
    pgd = f'textbook{steps}'
    yield ordered('single_step', bench.under('fgsm', pgd), tolerance)
    more = [f'textbook{n}' for n in (max(1, steps // 2), steps, 2 * steps)]
    yield ordered('steps', bench.under(*more), tolerance)
    yield ordered('noise', bench.under('none', 'noise', pgd), tolerance)
    found = bench.under(pgd, f'{pgd}x{restarts}')
    yield verdict('restarts', found[pgd] - found[f'{pgd}x{restarts}'] <= 2 * tolerance, found)
    strengths = bench.under(pgd, *(f'{pgd}@{eps}/255' for eps in STRENGTHS[1:]))
    yield ordered('strength', strengths, tolerance, most=GONE)
    yield transfer(bench, source, steps, tolerance)
    yield independent(bench, steps, tolerance)


def main(argv: list[str] | None = None) -> int:
    """Print every check; return 1 where one finds a sign of masking, 2 on bad input."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_version(parser, *TRAINING_LIBRARIES)
    parser.add_argument('--weights', type=Path, required=True)
    parser.add_argument('--config', help='name in models/configs or a path; ours carry their own')
    parser.add_argument('--data', type=Path, required=True, help='folder {vi,ir,label}/NAME')
    parser.add_argument('--source', type=Path, help='weights of another network, for transfer')
    parser.add_argument('--limit', type=int, default=4, help='pairs, spread evenly')
    parser.add_argument('--steps', type=int, default=10, help='N, of PGD')
    parser.add_argument('--restarts', type=int, default=3, help='R, of PGD')
    parser.add_argument('--tolerance', type=float, default=0.02, help='in foreground IoU, 0..1')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--json', type=Path, help='write the checks there too')
    args = parser.parse_args(argv)
    if min(args.limit, args.steps, args.threads) < 1 or args.restarts < 2 or args.tolerance < 0:
        parser.error(
            '--limit, --steps and --threads at least 1, --restarts 2, --tolerance not under 0'
        )
    torch.set_num_threads(args.threads)
    try:
        network = load_paif(args.weights, args.config)
        source = load_paif(args.source) if args.source else None
        classes = len(network.config.classes)
        if source is not None and len(source.config.classes) != classes:
            msg = f'{args.source} has {len(source.config.classes)} classes, not {classes}'
            raise ValueError(msg)
        pairs = spread(read_folder(args.data, classes), args.limit)
    except (CheckpointError, OSError, ValueError) as err:
        print(f'error: {err}', file=sys.stderr)
        return 2
    found = []
    print(f'foreground IoU in %, {len(pairs)} pairs')
    for check in checks(
        Bench(network, pairs, args.seed),
        source,
        steps=args.steps,
        restarts=args.restarts,
        tolerance=args.tolerance,
    ):
        word = {True: 'ok', False: 'SUSPICIOUS', None: '-'}[check.passed]
        print(f'{check.name:12s} {word:10s} {check.says}', flush=True)
        found.append(check)
        if args.json:
            report = {'weights': str(args.weights), 'checks': [asdict(one) for one in found]}
            args.json.write_text(json.dumps(report, indent=2) + '\n')
    return 1 if any(check.passed is False for check in found) else 0


if __name__ == '__main__':
    sys.exit(main())
