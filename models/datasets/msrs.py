"""MSRS (Tang et al., "PIAFusion", Information Fusion 2022): 1444 road pairs, 9 classes.

Layout, from its repository github.com/Linfeng-Tang/MSRS (README.md and visualize.py, which also
gives the ids): `{train,test}/{vi,ir,Segmentation_labels}/NAME.png`, 480x640. The last letter of a
name is D by day and N by night. `detection/` there holds boxes of 80 more pairs; it is not read.
"""

from __future__ import annotations

from pathlib import Path

from models.datasets.mfnet import CLASSES, TABLE
from models.datasets.reader import Listing, Reader, joined, partners

KINDS = ('vi', 'ir', 'Segmentation_labels')


class MsrsReader(Reader):
    """Reads MSRS; the ids are MFNet's."""

    name = 'msrs'
    layout = '{train,test}/{vi,ir,Segmentation_labels}/NAME.png'
    splits = ('train', 'test')
    classes = CLASSES
    table = TABLE

    def matches(self, folder: Path) -> bool:  # noqa: D102
        return any((folder / split / KINDS[2]).is_dir() for split in self.splits)

    def listing(self, folder: Path, split: str) -> Listing:  # noqa: D102
        parts = self.parts(folder, split)
        return joined([partners(folder / part, KINDS, f'{part}/') for part in parts])
