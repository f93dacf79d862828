"""The newest picture of each kind, as JPEG for whoever looks. Bounded: one message, one JPEG each.

The thread that receives only puts messages down. Decoding and encoding is done by the threads that
send to browsers, once for each picture that somebody gets, and pictures that come meanwhile are
skipped: however slow a browser is, nothing piles up and nothing waits for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any

from paif_ros.engines.base import U8
from paif_ros.errors import ImageFormatError
from paif_ros.images.compressed import encode
from paif_ros.pictures.drawing import resize_picture
from paif_ros.view.mosaic import TILES, mosaic

MOSAIC = 'mosaic'
LINGER = 3.0  # seconds that a picture still counts as watched: a page changes without a gap


@dataclass(frozen=True)
class Frame:
    """One picture for a browser.

    Attributes:
        number: higher than that of every earlier frame of its kind.
        jpeg: the file.
    """

    number: int
    jpeg: bytes


@dataclass(frozen=True)
class Look:
    """How pictures are sent.

    Attributes:
        width: columns of the widest picture that is sent; wider ones are shrunk.
        quality: of JPEG, 1 to 100.
    """

    width: int = 960
    quality: int = 80


class _Exhibit:
    """One kind of picture: its newest message, and the JPEG that was made last."""

    def __init__(self) -> None:
        self.message: Any = None
        self.number = 0
        self.problem = ''
        self.watchers = 0
        self.left = -LINGER  # when the last watcher went, monotonic seconds
        self.work = threading.Lock()  # held while its JPEG is made
        self.drawn: tuple[int, U8] | None = None
        self.frame: Frame | None = None


class Gallery:
    """Takes messages from one thread and gives JPEGs to many.

    Args:
        readers: by kind, what turns a message into uint8 [H, W, 3] RGB. `MOSAIC` is made of them.
        look: size and quality of what is sent.
    """

    def __init__(self, readers: Mapping[str, Callable[[Any], U8]], look: Look) -> None:
        self._readers = readers
        self._look = look
        self._news = threading.Condition()
        self._closed = False
        self._exhibits = {name: _Exhibit() for name in (*readers, MOSAIC)}

    @property
    def names(self) -> tuple[str, ...]:
        """All kinds of pictures."""
        return tuple(self._exhibits)

    @property
    def closed(self) -> bool:
        """Whether no picture will come any more."""
        return self._closed

    def put(self, name: str, message: Any) -> None:
        """Take the newest message of a kind in place of the one before."""
        with self._news:
            self._exhibits[name].message = message
            self._exhibits[name].number += 1
            self._news.notify_all()

    def problem(self, name: str) -> str:
        """Say why the newest message of a kind is no picture, '' where it is one."""
        return self._exhibits[name].problem

    @contextmanager
    def watching(self, name: str) -> Iterator[None]:
        """Count as somebody who looks at a kind."""
        exhibit = self._exhibits[name]
        with self._news:
            exhibit.watchers += 1
        try:
            yield
        finally:
            with self._news:
                exhibit.watchers -= 1
                exhibit.left = monotonic()

    def watched(self) -> set[str]:
        """Return the kinds that somebody looks at, those that a mosaic is made of among them."""
        now = monotonic()
        with self._news:
            seen = {
                name
                for name, exhibit in self._exhibits.items()
                if exhibit.watchers or now - exhibit.left < LINGER
            }
        return (seen | set(TILES) if MOSAIC in seen else seen) - {MOSAIC}

    def forget(self, name: str) -> None:
        """Drop the message and the picture of a kind that nobody looks at: they get old."""
        with self._news:
            exhibit = self._exhibits[name]
            exhibit.message = exhibit.drawn = exhibit.frame = None
            exhibit.problem = ''

    def next(self, name: str, seen: int, timeout: float) -> Frame | None:
        """Wait for a picture that is newer.

        Args:
            name: its kind.
            seen: number of the last frame that the caller got, 0 for none.
            timeout: seconds to wait.

        Returns:
            The newest one, None where none came in time or the newest can't be read.
        """
        with self._news:
            self._news.wait_for(lambda: self._closed or self._number(name) > seen, timeout)
            number = self._number(name)
            if self._closed or number <= seen:
                return None
        exhibit = self._exhibits[name]
        with exhibit.work:
            if exhibit.frame is not None and exhibit.frame.number >= number:
                return exhibit.frame
            picture = self._compose() if name == MOSAIC else self._draw(name)
            if picture is None:
                return None
            shrunk = self._fitted(picture)
            _, data = encode(shrunk, 'rgb8', 'jpeg', self._look.quality)
            frame = Frame(number, data.tobytes())
            if name == MOSAIC or exhibit.message is not None:  # not forgotten meanwhile
                exhibit.frame = frame
            return frame

    def close(self) -> None:
        """Wake all who wait: there will be no more pictures."""
        with self._news:
            self._closed = True
            self._news.notify_all()

    def _number(self, name: str) -> int:
        """Return the number of the newest picture, 0 where there is none. Needs the lock."""
        if name == MOSAIC:  # grows whenever one of its tiles does
            return sum(self._exhibits[tile].number for tile in TILES)
        return self._exhibits[name].number if self._exhibits[name].message is not None else 0

    def _draw(self, name: str) -> U8 | None:
        """Return the newest picture of a kind, None where there is none that can be read."""
        exhibit = self._exhibits[name]
        with self._news:
            number, message = exhibit.number, exhibit.message
        if message is None:
            return None
        try:
            picture = self._readers[name](message)
        except ImageFormatError as err:
            exhibit.problem = str(err)
            return None
        exhibit.problem = ''
        exhibit.drawn = (number, picture)
        return picture

    def _compose(self) -> U8 | None:
        pictures: dict[str, U8] = {}
        for tile in TILES:
            exhibit = self._exhibits[tile]
            with exhibit.work:
                known = exhibit.drawn
                fresh = known is not None and known[0] == exhibit.number
                picture = known[1] if known is not None and fresh else self._draw(tile)
            if picture is not None:
                pictures[tile] = picture
        return mosaic(pictures) if pictures else None

    def _fitted(self, picture: U8) -> U8:
        height, width = picture.shape[:2]
        if width <= self._look.width:
            return picture
        rows = max(1, round(height * self._look.width / width))
        return resize_picture(picture, (rows, self._look.width))
