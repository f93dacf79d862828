"""Everything that does not move by itself: the street in perspective, the sky, the light on it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.config import LIGHT, STREET, SceneConfig
from scenes.noise import fractal
from scenes.street import PER_METRE, PERIOD, ROWS, WALL, make_street

FAR = 70.0  # metres: what lies beyond is part of the sky's picture
BLURS = (1, 7, 25)  # rows that each coarser copy of the street averages over
ROW = PERIOD / ROWS  # metres per row


class Backdrop:
    """Draws the scenery for any distance that the robot has driven.

    Attributes:
        street: the unrolled street and its air temperature.
        moving: whether the robot drives; if not, one picture serves all frames.
    """

    def __init__(self, config: SceneConfig, camera: Camera, moving: bool) -> None:
        self.street = make_street(config)
        self.moving = moving
        self._size = (config.height, config.width)
        self._maps(camera)
        self._copies()
        self._sky(config, camera)
        self._lamps(config, camera)
        self._still = None if moving else self._draw(0.0)

    def draw(self, driven: float) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Return the scenery as the robot sees it.

        Args:
            driven: metres from the start.

        Returns:
            Fresh uint8 [H, W, 3] RGB and float32 [H, W] degC.
        """
        if self._still is not None:
            return self._still[0].copy(), self._still[1].copy()
        return self._draw(driven)

    def light(self, x: float, z: float) -> float:
        """Return how bright an object at (x, z) metres is lit; 1 is daylight."""
        light = self._ambient + self._beam * np.exp(-((z / 16) ** 2) - (x / (0.8 + 0.22 * z)) ** 2)
        for lamp_x, lamp_z, power in self._lamp_list:
            light += power * np.exp(-((x - lamp_x) ** 2 + (z - lamp_z) ** 2) / 30.0)
        return float(min(light, 1.0))

    def _maps(self, camera: Camera) -> None:
        """Work out which place of the unrolled street each pixel looks at."""
        height, width = self._size
        half = self.street.half_width
        across = (np.arange(width, dtype=np.float32)[None] - camera.ahead) / camera.fx
        down = (np.arange(height, dtype=np.float32)[:, None] - camera.horizon) / camera.fy
        to_ground = camera.above_ground / np.maximum(down, 1e-4)
        # The robot need not drive in the middle: one wall is closer than the other.
        to_wall = (half + np.where(across < 0, camera.aside, -camera.aside)) / np.maximum(
            np.abs(across), 1e-4
        )
        z = np.minimum(to_ground, to_wall)
        up = np.maximum(camera.above_ground - down * z, 0.0)
        on_wall = to_wall < to_ground
        x = across * z
        wall = WALL * PER_METRE
        column = np.where(
            on_wall,
            np.where(x < 0, wall - up * PER_METRE, wall + (2 * half + up) * PER_METRE),
            wall + (x + camera.aside + half) * PER_METRE,
        )
        footprint = z * z / np.where(on_wall, half, camera.above_ground) / camera.fy / ROW
        level = np.digitize(footprint, (3.0, 12.0))
        # Each copy is followed by a few of its first rows, so that reading past the end wraps.
        self._base = ((z / ROW) % ROWS).astype(np.float32)
        self._level = (level * (ROWS + 4)).astype(np.float32)
        self._column = column.astype(np.float32)
        self._seen = ((z < FAR) & (up < WALL)).astype(np.float32)
        self._haze = np.clip(z / FAR, 0, 1).astype(np.float32)
        self._place = (x, z, up)

    def _copies(self) -> None:
        """Keep the street at three grades of coarseness along z, or far rows would flicker."""
        street = self.street
        layers = np.dstack([street.color, street.glow * 255, street.degrees, street.solid])
        grades = []
        for blur in BLURS:
            wrapped = np.concatenate([layers[-blur:], layers, layers[: blur + 4]])
            smooth = cv2.blur(wrapped, (1 + blur // 4, blur))
            grades.append(smooth[blur : blur + ROWS + 4])
        tall = np.concatenate(grades)
        self._colors = np.ascontiguousarray(np.clip(tall[..., :4], 0, 255).astype(np.uint8))
        self._heat = np.ascontiguousarray(tall[..., 4:])

    def _sky(self, config: SceneConfig, camera: Camera) -> None:
        rng = config.generator(STREET, 1)
        height, width = self._size
        up = np.clip((camera.horizon - np.arange(height)) / max(camera.horizon, 1), 0, 1)[
            :, None, None
        ]
        clouds = fractal(rng, self._size, (2, 3), 5)[..., None]
        if config.dark:
            low, high = np.array([20, 22, 30]) * rng.uniform(0.3, 1.6), np.array([4, 6, 12])
        else:
            low, high = np.array([226, 230, 234]), np.array([110, 160, 220]) + rng.uniform(-40, 30)
        sky = low * (1 - up) + high * up
        sky = sky + clouds * (3 if config.dark else rng.uniform(4, 26))
        cold = self.street.ambient - float(rng.uniform(3, 28))
        heat = (
            self.street.ambient
            - 3
            + (cold - self.street.ambient) * up[..., 0] ** 0.5
            + clouds[..., 0]
        )
        skyline = camera.horizon - height * (
            0.02 + 0.02 * np.abs(fractal(rng, (2, width), (2, 30), 4)[0]) + rng.uniform(0, 0.12)
        )
        beyond = np.arange(height)[:, None] > skyline[None]
        tone = (
            np.array([84, 92, 84]) * rng.uniform(0.6, 1.2)
            + 7 * fractal(rng, self._size, (30, 40), 3)[..., None]
        )
        sky[beyond] = tone[beyond] * (0.1 if config.dark else 1.0)
        heat[beyond] = self.street.ambient + 0.4 * clouds[beyond][:, 0]
        self._sky_color = np.clip(sky, 0, 255).astype(np.float32)
        self._sky_heat = heat.astype(np.float32)

    def _lamps(self, config: SceneConfig, camera: Camera) -> None:
        """Prepare the light of the night: street lamps, the robot's beam, the glow of the city."""
        rng = config.generator(LIGHT)
        self._lamp_list: list[tuple[float, float, float]] = []
        self._ambient, self._beam, self._light_map = 1.0, 0.0, None
        self._lamp_color = np.ones(3, np.float32)
        if not config.dark:
            return
        self._ambient = float(rng.uniform(0.05, 0.16))
        self._beam = float(rng.uniform(0.2, 0.6)) if rng.random() < 0.5 else 0.0
        for _ in range(int(rng.integers(0, 5))):
            side = self.street.road + 0.5
            x = side if rng.random() < 0.5 else -side
            z_lamp, power = float(rng.uniform(6, 35)), float(rng.uniform(0.2, 0.7))
            self._lamp_list.append((x - camera.aside, z_lamp, power))
        self._lamp_color = np.array(
            [1.0, rng.uniform(0.78, 1.0), rng.uniform(0.55, 1.0)], np.float32
        )
        x, z, up = self._place
        light = self._ambient + self._beam * np.exp(
            -((z / 16) ** 2) - (x / (0.8 + 0.22 * z)) ** 2 - (up / 1.6) ** 2
        )
        for lamp_x, lamp_z, power in self._lamp_list:
            light = light + power * np.exp(
                -((x - lamp_x) ** 2 + (z - lamp_z) ** 2) / 30.0 - (up / 5) ** 2
            )
        self._light_map = np.clip(light, 0, 1).astype(np.float32)

    def _draw(self, driven: float) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        row = self._base + np.float32((driven / ROW) % ROWS)
        np.subtract(row, ROWS, out=row, where=row >= ROWS)
        row += self._level
        seen = cv2.remap(
            self._colors, self._column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        heat = cv2.remap(
            self._heat, self._column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        solid = heat[..., 1] * self._seen
        degrees = self._sky_heat + (heat[..., 0] - self._sky_heat) * solid
        color = cv2.cvtColor(seen, cv2.COLOR_RGBA2RGB).astype(np.float32)
        color = self._sky_color + (color - self._sky_color) * solid[..., None]
        if self._light_map is None:
            color += (210.0 - color) * (0.35 * self._haze)[
                ..., None
            ]  # daylight scatters in the air
        else:
            shine = np.maximum(self._light_map, seen[..., 3] * np.float32(1 / 255))
            shine = np.where(solid > 0.5, shine, 1.0)  # the night sky was drawn dark already
            color *= shine[..., None] * self._lamp_color
        return np.clip(color, 0, 255).astype(np.uint8), degrees
