"""What the node says in its log: each kind of notice once, or once in a while, never a flood."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from time import monotonic

EVERY = 5.0  # seconds between two notices of one kind


class Level(str, Enum):
    """How severe a notice is."""

    INFO = 'info'
    WARN = 'warn'
    ERROR = 'error'
    FATAL = 'fatal'


@dataclass
class _Kind:
    said: float
    held_back: int = 0


class Notices:
    """Says notices, and holds back those of a kind that was said a moment ago.

    Each method may be called from any thread.

    Args:
        write: takes a notice to the log.
    """

    def __init__(self, write: Callable[[Level, str], None]) -> None:
        self._write = write
        self._lock = threading.Lock()
        self._kinds: dict[str, _Kind] = {}

    def say(self, level: Level, text: str) -> None:
        """Say this in any case."""
        self._write(level, text)

    def now_and_then(self, level: Level, kind: str, text: str, every: float = EVERY) -> None:
        """Say this unless one of its kind was said less than `every` seconds ago."""
        now = monotonic()
        with self._lock:
            known = self._kinds.get(kind)
            if known is not None and now - known.said < every:
                known.held_back += 1
                return
            held_back = known.held_back if known is not None else 0
            self._kinds[kind] = _Kind(now)
        more = f' (and {held_back} more like it since the last time)' if held_back else ''
        self._write(level, text + more)

    def once(self, level: Level, kind: str, text: str) -> None:
        """Say this unless one of its kind was ever said, or since `forget`."""
        with self._lock:
            if kind in self._kinds:
                return
            self._kinds[kind] = _Kind(monotonic())
        self._write(level, text)

    def forget(self, kind: str) -> None:
        """Let a kind be said again at once: what it complained of is over."""
        with self._lock:
            self._kinds.pop(kind, None)
