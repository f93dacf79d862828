"""Labelled pairs laid out {vi,ir,label}/NAME, as `../shared/data/{train,val,test}`.

The ids are the network's own; 255 is ignored. One split may be named, or the folder above.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from models.datasets.errors import LayoutError
from models.datasets.pair import LabelledPair
from models.datasets.reader import Listing, Reader, joined, partners

KINDS = ('vi', 'ir', 'label')


class PlainReader(Reader):
    """Reads {vi,ir,label}/NAME."""

    name = 'folder'
    layout = '{vi,ir,label}/NAME, or {train,val,test}/{vi,ir,label}/NAME'
    splits = ('train', 'val', 'test')
    own_ids = True

    def matches(self, folder: Path) -> bool:  # noqa: D102 - as the base class
        return any(
            all((place / kind).is_dir() for kind in KINDS)
            for place in (folder, *(folder / split for split in self.splits))
        )

    def listing(self, folder: Path, split: str) -> Listing:  # noqa: D102
        if not any((folder / part).is_dir() for part in self.splits):
            if split != 'all':
                found = f'it is one set, without a split {split!r}'
                raise LayoutError(folder, found, f'take all, or lay it out {self.layout}')
            return partners(folder, KINDS)
        parts = [p for p in self.parts(folder, split) if split != 'all' or (folder / p).is_dir()]
        return joined([partners(folder / part, KINDS, f'{part}/') for part in parts])


def read_folder(folder: Path, classes: int | Sequence[str]) -> list[LabelledPair]:
    """Read all pairs of a folder laid out as {vi,ir,label}/NAME.

    Args:
        folder: of the pairs.
        classes: the network's classes, or their number; ids are taken as they are.

    Raises:
        LayoutError, MissingPartner: a folder is missing, or a name lacks its partner; both are
            FileNotFoundErrors.
        DatasetError: a picture can't be read, sizes differ, or a label holds an id out of range.
    """
    return PlainReader().read(folder, 'all', classes)
