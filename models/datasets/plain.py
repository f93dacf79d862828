"""Labelled pairs laid out {vi,ir,label}/NAME, as `../shared/data/{train,val,test}`."""

from __future__ import annotations

from pathlib import Path

from models.datasets.pair import IGNORE, LabelledPair
from models.datasets.pictures import listed, read_grey, read_label, read_rgb, same_size


def read_folder(folder: Path, classes: int) -> list[LabelledPair]:
    """Read all pairs of a folder laid out as {vi,ir,label}/NAME.

    Raises:
        FileNotFoundError: a folder is missing, or a name lacks its partner.
        ValueError: a picture can't be read, sizes differ, or a label holds an id out of range.
    """
    pairs = []
    for name, (vi, ir, mask) in listed(folder, ('vi', 'ir', 'label')).items():
        visible, thermal = read_rgb(vi), read_grey(ir)
        label = read_label(mask, {*range(classes), IGNORE})
        same_size(vi, visible=visible, thermal=thermal, label=label)
        pairs.append(LabelledPair(f'{folder.name}/{name}', visible, thermal, label))
    return pairs
