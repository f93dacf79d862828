"""A data set as a stream of pictures, one sample at a time: it may be larger than the memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from models.datasets.class_map import lookup
from models.datasets.pair import Bytes, LabelledPair
from models.datasets.reader import Reader, Sample
from models.datasets.registry import find_reader
from models.vision_alignment.errors import NoPatchesError
from models.vision_alignment.patches import Patch, corners, cut

CLASSES = 4


@dataclass(frozen=True)
class Domain:
    """A part of a data set.

    Attributes:
        folder: of the data set.
        reader: of `models.datasets`.
        split: of it, or 'all'.
        samples: its files, in the order of their names.
        targets: uint8 [256], the network's class of each of its ids.
    """

    folder: Path
    reader: Reader
    split: str
    samples: tuple[Sample, ...]
    targets: Bytes

    @classmethod
    def open(cls, text: str, split: str = 'all', classes: int = CLASSES) -> Domain:
        """List a data set; nothing is read yet.

        Args:
            text: 'NAME:/path', or a path whose layout tells what it is (`models.datasets`).
            split: of it, or 'all'.
            classes: of the network; labels are mapped to them.

        Raises:
            DatasetError: no such folder, layout or split, a name without its partner, or classes
                that do not fit.
        """
        from models.datasets.errors import raise_all

        reader, folder = find_reader(text)
        listing = reader.listing(folder, split)
        raise_all(folder, listing.problems)
        targets = lookup(reader.mapping(folder, classes)[0])
        return cls(folder, reader, split, listing.samples, targets)

    def check(self, patch: int, stride: int, classes: int = CLASSES) -> int:
        """Look at every header and every label before hours are spent; count the patches.

        Args:
            patch: side in pixels.
            stride: from one corner to the next, in pixels.
            classes: of the network.

        Raises:
            DatasetError: all that is wrong with the files.
            NoPatchesError: all pictures are smaller than a patch.
        """
        summary = self.reader.check(self.folder, self.split, classes)
        found = sum(
            number * len(corners(size, patch, stride)) for size, number in summary.sizes.items()
        )
        if not found:
            raise NoPatchesError(self.folder, summary.pairs, patch)
        return found

    def pairs(self, number: int) -> list[LabelledPair]:
        """Read the pairs of a sample: one, but for films.

        Raises:
            DatasetError: a picture can't be read.
        """
        return self.reader.pairs(self.samples[number], self.targets, self.folder)

    def patches(
        self, number: int, patch: int, stride: int
    ) -> Iterator[tuple[Patch, LabelledPair]]:
        """Yield all full patches of a sample, each as a pair of its own.

        Args:
            number: of the sample.
            patch: side in pixels.
            stride: from one corner to the next, in pixels.
        """
        for frame, pair in enumerate(self.pairs(number)):
            for x, y in corners(pair.thermal.shape, patch, stride):
                yield Patch(number, frame, x, y), cut_pair(pair, x, y, patch)

    def files(self) -> list[tuple[str, int, int]]:
        """Return path, bytes and time of each visible picture: whether files are still those."""
        found = []
        for sample in self.samples:
            stat = sample.visible.stat()
            found.append((str(sample.visible.resolve()), stat.st_size, stat.st_mtime_ns))
        return found


def cut_pair(pair: LabelledPair, x: int, y: int, patch: int) -> LabelledPair:
    """Return a patch of a pair; its name is that of the pair with the corner's place."""
    pictures = (cut(one, x, y, patch) for one in (pair.visible, pair.thermal, pair.label))
    return LabelledPair(f'{pair.name}_x{x}_y{y}', *pictures)
