"""People: a jointed figure of limbs, walking, standing or sitting on a bicycle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scenes.brush import Part
from scenes.config import PERSON
from scenes.pose import Pose

SKIN = ((236, 200, 176), (214, 168, 138), (172, 122, 92), (112, 76, 56))
HAIR = ((28, 22, 20), (58, 40, 28), (110, 84, 54), (150, 146, 142))
Color = tuple[float, float, float]
Point = tuple[float, float, float]


@dataclass(frozen=True)
class PersonLook:
    """What one person looks like.

    Attributes:
        height: metres.
        girth: 1 is average.
        skin, hair, top, trousers, shoes: RGB, 0 to 255.
        clothes: 0 to 1, how much of the body's warmth gets through the clothes.
        coat: whether the top reaches to the knees.
        bag: RGB of a backpack, or None.
        step: metres per stride.
    """

    height: float
    girth: float
    skin: Color
    hair: Color
    top: Color
    trousers: Color
    shoes: Color
    clothes: float
    coat: bool
    bag: Color | None
    step: float


def draw_look(rng: np.random.Generator) -> PersonLook:
    """Draw a person's look at random."""

    def cloth() -> Color:
        grey = rng.uniform(18, 225) if rng.random() < 0.35 else rng.uniform(18, 90)
        tint = rng.uniform(-1, 1, 3) * rng.uniform(0, 90)
        red, green, blue = (float(tone) for tone in np.clip(grey + tint, 8, 245))
        return red, green, blue

    height = float(rng.uniform(1.5, 1.9))
    return PersonLook(
        height=height,
        girth=float(rng.uniform(0.88, 1.25)),
        skin=SKIN[int(rng.integers(len(SKIN)))],
        hair=HAIR[int(rng.integers(len(HAIR)))],
        top=cloth(),
        trousers=cloth(),
        shoes=(30.0, 28.0, 28.0) if rng.random() < 0.6 else (190.0, 188.0, 184.0),
        clothes=float(rng.uniform(0.42, 0.72)),
        coat=bool(rng.random() < 0.25),
        bag=cloth() if rng.random() < 0.3 else None,
        step=0.8 * height,
    )


def skin_degrees(ambient: float) -> float:
    """Return the temperature of bare skin in degC: it cools somewhat with the air."""
    return 29.5 + 0.16 * ambient


def walking_parts(look: PersonLook, pose: Pose, ambient: float, walked: float) -> list[Part]:
    """Return the parts of a walking person.

    Args:
        look: who it is.
        pose: where, and where to.
        ambient: air temperature in degC.
        walked: metres walked so far, which sets the swing of the limbs. Standing people keep it.
    """
    swing = 2 * np.pi * walked / look.step
    hip = 0.53 * look.height
    bob = 0.02 * np.cos(2 * swing)
    legs, arms = [], []
    for side, phase in ((-1, 0.0), (1, np.pi)):
        lift = 0.48 * np.sin(swing + phase)
        bend = max(0.0, -np.cos(swing + phase)) * 0.75
        legs.append(_leg(look, side, hip + bob, lift, bend))
        arms.append(_arm(look, side, -0.42 * np.sin(swing + phase), bob))
    return _figure(look, pose, ambient, legs, arms, lean=0.04, hip=(0.0, 0.0, hip + bob))


def riding_parts(look: PersonLook, pose: Pose, ambient: float, ridden: float) -> list[Part]:
    """Return the parts of a person on a bicycle that has gone `ridden` metres."""
    turn = ridden / 0.9
    hip = (-0.18, 0.0, 0.92)
    legs, arms = [], []
    for side, phase in ((-1, 0.0), (1, np.pi)):
        foot = (0.05 + 0.17 * np.cos(turn + phase), 0.09 * side, 0.29 + 0.17 * np.sin(turn + phase))
        start = (hip[0], 0.08 * side, hip[2])
        knee = ((start[0] + foot[0]) / 2 + 0.24, 0.1 * side, (start[2] + foot[2]) / 2 + 0.1)
        legs.append([start, knee, foot])
        shoulder = (0.17, 0.19 * side, 1.42)
        arms.append([shoulder, (0.32, 0.24 * side, 1.2), (0.5, 0.22 * side, 1.06)])
    return _figure(look, pose, ambient, legs, arms, lean=0.62, hip=hip)


def _leg(look: PersonLook, side: int, hip: float, lift: float, bend: float) -> list[Point]:
    thigh, shin = 0.245 * look.height, 0.255 * look.height
    across = 0.055 * look.height * side
    knee = (thigh * np.sin(lift), across, hip - thigh * np.cos(lift))
    foot = (knee[0] + shin * np.sin(lift - bend), across, knee[2] - shin * np.cos(lift - bend))
    return [(0.0, across, hip), knee, (foot[0], across, max(foot[2], 0.04))]


def _arm(look: PersonLook, side: int, lift: float, bob: float) -> list[Point]:
    shoulder = (0.02, 0.115 * look.height * side * look.girth**0.5, 0.81 * look.height + bob)
    part = 0.16 * look.height
    elbow = (shoulder[0] + part * np.sin(lift), shoulder[1] * 1.15, shoulder[2] - part * np.cos(lift))
    hand = (elbow[0] + part * np.sin(lift + 0.35), elbow[1], elbow[2] - part * np.cos(lift + 0.35))
    return [shoulder, elbow, hand]


def _figure(
    look: PersonLook,
    pose: Pose,
    ambient: float,
    legs: list[list[Point]],
    arms: list[list[Point]],
    lean: float,
    hip: Point,
) -> list[Part]:
    skin = skin_degrees(ambient)
    cloth = ambient + look.clothes * (skin - ambient)
    tall, wide = look.height, look.girth
    trunk = 0.29 * tall
    neck = (hip[0] + trunk * np.sin(lean), 0.0, hip[2] + trunk * np.cos(lean))
    head = (neck[0] + 0.06 * tall * min(1.0, lean + 0.3), 0.0, neck[2] + 0.125 * tall)

    def limb(points: list[Point], color: Color, degrees: float, thick: float) -> Part:
        return Part(pose.place(points), color, degrees, PERSON, thickness=thick)

    parts: list[Part] = []
    # The limb further away is drawn first.
    further = int(np.cos(pose.heading) * pose.x - np.sin(pose.heading) * pose.z > 0)
    order = (further, 1 - further)

    def leg(index: int) -> None:
        shade = 0.85 if index == order[0] else 1.0
        dark: Color = tuple(tone * shade for tone in look.trousers)  # type: ignore[assignment]
        points = legs[index]
        parts.append(limb(points[:2], dark, cloth - 0.5, 0.088 * tall * wide))
        parts.append(limb(points[1:], dark, cloth - 1.5, 0.066 * tall * wide))
        toe = (points[2][0] + 0.13, points[2][1], max(points[2][2] - 0.02, 0.03))
        parts.append(limb([points[2], toe], look.shoes, ambient + 0.35 * (cloth - ambient), 0.075))

    def arm(index: int) -> None:
        shade = 0.8 if index == order[0] else 0.95
        dark: Color = tuple(tone * shade for tone in look.top)  # type: ignore[assignment]
        parts.append(limb(arms[index], dark, cloth - 0.3, 0.056 * tall * wide))
        hand = arms[index][2]
        parts.append(limb([hand, (hand[0] + 0.02, hand[1], hand[2] - 0.05)], look.skin, skin - 1, 0.06))

    arm(order[0])
    leg(order[0])
    leg(order[1])
    bag = look.bag
    behind = np.cos(pose.heading) * pose.z + np.sin(pose.heading) * pose.x < 0  # it looks at us
    pack = [(neck[0] - 0.17, 0.0, neck[2] - 0.1 * tall), (hip[0] - 0.15, 0.0, hip[2] + 0.05)]
    if bag is not None and behind:
        parts.append(limb(pack, bag, ambient + 0.25 * (cloth - ambient), 0.24))
    if look.coat:
        hem = (hip[0], 0.0, hip[2] - 0.2 * tall)
        parts.append(limb([hip, hem], look.top, cloth - 1, 0.19 * tall * wide))
    shoulder, waist = 0.105 * tall * wide, 0.078 * tall * wide
    chest = [
        (hip[0], -waist, hip[2] - 0.02), (neck[0], -shoulder, neck[2] - 0.05 * tall),
        (neck[0], -shoulder * 0.55, neck[2]), (neck[0], shoulder * 0.55, neck[2]),
        (neck[0], shoulder, neck[2] - 0.05 * tall), (hip[0], waist, hip[2] - 0.02),
    ]  # fmt: skip
    parts.append(Part(pose.place(chest), look.top, cloth + 0.5, PERSON))
    # Seen from the side the flat chest would vanish: a limb through the trunk gives it depth.
    low = (hip[0], 0.0, hip[2] + 0.03)
    high = (neck[0] - 0.02, 0.0, neck[2] - 0.07 * tall)
    parts.append(limb([low, high], look.top, cloth + 0.3, 0.125 * tall * wide))
    if bag is not None and not behind:
        parts.append(limb(pack, bag, ambient + 0.25 * (cloth - ambient), 0.24))
    arm(order[1])
    parts.append(limb([neck, head], look.skin, skin, 0.055 * tall))
    low_head, high_head = (head[0], 0.0, head[2] - 0.02), (head[0], 0.0, head[2] + 0.03)
    back = -0.02 if behind else 0.0
    crown = [(head[0] + back, 0.0, head[2] + 0.01), (head[0] - 0.02, 0.0, head[2] + 0.055)]
    hair = Part(pose.place(crown), look.hair, ambient + 0.72 * (skin - ambient), PERSON, thickness=0.16)
    face = limb([low_head, high_head], look.skin, skin + 1.0, 0.145)
    if behind:  # looking at us: the face lies over the hair
        lower = [(head[0] + 0.03, 0.0, head[2] - 0.05), (head[0] + 0.03, 0.0, head[2] + 0.01)]
        parts += [face, hair, limb(lower, look.skin, skin + 1.2, 0.13)]
    else:
        parts += [face, hair]
    return parts
