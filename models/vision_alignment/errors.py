"""What can be wrong with an alignment. Each error carries the values that its message names."""

from __future__ import annotations

from pathlib import Path


class AlignmentError(ValueError):
    """Base of everything that keeps patches from being aligned."""


class NoPatchesError(AlignmentError):
    """A domain whose pictures are all smaller than a patch.

    Attributes:
        folder: of the domain.
        pictures: how many were looked at.
        patch: side of a patch in pixels.
    """

    def __init__(self, folder: Path, pictures: int, patch: int) -> None:
        self.folder, self.pictures, self.patch = folder, pictures, patch
        super().__init__(
            f'{folder}: none of its {pictures} pictures is {patch} pixels wide and high: '
            'choose a smaller --patch'
        )


class TooFewPatchesError(AlignmentError):
    """More patches asked for than the external domain has.

    Attributes:
        folder: of the external domain.
        k: patches asked for.
        found: patches that it has.
    """

    def __init__(self, folder: Path, k: int, found: int) -> None:
        self.folder, self.k, self.found = folder, k, found
        super().__init__(
            f'{folder}: k is {k}, and it has {found} patches: '
            f'take --k {found} or less, or a smaller --stride'
        )


class OutputError(AlignmentError):
    """A file or folder to write to, or to read from, that is something else.

    Attributes:
        path: of it.
        found: what it is, in words.
        cure: what to do, in words.
    """

    def __init__(self, path: Path, found: str, cure: str) -> None:
        self.path, self.found, self.cure = path, found, cure
        super().__init__(f'{path} {found}: {cure}')
