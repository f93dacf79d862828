"""The pairs that a recipe trains on, by the names that recipes use."""

from __future__ import annotations

from pathlib import Path

from models.data import LabelledPair, generate, read_folder
from models.datasets.camvid import read_camvid
from models.datasets.unlabelled import read_unlabelled
from models.datasets.video import read_video
from models.recipe import Recipe
from models.vision_alignment import read_aligned

SCENE_SEED = 1000  # of the first training scene; the demo and the evaluation have smaller ones
VIDEO_STEP = 15  # frames between two that are trained on: neighbours are nearly equal

Sources = dict[str, list[LabelledPair]]


def read_sources(recipe: Recipe, data: Path | None, classes: int) -> Sources:
    """Read or draw every source of pairs that a recipe names.

    'pairs' is DATA/train, 'camvid' DATA/camvid with painted thermal pictures, 'roadscene' and
    'video' are unlabelled, 'scenes' are generated; 'aligned' are the patches of the training set
    that `recipe.aligned` names.

    Args:
        recipe: its shares name the sources.
        data: folder with the others beside each other, or None where only scenes are named.
        classes: of the network.

    Raises:
        ValueError: a source is unknown, or needs `data`; what the readers raise.
        FileNotFoundError: a folder is missing.
    """
    found: Sources = {}
    for name in dict(recipe.shares) | dict(recipe.unlabelled):
        if name == 'scenes':
            seeds = range(SCENE_SEED, SCENE_SEED + recipe.scenes)
            found[name] = generate(seeds, recipe.frames)
            continue
        if data is None:
            msg = f'the recipe takes {name!r} pairs: name their folder with --data'
            raise ValueError(msg)
        if name == 'pairs':
            found[name] = read_folder(data / 'train', classes)
        elif name == 'camvid':
            found[name] = read_camvid(data / 'camvid', classes, seed=recipe.seed, paintings=2)
        elif name == 'roadscene':
            found[name] = read_unlabelled(data / 'roadscene')
        elif name == 'video':
            found[name] = read_video(data / 'video', every=VIDEO_STEP)
        elif name == 'aligned':
            found[name] = read_aligned(data / recipe.aligned, classes)
        else:
            msg = (
                f'source {name!r} of the recipe: '
                'choose from pairs, camvid, roadscene, video, aligned and scenes'
            )
            raise ValueError(msg)
    empty = [name for name, pairs in found.items() if not pairs]
    if empty:
        msg = f'sources {empty} hold no pairs'
        raise ValueError(msg)
    return found


def drawn(
    shares: tuple[tuple[str, float], ...], sources: Sources
) -> tuple[list[list[LabelledPair]], list[float]]:
    """Return the sources of some shares, and the shares scaled to sum to 1."""
    total = sum(share for _, share in shares)
    return [sources[name] for name, _ in shares], [share / total for _, share in shares]
