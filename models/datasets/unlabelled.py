"""Pairs without labels, for the fusion loss: the label is 255 everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from models.datasets.pair import IGNORE, Bytes, LabelledPair
from models.datasets.pictures import listed, read_grey, read_rgb, same_size

ENDINGS = ('_visible.mp4', '_infrared.mp4')


def _pair(name: str, visible: Bytes, thermal: Bytes) -> LabelledPair:
    return LabelledPair(name, visible, thermal, np.full(thermal.shape, IGNORE, np.uint8))


def read_unlabelled(folder: Path) -> list[LabelledPair]:
    """Read all pairs of a folder laid out {vi,ir}/NAME; sizes may vary between pairs.

    Raises:
        FileNotFoundError: no pictures, or a name lacks its partner.
        ValueError: a picture can't be read, or the two of a pair differ in size.
    """
    pairs = []
    for name, (vi, ir) in listed(folder, ('vi', 'ir')).items():
        visible, thermal = read_rgb(vi), read_grey(ir)
        same_size(vi, visible=visible, thermal=thermal)
        pairs.append(_pair(f'{folder.name}/{name}', visible, thermal))
    return pairs


def _frames(path: Path, every: int) -> Iterator[Bytes]:
    """Yield every so many frames of a film, uint8 [H, W, 3] BGR."""
    film = cv2.VideoCapture(str(path))
    try:
        if not film.isOpened():
            msg = f'{path} is not a film that OpenCV reads'
            raise ValueError(msg)
        number = 0
        while film.grab():
            if number % every == 0:
                good, frame = film.retrieve()
                if not good:
                    msg = f'{path}: frame {number} is broken'
                    raise ValueError(msg)
                yield np.asarray(frame, np.uint8)
            number += 1
    finally:
        film.release()


def read_video(folder: Path, every: int = 10) -> list[LabelledPair]:
    """Read frames of films NAME_visible.mp4 and NAME_infrared.mp4, as M3SVD names them.

    Args:
        folder: of the films.
        every: take each so many-th frame, 1 or more; frame i of one belongs to frame i of the
            other, and what the longer film has over is left out.

    Returns:
        Pairs named 'FOLDER/NAME/FRAME' whose label is 255 everywhere.

    Raises:
        FileNotFoundError: no films, or one lacks its partner.
        ValueError: a film can't be read, sizes differ, or `every` is below 1.
    """
    if every < 1:
        msg = f'every is {every}, allowed are 1 and more'
        raise ValueError(msg)
    names = [{path.name.removesuffix(end) for path in folder.glob(f'*{end}')} for end in ENDINGS]
    if not (names[0] or names[1]) or names[0] != names[1]:
        odd = ', '.join(sorted(names[0] ^ names[1])) or 'no films at all'
        msg = f'{folder}: expected NAME{ENDINGS[0]} with NAME{ENDINGS[1]}; found {odd}'
        raise FileNotFoundError(msg)
    pairs = []
    for name in sorted(names[0]):
        films = (_frames(folder / f'{name}{end}', every) for end in ENDINGS)
        for index, (bgr, hot) in enumerate(zip(*films, strict=False)):  # lengths may differ by one
            visible = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
            thermal = np.asarray(cv2.cvtColor(hot, cv2.COLOR_BGR2GRAY), np.uint8)
            same_size(folder / name, visible=visible, thermal=thermal)
            pairs.append(_pair(f'{folder.name}/{name}/{index * every}', visible, thermal))
    return pairs
