"""What all readers share: list the files, check them all, then read them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
from tqdm import tqdm

from models.datasets.class_map import class_map, lookup, target_names
from models.datasets.errors import (
    ClassMapError,
    DatasetError,
    LabelIdError,
    LayoutError,
    MissingPartner,
    raise_all,
)
from models.datasets.pair import IGNORE, Bytes, LabelledPair
from models.datasets.pictures import (
    COLOUR,
    GREY,
    IDS,
    check_sizes,
    pictures,
    read_grey,
    read_header,
    read_ids,
    read_rgb,
)


@dataclass(frozen=True)
class Sample:
    """The files of one pair.

    Attributes:
        name: unique in the data set, such as 'train/00633D'.
        visible: the RGB picture.
        thermal: the thermal picture; the same file where one file holds both.
        label: the label, or None.
        time: 'day' or 'night', or '' where the data set does not say.
    """

    name: str
    visible: Path
    thermal: Path
    label: Path | None
    time: str = ''


@dataclass(frozen=True)
class Listing:
    """What a folder holds.

    Attributes:
        samples: complete pairs, sorted by name.
        problems: what is wrong with the rest.
    """

    samples: tuple[Sample, ...]
    problems: tuple[DatasetError, ...] = ()


@dataclass(frozen=True)
class Summary:
    """What a checked data set holds.

    Attributes:
        pairs: their number.
        sizes: pairs of each (rows, columns).
        times: pairs by day, by night, and without a mark.
        pixels: label pixels of each target id, 255 included.
        names: of the target ids.
    """

    pairs: int
    sizes: Counter[tuple[int, int]]
    times: Counter[str]
    pixels: Counter[int]
    names: tuple[str, ...] = field(default=())


class Reader:
    """Reads one data set. A subclass says how its owner lays it out.

    Attributes:
        name: as in `NAME:/path`.
        layout: what is looked for, in words.
        splits: that it has beside 'all'.
        classes: its own classes, the place is the id; empty where it has no labels, or where its
            ids are the network's own.
        table: where classes go that the network may not have; see `class_map`.
        own_ids: its ids are the network's, so nothing is mapped.
    """

    name: ClassVar[str]
    layout: ClassVar[str]
    splits: ClassVar[tuple[str, ...]] = ()
    classes: ClassVar[tuple[str, ...]] = ()
    table: ClassVar[Mapping[str, str]] = {}
    own_ids: ClassVar[bool] = False

    def matches(self, folder: Path) -> bool:
        """Tell whether a folder looks like this data set."""
        raise NotImplementedError

    def listing(self, folder: Path, split: str) -> Listing:
        """List the pairs of a split, or of 'all'.

        Raises:
            LayoutError: a folder or list is missing, or the split is unknown.
        """
        raise NotImplementedError

    def sizes(self, sample: Sample) -> dict[str, tuple[int, int]]:
        """Return (rows, columns) of each picture, from their headers.

        Raises:
            UnreadablePicture: no picture.
            PixelFormatError: not the format that its role asks for.
        """
        roles = {'visible': (sample.visible, COLOUR), 'thermal': (sample.thermal, GREY)}
        found = {}
        for role, (path, modes) in roles.items():
            header = read_header(path, modes, f'the {role} picture')
            found[role] = (header.height, header.width)
        if sample.label is not None:
            header = read_header(sample.label, IDS, 'the label')
            found['label'] = (header.height, header.width)
        return found

    def pictures(self, sample: Sample) -> tuple[Bytes, Bytes]:
        """Read uint8 [H, W, 3] RGB and uint8 [H, W] thermal.

        Raises:
            DatasetError: as the functions of `models.datasets.pictures`.
        """
        return read_rgb(sample.visible), read_grey(sample.thermal)

    def ids(self, sample: Sample, size: tuple[int, int]) -> Bytes:
        """Read uint8 [H, W], the data set's own class ids; 255 everywhere without a label."""
        if sample.label is None:
            return np.full(size, IGNORE, np.uint8)
        return read_ids(sample.label)

    def mapping(
        self, folder: Path, classes: int | Sequence[str], table: Mapping[str, str] | None = None
    ) -> tuple[dict[int, int], tuple[str, ...]]:
        """Return the target of each id that a label may hold, and the targets' names.

        Raises:
            UnmappedClass: a class without a place.
            ClassMapError: a number of classes without names, or a table that does not fit.
        """
        if self.own_ids:
            if table:
                raise ClassMapError(folder, "its ids are the network's own", 'there is no --map')
            count = classes if isinstance(classes, int) else len(classes)
            names = tuple(map(str, range(count))) if isinstance(classes, int) else tuple(classes)
            return {number: number for number in (*range(count), IGNORE)}, names
        names = target_names(folder, classes, self.classes)
        return class_map(folder, self.classes, {**self.table, **(table or {})}, names), names

    def check(
        self,
        folder: Path,
        split: str,
        classes: int | Sequence[str],
        table: Mapping[str, str] | None = None,
    ) -> Summary:
        """Look at every header and every label.

        Raises:
            DatasetError: the one thing that is wrong.
            DatasetProblems: all that is wrong.
        """
        mapping, names = self.mapping(folder, classes, table)
        targets = lookup(mapping)
        listing = self.listing(folder, split)
        problems = list(listing.problems)
        sizes, times, pixels = Counter[tuple[int, int]](), Counter[str](), Counter[int]()
        for sample in tqdm(listing.samples, desc=f'checking {folder}', unit='pair', disable=None):
            try:
                found = self.sizes(sample)
                check_sizes(sample.visible, found)
                size = found['visible']
                ids = self.ids(sample, size)
                counts = np.bincount(ids.ravel(), minlength=256)
                odd = [int(number) for number in np.flatnonzero(counts) if number not in mapping]
                if odd:
                    raise LabelIdError(sample.label or sample.visible, odd, self._allowed(mapping))
            except DatasetError as err:
                problems.append(err)
                continue
            sizes[size] += 1
            times[sample.time] += 1
            for number in np.flatnonzero(counts):
                pixels[int(targets[number])] += int(counts[number])
        raise_all(folder, problems)
        return Summary(len(listing.samples), sizes, times, pixels, names)

    def _allowed(self, mapping: Mapping[int, int]) -> str:
        most = max(number for number in mapping if number != IGNORE)
        return f'allowed are 0 to {most} and {IGNORE}'

    def read(
        self,
        folder: Path,
        split: str,
        classes: int | Sequence[str],
        table: Mapping[str, str] | None = None,
    ) -> list[LabelledPair]:
        """Check everything, then read everything.

        Raises:
            DatasetError: as `check`, before anything is read; or pixels that can't be decoded.
        """
        self.check(folder, split, classes, table)
        targets = lookup(self.mapping(folder, classes, table)[0])
        return [
            pair
            for sample in self.listing(folder, split).samples
            for pair in self.pairs(sample, targets, folder)
        ]

    def pairs(self, sample: Sample, targets: Bytes, folder: Path) -> list[LabelledPair]:
        """Read the pair, or the pairs, of a sample.

        Args:
            sample: its files.
            targets: uint8 [256], target of each id.
            folder: of the data set.
        """
        visible, thermal = self.pictures(sample)
        ids = self.ids(sample, thermal.shape)
        name = f'{folder.name}/{sample.name}'
        return [LabelledPair(name, visible, thermal, np.asarray(targets[ids], np.uint8))]

    def parts(self, folder: Path, split: str) -> tuple[str, ...]:
        """Return the splits that a word stands for.

        Raises:
            LayoutError: an unknown split.
        """
        if split == 'all':
            return self.splits
        if split not in self.splits:
            allowed = ', '.join((*self.splits, 'all'))
            raise LayoutError(folder, f'no split {split!r} in {self.name}', f'allowed: {allowed}')
        return (split,)


def time_of(name: str) -> str:
    """Return 'day' or 'night' as MFNet and MSRS mark it, 00633D or 00881N, or ''."""
    marked = re.search(r'\d([DN])$', name)
    return {'D': 'day', 'N': 'night'}[marked[1]] if marked else ''


def partners(folder: Path, kinds: tuple[str, ...], prefix: str = '') -> Listing:
    """List a folder that holds one folder for each kind of picture, with equal names.

    Args:
        folder: of the data set, or of a split.
        kinds: folders of the visible, thermal and, if there is a third, label pictures.
        prefix: of the names, such as 'train/'.

    Raises:
        LayoutError: no visible pictures at all.
    """
    found = [pictures(folder / kind) for kind in kinds]
    if not found[0]:
        allowed = f'expected {{{",".join(kinds)}}}/NAME'
        raise LayoutError(folder, f'it has no pictures in {kinds[0]}/', allowed)
    names = [set(part) for part in found]
    whole = names[0].intersection(*names)
    lonely = sorted(set[str]().union(*names) - whole)
    problems: tuple[DatasetError, ...] = ()
    if lonely:
        some = ', '.join(repr(name) for name in lonely[:5])
        words = f'{len(lonely)} names lack a partner in {", ".join(kinds)}, such as {some}'
        problems = (MissingPartner(folder, words, 'each name must be in all of them'),)
    samples = [
        Sample(
            prefix + name,
            found[0][name],
            found[1][name],
            found[2][name] if len(kinds) > 2 else None,
            time_of(name),
        )
        for name in sorted(whole)
    ]
    return Listing(tuple(samples), problems)


def joined(listings: Sequence[Listing]) -> Listing:
    """Return several listings as one."""
    return Listing(
        tuple(sample for listing in listings for sample in listing.samples),
        tuple(problem for listing in listings for problem in listing.problems),
    )
