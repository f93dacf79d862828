"""Whether both cameras look at the same place, measured now and then while the node runs."""

from __future__ import annotations

from collections import deque

from paif_ros.engines.base import U8
from paif_ros.registration.edges import edge_correlation

EVERY_NS = 5_000_000_000  # it takes a few milliseconds
KEPT = 12  # a minute: a single pair can be unlucky, and night or smoke hides edges for a while


class Agreement:
    """Keeps the edge correlation of the last minute. Belongs to one thread."""

    def __init__(self) -> None:
        self._values: deque[float] = deque(maxlen=KEPT)
        self._next = 0

    @property
    def correlation(self) -> float | None:
        """Mean edge correlation of a minute, -1 to 1; None until it is known."""
        values = tuple(self._values)
        return sum(values) / len(values) if len(values) == KEPT else None

    def look(self, visible: U8, thermal: U8, valid: U8 | None, now: int) -> None:
        """Compare the pictures, if it is time for that again.

        Args:
            visible: uint8 [H, W, 3] RGB.
            thermal: uint8 [h, w] registered to it; of its size where `valid` is given.
            valid: uint8 [H, W], not 0 where the thermal camera looks; None is everywhere.
            now: monotonic ns.
        """
        if now < self._next:
            return
        self._next = now + EVERY_NS
        found = edge_correlation(visible, thermal, valid)
        if found is not None:
            self._values.append(found)
