"""A homography from points that both cameras see, with the distance that is left, or a refusal."""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paif_ros.errors import CalibrationError
from paif_ros.registration.calibration import Calibration
from paif_ros.registration.intrinsics import Size, to_matrix

F64 = NDArray[np.float64]

MIN_POINTS = 4
_MIN_FOLDS = 3  # groups of points (boards, clicks) from which on one can be left out
# Of the points' spread across to that along: less is a line, which leaves the rest open.
_MIN_SPREAD = 0.05
_MIN_INLIERS = 0.6
_LITTLE_AREA = 0.3  # of the thermal picture; what lies outside of the points is extrapolated
_TOO_LITTLE_AREA = 0.02
_IN_PLACE = 'points that no three of lie on a line, each in its place'


@dataclass(frozen=True)
class Residual:
    """Distances in RGB pixels between where points should be and where they come to lie.

    Attributes:
        median: half of them are smaller.
        p90: nine of ten are smaller.
        largest: of them all.
        count: how many.
        held_out: whether each was measured with a fit that did not know it.
    """

    median: float
    p90: float
    largest: float
    count: int
    held_out: bool

    @classmethod
    def of(cls, distances: Sequence[float] | F64, held_out: bool) -> Residual:
        """Summarize distances; there is one or more of them."""
        values = np.asarray(distances, np.float64)
        median, p90 = np.percentile(values, (50, 90))
        return cls(float(median), float(p90), float(values.max()), len(values), held_out)

    def __str__(self) -> str:
        kind = 'held out' if self.held_out else 'of the fit itself'
        return (
            f'median {self.median:.2f}, p90 {self.p90:.2f}, max {self.largest:.2f} px '
            f'({self.count} points, {kind})'
        )


@dataclass(frozen=True, eq=False)
class Estimate:
    """What was found.

    Attributes:
        homography: float64 [3, 3], thermal pixel to RGB pixel.
        residual: what remained; None where four points left nothing to measure.
        method: how it was found, in words.
        notes: what to know before relying on it.
    """

    homography: F64
    residual: Residual | None
    method: str
    notes: tuple[str, ...] = ()

    def calibration(self, thermal_size: Size, visible_size: Size) -> Calibration:
        """Return what goes to the file, dated today.

        Raises:
            CalibrationError: no two cameras side by side have such a homography.
        """
        residual = None if self.residual is None else round(self.residual.median, 3)
        return Calibration(
            thermal_size,
            visible_size,
            homography=to_matrix('homography', self.homography),
            method=self.method,
            residual_px=residual,
            date=datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        )


def largest_residual(visible_size: Size) -> float:
    """Return the median residual in RGB pixels above which an estimate is refused by default."""
    return max(2.0, 0.005 * visible_size[0])


def transfer(homography: F64, points: F64) -> F64:
    """Lead points through a homography.

    Args:
        homography: float64 [3, 3].
        points: float64 [N, 2], column and row.

    Returns:
        float64 [N, 2]; infinite where the homography leads to the horizon.
    """
    x, y, weight = homography @ np.vstack([points.T, np.ones(len(points))])
    with np.errstate(divide='ignore', invalid='ignore'):
        return np.asarray(np.stack([x / weight, y / weight], axis=1))


def distances(homography: F64, thermal: F64, visible: F64) -> F64:
    """Return how far thermal points come to lie from their RGB points, float64 [N] RGB pixels."""
    away = np.linalg.norm(transfer(homography, thermal) - visible, axis=1)
    return np.asarray(np.where(np.isfinite(away), away, 1e6))


def fit(thermal: F64, visible: F64, threshold: float) -> F64:
    """Fit a homography that up to two in five points may contradict.

    Args:
        thermal: float64 [N, 2] pixels, 4 or more.
        visible: float64 [N, 2] pixels of the same things in the RGB picture.
        threshold: RGB pixels beyond which a point contradicts.

    Returns:
        float64 [3, 3], thermal pixel to RGB pixel.

    Raises:
        CalibrationError: too few points, points on a line, or too many that contradict.
    """
    import cv2

    if len(thermal) < MIN_POINTS:
        raise CalibrationError(
            'points', f'{len(thermal)} pairs', f'{MIN_POINTS} or more, spread over the picture'
        )
    for name, points in (('thermal', thermal), ('visible', visible)):
        _check_spread(name, points)
    source, target = (np.ascontiguousarray(side, np.float64) for side in (thermal, visible))
    if len(thermal) == MIN_POINTS:
        matrix, used = cv2.findHomography(source, target, 0), np.ones(MIN_POINTS, bool)
        matrix = matrix[0]
    else:
        matrix, mask = cv2.findHomography(
            source, target, cv2.RANSAC, threshold, maxIters=5000, confidence=0.999
        )
        used = np.zeros(0, bool) if mask is None else mask.ravel().astype(bool)
    if matrix is None or not np.isfinite(matrix).all():
        raise CalibrationError('points', 'no homography', _IN_PLACE)
    if used.mean() < _MIN_INLIERS:
        raise CalibrationError(
            'points',
            f'{int(used.sum())} of {len(used)} within {threshold:.1f} px of one homography',
            f'at least {_MIN_INLIERS:.0%}; are they in the same order, and at one distance?',
        )
    _check_certain(thermal[used], visible[used], np.asarray(matrix, np.float64))
    return np.asarray(matrix, np.float64)


def estimate(
    thermal: Sequence[F64],
    visible: Sequence[F64],
    *,
    thermal_size: Size,
    visible_size: Size,
    method: str,
    max_residual: float = 0.0,
) -> Estimate:
    """Fit a homography to groups of points, and measure it on groups that it does not know.

    Args:
        thermal: for each group (a board, a click) float64 [N, 2] thermal pixels.
        visible: for each group float64 [N, 2] pixels of the same things in the RGB picture.
        thermal_size: (width, height) in pixels.
        visible_size: the same.
        method: for the file.
        max_residual: largest median distance in RGB pixels, 0 for `largest_residual`.

    Raises:
        CalibrationError: too few or degenerate points, or the residual is too large.
    """
    limit = max_residual or largest_residual(visible_size)
    if not thermal:
        raise CalibrationError('points', '0 pairs', f'{MIN_POINTS} or more')
    ours, theirs = np.concatenate(thermal), np.concatenate(visible)
    inside = [
        (points > -1).all() and (points < np.array(size)).all()
        for points, size in ((ours, thermal_size), (theirs, visible_size))
    ]
    if not all(inside):
        raise CalibrationError('points', 'outside', 'column and row within each picture')
    matrix = fit(ours, theirs, 2 * limit)
    notes = []
    away: list[float] = []
    if len(thermal) >= _MIN_FOLDS and len(ours) > MIN_POINTS:
        away = _hold_out(thermal, visible, 2 * limit)
    if away:
        residual: Residual | None = Residual.of(away, held_out=True)
    elif len(ours) > MIN_POINTS:
        residual = Residual.of(distances(matrix, ours, theirs), held_out=False)
        notes.append('too few views to leave one out: the true residual is larger')
    else:
        residual = None
        notes.append('four points fit any homography: nothing is left to measure; give more')
    area = _hull_area(ours) / (thermal_size[0] * thermal_size[1])
    if area < _TOO_LITTLE_AREA:
        raise CalibrationError(
            'points', f'on {area:.1%} of the thermal picture', f'{_TOO_LITTLE_AREA:.0%} or more'
        )
    if area < _LITTLE_AREA:
        notes.append(
            f'the points cover {area:.0%} of the thermal picture; the rest is extrapolated'
        )
    if residual is not None and residual.median > limit:
        raise CalibrationError(
            'residual', f'{residual.median:.2f} px', f'{limit:.2f} px or less; {residual}'
        )
    found = Estimate(matrix, residual, method, tuple(notes))
    found.calibration(thermal_size, visible_size)  # refuses what no rig has
    return found


def _hold_out(thermal: Sequence[F64], visible: Sequence[F64], threshold: float) -> list[float]:
    """Return the distance of each point under the fit to all groups but its own."""
    away: list[float] = []
    for left in range(len(thermal)):
        rest = [index for index in range(len(thermal)) if index != left]
        try:
            matrix = fit(
                np.concatenate([thermal[i] for i in rest]),
                np.concatenate([visible[i] for i in rest]),
                threshold,
            )
        except CalibrationError:  # this group is what the others need
            continue
        away += distances(matrix, thermal[left], visible[left]).tolist()
    return away


def _check_spread(name: str, points: F64) -> None:
    centred: Any = points - points.mean(axis=0)
    long, across = np.linalg.svd(centred, compute_uv=False)
    if not across > _MIN_SPREAD * long or not math.isfinite(long):
        raise CalibrationError(
            'points', f'{name} points on a line', 'points spread over both sides of the picture'
        )


def _check_certain(thermal: F64, visible: F64, matrix: F64) -> None:
    """Refuse points that leave the homography open, such as three of four on a line."""
    (from_thermal, ours), (from_visible, theirs) = _normalized(thermal), _normalized(visible)
    shown = from_visible @ matrix @ np.linalg.inv(from_thermal)
    shown /= np.linalg.norm(shown)
    rows = []
    for (x, y), (u, v) in zip(ours, theirs, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y, -u], [0, 0, 0, x, y, 1, -v * x, -v * y, -v]]
    strength = np.linalg.svd(np.array(rows), compute_uv=False)
    # Eight numbers must follow from the points. Well spread ones reach 0.05 and more in both.
    if strength[7] < 1e-3 * strength[0] or abs(np.linalg.det(shown)) < 1e-4:
        raise CalibrationError('points', 'points that leave the homography open', _IN_PLACE)


def _normalized(points: F64) -> tuple[F64, F64]:
    """Return points about zero with a mean distance of 1, and the matrix that leads to them."""
    middle = points.mean(axis=0)
    size = float(np.linalg.norm(points - middle, axis=1).mean())
    x, y = -middle / size
    return np.array([[1 / size, 0, x], [0, 1 / size, y], [0, 0, 1]]), (points - middle) / size


def _hull_area(points: F64) -> float:
    import cv2

    return float(cv2.contourArea(cv2.convexHull(points.astype(np.float32))))
