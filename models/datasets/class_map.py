"""From a data set's class ids to the network's: by name, by a written table, or an error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from models.datasets.errors import ClassMapError, UnmappedClass
from models.datasets.pair import IGNORE, Bytes
from scenes.config import CLASSES

IGNORED = 'ignore'  # in a table: pixels that no loss and no score counts
BACKGROUND = 'background'


def target_names(path: Path, classes: int | Sequence[str], own: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the network's classes.

    Args:
        path: of the data set, for the message.
        classes: the names themselves, or their number: 1 to 4 are the project's own (background,
            car, person, bike), and as many as the data set has are the data set's own.
        own: the data set's classes.

    Raises:
        ClassMapError: a number that is neither.
    """
    if not isinstance(classes, int):
        return tuple(classes)
    if 1 <= classes <= len(CLASSES):
        return CLASSES[:classes]
    if classes == len(own):
        return tuple(own)
    found = f'{classes} classes without names'
    allowed = f'allowed: 1 to {len(CLASSES)}, {len(own)} (its own), or a list of names'
    raise ClassMapError(path, found, allowed)


def class_map(
    path: Path, own: Sequence[str], table: Mapping[str, str], targets: Sequence[str]
) -> dict[int, int]:
    """Return the target id of each of a data set's ids. No class is dropped without being told.

    A class goes to the target of its name; else to the target that the table names for it; else,
    where the table says so, to background or to the ignored id.

    Args:
        path: of the data set, for the message.
        own: names of its classes; the place is the id.
        table: from its names to targets, 'background' or 'ignore'.
        targets: names of the network's classes; the place is the id.

    Raises:
        UnmappedClass: classes that have no place.
        ClassMapError: the table names a class that the data set does not have.
    """
    odd = sorted(set(table) - set(own))
    if odd:
        raise ClassMapError(path, f'no classes {", ".join(odd)}', f'it has {", ".join(own)}')
    places = {name: number for number, name in enumerate(targets)}
    places |= {IGNORED: IGNORE}
    places.setdefault(BACKGROUND, 0)
    found, lost = {IGNORE: IGNORE}, []
    for number, name in enumerate(own):
        place = places.get(name, places.get(table.get(name, '')))
        if place is None:
            lost.append(name)
        else:
            found[number] = place
    if lost:
        raise UnmappedClass(path, lost, targets)
    return found


def lookup(mapping: Mapping[int, int]) -> Bytes:
    """Return a class map as uint8 [256] to index with ids."""
    table = np.full(256, IGNORE, np.uint8)
    for source, target in mapping.items():
        table[source] = target
    return table
