"""Bicycles: two wheels, a frame, a handlebar. The rider comes from `people`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scenes.brush import Part
from scenes.config import BIKE
from scenes.pose import Pose

RADIUS = 0.34
AXLES = (-0.52, 0.52)
TINTS = ((150, 30, 30), (30, 60, 130), (30, 32, 34), (190, 190, 192), (40, 110, 70), (200, 150, 40))


@dataclass(frozen=True)
class BikeLook:
    """What one bicycle looks like: the paint of its frame (RGB, 0 to 255) and whether it has a basket."""

    frame: tuple[float, float, float]
    basket: bool


def draw_look(rng: np.random.Generator) -> BikeLook:
    """Draw a bicycle's look at random."""
    return BikeLook(TINTS[int(rng.integers(len(TINTS)))], bool(rng.random() < 0.4))


def bike_parts(look: BikeLook, pose: Pose, ambient: float, ridden: float) -> list[Part]:
    """Return the parts of a bicycle.

    The discs inside the wheels let the background through but count as bike: people draw labels so.

    Args:
        look: its paint.
        pose: where, and where to.
        ambient: air temperature in degC.
        ridden: metres gone so far; above 0 the tyres are slightly warm.
    """
    parts: list[Part] = []
    turn = np.linspace(0, 2 * np.pi, 25)[:-1]
    tyre = ambient + (2.5 if ridden > 0 else 0.5)
    for axle in AXLES:
        ring = np.stack(
            [axle + RADIUS * np.cos(turn), np.zeros(24), RADIUS + RADIUS * np.sin(turn)], axis=1
        )
        parts.append(Part(pose.place(ring), (96, 98, 100), ambient - 0.5, BIKE, alpha=0.3))
        parts.append(Part(pose.place(ring), (24, 24, 26), tyre, BIKE, thickness=0.055, closed=True))
    saddle, crank, stem, fork = (-0.2, 0, 0.86), (-0.05, 0, 0.3), (0.42, 0, 0.92), (0.52, 0, 0.34)
    rear = (-0.52, 0, 0.34)
    lines = (
        ((crank, (-0.18, 0, 0.8), (0.4, 0, 0.82), crank, rear, (-0.16, 0, 0.72)), 0.045, look.frame),
        ((fork, stem, (0.45, 0, 1.02)), 0.045, look.frame),
        (((0.48, -0.27, 1.04), (0.46, 0.27, 1.04)), 0.04, (40.0, 40.0, 42.0)),
        (((-0.32, 0, 0.9), (-0.08, 0, 0.9)), 0.09, (26.0, 24.0, 24.0)),
        ((saddle, (-0.16, 0, 0.76)), 0.04, (120.0, 120.0, 122.0)),
    )
    for points, thick, color in lines:
        parts.append(Part(pose.place(points), color, ambient - 0.6, BIKE, thickness=thick))
    if look.basket:
        box = [(0.5, 0, 0.8), (0.52, 0, 1.0), (0.8, 0, 1.02), (0.74, 0, 0.8)]
        parts.append(Part(pose.place(box), (70, 70, 72), ambient - 0.4, BIKE, alpha=0.8))
        front = [(0.66, -0.16, 0.8), (0.66, 0.16, 0.8), (0.66, 0.18, 1.0), (0.66, -0.18, 1.0)]
        parts.append(Part(pose.place(front), (70, 70, 72), ambient - 0.4, BIKE, alpha=0.8))
    return parts
