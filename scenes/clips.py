"""Sequences of registered pairs: drawn ones, and real ones from video files or picture folders."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.camera import Camera, camera_of
from scenes.config import SceneConfig
from scenes.scene import Scene

FOLDER_RATE = 10.0  # pictures in a folder have no times
SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp')


@dataclass(frozen=True)
class Shot:
    """One registered pair.

    Attributes:
        name: the condition or the clip that it belongs to.
        visible: uint8 [H, W, 3] RGB.
        thermal: uint16 or uint8 [H, W].
    """

    name: str
    visible: NDArray[np.uint8]
    thermal: NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True)
class Clip:
    """A sequence of pairs that can be gone through repeatedly.

    Attributes:
        count: how many pairs there are.
        rate: pairs per second.
        camera: what it was taken with; None where that is not known.
        shots: starts a run over the pairs.
    """

    count: int
    rate: float
    camera: Camera | None
    shots: Callable[[], Iterator[Shot]]


def drawn_clip(
    conditions: Sequence[str], seconds: float, rate: float, size: tuple[int, int], seed: int
) -> Clip:
    """Return drawn conditions, one after the other, together `seconds` long.

    Args:
        conditions: names out of CONDITIONS.
        seconds: length of the whole, above 0.
        rate: pairs per second.
        size: (height, width) in pixels.
        seed: of the first scene; each further condition takes the next number.

    Raises:
        ValueError: a value is out of range; it says which and the limits.
    """
    if seconds <= 0 or not conditions:
        raise ValueError(f'{len(conditions)} conditions in {seconds} s: both must be above 0')
    configs = [SceneConfig(seed, name, *size, rate=rate) for name in conditions]
    count = max(len(configs), round(seconds * rate))
    share = np.diff(np.linspace(0, count, len(configs) + 1).round().astype(int))

    def shots() -> Iterator[Shot]:
        for config, frames in zip(configs, share, strict=True):
            scene = Scene(config)
            for index in range(int(frames)):
                frame = scene.frame(index)
                yield Shot(config.condition, frame.visible, frame.thermal)

    return Clip(count, rate, camera_of(configs[0]), shots)


def real_clip(source: Path, seconds: float | None = None, rate: float | None = None) -> Clip:
    """Return a recorded clip.

    Args:
        source: PREFIX of `PREFIX_visible.mp4` and `PREFIX_infrared.mp4`, or a folder that holds
            pictures of equal names in `vi` and `ir`.
        seconds: how much of it, from its start; None takes all.
        rate: pairs per second; None keeps that of the video (10 for pictures).

    Raises:
        FileNotFoundError: there is no such clip; it says what was looked for.
        ValueError: the files can't be read as a clip.
    """
    if rate is not None and rate <= 0:
        raise ValueError(f'rate is {rate}, it must be above 0')
    if (source / 'vi').is_dir() and (source / 'ir').is_dir():
        return _folder_clip(source, seconds, rate)
    films = tuple(
        source.with_name(f'{source.name}_{kind}.mp4') for kind in ('visible', 'infrared')
    )
    missing = [str(film) for film in films if not film.is_file()]
    if missing:
        raise FileNotFoundError(
            f'no clip at {source}: {" and ".join(missing)} not found. Pass the prefix of a pair '
            'such as video/0117_1605 for video/0117_1605_visible.mp4 and '
            'video/0117_1605_infrared.mp4, or a folder with pictures of equal names in vi/ and ir/'
        )
    return _film_clip(films[0], films[1], source.name, seconds, rate)


def _film_clip(
    visible: Path, infrared: Path, name: str, seconds: float | None, rate: float | None
) -> Clip:
    counts, rates = [], []
    for film in (visible, infrared):
        capture = cv2.VideoCapture(str(film))
        counts.append(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        rates.append(float(capture.get(cv2.CAP_PROP_FPS)))
        capture.release()
        if counts[-1] < 1 or rates[-1] <= 0:
            raise ValueError(f'{film} can not be read as video: OpenCV finds no frames in it')
    stride = 1.0 if rate is None else rates[0] / rate
    whole = min(counts) / stride
    limit = whole if seconds is None else min(whole, seconds * rates[0] / stride)
    wanted = [int(number * stride) for number in range(max(1, int(limit)))]

    def shots() -> Iterator[Shot]:
        films = [cv2.VideoCapture(str(film)) for film in (visible, infrared)]
        try:
            pairs = zip(_frames(films[0], wanted), _frames(films[1], wanted), strict=False)
            for color, heat in pairs:
                grey = np.asarray(cv2.cvtColor(heat, cv2.COLOR_BGR2GRAY), np.uint8)
                yield _shot(
                    name, np.asarray(cv2.cvtColor(color, cv2.COLOR_BGR2RGB), np.uint8), grey
                )
        finally:
            for film in films:
                film.release()

    return Clip(len(wanted), rates[0] if rate is None else rate, None, shots)


def _frames(capture: Any, wanted: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
    """Yield the wanted frames of a video, in rising order; one may be wanted repeatedly."""
    number, frame = -1, None
    for want in wanted:
        while number < want:
            good, frame = capture.read()
            if not good:
                return
            number += 1
        assert frame is not None
        yield frame


def _folder_clip(source: Path, seconds: float | None, rate: float | None) -> Clip:
    found = {
        kind: {
            p.stem: p for p in sorted((source / kind).iterdir()) if p.suffix.lower() in SUFFIXES
        }
        for kind in ('vi', 'ir')
    }
    names = [name for name in found['vi'] if name in found['ir']]
    if not names:
        raise ValueError(
            f'no picture in {source}/vi has a partner of the same name in {source}/ir'
        )
    pace = FOLDER_RATE if rate is None else rate
    names = names if seconds is None else names[: max(1, round(seconds * pace))]
    # All pictures of a topic have one size: that of the first.
    height, width = _read(found['vi'][names[0]], cv2.IMREAD_COLOR).shape[:2]

    def shots() -> Iterator[Shot]:
        for name in names:
            color = cv2.cvtColor(_read(found['vi'][name], cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
            grey = _read(found['ir'][name], cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH)
            small = cv2.resize(color, (width, height), interpolation=cv2.INTER_AREA)
            heat = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)
            yield _shot(source.name, np.asarray(small, np.uint8), heat)

    return Clip(len(names), pace, None, shots)


def _read(path: Path, flags: int) -> NDArray[np.uint8]:
    picture = cv2.imread(str(path), flags)
    if picture is None:
        raise ValueError(f'{path} can not be read as a picture')
    return np.asarray(picture)


def _shot(name: str, visible: NDArray[np.uint8], thermal: NDArray[np.uint8]) -> Shot:
    if visible.shape[:2] != thermal.shape:
        raise ValueError(
            f'{name}: colour is {visible.shape[1]}x{visible.shape[0]} but thermal is '
            f'{thermal.shape[1]}x{thermal.shape[0]}: the pair must be registered, of one size'
        )
    return Shot(name, visible, thermal)
