"""Bicycles: two wheels, a frame, a handlebar. The rider comes from `people`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scenes.brush import Color, Part
from scenes.config import BIKE
from scenes.pose import Point

RADIUS = 0.34
AXLES = (-0.52, 0.52)
PAINTS: tuple[Color, ...] = (
    (150, 30, 30), (30, 60, 130), (30, 32, 34), (190, 190, 192), (40, 110, 70), (200, 150, 40),
)  # fmt: skip
BLACK: Color = (26.0, 24.0, 24.0)
STEEL: Color = (120.0, 120.0, 122.0)
TURN = tuple(float(angle) for angle in np.linspace(0, 2 * np.pi, 21)[:-1])
SPOKES = 0.3  # how much of what lies behind a wheel the spokes hide


@dataclass(frozen=True)
class BikeLook:
    """What one bicycle looks like: the paint of its frame (RGB, 0 to 255), if it has a basket."""

    frame: Color
    basket: bool


def draw_look(rng: np.random.Generator) -> BikeLook:
    """Draw a bicycle's look at random."""
    return BikeLook(PAINTS[int(rng.integers(len(PAINTS)))], bool(rng.random() < 0.4))


def bike_parts(look: BikeLook, ambient: float, ridden: bool) -> list[Part]:
    """Return the parts of a bicycle.

    The discs inside the wheels let the background through but count as bike: labels of real
    pictures are drawn so.

    Args:
        look: its paint.
        ambient: air temperature in degC.
        ridden: whether someone rides it, which warms the tyres slightly.
    """
    parts: list[Part] = []
    tyre = ambient + (2.5 if ridden else 0.5)
    for axle in AXLES:
        ring: list[Point] = [
            (axle + RADIUS * float(np.cos(angle)), 0.0, RADIUS + RADIUS * float(np.sin(angle)))
            for angle in TURN
        ]
        parts.append(Part(ring, (96, 98, 100), ambient - 0.5, BIKE, alpha=SPOKES))
        parts.append(Part(ring, (24, 24, 26), tyre, BIKE, thickness=0.055, closed=True))
    crank, rear, fork = (-0.05, 0.0, 0.3), (-0.52, 0.0, 0.34), (0.52, 0.0, 0.34)
    post = (-0.18, 0.0, 0.8)
    tubes: list[tuple[list[Point], float, Color]] = [
        ([crank, post, (0.4, 0.0, 0.82), crank, rear, (-0.16, 0.0, 0.72)], 0.045, look.frame),
        ([fork, (0.42, 0.0, 0.92), (0.45, 0.0, 1.02)], 0.045, look.frame),
        ([(0.48, -0.27, 1.04), (0.46, 0.27, 1.04)], 0.04, BLACK),
        ([(-0.32, 0.0, 0.9), (-0.08, 0.0, 0.9)], 0.09, BLACK),
        ([(-0.2, 0.0, 0.86), post], 0.04, STEEL),
    ]
    for points, thick, color in tubes:
        parts.append(Part(points, color, ambient - 0.6, BIKE, thickness=thick))
    if look.basket:
        side = [(0.5, 0.0, 0.8), (0.52, 0.0, 1.0), (0.8, 0.0, 1.02), (0.74, 0.0, 0.8)]
        end = [(0.66, -0.16, 0.8), (0.66, 0.16, 0.8), (0.66, 0.18, 1.0), (0.66, -0.18, 1.0)]
        for box in (side, end):
            parts.append(Part(box, (70, 70, 72), ambient - 0.4, BIKE, alpha=0.8))
    return parts
