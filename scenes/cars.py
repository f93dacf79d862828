"""Cars: a side view drawn out to the car's width, with windows, wheels and lamps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scenes.brush import Color, Part
from scenes.config import CAR
from scenes.pose import Point

# Side views as (forward, up) in metres, from the rear bumper's foot over the roof to the front's,
# and the width. The corners mean the same in all of them: 3 to 6 hold the glass and the roof.
SHAPES: dict[str, tuple[tuple[tuple[float, float], ...], float]] = {
    'saloon': (
        ((-2.25, 0.32), (-2.28, 0.72), (-2.2, 0.98), (-1.6, 1.02), (-0.95, 1.42), (0.35, 1.44),
         (1.05, 0.98), (2.05, 0.82), (2.25, 0.62), (2.22, 0.28)), 1.78),
    'hatchback': (
        ((-1.9, 0.32), (-1.96, 0.75), (-1.9, 0.98), (-1.82, 1.02), (-1.4, 1.46), (0.3, 1.5),
         (1.05, 1.02), (1.75, 0.86), (1.95, 0.62), (1.92, 0.28)), 1.72),
    'estate': (
        ((-2.3, 0.34), (-2.36, 0.78), (-2.3, 1.08), (-2.26, 1.12), (-2.0, 1.68), (0.35, 1.7),
         (1.0, 1.16), (2.05, 1.0), (2.3, 0.72), (2.26, 0.32)), 1.88),
    'van': (
        ((-2.4, 0.34), (-2.44, 0.8), (-2.42, 1.1), (-2.4, 1.14), (-2.3, 2.02), (1.3, 2.05),
         (2.0, 1.16), (2.4, 1.0), (2.5, 0.7), (2.46, 0.32)), 1.86),
}  # fmt: skip
PAINTS = (
    (226, 227, 226), (238, 238, 236), (168, 171, 176), (120, 124, 130), (40, 41, 44), (24, 25, 28),
    (150, 28, 30), (34, 62, 122), (70, 96, 132), (52, 84, 62), (190, 160, 60), (112, 84, 62),
)  # fmt: skip
GLASS = (34.0, 40.0, 46.0)
RUBBER = (26.0, 26.0, 28.0)
TAPER = 0.82  # the roof is narrower than the sills
TURN = tuple(float(angle) for angle in np.linspace(0, 2 * np.pi, 17)[:-1])


@dataclass(frozen=True)
class CarLook:
    """What one car looks like.

    Attributes:
        shape: a key of SHAPES.
        paint: RGB, 0 to 255.
        warmth: degC of the engine above the air; about 0 for one parked long ago.
        sun: degC that the sun adds to the roof.
        lamps: whether its lamps are lit.
    """

    shape: str
    paint: Color
    warmth: float
    sun: float
    lamps: bool


def draw_look(rng: np.random.Generator, dark: bool, parked: bool) -> CarLook:
    """Draw a car's look at random."""
    paint = np.array(PAINTS[int(rng.integers(len(PAINTS)))]) * rng.uniform(0.85, 1.05)
    red, green, blue = (float(tone) for tone in paint)
    warm = rng.uniform(0, 9) if parked else rng.uniform(9, 26)
    return CarLook(
        shape=sorted(SHAPES)[int(rng.integers(len(SHAPES)))],
        paint=(red, green, blue),
        warmth=float(warm),
        sun=0.0 if dark else float(rng.uniform(0, 12)),
        lamps=dark and not parked,
    )


def head_lamps(look: CarLook) -> list[Point]:
    """Return the places of both headlamps."""
    profile, width = SHAPES[look.shape]
    return [(profile[-2][0] + 0.02, side * (width / 2 - 0.25), 0.7) for side in (-1, 1)]


def car_parts(look: CarLook, eye: Point, ambient: float) -> list[Part]:
    """Return the parts of a car, the far ones first.

    Args:
        look: which car.
        eye: where the camera is from the car's point of view; decides which faces are seen.
        ambient: air temperature in degC.
    """
    profile, width = SHAPES[look.shape]
    half = [width / 2 * (TAPER if up > 1.2 else 1.0) for _, up in profile]
    below = [(-2.0, -0.75, 0.2), (-2.0, 0.75, 0.2), (1.9, 0.75, 0.2), (1.9, -0.75, 0.2)]
    parts = [Part(below, (14, 14, 15), ambient + 0.45 * look.warmth + 1, CAR)]
    near_side = 1.0 if eye[1] > 0 else -1.0
    side_seen = abs(eye[1]) > width / 2
    parts += _wheels(look, -near_side, ambient, rim=False)
    parts += [] if side_seen else _wheels(look, near_side, ambient, rim=False)
    for index in range(len(profile) - 1):
        (along, up), (next_along, next_up) = profile[index], profile[index + 1]
        # The side view runs clockwise, so this is the outward normal of the edge.
        outward = (up - next_up) * (eye[0] - along) + (next_along - along) * (eye[2] - up)
        if outward > 0:
            quad = [
                (along, -half[index], up),
                (next_along, -half[index + 1], next_up),
                (next_along, half[index + 1], next_up),
                (along, half[index], up),
            ]
            parts.append(_panel(look, index, quad, ambient))
    if side_seen:
        parts += _flank(look, near_side, half, ambient)
        parts += _wheels(look, near_side, ambient, rim=True)
    if eye[0] > profile[-1][0]:
        parts += _front(look, ambient)
    elif eye[0] < profile[0][0]:
        parts += _rear(look, ambient)
    return parts


def _panel(look: CarLook, index: int, quad: list[Point], ambient: float) -> Part:
    """Return the strip across the car between two corners of the side view."""
    if index in (3, 5):  # rear window and windscreen mirror the cold sky
        return Part(quad, GLASS, ambient - 3.0 + 0.25 * look.sun, CAR)
    if index == 4:
        return Part(quad, _tone(look, 1.08), ambient - 1.0 + look.sun, CAR)
    if index in (6, 7):  # bonnet: the engine is below it
        heat = (0.55 if index == 6 else 0.7) * look.warmth + 0.5 * look.sun
        return Part(quad, _tone(look, 1.02), ambient + heat, CAR)
    if index == 8:
        return Part(quad, _tone(look, 0.72), ambient + 0.95 * look.warmth, CAR)
    return Part(quad, _tone(look, 0.88 if index > 0 else 0.7), _body(look, ambient), CAR)


def _flank(look: CarLook, side: float, half: list[float], ambient: float) -> list[Part]:
    profile, _ = SHAPES[look.shape]
    shade, body = (0.8 if side < 0 else 0.92), _body(look, ambient)
    edge = [(along, side * wide, up) for (along, up), wide in zip(profile, half, strict=True)]
    parts = [Part(edge, _tone(look, shade), body, CAR)]
    low, high = (1.0 if profile[4][1] < 1.6 else 1.12), profile[4][1] - 0.07
    wide, top_wide = side * (half[0] - 0.01), side * (half[4] + 0.005)
    back, nose = profile[3][0] + 0.12, profile[6][0] - 0.12
    top_back, top_front = profile[4][0] + 0.05, profile[5][0] - 0.03
    if look.shape == 'van':  # no windows behind the driver
        back = top_back = 0.45
    window = [
        (back, wide, low),
        (top_back, top_wide, high),
        (top_front, top_wide, high),
        (nose, wide, low),
    ]
    parts.append(Part(window, GLASS, ambient - 2.5 + 0.3 * look.sun, CAR))
    mid = (back + nose) / 2
    pillar = [(mid, wide, low), (mid, top_wide, high)]
    parts.append(Part(pillar, _tone(look, shade * 0.8), body, CAR, thickness=0.07))
    for door in (mid, nose - 0.1, back + 0.1):
        seam = [(door, wide, 0.38), (door, wide, low)]
        parts.append(Part(seam, _tone(look, shade * 0.6), body - 0.5, CAR, thickness=0.025))
    # A filled strip, not a line: a line has one thickness, here near and far end may differ a lot.
    rear, front = profile[0][0], profile[-1][0]
    sill = [(rear, wide, 0.3), (rear, wide, 0.39), (front, wide, 0.37), (front, wide, 0.28)]
    parts.append(Part(sill, _tone(look, 0.4), body + 0.1 * look.warmth, CAR))
    return parts


def _front(look: CarLook, ambient: float) -> list[Part]:
    at = SHAPES[look.shape][0][-2][0] + 0.01
    lamp: Color = (255.0, 250.0, 235.0) if look.lamps else (196.0, 200.0, 204.0)
    grille = [(at, -0.5, 0.5), (at, 0.5, 0.5), (at, 0.45, 0.68), (at, -0.45, 0.68)]
    parts = [Part(grille, (22, 22, 24), ambient + 1.2 * look.warmth, CAR)]
    warm = ambient + 0.5 * look.warmth + 4
    return [*parts, *_lamps(look, (at, 0.7), lamp, warm), _plate(at, ambient)]


def _rear(look: CarLook, ambient: float) -> list[Part]:
    at = SHAPES[look.shape][0][1][0] - 0.01
    lamp: Color = (250.0, 40.0, 32.0) if look.lamps else (150.0, 24.0, 22.0)
    pipe = [(at, 0.35, 0.3), (at, 0.55, 0.3)]
    hot = ambient + 2.2 * look.warmth + 2
    parts = [Part(pipe, (30, 30, 30), hot, CAR, thickness=0.1)]
    return [*parts, *_lamps(look, (at, 0.84), lamp, ambient + 1.5), _plate(at, ambient)]


def _lamps(look: CarLook, place: tuple[float, float], tone: Color, degrees: float) -> list[Part]:
    """Return the two lamps of one end; place is (forward, up) in metres."""
    at, up = place
    parts = []
    half = SHAPES[look.shape][1] / 2
    for side in (-1, 1):
        inner, outer = side * (half - 0.48), side * (half - 0.1)
        box = [
            (at, inner, up - 0.06),
            (at, outer, up - 0.1),
            (at, outer, up + 0.1),
            (at, inner, up + 0.04),
        ]
        parts.append(Part(box, tone, degrees, CAR))
    return parts


def _plate(at: float, ambient: float) -> Part:
    plate = [(at, -0.26, 0.42), (at, 0.26, 0.42), (at, 0.26, 0.54), (at, -0.26, 0.54)]
    return Part(plate, (214, 212, 196), ambient - 0.5, CAR)


def _wheels(look: CarLook, side: float, ambient: float, rim: bool) -> list[Part]:
    profile, width = SHAPES[look.shape]
    warm = ambient + 1 + 0.6 * look.warmth
    parts = []
    for along in (profile[0][0] * 0.6, profile[-1][0] * 0.62):
        parts.append(Part(_ring(along, side * (width / 2 - 0.02), 0.32), RUBBER, warm, CAR))
        if rim:
            hub = _ring(along, side * width / 2, 0.18)
            parts.append(Part(hub, (118, 120, 124), warm + 2, CAR))
    return parts


def _ring(along: float, across: float, size: float) -> list[Point]:
    cos, sin = np.cos(TURN) * size, np.sin(TURN) * size
    return [(along + float(c), across, 0.32 + float(s)) for c, s in zip(cos, sin, strict=True)]


def _body(look: CarLook, ambient: float) -> float:
    return ambient + 0.12 * look.warmth + 0.3 * look.sun


def _tone(look: CarLook, factor: float) -> Color:
    red, green, blue = (min(tone * factor, 255.0) for tone in look.paint)
    return red, green, blue
