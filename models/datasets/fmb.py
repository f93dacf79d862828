"""FMB (Liu et al., "SegMiF", ICCV 2023): 1500 road pairs of 600x800, 14 classes and background.

Layout: `{train,test}/{Visible,Infrared,Label}/NAME.png`; some copies have val/ too. Folder
names as in the configuration of github.com/LiJiahang617/Road-Former (configs/_base_/datasets/
mmfmb.py); the owners' repository (JinyuanLiu-CV/SegMiF) only links the archive. Ids 0 to 14 as
two public readers number them, background 0, Road 1 to Pole 14. The archive was not seen.
"""

from __future__ import annotations

from pathlib import Path

from models.datasets.reader import Listing, Reader, joined, partners

KINDS = ('Visible', 'Infrared', 'Label')


class FmbReader(Reader):
    """Reads FMB."""

    name = 'fmb'
    layout = '{train,test}/{Visible,Infrared,Label}/NAME.png'
    splits = ('train', 'val', 'test')
    classes = (
        'background', 'road', 'sidewalk', 'building', 'lamp', 'sign', 'vegetation', 'sky',
        'person', 'car', 'truck', 'bus', 'motorcycle', 'bicycle', 'pole',
    )  # fmt: skip
    # Trucks and buses are cars here: to a robot a bus is no background. Motorcycles are bikes.
    table = {  # noqa: RUF012 - annotated in the base class
        'road': 'background',
        'sidewalk': 'background',
        'building': 'background',
        'lamp': 'background',
        'sign': 'background',
        'vegetation': 'background',
        'sky': 'background',
        'pole': 'background',
        'truck': 'car',
        'bus': 'car',
        'motorcycle': 'bike',
        'bicycle': 'bike',
    }

    def matches(self, folder: Path) -> bool:  # noqa: D102
        return any(
            all((folder / split / kind).is_dir() for kind in KINDS) for split in self.splits
        )

    def listing(self, folder: Path, split: str) -> Listing:  # noqa: D102
        parts = self.parts(folder, split)
        if split == 'all':  # the owners' archive has no val/
            parts = tuple(part for part in parts if part != 'val' or (folder / part).is_dir())
        return joined([partners(folder / part, KINDS, f'{part}/') for part in parts])
