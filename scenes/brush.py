"""Draws one object: flat parts in space, projected, smoothed, and laid over both images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.pose import Point, Pose

SUBPIXEL = 4  # fractional bits of the places handed to OpenCV
DRAWN_TALL = 180  # about how many pixels tall small objects are drawn, before they are reduced
MAX_OVERSAMPLING = 3.0
NEAREST = 0.4  # metres: parts closer to the lens than this are not drawn
PATCH = 160  # pixels of surface texture that one object shows

Color = tuple[float, float, float]


@dataclass(frozen=True)
class Part:
    """One flat piece of an object.

    Attributes:
        points: corners, or the joints of a limb, (forward, right, up) in the object's own metres.
        color: RGB, 0 to 255 each.
        degrees: surface temperature in degC.
        label: class id.
        alpha: 0 lets everything through, 1 hides it.
        thickness: 0 fills the corners; above 0 the part is a line this many metres thick.
        closed: whether a line ends where it began.
    """

    points: Sequence[Point]
    color: Color
    degrees: float
    label: int
    alpha: float = 1.0
    thickness: float = 0.0
    closed: bool = False


@dataclass(frozen=True)
class Surface:
    """How an object's surface is shown.

    Attributes:
        light: how bright it is lit, 1 is daylight.
        grain: how strongly the texture shows; 1 is rough cloth, 0 is plain.
        start: (row, column) of the texture where this object's begins, so that it moves along.
        owner: the object's number, 1 to 255.
    """

    light: float
    grain: float
    start: tuple[int, int]
    owner: int


@dataclass(frozen=True)
class Canvas:
    """The images that objects are drawn on, changed in place.

    Attributes:
        visible: uint8 [H, W, 3] RGB.
        degrees: float32 [H, W] in degC.
        label: uint8 [H, W] class ids.
        owner: uint8 [H, W], the number of the object that is seen; 0 is scenery.
        texture: float32 [T, T], mean 0, laid over the objects' surfaces.
    """

    visible: NDArray[np.uint8]
    degrees: NDArray[np.float32]
    label: NDArray[np.uint8]
    owner: NDArray[np.uint8]
    texture: NDArray[np.float32] = field(repr=False)


def paint(
    canvas: Canvas, camera: Camera, pose: Pose, parts: Sequence[Part], surface: Surface
) -> None:
    """Draw the parts in their order, later ones over earlier ones.

    The parts are first drawn as a picture of part numbers, larger than needed, from which colour,
    temperature and label are looked up and reduced: each shape is drawn once, edges come out
    smooth, and all images agree to the pixel.

    Args:
        canvas: changed in place.
        camera: projects the parts.
        pose: where the object stands.
        parts: at most 255; those behind the camera are left out.
        surface: light and texture.
    """
    points = pose.place([point for part in parts for point in part.points])
    ends = np.cumsum([len(part.points) for part in parts])[:-1]
    spots = np.split(camera.project(points), ends)
    depths = [float(piece.min()) for piece in np.split(points[:, 2], ends)]
    middles = [float(piece.mean()) for piece in np.split(points[:, 2], ends)]
    pens = [camera.fx * p.thickness / max(z, NEAREST) for p, z in zip(parts, middles, strict=True)]
    shown = [number for number, depth in enumerate(depths[:255]) if depth > NEAREST]
    if not shown:
        return
    every = np.concatenate([spots[number] for number in shown])
    margin = max(pens[number] for number in shown) / 2 + 2
    left, top = (int(edge) for edge in np.floor(every.min(axis=0) - margin))
    right, bottom = (int(edge) for edge in np.ceil(every.max(axis=0) + margin))
    zoom = float(np.clip(DRAWN_TALL / max(bottom - top, 1), 1.0, MAX_OVERSAMPLING))
    height, width = canvas.label.shape
    left, top, right, bottom = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    if right - left < 1 or bottom - top < 1:
        return
    cols, rows = round((right - left) * zoom), round((bottom - top) * zoom)
    numbers = np.zeros((rows, cols), np.uint8)
    scale = np.array([cols / (right - left), rows / (bottom - top)])
    for number in shown:
        # +0.5 -0.5: pixel centres stay where they are when the picture is enlarged.
        at = (spots[number] - (left, top) + 0.5) * scale - 0.5
        corners = np.clip(np.rint(at * (1 << SUBPIXEL)), -(2**18), 2**18).astype(np.int32)
        if parts[number].thickness > 0:
            pen, closed = max(1, round(pens[number] * zoom)), parts[number].closed
            cv2.polylines(numbers, [corners], closed, number + 1, pen, cv2.LINE_8, SUBPIXEL)
        else:
            cv2.fillPoly(numbers, [corners], number + 1, cv2.LINE_8, SUBPIXEL)
    _blend(canvas, parts, numbers, (slice(top, bottom), slice(left, right)), surface)


def _blend(
    canvas: Canvas,
    parts: Sequence[Part],
    numbers: NDArray[np.uint8],
    window: tuple[slice, slice],
    surface: Surface,
) -> None:
    """Look the part numbers up, reduce them to the window and lay them over the canvas."""
    # Row 0 stands for 'nothing drawn'. Colours hold the alpha already: the reduction needs that.
    alphas = np.array([0.0, *(part.alpha for part in parts)], np.float32)
    table = np.zeros((len(parts) + 1, 4), np.float32)
    table[1:, :3] = [part.color for part in parts]
    table[1:, :3] = np.minimum(table[1:, :3] * np.float32(surface.light), 255)
    table[1:, 3] = [part.degrees for part in parts]
    table *= alphas[:, None]
    label = canvas.label[window]
    size = (label.shape[1], label.shape[0])
    layers = cv2.resize(np.take(table, numbers, axis=0), size, interpolation=cv2.INTER_AREA)
    cover = cv2.resize(np.take(alphas, numbers), size, interpolation=cv2.INTER_AREA)
    span = canvas.texture.shape[0] - PATCH
    row, col = surface.start[0] % span, surface.start[1] % span
    grain = cv2.resize(canvas.texture[row : row + PATCH, col : col + PATCH], size)
    layers[..., :3] *= (1 + surface.grain * grain)[..., None]
    layers[..., 3] += (4 * surface.grain) * grain * cover  # 10 % brighter is 0.4 degC warmer
    keep = 1 - cover
    visible, degrees = canvas.visible[window], canvas.degrees[window]
    color = visible * keep[..., None] + layers[..., :3]
    np.copyto(visible, np.clip(color, 0, 255).astype(np.uint8))
    np.copyto(degrees, degrees * keep + layers[..., 3])
    seen = cv2.resize(numbers, size, interpolation=cv2.INTER_NEAREST)
    ids = np.array([0, *(part.label for part in parts)], np.uint8)
    np.copyto(label, ids[seen], where=seen > 0)
    np.copyto(canvas.owner[window], surface.owner, where=seen > 0)
