"""Where an object stands and which way it faces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


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

    def place(self, points: ArrayLike) -> NDArray[np.float64]:
        """Return the camera coordinates of points given from the object's point of view.

        Args:
            points: [N, 3], metres (forward, right, up) from where the object touches the ground.

        Returns:
            float64 [N, 3], (x, y, z) in camera metres.
        """
        local = np.asarray(points, np.float64).reshape(-1, 3)
        sin, cos = np.sin(self.heading), np.cos(self.heading)
        x = self.x + local[:, 0] * sin + local[:, 1] * cos
        z = self.z + local[:, 0] * cos - local[:, 1] * sin
        return np.stack([x, local[:, 2], z], axis=1)
