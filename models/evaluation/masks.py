"""Confusion matrices of a network's masks, on clean and on attacked pairs.

The protocol is the official one (spec 3.3): one confusion matrix over all pictures, logits
resized to the label, attacks in eval mode through fusion and segmenter, attacked pictures scored
as floats.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from models.attacks import Attack, frozen, parse_attack, perturb
from models.datasets.pair import LabelledPair
from models.metrics import Scores, confusion, scores


@dataclass(frozen=True)
class Tensors:
    """Pairs of one size on a device.

    Attributes:
        thermal: float32 [N, 1, H, W] in 0..1.
        visible: float32 [N, 3, H, W] RGB in 0..1, channels_last.
        label: int64 [N, H, W], 255 where unknown.
    """

    thermal: Tensor
    visible: Tensor
    label: Tensor

    @classmethod
    def of(cls, pairs: Sequence[LabelledPair], device: torch.device | str = 'cpu') -> Tensors:
        """Stack pairs of one size."""
        thermal, visible, label = (
            torch.from_numpy(np.stack([getattr(pair, kind) for pair in pairs])).to(device)
            for kind in ('thermal', 'visible', 'label')
        )
        return cls(thermal[:, None].float() / 255, visible.movedim(3, 1) / 255, label.long())


def same_size(pairs: Sequence[LabelledPair], batch: int) -> Iterator[list[LabelledPair]]:
    """Yield neighbours of equal size together, up to `batch` of them; the order stays."""
    group: list[LabelledPair] = []
    for pair in pairs:
        if group and (len(group) >= batch or pair.label.shape != group[0].label.shape):
            yield group
            group = []
        group.append(pair)
    if group:
        yield group


def draws(pairs: Sequence[LabelledPair], seed: int, device: torch.device) -> torch.Generator:
    """Return the generator of random starts on these pairs.

    It depends on their names, so a pair attacked by itself starts alike whatever else is scored.
    """
    # Of a longer seed than 32 bit, torch's generator on the CPU would drop the rest.
    names = '\n'.join((str(seed), *(pair.name for pair in pairs)))
    return torch.Generator(device).manual_seed(zlib.crc32(names.encode()))


@contextmanager
def attackable(network: nn.Module) -> Iterator[None]:
    """Put a network in eval mode without gradients of its weights; all is put back at the end.

    Gradients of the pictures need no inputs of weights kept, which saves memory and time.
    """
    wanted = [parameter for parameter in network.parameters() if parameter.requires_grad]
    with frozen(network):
        for parameter in wanted:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in wanted:
                parameter.requires_grad_(True)


@torch.no_grad()
def segment(
    network: nn.Module, thermal: Tensor, visible: Tensor, size: Sequence[int]
) -> tuple[Tensor, NDArray[np.uint8], int]:
    """Fuse and segment pairs.

    Args:
        network: forward(thermal, visible) gives fused luma and logits [N, classes, h, w].
        thermal: [N, 1, H, W] in 0..1.
        visible: RGB [N, 3, H, W] in 0..1.
        size: (height, width) that the logits are resized to.

    Returns:
        Fused luma [N, 1, H, W], class ids uint8 [N, *size], and the number of classes.
    """
    fused, logits = network(thermal, visible)
    full = F.interpolate(logits, tuple(size), mode='bilinear', align_corners=False)
    return fused, full.argmax(1).to('cpu', torch.uint8).numpy(), logits.shape[1]


def masks(
    network: nn.Module, thermal: Tensor, visible: Tensor, size: Sequence[int]
) -> tuple[NDArray[np.uint8], int]:
    """Segment pairs: `segment` without the fused luma."""
    return segment(network, thermal, visible, size)[1:]


@dataclass(frozen=True)
class Outcome:
    """What a network made of a few pairs under one attack.

    Attributes:
        first: place of the first of these pairs among all.
        pairs: as they were read.
        attack: its name.
        thermal: attacked, float32 [N, 1, H, W] in 0..1.
        visible: attacked, float32 [N, 3, H, W] RGB in 0..1.
        fused: luma float32 [N, 1, H, W].
        masks: class ids uint8 [N, H, W].
        classes: number of classes.
        pictures: fused RGB pictures uint8 [H, W, 3] where they came ready, else None.
    """

    first: int
    pairs: Sequence[LabelledPair]
    attack: str
    thermal: Tensor
    visible: Tensor
    fused: Tensor
    masks: NDArray[np.uint8]
    classes: int
    pictures: Sequence[NDArray[np.uint8]] | None = None

    def confusions(self) -> list[NDArray[np.int64]]:
        """Return the confusion matrix of each pair, int64 [classes, classes]."""
        return [
            confusion(pair.label, mask, self.classes)
            for pair, mask in zip(self.pairs, self.masks, strict=True)
        ]


def outcomes(
    network: nn.Module,
    pairs: Sequence[LabelledPair],
    attacks: Sequence[Attack],
    *,
    seed: int = 0,
    batch: int = 1,
    device: torch.device | str | None = None,
    what: str | None = None,
) -> Iterator[Outcome]:
    """Yield what a network makes of every pair under every attack, a few pairs at a time.

    Args:
        network: forward(thermal, visible) gives fused luma and logits; it is left as it was.
        pairs: of any sizes; neighbours of equal size can share a batch.
        attacks: 'none' among them where clean pairs are wanted; in this order for each pair.
        seed: of the random starts.
        batch: largest number of pairs at a time; a network that stretches a whole batch by one
            range (`PAIFConfig.stretch`) is only scored as the official code does with 1.
        device: where to compute, the network's own when None.
        what: title of a progress bar; None shows none.

    Raises:
        ValueError: there are no pairs, or two attacks have one name.
    """
    names = [attack.name for attack in attacks]
    if not pairs or not names or len(set(names)) < len(names):
        msg = f'{len(pairs)} pairs under attacks {names}: at least one of each, each attack once'
        raise ValueError(msg)
    where = torch.device(device) if device is not None else next(network.parameters()).device
    network.to(where)
    bar = tqdm(
        total=len(pairs) * len(attacks), desc=what, unit='mask', mininterval=5, disable=not what
    )
    first = 0
    with attackable(network), bar:
        for group in same_size(pairs, batch):
            t = Tensors.of(group, where)
            for attack in attacks:
                bar.set_postfix_str(attack.name, refresh=False)
                generator = draws(group, seed, where)
                moved = perturb(network, t.thermal, t.visible, t.label, attack, generator)
                fused, predicted, classes = segment(network, *moved, t.label.shape[1:])
                yield Outcome(first, group, attack.name, *moved, fused, predicted, classes)
                bar.update(len(group))
            first += len(group)


def confusions(
    network: nn.Module,
    pairs: Sequence[LabelledPair],
    attacks: Sequence[Attack],
    *,
    seed: int = 0,
    batch: int = 1,
    device: torch.device | str | None = None,
    what: str | None = None,
) -> dict[str, NDArray[np.int64]]:
    """Count pixels by true and predicted class for each pair under each attack.

    Arguments and errors as those of `outcomes`.

    Returns:
        By attack name int64 [pairs, classes, classes], rows true and columns predicted.
    """
    found: dict[str, list[NDArray[np.int64]]] = {attack.name: [] for attack in attacks}
    for outcome in outcomes(
        network, pairs, attacks, seed=seed, batch=batch, device=device, what=what
    ):
        found[outcome.attack] += outcome.confusions()
    return {name: np.stack(matrices) for name, matrices in found.items()}


def attacked_scores(
    network: nn.Module,
    pairs: Sequence[LabelledPair],
    attacks: Sequence[str],
    *,
    seed: int = 0,
    batch: int = 1,
    device: torch.device | str | None = None,
    what: str | None = None,
) -> dict[str, Scores]:
    """Score masks on pairs under each attack, by one confusion matrix over all pairs.

    Args:
        network: as in `confusions`.
        pairs: as in `confusions`.
        attacks: names that `models.attacks.parse_attack` reads.
        seed: of the random starts.
        batch: as in `confusions`.
        device: as in `confusions`.
        what: title of a progress bar; None shows none.

    Raises:
        ValueError: an attack's name can't be read, or as in `confusions`.
    """
    plan = [parse_attack(name) for name in attacks]
    found = confusions(network, pairs, plan, seed=seed, batch=batch, device=device, what=what)
    return {name: scores(matrices.sum(0)) for name, matrices in found.items()}
