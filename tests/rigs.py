"""Pairs of pictures with a known homography between them, for tests of the alignment."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import numpy as np

from paif_ros.registration.alignment.scenes import from_folder, to_grey
from scenes.config import SceneConfig
from scenes.scene import Scene

PAIRS = Path(__file__).parent / 'data' / 'pairs'


@cache
def drawn(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Registered pairs of drawn scenes by day and by night, 640x480."""
    pairs = []
    for seed in range(count):
        frame = Scene(SceneConfig(seed=seed, condition=('day', 'night')[seed % 2])).frame(5)
        pairs.append((frame.visible, to_grey(frame.thermal)))
    return pairs


@cache
def real() -> list[tuple[np.ndarray, np.ndarray]]:
    """The four registered pairs of three M3SVD clips in tests/data, 640x480."""
    return from_folder(PAIRS, 10).pairs


def rig(seed: int, size: tuple[int, int] = (640, 480)) -> tuple[np.ndarray, tuple[int, int]]:
    """A thermal camera with a smaller view and other pixels: its homography and its size."""
    rng = np.random.default_rng(seed)
    width, height = size
    share = rng.uniform(0.6, 0.85)
    x, y = rng.uniform(0, 1 - share) * width, rng.uniform(0, 1 - share) * height
    wide, high = share * width, share * height
    corners = np.array([[x, y], [x + wide, y], [x + wide, y + high], [x, y + high]])
    corners += rng.uniform(-0.02, 0.02, (4, 2)) * width  # a little roll, tilt and shear
    thermal_size = (round(0.8 * width), round(0.8 * height))
    right, bottom = thermal_size[0] - 1, thermal_size[1] - 1
    own = np.array([[0, 0], [right, 0], [right, bottom], [0, bottom]], np.float32)
    return cv2.getPerspectiveTransform(own, corners.astype(np.float32)), thermal_size


def moved(
    pairs: list[tuple[np.ndarray, np.ndarray]], homography: np.ndarray, size: tuple[int, int]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The pairs as that thermal camera would have taken them."""
    back = np.linalg.inv(homography)
    return [(v, cv2.warpPerspective(t, back, size, flags=cv2.INTER_LINEAR)) for v, t in pairs]


def errors(found: np.ndarray, true: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Distances in RGB pixels over a grid of the thermal picture."""
    x, y = np.meshgrid(np.linspace(0, size[0] - 1, 11), np.linspace(0, size[1] - 1, 9))
    grid = np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
    places = [matrix @ grid for matrix in (found, true)]
    here, there = (place[:2] / place[2] for place in places)
    return np.hypot(*(here - there))
