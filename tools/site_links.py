"""MkDocs hook: pages link to files of the repository as on GitHub, and the site has those files.

A link in docs/ such as `../README.md#parameters` works on GitHub, but lies outside of what MkDocs
builds. Each such file is put into the site under repository/, where its own links are followed
too, and links are rewritten. A link to what is not there stays as it is, so that MkDocs warns.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
DOCS, OUTSIDE = 'docs/', 'repository/'
LINK = re.compile(r'(\]\()([^)\s#<>]+)(#[^)\s]*)?(\))')
FENCE = re.compile(r'^(```|~~~)')
LARGEST = 2**20  # bytes; weights and films are for the checkout, not for the site


def on_files(files: Any, config: Any) -> Any:
    """Add every file outside docs/ that a page leads to."""
    waiting = [DOCS + file.src_uri for file in files.documentation_pages()]
    # The navigation names some that no page may link to.
    waiting += [DOCS + path for path in re.findall(r'repository/[\w./]+\.md', str(config.nav))]
    seen = set(waiting)
    while waiting:
        place = waiting.pop()
        source = ROOT / (place.removeprefix(DOCS + OUTSIDE) if OUTSIDE in place else place)
        if not source.is_file():
            continue
        if place.startswith(DOCS + OUTSIDE):
            place = place.removeprefix(DOCS + OUTSIDE)
        if not place.startswith(DOCS):
            _add(files, config, place)
        if source.suffix != '.md':
            continue
        found: list[str] = []
        _links(
            source.read_text('utf-8'),
            lambda link, at=place, to=found: to.append(_target(at, link)),
        )
        for target in found:
            if not target.startswith(DOCS) and target not in seen and _taken(target):
                seen.add(target)
                waiting.append(target)
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Lead links to where the site has the files."""
    own = page.file.src_uri
    place = own.removeprefix(OUTSIDE) if own.startswith(OUTSIDE) else DOCS + own

    def rewritten(link: str) -> str:
        target = _target(place, link)
        if target.startswith(DOCS):
            uri = target.removeprefix(DOCS)
        elif _taken(target):
            uri = OUTSIDE + target
        else:
            return link
        return posixpath.relpath(uri, posixpath.dirname(own) or '.')

    return _links(markdown, rewritten)


def _add(files: Any, config: Any, place: str) -> None:
    uri = OUTSIDE + place
    if files.get_file_from_path(uri) is None:
        files.append(File.generated(config, uri, abs_src_path=str(ROOT / place)))


def _taken(target: str) -> bool:
    """Whether a path from the root is a file that the site takes."""
    path = ROOT / target
    return path.is_file() and path.stat().st_size <= LARGEST


def _target(place: str, link: str) -> str:
    """Return where a link of a file leads, from the root of the repository."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(place), link))


def _links(markdown: str, change: Callable[[str], str | None]) -> str:
    """Give every relative link outside of code blocks to `change`; return the changed text."""

    def one(match: re.Match[str]) -> str:
        link = match[2]
        if '://' in link or link.startswith(('/', 'mailto:')):
            return match[0]
        return f'{match[1]}{change(link) or link}{match[3] or ""}{match[4]}'

    lines, is_code = [], False
    for line in markdown.split('\n'):
        if FENCE.match(line.lstrip()):
            is_code = not is_code
        lines.append(line if is_code else LINK.sub(one, line))
    return '\n'.join(lines)
