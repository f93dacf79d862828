"""Draws one object: flat parts in space, projected, smoothed, and laid over both images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.camera import Camera

SUBPIXEL = 4  # fractional bits of the places handed to OpenCV
CANVAS_SIDE = 220  # about how many canvas pixels an object is tall, so that small ones come out smooth
MAX_OVERSAMPLING = 4.0
NEAREST = 0.4  # metres: points closer to the lens than this are not drawn


@dataclass(frozen=True)
class Part:
    """One flat piece of an object.

    Attributes:
        points: float64 [N, 3] corners, or the two ends of a limb, in camera metres.
        color: RGB, 0 to 255 each.
        degrees: surface temperature in degC.
        label: class id.
        alpha: 0 lets everything through, 1 hides it.
        thickness: 0 fills the corners; else the parts is a line this many metres thick.
        closed: whether a line ends where it began.
    """

    points: NDArray[np.float64]
    color: tuple[float, float, float]
    degrees: float
    label: int
    alpha: float = 1.0
    thickness: float = 0.0
    closed: bool = False


@dataclass
class Canvas:
    """The three images that objects are drawn on.

    Attributes:
        visible: uint8 [H, W, 3] RGB.
        degrees: float32 [H, W] in degC.
        label: uint8 [H, W] class ids.
        texture: float32 [T, T] around 1, laid over the objects' surfaces.
    """

    visible: NDArray[np.uint8]
    degrees: NDArray[np.float32]
    label: NDArray[np.uint8]
    texture: NDArray[np.float32] = field(repr=False)


def paint(
    canvas: Canvas, camera: Camera, parts: Sequence[Part], light: float, texture_at: tuple[int, int]
) -> None:
    """Draw the parts in their order, later ones over earlier ones.

    The parts are first drawn as a picture of part numbers, larger than needed, from which colour,
    temperature and label are looked up and reduced: each shape is drawn once, edges come out smooth,
    and the three images agree to the pixel.

    Args:
        canvas: changed in place.
        camera: projects the parts.
        parts: at most 255; those behind the camera are left out.
        light: how bright the object is lit, 1 is daylight.
        texture_at: (row, column) of the texture where this object's begins, so that it moves along.
    """
    shown = [part for part in parts if float(part.points[:, 2].min()) > NEAREST][:255]
    if not shown:
        return
    places = [camera.project(part.points) for part in shown]
    pens = [camera.fx * part.thickness / float(part.points[:, 2].mean()) for part in shown]
    height, width = canvas.label.shape
    every = np.concatenate(places)
    margin = max(pens) / 2 + 2
    left, top = np.floor(every.min(axis=0) - margin).astype(int)
    right, bottom = np.ceil(every.max(axis=0) + margin).astype(int)
    zoom = float(np.clip(CANVAS_SIDE / max(bottom - top, 1), 1.0, MAX_OVERSAMPLING))
    left, top, right, bottom = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    if right - left < 1 or bottom - top < 1:
        return
    size = (right - left, bottom - top)
    numbers = np.zeros((max(1, round(size[1] * zoom)), max(1, round(size[0] * zoom))), np.uint8)
    scale = np.array([numbers.shape[1] / size[0], numbers.shape[0] / size[1]])
    for number, (part, place, pen) in enumerate(zip(shown, places, pens, strict=True), start=1):
        # +0.5 -0.5: pixel centres stay where they are when the picture is enlarged.
        at = (place - (left, top) + 0.5) * scale - 0.5
        corners = np.clip(np.rint(at * (1 << SUBPIXEL)), -(2**18), 2**18).astype(np.int32)
        if part.thickness > 0:
            stroke = max(1, round(pen * zoom))
            cv2.polylines(numbers, [corners], part.closed, number, stroke, cv2.LINE_8, SUBPIXEL)
        else:
            cv2.fillPoly(numbers, [corners], number, cv2.LINE_8, SUBPIXEL)
    _blend(canvas, shown, numbers, (slice(top, bottom), slice(left, right)), light, texture_at)


def _blend(
    canvas: Canvas,
    parts: Sequence[Part],
    numbers: NDArray[np.uint8],
    window: tuple[slice, slice],
    light: float,
    texture_at: tuple[int, int],
) -> None:
    """Look the part numbers up, reduce them to the window and lay them over the canvas."""
    # Row 0 stands for "nothing drawn". Colours hold the alpha already: the reduction needs that.
    table = np.zeros((len(parts) + 1, 4), np.float32)
    for row, part in zip(table[1:], parts, strict=True):
        row[:3] = np.minimum(np.asarray(part.color, np.float32) * np.float32(light), 255.0)
        row[3] = part.degrees
        row *= part.alpha
    layers = np.take(table, numbers, axis=0)
    covers = np.array([0.0, *(part.alpha for part in parts)], np.float32)[numbers]
    rows, cols = numbers.shape
    side = canvas.texture.shape[0]
    row_at, col_at = texture_at[0] % (side // 2), texture_at[1] % (side // 2)
    grain = canvas.texture[row_at : row_at + min(rows, side // 2), col_at : col_at + min(cols, side // 2)]
    if grain.shape != (rows, cols):
        grain = cv2.resize(grain, (cols, rows), interpolation=cv2.INTER_LINEAR)
    layers[..., :3] *= grain[..., None]
    layers[..., 3] += (grain - 1.0) * 4.0 * covers  # 10 % brighter is 0.4 degC warmer
    visible, degrees, label = canvas.visible[window], canvas.degrees[window], canvas.label[window]
    size = (label.shape[1], label.shape[0])
    small = cv2.resize(layers, size, interpolation=cv2.INTER_AREA)
    keep = 1.0 - cv2.resize(covers, size, interpolation=cv2.INTER_AREA)
    np.copyto(visible, np.clip(visible * keep[..., None] + small[..., :3], 0, 255).astype(np.uint8))
    np.copyto(degrees, degrees * keep + small[..., 3])
    ids = np.array([0, *(part.label for part in parts)], np.uint8)
    classes = cv2.resize(ids[numbers], size, interpolation=cv2.INTER_NEAREST)
    np.copyto(label, classes, where=classes > 0)
