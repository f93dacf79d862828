"""The street unrolled: left wall, ground and right wall as one flat picture that repeats.

Along the rows runs the distance z, across the columns the unrolled cross-section: the left wall
from its top down, the ground from left to right, the right wall up. `backdrop` folds it into
perspective.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.config import STREET, SceneConfig
from scenes.noise import fractal, layer

PERIOD = 48.0  # metres after which the street repeats
ROWS = 768
WALL = 8.0  # metres of wall that are kept; what is higher leaves the picture anyway
PER_METRE = 20  # columns per metre


@dataclass(frozen=True)
class Street:
    """The unrolled street.

    Attributes:
        half_width: metres from the middle to each wall.
        road: metres from the middle to the kerb.
        color: float32 [R, C, 3] RGB, 0 to 255, in daylight.
        degrees: float32 [R, C] in degC.
        solid: float32 [R, C], 1 where something is, 0 where the sky shows.
        glow: float32 [R, C], 0 to 1, how much a lit window shines by itself.
        ambient: air temperature in degC.
    """

    half_width: float
    road: float
    color: NDArray[np.float32]
    degrees: NDArray[np.float32]
    solid: NDArray[np.float32]
    glow: NDArray[np.float32]
    ambient: float


def make_street(config: SceneConfig) -> Street:
    """Draw the street of a scene."""
    rng = config.generator(STREET)
    road = float(rng.uniform(3.2, 6.0))
    half_width = road + float(rng.uniform(2.5, 5.5))
    ambient = float(rng.uniform(2, 16) if config.dark else rng.uniform(8, 27))
    wall = round(WALL * PER_METRE)
    ground = round(2 * half_width * PER_METRE)
    size = (ROWS, 2 * wall + ground)
    color = np.zeros((*size, 3), np.float32)
    degrees = np.full(size, ambient, np.float32)
    solid, glow = np.ones(size, np.float32), np.zeros(size, np.float32)
    middle = slice(wall, wall + ground)
    color[:, middle], degrees[:, middle] = _ground(rng, config, half_width, road, ambient)
    for side, columns in enumerate((slice(0, wall), slice(wall + ground, None))):
        parts = _wall(rng, config, ambient)
        # The left wall's columns run from the top down, so its picture is turned round.
        parts = [part[:, ::-1] if side == 0 else part for part in parts]
        color[:, columns], degrees[:, columns] = parts[0], parts[1]
        solid[:, columns], glow[:, columns] = parts[2], parts[3]
    return Street(half_width, road, color, degrees, solid, glow, ambient)


def _ground(
    rng: np.random.Generator, config: SceneConfig, half_width: float, road: float, ambient: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    cols = round(2 * half_width * PER_METRE)
    x = np.abs((np.arange(cols) + 0.5) / PER_METRE - half_width)
    size = (ROWS, cols)
    rough, stains = layer(rng, size, (ROWS // 2, cols // 2)), fractal(rng, size, (6, 5), 4)
    grey = rng.uniform(60, 135)
    tint = rng.uniform(-7, 7, 3)
    plain = grey + 9 * rough + rng.uniform(4, 14) * stains
    color = (plain[..., None] + tint).astype(np.float32)
    sun = 0.0 if config.dark else rng.uniform(0, 9)
    degrees = (ambient + rng.uniform(-1, 2) + sun + 0.7 * stains + 0.4 * rough).astype(np.float32)
    _cracks(rng, color, degrees)
    _marks(rng, color, degrees, x, road)
    side = x > road
    if rng.random() < 0.6:  # paved slabs
        slab = rng.uniform(95, 175)
        slabs = slab + 8 * rough + 8 * stains
        pitch = int(rng.integers(12, 30))
        slabs[::pitch] -= 28
        slabs[:, ::pitch] -= 22
        color[:, side] = slabs[:, side, None] + rng.uniform(-14, 14, 3)
        degrees[:, side] += rng.uniform(-2, 2)
    else:  # grass
        blades = fractal(rng, size, (90, 60), 3)[:, side, None]
        color[:, side] = np.array([72, 98, 46]) * rng.uniform(0.7, 1.3) + blades * np.array(
            [16, 20, 10]
        )
        degrees[:, side] = ambient - rng.uniform(0, 3) + 0.7 * blades[..., 0]
    kerb = (x > road) & (x < road + 0.18)
    color[:, kerb] = rng.uniform(130, 200) + 6 * rough[:, kerb, None]
    degrees[:, kerb] += 0.8
    return np.clip(color, 4, 250), degrees


def _cracks(
    rng: np.random.Generator, color: NDArray[np.float32], degrees: NDArray[np.float32]
) -> None:
    """Draw cracks, patches of newer tar and manhole covers."""
    rows, cols = degrees.shape
    for _ in range(int(rng.integers(3, 12))):
        steps = rng.normal(0, 1, (14, 2)) * (5, 12) + rng.normal(0, 1, 2) * (4, 18)
        line = (rng.uniform(0, 1, 2) * (cols, rows) + np.cumsum(steps, axis=0)).astype(np.int32)
        shade = float(rng.uniform(25, 60))
        cv2.polylines(color, [line], False, (shade, shade, shade), int(rng.integers(1, 3)))
        cv2.polylines(degrees, [line], False, float(degrees.mean() + rng.uniform(0.4, 2)), 1)
    for _ in range(int(rng.integers(0, 5))):
        row, col = int(rng.integers(0, rows)), int(rng.integers(0, cols))
        deep, wide = int(rng.integers(20, 120)), int(rng.integers(15, 70))
        color[row : row + deep, col : col + wide] *= rng.uniform(0.7, 1.2)
        degrees[row : row + deep, col : col + wide] += rng.uniform(-0.8, 1.2)
    for _ in range(int(rng.integers(0, 4))):
        at = (int(cols * rng.uniform(0.2, 0.8)), int(rng.integers(0, rows)))
        cv2.ellipse(color, at, (8, 6), 0, 0, 360, (58.0, 56.0, 54.0), -1)
        cv2.ellipse(degrees, at, (8, 6), 0, 0, 360, float(degrees.mean() + rng.uniform(-2, 5)), -1)


def _marks(
    rng: np.random.Generator,
    color: NDArray[np.float32],
    degrees: NDArray[np.float32],
    x: NDArray[np.float64],
    road: float,
) -> None:
    """Paint the lines of the road: the middle, the edges, sometimes a crossing."""
    white = np.array([225, 224, 218]) * rng.uniform(0.75, 1.0)
    yellow = np.array([214, 172, 60]) * rng.uniform(0.8, 1.0)
    worn = rng.uniform(0.55, 0.95) + 0.12 * layer(rng, degrees.shape, (ROWS // 3, len(x) // 3))
    worn = np.clip(worn, 0, 1)[..., None].astype(np.float32)

    def put(rows: slice, columns: NDArray[np.bool_], tone: NDArray[np.float64]) -> None:
        part = worn[rows][:, columns]
        color[rows, columns] = color[rows, columns] * (1 - part) + tone * part
        degrees[rows, columns] -= 1.2

    middle = yellow if rng.random() < 0.3 else white
    if rng.random() < 0.85:
        dash = 4 if rng.random() < 0.7 else 1  # 1 is a solid line
        for part in range(8):
            start = part * ROWS // 8
            put(slice(start, start + (ROWS // 8 if dash == 1 else ROWS // 14)), x < 0.09, middle)
    if rng.random() < 0.6:
        put(slice(0, ROWS), (x > road - 0.45) & (x < road - 0.3), white)
    if rng.random() < 0.5:
        start = int(rng.integers(0, ROWS - 60))
        stripes = (np.floor(x / 0.5) % 2 == 0) & (x < road - 0.5)
        put(slice(start, start + 52), stripes, white)


def _wall(
    rng: np.random.Generator, config: SceneConfig, ambient: float
) -> list[NDArray[np.float32]]:
    """Return colour, temperature, solidity and glow of one side, columns from the ground up."""
    cols = round(WALL * PER_METRE)
    size = (ROWS, cols)
    color, degrees = np.zeros((*size, 3), np.float32), np.full(size, ambient, np.float32)
    solid, glow = np.zeros(size, np.float32), np.zeros(size, np.float32)
    row = 0
    sun = 0.0 if config.dark else float(rng.uniform(-1, 9))
    green = rng.uniform(0.2, 0.75)
    while row < ROWS:
        stop = min(ROWS, row + int(rng.integers(90, 260)))
        here = slice(row, stop if ROWS - stop > 60 else ROWS)
        views = (color[here], degrees[here], solid[here], glow[here])
        if rng.random() < green:
            _hedge(rng, views, ambient)
        else:
            _house(rng, views, ambient, sun, config.dark)
        row = here.stop
    shade = rng.uniform(0.6, 1.05)  # one side of the street lies in the shade
    return [np.clip(color * np.float32(shade), 3, 250), degrees, solid, glow]


def _house(
    rng: np.random.Generator,
    views: tuple[NDArray[np.float32], ...],
    ambient: float,
    sun: float,
    dark: bool,
) -> None:
    color, degrees, solid, glow = views
    rows, cols = solid.shape
    tones = ((168, 150, 128), (150, 82, 62), (190, 188, 182), (120, 122, 126), (204, 190, 150))
    tone = np.array(tones[int(rng.integers(len(tones)))]) * rng.uniform(0.6, 1.15)
    stains = fractal(rng, (rows, cols), (4, 6), 5)
    fine = rng.standard_normal((rows, cols)).astype(np.float32)
    top = cols if rng.random() < 0.75 else int(cols * rng.uniform(0.45, 0.9))
    color[:] = tone + (9 * stains + 6 * fine)[..., None]
    if rng.random() < 0.5:
        color[:, :: int(rng.integers(3, 6))] *= 0.9  # brick courses
    degrees[:] = ambient + sun + rng.uniform(0, 2.5) + 0.5 * stains
    solid[:, :top] = 1
    storey, bay = int(rng.uniform(2.6, 3.6) * PER_METRE), int(rng.integers(26, 60))
    low, high = int(0.34 * storey), int(0.8 * storey)
    pane = rng.uniform(0.4, 0.75)
    lit = rng.uniform(0.05, 0.5) if dark else 0.0
    for base in range(0, top - storey // 2, storey):
        for start in range(bay // 4, rows - bay // 2, bay):
            spot = (
                slice(start, start + int(bay * pane)),
                slice(base + low, min(base + high, top)),
            )
            frame = (
                slice(max(spot[0].start - 2, 0), spot[0].stop + 2),
                slice(spot[1].start - 2, spot[1].stop + 2),
            )
            color[frame] = tone * rng.uniform(0.9, 1.35)
            color[spot] = np.array([52, 62, 74]) * rng.uniform(0.4, 1.9)
            degrees[spot] = ambient + rng.uniform(-4, 1.5)  # glass mirrors the cold sky
            if rng.random() < lit:
                color[spot] = np.array([255, 226, 170]) * rng.uniform(0.6, 1.0)
                glow[spot] = rng.uniform(0.35, 1.0)
                degrees[spot] += rng.uniform(1, 4)
    if rng.random() < 0.7:  # a door
        start = int(rng.integers(0, max(1, rows - 24)))
        color[start : start + 18, :42] = np.array([70, 52, 44]) * rng.uniform(0.5, 2.2)
        degrees[start : start + 18, :42] = ambient + rng.uniform(0, 5)
    color[:, max(top - 5, 0) : top] *= 0.7  # eaves
    color[:2] *= 0.6
    color[-2:] *= 0.6


def _hedge(
    rng: np.random.Generator, views: tuple[NDArray[np.float32], ...], ambient: float
) -> None:
    color, degrees, solid, _ = views
    rows, cols = solid.shape
    leaves = fractal(rng, (rows, cols), (6, 7), 5, 0.8)
    outline = fractal(rng, (rows, 2), (7, 2), 4)[:, :1]
    height = rng.uniform(0.12, 1.05) * cols
    edge = height + outline * 0.14 * cols + leaves * 0.05 * cols
    reach = np.arange(cols)[None]
    base = np.array([66, 88, 40]) * rng.uniform(0.4, 1.2) + rng.uniform(-12, 12, 3)
    color[:] = base + leaves[..., None] * np.array([24, 30, 16]) * (base.mean() / 60)
    degrees[:] = ambient + rng.uniform(-2, 1) + 0.8 * leaves
    solid[:] = np.clip(edge - reach, 0, 1)
    if height > 0.6 * cols:  # tall ones are trees: trunks below, dark between
        below = reach[0] < 0.28 * cols
        color[:, below] *= 0.45
        for _ in range(max(1, rows // 70)):
            start = int(rng.integers(0, max(1, rows - 8)))
            color[start : start + 7, below] = np.array([74, 60, 48]) * rng.uniform(0.5, 1.3)
            degrees[start : start + 7, below] = ambient + rng.uniform(0, 2.5)
