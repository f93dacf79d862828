"""The pinhole camera that both images are drawn with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scenes.config import CAMERA, SceneConfig


@dataclass(frozen=True)
class Camera:
    """A pinhole camera over flat ground. Metres; x right, y up from the ground, z forward.

    Attributes:
        fx: focal length in pixels, across.
        fy: focal length in pixels, down.
        cx: column of the optical axis.
        cy: row of the optical axis.
        above_ground: height of the lens in metres.
        ahead: column in which the street vanishes. It differs from cx where the camera looks
            aside; the angles are small, so they are drawn as shifts of columns and rows.
        horizon: row of the horizon. It differs from cy where the camera is pitched.
        aside: metres that the camera stands to the right of the street's middle.
    """

    fx: float
    fy: float
    cx: float
    cy: float
    above_ground: float
    ahead: float
    horizon: float
    aside: float

    def project(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the pixel places of points in front of the camera.

        Args:
            points: float64 [N, 3], (x, y, z) in metres, z above 0.

        Returns:
            float64 [N, 2], (column, row).
        """
        z = np.maximum(points[:, 2], 0.05)
        column = self.ahead + self.fx * points[:, 0] / z
        row = self.horizon + self.fy * (self.above_ground - points[:, 1]) / z
        return np.stack([column, row], axis=1)

    def matrix(self) -> tuple[float, ...]:
        """Return the nine numbers of CameraInfo's K, row by row."""
        return (self.fx, 0.0, self.cx, 0.0, self.fy, self.cy, 0.0, 0.0, 1.0)


def camera_of(config: SceneConfig) -> Camera:
    """Return the camera of a scene: field of view, height and pitch follow from the seed."""
    rng = config.generator(CAMERA)
    half_view = np.deg2rad(rng.uniform(24.0, 34.0))
    focal = config.width / 2 / np.tan(half_view)
    return Camera(
        fx=float(focal),
        fy=float(focal),
        cx=(config.width - 1) / 2,
        cy=(config.height - 1) / 2,
        above_ground=float(rng.uniform(1.1, 1.9)),
        ahead=float(config.width * (0.5 + np.clip(rng.normal(0, 0.1), -0.3, 0.3))),
        horizon=float(config.height * rng.uniform(0.36, 0.52)),
        aside=float(rng.uniform(-1.0, 2.0)),
    )
