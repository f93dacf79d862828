"""A scene: joins street, objects, weather and cameras into registered frames with labels."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes import cars, clutter
from scenes.backdrop import Backdrop
from scenes.brush import Canvas, Surface, paint
from scenes.camera import camera_of
from scenes.config import WORLD, SceneConfig
from scenes.noise import fractal
from scenes.pose import Pose
from scenes.sensor import ColorSensor, ThermalSensor
from scenes.weather import Glare, Smoke
from scenes.world import Actor, cast_actors, ego_speed

TEXTURE = 640  # side of the surface texture, pixels
GLARE_RANGE = 40.0  # metres at which a headlamp's glare has fallen to a half


@dataclass(frozen=True)
class Frame:
    """One registered pair and its labels.

    Attributes:
        index: its number in the scene, 0 or more.
        visible: uint8 [H, W, 3] RGB.
        thermal: uint16 [H, W], hundredths of a kelvin.
        label: uint8 [H, W], class ids 0 to 3 in the order of CLASSES.
    """

    index: int
    visible: NDArray[np.uint8]
    thermal: NDArray[np.uint16]
    label: NDArray[np.uint8]


class Scene:
    """Draws the frames of one scene, in any order; equal numbers give equal bytes.

    Attributes:
        config: what it is drawn from.
        camera: the camera of both images.
        actors: who takes part.
    """

    def __init__(self, config: SceneConfig) -> None:
        self.config = config
        self.camera = camera_of(config)
        self._speed = ego_speed(config)
        self._backdrop = Backdrop(config, self.camera, moving=self._speed > 0)
        street = self._backdrop.street
        self._ambient = street.ambient
        self.actors = cast_actors(config, street.road, street.half_width)
        rng = config.generator(WORLD, 2)
        grain = 0.1 * fractal(rng, (TEXTURE, TEXTURE), (10, 10), 6, 0.8)
        self._texture = np.clip(grain, -0.4, 0.4).astype(np.float32)
        self._sun = (float(rng.uniform(-1.6, 1.6)), float(rng.uniform(-1.2, 1.2)))
        self._shadow = float(rng.uniform(0.35, 0.85)) if config.condition == 'day' else 0.75
        self._smoke = Smoke(config, self.camera.horizon) if config.condition == 'smoke' else None
        self._glare = Glare(config) if config.dark else None
        self._color_sensor, self._thermal_sensor = ColorSensor(config), ThermalSensor(config)

    def frame(self, index: int) -> Frame:
        """Draw one frame.

        Args:
            index: its number, 0 or more; the scene's time is index / rate.

        Raises:
            ValueError: index is below 0.
        """
        if index < 0:
            raise ValueError(f'index is {index}, it must be 0 or more')
        time = index / self.config.rate
        driven = self._speed * time
        visible, degrees = self._backdrop.draw(driven)
        label, owner = np.zeros(degrees.shape, np.uint8), np.zeros(degrees.shape, np.uint8)
        canvas = Canvas(visible, degrees, label, owner, self._texture)
        aside = self.camera.aside
        placed = [(actor, actor.way.pose(time, driven, aside)) for actor in self.actors]
        placed.sort(key=lambda pair: -pair[1].z)
        above = self.camera.above_ground
        for number, (actor, pose) in enumerate(placed, start=1):
            self._cast_shadow(visible, actor, pose)
            light = self._backdrop.light(pose.x, pose.z)
            parts = actor.parts(time, pose, above, self._ambient, light)
            paint(
                canvas, self.camera, pose, parts, Surface(light, actor.grain, actor.start, number)
            )
        if self._glare is not None:
            visible = self._lamps(visible, owner, placed)
        if self._smoke is not None:
            visible, degrees = self._smoke.hide(visible, degrees, time, self._ambient)
        return Frame(
            index=index,
            visible=self._color_sensor.expose(visible, index),
            thermal=self._thermal_sensor.expose(degrees, index),
            label=label,
        )

    def _cast_shadow(self, visible: NDArray[np.uint8], actor: Actor, pose: Pose) -> None:
        """Darken the ground that the object keeps the light from."""
        if self.config.dark:
            return
        long, wide, tall = 0.2, 0.2, 1.6
        if isinstance(actor.look, cars.CarLook):
            long, wide, tall = 2.2, 0.9, 1.3
        elif isinstance(actor.look, clutter.ClutterLook):
            long, wide, tall = 0.1, actor.look.width / 2, actor.look.height
        corners = ((-long, -wide), (-long, wide), (long, wide), (long, -wide))
        foot = pose.place([(along, across, 0.0) for along, across in corners])
        tip = foot + np.array([self._sun[0] * tall, 0.0, self._sun[1] * tall])
        if min(foot[:, 2].min(), tip[:, 2].min()) < 1.0:
            return
        places = self.camera.project(np.concatenate([foot, tip]))
        hull = cv2.convexHull(places.astype(np.float32))[:, 0]
        height, width = visible.shape[:2]
        left, top = np.clip(np.floor(hull.min(axis=0)).astype(int) - 4, 0, (width, height))
        right, bottom = np.clip(np.ceil(hull.max(axis=0)).astype(int) + 5, 0, (width, height))
        if right - left < 2 or bottom - top < 2:
            return
        light = np.full((bottom - top, right - left), 255, np.uint8)
        corners_px = np.rint((hull - (left, top)) * 16).astype(np.int32)
        cv2.fillConvexPoly(light, corners_px, round(255 * self._shadow), cv2.LINE_AA, 4)
        light = cv2.blur(light, (3, 3))
        window = visible[top:bottom, left:right]
        np.copyto(window, cv2.multiply(window, cv2.merge([light] * 3), scale=1 / 255))

    def _lamps(
        self,
        visible: NDArray[np.uint8],
        owner: NDArray[np.uint8],
        placed: list[tuple[Actor, Pose]],
    ) -> NDArray[np.uint8]:
        """Return the picture with the glare of all headlamps that nothing hides."""
        assert self._glare is not None
        full = 1.0 if self.config.condition == 'glare' else 0.15
        height, width = owner.shape
        for number, (actor, pose) in enumerate(placed, start=1):
            if not isinstance(actor.look, cars.CarLook) or not actor.look.lamps:
                continue
            aim = np.array([np.sin(pose.heading), np.cos(pose.heading)])
            heads = pose.place(cars.head_lamps(actor.look))
            for head, (column, row) in zip(heads, self.camera.project(heads), strict=True):
                inside = 0 <= row < height and 0 <= column < width
                if head[2] < 1.0 or (inside and owner[int(row), int(column)] not in (0, number)):
                    continue
                away = float(np.hypot(head[0], head[2]))
                facing = max(-float(aim @ head[[0, 2]]) / away, 0.0)
                power = full * facing**4 / (1 + (away / GLARE_RANGE) ** 2)
                visible = self._glare.dazzle(visible, (float(column), float(row)), power)
        return visible
