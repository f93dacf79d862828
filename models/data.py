"""Training pairs in memory: folders {vi,ir,label}/NAME and generated scenes, augmented."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from models.datasets.camvid import read_camvid
from models.datasets.pair import IGNORE, Bytes, LabelledPair
from models.datasets.plain import read_folder
from models.datasets.unlabelled import read_unlabelled
from models.datasets.video import read_video
from models.losses import thermal_weight
from models.paif import rgb_to_ycrcb
from paif_ros.thermal.agc import Agc, ThermalConfig
from scenes import CONDITIONS, Scene, SceneConfig

__all__ = [
    'Augmentation',
    'Batch',
    'LabelledPair',
    'TrainingPairs',
    'augment',
    'blend',
    'generate',
    'paste',
    'read_camvid',
    'read_folder',
    'read_unlabelled',
    'read_video',
    'to_tensors',
]


def generate(
    seeds: Sequence[int], frames: int, height: int = 480, width: int = 640
) -> list[LabelledPair]:
    """Draw generated scenes, all conditions in turn, thermal as the node's range shows it.

    Args:
        seeds: one scene each; the demo uses seed 0, training 1000 and up, evaluation 500 to 999.
        frames: frames of each scene, spread over 10 seconds.
        height: of the pictures in pixels.
        width: of the pictures in pixels.
    """
    pairs = []
    for number, seed in enumerate(tqdm(seeds, desc='scenes', unit='scene', mininterval=5)):
        condition = CONDITIONS[number % len(CONDITIONS)]
        scene = Scene(SceneConfig(seed=seed, condition=condition, height=height, width=width))
        for step in range(frames):
            frame = scene.frame(step * 100 // frames)
            thermal = Agc().apply(frame.thermal, ThermalConfig(), 0)
            pairs.append(
                LabelledPair(
                    f'{condition}/{seed}/{frame.index}', frame.visible, thermal, frame.label
                )
            )
    return pairs


@dataclass(frozen=True)
class Augmentation:
    """How training crops vary.

    Attributes:
        size: (height, width) of a crop in pixels.
        scale: range of the random resize.
        mirror: probability of a mirrored crop.
        tone: largest relative change of contrast, and of brightness as part of the full range.
        noise: largest standard deviation of added noise in grey levels.
        tint: largest relative change of each colour channel of the visible picture.
        saturation: range of the factor on its colours, 0 for grey.
        haze: probability of drawn smoke over the visible picture; thermal sees through it.
        paste: probability that the objects of a second pair are pasted over a crop, in both
            modalities (Ghiasi et al., "Simple copy-paste is a strong data augmentation method for
            instance segmentation", CVPR 2021): few labelled pairs hold few objects.
    """

    size: tuple[int, int] = (256, 320)
    scale: tuple[float, float] = (0.6, 1.6)
    mirror: float = 0.5
    tone: float = 0.3
    noise: float = 8.0
    tint: float = 0.2
    saturation: tuple[float, float] = (0.0, 1.4)
    haze: float = 0.3
    paste: float = 0.0


def _tone(picture: Bytes, rng: np.random.Generator, config: Augmentation) -> Bytes:
    """Change contrast, brightness and gamma, add noise."""
    gain = 1 + rng.uniform(-config.tone, config.tone)
    offset = 255 * rng.uniform(-config.tone, config.tone) / 2
    gamma = 2 ** rng.uniform(-config.tone, config.tone)
    levels = (np.arange(256) / 255) ** gamma * 255
    table = np.clip((levels - 128) * gain + 128 + offset, 0, 255).astype(np.uint8)
    noise = rng.normal(0, rng.uniform(0, config.noise), picture.shape).astype(np.int16)
    return np.clip(table[picture] + noise, 0, 255).astype(np.uint8)


def _colour(picture: Bytes, rng: np.random.Generator, config: Augmentation) -> Bytes:
    """Change saturation and tint of uint8 [H, W, 3], and sometimes draw smoke over it."""
    values = picture.astype(np.float32)
    grey = values.mean(2, keepdims=True)
    values = grey + rng.uniform(*config.saturation) * (values - grey)
    values *= 1 + rng.uniform(-config.tint, config.tint, 3).astype(np.float32)
    if rng.random() < config.haze:
        height, width = picture.shape[:2]
        coarse = rng.uniform(-0.3, 1.2, (4, 5)).astype(np.float32)  # clouds of a quarter picture
        dense = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 0.95)
        smoke = rng.uniform(110, 220) * (1 + rng.uniform(-0.15, 0.15, 3))
        values += dense[..., None] * (smoke.astype(np.float32) - values)
    return values.clip(0, 255).astype(np.uint8)


def augment(pair: LabelledPair, rng: np.random.Generator, config: Augmentation) -> LabelledPair:
    """Cut a random resized crop out of a pair, the same in both modalities, and vary tones."""
    height, width = config.size
    rows, cols = pair.label.shape
    least = max(height / rows, width / cols)
    scale = max(least, rng.uniform(*config.scale))
    # Cut first, resize after: the same crop for less work.
    cut_rows, cut_cols = min(rows, round(height / scale)), min(cols, round(width / scale))
    top, left = rng.integers(0, rows - cut_rows + 1), rng.integers(0, cols - cut_cols + 1)
    window = np.s_[top : top + cut_rows, left : left + cut_cols]
    smooth = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    visible = cv2.resize(pair.visible[window], (width, height), interpolation=smooth)
    thermal = cv2.resize(pair.thermal[window], (width, height), interpolation=smooth)
    label = cv2.resize(pair.label[window], (width, height), interpolation=cv2.INTER_NEAREST)
    if rng.random() < config.mirror:
        visible, thermal, label = visible[:, ::-1], thermal[:, ::-1], label[:, ::-1]
    return LabelledPair(
        pair.name,
        _colour(_tone(visible.astype(np.uint8), rng, config), rng, config),
        _tone(thermal.astype(np.uint8), rng, config),
        np.ascontiguousarray(label).astype(np.uint8),
    )


def paste(onto: LabelledPair, source: LabelledPair) -> LabelledPair:
    """Copy all objects of one crop over another of the same size; background is class 0."""
    objects = (source.label > 0) & (source.label != IGNORE)
    return LabelledPair(
        f'{onto.name}+{source.name}',
        np.where(objects[..., None], source.visible, onto.visible),
        np.where(objects, source.thermal, onto.thermal),
        np.where(objects, source.label, onto.label),
    )


@dataclass(frozen=True)
class Batch:
    """Tensors of training pairs.

    Attributes:
        thermal: float32 [N, 1, H, W] in 0..1.
        visible: float32 [N, 3, H, W] RGB in 0..1.
        weight: float32 [N, 1, H, W] in 0..1, share of the thermal picture in what fusion is
            trained towards.
        label: int64 [N, H, W], 255 ignored.
    """

    thermal: Tensor
    visible: Tensor
    weight: Tensor
    label: Tensor

    @property
    def target(self) -> Tensor:
        """What fusion is trained towards, float32 [N, 1, H, W] in 0..1."""
        return blend(self.thermal, self.visible, self.weight)

    def part(self, first: int, end: int) -> Batch:
        """Return the pairs from `first` up to `end`."""
        take = slice(first, end)
        return Batch(self.thermal[take], self.visible[take], self.weight[take], self.label[take])

    def to(self, device: torch.device) -> Batch:
        """Return this batch on a device, pictures in channels_last."""
        visible = self.visible.to(device, memory_format=torch.channels_last)
        return Batch(
            self.thermal.to(device), visible, self.weight.to(device), self.label.to(device)
        )


def blend(thermal: Tensor, visible: Tensor, weight: Tensor) -> Tensor:
    """Return weight * thermal + (1 - weight) * luma of `visible`, [N, 1, H, W]."""
    return torch.lerp(rgb_to_ycrcb(visible)[:, :1], thermal, weight)


def to_tensors(pairs: Sequence[LabelledPair], share: float = 0.5) -> Batch:
    """Stack pairs of one size; `share` is that of `models.losses.thermal_weight`."""
    lumas = [cv2.cvtColor(pair.visible, cv2.COLOR_RGB2GRAY).astype(np.uint8) for pair in pairs]
    weights = [
        thermal_weight(pair.thermal, luma, share) for pair, luma in zip(pairs, lumas, strict=True)
    ]
    return Batch(
        thermal=torch.from_numpy(np.stack([pair.thermal for pair in pairs]))[:, None].float()
        / 255,
        visible=torch.from_numpy(np.stack([pair.visible for pair in pairs]))
        .permute(0, 3, 1, 2)
        .float()
        / 255,
        weight=torch.from_numpy(np.stack(weights))[:, None],
        label=torch.from_numpy(np.stack([pair.label for pair in pairs])).long(),
    )


class TrainingPairs(Dataset[Batch]):
    """Random batches out of several sources, each drawn with its own share.

    Item i depends on the seed and i alone, so an interrupted training goes on with the same
    batches.

    Args:
        sources: lists of pairs.
        shares: how often each source is drawn; they sum to 1.
        batch: pairs in a batch.
        steps: number of batches.
        seed: of every draw.
        config: how crops vary.
        share: of the thermal picture in what fusion is trained towards.
    """

    def __init__(  # noqa: PLR0917 - each is named above
        self,
        sources: Sequence[Sequence[LabelledPair]],
        shares: Sequence[float],
        batch: int,
        steps: int,
        seed: int,
        config: Augmentation,
        share: float = 0.5,
    ) -> None:
        self.sources, self.shares = sources, shares
        self.batch, self.steps, self.seed, self.config = batch, steps, seed, config
        self.share = share

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> Batch:
        if not 0 <= step < self.steps:
            raise IndexError(step)
        rng = np.random.default_rng((self.seed, step))
        pairs = []
        for _ in range(self.batch):
            source = self.sources[rng.choice(len(self.sources), p=self.shares)]
            pair = self._crop(source, rng)
            if self.config.paste and rng.random() < self.config.paste:
                pair = paste(pair, self._crop(source, rng))
            pairs.append(pair)
        return to_tensors(pairs, self.share)

    def _crop(self, source: Sequence[LabelledPair], rng: np.random.Generator) -> LabelledPair:
        """Return a varied crop of a pair drawn from a source."""
        return augment(source[int(rng.integers(len(source)))], rng, self.config)
