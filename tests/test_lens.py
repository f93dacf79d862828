"""Rays to pixels and back, against OpenCV, and where a lens sees nothing."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from paif_ros.registration.intrinsics import Intrinsics
from paif_ros.registration.lens import distort, undistort

K = ((610.0, 0.0, 322.5), (0.0, 604.0, 251.0), (0.0, 0.0, 1.0))
LENSES = {
    'none': ('plumb_bob', ()),
    'four': ('plumb_bob', (-0.31, 0.12, 0.002, -0.001)),
    'five': ('plumb_bob', (-0.31, 0.12, 0.002, -0.001, -0.02)),
    'pincushion': ('plumb_bob', (0.2, 0.05, 0.0, 0.0, 0.0)),
    'eight': ('rational_polynomial', (0.5, -0.1, 0.001, 0.001, 0.02, 0.8, 0.05, 0.01)),
    'prism': (
        'rational_polynomial',
        (-0.2, 0.1, 0.001, 0.002, 0.0, 0.01, 0.02, 0.0, 0.003, -0.001, 0.002, 0.001),
    ),
    'tilt': (
        'rational_polynomial',
        (-0.2, 0.1, 0.001, 0.002, 0.0, 0.01, 0.02, 0.0, 0.003, -0.001, 0.002, 0.001, 0.02, -0.03),
    ),
    'fisheye': ('equidistant', (-0.03, 0.01, 0.001, -0.002)),
    'ideal fisheye': ('equidistant', ()),
}


def camera(name: str) -> Intrinsics:
    return Intrinsics(640, 512, K, *LENSES[name])


def by_opencv(rays: np.ndarray, lens: Intrinsics) -> np.ndarray:
    matrix, coefficients = np.array(lens.matrix), np.array(lens.coefficients)
    if lens.model == 'equidistant':
        flat = np.array([*coefficients, *[0.0] * (4 - len(coefficients))])
        return cv2.fisheye.distortPoints(rays[:, None], matrix, flat)[:, 0]
    points = np.column_stack([rays, np.ones(len(rays))])[:, None]
    zero = np.zeros(3)
    return cv2.projectPoints(points, zero, zero, matrix, coefficients)[0].reshape(-1, 2)


@pytest.mark.parametrize('name', LENSES)
def test_equals_opencv(name: str) -> None:
    rays = np.random.default_rng(0).uniform(-0.5, 0.5, (2000, 2))
    column, row, good = distort(rays[:, 0], rays[:, 1], camera(name))
    assert good.all()
    expected = by_opencv(rays, camera(name))
    assert np.abs(np.column_stack([column, row]) - expected).max() < 1e-6


@pytest.mark.parametrize('name', LENSES)
def test_back_and_forth_over_the_whole_picture(name: str) -> None:
    x, y = np.meshgrid(np.arange(-0.5, 640, 7.0), np.arange(-0.5, 512, 7.0))
    left, up, good = undistort(x, y, camera(name))
    assert good.all()
    column, row, seen = distort(left, up, camera(name))
    assert seen.all()
    assert max(np.abs(column - x).max(), np.abs(row - y).max()) < 1e-3


def test_a_ray_from_outside_is_no_ghost() -> None:
    """Far out the polynomial comes back, so OpenCV puts a ray from 57 degrees into the picture."""
    lens = Intrinsics(640, 512, K, 'plumb_bob', (-0.35, 0.0, 0.0, 0.0))
    far = np.array([[1.55, 0.0], [1.6, 0.2], [-1.58, 0.1]])
    ghosts = by_opencv(far, lens)
    assert ((ghosts > 0) & (ghosts < (640, 512))).all(), 'the case is not the one it should be'
    assert not distort(far[:, 0], far[:, 1], lens)[2].any()
    assert distort(np.array([0.5]), np.array([0.3]), lens)[2].all()


def test_a_pixel_that_no_ray_reaches_is_marked() -> None:
    """This barrel compresses everything into a circle; the corners of the picture are dark."""
    lens = Intrinsics(640, 512, ((300.0, 0, 320), (0, 300.0, 256), (0, 0, 1)), 'plumb_bob',
                      (-0.4, 0.0, 0.0, 0.0))  # fmt: skip
    column, row = np.array([0.0, 320.0, 639.0]), np.array([0.0, 256.0, 511.0])
    assert undistort(column, row, lens)[2].tolist() == [False, True, False]
    # Under 80 degrees, a fisheye of 3.2 rad across has pixels that look sideways.
    fish = Intrinsics(640, 512, ((200.0, 0, 320), (0, 200.0, 256), (0, 0, 1)), 'equidistant', ())
    assert undistort(column, row, fish)[2].tolist() == [False, True, False]
