"""The bilevel search: weights on the training loss, the architecture on the validation loss."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from models.attacks import parse_attack
from models.data import Augmentation, Batch, LabelledPair, TrainingPairs
from models.genotype import Genotype
from models.objective import Objective
from models.paif import PAIF
from models.recipe import Recipe
from models.run_files import CHECKPOINT, LOG, append_row, save_checkpoint
from models.search.hypergradient import KINDS, Gradients, hypergradient, projection
from models.search.space import OPERATORS, best, entropy
from models.search.supernet import Architecture, Supernet
from models.search.table import Latencies, expected
from models.trainer import CLIP

BETAS = (0.5, 0.999)  # of Adam on alpha (spec 4.4)
BLOCK = 20  # neighbouring pairs that stay in one half
CLASS_WEIGHTS = Recipe((), (), ()).class_weights  # those of every recipe
COLUMNS = ('step', 'lower', 'upper', 'rho', 'entropy', 'expected_ms', 'genotype_ms', 'genotype')


@dataclass(frozen=True)
class SearchPlan:
    """What decides the genotype, beside the pairs, the segmenter and the latency table.

    Attributes:
        channels: width of the fusion network.
        warmup: steps of the weights alone, on the fusion loss, before the search.
        steps: of the search; each moves weights and architecture once.
        batch: pairs in a step, half of them attacked.
        size: (height, width) of the crops in pixels.
        relaxation: 'gumbel' or 'softmax' (`models.search.supernet.Architecture`).
        hypergradient: 'first' or 'rank1' (`models.search.hypergradient`).
        rate: Adam's on the weights.
        alpha_rate: Adam's on alpha.
        adversarial: lambda, weight of the adversarial loss beside the clean one. The spec has it
            in the training loss; that the validation loss has it too is our choice.
        attack: of both, in the syntax of `models.attacks`; by default one step of 1.25 eps from a
            random start (Wong et al., ICLR 2020), the least work that is a strong attack.
        latency: weight of the latency term: expected milliseconds of the cells, as a share of
            what they cost while every operator is as likely as another.
        temperature: (first, last) of the Gumbel softmax, decayed linearly.
        seed: of every draw.
    """

    channels: int
    warmup: int = 80
    steps: int = 240
    batch: int = 8
    size: tuple[int, int] = (96, 128)
    relaxation: str = 'gumbel'
    hypergradient: str = 'first'
    rate: float = 2e-3
    alpha_rate: float = 0.05
    adversarial: float = 1.0
    attack: str = 'textbook1@8/255@10/255'
    latency: float = 0.5
    temperature: tuple[float, float] = (2.0, 0.5)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.hypergradient not in KINDS:
            msg = f'hypergradient {self.hypergradient!r}: choose one of {KINDS}'
            raise ValueError(msg)
        if self.steps < 1 or self.warmup < 0 or self.batch < 2:
            msg = (
                f'{self.warmup} + {self.steps} steps of {self.batch} pairs: at least 0 + 1 steps '
                'of 2 pairs'
            )
            raise ValueError(msg)
        if self.latency < 0 or self.adversarial < 0:
            msg = f'weights latency {self.latency} and adversarial {self.adversarial}: not under 0'
            raise ValueError(msg)
        parse_attack(self.attack)

    def to_json(self) -> str:
        """Return the plan as JSON text."""
        return json.dumps(asdict(self))


def halves(pairs: list[LabelledPair]) -> tuple[list[LabelledPair], list[LabelledPair]]:
    """Return the pairs that weights are trained on, and those that the architecture is judged on.

    Blocks in turn, since neighbours by name are often frames of one drive.
    """
    block = max(1, min(BLOCK, len(pairs) // 2))
    numbered = list(enumerate(pairs))
    first, second = ([p for i, p in numbered if i // block % 2 == half] for half in (0, 1))
    return first, second


class Searcher:
    """Searches one genotype.

    Args:
        network: lends its trained segmenter, which stays as it is; its fusion network is replaced
            by a supernet.
        plan: what to do.
        pairs: labelled ones; half for the weights, half for the architecture.
        table: latencies, with the plan's width.
        reference: name of the table's network whose total the log quotes.
        out: folder of checkpoint and log; it exists.

    Raises:
        ValueError: there are fewer than two pairs, or the table lacks the width.
    """

    def __init__(  # noqa: PLR0917 - each is named above
        self,
        network: PAIF,
        plan: SearchPlan,
        pairs: list[LabelledPair],
        table: Latencies,
        reference: str,
        out: Path,
    ) -> None:
        if len(pairs) < 2:
            msg = f'{len(pairs)} pairs: half train weights, half judge the architecture, so 2'
            raise ValueError(msg)
        self.plan, self.table, self.reference, self.out = plan, table, reference, out
        torch.manual_seed(plan.seed)
        # Of the segmenter as it is given: a resumed search has to go on behind the same one.
        weights = b''.join(p.detach().numpy().tobytes() for p in network.denoise_net.parameters())
        inputs = (weights, table.to_json().encode(), plan.to_json().encode())
        self.fingerprint = hashlib.sha256(b''.join(inputs)).hexdigest()
        self.network = network
        self.supernet = Supernet(plan.channels)
        network.enhance_net = self.supernet
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        network.denoise_net.requires_grad_(False)
        network.denoise_net.eval()
        self.architecture = Architecture(plan.relaxation, self._generator(0, 0))
        self.costs = table.costs(plan.channels, OPERATORS)
        self.weights = [p for p in self.supernet.parameters() if p.requires_grad]
        self.optimiser = torch.optim.Adam(self.weights, plan.rate)
        self.alpha_optimiser = torch.optim.Adam(
            self.architecture.parameters(), plan.alpha_rate, betas=BETAS
        )
        self.lower, self.upper = (self._batches(part, i) for i, part in enumerate(halves(pairs)))
        self.checkpoint = out / CHECKPOINT
        self.step = 0

    def _batches(self, pairs: list[LabelledPair], number: int) -> TrainingPairs:
        plan = self.plan
        crops = Augmentation(size=plan.size)
        total = plan.warmup + plan.steps
        return TrainingPairs([pairs], [1.0], plan.batch, total, plan.seed * 2 + number, crops)

    def _generator(self, step: int, purpose: int) -> torch.Generator:
        """Return the generator of a step's draws: resumed, the same as unbroken."""
        seed = (self.plan.seed * 1_000_000 + step) * 10 + purpose
        return torch.Generator().manual_seed(seed)

    def run(self, save_every: int = 20) -> Genotype:
        """Search what is left, from the checkpoint if there is one; return the genotype.

        Raises:
            ValueError: the checkpoint was made by another plan.
            FloatingPointError: a loss is not a number.
        """
        self._resume()
        total = self.plan.warmup + self.plan.steps
        bar = tqdm(
            range(self.step, total), initial=self.step, total=total, unit='step', mininterval=5
        )
        for step in bar:
            searching = step >= self.plan.warmup
            row = self._search_step(step) if searching else self._warm_step(step)
            if not all(x == x for x in row[:2]):  # noqa: PLR0124 - NaN alone differs from itself
                msg = f'loss is not a number at step {step}: lower --rate'
                raise FloatingPointError(msg)
            self.step = step + 1
            self._log(step, row)
            if self.step % save_every == 0 or self.step == total:
                self._save()
                bar.set_postfix(entropy=f'{entropy(self.architecture.alpha):.2f}')
        return self.genotype(self.out.name)

    def genotype(self, name: str) -> Genotype:
        """Return the operators of the largest alpha."""
        return best(self.architecture.alpha, name)

    def _warm_step(self, step: int) -> tuple[float, float, float]:
        """Train the operators that a uniform draw picks towards the fusion target."""
        uniform = Architecture(self.plan.relaxation, self._generator(step, 1))
        self.supernet.use(uniform.draw(1.0, self._generator(step, 2)).detach())
        objective = self._objective('fuse', 0.0)
        loss = objective(self.network, self.lower[step], self._generator(step, 3))
        gradients = torch.autograd.grad(loss, self.weights, allow_unused=True)
        self._move_weights(gradients)
        return loss.item(), 0.0, 0.0

    def _search_step(self, step: int) -> tuple[float, float, float]:
        """Move weights and architecture once; return both losses and rho."""
        plan = self.plan
        objective = self._objective('joint', plan.adversarial)
        progress = (step - plan.warmup) / plan.steps
        first, last = plan.temperature
        temperature = first + (last - first) * progress
        draw = self.architecture.draw(temperature, self._generator(step, 2))
        lower_loss, lower = self._gradients(objective, self.lower[step], draw, step, 3)
        upper_loss, upper = self._gradients(objective, self.upper[step], draw, step, 4)
        self.alpha_optimiser.zero_grad()
        draw.backward(hypergradient(upper, lower, plan.hypergradient), retain_graph=True)
        share = expected(self.architecture.probabilities(), self.costs) / self.undecided
        (plan.latency * share).backward()  # type: ignore[no-untyped-call]
        self.alpha_optimiser.step()
        self._move_weights(lower.weights)
        return lower_loss, upper_loss, projection(upper, lower)

    @property
    def undecided(self) -> float:
        """Milliseconds of the cells while every operator is as likely as another."""
        return float(self.costs.mean()) * len(self.supernet.edges)

    def _gradients(
        self, objective: Objective, batch: Batch, draw: Tensor, step: int, purpose: int
    ) -> tuple[float, Gradients]:
        """Return a loss and its gradients in the weights and in the draw."""
        mix = draw.detach().requires_grad_()
        self.supernet.use(mix)
        loss = objective(self.network, batch, self._generator(step, purpose))
        *weights, architecture = torch.autograd.grad(loss, [*self.weights, mix], allow_unused=True)
        return loss.item(), Gradients(tuple(weights), architecture)

    def _objective(self, kind: str, adversarial: float) -> Objective:
        attack = parse_attack(self.plan.attack)
        return Objective(kind, adversarial, attack, CLASS_WEIGHTS)

    def _move_weights(self, gradients: tuple[Tensor | None, ...]) -> None:
        """Take an Adam step with the operators that were drawn; the others do not move."""
        for weight, gradient in zip(self.weights, gradients, strict=True):
            weight.grad = gradient
        nn.utils.clip_grad_norm_(self.weights, CLIP)
        self.optimiser.step()

    def _log(self, step: int, row: tuple[float, float, float]) -> None:
        found = self.genotype('')
        cells = self.table.rest(self.reference, self.plan.channels)
        with torch.no_grad():
            relaxed = cells + float(expected(self.architecture.probabilities(), self.costs))
        now = self.table.total(found, self.reference, self.plan.channels)
        names = ' '.join((*found.normal_1, *found.normal_2, *found.normal_3))
        numbers = (*row, entropy(self.architecture.alpha), relaxed, now)
        append_row(self.out / LOG, COLUMNS, [step, *(f'{x:.4f}' for x in numbers), names])

    def _state(self) -> dict[str, Any]:
        return {
            'plan': self.fingerprint,
            'step': self.step,
            'supernet': self.supernet.state_dict(),
            'alpha': self.architecture.state_dict(),
            'optimiser': self.optimiser.state_dict(),
            'alpha_optimiser': self.alpha_optimiser.state_dict(),
        }

    def _save(self) -> None:
        save_checkpoint(self.checkpoint, self._state())

    def _resume(self) -> None:
        if not self.checkpoint.exists():
            self._trim()
            return
        state = torch.load(self.checkpoint, weights_only=True)
        if state['plan'] != self.fingerprint:
            msg = (
                f'{self.checkpoint} was made by another plan, segmenter or latency table: '
                'choose another --out, or remove it'
            )
            raise ValueError(msg)
        self.step = state['step']
        self.supernet.load_state_dict(state['supernet'])
        self.architecture.load_state_dict(state['alpha'])
        self.optimiser.load_state_dict(state['optimiser'])
        self.alpha_optimiser.load_state_dict(state['alpha_optimiser'])
        self._trim()

    def _trim(self) -> None:
        """Drop the log's lines after the checkpoint, which are about to be written again."""
        path = self.out / LOG
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        if lines:
            path.write_text(''.join(lines[: self.step + 1]) if self.step else '')
