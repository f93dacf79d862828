"""Trains CrossFuse's fusion in two phases, with a checkpoint that it resumes from.

Phase 1: encoder and decoder learn to reconstruct each modality, its features told apart. Phase 2:
all four parts learn to fuse (spec section 2). The segmenter has a training of its own
(`models.crossfuse.train_segmenter`).
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from models.crossfuse.losses import DECOMPOSITION, decomposition, fusion, reconstruction
from models.crossfuse.network import CrossFuse
from models.crossfuse.patches import Patches
from models.run_files import CHECKPOINT, LOG, append_row, load_checkpoint, save_checkpoint
from models.weak_aggressive import OFFICIAL, WEIGHT, WeakAggressive, decaying_beta, official_beta

PARTS = ('encoder', 'decoder', 'base_fuse', 'detail_fuse')
RECONSTRUCTING = PARTS[:2]  # trained in both phases
FLOOR = 1e-6  # of learning rates
COLUMNS = ('loss', 'pictures', 'gradient', 'decomposition', 'self_supervised')


@dataclass(frozen=True)
class Schedule:
    """What decides the weights, beside the configuration and the patches.

    Attributes:
        epochs: passes over all patches.
        first: epochs of phase 1 among them.
        batch: patches in a step; the last of an epoch may be smaller.
        rate: learning rate, at the start of each part's training.
        halve_every: epochs after which it is halved, down to 1e-6.
        clip: largest norm of the gradient of each part.
        self_supervised: weight of the self-supervised loss where it is largest; 0 for none.
        official: with the official code's quirks: a blur higher than wide, gradients through both
            views, and a weight that falls until epoch 120 and rises again; else
            `models.weak_aggressive`'s own views, and a weight that falls over all of phase 2.
        seed: of initial weights, order and views.
    """

    epochs: int = 160
    first: int = 40
    batch: int = 8
    rate: float = 1e-4
    halve_every: int = 20
    clip: float = 0.01
    self_supervised: float = WEIGHT
    official: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch, self.halve_every) < 1 or min(self.rate, self.clip) <= 0:
            msg = (
                f'epochs {self.epochs}, batch {self.batch}, halve_every {self.halve_every}, rate '
                f'{self.rate}, clip {self.clip}: the first three at least 1, the others over 0'
            )
            raise ValueError(msg)
        if not 0 <= self.first <= self.epochs or self.self_supervised < 0:
            msg = (
                f'{self.first} epochs of phase 1 of {self.epochs}, self-supervised weight '
                f'{self.self_supervised}: not under 0, and not more epochs than there are'
            )
            raise ValueError(msg)

    def learning_rate(self, part: str, epoch: int) -> float:
        """Return the learning rate of a part in an epoch, the first is 0.

        That of the fusion layers does not fall before they are trained.
        """
        trained = epoch if part in RECONSTRUCTING else epoch - self.first
        return float(max(self.rate * 0.5 ** (trained // self.halve_every), FLOOR))

    def beta(self, epoch: int) -> float:
        """Return the weight of the self-supervised loss in an epoch of phase 2."""
        if self.official:
            return official_beta(epoch, self.self_supervised)
        return decaying_beta(epoch - self.first, self.epochs - self.first, self.self_supervised)

    @property
    def views(self) -> WeakAggressive:
        """How the views of the self-supervised loss are made."""
        return OFFICIAL if self.official else WeakAggressive()


def first_losses(network: CrossFuse, thermal: Tensor, luma: Tensor) -> list[Tensor]:
    """Return phase 1's loss and its parts, as COLUMNS, for pictures [N, 1, H, W]."""
    found = reconstruction(
        *((picture, *network.reconstruct(picture)) for picture in (thermal, luma))
    )
    nothing = torch.zeros_like(found.pictures)
    return [found.total, found.pictures, found.gradient, found.decomposition, nothing]


def second_losses(
    network: CrossFuse,
    pictures: tuple[Tensor, Tensor],
    views: WeakAggressive,
    beta: float,
    generator: torch.Generator,
) -> list[Tensor]:
    """Return phase 2's loss and its parts, as COLUMNS.

    Args:
        network: in training mode; at the picture's own scale.
        pictures: thermal and luma [N, 1, H, W].
        views: of the self-supervised loss.
        beta: its weight; 0 leaves it out.
        generator: of the views.
    """
    thermal, luma = pictures
    of_thermal, of_visible = network.encoder(thermal), network.encoder(luma)
    fused = network.decoder(*network.fuse_features(of_thermal, of_visible), luma)
    loss, apart = fusion(fused, thermal, luma), decomposition(of_thermal, of_visible)
    own = views.loss(fused, generator) if beta > 0 else torch.zeros_like(apart)
    total = loss.total + DECOMPOSITION * apart + beta * own
    return [total, loss.intensity, loss.gradient, apart, own]


class Trainer:
    """Runs a schedule.

    Args:
        network: initial weights; trained in place, its segmenter is left as it is.
        schedule: what to do.
        patches: all of them.
        out: folder of checkpoint and log; it exists.
        device: where to compute.
    """

    def __init__(
        self,
        network: CrossFuse,
        schedule: Schedule,
        patches: Patches,
        *,
        out: Path,
        device: torch.device,
    ) -> None:
        self.network, self.schedule, self.patches = network.to(device), schedule, patches
        self.out, self.device = out, device
        self.checkpoint = out / CHECKPOINT
        self.parts: dict[str, nn.Module] = {part: getattr(network, part) for part in PARTS}
        self.optimisers = {
            name: torch.optim.Adam(part.parameters(), schedule.rate)
            for name, part in self.parts.items()
        }
        self.steps = -(-len(patches) // schedule.batch)

    def run(self, save_every: int = 50) -> None:
        """Train what is not trained yet.

        Args:
            save_every: steps between two checkpoints and lines of the log.

        Raises:
            ValueError: the checkpoint in `out` is of another schedule, network or set of patches.
            FloatingPointError: the loss is not a number any more.
        """
        done = self._resume()
        bar = tqdm(total=self.schedule.epochs * self.steps, initial=done, unit='step')
        started, found = time.monotonic(), list[list[float]]()
        self.network.train()
        while done < bar.total:
            epoch, step = divmod(done, self.steps)
            found.append(self.step(epoch, step))
            done += 1
            bar.update()
            # No line of the log is a mean over both phases.
            turn = done == self.schedule.first * self.steps
            if done % save_every == 0 or turn or done == bar.total:
                mean = np.mean(found, 0)
                bar.set_postfix(phase=self.phase(epoch), loss=f'{mean[0]:.4f}')
                self._save(done)
                self._log(done, mean.tolist(), time.monotonic() - started)
                found.clear()
        bar.close()

    def phase(self, epoch: int) -> int:
        """Return 1 or 2."""
        return 1 if epoch < self.schedule.first else 2

    def step(self, epoch: int, step: int) -> list[float]:
        """Take a step; return the loss and its parts, as COLUMNS."""
        schedule = self.schedule
        trained = RECONSTRUCTING if self.phase(epoch) == 1 else PARTS
        # Each epoch has its own order, each step its own views: resumed, the same as unbroken.
        order = np.random.default_rng((schedule.seed, epoch)).permutation(len(self.patches))
        places = order[step * schedule.batch : (step + 1) * schedule.batch]
        pictures = self.patches.batch(places, self.device)
        self.network.zero_grad(set_to_none=True)
        if self.phase(epoch) == 1:
            losses = first_losses(self.network, *pictures)
        else:
            seed = (schedule.seed * 1000 + epoch) * 1_000_000 + step
            generator = torch.Generator(self.device).manual_seed(seed)
            beta = schedule.beta(epoch)
            losses = second_losses(self.network, pictures, schedule.views, beta, generator)
        if not torch.isfinite(losses[0]):
            msg = f'loss is {float(losses[0])} at step {step} of epoch {epoch}: lower --rate'
            raise FloatingPointError(msg)
        losses[0].backward()  # type: ignore[no-untyped-call]
        for name in trained:
            optimiser = self.optimisers[name]
            nn.utils.clip_grad_norm_(self.parts[name].parameters(), schedule.clip)
            for group in optimiser.param_groups:
                group['lr'] = schedule.learning_rate(name, epoch)
            optimiser.step()
        return [float(loss.detach()) for loss in losses]

    def _identity(self) -> str:
        """Return what a checkpoint must have been made with, as JSON text."""
        return json.dumps(
            {
                'schedule': asdict(self.schedule),
                'config': self.network.config.to_json(),
                'patches': len(self.patches),
            }
        )

    def _resume(self) -> int:
        state = load_checkpoint(self.checkpoint, self._identity(), self.device)
        if state is None:
            return 0
        self.network.load_state_dict(state['network'])
        for name, stored in state['optimisers'].items():
            self.optimisers[name].load_state_dict(stored)
        return int(state['done'])

    def _save(self, done: int) -> None:
        save_checkpoint(
            self.checkpoint,
            {
                'network': self.network.state_dict(),
                'optimisers': {name: o.state_dict() for name, o in self.optimisers.items()},
                'done': done,
                'identity': self._identity(),
            },
        )

    def _log(self, done: int, mean: list[float], seconds: float) -> None:
        epoch, step = divmod(done - 1, self.steps)
        values = (f'{x:.5f}' for x in mean)
        append_row(
            self.out / LOG,
            ('epoch', 'step', 'phase', *COLUMNS, 'seconds'),
            (epoch, step + 1, self.phase(epoch), *values, f'{seconds:.0f}'),
        )
