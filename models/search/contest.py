"""What is alike for all networks of a comparison: recipe, pairs, crops, first segmenter."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from models.attacks import parse_attack
from models.checkpoint import load_into, load_paif, save_paif, sha256
from models.data import Augmentation, LabelledPair, TrainingPairs, augment
from models.losses import IGNORE
from models.objective import Objective
from models.paif import PAIF, PAIFConfig
from models.recipe import Recipe, Stage
from models.search.arms import Arm
from models.search.searcher import CLASS_WEIGHTS, halves
from models.trainer import Trainer
from models.workers import Workers

FUSE_SHARE = 0.3  # of the steps: fusion alone, which is cheap and steadies the joint stage
JUDGED = 6  # batches that a candidate of random search is judged on


@dataclass(frozen=True)
class Contest:
    """What is alike for all arms.

    Attributes:
        config: network whose genotype and width an arm replaces.
        init: weights of the segmenter, which is not trained.
        pairs: training pairs.
        crops: fixed pairs that are scored.
        steps: of training.
        batch: pairs in a step, half of them attacked in the joint stage.
        size: (height, width) of the training crops in pixels.
        attack: of training, in the syntax of `models.attacks`.
        out: folder of the runs.
    """

    config: PAIFConfig
    init: Path
    pairs: list[LabelledPair]
    crops: list[LabelledPair]
    steps: int
    batch: int
    size: tuple[int, int]
    attack: str
    out: Path

    def recipe(self, steps: int, seed: int) -> Recipe:
        """Return the recipe of so many steps: fusion alone, then fusion through the segmenter."""
        fuse = max(2, round(FUSE_SHARE * steps))
        joint = max(2, steps - fuse)
        alike, one = (self.batch, self.size), (self.attack,)
        stages = (
            Stage('fuse', fuse, *alike, 2e-3, max(1, fuse // 10), 0.0, one),
            Stage('joint', joint, *alike, 5e-4, max(1, joint // 10), 1.0, one),
        )
        shares = (('pairs', 1.0),)
        # Of so few steps an average of 0.99 would keep much of the first weights.
        return Recipe(stages, shares, shares, average=0.9, seed=seed)

    def train(
        self, arm: Arm, steps: int, seed: int, pairs: list[LabelledPair], folder: Path
    ) -> PAIF:
        """Train an arm, go on with it, or read it where it is already trained.

        Raises:
            CheckpointError: the segmenter of `init` is not that of the configuration.
            ValueError: the folder holds another arm, or one trained by another recipe.
        """
        weights, config = folder / 'weights.safetensors', arm.config(self.config)
        recipe, record = self.recipe(steps, seed), folder / 'asked.json'
        asked = json.dumps([config.to_json(), recipe.to_json(), sha256(self.init)])
        if record.exists() and record.read_text() != asked:
            msg = (
                f'{folder} holds another network, recipe or first segmenter: choose another '
                '--out, or remove it'
            )
            raise ValueError(msg)
        if weights.exists():
            return load_paif(weights)
        folder.mkdir(parents=True, exist_ok=True)
        record.write_text(asked)
        torch.manual_seed(seed)
        network = PAIF(config)
        load_into(network.denoise_net, load_paif(self.init).denoise_net.state_dict(), self.init)
        # As in the search: trained along for so few steps on small crops it forgets what it knew.
        network.denoise_net.requires_grad_(False)
        one = Workers(0, 1, torch.device('cpu'))
        trainer = Trainer(network, recipe, {'pairs': pairs}, folder, one)
        trainer.run(loaders=0)
        save_paif(weights, trainer.averaged())
        (folder / 'checkpoint.pt').unlink()  # several times the weights, and of no more use
        return load_paif(weights)

    def best(self, found: Sequence[Arm], steps: int, seed: int) -> Arm:
        """Return the candidate with the lowest loss after its share of the steps.

        As in the search, half of the pairs trains and the other half judges, clean and attacked.

        Args:
            found: candidates.
            steps: of all of them together.
            seed: of training and judging.
        """
        if len(found) == 1:
            return found[0]  # a random genotype, without a search
        learn, judge = halves(self.pairs)
        losses = []
        for number, arm in enumerate(found):
            folder = self.out / f'candidate{number}_{seed}'
            network = self.train(arm, max(4, steps // len(found)), seed, learn, folder)
            losses.append(self.loss(network, judge, seed))
        return found[int(np.argmin(losses))]

    def loss(self, network: PAIF, pairs: list[LabelledPair], seed: int) -> float:
        """Return the joint loss of a trained network, half of the pairs attacked."""
        objective = Objective('joint', 1.0, parse_attack(self.attack), CLASS_WEIGHTS)
        crops = Augmentation(size=self.size)
        batches = TrainingPairs([pairs], [1.0], max(2, self.batch), JUDGED, seed, crops)
        found = []
        for number in range(JUDGED):
            generator = torch.Generator().manual_seed(seed * JUDGED + number)
            with torch.no_grad():
                found.append(objective(network, batches[number], generator).item())
        return float(np.mean(found))


def fixed_crops(
    pairs: Sequence[LabelledPair], size: tuple[int, int], seed: int = 0, tries: int = 12
) -> list[LabelledPair]:
    """Cut one crop out of each pair, the one of several draws with most foreground.

    Most draws would hold background alone, and a score of few pixels hides what differs.

    Args:
        pairs: labelled ones.
        size: (height, width) of a crop in pixels.
        seed: of the draws; a pair's crop depends on its place and this alone.
        tries: draws for each pair.
    """
    plain = Augmentation(size, (0.6, 1.0), 0.0, 0.0, 0.0, 0.0, (1.0, 1.0), 0.0)
    crops = []
    for number, pair in enumerate(pairs):
        rng = np.random.default_rng((seed, number))
        drawn = [augment(pair, rng, plain) for _ in range(tries)]
        crops.append(max(drawn, key=lambda p: int(((p.label > 0) & (p.label != IGNORE)).sum())))
    return crops
