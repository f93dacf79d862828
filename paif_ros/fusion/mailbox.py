"""A one-slot mailbox between two threads: the newest value wins.

The executor's thread puts, the worker's thread gets. A worker slower than the cameras then always
works on the newest pair, and latency can't build up in a queue.
"""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

T = TypeVar('T')


class Mailbox(Generic[T]):
    """Holds at most one value, which is anything but None.

    No value is lost unseen: `put` and `close` hand back the one that nobody will get, so that the
    caller can count it. Every method may be called from any thread.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._value: T | None = None
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        with self._changed:
            return self._closed

    @property
    def pending(self) -> int:
        """How many values wait: 0 or 1."""
        with self._changed:
            return int(self._value is not None)

    def put(self, value: T) -> T | None:
        """Leave a value, in place of the one that waits.

        Args:
            value: anything but None.

        Returns:
            The value that it replaced, or None. After `close` the given value itself: nobody
            will get it.
        """
        with self._changed:
            if self._closed:
                return value
            replaced, self._value = self._value, value
            self._changed.notify()
            return replaced

    def get(self, timeout: float | None = None) -> T | None:
        """Take the value, waiting for one.

        Args:
            timeout: seconds to wait; None waits until a value comes or the mailbox closes.

        Returns:
            The value; None when the time is over or the mailbox is closed (see `closed`).
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._value is not None, timeout)
            value, self._value = self._value, None
            return value

    def close(self) -> T | None:
        """Wake every waiter at once and take no more values. May be called again.

        Returns:
            The value that still waited, or None.
        """
        with self._changed:
            self._closed = True
            left, self._value = self._value, None
            self._changed.notify_all()
            return left
