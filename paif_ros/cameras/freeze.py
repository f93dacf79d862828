"""A thermal camera that shows the same picture over and over, as while its shutter is closed.

Every live sensor has noise, so no two of its frames are alike to the last byte. A camera that
calibrates itself (flat field correction) repeats its last frame for 0.5 to 2 s.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from paif_ros.images.codec import bytes_of

# Both must be reached. Slow cameras behind a 30 Hz stream send each frame three or four times
# (0.1 s), and a still picture at 1 Hz may come twice.
_FRAMES = 3
_SPAN = 250_000_000  # nanoseconds from the first of the identical frames
# Bytes that are compared first: they tell nearly all live frames apart.
_GLANCE = 1024


class FreezeDetector:
    """Compares each frame of one camera with the one before. For one thread."""

    def __init__(self) -> None:
        self._last: NDArray[np.uint8] | None = None
        self._stamp = 0
        self._first = 0
        self._repeats = 0
        self._frozen = False
        self._count = 0

    @property
    def frozen_since(self) -> int | None:
        """Stamp in nanoseconds of the first of the identical frames; None while not frozen."""
        return self._first if self._frozen else None

    @property
    def count(self) -> int:
        """Freezes so far, the present one included."""
        return self._count

    def update(self, data: object, stamp: int) -> bool:
        """Look at a frame.

        Args:
            data: the message's data, a flat buffer of bytes. It is copied, for the caller may use
                the buffer again.
            stamp: its stamp in nanoseconds. A frame given again with its stamp is no repetition,
                and a stamp that goes back (a bag that loops) starts anew.

        Returns:
            True while the camera is frozen: at least 3 identical frames over at least 0.25 s.

        Raises:
            ImageFormatError: `data` is no flat buffer of bytes.
        """
        frame = bytes_of(data)
        same = self._is_last(frame)
        if same and stamp == self._stamp:
            return self._frozen
        if not same or stamp < self._stamp:
            self._keep(frame)
            self._first, self._repeats, self._frozen = stamp, 0, False
        else:
            self._repeats += 1
            if not self._frozen and self._repeats + 1 >= _FRAMES and stamp - self._first >= _SPAN:
                self._frozen = True
                self._count += 1
        self._stamp = stamp
        return self._frozen

    def _is_last(self, frame: NDArray[np.uint8]) -> bool:
        last = self._last
        if last is None or last.size != frame.size:
            return False
        stride = max(1, frame.size // _GLANCE)
        return bool(np.array_equal(last[::stride], frame[::stride])) and bool(
            np.array_equal(last, frame)
        )

    def _keep(self, frame: NDArray[np.uint8]) -> None:
        if self._last is None or self._last.size != frame.size:
            self._last = np.empty_like(frame)
        np.copyto(self._last, frame)
