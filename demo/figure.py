"""Join rows of the demo's contact sheets into one picture, such as docs/demo.jpg."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from demo.pictures import MARGIN, SHEET_WIDTH
from paif_ros.command_line import add_version

SHEET = 'contact_sheet.png'
EXAMPLES = """
examples:
  docs/demo.jpg, after `make demo` and `make demo OUT=real DATA=../shared/data/video/0117_1605`:
    python -m demo.figure demo_out:1,3,6,7 real:5 --out docs/demo.jpg
exit codes: 0 written, 1 a sheet can't be read or has no such row, 2 wrong arguments
"""


class FigureError(Exception):
    """Rows that can't be had; the message says of which sheet and why."""


def parse(text: str) -> tuple[Path, tuple[int, ...]]:
    """Read FOLDER:ROWS, rows counted from 1.

    Raises:
        ValueError: it is something else.
    """
    folder, colon, numbers = text.rpartition(':')
    rows = tuple(int(number) for number in numbers.split(','))
    if not colon or min(rows) < 1:
        raise ValueError(text)
    return Path(folder), rows


def rows_of(sheet: NDArray[np.uint8], numbers: Sequence[int], what: str) -> NDArray[np.uint8]:
    """Cut rows out of a sheet whose pictures all have the shape of 480x640.

    Args:
        sheet: uint8 [H, W, 3].
        numbers: of the rows, from 1.
        what: the sheet's name, for errors.

    Raises:
        FigureError: the sheet has other rows, or fewer.
    """
    height = SHEET_WIDTH * 3 // 4
    count, rest = divmod(len(sheet) - MARGIN, height)
    if rest:
        msg = f'{what}: its rows are not {height} pixels high: take a demo of 480x640'
        raise FigureError(msg)
    wrong = [number for number in numbers if number > count]
    if wrong:
        msg = f'{what} has no row {wrong[0]}: choose from 1 to {count}'
        raise FigureError(msg)
    starts = [MARGIN + (number - 1) * height for number in numbers]
    return np.vstack([sheet[start : start + height] for start in starts])


def figure(chosen: Sequence[tuple[Path, Sequence[int]]]) -> NDArray[np.uint8]:
    """Return the heading of the first sheet with the chosen rows of all below it.

    Raises:
        FigureError: a sheet is missing or too short.
    """
    parts: list[NDArray[np.uint8]] = []
    for folder, numbers in chosen:
        path = folder / SHEET
        sheet = cv2.imread(str(path))
        if sheet is None:
            msg = f'{path} can not be read: run `make demo OUT={folder}` first'
            raise FigureError(msg)
        sheet = np.asarray(sheet, np.uint8)
        if not parts:
            parts.append(sheet[:MARGIN])
        parts.append(rows_of(sheet, numbers, str(path)))
    return np.vstack(parts)


def main(argv: list[str] | None = None) -> None:
    """Write the picture and exit."""
    parser = argparse.ArgumentParser(
        prog='python -m demo.figure',
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_version(parser)
    parser.add_argument('rows', nargs='+', type=parse, metavar='FOLDER:ROWS')
    parser.add_argument('--out', type=Path, required=True, help='JPEG or PNG to write')
    args = parser.parse_args(argv)
    try:
        picture = figure(args.rows)
    except FigureError as err:
        parser.exit(1, f'demo.figure: {err}\n')
    if not cv2.imwrite(str(args.out), picture):
        parser.exit(1, f'demo.figure: {args.out} could not be written\n')
    print(f'wrote {args.out}')


if __name__ == '__main__':
    main()
