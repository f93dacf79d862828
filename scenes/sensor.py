"""The two cameras: how light and heat become numbers, with the noise of real sensors."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.config import SENSOR, SceneConfig
from scenes.noise import layer

KELVIN = 273.15
COUNTS_PER_DEGREE = 100.0  # centikelvin, as radiometric Lepton and Boson cameras send
SPARE = 64  # the noise is larger than a frame by this much: each frame cuts another piece from it


def to_counts(degrees: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Return degC as hundredths of a kelvin, uint16."""
    counts = (degrees + np.float32(KELVIN)) * np.float32(COUNTS_PER_DEGREE)
    return np.clip(np.rint(counts), 0, 65535).astype(np.uint16)


def to_degrees(counts: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Return hundredths of a kelvin as degC, float32."""
    return counts.astype(np.float32) / np.float32(COUNTS_PER_DEGREE) - np.float32(KELVIN)


class ColorSensor:
    """Exposure, white balance, soft focus, dark corners and shot noise of the colour camera."""

    def __init__(self, config: SceneConfig) -> None:
        rng = config.generator(SENSOR, 0)
        self._config = config
        size = (config.height, config.width)
        gain = rng.uniform(0.85, 1.15) * rng.uniform(0.94, 1.06, 3)
        gamma = rng.uniform(0.8, 1.2)
        lift = rng.uniform(0, 8)
        curve = np.arange(256)[:, None] / 255.0
        table = np.clip(255 * (curve * gain) ** gamma * (1 - lift / 255) + lift, 0, 255)
        self._curve = table.astype(np.uint8).reshape(256, 1, 3)
        y, x = np.mgrid[-1 : 1 : size[0] * 1j, -1 : 1 : size[1] * 1j]
        corner = 1 - rng.uniform(0, 0.3) * (x * x + y * y) / 2
        self._corners = np.repeat((corner * 255).astype(np.uint8)[..., None], 3, axis=2)
        self._soft = float(rng.uniform(0.3, 1.0)) * config.width / 640
        strength = rng.uniform(4.5, 9.0) if config.dark else rng.uniform(1.2, 3.5)
        shape = (size[0] + SPARE, size[1] + SPARE, 3)
        # Kept times 16, so that small values survive as whole numbers.
        noise = rng.standard_normal(shape, np.float32) * np.float32(16 * strength)
        self._noise = noise.astype(np.int16)
        level = np.arange(256) / 255.0
        self._shot = (16 * np.sqrt(0.12 + level)).astype(np.uint8)

    def expose(self, visible: NDArray[np.uint8], index: int) -> NDArray[np.uint8]:
        """Return what the camera makes of a picture, uint8 [H, W, 3] RGB."""
        if self._soft > 0.35:
            visible = cv2.GaussianBlur(visible, (0, 0), self._soft)
        visible = cv2.multiply(visible, self._corners, scale=1 / 255)
        visible = cv2.LUT(visible, self._curve)
        rng = self._config.generator(SENSOR, 1, index)
        row, col = (int(part) for part in rng.integers(0, SPARE, 2))
        height, width = visible.shape[:2]
        noise = self._noise[row : row + height, col : col + width]
        strength = cv2.LUT(visible, self._shot)
        grain = cv2.multiply(noise, strength, scale=1 / 256, dtype=cv2.CV_16S)
        return np.asarray(cv2.add(visible, grain, dtype=cv2.CV_8U), np.uint8)


class ThermalSensor:
    """Soft focus, fixed pattern and random noise of an uncooled thermal camera."""

    def __init__(self, config: SceneConfig) -> None:
        rng = config.generator(SENSOR, 2)
        self._config = config
        size = (config.height, config.width)
        columns = rng.standard_normal((1, size[1])) * rng.uniform(0.01, 0.06)
        shading = layer(rng, size, (3, 4)) * rng.uniform(0.02, 0.25)
        pixels = rng.standard_normal(size) * rng.uniform(0.01, 0.05)
        self._pattern = (columns + shading + pixels).astype(np.float32)
        shape = (size[0] + SPARE, size[1] + SPARE)
        self._noise = rng.standard_normal(shape, np.float32) * np.float32(rng.uniform(0.04, 0.12))
        self._soft = float(rng.uniform(0.6, 1.3)) * config.width / 640
        self._wander = float(rng.uniform(0.0, 0.3))

    def expose(self, degrees: NDArray[np.float32], index: int) -> NDArray[np.uint16]:
        """Return what the camera makes of temperatures, uint16 [H, W] counts."""
        if self._soft > 0.35:
            degrees = cv2.GaussianBlur(degrees, (0, 0), self._soft)
        rng = self._config.generator(SENSOR, 3, index)
        row, col = (int(part) for part in rng.integers(0, SPARE, 2))
        height, width = degrees.shape
        # The housing warms and cools slowly: all pixels wander together.
        drift = self._wander * np.sin(index / self._config.rate / 7.0)
        noise = self._noise[row : row + height, col : col + width]
        return to_counts(degrees + self._pattern + noise + np.float32(drift))
