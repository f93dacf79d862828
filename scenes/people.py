"""People: a jointed figure of limbs, walking, standing or sitting on a bicycle."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from scenes.brush import Color, Part
from scenes.config import PERSON
from scenes.pose import Point

SKIN = ((236, 200, 176), (214, 168, 138), (172, 122, 92), (112, 76, 56))
HAIR = ((28, 22, 20), (58, 40, 28), (110, 84, 54), (150, 146, 142))


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


def walking_parts(look: PersonLook, eye: Point, ambient: float, walked: float) -> list[Part]:
    """Return the parts of a walking person.

    Args:
        look: who it is.
        eye: where the camera is from the person's point of view.
        ambient: air temperature in degC.
        walked: metres walked so far, which sets the swing of the limbs. Standing people keep it.
    """
    swing = 2 * np.pi * walked / look.step
    hip = float(0.53 * look.height + 0.02 * np.cos(2 * swing))
    limbs = []
    for side, phase in ((-1, 0.0), (1, np.pi)):
        lift = float(np.sin(swing + phase))
        bend = max(0.0, -float(np.cos(swing + phase))) * 0.75
        limbs.append((_leg(look, side, hip, 0.48 * lift, bend), _arm(look, side, -0.42 * lift)))
    return _Figure(look, eye, ambient, (0.0, 0.0, hip), lean=0.04).parts(limbs)


def riding_parts(look: PersonLook, eye: Point, ambient: float, ridden: float) -> list[Part]:
    """Return the parts of a person on a bicycle that has gone `ridden` metres."""
    turn = ridden / 0.9
    hip = (-0.18, 0.0, 0.92)
    limbs = []
    for side, phase in ((-1, 0.0), (1, np.pi)):
        cos, sin = float(np.cos(turn + phase)), float(np.sin(turn + phase))
        foot = (0.05 + 0.17 * cos, 0.09 * side, 0.29 + 0.17 * sin)
        start = (hip[0], 0.08 * side, hip[2])
        knee = ((start[0] + foot[0]) / 2 + 0.24, 0.1 * side, (start[2] + foot[2]) / 2 + 0.1)
        arm = [(0.17, 0.19 * side, 1.42), (0.32, 0.24 * side, 1.2), (0.5, 0.22 * side, 1.06)]
        limbs.append(([start, knee, foot], arm))
    return _Figure(look, eye, ambient, hip, lean=0.62).parts(limbs)


def _leg(look: PersonLook, side: int, hip: float, lift: float, bend: float) -> list[Point]:
    """Return hip, knee and foot; lift and bend are angles in radians."""
    thigh, shin, across = 0.245 * look.height, 0.255 * look.height, 0.055 * look.height * side
    knee = (thigh * math.sin(lift), across, hip - thigh * math.cos(lift))
    along = knee[0] + shin * math.sin(lift - bend)
    foot = (along, across, max(knee[2] - shin * math.cos(lift - bend), 0.04))
    return [(0.0, across, hip), knee, foot]


def _arm(look: PersonLook, side: int, lift: float) -> list[Point]:
    """Return shoulder, elbow and hand; lift is an angle in radians."""
    across = 0.115 * look.height * side * math.sqrt(look.girth)
    part = 0.16 * look.height
    shoulder = (0.02, across, 0.81 * look.height)
    elbow = (0.02 + part * math.sin(lift), across * 1.15, shoulder[2] - part * math.cos(lift))
    bent = lift + 0.35
    hand = (elbow[0] + part * math.sin(bent), elbow[1], elbow[2] - part * math.cos(bent))
    return [shoulder, elbow, hand]


class _Figure:
    """Dresses a skeleton: each limb becomes a thick line with its cloth's colour and warmth."""

    def __init__(
        self, look: PersonLook, eye: Point, ambient: float, hip: Point, lean: float
    ) -> None:
        self.look, self.hip, self.ambient = look, hip, ambient
        self.skin = skin_degrees(ambient)
        self.cloth = ambient + look.clothes * (self.skin - ambient)
        self.faces_us = eye[0] > 0
        self.far_side = 0 if eye[1] > 0 else 1  # 0 is the left limb
        trunk = 0.29 * look.height
        self.neck = (hip[0] + trunk * math.sin(lean), 0.0, hip[2] + trunk * math.cos(lean))
        forward = 0.06 * look.height * min(1.0, lean + 0.3)
        self.head = (self.neck[0] + forward, 0.0, self.neck[2] + 0.125 * look.height)

    def parts(self, limbs: list[tuple[list[Point], list[Point]]]) -> list[Part]:
        """Return all parts, far ones first; `limbs` holds the (leg, arm) of the left and right."""
        far, near = limbs[self.far_side], limbs[1 - self.far_side]
        bag = self._bag()
        parts = [*self._sleeve(far[1], 0.8), *self._trousers(far[0], 0.85)]
        parts += self._trousers(near[0], 1.0)
        parts += bag if self.faces_us else []
        parts += self._trunk()
        parts += [] if self.faces_us else bag
        return [*parts, *self._sleeve(near[1], 0.95), *self._head()]

    def _limb(self, points: list[Point], color: Color, degrees: float, thick: float) -> Part:
        return Part(points, color, degrees, PERSON, thickness=thick)

    def _trousers(self, leg: list[Point], shade: float) -> list[Part]:
        tall, wide = self.look.height, self.look.girth
        tone = _shaded(self.look.trousers, shade)
        toe = (leg[2][0] + 0.13, leg[2][1], max(leg[2][2] - 0.02, 0.03))
        shoe = self.ambient + 0.35 * (self.cloth - self.ambient)
        return [
            self._limb(leg[:2], tone, self.cloth - 0.5, 0.088 * tall * wide),
            self._limb(leg[1:], tone, self.cloth - 1.5, 0.066 * tall * wide),
            self._limb([leg[2], toe], self.look.shoes, shoe, 0.075),
        ]

    def _sleeve(self, arm: list[Point], shade: float) -> list[Part]:
        tone, thick = _shaded(self.look.top, shade), 0.056 * self.look.height * self.look.girth
        hand = arm[2]
        palm = (hand[0] + 0.02, hand[1], hand[2] - 0.05)
        return [
            self._limb(arm, tone, self.cloth - 0.3, thick),
            self._limb([hand, palm], self.look.skin, self.skin - 1, 0.06),
        ]

    def _bag(self) -> list[Part]:
        if self.look.bag is None:
            return []
        top = (self.neck[0] - 0.17, 0.0, self.neck[2] - 0.1 * self.look.height)
        low = (self.hip[0] - 0.15, 0.0, self.hip[2] + 0.05)
        cool = self.ambient + 0.25 * (self.cloth - self.ambient)
        return [self._limb([top, low], self.look.bag, cool, 0.24)]

    def _trunk(self) -> list[Part]:
        look, hip, neck, cloth = self.look, self.hip, self.neck, self.cloth
        tall, wide = look.height, look.girth
        parts = []
        if look.coat:
            hem = (hip[0], 0.0, hip[2] - 0.2 * tall)
            parts.append(self._limb([hip, hem], look.top, cloth - 1, 0.19 * tall * wide))
        shoulder, waist, low = 0.105 * tall * wide, 0.078 * tall * wide, hip[2] - 0.02
        slope = neck[2] - 0.05 * tall
        chest = [
            (hip[0], -waist, low),
            (neck[0], -shoulder, slope),
            (neck[0], -shoulder * 0.55, neck[2]),
            (neck[0], shoulder * 0.55, neck[2]),
            (neck[0], shoulder, slope),
            (hip[0], waist, low),
        ]
        parts.append(Part(chest, look.top, cloth + 0.5, PERSON))
        # Seen from the side the flat chest would vanish: a limb through the trunk gives it depth.
        ends = [(hip[0], 0.0, hip[2] + 0.03), (neck[0] - 0.02, 0.0, neck[2] - 0.07 * tall)]
        return [*parts, self._limb(ends, look.top, cloth + 0.3, 0.125 * tall * wide)]

    def _head(self) -> list[Part]:
        look, (along, _, up) = self.look, self.head
        throat = self._limb([self.neck, self.head], look.skin, self.skin, 0.055 * look.height)
        skull: list[Point] = [(along, 0.0, up - 0.02), (along, 0.0, up + 0.03)]
        back = -0.02 if self.faces_us else 0.0
        crown: list[Point] = [(along + back, 0.0, up + 0.01), (along - 0.02, 0.0, up + 0.055)]
        warm = self.ambient + 0.72 * (self.skin - self.ambient)
        face = self._limb(skull, look.skin, self.skin + 1.0, 0.145)
        parts = [throat, face, self._limb(crown, look.hair, warm, 0.16)]
        if self.faces_us:  # the lower face lies over the hair
            chin: list[Point] = [(along + 0.03, 0.0, up - 0.05), (along + 0.03, 0.0, up + 0.01)]
            parts.append(self._limb(chin, look.skin, self.skin + 1.2, 0.13))
        return parts


def _shaded(color: Color, shade: float) -> Color:
    return (color[0] * shade, color[1] * shade, color[2] * shade)
