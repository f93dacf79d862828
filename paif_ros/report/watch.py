"""What was seen of a running node, live or in a recorded bag: diagnostics, class areas, pictures.

Memory is bounded but for the diagnostics, of which there is one a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from paif_ros.contract import ClassLabel
from paif_ros.engines.base import U8
from paif_ros.errors import ImageFormatError
from paif_ros.images.messages import reader_of, stamp_of
from paif_ros.report.run import KeyFrame
from paif_ros.report.strip import strip
from paif_ros.view.status import NodeStatus

MOST_AREAS = 4000  # masks whose class areas are kept, at equal distances
MOST_FRAMES = 12  # rows of the contact sheet
WINDOW = 3.0  # seconds that the pictures of one key frame may take to come
STAMPS = 60  # results that may be under way meanwhile
PARTS = ('rgb', 'thermal', 'fused', 'overlay')


@dataclass(frozen=True)
class Heard:
    """One diagnostic status, and when it came (seconds since the start)."""

    seconds: float
    status: NodeStatus


class KeyFramePicker:
    """Takes the pictures of one result now and then, whatever the order they come in.

    Args:
        interval: seconds between two key frames, above 0. It doubles when there are too many.
    """

    def __init__(self, interval: float) -> None:
        self.frames: list[KeyFrame] = []
        self._interval = interval
        self._due = 0.0
        self._opened: float | None = None
        self._pending: dict[int, dict[str, Any]] = {}

    def wants(self, seconds: float) -> bool:
        """Whether pictures are needed now."""
        if self._opened is not None and seconds - self._opened > WINDOW:
            self._take_best(seconds)
        return seconds >= self._due

    def add(self, seconds: float, part: str, message: Any) -> None:
        """Take a picture where one is wanted.

        Args:
            seconds: since the start.
            part: one of `PARTS`.
            message: Image or CompressedImage.
        """
        if not self.wants(seconds):
            return
        if self._opened is None:
            self._opened = seconds
        parts = self._pending.setdefault(stamp_of(message), {})
        parts[part] = message
        if len(parts) == len(PARTS):
            self._take(seconds, parts)
        elif len(self._pending) > STAMPS:
            del self._pending[next(iter(self._pending))]

    def _take_best(self, seconds: float) -> None:
        """Take the result of which most pictures came: one camera may have stopped."""
        parts = max(self._pending.values(), key=len, default={})
        if 'fused' in parts or 'overlay' in parts:
            self._take(seconds, parts)
        else:
            self._opened = None
            self._pending.clear()

    def _take(self, seconds: float, parts: dict[str, Any]) -> None:
        pictures = tuple(_pixels(parts.get(part)) for part in PARTS)
        opened = seconds if self._opened is None else self._opened
        self._opened = None
        self._pending.clear()
        if any(picture is not None for picture in pictures):
            self.frames.append(KeyFrame(opened, '', strip(pictures)))
        if len(self.frames) > MOST_FRAMES:
            self.frames = self.frames[::2]
            self._interval *= 2
        self._due = opened + self._interval


class Watch:
    """Collects.

    Args:
        interval: seconds between two key frames.
    """

    def __init__(self, interval: float) -> None:
        self.heard: list[Heard] = []
        self.picker = KeyFramePicker(interval)
        self.classes: tuple[ClassLabel, ...] = ()
        self.masks = 0
        self._step = 1
        self._areas: list[tuple[float, tuple[int, ...]]] = []

    def diagnose(self, seconds: float, status: NodeStatus) -> None:
        """Take a diagnostic status of the node."""
        self.heard.append(Heard(seconds, status))

    def mask(self, seconds: float, message: Any) -> None:
        """Count the classes of a mask; one that can't be read is left out."""
        self.masks += 1
        if (self.masks - 1) % self._step:
            return
        try:
            ids = reader_of(message).decode_thermal(message)
        except ImageFormatError:
            return
        if ids.dtype != np.uint8:
            return
        counts = np.bincount(ids.reshape(-1), minlength=1)
        self._areas.append((seconds, tuple(int(count) for count in counts)))
        if len(self._areas) > MOST_AREAS:
            self._areas, self._step = self._areas[::2], self._step * 2

    @property
    def areas(self) -> tuple[np.ndarray, np.ndarray]:
        """When (float64 [n]), and which part of the picture each class had (float64 [n, C])."""
        count = max((len(counts) for _, counts in self._areas), default=0)
        rows = [[*counts, *[0] * (count - len(counts))] for _, counts in self._areas]
        shares = np.array(rows, np.float64).reshape(len(rows), count)
        total = shares.sum(axis=1, keepdims=True)
        return np.array([at for at, _ in self._areas], np.float64), shares / np.maximum(total, 1)


def labels(known: Sequence[ClassLabel], count: int) -> tuple[ClassLabel, ...]:
    """Return a label for each id below `count`: the known one, else a number and a colour."""
    by_id = {label.id: label for label in known}
    return tuple(
        by_id.get(number, ClassLabel(number, f'class {number}', _color(number)))
        for number in range(count)
    )


def _color(number: int) -> tuple[int, int, int]:
    """Return a colour that is unlike those of the numbers beside it."""
    import colorsys

    red, green, blue = colorsys.hsv_to_rgb(number * 0.381966 % 1.0, 0.65, 0.85)
    return round(255 * red), round(255 * green), round(255 * blue)


def _pixels(message: Any) -> U8 | None:
    if message is None:
        return None
    try:
        pixels: U8 = reader_of(message).decode_visible(message)
    except ImageFormatError:
        return None
    return pixels
