"""One entry for all data sets: `NAME:/path`, or a path whose layout tells what it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from models.datasets.camvid import CamvidReader
from models.datasets.errors import LayoutError
from models.datasets.fmb import FmbReader
from models.datasets.m3fd import M3fdBoxesReader, M3fdReader
from models.datasets.mfnet import MfnetReader
from models.datasets.msrs import MsrsReader
from models.datasets.pair import LabelledPair
from models.datasets.plain import PlainReader
from models.datasets.reader import Reader
from models.datasets.roadscene import RoadSceneReader
from models.datasets.unlabelled import UnlabelledReader
from models.datasets.video import VideoReader


def readers() -> tuple[Reader, ...]:
    """Return a reader of each kind; where several fit a folder, the first is taken."""
    return (
        MfnetReader(),
        MsrsReader(),
        FmbReader(),
        M3fdReader(),
        M3fdBoxesReader(),
        RoadSceneReader(),
        PlainReader(),
        CamvidReader(),
        UnlabelledReader(),
        VideoReader(),
    )


def find_reader(text: str) -> tuple[Reader, Path]:
    """Return the reader and the folder that a text names.

    Args:
        text: 'mfnet:/path', with a name of `readers()`, or a path alone.

    Raises:
        LayoutError: no such folder, or no layout fits; the message lists what was looked for.
    """
    known = {reader.name: reader for reader in readers()}
    name, colon, rest = text.partition(':')
    named = bool(colon) and not Path(text).exists()
    folder = Path(rest if named else text).expanduser()
    if named and name not in known:
        raise LayoutError(folder, f'unknown data set {name!r}', f'allowed: {", ".join(known)}')
    if not folder.is_dir():
        raise LayoutError(folder, 'no such folder', 'expected a folder, or NAME:FOLDER')
    if named:
        return known[name], folder
    for reader in known.values():
        if reader.matches(folder):
            return reader, folder
    looked = '\n'.join(f'  {reader.name}: {reader.layout}' for reader in known.values())
    raise LayoutError(folder, 'its layout is none of those known', f'looked for:\n{looked}')


def open_dataset(
    text: str,
    split: str = 'all',
    classes: int | Sequence[str] = 4,
    table: Mapping[str, str] | None = None,
) -> list[LabelledPair]:
    """Check a data set whole, then read it.

    Args:
        text: 'NAME:/path', or a path whose layout tells what it is.
        split: 'train', 'val' or 'test' where the data set has it, or 'all'.
        classes: names of the network's classes in the order of their ids; or their number, 1 to 4
            for the project's own, or as many as the data set has for its own.
        table: from classes of the data set to classes of the network, 'background' or 'ignore', on
            top of the data set's table. Classes without a place are an error.

    Returns:
        Pairs sorted by split and name; ids are those of `classes`, 255 where unknown.

    Raises:
        DatasetError: one of its kinds, before anything is returned.
    """
    reader, folder = find_reader(text)
    return reader.read(folder, split, classes, table)
