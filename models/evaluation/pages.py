"""Parts of a page of docs/ that a command writes, between `<!-- NAME: begin -->` and its end."""

from __future__ import annotations

from pathlib import Path


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
