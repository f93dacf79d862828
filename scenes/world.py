"""Who is on the street and where they are at a given time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scenes import bikes, cars, people
from scenes.brush import Part
from scenes.config import WORLD, SceneConfig
from scenes.pose import Pose

NEAR, REACH = 2.0, 46.0  # metres: objects live between NEAR and NEAR + REACH and then start again
FORWARD, RIGHT = 0.0, np.pi / 2
KINDS = ('walker', 'crosser', 'stander', 'cyclist', 'bike', 'parked', 'oncoming', 'leader', 'crossing car')
SHARES = (0.2, 0.15, 0.1, 0.14, 0.08, 0.13, 0.09, 0.06, 0.05)


@dataclass(frozen=True)
class Actor:
    """One object and its way through the scene.

    Attributes:
        kind: one of KINDS.
        look: what it looks like.
        x: metres to the right at time 0.
        z: metres ahead at time 0.
        vx: metres per second to the right.
        vz: metres per second away from the camera, seen from the ground.
        span: metres to each side that it turns back at; 0 lets it go straight on.
        heading: radians, used by those who stand still.
        skin: where on the texture its surface begins.
    """

    kind: str
    look: cars.CarLook | people.PersonLook | bikes.BikeLook
    x: float
    z: float
    vx: float
    vz: float
    span: float
    heading: float
    skin: tuple[int, int]
    rider: people.PersonLook | None = None

    def pose(self, time: float, driven: float) -> Pose:
        """Return where it is, given the seconds since the start and the metres the robot has driven."""
        z = NEAR + (self.z + self.vz * time - driven - NEAR) % REACH
        x, vx = self.x + self.vx * time, self.vx
        if self.span > 0 and vx != 0:  # to and fro between both ends
            lap = (x + self.span) / (2 * self.span)
            back = int(np.floor(lap)) % 2 == 1
            part = lap - np.floor(lap)
            x = self.span * (1 - 2 * part) if back else self.span * (2 * part - 1)
            vx = -vx if back else vx
        moving = abs(vx) + abs(self.vz) > 0
        return Pose(float(x), float(z), float(np.arctan2(vx, self.vz)) if moving else self.heading)

    def parts(self, time: float, pose: Pose, ambient: float) -> list[Part]:
        """Return what is to be drawn of it."""
        gone = abs(time) * float(np.hypot(self.vx, self.vz))
        if isinstance(self.look, cars.CarLook):
            return cars.car_parts(self.look, pose, ambient)
        if isinstance(self.look, people.PersonLook):
            return people.walking_parts(self.look, pose, ambient, gone + self.skin[0] * 0.01)
        parts = bikes.bike_parts(self.look, pose, ambient, gone)
        if self.rider is not None:
            parts += people.riding_parts(self.rider, pose, ambient, gone)
        return parts


def cast_actors(config: SceneConfig, road: float, half_width: float) -> list[Actor]:
    """Draw who takes part in a scene.

    Args:
        config: its seed, condition and number of objects.
        road: metres from the middle to the kerb.
        half_width: metres from the middle to the walls.
    """
    rng = config.generator(WORLD)
    count = int(rng.integers(5, 13)) if config.objects is None else config.objects
    shares = np.array(SHARES)
    if config.condition == 'smoke':
        shares[:3] *= 1.8
    if config.condition == 'glare':
        shares[KINDS.index('oncoming')] *= 2.5
    shares /= shares.sum()
    # The first few cover the classes, so that short clips show all of them.
    first = ['walker', 'oncoming' if config.condition == 'glare' else 'parked', 'cyclist', 'crosser']
    kinds = [first[i] if i < len(first) else KINDS[int(rng.choice(len(KINDS), p=shares))] for i in range(count)]
    return [_actor(rng, kind, config.dark, road, half_width) for kind in kinds]


def ego_speed(config: SceneConfig) -> float:
    """Return the robot's speed in metres per second: half of all scenes are seen from a halt."""
    rng = config.generator(WORLD, 1)
    return float(rng.uniform(0.8, 5.0)) if rng.random() < 0.5 else 0.0


def _actor(
    rng: np.random.Generator, kind: str, dark: bool, road: float, half_width: float
) -> Actor:
    side = 1.0 if rng.random() < 0.5 else -1.0
    way = 1.0 if rng.random() < 0.5 else -1.0
    skin = (int(rng.integers(0, 4096)), int(rng.integers(0, 4096)))
    z = float(NEAR + REACH * rng.uniform(0.03, 1.0) ** 1.5)
    pavement = side * float(rng.uniform(road + 0.4, max(road + 0.6, half_width - 0.7)))
    turn = float(rng.uniform(0, 2 * np.pi))
    look: cars.CarLook | people.PersonLook | bikes.BikeLook
    rider: people.PersonLook | None = None
    x, vx, vz, span = pavement, 0.0, 0.0, 0.0
    if kind in ('walker', 'crosser', 'stander'):
        look = people.draw_look(rng)
        if kind == 'walker':
            vz = way * float(rng.uniform(0.8, 1.6))
            x = pavement if rng.random() < 0.75 else float(rng.uniform(-road, road))
        elif kind == 'crosser':
            span, vx = half_width - 0.8, way * float(rng.uniform(0.8, 1.7))
            x = float(rng.uniform(-0.5, 0.5)) * span
            z = float(rng.uniform(6, 30))
        else:
            x = pavement if rng.random() < 0.6 else float(rng.uniform(-road, road))
    elif kind in ('cyclist', 'bike'):
        look = bikes.draw_look(rng)
        if kind == 'cyclist':
            rider = people.draw_look(rng)
            if rng.random() < 0.35:
                span, vx = half_width + 4, way * float(rng.uniform(2, 4))
                z = float(rng.uniform(7, 28))
            else:
                vz = way * float(rng.uniform(2.2, 5))
                x = side * float(rng.uniform(0.4, 0.9)) * road
        else:
            turn = float(rng.choice([RIGHT, -RIGHT])) + float(rng.normal(0, 0.4))
    else:
        look = cars.draw_look(rng, dark, parked=kind == 'parked')
        turn = (FORWARD if way > 0 else np.pi) + float(rng.normal(0, 0.03))
        if kind == 'parked':
            x = side * (road - 1.0)
            if rng.random() < 0.25:
                turn = way * RIGHT + float(rng.normal(0, 0.2))
        elif kind == 'oncoming':
            x, vz = -max(0.5 * road, 1.7), -float(rng.uniform(2.5, 8))
        elif kind == 'leader':
            x, vz = max(0.42 * road, 1.2), float(rng.uniform(1.5, 6))
        else:
            span, vx, z = 34.0, way * float(rng.uniform(3, 8)), float(rng.uniform(11, 34))
            x = float(rng.uniform(-14, 14))
    return Actor(kind, look, x, z, vx, vz, span, turn, skin, rider)
