"""Parts of a page of docs/ that a command writes, between `<!-- NAME: begin -->` and its end."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from paif_ros.command_line import TRAINING_LIBRARIES, add_version


def replaced(page: str, mark: str, text: str) -> str:
    """Return a page with the part called `mark` replaced.

    Raises:
        ValueError: the page has no place for it.
    """
    begins, ends = f'<!-- {mark}: begin -->', f'<!-- {mark}: end -->'
    before, begin, rest = page.partition(begins)
    _, end, after = rest.partition(ends)
    if not begin or not end:
        msg = f'the page lacks {begins} and {ends}'
        raise ValueError(msg)
    return f'{before}{begin}\n{text}\n{end}{after}'


def put(path: Path, mark: str, text: str) -> None:
    """Write a part of a page; a page that is current is left alone."""
    if not is_current(path, mark, text):
        path.write_text(replaced(path.read_text('utf-8'), mark, text), 'utf-8')


def is_current(path: Path, mark: str, text: str) -> bool:
    """Return whether a page says so already."""
    page = path.read_text('utf-8')
    return replaced(page, mark, text) == page


def main_of(
    parser: argparse.ArgumentParser,
    argv: list[str] | None,
    path: Path,
    mark: str,
    text: Callable[[], str],
) -> str:
    """Write a part of a page and return it, or say whether it is current and exit.

    Exits with 0 current, 1 not current or not to be had, 2 wrong arguments.

    Args:
        parser: with program, description and examples.
        argv: the arguments without the program's name, those of the process where None.
        path: of the page.
        mark: name of its part.
        text: makes it; its ValueErrors are told.
    """
    add_version(parser, *TRAINING_LIBRARIES)
    parser.add_argument('--check', action='store_true', help='write nothing, only compare')
    args = parser.parse_args(argv)
    try:
        found = text()
        if not args.check:
            put(path, mark, found)
            return found
        current = is_current(path, mark, found)
    except ValueError as err:
        parser.exit(1, f'{parser.prog}: {err}\n')
    print(f'{path.name} is {"current" if current else "not current: run it without --check"}')
    sys.exit(0 if current else 1)
