"""What is trained on and what is scored: one source, and every other domain that is at hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.data import generate, read_folder
from models.datasets.pair import LabelledPair
from models.datasets.unlabelled import read_unlabelled
from models.datasets.video import read_video
from models.evaluation.sets import SCENE_SEED, spread
from models.vision_alignment.domain import cut_pair
from models.vision_alignment.patches import corners
from scenes.config import CONDITIONS

SOURCES = ('roadscene', 'train')
CLASSES = 4
HELD_OUT = 10  # every so many-th pair of the source is scored and not trained on
GENERATED = ('night', 'smoke', 'glare')


@dataclass(frozen=True)
class Domain:
    """Pairs that are scored together.

    Attributes:
        name: of the domain.
        pairs: of any sizes.
        own: whether training saw pairs of the same kind.
        classes: of the labels; 2 where they tell only that something is there, 0 without labels.
    """

    name: str
    pairs: tuple[LabelledPair, ...]
    own: bool
    classes: int


def read_source(data: Path, source: str) -> tuple[list[LabelledPair], list[LabelledPair]]:
    """Return the pairs of a source to train on, and those to score.

    Args:
        data: folder laid out as `../shared/data`.
        source: one of SOURCES.

    Raises:
        ValueError: another source.
        DatasetError: it can't be read.
    """
    if source not in SOURCES:
        msg = f'source {source!r}: choose from {", ".join(SOURCES)}'
        raise ValueError(msg)
    labelled = source == 'train'
    pairs = read_folder(data / source, CLASSES) if labelled else read_unlabelled(data / source)
    held = pairs[::HELD_OUT]
    kept = [pair for place, pair in enumerate(pairs) if place % HELD_OUT]
    return kept, read_folder(data / 'test', CLASSES) if labelled else held


def patches(pairs: Sequence[LabelledPair], side: int) -> list[LabelledPair]:
    """Cut pairs into all full squares of `side` pixels that do not overlap."""
    return [
        cut_pair(pair, x, y, side)
        for pair in pairs
        for x, y in corners(pair.thermal.shape, side, side)
    ]


def read_domains(
    data: Path, source: str, held: Sequence[LabelledPair], limit: int
) -> list[Domain]:
    """Return every domain: the source's own pairs first.

    Args:
        data: folder laid out as `../shared/data`.
        source: what is trained on.
        held: its pairs that are not.
        limit: pairs of each domain, spread evenly.

    Raises:
        DatasetError: one can't be read.
    """
    found = [(source, list(held), True, CLASSES if source == 'train' else 0)]
    if source != 'train':
        found.append(('test', read_folder(data / 'test', CLASSES), False, CLASSES))
    if source != 'roadscene':
        found.append(('roadscene', read_unlabelled(data / 'roadscene'), False, 0))
    found.append(('tno_salient', read_folder(data / 'tno_salient' / 'train', 2), False, 2))
    found.append(('video', read_video(data / 'video'), False, 0))
    drawn = generate(range(SCENE_SEED, SCENE_SEED + len(CONDITIONS)), limit)
    for condition in GENERATED:
        of_it = [pair for pair in drawn if pair.name.startswith(f'{condition}/')]
        found.append((f'generated, {condition}', of_it, False, CLASSES))
    return [
        Domain(name, tuple(spread(pairs, limit)), own, classes)
        for name, pairs, own, classes in found
    ]
