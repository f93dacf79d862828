"""The contact sheet and the frames of the film."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from demo.moments import Moment
from scenes.bag import Section

COLUMNS = ('colour camera', 'thermal camera', 'fused', 'fused with classes')
SHEET_WIDTH = 320  # of one picture on the sheet
MARGIN = 24  # rows of the sheet's heading
FONT = cv2.FONT_HERSHEY_SIMPLEX
WHITE, BLACK, RED = (255, 255, 255), (0, 0, 0), (255, 90, 80)

Picture = NDArray[np.uint8]


def choose(
    sections: Sequence[Section], fused: Collection[int], per_section: int = 2
) -> tuple[int, ...]:
    """Return the numbers of the pairs for the contact sheet, evenly spread over each section.

    Args:
        sections: the stretches of the run.
        fused: numbers of the pairs that have a result; the nearest of them are taken.
        per_section: how many of each stretch; a stretch without any result gives none.
    """
    chosen: list[int] = []
    for part in sections:
        there = sorted(i for i in fused if part.first <= i < part.first + part.count)
        for number in range(per_section):
            aim = part.first + (number + 0.5) * part.count / per_section
            left = [index for index in there if index not in chosen]
            if left:
                chosen.append(min(left, key=lambda index: abs(index - aim)))
    return tuple(sorted(chosen))


def sheet_row(moment: Moment, rate: float) -> Picture:
    """Return colour, thermal, fused and overlay side by side, labelled, uint8 [h, 1280, 3] RGB.

    Args:
        moment: what to show.
        rate: pairs per second, for the time in the label.
    """
    height, width = moment.visible.shape[:2]
    size = (SHEET_WIDTH, max(1, round(SHEET_WIDTH * height / width)))
    cells = [cv2.resize(p, size, interpolation=cv2.INTER_AREA) for p in _four(moment, None)]
    write(cells[0], f'{moment.name}  {moment.index / rate:.1f} s', (6, 16))
    return np.asarray(np.hstack(cells), np.uint8)


def sheet(rows: Sequence[Picture]) -> Picture:
    """Return the rows below a heading, uint8 RGB.

    Raises:
        ValueError: there are no rows.
    """
    if not rows:
        raise ValueError('no pair was fused, so there is nothing to show')
    heading = np.full((MARGIN, rows[0].shape[1], 3), 32, np.uint8)
    for number, text in enumerate(COLUMNS):
        write(heading, text, (number * SHEET_WIDTH + 6, 17))
    return np.asarray(np.vstack([heading, *rows]), np.uint8)


def mosaic(moment: Moment, last: Moment | None, rate: float) -> Picture:
    """Return one frame of the film: colour and thermal above fused and overlay, uint8 RGB.

    Args:
        moment: the pair that is shown.
        last: the last pair with a result, shown below where this one was dropped.
        rate: pairs per second, for the time in the label.

    Returns:
        Even numbers of rows and columns, as H.264 wants them.
    """
    top_left, top_right, low_left, low_right = (part.copy() for part in _four(moment, last))
    write(top_left, f'{COLUMNS[0]}   {moment.name}   {moment.index / rate:.1f} s', (8, 20))
    write(top_right, COLUMNS[1], (8, 20))
    write(low_left, COLUMNS[2], (8, 20))
    write(low_right, COLUMNS[3], (8, 20))
    if moment.fused is None:
        text = 'no result yet' if last is None else f'result of {_ago(moment, last, rate)} ago'
        write(low_left, text, (8, 42), RED)
    whole = np.vstack([np.hstack([top_left, top_right]), np.hstack([low_left, low_right])])
    return np.ascontiguousarray(whole[: whole.shape[0] // 2 * 2, : whole.shape[1] // 2 * 2])


def write(
    picture: Picture, text: str, at: tuple[int, int], color: tuple[int, int, int] = WHITE
) -> None:
    """Write text with a dark rim, so that it can be read on anything; `at` is (column, row)."""
    for right, down in ((-1, 0), (1, 0), (0, -1), (0, 1)):  # a thicker pen would be wider, too
        place = (at[0] + right, at[1] + down)
        cv2.putText(picture, text, place, FONT, 0.45, BLACK, 1, cv2.LINE_AA)
    cv2.putText(picture, text, at, FONT, 0.45, color, 1, cv2.LINE_AA)


def _ago(moment: Moment, last: Moment, rate: float) -> str:
    return f'{(moment.index - last.index) / rate:.1f} s'


def _four(moment: Moment, last: Moment | None) -> tuple[Picture, Picture, Picture, Picture]:
    empty = np.full_like(moment.visible, 24)
    source = moment if moment.fused is not None or last is None else last
    grey = np.asarray(cv2.cvtColor(moment.thermal, cv2.COLOR_GRAY2RGB), np.uint8)
    fused = empty if source.fused is None else source.fused
    overlay = empty if source.overlay is None else source.overlay
    return moment.visible, grey, fused, overlay
