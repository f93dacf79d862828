"""CamVid (Brostow et al., 2008, 2009) as half-synthetic pairs: RGB and labels real, heat painted.

Layout: `{train,val,test}/{vi,label}/NAME`, SegNet's 11-class version at 480x360 as in
`../shared/data/README.md`, section 5. A folder of one split may be named too. A bicyclist of
CamVid is rider and bike in one; here that is all bike.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.datasets.errors import DatasetError, SizeMismatch
from models.datasets.paint import CAMVID, paint_thermal
from models.datasets.pair import Bytes, LabelledPair
from models.datasets.pictures import COLOUR, IDS, read_header, read_ids, read_rgb
from models.datasets.reader import Listing, Reader, Sample, joined, partners
from scenes.config import MAX_SIDE, MIN_SIDE

KINDS = ('vi', 'label')


@dataclass(frozen=True)
class CamvidReader(Reader):
    """Reads CamVid and paints temperatures.

    Attributes:
        seed: of the paintings; they depend on it, the frame's name and the painting's number.
        paintings: thermal pictures of each frame; they share the RGB and label arrays.
    """

    seed: int = 0
    paintings: int = 1

    name = 'camvid'
    layout = '{train,val,test}/{vi,label}/NAME, without ir/: temperatures are painted'
    splits = ('train', 'val', 'test')
    classes = CAMVID
    table = {  # noqa: RUF012
        'sky': 'background',
        'building': 'background',
        'pole': 'background',
        'road': 'background',
        'pavement': 'background',
        'tree': 'background',
        'sign': 'background',
        'fence': 'background',
        'pedestrian': 'person',
        'bicyclist': 'bike',
        'unlabelled': 'ignore',
    }

    def matches(self, folder: Path) -> bool:  # noqa: D102
        return any(
            (place / 'label').is_dir() and (place / 'vi').is_dir() and not (place / 'ir').is_dir()
            for place in (folder, *(folder / split for split in self.splits))
        )

    def listing(self, folder: Path, split: str) -> Listing:  # noqa: D102
        parts = [folder / part for part in self.parts(folder, split)]
        if (folder / 'vi').is_dir():
            parts = [folder]
        whole = joined([partners(part, KINDS, f'{part.name}/') for part in parts])
        # partners() takes the second kind for the thermal picture; here it is the label.
        samples = (Sample(s.name, s.visible, s.visible, s.thermal) for s in whole.samples)
        return Listing(tuple(samples), whole.problems)

    def sizes(self, sample: Sample) -> dict[str, tuple[int, int]]:  # noqa: D102
        visible = read_header(sample.visible, COLOUR, 'the visible picture')
        label = read_header(_label(sample), IDS, 'the label')
        if not min(visible.height, visible.width) >= MIN_SIDE:
            found = f'{visible.height}x{visible.width} (rows x columns)'
            raise SizeMismatch(sample.visible, found, f'allowed: sides from {MIN_SIDE} pixels')
        if max(visible.height, visible.width) > MAX_SIDE:
            found = f'{visible.height}x{visible.width} (rows x columns)'
            raise SizeMismatch(sample.visible, found, f'allowed: sides up to {MAX_SIDE} pixels')
        return {
            'visible': (visible.height, visible.width),
            'label': (label.height, label.width),
        }

    def pairs(self, sample: Sample, targets: Bytes, folder: Path) -> list[LabelledPair]:
        """Paint the pairs of a frame, named 'camvid/SPLIT/NAME#PAINTING'."""
        visible, ids = read_rgb(sample.visible), read_ids(_label(sample))
        label = np.asarray(targets[ids], np.uint8)
        key = zlib.crc32(sample.visible.stem.encode())
        return [
            LabelledPair(
                f'camvid/{sample.name}#{number}',
                visible,
                paint_thermal(ids, visible, np.random.default_rng([self.seed, number, key])),
                label,
            )
            for number in range(self.paintings)
        ]


def _label(sample: Sample) -> Path:
    return sample.label or sample.visible


def read_camvid(
    folder: Path, classes: int | Sequence[str] = 4, *, seed: int = 0, paintings: int = 1
) -> list[LabelledPair]:
    """Read CamVid and paint a thermal picture for each frame.

    Args:
        folder: of a split ({vi,label}), or of all of them.
        classes: the network's, or their number: 4 are background, car, person, bike.
        seed: of the paintings, 0 or more; they depend on it, the frame's name and the number.
        paintings: thermal pictures of each frame, 1 or more; they share RGB and label arrays.

    Returns:
        Pairs named 'camvid/SPLIT/NAME#PAINTING'.

    Raises:
        DatasetError: seed or paintings out of range; all that is wrong with the files.
    """
    if paintings < 1 or seed < 0:
        found = f'paintings {paintings}, seed {seed}'
        raise DatasetError(folder, found, 'allowed are 1 or more, 0 or more')
    return CamvidReader(seed=seed, paintings=paintings).read(folder, 'all', classes)
