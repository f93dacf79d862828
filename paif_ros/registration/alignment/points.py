"""Pairs of points that a person picked: from a file, or clicked in a window."""

from __future__ import annotations

import csv
import io
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paif_ros.errors import CalibrationError
from paif_ros.registration.alignment.refusal import InputError
from paif_ros.registration.intrinsics import to_numbers
from paif_ros.registration.plain_yaml import parse_yaml

U8 = NDArray[np.uint8]
F64 = NDArray[np.float64]

MAX_FILE = 256 * 1024  # bytes
MAX_POINTS = 10000
_ESCAPE, _ENTER, _BACKSPACE = 27, (10, 13), (8, 127)


def read(path: str | Path) -> tuple[F64, F64]:
    """Read pairs of points.

    Args:
        path: a CSV file, each line `thermal column, thermal row, RGB column, RGB row`, lines with
            # or words skipped; or a YAML file with the same four numbers in a list of lists,
            at the top or under `points`.

    Returns:
        Thermal and RGB points, float64 [N, 2] each, pixels.

    Raises:
        CalibrationError: the file can't be read, or a line is no pair of points.
    """
    path = Path(path)
    try:
        with path.open('rb') as file:
            raw = file.read(MAX_FILE + 1)
        text = raw.decode('utf-8')
    except (OSError, ValueError) as err:
        raise InputError('--points', str(path), f'a readable text file ({err})') from err
    if len(raw) > MAX_FILE:
        raise InputError('--points', str(path), f'at most {MAX_FILE} bytes')
    rows = _yaml_rows(text, path) if path.suffix.lower() in ('.yaml', '.yml') else _csv_rows(text)
    if not rows or len(rows) > MAX_POINTS:
        raise InputError('--points', f'{len(rows)} in {path}', f'4 to {MAX_POINTS} pairs')
    for number, row in enumerate(rows, start=1):
        if len(row) != 4:
            raise CalibrationError(f'points, pair {number}', row, '4 numbers')
    table = np.array(rows, np.float64)
    return table[:, :2], table[:, 2:]


def click(visible: U8, thermal: U8) -> tuple[F64, F64]:
    """Let a person click the same things in both pictures, side by side in a window.

    A click in the thermal picture and one in the RGB picture make a pair. Backspace takes the
    last click back, Enter ends, Escape gives up.

    Args:
        visible: uint8 [H, W, 3] RGB.
        thermal: uint8 [h, w].

    Returns:
        Thermal and RGB points, float64 [N, 2] each, pixels.

    Raises:
        CalibrationError: there is no display, or the person gave up.
    """
    import cv2

    sheet = _Sheet(visible, thermal)
    name = 'thermal left, RGB right: click pairs, Enter ends, Backspace undoes'
    try:
        cv2.namedWindow(name, cv2.WINDOW_AUTOSIZE)
        cv2.setMouseCallback(
            name,
            lambda event, x, y, *_: sheet.add(x, y) if event == cv2.EVENT_LBUTTONDOWN else None,
        )
        while True:
            cv2.imshow(name, sheet.draw())
            key = cv2.waitKey(30) & 0xFF
            if key == _ESCAPE or cv2.getWindowProperty(name, cv2.WND_PROP_VISIBLE) < 1:
                raise InputError('--method points', 'given up', 'Enter after the last pair')
            if key in _BACKSPACE:
                sheet.undo()
            if key in _ENTER:
                return sheet.points()
    except cv2.error as err:
        raise InputError(
            '--method points',
            'without a window',
            'a display and an OpenCV with one (python3-opencv has it, opencv-python-headless '
            'has not), or a file with --points FILE',
        ) from err
    finally:
        with suppress(cv2.error):
            cv2.destroyAllWindows()


class _Sheet:
    """Both pictures at one height, and what was clicked in them."""

    HEIGHT = 600

    def __init__(self, visible: U8, thermal: U8) -> None:
        import cv2

        self._scales = [thermal.shape[0] / self.HEIGHT, visible.shape[0] / self.HEIGHT]
        parts = []
        for picture, scale in zip((thermal, visible), self._scales, strict=True):
            size = (round(picture.shape[1] / scale), self.HEIGHT)
            part = cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR)
            code = cv2.COLOR_GRAY2BGR if part.ndim == 2 else cv2.COLOR_RGB2BGR
            parts.append(cv2.cvtColor(part, code))
        self._border = parts[0].shape[1]
        self._picture = np.concatenate(parts, axis=1)
        self._clicks: list[tuple[int, int, int]] = []

    def add(self, x: int, y: int) -> None:
        """Take a click, unless it is the second one on the same side."""
        side = int(x >= self._border)
        if len(self._clicks) % 2 and self._clicks[-1][0] == side:
            return
        self._clicks.append((side, x, y))

    def undo(self) -> None:
        """Take the last click back."""
        del self._clicks[-1:]

    def points(self) -> tuple[F64, F64]:
        """Return the whole pairs, thermal and RGB."""
        sides: tuple[list[Any], list[Any]] = ([], [])
        for side, x, y in self._clicks[: len(self._clicks) // 2 * 2]:
            scale = self._scales[side]
            column = x - self._border * side
            sides[side].append(((column + 0.5) * scale - 0.5, (y + 0.5) * scale - 0.5))
        return tuple(np.array(side, np.float64).reshape(-1, 2) for side in sides)  # type: ignore[return-value]

    def draw(self) -> U8:
        """Return the picture to show, uint8 [H, W, 3] BGR."""
        import cv2

        picture = self._picture.copy()
        for number, (_, x, y) in enumerate(self._clicks):
            label = str(number // 2 + 1)
            cv2.drawMarker(picture, (x, y), (0, 0, 0), cv2.MARKER_CROSS, 16, 3)
            cv2.drawMarker(picture, (x, y), (0, 255, 255), cv2.MARKER_CROSS, 14, 1)
            place = (x + 8, y - 8)
            cv2.putText(picture, label, place, cv2.FONT_HERSHEY_SIMPLEX, 0.6, (0, 255, 255), 1)
        return np.asarray(picture, np.uint8)


def _csv_rows(text: str) -> list[tuple[float, ...]]:
    rows: list[tuple[float, ...]] = []
    for number, row in enumerate(csv.reader(io.StringIO(text)), start=1):
        cells = [cell.strip() for cell in row if cell.strip()]
        if not cells or cells[0].startswith('#') or (not rows and cells[0][0].isalpha()):
            continue
        rows.append(to_numbers(f'points, line {number}', cells))
    return rows


def _yaml_rows(text: str, path: Path) -> list[tuple[float, ...]]:
    tree = parse_yaml(text, path)
    rows = tree.get('points') if isinstance(tree, dict) else tree
    if not isinstance(rows, list):
        raise CalibrationError('points', type(rows).__name__, 'a list of lists of 4 numbers')
    return [to_numbers(f'points, pair {number}', row) for number, row in enumerate(rows, start=1)]
