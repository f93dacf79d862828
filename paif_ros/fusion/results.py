"""From the network's answer to the pictures that leave, and only those somebody wants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from paif_ros.contract import ClassLabel
from paif_ros.engines.base import U8, Prediction
from paif_ros.parameters import OverlayParameters
from paif_ros.pictures.drawing import (
    blend_outside,
    color_mask,
    grey_to_rgb,
    overlay,
    palette,
    resize_mask,
    resize_picture,
)
from paif_ros.pictures.legend import draw_legend
from paif_ros.registration.registration import Warp


@dataclass(frozen=True)
class Wanted:
    """Which pictures somebody listens to. The others are not made."""

    fused: bool = False
    mask: bool = False
    color_mask: bool = False
    overlay: bool = False
    confidence: bool = False
    thermal: bool = False
    validity: bool = False

    @property
    def prediction(self) -> bool:
        """Whether any of them needs the network."""
        return any((self.fused, self.mask, self.color_mask, self.overlay, self.confidence))


@dataclass(frozen=True)
class Scene:
    """What both cameras see, in the frame and at the size of the reference camera.

    Attributes:
        color: uint8 [H, W, 3] RGB.
        heat: uint8 [H, W] registered to it; without registration the thermal camera's own [h, w].
        warp: how it was registered, None without registration.
        alone: 'visible' or 'thermal' where the other camera has stopped and is stood in for.
    """

    color: U8
    heat: U8
    warp: Warp | None = None
    alone: str = ''

    @property
    def partly_blind(self) -> bool:
        """Whether the thermal camera sees some of the picture only."""
        return self.warp is not None and self.warp.coverage < 1

    def validity(self, size: tuple[int, int]) -> U8:
        """Return uint8 [*size], 255 where the thermal camera looks and 0 elsewhere."""
        if self.warp is not None:
            return resize_mask(self.warp.valid, size)
        return np.full(size, 0 if self.alone == 'visible' else 255, np.uint8)


@dataclass(frozen=True)
class Result:
    """The pictures of one job, all of one size; None where not wanted or not to be had.

    Attributes:
        size: (height, width) of all.
        fused: uint8 [H, W, 3] RGB. Where only one camera looks it is that one's picture.
        mask: uint8 [H, W], class ids.
        color_mask: uint8 [H, W, 3] RGB.
        overlay: uint8 [H, W, 3] RGB.
        confidence: uint8 [H, W], 255 for certain; None where the model does not give it.
        thermal: uint8 [H, W], what the network saw; None where the thermal camera has stopped.
        validity: uint8 [H, W], 255 where the thermal camera looks, 0 where RGB is alone.
        flat: whether the network answered a picture with one single colour, as after a NaN.
        times: nanoseconds by stage.
        scene: what both cameras saw, at the reference camera's size.
    """

    size: tuple[int, int]
    fused: U8 | None = None
    mask: U8 | None = None
    color_mask: U8 | None = None
    overlay: U8 | None = None
    confidence: U8 | None = None
    thermal: U8 | None = None
    validity: U8 | None = None
    flat: bool = False
    times: Mapping[str, int] = field(default_factory=dict)
    scene: Scene | None = None


class Artist:
    """Makes the pictures in the colours of one model's classes.

    Args:
        classes: of the model.
    """

    def __init__(self, classes: Sequence[ClassLabel]) -> None:
        self._classes = classes
        self._colors = palette(classes)

    def draw(
        self,
        prediction: Prediction | None,
        scene: Scene,
        size: tuple[int, int],
        wanted: Wanted,
        style: OverlayParameters,
    ) -> dict[str, U8]:
        """Make the wanted pictures.

        Args:
            prediction: the network's answer, None where no picture needs it.
            scene: what it was asked.
            size: (height, width) of the pictures.
            wanted: which ones to make.
            style: of the overlay.

        Returns:
            The pictures by the name of their field in `Result`.
        """
        made: dict[str, U8] = {}
        if wanted.thermal and scene.alone != 'visible':  # a stand-in would pass for a measurement
            made['thermal'] = resize_picture(scene.heat, size)
        if wanted.validity:
            made['validity'] = scene.validity(size)
        if prediction is None:
            return made
        if wanted.fused or (wanted.overlay and style.source == 'fused'):
            made['fused'] = self._fused(prediction, scene, size)
        if wanted.mask or wanted.color_mask or wanted.overlay:
            made['mask'] = resize_mask(prediction.mask, size)
        if wanted.color_mask:
            made['color_mask'] = color_mask(made['mask'], self._colors)
        if wanted.overlay:
            below = (
                made['fused']
                if style.source == 'fused'
                else _camera_picture(scene, size, style.source)
            )
            made['overlay'] = self._paint(below, made['mask'], style)
        if wanted.confidence and prediction.confidence is not None:
            made['confidence'] = resize_picture(prediction.confidence, size)
        return {name: picture for name, picture in made.items() if getattr(wanted, name)}

    def _fused(self, prediction: Prediction, scene: Scene, size: tuple[int, int]) -> U8:
        if scene.alone:
            return _camera_picture(scene, size, scene.alone)
        fused = resize_picture(prediction.fused, size)
        if not scene.partly_blind:
            return fused
        return blend_outside(fused, resize_picture(scene.color, size), scene.validity(size))

    def _paint(self, picture: U8, mask: U8, style: OverlayParameters) -> U8:
        painted = overlay(picture, mask, self._colors, style.alpha, outlines=style.outlines)
        return draw_legend(painted, self._classes) if style.legend else painted


def _camera_picture(scene: Scene, size: tuple[int, int], source: str) -> U8:
    """Return one camera's picture as uint8 [*size, 3]; the other one's where that has stopped."""
    if (scene.alone or source) == 'visible':
        return resize_picture(scene.color, size)
    return grey_to_rgb(resize_picture(scene.heat, size))
