"""Adversarial perturbations of both cameras' pictures, white-box through fusion and segmenter.

`perturb` takes any module whose forward(thermal, visible) gives (fused luma, logits). Attacks are
named on the command line as KIND STEPS, then options:

    none                 the clean pictures
    noise                random signs of size eps
    fgsm                 one step of size eps from the clean pictures (Goodfellow et al. 2015)
    pgd5                 the official PAIF attack: gradients add up over the steps (spec 2.1)
    textbook20           PGD with a fresh gradient each step (Madry et al. 2018)
    segpgd20             SegPGD (Gu et al., ECCV 2022, eq. 4 and 5)
    cospgd20             CosPGD (Agnihotri et al., ICML 2024, eq. 7)
    pgd5@4/255           another eps; the step stays eps / 4 unless it is given
    pgd5@4/255@1/255     another eps and step
    pgd5:thermal         one camera only, or :visible
    pgd5x3               the worst of three random starts for each picture
    pgd5-l_2             another loss: ce, or without labels l_1, l_2, l_ssim, how far the fused
                         luma moves from that of the clean pair

Options stand in the order STEPS-LOSS@EPS@STEP:CAMERAxRESTARTS.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.losses import IGNORE, ssim

EPS = 8 / 255  # of the official evaluation
MODALITIES = ('both', 'thermal', 'visible')


@dataclass(frozen=True)
class Attack:
    """An attack within an L-infinity ball.

    Attributes:
        name: as it stands in tables.
        eps: radius of the ball, in pictures of 0..1.
        step: size of a step (alpha), 0..1.
        steps: number of steps; 0 leaves the random start, or the clean pictures without one.
        loss: what grows, a key of LOSSES.
        modality: which camera is attacked, one of MODALITIES.
        accumulate: whether gradients add up over the steps, as in the official code, which never
            zeroes them.
        start: 'clean', 'uniform' in the ball, or 'sign': a random corner of it.
        restarts: random starts; each picture keeps the one with its largest cross-entropy, or
            loss where that needs no label.
    """

    name: str
    eps: float = EPS
    step: float = EPS / 4
    steps: int = 5
    loss: str = 'ce'
    modality: str = 'both'
    accumulate: bool = False
    start: str = 'uniform'
    restarts: int = 1

    def __post_init__(self) -> None:
        if self.loss not in LOSSES or self.modality not in MODALITIES:
            msg = (
                f'attack {self.name!r}: loss {self.loss!r} and modality {self.modality!r} must be '
                f'of {sorted(LOSSES)} and {MODALITIES}'
            )
            raise ValueError(msg)
        if self.start not in ('clean', 'uniform', 'sign'):
            msg = f'attack {self.name!r}: start {self.start!r} must be clean, uniform or sign'
            raise ValueError(msg)
        if not (0 <= self.eps <= 1 and 0 <= self.step <= 1):
            msg = (
                f'attack {self.name!r}: eps {self.eps:g} and step {self.step:g} are parts of the '
                'range 0..1; write 8/255 for eight grey levels'
            )
            raise ValueError(msg)
        if self.steps < 0 or self.restarts < 1:
            msg = (
                f'attack {self.name!r}: {self.steps} steps and {self.restarts} restarts; '
                'at least 0 and 1'
            )
            raise ValueError(msg)


@dataclass(frozen=True)
class Situation:
    """What a loss is computed from.

    Attributes:
        logits: [N, classes, H, W], at the label's size.
        label: int64 [N, H, W], 255 ignored.
        fused: fused luma [N, 1, H, W] now.
        clean: fused luma of the clean pictures, [N, 1, H, W].
        progress: steps done, divided by all of them, 0..1.
    """

    logits: Tensor
    label: Tensor
    fused: Tensor
    clean: Tensor
    progress: float


def _pixels(s: Situation) -> Tensor:
    """Return the cross-entropy of each pixel [N, H, W]; 0 where the label is unknown."""
    return F.cross_entropy(s.logits, s.label, ignore_index=IGNORE, reduction='none')


def _mean_known(values: Tensor, label: Tensor) -> Tensor:
    """Return each picture's mean [N] of per-pixel values [N, H, W] over its known pixels."""
    known = (label != IGNORE).sum((1, 2)).clamp(min=1)
    return values.sum((1, 2)) / known


def cross_entropy(s: Situation) -> Tensor:
    """Return each picture's mean cross-entropy, [N]."""
    return _mean_known(_pixels(s), s.label)


def segpgd_weights(s: Situation) -> Tensor:
    """Return SegPGD's weight of each pixel [N, H, W]: 1 - lambda if still right, else lambda.

    lambda_t = (t - 1) / (2 T) in step t of T: first the right pixels, later all alike.
    """
    lam = s.progress / 2
    right = s.logits.argmax(1) == s.label
    return torch.where(right, 1 - lam, lam)


def segpgd(s: Situation) -> Tensor:
    """Return SegPGD's weighted cross-entropy, [N]."""
    return _mean_known(segpgd_weights(s).detach() * _pixels(s), s.label)


def cospgd_weights(s: Situation) -> Tensor:
    """Return CosPGD's weight of each pixel [N, H, W], 0..1.

    The cosine between the softmax of the logits and the one-hot label, that is the probability of
    the true class divided by the norm of all: pixels that are already lost hardly count.
    """
    probability = s.logits.softmax(1)
    true = s.label.where(s.label != IGNORE, 0)
    return probability.gather(1, true[:, None])[:, 0] / probability.norm(dim=1)


def cospgd(s: Situation) -> Tensor:
    """Return CosPGD's weighted cross-entropy, [N]."""
    return _mean_known(cospgd_weights(s).detach() * _pixels(s), s.label)


def _ssim_distance(s: Situation) -> Tensor:
    pairs = zip(s.fused.split(1), s.clean.split(1), strict=True)
    return torch.stack([1 - ssim(fused, clean) for fused, clean in pairs])


LOSSES: dict[str, Callable[[Situation], Tensor]] = {
    'ce': cross_entropy,
    'segpgd': segpgd,
    'cospgd': cospgd,
    # Without a label: how far the fused picture moves from that of the clean pair.
    'l_1': lambda s: (s.fused - s.clean).abs().mean((1, 2, 3)),
    'l_2': lambda s: (s.fused - s.clean).square().mean((1, 2, 3)),
    'l_ssim': _ssim_distance,
}
WITHOUT_LABEL = ('l_1', 'l_2', 'l_ssim')


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Put a network in eval mode for a while; every module gets its own mode back."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def perturb(  # noqa: PLR0917 - a network, a batch's three tensors, an attack
    network: nn.Module,
    thermal: Tensor,
    visible: Tensor,
    label: Tensor,
    attack: Attack,
    generator: torch.Generator | None = None,
    *,
    start: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Attack pairs; the network is left as it was: modes, gradients, BatchNorm statistics.

    Args:
        network: forward(thermal, visible) gives fused luma [N, 1, H, W] and logits [N, classes, h,
            w], which are resized to the label.
        thermal: [N, 1, H, W] in 0..1.
        visible: RGB [N, 3, H, W] in 0..1.
        label: int64 [N, H, W], 255 ignored.
        attack: what is done.
        generator: of the random starts, on the pictures' device.
        start: perturbations to start from instead of random ones, shaped as the pictures.

    Returns:
        Thermal and visible pictures within eps of those given, in 0..1, float32.
    """
    clean = (thermal.detach(), visible.detach())
    if not attack.eps or (attack.start == 'clean' and not attack.steps):
        return clean
    with frozen(network), torch.enable_grad():
        reference = None
        if attack.loss in WITHOUT_LABEL:
            with torch.no_grad():
                reference = network(*clean)[0]
        victim = _Victim(network, label, attack, reference)
        best = victim.climb(clean, generator, start)
        if attack.restarts > 1:
            top = victim.damage(best)
        for _ in range(attack.restarts - 1):
            found = victim.climb(clean, generator, start)
            damage = victim.damage(found)
            worse = (damage > top)[:, None, None, None]
            best = (torch.where(worse, found[0], best[0]), torch.where(worse, found[1], best[1]))
            top = torch.maximum(damage, top)
    return best


@dataclass(frozen=True)
class _Victim:
    """A network with the labels of one batch, under one attack."""

    network: nn.Module
    label: Tensor
    attack: Attack
    reference: Tensor | None

    def loss(
        self, pictures: tuple[Tensor, Tensor], progress: float, name: str | None = None
    ) -> Tensor:
        """Return each picture's loss, [N]: the attack's, or another one of LOSSES."""
        fused, logits = self.network(*pictures)
        if self.attack.loss not in WITHOUT_LABEL:
            size = self.label.shape[1:]
            logits = F.interpolate(logits.float(), size, mode='bilinear', align_corners=False)
        clean = fused if self.reference is None else self.reference
        situation = Situation(logits, self.label, fused, clean, progress)
        return LOSSES[name or self.attack.loss](situation)

    @torch.no_grad()
    def damage(self, pictures: tuple[Tensor, Tensor]) -> Tensor:
        """Return what restarts are judged by, [N]: the cross-entropy, or the loss without label.

        SegPGD's and CosPGD's weights steer the climb. As a score they would count the more the
        fewer pixels are lost.
        """
        name = self.attack.loss if self.attack.loss in WITHOUT_LABEL else 'ce'
        return self.loss(pictures, 1.0, name)

    def climb(
        self,
        clean: tuple[Tensor, Tensor],
        generator: torch.Generator | None,
        start: tuple[Tensor, Tensor] | None,
    ) -> tuple[Tensor, Tensor]:
        """Take the attack's steps from one start; return the attacked pictures."""
        attack = self.attack
        moved = [attack.modality in ('both', name) for name in MODALITIES[1:]]
        given = start or tuple(_random(x, attack, generator) for x in clean)
        deltas = [
            _inside(x, d, attack.eps) if move else torch.zeros_like(x)
            for x, d, move in zip(clean, given, moved, strict=True)
        ]
        totals = [torch.zeros_like(x) for x in clean]
        cameras = [i for i, move in enumerate(moved) if move]
        for step in range(attack.steps):
            wanted = [deltas[i].requires_grad_() for i in cameras]
            attacked = (clean[0] + deltas[0], clean[1] + deltas[1])
            loss = self.loss(attacked, step / attack.steps).sum()
            # None where the network does not use a camera.
            grads = torch.autograd.grad(loss, wanted, allow_unused=True)
            for i, grad in zip(cameras, grads, strict=True):
                if grad is not None:
                    totals[i] = totals[i] + grad if attack.accumulate else grad
                stepped = deltas[i].detach() + attack.step * totals[i].sign()
                deltas[i] = _inside(clean[i], stepped, attack.eps)
        # x + (y - x) can miss y by a rounding, and so leave 0..1.
        thermal, visible = (
            (x + d.detach()).clamp(0, 1) for x, d in zip(clean, deltas, strict=True)
        )
        return thermal, visible


def _random(x: Tensor, attack: Attack, generator: torch.Generator | None) -> Tensor:
    """Return a random start shaped as `x`."""
    if attack.start == 'clean':
        return torch.zeros_like(x)
    draw = torch.rand(x.shape, generator=generator, device=x.device, dtype=x.dtype) * 2 - 1
    return attack.eps * (draw.sign() if attack.start == 'sign' else draw)


def _inside(x: Tensor, delta: Tensor, eps: float) -> Tensor:
    """Return a perturbation clipped to the ball, and so that x + delta stays in 0..1."""
    return (x + delta.detach().clamp(-eps, eps)).clamp(0, 1) - x


_KINDS: dict[str, dict[str, Any]] = {
    'none': {'start': 'clean', 'steps': 0},
    'noise': {'start': 'sign', 'steps': 0},
    'fgsm': {'start': 'clean', 'steps': 1},
    'pgd': {'accumulate': True},
    'textbook': {},
    'segpgd': {'loss': 'segpgd'},
    'cospgd': {'loss': 'cospgd'},
}
_ITERATED = ('pgd', 'textbook', 'segpgd', 'cospgd')
_NAME = re.compile(
    r'(?P<kind>[a-z]+)(?P<steps>\d+)?(?:-(?P<loss>[a-z_\d]+))?'
    r'(?:@(?P<eps>[\d./]+))?(?:@(?P<step>[\d./]+))?'
    r'(?::(?P<modality>[a-z]+))?(?:x(?P<restarts>\d+))?'
)


def _number(text: str) -> float:
    """Read a number, or two with a stroke between them: '8/255', '1.5/255', '0.03'."""
    above, _, below = text.partition('/')
    return float(above) / float(below or 1)


def parse_attack(text: str) -> Attack:
    """Read an attack's name, as the module describes them.

    Raises:
        ValueError: the name is not in that form; the message lists the known kinds.
    """
    match = _NAME.fullmatch(text.strip())
    kind = match['kind'] if match else ''
    if match is None or kind not in _KINDS or (kind in _ITERATED) != bool(match['steps']):
        msg = (
            f'attack {text!r}: choose none, noise or fgsm, or {", ".join(_ITERATED)} followed by '
            'the number of steps, such as pgd5; then -LOSS, @EPS, @STEP, :thermal or :visible, '
            'xRESTARTS'
        )
        raise ValueError(msg)
    try:
        eps = _number(match['eps']) if match['eps'] else EPS
        step = _number(match['step']) if match['step'] else eps / 4
    except (ValueError, ZeroDivisionError) as err:
        msg = f'attack {text!r}: eps and step are numbers or fractions, such as 8/255'
        raise ValueError(msg) from err
    options = dict(_KINDS[kind])
    if match['steps']:
        options['steps'] = int(match['steps'])
    if match['loss']:
        options['loss'] = match['loss']
    if kind == 'fgsm':
        step = eps
    return Attack(
        text.strip(),
        eps=eps,
        step=step,
        modality=match['modality'] or 'both',
        restarts=int(match['restarts'] or 1),
        **options,
    )
