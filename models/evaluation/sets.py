"""The pairs that are scored: folders, generated scenes, groups by day and night, few of many."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from models.data import generate, read_folder
from models.datasets.pair import LabelledPair
from paif_ros.fusion.stand_in import stand_in_thermal, stand_in_visible

SCENE_SEED = 500  # of the first evaluation scene; training starts at 1000, the demo plays 0
CAMERAS = ('thermal', 'visible')
FILLS = ('black', 'grey', 'copy')
T = TypeVar('T')
_TIMES = {'D': 'day', 'N': 'night'}  # MFNet and MSRS end their names so: 00131D, 00949N


def read_sets(
    folders: Sequence[Path], scenes: int, classes: Sequence[str], limit: int | None = None
) -> dict[str, list[LabelledPair]]:
    """Read the pairs of every set, by its name.

    Args:
        folders: laid out {vi,ir,label}/NAME.
        scenes: number of generated scenes, 5 frames each; a set for each condition.
        classes: the network's.
        limit: pairs of each set, spread evenly; None takes all.

    Raises:
        OSError, ValueError: as `read_folder`, or a folder is named twice or holds no pairs.
    """
    sets: dict[str, list[LabelledPair]] = {}
    for folder in folders:
        if str(folder) in sets:
            msg = f'{folder} is named twice; every set counts once'
            raise ValueError(msg)
        sets[str(folder)] = read_folder(folder, classes)
        if not sets[str(folder)]:
            msg = f'{folder} holds no pairs: pictures go to vi/NAME, ir/NAME and label/NAME'
            raise ValueError(msg)
    if scenes:
        for pair in generate(range(SCENE_SEED, SCENE_SEED + scenes), 5):
            sets.setdefault(f'generated, {pair.name.split("/")[0]}', []).append(pair)
    return {name: spread(pairs, limit) for name, pairs in sets.items()}


def spread(items: Sequence[T], count: int | None) -> list[T]:
    """Return `count` items evenly spread over a list; all of it where that is None or more."""
    if count is None or len(items) <= count:
        return list(items)
    places = np.linspace(0, len(items) - 1, count).round().astype(int)
    return [items[place] for place in places]


def by_time(pairs: Sequence[LabelledPair]) -> dict[str, list[int]]:
    """Return the places of day and of night pairs, where names end in a digit and D or N."""
    groups: dict[str, list[int]] = {}
    for place, pair in enumerate(pairs):
        match = re.search(r'\d([DN])$', Path(pair.name).stem)
        if match:
            groups.setdefault(_TIMES[match[1]], []).append(place)
    return groups


def without(pair: LabelledPair, camera: str, fill: str) -> LabelledPair:
    """Return a pair as if one camera had stopped.

    Args:
        pair: both pictures.
        camera: which one of `CAMERAS` is missing.
        fill: what stands in for it: 'black' as in the node, 'grey' level 128 everywhere, 'copy'
            the other picture (luma of RGB for thermal, thermal in three channels for RGB).
    """
    if camera == 'thermal':
        filled = {
            'black': stand_in_thermal(pair.visible),
            'grey': np.full_like(pair.thermal, 128),
            'copy': cv2.cvtColor(pair.visible, cv2.COLOR_RGB2GRAY),
        }
        return replace(pair, thermal=np.asarray(filled[fill], np.uint8))
    filled = {
        'black': stand_in_visible(pair.thermal),
        'grey': np.full_like(pair.visible, 128),
        'copy': cv2.cvtColor(pair.thermal, cv2.COLOR_GRAY2RGB),
    }
    return replace(pair, visible=np.asarray(filled[fill], np.uint8))
