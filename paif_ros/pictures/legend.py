"""The legend of an overlay: every class by its name, beside its colour."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from paif_ros.contract import ClassLabel
from paif_ros.engines.base import U8
from paif_ros.pictures.drawing import BACKGROUND

FULL_SCALE_ROWS = 480  # of a picture in which the letters have their natural size
SMALLEST = 0.7  # scale below which the letters can't be read any more
LONGEST = 24  # letters of a name that are written
PANEL, INK = (24, 24, 24), (255, 255, 255)


def draw_legend(picture: U8, classes: Sequence[ClassLabel]) -> U8:
    """Name the classes with their colours in the upper left corner.

    The background is left out, since no overlay paints it. The legend grows with the picture.
    Classes that do not fit are summed up as '+3 more'; a picture too small for any stays without.
    Letters outside ASCII become question marks, OpenCV's fonts have none.

    Args:
        picture: uint8 [H, W, 3] RGB.
        classes: the labels of the mask.

    Returns:
        uint8 [H, W, 3] RGB, a new array.
    """
    result = picture.copy()
    patch = _patch(tuple(classes), picture.shape[0], picture.shape[1])
    margin = _Metrics(picture.shape[0]).pad
    result[margin : margin + patch.shape[0], margin : margin + patch.shape[1]] = patch
    return result


class _Metrics:
    """Lengths in pixels for a picture of so many rows."""

    def __init__(self, rows: int) -> None:
        self.scale = max(SMALLEST, rows / FULL_SCALE_ROWS)
        self.line, self.swatch, self.pad = (round(n * self.scale) for n in (20, 12, 6))
        self.font_scale = 0.45 * self.scale
        self.pen = max(1, round(self.scale))


@lru_cache(maxsize=8)  # one picture size and one model each, drawn once instead of for every frame
def _patch(classes: tuple[ClassLabel, ...], rows: int, columns: int) -> U8:
    """Draw the legend for a picture of that size, uint8 [h, w, 3]; [0, 0, 3] if it can't fit."""
    import cv2

    font, size = cv2.FONT_HERSHEY_SIMPLEX, _Metrics(rows)
    lines = [(label.name[:LONGEST], label.color) for label in classes if label.id != BACKGROUND]
    room = max(0, (rows - 4 * size.pad) // size.line)
    if len(lines) > room:
        left_out = len(lines) - max(0, room - 1)
        lines = [*lines[: max(0, room - 1)], (f'+{left_out} more', PANEL)][:room]
    widths = [cv2.getTextSize(name, font, size.font_scale, size.pen)[0][0] for name, _ in lines]
    height = len(lines) * size.line + 2 * size.pad
    width = max(widths, default=0) + size.swatch + 3 * size.pad
    if not lines or width + 2 * size.pad > columns:
        return np.zeros((0, 0, 3), np.uint8)
    patch = np.full((height, width, 3), PANEL, np.uint8)
    for number, (name, color) in enumerate(lines):
        top = size.pad + number * size.line + (size.line - size.swatch) // 2
        corner = (size.pad + size.swatch - 1, top + size.swatch - 1)
        cv2.rectangle(patch, (size.pad, top), corner, color, cv2.FILLED)
        place = (2 * size.pad + size.swatch, top + size.swatch - 1)
        cv2.putText(patch, name, place, font, size.font_scale, INK, size.pen, cv2.LINE_AA)
    patch.setflags(write=False)
    return patch
