"""Who is on the street and where they are at a given time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scenes import bikes, cars, clutter, people
from scenes.brush import Part
from scenes.config import WORLD, SceneConfig
from scenes.pose import Pose

NEAR, REACH = 2.0, 46.0  # metres: objects live between NEAR and NEAR + REACH, then start again
KINDS = (
    'walker', 'crosser', 'stander', 'cyclist', 'bike', 'parked', 'oncoming', 'leader', 'passer',
)  # fmt: skip
SHARES = (0.2, 0.15, 0.1, 0.14, 0.08, 0.13, 0.09, 0.06, 0.05)
FOLK, BICYCLES = ('walker', 'crosser', 'stander'), ('cyclist', 'bike')
GRAIN = {cars.CarLook: 0.35, people.PersonLook: 1.2, bikes.BikeLook: 0.5, clutter.ClutterLook: 1.0}

Look = cars.CarLook | people.PersonLook | bikes.BikeLook | clutter.ClutterLook


@dataclass(frozen=True)
class Way:
    """How an object moves over the ground.

    Attributes:
        x: metres to the right of the street's middle at time 0.
        z: metres ahead at time 0.
        vx: metres per second to the right.
        vz: metres per second away from the camera, seen from the ground.
        span: metres to each side that it turns back at; 0 lets it go straight on.
        heading: radians, for those that stand still.
    """

    x: float
    z: float
    vx: float = 0.0
    vz: float = 0.0
    span: float = 0.0
    heading: float = 0.0

    def pose(self, time: float, driven: float, aside: float) -> Pose:
        """Return where it is, seen from the robot.

        Args:
            time: seconds since the start.
            driven: metres that the robot has driven by then.
            aside: metres that the robot keeps to the right of the street's middle.
        """
        z = NEAR + (self.z + self.vz * time - driven - NEAR) % REACH
        x, vx = self.x + self.vx * time, self.vx
        if self.span > 0 and vx != 0:  # to and fro between both ends
            lap, part = divmod((x + self.span) / (2 * self.span), 1.0)
            back = int(lap) % 2 == 1
            x = self.span * (1 - 2 * part) if back else self.span * (2 * part - 1)
            vx = -vx if back else vx
        stands = vx == 0 and self.vz == 0
        return Pose(x - aside, z, self.heading if stands else float(np.arctan2(vx, self.vz)))


@dataclass(frozen=True)
class Actor:
    """One object: what it looks like and how it moves.

    Attributes:
        look: its appearance.
        way: its motion.
        rider: who sits on it, if it is a bicycle that is ridden.
        start: where on the surface texture its own begins.
    """

    look: Look
    way: Way
    rider: people.PersonLook | None
    start: tuple[int, int]

    @property
    def grain(self) -> float:
        """How strongly the surface texture shows on it."""
        return GRAIN[type(self.look)]

    def parts(
        self, time: float, pose: Pose, above_ground: float, ambient: float, light: float
    ) -> list[Part]:
        """Return what is to be drawn of it.

        Args:
            time: seconds since the start.
            pose: where it is.
            above_ground: height of the camera in metres.
            ambient: air temperature in degC.
            light: how bright it is lit, 1 is daylight.
        """
        eye = pose.eye(above_ground)
        gone = time * float(np.hypot(self.way.vx, self.way.vz))
        if isinstance(self.look, cars.CarLook):
            return cars.car_parts(self.look, eye, ambient)
        if isinstance(self.look, people.PersonLook):
            # Those who stand still each keep another point of the step.
            return people.walking_parts(self.look, eye, ambient, gone + self.start[0] * 0.01)
        if isinstance(self.look, clutter.ClutterLook):
            return clutter.clutter_parts(self.look, ambient, light)
        parts = bikes.bike_parts(self.look, ambient, self.rider is not None)
        if self.rider is not None:
            parts += people.riding_parts(self.rider, eye, ambient, gone)
        return parts


def cast_actors(config: SceneConfig, road: float, half_width: float) -> list[Actor]:
    """Draw who takes part in a scene, and what else stands around.

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
    # The first few cover the classes, so that short clips show all of them.
    first = ['walker', 'parked', 'cyclist', 'crosser']
    if config.condition == 'glare':
        first = ['oncoming', 'walker', 'cyclist', 'oncoming', 'crosser']
    kinds = first[:count]
    while len(kinds) < count:
        kinds.append(KINDS[int(rng.choice(len(KINDS), p=shares / shares.sum()))])
    actors = [_cast(rng, kind, config.dark, road, half_width) for kind in kinds]
    for _ in range(int(rng.integers(1, 7)) if config.objects is None else 0):
        side = 1.0 if rng.random() < 0.5 else -1.0
        x = side * float(rng.uniform(road + 0.3, half_width - 0.4))
        way = Way(x, _depth(rng), heading=np.pi if side > 0 else 0.0)
        actors.append(Actor(clutter.draw_look(rng, config.dark), way, None, _start(rng)))
    return actors


def ego_speed(config: SceneConfig) -> float:
    """Return the robot's speed in metres per second: half of all scenes are seen from a halt."""
    rng = config.generator(WORLD, 1)
    return float(rng.uniform(0.8, 5.0)) if rng.random() < 0.5 else 0.0


def _cast(
    rng: np.random.Generator, kind: str, dark: bool, road: float, half_width: float
) -> Actor:
    start = _start(rng)
    if kind in FOLK:
        return Actor(people.draw_look(rng), _foot_way(rng, kind, road, half_width), None, start)
    if kind in BICYCLES:
        rider = people.draw_look(rng) if kind == 'cyclist' else None
        return Actor(bikes.draw_look(rng), _bike_way(rng, kind, road, half_width), rider, start)
    look = cars.draw_look(rng, dark, parked=kind == 'parked')
    return Actor(look, _car_way(rng, kind, road), None, start)


def _start(rng: np.random.Generator) -> tuple[int, int]:
    return int(rng.integers(0, 4096)), int(rng.integers(0, 4096))


def _sign(rng: np.random.Generator) -> float:
    return 1.0 if rng.random() < 0.5 else -1.0


def _depth(rng: np.random.Generator) -> float:
    """Return metres ahead; near ones are more frequent, so that pictures aren't full of specks."""
    return float(NEAR + REACH * rng.uniform(0.03, 1.0) ** 1.5)


def _pavement(rng: np.random.Generator, road: float, half_width: float) -> float:
    return _sign(rng) * float(rng.uniform(road + 0.4, max(road + 0.6, half_width - 0.7)))


def _foot_way(rng: np.random.Generator, kind: str, road: float, half_width: float) -> Way:
    on_road = float(rng.uniform(-road, road))
    x = _pavement(rng, road, half_width) if rng.random() < 0.7 else on_road
    if kind == 'walker':
        return Way(x, _depth(rng), vz=_sign(rng) * float(rng.uniform(0.8, 1.6)))
    if kind == 'stander':
        return Way(x, _depth(rng), heading=float(rng.uniform(0, 2 * np.pi)))
    span, speed = half_width - 0.8, float(rng.uniform(0.8, 1.7))
    across = float(rng.uniform(-0.5, 0.5)) * span
    return Way(across, float(rng.uniform(6, 30)), vx=_sign(rng) * speed, span=span)


def _bike_way(rng: np.random.Generator, kind: str, road: float, half_width: float) -> Way:
    if kind == 'bike':
        heading = _sign(rng) * np.pi / 2 + float(rng.normal(0, 0.4))
        return Way(_pavement(rng, road, half_width), _depth(rng), heading=heading)
    if rng.random() < 0.35:
        speed = _sign(rng) * float(rng.uniform(2, 4))
        return Way(0.0, float(rng.uniform(7, 28)), vx=speed, span=half_width + 4)
    x = _sign(rng) * float(rng.uniform(0.4, 0.9)) * road
    return Way(x, _depth(rng), vz=_sign(rng) * float(rng.uniform(2.2, 5)))


def _car_way(rng: np.random.Generator, kind: str, road: float) -> Way:
    if kind == 'parked':
        heading = (0.0 if rng.random() < 0.5 else np.pi) + float(rng.normal(0, 0.03))
        if rng.random() < 0.25:
            heading = _sign(rng) * np.pi / 2 + float(rng.normal(0, 0.2))
        return Way(_sign(rng) * (road - 1.0), _depth(rng), heading=heading)
    if kind == 'oncoming':
        return Way(-max(0.5 * road, 1.7), _depth(rng), vz=-float(rng.uniform(2.5, 8)))
    if kind == 'leader':
        return Way(max(0.42 * road, 1.2), _depth(rng), vz=float(rng.uniform(1.5, 6)))
    x, speed = float(rng.uniform(-14, 14)), _sign(rng) * float(rng.uniform(3, 8))
    return Way(x, float(rng.uniform(11, 34)), vx=speed, span=34.0)
