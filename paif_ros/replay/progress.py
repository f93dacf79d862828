"""How far a replay is, told on the terminal by tqdm, and to other processes in a file."""

from __future__ import annotations

import json
from pathlib import Path
from time import monotonic
from typing import Any, Protocol

NAME = 'progress.json'
EVERY = 0.5  # seconds
NS = 1e9


class Progress(Protocol):
    """Is told how far a run is. `update` is cheap enough for every message."""

    def begin(self, name: str, span_ns: int | None) -> None:
        """Begin a run over so many ns of recording, None where that is not known."""

    def update(self, done_ns: int, results: int) -> None:
        """Say how many ns of the recording are done, and how many results were made."""

    def end(self) -> None:
        """End it."""


class Bar:
    """A bar with the rate (seconds of recording a second) and the time left.

    Args:
        show: False shows nothing; None shows it on a terminal only.
    """

    def __init__(self, show: bool | None = None) -> None:
        self._off = None if show is None else not show
        self._bar: Any = None

    def begin(self, name: str, span_ns: int | None) -> None:
        """Show it."""
        from tqdm import tqdm

        total = None if span_ns is None else round(span_ns / NS, 1)
        layout = (
            '{desc}: {percentage:3.0f}%|{bar}| {n:.1f}/{total:.1f} s [{elapsed}<{remaining}, '
            '{rate_fmt}{postfix}]'
        )
        self._bar = tqdm(
            total=total,
            desc=name,
            unit=' s',
            disable=self._off,
            bar_format=layout if total else None,
            mininterval=EVERY,
        )

    def update(self, done_ns: int, results: int) -> None:
        """Move it."""
        bar = self._bar
        if bar is not None and not bar.disable:
            bar.set_postfix_str(f'{results} fused', refresh=False)
            step = done_ns / NS - bar.n
            bar.update(max(0.0, step if bar.total is None else min(step, bar.total - bar.n)))

    def end(self) -> None:
        """Leave it as it is."""
        if self._bar is not None:
            self._bar.close()


class ProgressFile:
    """Writes it into the run's folder, for the process that started this one.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._last = 0.0

    def begin(self, name: str, span_ns: int | None) -> None:
        """Begin with nothing done."""
        self.update(0, 0)

    def update(self, done_ns: int, results: int) -> None:
        """Write it down, twice a second at most."""
        if (now := monotonic()) - self._last < EVERY:
            return
        self._last = now
        beside = self._path.with_suffix('.tmp')
        beside.write_text(json.dumps({'done_ns': done_ns, 'results': results}), 'utf-8')
        beside.replace(self._path)

    def end(self) -> None:
        """Remove it."""
        self._path.unlink(missing_ok=True)


def read_progress(folder: Path) -> tuple[int, int]:
    """Return ns done and results of a run in another process, (0, 0) where it does not say."""
    try:
        tree = json.loads((folder / NAME).read_text('utf-8'))
        return int(tree['done_ns']), int(tree['results'])
    except (OSError, ValueError, KeyError, TypeError):
        return 0, 0
