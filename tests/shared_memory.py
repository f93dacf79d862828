"""Removes what nodes that were killed have left in shared memory: 70 MB of Fast DDS each.

Tests kill nodes on purpose, and a run of all tests would leave gigabytes behind.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

FOLDER = Path('/dev/shm')
OURS = re.compile(r'(sem\.)?fast(dds|rtps)_')
YOUNG = 30.0  # seconds: whoever made a file may not have mapped it yet
STARTED = time.time()


def mapped(folder: Path) -> set[str]:
    """Return the paths under a folder that a living process has mapped."""
    found: set[str] = set()
    for maps in Path('/proc').glob('[0-9]*/maps'):
        try:
            lines = maps.read_text('utf-8', errors='replace').splitlines()
        except OSError:  # it has ended, or belongs to somebody else
            continue
        found.update(line[line.index('/') :] for line in lines if f' {folder}/' in line)
    return found


def sweep(since: float, now: float, folder: Path = FOLDER) -> list[str]:
    """Remove files of Fast DDS that nobody uses any more; return their names.

    Args:
        since: older ones are left to their owner, seconds since 1970.
        now: younger than `YOUNG` ones are left alone.
        folder: where to look.
    """
    used = mapped(folder)
    removed = []
    for path in sorted(folder.glob('*fast*')):
        try:
            made = path.stat().st_mtime
            if OURS.match(path.name) and since <= made <= now - YOUNG and str(path) not in used:
                path.unlink()
                removed.append(path.name)
        except OSError:  # somebody else's, or gone by now
            continue
    return removed


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tidy up after the tests of this session."""
    del session
    if FOLDER.is_dir():
        sweep(STARTED, time.time())
