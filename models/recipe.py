"""Recipes of training as data: which stages, on which pairs, against which attacks."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from models.attacks import parse_attack
from models.data import Augmentation
from models.genotype import read_named

FOLDER = Path(__file__).parent / 'recipes'
KINDS = ('segment', 'fuse', 'pretext', 'joint')
YOUNGER = ('self_supervised', 'aligned')  # entries that older checkpoints do not have


@dataclass(frozen=True)
class Stage:
    """One stage of training.

    Attributes:
        kind: 'segment' trains the segmenter alone, on the picture that fusion is trained towards;
            'fuse' the fusion network alone, towards that picture; 'pretext' the same from attacks
            of several strengths, aggregated (`models.pretext`); 'joint' both networks.
        steps: optimiser steps; of 'pretext', outer steps.
        batch: pairs in a step.
        size: (height, width) of the crops in pixels.
        rate: peak learning rate; warmed up linearly, then decayed linearly to 0 (poly, power 1).
            Of 'pretext', the inner rate.
        warmup: steps of the warm-up.
        adversarial: weight lambda of the adversarial loss beside the clean one, 0 for none.
        attacks: how adversarial pictures are made, in the syntax of `models.attacks`; each step
            draws one. Weak ones alone are learned by heart: two coarse steps at the full strength
            left a network that fell to a quarter of it.
        fused: of 'segment', whether it learns on what the fusion network makes of the clean pairs
            as the stage begins, instead of on what that is trained towards.
        self_supervised: of 'fuse' and 'joint', weight of the weak-aggressive loss beside that of
            fusion as the stage begins; it falls to 0 over the stage (`models.weak_aggressive`).
    """

    kind: str
    steps: int
    batch: int
    size: tuple[int, int]
    rate: float
    warmup: int
    adversarial: float = 0.0
    attacks: tuple[str, ...] = ('textbook3@8/255@3/255', 'textbook3@4/255@1.5/255')
    fused: bool = False
    self_supervised: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            msg = f'stage {self.kind!r}: choose one of {KINDS}'
            raise ValueError(msg)
        if min(self.steps, self.batch, *self.size) < 1 or not 0 <= self.warmup < self.steps:
            msg = (
                f'stage {self.kind!r} with {self.steps} steps, {self.warmup} of warm-up, '
                f'{self.batch} pairs of {self.size}: all at least 1, warm-up below the steps'
            )
            raise ValueError(msg)
        if not self.attacks:
            msg = f'stage {self.kind!r} has no attacks: leave them out for the default ones'
            raise ValueError(msg)
        for attack in self.attacks:
            parse_attack(attack)
        if self.fused and self.kind != 'segment':
            msg = f"stage {self.kind!r} on fused pictures: only 'segment' learns on them"
            raise ValueError(msg)
        if self.rate <= 0 or min(self.adversarial, self.self_supervised) < 0:
            msg = (
                f'stage {self.kind!r}: rate {self.rate} must be over 0, adversarial '
                f'{self.adversarial} and self_supervised {self.self_supervised} not under 0'
            )
            raise ValueError(msg)
        if self.self_supervised and self.kind not in ('fuse', 'joint'):
            msg = (
                f"stage {self.kind!r} with a self-supervised loss: only 'fuse' and 'joint' have it"
            )
            raise ValueError(msg)

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of a step: linear warm-up, then linear decay to 0."""
        if step < self.warmup:
            return self.rate * (step + 1) / self.warmup
        return self.rate * (1 - (step - self.warmup) / (self.steps - self.warmup))


@dataclass(frozen=True)
class Recipe:
    """What decides the weights, beside the configuration and the pairs themselves.

    Attributes:
        stages: run in this order.
        shares: how often each source of pairs is drawn where labels are needed; the shares of
            sources that are there are scaled to sum to 1.
        unlabelled: the same for 'fuse' and 'pretext', which need no labels.
        class_weights: of the cross-entropy; background is 94 % of the pixels.
        thermal: share of the thermal picture in the fusion target where both pictures are equally
            salient, 0.5 to 1 (`models.losses.thermal_weight`).
        scenes: number of generated scenes.
        frames: frames of each.
        average: decay of the moving average of the weights, which is what is kept; 0 for none.
        seed: of the initial weights and of every draw.
        augmentation: how crops vary; their size is that of the stage.
        aligned: training set of `python -m models.vision_alignment` that the source 'aligned' is:
            a folder or an HDF5 file, beside the other data or with its whole path.
    """

    stages: tuple[Stage, ...]
    shares: tuple[tuple[str, float], ...]
    unlabelled: tuple[tuple[str, float], ...]
    class_weights: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0)
    thermal: float = 0.5
    scenes: int = 240
    frames: int = 5
    average: float = 0.99
    seed: int = 0
    augmentation: Augmentation = field(default_factory=Augmentation)
    aligned: str = 'aligned'

    def __post_init__(self) -> None:
        if not 0.5 <= self.thermal <= 1:
            msg = f'thermal share {self.thermal} of the fusion target: 0.5 to 1'
            raise ValueError(msg)

    def scaled(self, factor: float) -> Recipe:
        """Return this recipe with every stage's steps and warm-up multiplied; at least 2 and 1."""
        stages = tuple(
            replace(
                stage,
                steps=max(2, round(stage.steps * factor)),
                warmup=min(
                    max(1, round(stage.warmup * factor)), max(2, round(stage.steps * factor)) - 1
                ),
            )
            for stage in self.stages
        )
        return replace(self, stages=stages)

    def to_json(self) -> str:
        """Return the recipe as JSON text.

        Younger entries are left out at their defaults: checkpoints hold this text, and those made
        before are still of the same recipe.
        """
        data = asdict(self)
        for entries, kind in ((data, Recipe), *((stage, Stage) for stage in data['stages'])):
            defaults = {entry.name: entry.default for entry in fields(kind)}
            for name in YOUNGER:
                if name in entries and entries[name] == defaults[name]:
                    del entries[name]
        return json.dumps(data)

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """Read a recipe.

        Raises:
            ValueError: an entry is unknown, missing or out of range.
        """
        data = json.loads(text)
        try:
            stages = tuple(Stage(**_frozen(stage)) for stage in data.pop('stages'))
            shares, unlabelled = (
                tuple((str(name), float(share)) for name, share in data.pop(key))
                for key in ('shares', 'unlabelled')
            )
            weights = tuple(data.pop('class_weights', cls.class_weights))
            varied = Augmentation(**_frozen(data.pop('augmentation', {})))
            return cls(
                stages, shares, unlabelled, class_weights=weights, augmentation=varied, **data
            )
        except (KeyError, TypeError) as err:
            msg = f'not a recipe: {err}'
            raise ValueError(msg) from err


def _frozen(entries: dict[str, Any]) -> dict[str, Any]:
    """Return entries with tuples for JSON's lists."""
    return {key: tuple(v) if isinstance(v, list) else v for key, v in entries.items()}


def load_recipe(name: str | Path) -> Recipe:
    """Load a recipe by the path of its JSON file, or by name from `models/recipes`.

    Raises:
        FileNotFoundError: neither exists; the message lists the known names.
        ValueError: the file is not a recipe.
    """
    return Recipe.from_json(read_named(name, FOLDER, 'recipe'))
