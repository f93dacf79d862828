"""Pairs without labels, {vi,ir}/NAME, for the fusion loss: the label is 255 everywhere."""

from __future__ import annotations

from pathlib import Path

from models.datasets.pair import LabelledPair
from models.datasets.reader import Listing, Reader, partners

KINDS = ('vi', 'ir')


class UnlabelledReader(Reader):
    """Reads {vi,ir}/NAME; sizes may vary between pairs."""

    name = 'unlabelled'
    layout = '{vi,ir}/NAME'

    def matches(self, folder: Path) -> bool:  # noqa: D102
        return all((folder / kind).is_dir() for kind in KINDS)

    def listing(self, folder: Path, split: str) -> Listing:  # noqa: D102
        self.parts(folder, split)
        return partners(folder, KINDS)


def read_unlabelled(folder: Path) -> list[LabelledPair]:
    """Read all pairs of a folder laid out {vi,ir}/NAME; sizes may vary between pairs.

    Raises:
        LayoutError, MissingPartner: no pictures, or a name lacks its partner.
        DatasetError: a picture can't be read, or the two of a pair differ in size.
    """
    return UnlabelledReader().read(folder, 'all', 1)
