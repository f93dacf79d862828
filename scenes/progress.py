"""A progress display for the terminal; in a log file it is a few plain lines."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar('Item')
WIDTH = 30


def show_progress(items: Iterable[Item], total: int, text: str) -> Iterator[Item]:
    """Yield the items and show on stderr how many have gone by.

    Args:
        items: what is worked through.
        total: how many there will be, 1 or more.
        text: what is being done.
    """
    live = sys.stderr.isatty()
    step = 1 if live else max(1, total // 4)
    for done, item in enumerate(items, start=1):
        yield item
        if done % step == 0 or done == total:
            bar = '#' * (WIDTH * done // total)
            line = f'{text} [{bar:<{WIDTH}}] {done}/{total}'
            end = '' if live and done < total else '\n'
            print(f'\r{line}' if live else line, end=end, file=sys.stderr, flush=True)
