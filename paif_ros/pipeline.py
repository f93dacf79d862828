"""The hot path of one pair, without ROS: two messages in, the wanted pictures out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic_ns

import numpy as np

from paif_ros.codec import ImageLike, decode_thermal, decode_visible
from paif_ros.engines.base import U8, Engine, EngineInfo
from paif_ros.errors import ImageFormatError
from paif_ros.outputs import overlay, palette, resize_mask, resize_picture
from paif_ros.thermal import PercentileRange, to_uint8


@dataclass(frozen=True)
class Wanted:
    """Which pictures somebody listens to. The others are not made."""

    fused: bool = True
    mask: bool = True
    overlay: bool = True


@dataclass(frozen=True)
class Settings:
    """What may change between two pairs.

    Attributes:
        thermal_range: how 16-bit counts become 8 bits.
        alpha: weight of the class colours in the overlay, 0 to 1.
    """

    thermal_range: PercentileRange
    alpha: float


@dataclass(frozen=True)
class Result:
    """The pictures of one pair at the RGB camera's size; None where not wanted.

    Attributes:
        fused: uint8 [H, W, 3] RGB.
        mask: uint8 [H, W], class ids.
        overlay: uint8 [H, W, 3] RGB.
        decode: nanoseconds from messages to the engine's inputs.
        inference: nanoseconds in the engine.
        convert: nanoseconds from its answer to these pictures.
    """

    fused: U8 | None
    mask: U8 | None
    overlay: U8 | None
    decode: int
    inference: int
    convert: int


class Pipeline:
    """One engine with what goes before and after it.

    Args:
        engine: not yet loaded.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._size = (0, 0)
        self._colors = palette(())

    def load(self) -> EngineInfo:
        """Load the engine.

        Raises:
            EngineError: the model can't be loaded.
            EngineMismatch: it does not keep the contract.
        """
        info = self._engine.load()
        self._size = info.card.input_size
        self._colors = palette(info.card.classes)
        # OpenCV takes tens of milliseconds to import: now, not with the first pair.
        overlay(np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1), np.uint8), self._colors, 0.5)
        return info

    def run(
        self, visible: ImageLike, thermal: ImageLike, wanted: Wanted, settings: Settings
    ) -> Result:
        """Fuse and segment one pair.

        Args:
            visible: the RGB camera's message.
            thermal: the thermal camera's message, registered to it.
            wanted: which pictures to make.
            settings: the values to make them with.

        Raises:
            ImageFormatError: a message can't be read; its field begins with the camera's name.
            EngineError: the engine failed.
        """
        started = monotonic_ns()
        with _camera('visible'):
            color = decode_visible(visible)
        with _camera('thermal'):
            heat = to_uint8(decode_thermal(thermal), settings.thermal_range)
        camera_size = (color.shape[0], color.shape[1])
        color_in, heat_in = _fit(color, self._size), _fit(heat, self._size)

        decoded = monotonic_ns()
        prediction = self._engine.infer(color_in, heat_in)

        inferred = monotonic_ns()
        fused = mask = painted = None
        if wanted.fused or wanted.overlay:
            fused = resize_picture(prediction.fused, camera_size)
        if wanted.mask or wanted.overlay:
            mask = resize_mask(prediction.mask, camera_size)
        if wanted.overlay and fused is not None and mask is not None:
            painted = overlay(fused, mask, self._colors, settings.alpha)
        return Result(
            fused=fused if wanted.fused else None,
            mask=mask if wanted.mask else None,
            overlay=painted,
            decode=decoded - started,
            inference=inferred - decoded,
            convert=monotonic_ns() - inferred,
        )

    def close(self) -> None:
        """Free the engine."""
        self._engine.close()


def _fit(picture: U8, size: tuple[int, int]) -> U8:
    """Bring a picture to the model's (height, width); the same array where it has it."""
    if picture.shape[:2] == size:
        return picture
    import cv2

    # AREA averages what it drops, so shrinking does not flicker; enlarging wants LINEAR.
    shrinks = picture.shape[0] > size[0] and picture.shape[1] > size[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, (size[1], size[0]), interpolation=how))


@contextmanager
def _camera(name: str) -> Iterator[None]:
    try:
        yield
    except ImageFormatError as err:
        raise ImageFormatError(f'{name}.{err.field}', err.value, err.expected) from err
