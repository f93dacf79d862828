"""CamVid (Brostow et al., 2008, 2009) as half-synthetic pairs: RGB and labels real, heat painted.

Layout: `{train,val,test}/{vi,label}/NAME`, SegNet's 11-class version at 480x360 as in
`../shared/data/README.md`, section 5. A folder of one split may be named too.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np

from models.datasets.paint import BICYCLIST, CAMVID, CAR, PEDESTRIAN, UNLABELLED, paint_thermal
from models.datasets.pair import IGNORE, LabelledPair
from models.datasets.pictures import listed, read_label, read_rgb, same_size

SPLITS = ('train', 'val', 'test')


def target_ids(classes: int) -> dict[int, int]:
    """Return the id that each of CamVid's becomes: 1 car, 2 person, 3 bike, 255 unknown, else 0.

    Args:
        classes: of the network; ids it does not have become background.
    """
    table = dict.fromkeys(range(len(CAMVID)), 0)
    wanted = {CAR: 1, PEDESTRIAN: 2, BICYCLIST: 3}
    return table | {k: v for k, v in wanted.items() if v < classes} | {UNLABELLED: IGNORE}


def read_camvid(
    folder: Path, classes: int = 4, *, seed: int = 0, paintings: int = 1
) -> list[LabelledPair]:
    """Read CamVid and paint a thermal picture for each frame.

    Args:
        folder: of a split ({vi,label}), or of all of them.
        classes: of the network, 2 or more: background, car, person, bike.
        seed: of the paintings; they depend on it, the frame's name and the painting's number.
        paintings: thermal pictures of each frame; they share the RGB and label arrays.

    Returns:
        Pairs named 'camvid/SPLIT/NAME#PAINTING'.

    Raises:
        ValueError: an argument out of range, a bad picture, sizes that differ, an unknown id.
        FileNotFoundError: a folder or a partner is missing.
    """
    if classes < 2 or paintings < 1 or seed < 0:
        msg = (
            f'classes {classes}, paintings {paintings}, seed {seed}: '
            'allowed are 2 or more, 1 or more, 0 or more'
        )
        raise ValueError(msg)
    parts = [folder] if (folder / 'vi').is_dir() else [folder / name for name in SPLITS]
    lookup = np.zeros(256, np.uint8)
    for source, target in target_ids(classes).items():
        lookup[source] = target
    pairs = []
    for part in parts:
        for name, (vi, mask) in listed(part, ('vi', 'label')).items():
            visible, ids = read_rgb(vi), read_label(mask, range(len(CAMVID)))
            same_size(vi, visible=visible, label=ids)
            label = lookup[ids]
            for number in range(paintings):
                rng = np.random.default_rng([seed, number, zlib.crc32(name.encode())])
                thermal = paint_thermal(ids, visible, rng)
                where = f'camvid/{part.name}/{name}#{number}'
                pairs.append(LabelledPair(where, visible, thermal, label))
    return pairs
