"""Two films as a recording: an RGB and a thermal one that began at the same moment."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from paif_ros.replay.feed import IMAGE, Item, RecordingError, TopicInfo
from paif_ros.replay.messages import image
from paif_ros.replay.record import Loss

ENDINGS = ('.mp4', '.mkv', '.avi', '.mov', '.webm', '.m4v', '.ts')
COLOR, THERMAL = '/color/image_raw', '/thermal/image_raw'
FRAMES = {COLOR: 'rgb_optical_frame', THERMAL: 'thermal_optical_frame'}
START_NS = 10**9  # of both films: a stamp of 0 is no stamp
DEEP = ('gray9', 'gray10', 'gray12', 'gray14', 'gray16')
HUE = 12  # grey levels by which red and blue of a grey film may differ, for its compression's sake


class Films:
    """Two films, frame by frame at their own times. A `Feed`.

    Args:
        color: the RGB film.
        thermal: the thermal film. Grey ones become mono8, those of more than 8 bits mono16; of a
            coloured one the node takes the luma, and says so.
        rate: frames per second of both, 0 takes the films' own times.

    Raises:
        RecordingError: one can't be opened or has no pictures.
    """

    kind = 'films'
    borders: Sequence[int] = ()
    span = None

    def __init__(self, color: Path, thermal: Path, rate: float = 0.0) -> None:
        self.files: Sequence[Path] = (color, thermal)
        self._rate = rate
        self._losses: dict[str, Loss] = {}
        self._topics = {
            name: TopicInfo(name, IMAGE, _count(path))
            for name, path in zip((COLOR, THERMAL), self.files, strict=True)
        }

    @property
    def topics(self) -> Sequence[TopicInfo]:
        """Both cameras' topics, named as the node's inputs."""
        return list(self._topics.values())

    @property
    def losses(self) -> Sequence[Loss]:
        """What could not be decoded so far."""
        return list(self._losses.values())

    def messages(
        self,
        topics: Iterable[str] | None = None,
        start: int | None = None,
        stop: int | None = None,
    ) -> Iterator[Item]:
        """Give the frames of both films by their time, see `Feed`."""
        wanted = set(self._topics) if topics is None else set(topics)
        self._losses.clear()
        streams = [
            self._frames(path, self._topics[name])
            for name, path in zip((COLOR, THERMAL), self.files, strict=True)
            if name in wanted
        ]
        for item in heapq.merge(*streams, key=lambda item: item.log_ns):
            late = stop is not None and item.log_ns >= stop
            if late:
                return
            if start is None or item.log_ns >= start:
                yield item

    def close(self) -> None:
        """Nothing stays open between two calls of `messages`."""

    def _frames(self, path: Path, topic: TopicInfo) -> Iterator[Item]:
        import av

        thermal = topic.name == THERMAL
        grey: bool | None = None
        number = 0
        first: Fraction | None = None
        with av.open(str(path)) as film:
            stream = film.streams.video[0]
            stream.thread_type = 'AUTO'
            try:
                for frame in film.decode(stream):
                    when = Fraction(number) / Fraction(stream.average_rate or 25)
                    if self._rate:
                        when = Fraction(number) / Fraction(self._rate)
                    elif frame.pts is not None and frame.time_base is not None:
                        when = frame.pts * Fraction(frame.time_base)
                        first = when if first is None else first
                        when -= first
                    number += 1
                    stamp = START_NS + round(when * 10**9)
                    if thermal and grey is None:
                        grey = _is_grey(frame)
                    pixels, encoding = _pixels(frame, bool(thermal and grey))
                    message = image(pixels, encoding, stamp, FRAMES[topic.name])
                    yield Item(topic, stamp, message=message)
            except av.FFmpegError as err:
                what = f'can not be decoded after frame {number} ({err})'
                self._losses[path.name] = Loss(path.name, what)
                return
        if topic.count is not None and number < topic.count:
            what = f'{topic.count - number} of its {topic.count} frames can not be decoded'
            self._losses[path.name] = Loss(path.name, what)


def _count(path: Path) -> int | None:
    """Return how many frames a film says it has."""
    import av

    try:
        with av.open(str(path)) as film:
            if not film.streams.video:
                raise RecordingError(path, 'has no pictures')
            return film.streams.video[0].frames or None
    except (av.FFmpegError, OSError) as err:
        text = f'can not be opened as a film ({err}); is it whole?'
        raise RecordingError(path, text) from err


def _pixels(frame: Any, grey: bool) -> tuple[Any, str]:
    if frame.format.name.startswith(DEEP):
        bits = frame.format.components[0].bits
        deep = frame.to_ndarray(format='gray16le') if bits == 16 else frame.to_ndarray()
        return deep.astype(np.uint16), 'mono16'
    colors = frame.to_ndarray(format='rgb24')
    return (np.ascontiguousarray(colors[..., 1]), 'mono8') if grey else (colors, 'rgb8')


def _is_grey(frame: Any) -> bool:
    colors = frame.to_ndarray(format='rgb24').astype(np.int16)
    return bool(np.abs(colors[..., 0] - colors[..., 2]).max() <= HUE)
