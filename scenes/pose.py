"""Where an object stands and which way it faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float, float]  # (forward, right, up) in an object's own metres


@dataclass(frozen=True)
class Pose:
    """Place on the ground and direction.

    Attributes:
        x: metres to the right of the camera.
        z: metres in front of the camera.
        heading: radians; 0 looks away from the camera, pi / 2 to the right.
    """

    x: float
    z: float
    heading: float

    def place(self, points: Sequence[Point]) -> NDArray[np.float64]:
        """Return the camera coordinates of points given from the object's point of view.

        Args:
            points: N points, metres (forward, right, up) from where the object touches the ground.

        Returns:
            float64 [N, 3], (x, y, z) in camera metres.
        """
        local = np.array(points, np.float64)
        sin, cos = np.sin(self.heading), np.cos(self.heading)
        out = np.empty_like(local)
        out[:, 0] = self.x + local[:, 0] * sin + local[:, 1] * cos
        out[:, 1] = local[:, 2]
        out[:, 2] = self.z + local[:, 0] * cos - local[:, 1] * sin
        return out

    def eye(self, above_ground: float) -> Point:
        """Return where the camera is from the object's point of view (forward, right, up)."""
        sin, cos = float(np.sin(self.heading)), float(np.cos(self.heading))
        return (-self.x * sin - self.z * cos, -self.x * cos + self.z * sin, above_ground)
