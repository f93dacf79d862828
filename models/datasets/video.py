"""Films NAME_visible.mp4 and NAME_infrared.mp4 as pairs without labels, as M3SVD names them.

Source of the names: github.com/Linfeng-Tang/M3SVD, of which `../shared/data/video` holds three.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from models.datasets.errors import (
    DatasetError,
    LayoutError,
    MissingPartner,
    UnreadablePicture,
    raise_all,
)
from models.datasets.pair import IGNORE, Bytes, LabelledPair
from models.datasets.pictures import check_sizes
from models.datasets.reader import Listing, Reader, Sample, Summary

ENDINGS = ('_visible.mp4', '_infrared.mp4')
EVERY = 10  # frames from one pair to the next: a third of a second


@dataclass(frozen=True)
class VideoReader(Reader):
    """Reads films.

    Attributes:
        every: take each so many-th frame; frame i of one belongs to frame i of the other, and what
            the longer film has over is left out.
    """

    every: int = EVERY

    name = 'video'
    layout = 'NAME_visible.mp4 with NAME_infrared.mp4'

    def matches(self, folder: Path) -> bool:  # noqa: D102
        return any(any(folder.glob(f'*{end}')) for end in ENDINGS)

    def listing(self, folder: Path, split: str) -> Listing:  # noqa: D102
        self.parts(folder, split)
        seen, hot = ({p.name.removesuffix(e) for p in folder.glob(f'*{e}')} for e in ENDINGS)
        if not seen | hot:
            raise LayoutError(folder, 'it has no films', f'expected {self.layout}')
        lonely = sorted(seen ^ hot)
        problems: tuple[DatasetError, ...] = ()
        if lonely:
            words = f'{len(lonely)} films lack a partner, such as {lonely[0]!r}'
            problems = (MissingPartner(folder, words, f'expected {self.layout}'),)
        samples = (
            Sample(name, folder / (name + ENDINGS[0]), folder / (name + ENDINGS[1]), None)
            for name in sorted(seen & hot)
        )
        return Listing(tuple(samples), problems)

    def sizes(self, sample: Sample) -> dict[str, tuple[int, int]]:  # noqa: D102
        return {'visible': _shape(sample.visible)[:2], 'thermal': _shape(sample.thermal)[:2]}

    def check(
        self,
        folder: Path,
        split: str,
        classes: int | Sequence[str],
        table: Mapping[str, str] | None = None,
    ) -> Summary:
        """Look at each film's header; pairs are counted from it."""
        listing = self.listing(folder, split)
        problems, sizes = list(listing.problems), Counter[tuple[int, int]]()
        for sample in listing.samples:
            try:
                check_sizes(sample.visible, self.sizes(sample))
            except DatasetError as err:
                problems.append(err)
                continue
            frames = min(_shape(path)[2] for path in (sample.visible, sample.thermal))
            sizes[_shape(sample.visible)[:2]] += -(-frames // self.every)
        raise_all(folder, problems)
        pixels = sum(rows * cols * count for (rows, cols), count in sizes.items())
        total = sum(sizes.values())
        return Summary(total, sizes, Counter({'': total}), Counter({IGNORE: pixels}))

    def pairs(self, sample: Sample, targets: Bytes, folder: Path) -> list[LabelledPair]:
        """Read the frames of a pair of films, named 'FOLDER/NAME/FRAME'."""
        films = (_frames(path, self.every) for path in (sample.visible, sample.thermal))
        pairs = []
        for number, (bgr, hot) in enumerate(zip(*films, strict=False)):  # see `every`
            visible = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
            thermal = np.asarray(cv2.cvtColor(hot, cv2.COLOR_BGR2GRAY), np.uint8)
            name = f'{folder.name}/{sample.name}/{number * self.every}'
            label = np.full(thermal.shape, IGNORE, np.uint8)
            pairs.append(LabelledPair(name, visible, thermal, label))
        return pairs

    def mapping(
        self, folder: Path, classes: int | Sequence[str], table: Mapping[str, str] | None = None
    ) -> tuple[dict[int, int], tuple[str, ...]]:
        """Return that there is nothing to map."""
        return {IGNORE: IGNORE}, ()


def _film(path: Path) -> cv2.VideoCapture:
    film = cv2.VideoCapture(str(path))
    if not film.isOpened():
        film.release()
        raise UnreadablePicture(path, 'no film that OpenCV reads', 'expected H.264 in MP4, or so')
    return film


def _shape(path: Path) -> tuple[int, int, int]:
    """Return rows, columns and frames as the film's header gives them."""
    film = _film(path)
    try:
        keys = (cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_COUNT)
        rows, cols, frames = (int(film.get(key)) for key in keys)
        return rows, cols, frames
    finally:
        film.release()


def _frames(path: Path, every: int) -> Iterator[Bytes]:
    """Yield every so many frames of a film, uint8 [H, W, 3] BGR."""
    film = _film(path)
    try:
        number = 0
        while film.grab():
            if number % every == 0:
                good, frame = film.retrieve()
                if not good:
                    raise UnreadablePicture(path, f'frame {number} is broken', 'make it again')
                yield np.asarray(frame, np.uint8)
            number += 1
    finally:
        film.release()


def read_video(folder: Path, every: int = EVERY) -> list[LabelledPair]:
    """Read frames of films NAME_visible.mp4 and NAME_infrared.mp4.

    Args:
        folder: of the films.
        every: take each so many-th frame, 1 or more.

    Returns:
        Pairs named 'FOLDER/NAME/FRAME' whose label is 255 everywhere.

    Raises:
        LayoutError, MissingPartner: no films, or one lacks its partner.
        DatasetError: a film can't be read, sizes differ, or `every` is below 1.
    """
    if every < 1:
        raise DatasetError(folder, f'every is {every}', 'allowed are 1 and more')
    return VideoReader(every=every).read(folder, 'all', 1)
