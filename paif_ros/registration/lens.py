"""Rays to pixels and back, through the distortion of a lens.

OpenCV's own functions differ between its releases (4.5 to 5) and take seconds for a full picture,
and beyond the field of view their polynomials fold back: a ray from far outside lands inside the
picture as a ghost. Here such rays are marked.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from paif_ros.registration.intrinsics import Intrinsics

F64 = NDArray[np.float64]
Mask = NDArray[np.bool_]

_STEPS = 30  # of the inverse; a good lens needs three or four
_CLOSE = 1e-6  # of the focal length; the step from there squares it
_FAR = 12.0  # radius up to which a polynomial is searched for its turning point: 85 degrees


def distort(x: F64, y: F64, camera: Intrinsics) -> tuple[F64, F64, Mask]:
    """Project rays.

    Args:
        x: float64 of any shape, right of the optical axis at distance 1.
        y: the same downwards.
        camera: the lens.

    Returns:
        Column and row in pixels, and a mask of the rays for which they are right: where the
        polynomial has turned round, it means nothing.
    """
    (fx, _, cx), (_, fy, cy), _ = camera.matrix
    if camera.model == 'equidistant':
        u, v, good = _bend_fisheye(x, y, camera)
    else:
        u, v, good = _bend(x, y, camera)
    return u * fx + cx, v * fy + cy, good


def undistort(column: F64, row: F64, camera: Intrinsics) -> tuple[F64, F64, Mask]:
    """Find the rays that land on pixels.

    Args:
        column: float64 of any shape, pixels.
        row: the same.
        camera: the lens.

    Returns:
        x and y at distance 1, and a mask of the pixels that a ray in front of the camera reaches.
    """
    (fx, _, cx), (_, fy, cy), _ = camera.matrix
    u, v = (column - cx) / fx, (row - cy) / fy
    if not any(camera.coefficients) and camera.model != 'equidistant':
        return u, v, np.ones(u.shape, bool)
    if camera.model == 'equidistant':
        return _straighten_fisheye(u, v, camera)
    return _straighten(u, v, camera)


def _coefficients(camera: Intrinsics, count: int) -> list[float]:
    return [*camera.coefficients, *[0.0] * (count - len(camera.coefficients))]


def _radial(r2: F64, camera: Intrinsics) -> tuple[F64, F64]:
    """Return the factor by which a ray's distance grows, and its derivative by r squared."""
    k = _coefficients(camera, 14)
    above = 1 + r2 * (k[0] + r2 * (k[1] + r2 * k[4]))
    slope_above = k[0] + r2 * (2 * k[1] + 3 * r2 * k[4])
    if not any(k[5:8]):
        return above, slope_above
    below = 1 + r2 * (k[5] + r2 * (k[6] + r2 * k[7]))
    slope_below = k[5] + r2 * (2 * k[6] + 3 * r2 * k[7])
    with np.errstate(divide='ignore', invalid='ignore', over='ignore'):
        return above / below, (slope_above * below - above * slope_below) / below**2


def _turn(camera: Intrinsics) -> float:
    """Return the square of the radius from which on the polynomial falls or has a pole."""
    r2 = np.linspace(0.0, _FAR, 4001) ** 2
    factor, slope = _radial(r2, camera)
    rises = (factor > 0) & (factor + 2 * slope * r2 > 0)
    return math.inf if rises.all() else float(r2[max(int(np.argmin(rises)) - 1, 0)])


def _bend(x: F64, y: F64, camera: Intrinsics) -> tuple[F64, F64, Mask]:
    r2 = x * x + y * y
    u, v = _offsets(x, y, r2, _radial(r2, camera)[0], camera)
    return u, v, np.isfinite(u) & np.isfinite(v) & (r2 <= _turn(camera))


def _offsets(x: F64, y: F64, r2: F64, factor: F64, camera: Intrinsics) -> tuple[F64, F64]:
    """Return rays behind the lens: stretched by a factor, then tangential, prism and tilt."""
    k = _coefficients(camera, 14)
    u, v = x * factor, y * factor
    if k[2] or k[3]:
        u += 2 * k[2] * x * y + k[3] * (r2 + 2 * x * x)
        v += k[2] * (r2 + 2 * y * y) + 2 * k[3] * x * y
    if any(k[8:12]):
        u += r2 * (k[8] + k[9] * r2)
        v += r2 * (k[10] + k[11] * r2)
    if k[12] or k[13]:
        tilt = _tilt(k[12], k[13])
        depth = tilt[2, 0] * u + tilt[2, 1] * v + tilt[2, 2]
        u, v = (
            (tilt[0, 0] * u + tilt[0, 1] * v + tilt[0, 2]) / depth,
            (tilt[1, 0] * u + tilt[1, 1] * v + tilt[1, 2]) / depth,
        )
    return u, v


def _tilt(about_x: float, about_y: float) -> F64:
    """Return the projection onto a tilted sensor, as OpenCV defines it."""
    sin_x, cos_x, sin_y, cos_y = (
        math.sin(about_x), math.cos(about_x), math.sin(about_y), math.cos(about_y),
    )  # fmt: skip
    rotation = np.array([[cos_y, 0, -sin_y], [0, 1, 0], [sin_y, 0, cos_y]]) @ np.array(
        [[1, 0, 0], [0, cos_x, sin_x], [0, -sin_x, cos_x]]
    )
    project = np.array(
        [
            [rotation[2, 2], 0, -rotation[0, 2]],
            [0, rotation[2, 2], -rotation[1, 2]],
            [0, 0, 1],
        ]
    )
    return np.asarray(project @ rotation)


def _straighten(u: F64, v: F64, camera: Intrinsics) -> tuple[F64, F64, Mask]:
    """Invert by Newton's method with the derivative of the radial part, which dominates."""
    shape, u, v = u.shape, u.ravel(), v.ravel()
    x, y = u.copy(), v.copy()
    at = np.arange(u.size)  # those that are not found yet
    with np.errstate(all='ignore'):  # what runs away is marked below
        for _ in range(_STEPS):
            here, there = x[at], y[at]
            r2 = here * here + there * there
            factor, slope = _radial(r2, camera)
            bent_u, bent_v = _offsets(here, there, r2, factor, camera)
            left, right = u[at] - bent_u, v[at] - bent_v
            pull = 2 * slope * (here * left + there * right) / (factor + 2 * slope * r2)
            x[at] = here + (left - here * pull) / factor
            y[at] = there + (right - there * pull) / factor
            at = at[~(np.maximum(np.abs(left), np.abs(right)) < _CLOSE)]
            if not at.size:
                break
        bent_u, bent_v, good = _bend(x, y, camera)
        # A millionth of the focal length is far below a hundredth of a pixel.
        good &= np.maximum(np.abs(u - bent_u), np.abs(v - bent_v)) < 1e-6
    x, y = np.where(good, x, 0.0), np.where(good, y, 0.0)
    return x.reshape(shape), y.reshape(shape), good.reshape(shape)


def _angle(theta: F64, camera: Intrinsics) -> tuple[F64, F64]:
    """Return the angle behind a fisheye lens, and its derivative by that before it."""
    k = _coefficients(camera, 4)
    t2 = theta * theta
    bent = theta * (1 + t2 * (k[0] + t2 * (k[1] + t2 * (k[2] + t2 * k[3]))))
    slope = 1 + t2 * (3 * k[0] + t2 * (5 * k[1] + t2 * (7 * k[2] + t2 * 9 * k[3])))
    return bent, slope


def _fisheye_turn(camera: Intrinsics) -> float:
    theta = np.linspace(0.0, math.pi / 2, 4001)
    rises = _angle(theta, camera)[1] > 0
    return math.pi / 2 if rises.all() else float(theta[max(int(np.argmin(rises)) - 1, 0)])


def _bend_fisheye(x: F64, y: F64, camera: Intrinsics) -> tuple[F64, F64, Mask]:
    radius = np.hypot(x, y)
    theta = np.arctan(radius)
    bent, _ = _angle(theta, camera)
    factor = np.divide(bent, radius, out=np.ones_like(radius), where=radius > 0)
    return x * factor, y * factor, theta <= _fisheye_turn(camera)


def _straighten_fisheye(u: F64, v: F64, camera: Intrinsics) -> tuple[F64, F64, Mask]:
    bent = np.hypot(u, v)
    turn = _fisheye_turn(camera)
    # The angle rises up to the turn, so Newton's steps that are kept inside can't run away.
    theta = np.minimum(bent, turn)
    with np.errstate(all='ignore'):
        for _ in range(_STEPS):
            got, slope = _angle(theta, camera)
            if np.max(np.abs(bent - got), initial=0.0) < _CLOSE:
                break
            theta = np.clip(theta + (bent - got) / slope, 0.0, turn)
    good = np.abs(_angle(theta, camera)[0] - bent) < 1e-6
    good &= theta < math.pi / 2 - 1e-3  # nothing at the side meets a plane in front
    factor = np.divide(
        np.tan(np.where(good, theta, 0.0)), bent, out=np.ones_like(bent), where=bent > 0
    )
    return np.where(good, u * factor, 0.0), np.where(good, v * factor, 0.0), good
