"""Things on the street that are none of the classes: lamp posts, signs, bins, bollards, boxes.

Some are as warm as people. Without them a network learns that everything warm or upright counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scenes.brush import Color, Part
from scenes.config import BACKGROUND
from scenes.pose import Point

KINDS = ('lamp post', 'sign', 'bin', 'bollard', 'cabinet')


@dataclass(frozen=True)
class ClutterLook:
    """What one of them looks like.

    Attributes:
        kind: one of KINDS.
        paint: RGB, 0 to 255.
        height: metres.
        width: metres.
        warmth: degC above the air.
        lit: whether its lamp shines.
    """

    kind: str
    paint: Color
    height: float
    width: float
    warmth: float
    lit: bool


def draw_look(rng: np.random.Generator, dark: bool) -> ClutterLook:
    """Draw a thing at random."""
    kind = KINDS[int(rng.integers(len(KINDS)))]
    tall = {'lamp post': (3.5, 6.5), 'sign': (2.0, 2.8), 'bin': (0.8, 1.2)}.get(kind, (0.6, 1.6))
    wide = {'lamp post': 0.14, 'sign': 0.62, 'bin': 0.6, 'bollard': 0.2}.get(kind, 0.8)
    red, green, blue = (float(tone) for tone in rng.uniform(30, 170) + rng.uniform(-50, 50, 3))
    return ClutterLook(
        kind=kind,
        paint=(max(red, 5.0), max(green, 5.0), max(blue, 5.0)),
        height=float(rng.uniform(*tall)),
        width=wide * float(rng.uniform(0.8, 1.3)),
        warmth=float(rng.uniform(4, 16) if rng.random() < 0.25 else rng.uniform(-2, 3)),
        lit=dark and kind == 'lamp post',
    )


def clutter_parts(look: ClutterLook, ambient: float, light: float) -> list[Part]:
    """Return the parts of a thing.

    Args:
        look: which one.
        ambient: air temperature in degC.
        light: how bright it is lit; a lamp's own colour is kept from being dimmed by it.
    """
    heat, high, half = ambient + look.warmth, look.height, look.width / 2

    def pole(top: float, thick: float, color: Color) -> Part:
        shaft: list[Point] = [(0.0, 0.0, 0.05), (0.0, 0.0, top)]
        return Part(shaft, color, heat, BACKGROUND, thickness=thick)

    if look.kind == 'lamp post':
        bulb = 250.0 / max(light, 0.02) if look.lit else 200.0
        arm: list[Point] = [(0.0, 0.0, high), (0.0, 0.7, high + 0.15)]
        lamp: list[Point] = [(0.0, 0.55, high + 0.1), (0.0, 0.8, high + 0.12)]
        glow = heat + (14 if look.lit else 0)
        return [
            pole(high, look.width, look.paint),
            Part(arm, look.paint, heat, BACKGROUND, thickness=0.1),
            Part(lamp, (bulb, bulb * 0.95, bulb * 0.8), glow, BACKGROUND, thickness=0.16),
        ]
    if look.kind == 'sign':
        turn = np.linspace(0, 2 * np.pi, 9 if half > 0.3 else 4)[:-1] + 0.4
        plate: list[Point] = [
            (0.0, half * float(np.cos(a)), high - half + half * float(np.sin(a))) for a in turn
        ]
        inner: list[Point] = [
            (0.0, p[1] * 0.7, high - half + (p[2] - high + half) * 0.7) for p in plate
        ]
        return [
            pole(high - half, 0.07, (120.0, 122.0, 124.0)),
            Part(plate, (190.0, 34.0, 34.0), ambient - 1.0, BACKGROUND),
            Part(inner, (226.0, 226.0, 222.0), ambient - 1.2, BACKGROUND),
        ]
    if look.kind == 'bollard':
        cap: list[Point] = [(0.0, 0.0, high * 0.7), (0.0, 0.0, high * 0.8)]
        return [
            pole(high, look.width, look.paint),
            Part(cap, (220.0, 220.0, 214.0), heat, BACKGROUND, thickness=look.width),
        ]
    box: list[Point] = [(0.0, -half, 0.0), (0.0, half, 0.0), (0.0, half, high), (0.0, -half, high)]
    lid: list[Point] = [(0.0, -half * 1.1, high), (0.0, half * 1.1, high)]
    dark: Color = (look.paint[0] * 0.6, look.paint[1] * 0.6, look.paint[2] * 0.6)
    seam: list[Point] = [(0.0, 0.0, 0.1), (0.0, 0.0, high * 0.9)]
    return [
        Part(box, look.paint, heat, BACKGROUND),
        Part(lid, dark, heat + 0.5, BACKGROUND, thickness=0.1),
        Part(seam, dark, heat, BACKGROUND, thickness=0.03),
    ]
