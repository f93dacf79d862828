"""Finds a homography without a board, from the edges that both cameras see in the same scenes.

First a search over size, roll and place at low resolution, in which all pairs have a say together
(one pair alone is often undecided at night). Then patches of the thermal picture look for their
place in the RGB picture, again in all pairs at once, and a homography is fitted to the patches
that are sure, at growing resolution.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from paif_ros.errors import CalibrationError
from paif_ros.registration.alignment.fit import (
    F64,
    Estimate,
    Residual,
    distances,
    fit,
    largest_residual,
)
from paif_ros.registration.alignment.information import information_gain
from paif_ros.registration.alignment.patches import (
    CHECK,
    Pair,
    Patches,
    Search,
    check_sizes,
    match,
    sizes,
)
from paif_ros.registration.alignment.search import search

__all__ = ['align', 'refine']

# Median correlation of all patches at the end. Registered scenes have 0.29 and more, and scenes
# that do not belong together 0.08 and less where four pairs vote, but up to 0.29 where one does.
_MEDIAN, _MEDIAN_FEW, _FEW = 0.22, 0.33, 4
_MIN_PATCHES = 12
_MIN_COVER = 0.25  # share of the common field of view in which patches were sure
_ADVICE = '{} or more; take pairs that show the same scene, with outlines that both cameras see'
# How patches are looked for, and what is fitted to them: few parameters while little is certain.
_ROUNDS = (
    (Search(320, 64, 20, 32), 'similarity'),
    (Search(320, 64, 12, 32), 'affine'),
    (Search(320, 64, 8, 24), 'affine'),
    (Search(320, 64, 8, 24), 'homography'),
    (Search(640, 96, 10, 40), 'homography'),
    (CHECK, 'homography'),
)


def align(pairs: Sequence[Pair], max_residual: float = 0.0) -> Estimate:
    """Estimate the homography from thermal to RGB pixels.

    The cameras stay as they are between the pairs, which best show different scenes, rich in
    outlines, at the distances that matter. The thermal picture is 0.25 to 1.8 times as wide as
    the RGB one when both are registered, and rolled by no more than some 9 degrees.

    Args:
        pairs: RGB uint8 [H, W, 3] and thermal uint8 [h, w], all of one size; ten or more are
            good, and from four on half of them check what the other half says.
        max_residual: largest median distance in RGB pixels, 0 for `largest_residual`.

    Raises:
        CalibrationError: no pairs, sizes that differ, edges that do not agree, or a residual
            that is too large.
    """
    check_sizes(pairs)
    visible_size, thermal_size = sizes(pairs)
    limit = max_residual or largest_residual(visible_size)
    found = refine(pairs, search(pairs))
    patches = match(pairs, found)
    _check_patches(patches, len(pairs))
    notes = []
    if len(pairs) >= _FEW:
        residual = _hold_out(pairs, found)
        gain = information_gain(pairs, found)
        if gain < 1.0:
            raise CalibrationError(
                'mutual information', f'{gain:.2f} of that of shifted pictures',
                'more than 1; take pairs of other scenes',
            )  # fmt: skip
        notes.append(f'mutual information is {gain:.2f} times that of shifted pictures')
    else:
        residual = patches.residual(found, held_out=False)
        notes.append(
            f'{len(pairs)} pairs: none is left to check them with; {_FEW} or more do that'
        )
    if residual is None or residual.median > limit:
        raise CalibrationError(
            'residual', 'none' if residual is None else f'{residual.median:.2f} px',
            f'{limit:.2f} px or less; take more pairs of scenes with outlines, at one distance',
        )  # fmt: skip
    if patches.cover < 0.5:
        notes.append(
            f'only {patches.cover:.0%} of the common view had sure edges; the rest is extrapolated'
        )
    method = f'edges, {len(pairs)} pairs'
    estimate = Estimate(found, residual, method, tuple(notes))
    estimate.calibration(thermal_size, visible_size)  # refuses what no rig has
    return estimate


def refine(pairs: Sequence[Pair], start: F64) -> F64:
    """Improve a homography by matching patches at growing resolution.

    Args:
        pairs: as for `align`.
        start: float64 [3, 3], right within some 6 % of the picture's width.

    Raises:
        CalibrationError: too few patches agree.
    """
    found = start
    for step, model in _ROUNDS:
        patches = match(pairs, found, step)
        sure = patches.sure
        if sure.sum() < 6:
            raise CalibrationError(
                'edges', f'{int(sure.sum())} patches agree', _ADVICE.format(_MIN_PATCHES)
            )
        threshold = 3.0 * sizes(pairs)[0][0] / step.width
        found = _fit(patches.thermal[sure], patches.visible[sure], model, threshold)
    return found


def _check_patches(patches: Patches, count: int) -> None:
    sure = int(patches.sure.sum())
    if sure < _MIN_PATCHES or patches.cover < _MIN_COVER:
        raise CalibrationError(
            'edges', f'{sure} sure patches on {patches.cover:.0%} of the common view',
            _ADVICE.format(f'{_MIN_PATCHES} on {_MIN_COVER:.0%}'),
        )  # fmt: skip
    least = _MEDIAN if count >= _FEW else _MEDIAN_FEW
    if np.median(patches.score) < least:
        raise CalibrationError(
            'edges', f'correlation {np.median(patches.score):.2f}', _ADVICE.format(least)
        )


def _hold_out(pairs: Sequence[Pair], found: F64) -> Residual | None:
    """Measure on some of the pairs the homography of the others.

    Two halves where both have pairs enough, else quarters, of which three are known.
    """
    folds = 2 if len(pairs) >= 2 * _FEW else 4
    away: list[float] = []
    for fold in range(folds):
        known = [pair for index, pair in enumerate(pairs) if index % folds != fold]
        matrix = refine(known, found)
        patches = match(pairs[fold::folds], found)
        sure = patches.sure
        away += distances(matrix, patches.thermal[sure], patches.visible[sure]).tolist()
    return Residual.of(away, held_out=True) if away else None


def _fit(thermal: F64, visible: F64, model: str, threshold: float) -> F64:
    import cv2

    if model == 'homography':
        try:
            return fit(thermal, visible, threshold)
        except CalibrationError as err:
            raise CalibrationError('edges', err.value, _ADVICE.format(_MIN_PATCHES)) from err
    find = cv2.estimateAffinePartial2D if model == 'similarity' else cv2.estimateAffine2D
    source, target = np.ascontiguousarray(thermal), np.ascontiguousarray(visible)
    matrix, _ = find(source, target, ransacReprojThreshold=1.5 * threshold)
    if matrix is None or abs(np.linalg.det(matrix[:, :2])) < 1e-6:
        raise CalibrationError('edges', 'no common place', _ADVICE.format(_MIN_PATCHES))
    return np.vstack([matrix, [0.0, 0.0, 1.0]])
