"""What can be wrong with a data set. Each error carries the path, what was found, what is allowed.

All are ValueErrors; where something is missing they are FileNotFoundErrors as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

SHOWN = 10  # problems that a message lists; the rest are counted


class DatasetError(ValueError):
    """Base of everything that is wrong with a data set.

    Attributes:
        path: of the file or folder.
        found: what it has, in words.
        allowed: what it should have, in words.
    """

    def __init__(self, path: Path, found: str, allowed: str) -> None:
        self.path, self.found, self.allowed = path, found, allowed
        super().__init__(f'{path}: {found}; {allowed}')


class LayoutError(DatasetError, FileNotFoundError):
    """A folder that is not laid out as the data set's owner lays it out."""


class MissingPartner(DatasetError, FileNotFoundError):  # noqa: N818 - named for what is wrong
    """Names that are in one folder or list, and not in the others."""


class UnreadablePicture(DatasetError):  # noqa: N818
    """A file that is no picture, is cut off, or is a film that OpenCV can't decode."""


class PixelFormatError(DatasetError):
    """Grey for colour, colour for grey, 16 bit for 8 bit, colours in place of class ids."""


class SizeMismatch(DatasetError):  # noqa: N818
    """Pictures of one pair that differ in height or width, or are too small or large to use."""


class LabelIdError(DatasetError):
    """A label with class ids that its data set does not have.

    Attributes:
        ids: those ids, in order.
    """

    def __init__(self, path: Path, ids: Sequence[int], allowed: str) -> None:
        self.ids = tuple(ids)
        super().__init__(path, f'ids {list(self.ids)}', allowed)


class ClassMapError(DatasetError):
    """Classes asked for, or a table of them, that do not fit the data set."""


class UnmappedClass(ClassMapError):  # noqa: N818
    """Classes of a data set that no class of the network stands for, and no table sends elsewhere.

    Attributes:
        names: those classes.
    """

    def __init__(self, path: Path, names: Sequence[str], targets: Sequence[str]) -> None:
        self.names = tuple(names)
        super().__init__(
            path,
            f'classes {", ".join(names)} have no place among {", ".join(targets)}',
            'map each, as in `--map bike=background`, or =ignore for pixels not to count',
        )


class AnnotationError(DatasetError):
    """Boxes in XML that can't be read, lie outside of the picture, or are of an unknown class."""


class DatasetProblems(DatasetError):  # noqa: N818
    """Several problems at once.

    Attributes:
        problems: all of them, in the order of the files.
    """

    def __init__(self, path: Path, problems: Sequence[DatasetError]) -> None:
        self.problems = tuple(problems)
        first = '\n  '.join(str(problem) for problem in problems[:SHOWN])
        rest = len(problems) - SHOWN
        more = f'\n  and {rest} more' if rest > 0 else ''
        super().__init__(
            path, f'{len(problems)} problems', f'repair these first:\n  {first}{more}'
        )


def raise_all(path: Path, problems: Sequence[DatasetError]) -> None:
    """Raise one problem as it is, several as `DatasetProblems`, none not at all."""
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise DatasetProblems(path, problems)
