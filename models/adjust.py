"""Shift the segmenter's class biases to what scores best on held-out pairs.

    python -m models.adjust --weights runs/small/weights.safetensors --data ../shared/data/val
        --attacks none,pgd5 --out models/weights/paif_small.safetensors

Cross-entropy with class weights does not aim at IoU: where a class is often missed, IoU is best
with a threshold well under one half, namely half of its F-score (Lipton et al., "Optimal
thresholding of classifiers to maximize F1 measure", 2014). A constant added to each class's logit
is such a threshold (logit adjustment: Menon et al., ICLR 2021). It is chosen on the mean
foreground IoU over the attacks named; no other weight changes. With `--give-up 3` it is what
scores best under the attacks among all that lose at most 3 points of the best clean score.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from tqdm import tqdm

from models.attacks import parse_attack, perturb
from models.checkpoint import load_paif, save_paif
from models.data import LabelledPair, read_folder, to_tensors
from models.evaluation.sets import spread
from models.metrics import confusion, scores
from models.paif import PAIF
from paif_ros.command_line import TRAINING_LIBRARIES, add_version

STEPS = (1.0, 0.5, 0.25)  # of the search over each bias, in logits
REACH = 3.0  # largest shift

Logits = NDArray[np.float16]  # [pixels, classes]
Labels = NDArray[np.uint8]  # [pixels]


def collect(
    network: PAIF, pairs: Sequence[LabelledPair], attack: str, seed: int = 0
) -> tuple[Logits, Labels]:
    """Return logits and labels at the segmenter's own quarter resolution, all pairs together."""
    generator = torch.Generator().manual_seed(seed)
    logits, labels = [], []
    for pair in tqdm(pairs, desc=attack, unit='pair', mininterval=5):
        batch = to_tensors([pair])
        pictures = perturb(
            network, batch.thermal, batch.visible, batch.label, parse_attack(attack), generator
        )
        with torch.no_grad():
            found = network(*pictures)[1]  # [1, classes, h, w]
        small = F.interpolate(batch.label[:, None].float(), found.shape[2:], mode='nearest')
        logits.append(found[0].flatten(1).T.half().numpy())
        labels.append(small.flatten().byte().numpy())
    return np.concatenate(logits), np.concatenate(labels)


def foreground(sets: Sequence[tuple[Logits, Labels]], shift: NDArray[np.float64]) -> float:
    """Return the mean foreground IoU over several sets of pixels with shifted logits, 0..1."""
    found = []
    for logits, labels in sets:
        mask = (logits + shift.astype(np.float16)).argmax(1).astype(np.uint8)
        found.append(scores(confusion(labels, mask, logits.shape[1])).miou_foreground)
    return float(np.mean(found))


def best_shift(
    sets: Sequence[tuple[Logits, Labels]],
    start: NDArray[np.float64] | None = None,
    allowed: Callable[[NDArray[np.float64]], bool] = lambda _: True,
) -> NDArray[np.float64]:
    """Climb one class after the other, in ever smaller steps.

    Args:
        sets: what is scored, each set counts the same.
        start: an allowed shift, float64 [classes]; 0 without it.
        allowed: which shifts may be taken.

    Returns:
        float64 [classes] in -REACH..REACH, 0 for class 0.
    """
    classes = sets[0][0].shape[1]
    shift = np.zeros(classes) if start is None else start
    top = foreground(sets, shift)
    for step in STEPS:
        moved = True
        while moved:
            moved = False
            for number in range(1, classes):
                for sign in (step, -step):
                    trial = shift.copy()
                    trial[number] = np.clip(trial[number] + sign, -REACH, REACH)
                    value = foreground(sets, trial)
                    if value > top and allowed(trial):
                        shift, top, moved = trial, value, True
    return shift


def bounded_shift(
    clean: tuple[Logits, Labels], attacked: Sequence[tuple[Logits, Labels]], give_up: float
) -> NDArray[np.float64]:
    """Return the shift that scores best under attack and keeps the clean score.

    Args:
        clean: of clean pairs.
        attacked: of the same pairs under each attack.
        give_up: points (0..100) of the best clean foreground IoU that may be lost.
    """
    start = best_shift([clean])
    least = foreground([clean], start) - give_up / 100
    return best_shift(attacked, start, lambda shift: foreground([clean], shift) >= least)


def main(argv: list[str] | None = None) -> int:
    """Shift, write and report; return 0, or 2 on bad input."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_version(parser, *TRAINING_LIBRARIES)
    parser.add_argument('--weights', type=Path, required=True)
    parser.add_argument('--data', type=Path, required=True, help='pairs that nothing is shown on')
    parser.add_argument('--attacks', default='none,pgd5')
    parser.add_argument(
        '--give-up',
        type=float,
        metavar='POINTS',
        help="best under the attacks, for at most so many points of 'none', the first one named",
    )
    parser.add_argument('--limit', type=int, default=40, help='pairs, spread evenly')
    parser.add_argument('--out', type=Path, required=True)
    parser.add_argument('--threads', type=int, default=2)
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    attacks = args.attacks.split(',')
    try:
        if args.give_up is not None and (
            attacks[0] != 'none' or len(attacks) < 2 or args.give_up < 0
        ):
            msg = (
                f'--give-up {args.give_up:g} with --attacks {args.attacks}: 0 or more, and none '
                'before at least one attack'
            )
            raise ValueError(msg)
        network = load_paif(args.weights).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        pairs = spread(read_folder(args.data, len(network.config.classes)), args.limit)
        sets = [collect(network, pairs, attack) for attack in attacks]
    except (OSError, ValueError) as err:
        print(f'error: {err}', file=sys.stderr)
        return 2
    if args.give_up is None:
        shift = best_shift(sets)
    else:
        shift = bounded_shift(sets[0], sets[1:], args.give_up)
    before = foreground(sets, np.zeros_like(shift))
    with torch.no_grad():
        bias = network.denoise_net.decoder.linear_pred.bias
        assert bias is not None  # the prediction has one
        bias += torch.from_numpy(shift).float()
    save_paif(args.out, network)
    print(
        f'shifts {shift.tolist()}: mean foreground IoU {100 * before:.1f} before, '
        f'{100 * foreground(sets, shift):.1f} after'
    )
    each = (
        f'{name} {100 * foreground([one], shift):.1f}'
        for name, one in zip(attacks, sets, strict=True)
    )
    print(', '.join(each))
    print(f'wrote {args.out}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
