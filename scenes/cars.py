"""Cars: a side view drawn out to the car's width, with windows, wheels and lamps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scenes.brush import Part
from scenes.config import CAR
from scenes.pose import Pose

# Side views as (forward, up) in metres, from the rear bumper's foot over the roof to the front's.
# With each goes the first and last corner of the glasshouse (rear glass, roof, windscreen).
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
LAMP_GLOW_RANGE = 120.0


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
    paint: tuple[float, float, float]
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


def lamp_places(look: CarLook, pose: Pose) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the headlamps and the tail lamps, each float64 [2, 3] in camera metres."""
    profile, width = SHAPES[look.shape]
    half = width / 2 - 0.25
    front, rear = profile[-2][0] + 0.02, profile[1][0] - 0.02
    head = pose.place([(front, -half, 0.68), (front, half, 0.68)])
    tail = pose.place([(rear, -half, 0.85), (rear, half, 0.85)])
    return head, tail


def car_parts(look: CarLook, pose: Pose, ambient: float) -> list[Part]:
    """Return the parts of a car, the far ones first."""
    profile, width = SHAPES[look.shape]
    shell = np.array(profile)
    half = np.where(shell[:, 1] > 1.2, width / 2 * TAPER, width / 2)
    left = pose.place(np.stack([shell[:, 0], -half, shell[:, 1]], axis=1))
    right = pose.place(np.stack([shell[:, 0], half, shell[:, 1]], axis=1))
    body = ambient + 0.12 * look.warmth + 0.3 * look.sun
    parts: list[Part] = []
    wheels = _wheels(look, pose, width, shell, ambient)
    under = pose.place([(f, r, 0.2) for f, r in ((-2, -0.75), (-2, 0.75), (1.9, 0.75), (1.9, -0.75))])
    parts.append(Part(under, (14, 14, 15), ambient + 0.45 * look.warmth + 1, CAR))
    parts += [part for _, part in sorted(wheels, key=lambda item: -item[0])]
    for index in range(len(shell) - 1):
        quad = np.stack([left[index], left[index + 1], right[index + 1], right[index]])
        if _faces_camera(quad, pose):
            parts.append(_panel(look, index, quad, ambient, body))
    for side, edge in ((-1.0, left), (1.0, right)):
        if _side_seen(pose, side, width):
            parts += _flank(look, pose, side, edge, shell, half, body, ambient)
    parts += _ends(look, pose, shell, width, ambient)
    near = [wheel for depth, wheel in wheels if depth < pose.z + 0.2]
    return parts + near


def _faces_camera(quad: NDArray[np.float64], pose: Pose) -> bool:
    normal = np.cross(quad[1] - quad[0], quad[3] - quad[0])
    outward = quad.mean(axis=0) - np.array([pose.x, 0.75, pose.z])
    if normal @ outward < 0:
        normal = -normal
    # The camera stands at about 1.5 m; its exact height only matters for the roof.
    return bool(normal @ (quad.mean(axis=0) - np.array([0.0, 1.55, 0.0])) < 0)


def _side_seen(pose: Pose, side: float, width: float) -> bool:
    at = pose.place([(0.0, side * width / 2, 0.5)])[0]
    out = at - np.array([pose.x, 0.5, pose.z])
    return bool(out[0] * at[0] + out[2] * at[2] < 0)


def _panel(
    look: CarLook, index: int, quad: NDArray[np.float64], ambient: float, body: float
) -> Part:
    """Return the strip of the hull that runs across the car between two corners of the side view."""
    paint = np.array(look.paint)
    if index in (3, 5):  # rear window and windscreen
        return Part(quad, GLASS, ambient - 3.0 + 0.25 * look.sun, CAR)
    if index == 4:
        return Part(quad, _tone(paint * 1.08), ambient - 1.0 + look.sun, CAR)
    if index in (6, 7):  # bonnet: the engine is below it
        heat = ambient + (0.55 if index == 6 else 0.7) * look.warmth + 0.5 * look.sun
        return Part(quad, _tone(paint * 1.02), heat, CAR)
    if index == 8:
        return Part(quad, _tone(paint * 0.72), ambient + 0.95 * look.warmth, CAR)
    return Part(quad, _tone(paint * (0.88 if index > 0 else 0.7)), body, CAR)


def _flank(
    look: CarLook,
    pose: Pose,
    side: float,
    edge: NDArray[np.float64],
    shell: NDArray[np.float64],
    half: NDArray[np.float64],
    body: float,
    ambient: float,
) -> list[Part]:
    paint = np.array(look.paint)
    shade = 0.8 if side < 0 else 0.92
    parts = [Part(edge, _tone(paint * shade), body, CAR)]
    low, high = 1.0 if shell[4, 1] < 1.6 else 1.12, shell[4, 1] - 0.07
    across = side * (half[0] - 0.01)
    top_across = side * (half[4] + 0.005)
    back, front = shell[3, 0] + 0.12, shell[6, 0] - 0.12
    top_back, top_front = shell[4, 0] + 0.05, shell[5, 0] - 0.03
    if look.shape == 'van':
        back = top_back = 0.45
    corners = [(back, across, low), (top_back, top_across, high), (top_front, top_across, high), (front, across, low)]
    parts.append(Part(pose.place(corners), GLASS, ambient - 2.5 + 0.3 * look.sun, CAR))
    mid = (back + front) / 2
    pillar = pose.place([(mid, across, low), (mid, top_across, high)])
    parts.append(Part(pillar, _tone(paint * shade * 0.8), body, CAR, thickness=0.07))
    for door in (mid, front - 0.1, back + 0.1):
        seam = pose.place([(door, across, 0.38), (door, across, low)])
        parts.append(Part(seam, _tone(paint * shade * 0.6), body - 0.5, CAR, thickness=0.025))
    sill = pose.place([(shell[0, 0], across, 0.34), (shell[-1, 0], across, 0.32)])
    parts.append(Part(sill, _tone(paint * 0.4), body + 0.1 * look.warmth, CAR, thickness=0.09))
    return parts


def _ends(
    look: CarLook, pose: Pose, shell: NDArray[np.float64], width: float, ambient: float
) -> list[Part]:
    """Return lamps, number plate and grille of the end that looks at the camera."""
    half = width / 2
    toward = -np.array([pose.x, pose.z]) @ np.array([np.sin(pose.heading), np.cos(pose.heading)])
    parts: list[Part] = []
    if toward > 0.6:
        at, lamp, heat = shell[-2, 0] + 0.01, (236.0, 236.0, 225.0), ambient + 0.5 * look.warmth + 4
        lamp = (255.0, 250.0, 235.0) if look.lamps else (196.0, 200.0, 204.0)
        grille = [(at, -0.5, 0.5), (at, 0.5, 0.5), (at, 0.45, 0.68), (at, -0.45, 0.68)]
        parts.append(Part(pose.place(grille), (22, 22, 24), ambient + 1.2 * look.warmth, CAR))
        height = 0.74
    elif toward < -0.6:
        at, heat, height = shell[1, 0] - 0.01, ambient + 1.5, 0.84
        lamp = (250.0, 40.0, 32.0) if look.lamps else (150.0, 24.0, 22.0)
        pipe = pose.place([(at, 0.35, 0.3), (at, 0.55, 0.3)])
        parts.append(Part(pipe, (30, 30, 30), ambient + 2.2 * look.warmth + 2, CAR, thickness=0.1))
    else:
        return parts
    for side in (-1, 1):
        inner, outer = side * (half - 0.48), side * (half - 0.1)
        box = [(at, inner, height - 0.06), (at, outer, height - 0.1), (at, outer, height + 0.1), (at, inner, height + 0.04)]
        parts.append(Part(pose.place(box), lamp, heat, CAR))
    plate = [(at, -0.26, 0.42), (at, 0.26, 0.42), (at, 0.26, 0.54), (at, -0.26, 0.54)]
    parts.append(Part(pose.place(plate), (214, 212, 196), ambient - 0.5, CAR))
    return parts


def _wheels(
    look: CarLook, pose: Pose, width: float, shell: NDArray[np.float64], ambient: float
) -> list[tuple[float, Part]]:
    turn = np.linspace(0, 2 * np.pi, 17)[:-1]
    wheels = []
    for along in (shell[0, 0] * 0.6, shell[-1, 0] * 0.62):
        for side in (-1.0, 1.0):
            tyre, rim = (
                np.stack([along + size * np.cos(turn), np.full(16, side * (width / 2 - off)), 0.32 + size * np.sin(turn)], 1)
                for size, off in ((0.32, 0.02), (0.18, 0.0))
            )
            depth = float(pose.place([(along, side * width / 2, 0.3)])[0, 2])
            warm = ambient + 1 + 0.6 * look.warmth
            wheels.append((depth, Part(pose.place(tyre), RUBBER, warm, CAR)))
            if _side_seen(pose, side, width):
                wheels.append((depth - 0.01, Part(pose.place(rim), (118, 120, 124), warm + 2, CAR)))
    return wheels


def _tone(color: NDArray[np.float64]) -> tuple[float, float, float]:
    red, green, blue = (float(min(max(tone, 0.0), 255.0)) for tone in color)
    return red, green, blue
