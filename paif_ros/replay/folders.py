"""Two folders of pictures as a recording: one file a frame, times from names or a rate."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from paif_ros.replay.feed import COMPRESSED, IMAGE, Item, RecordingError, TopicInfo
from paif_ros.replay.films import FRAMES, START_NS
from paif_ros.replay.messages import compressed_image, image
from paif_ros.replay.record import Loss

ENDINGS = ('.png', '.jpg', '.jpeg', '.tif', '.tiff', '.bmp', '.pgm', '.ppm', '.webp')
AS_THEY_ARE = {'.png': 'png', '.jpg': 'jpeg', '.jpeg': 'jpeg'}
COLOR, THERMAL = '/color/image_raw', '/thermal/image_raw'
# Digits of an integer time since 1970 to the ns of its unit: seconds to nanoseconds.
UNITS = {10: 10**9, 13: 10**6, 16: 10**3, 19: 1}


class Folders:
    """Two folders of pictures in order of time. A `Feed`.

    PNG and JPEG files go to the node's decoder byte by byte; others are read by OpenCV.

    Args:
        color: folder of the RGB pictures.
        thermal: folder of the thermal pictures.
        rate: pictures per second; 0 takes the times from the files' names. Files of one name in
            both folders, whatever their ending, are of one moment.

    Raises:
        RecordingError: a folder has no pictures, or their names have no times.
    """

    kind = 'folders'
    borders: Sequence[int] = ()

    def __init__(self, color: Path, thermal: Path, rate: float = 0.0) -> None:
        pictures = {COLOR: _pictures(color), THERMAL: _pictures(thermal)}
        self.files: Sequence[Path] = [path for paths in pictures.values() for path in paths]
        self._losses: list[Loss] = []
        times = _by_rate(pictures, rate) if rate else _by_name(pictures)
        self._order: list[tuple[int, str, Path]] = sorted(
            (times[name, path], name, path) for name, paths in pictures.items() for path in paths
        )
        self._topics: dict[str, TopicInfo] = {}
        for name, paths in pictures.items():
            as_they_are = all(path.suffix.lower() in AS_THEY_ARE for path in paths)
            kind, ending = (COMPRESSED, '/compressed') if as_they_are else (IMAGE, '')
            self._topics[name] = TopicInfo(name + ending, kind, len(paths))

    @property
    def topics(self) -> Sequence[TopicInfo]:
        """Both cameras' topics, named as the node's inputs."""
        return list(self._topics.values())

    @property
    def losses(self) -> Sequence[Loss]:
        """What could not be read so far."""
        return self._losses

    @property
    def span(self) -> tuple[int, int] | None:
        """Times of the first and last picture."""
        return self._order[0][0], self._order[-1][0]

    def messages(
        self,
        topics: Iterable[str] | None = None,
        start: int | None = None,
        stop: int | None = None,
    ) -> Iterator[Item]:
        """Give the pictures of both folders by their time, see `Feed`."""
        wanted = {topic.name for topic in self.topics} if topics is None else set(topics)
        self._losses.clear()
        for stamp, name, path in self._order:
            topic = self._topics[name]
            if topic.name not in wanted or (start is not None and stamp < start):
                continue
            if stop is not None and stamp >= stop:
                return
            item = self._read(topic, FRAMES[name], stamp, path)
            if item is not None:
                yield item

    def close(self) -> None:
        """Nothing stays open."""

    def _read(self, topic: TopicInfo, frame: str, stamp: int, path: Path) -> Item | None:
        try:
            if topic.kind == COMPRESSED:
                form = AS_THEY_ARE[path.suffix.lower()]
                message = compressed_image(path.read_bytes(), form, stamp, frame)
                return Item(topic, stamp, message=message)
        except OSError as err:
            self._losses.append(Loss(path.name, f'can not be read ({err})'))
            return None
        import cv2

        pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if pixels is None or str(pixels.dtype) not in ('uint8', 'uint16'):
            what = 'OpenCV can not read it as a picture of 8 or 16 bits'
            self._losses.append(Loss(path.name, what, path.stat().st_size))
            return None
        deep = '16' if pixels.dtype == 'uint16' else '8'
        if pixels.ndim == 2:
            encoding = f'mono{deep}'
        else:
            encoding = f'bgr{"a" if pixels.shape[2] == 4 else ""}{deep}'
        return Item(topic, stamp, message=image(pixels, encoding, stamp, frame))


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise RecordingError(folder, 'no such folder')
    found = [p for p in folder.iterdir() if p.suffix.lower() in ENDINGS and p.is_file()]
    if not found:
        raise RecordingError(folder, f'has no pictures ({", ".join(ENDINGS)})')
    return sorted(found, key=lambda path: (_digits(path.stem), path.name))


def _digits(stem: str) -> list[int | str]:
    """Order frame_2 before frame_10; every second part is a number."""
    return [int(part) if number % 2 else part for number, part in enumerate(_split(stem))]


def _split(stem: str) -> list[str]:
    return re.split(r'(\d+)', stem)


def _by_rate(pictures: dict[str, list[Path]], rate: float) -> dict[tuple[str, Path], int]:
    stems = [{path.stem for path in paths} for paths in pictures.values()]
    if len(stems[0] & stems[1]) * 2 > min(map(len, stems)):  # named alike: gaps stay gaps
        places = {stem: n for n, stem in enumerate(sorted(stems[0] | stems[1], key=_digits))}
        return {
            (name, path): START_NS + round(places[path.stem] * 10**9 / rate)
            for name, paths in pictures.items()
            for path in paths
        }
    return {
        (name, path): START_NS + round(number * 10**9 / rate)
        for name, paths in pictures.items()
        for number, path in enumerate(paths)
    }


def _by_name(pictures: dict[str, list[Path]]) -> dict[tuple[str, Path], int]:
    return {(name, path): _time(path) for name, paths in pictures.items() for path in paths}


def _time(path: Path) -> int:
    """Return the time in a file's name in ns.

    Raises:
        RecordingError: there is none.
    """
    stem = path.stem
    seconds = re.fullmatch(r'(?:.*\D)?(\d{9,11})[.](\d{1,9})', stem)
    if seconds:
        return int(seconds[1]) * 10**9 + int(seconds[2].ljust(9, '0'))
    digits = re.fullmatch(r'(?:.*\D)?(\d{10,19})', stem)
    if digits and len(digits[1]) in UNITS:
        return int(digits[1]) * UNITS[len(digits[1])]
    raise RecordingError(
        path,
        'its name has no time (seconds with a point, or 10, 13, 16 or 19 digits since 1970): give '
        '--rate, such as --rate 10',
    )
