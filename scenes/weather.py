"""What hides things from the colour camera: smoke, and headlamps that blind it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.config import WEATHER, SceneConfig
from scenes.noise import fractal

CLOUD = 512  # side of the smoke's noise in its own pixels


class Smoke:
    """Banks of smoke that drift across the picture."""

    def __init__(self, config: SceneConfig, horizon: float) -> None:
        rng = config.generator(WEATHER)
        self._size = (config.height, config.width)
        self._noise = [fractal(rng, (CLOUD, CLOUD), (5, 5), 6, 0.62) for _ in range(2)]
        self._drift = rng.uniform(14, 40, 2) * np.where(
            rng.random(2) < 0.5, -1, 1
        )  # cells a second
        self._rise = rng.uniform(4, 14, 2)
        self._tone = (rng.uniform(130, 205) + rng.uniform(-8, 8, 3)).astype(np.float32)
        self._density = float(rng.uniform(0.9, 1.45))
        # The ground at the robot's feet is close, so little smoke lies before it.
        near = (np.arange(config.height) - horizon) / max(config.height - horizon, 1)
        self._veil = np.clip(1.25 - np.clip(near, 0, 1) ** 2, 0.0, 1.0).astype(np.float32)[:, None]

    def cover(self, time: float) -> NDArray[np.float32]:
        """Return how much of each pixel's light the smoke takes: float32 [H, W], 0 to 1."""
        rows, cols = max(2, self._size[0] // 4), max(2, self._size[1] // 4)
        total = np.zeros((rows, cols), np.float32)
        for noise, drift, rise in zip(self._noise, self._drift, self._rise, strict=True):
            row, col = int(rise * time) % CLOUD, int(drift * time) % CLOUD
            part = np.take(noise, np.arange(row, row + rows) % CLOUD, axis=0)
            total += np.take(part, np.arange(col, col + cols) % CLOUD, axis=1)
        thick = cv2.resize(total, self._size[::-1], interpolation=cv2.INTER_LINEAR)
        return np.clip((self._density + 0.22 * thick) * self._veil, 0.0, 0.985)

    def hide(
        self, visible: NDArray[np.uint8], degrees: NDArray[np.float32], time: float, ambient: float
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Return both images behind the smoke. Long-wave infrared goes through nearly all of it.

        Args:
            visible: uint8 [H, W, 3] RGB.
            degrees: float32 [H, W] degC.
            time: seconds since the start.
            ambient: temperature of the smoke in degC.
        """
        cover = self.cover(time)
        wisps = self._tone * (0.86 + 0.16 * cover[..., None])
        seen = visible + (wisps - visible) * cover[..., None]
        return seen.astype(np.uint8), degrees + (np.float32(ambient + 1) - degrees) * (
            0.06 * cover
        )


class Glare:
    """Lamps as a lens at night sees them: a burnt-out core, a halo, streaks."""

    def __init__(self, config: SceneConfig) -> None:
        rng = config.generator(WEATHER, 1)
        self._size = (config.height, config.width)
        self._strong = config.condition == 'glare'
        scale = config.width / 640.0
        rows, cols = 2 * config.height + 1, 2 * config.width + 1
        y = (np.arange(rows, dtype=np.float32)[:, None] - config.height) / scale
        x = (np.arange(cols, dtype=np.float32)[None] - config.width) / scale
        radius = np.sqrt(x * x + y * y)
        halo = (
            2.2 * np.exp(-radius / 18) + 0.7 * np.exp(-radius / 60) + 0.3 * np.exp(-radius / 200)
        )
        tilt = rng.uniform(-0.3, 0.3)
        for angle, power in ((tilt, 0.9), (tilt + rng.uniform(0.7, 2.3), 0.4)):
            along = np.abs(x * np.cos(angle) + y * np.sin(angle))
            beside = np.abs(y * np.cos(angle) - x * np.sin(angle))
            halo += power * np.exp(-beside / 2.2 - along / rng.uniform(70, 190))
        tone = np.array([255, rng.uniform(236, 255), rng.uniform(205, 255)], np.float32)
        self._halo = np.clip(halo[..., None] * tone * 0.9, 0, 255).astype(np.uint8)

    def dazzle(
        self, visible: NDArray[np.uint8], place: tuple[float, float], power: float
    ) -> NDArray[np.uint8]:
        """Return the picture with one lamp's glare added; it saturates like a sensor.

        Args:
            visible: uint8 [H, W, 3] RGB.
            place: (column, row) of the lamp, may lie somewhat outside the picture.
            power: 1 is a lamp at full strength.
        """
        height, width = self._size
        column, row = place
        if power < 0.02 or not (-0.2 * width < column < 1.2 * width and 0 <= row < height):
            return visible
        left, top = round(width - column), round(height - row)
        left, top = min(max(left, 0), width + 1), min(max(top, 0), height + 1)
        window = self._halo[top : top + height, left : left + width]
        return np.asarray(cv2.addWeighted(visible, 1.0, window, power, 0.0), np.uint8)
