"""The first guess: how large, how rolled and where the thermal picture lies in the RGB one.

At low resolution every place is tried, and all pairs have a say together: one pair alone is often
undecided at night.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from paif_ros.registration.alignment.patches import F64, Pair, sizes, warped_to
from paif_ros.registration.edges import F32, U8, edge_directions, shrink
from paif_ros.registration.intrinsics import Size, scaling

_WIDTH = 160  # pixels in which the RGB picture is searched
_SIZES = np.geomspace(0.25, 1.8, 42)  # of the thermal picture's width to that of the RGB picture
_VOTERS = 8  # pairs that are asked; more cost time and change nothing
_ROLLS = (0.0, -6.0, 6.0)  # degrees; edges still match when they are three degrees off


def search(pairs: Sequence[Pair]) -> F64:
    """Search for the thermal picture's size, roll and place in the RGB picture.

    Args:
        pairs: as for `align`.

    Returns:
        float64 [3, 3] from thermal to RGB pixels, right within some 3 % of the picture's width;
        or nonsense where the pictures do not belong together, which `align` finds out.
    """
    visible_size, thermal_size = sizes(pairs)
    pairs = pairs[:: math.ceil(len(pairs) / _VOTERS)]
    scenes = [edge_directions(shrink(visible, _WIDTH)) for visible, _ in pairs]
    height, width = scenes[0].shape[:2]
    best: tuple[float, F64] = (-1.0, np.eye(3))
    for roll in _ROLLS:
        for size in _SIZES:
            wide = max(16, round(width * size))
            high = max(12, round(wide * thermal_size[1] / thermal_size[0]))
            turn = _turned(thermal_size, (wide, high), roll)
            templates = [_template(thermal, turn, (wide, high)) for _, thermal in pairs]
            votes, start = _votes(scenes, templates)
            row, column = np.unravel_index(int(np.argmax(votes)), votes.shape)
            if votes[row, column] > best[0]:
                move = np.array([[1, 0, column - start[0]], [0, 1, row - start[1]], [0, 0, 1.0]])
                best = (float(votes[row, column]), move @ turn)
    enlarge = scaling('visible', (width, height), visible_size)
    return np.asarray(enlarge @ best[1])


def _turned(thermal: Size, size: Size, roll: float) -> F64:
    """Return the matrix from thermal pixels to a template, rolled about its middle."""
    import cv2

    middle = ((size[0] - 1) / 2, (size[1] - 1) / 2)
    turn = np.vstack([cv2.getRotationMatrix2D(middle, roll, 1.0), [0, 0, 1]])
    # The sides are rounded to whole pixels, so they need not shrink by quite the same factor.
    wide, high = size[0] / thermal[0], size[1] / thermal[1]
    fit_in = np.array([[wide, 0, (wide - 1) / 2], [0, high, (high - 1) / 2], [0, 0, 1]])
    return np.asarray(turn @ fit_in)


def _template(thermal: U8, turn: F64, size: tuple[int, int]) -> F32:
    """Return the edges of a thermal picture at a size and roll, without those of its border."""
    warped, mask = warped_to(thermal, turn, (thermal.shape[1], thermal.shape[0]), size, 3)
    return np.asarray(edge_directions(warped) * mask[..., None], np.float32)


def _votes(scenes: list[F32], templates: list[F32]) -> tuple[F32, tuple[int, int]]:
    """Slide each template over its scene, and add up how well they fit, place by place.

    Returns:
        float32 [rows, columns] and the column and row at which the template covers the scene's
        first pixel. The more of it lies inside of the scene, the more a fit counts.
    """
    import cv2

    high, wide = templates[0].shape[:2]
    margin = (wide // 2 + 2, high // 2 + 2)
    border = (margin[1], margin[1], margin[0], margin[0], cv2.BORDER_CONSTANT)
    ones = np.ones((high, wide), np.float32)
    total: F32 | None = None
    for scene, template in zip(scenes, templates, strict=True):
        power = np.square(scene).sum(axis=2)
        space = cv2.copyMakeBorder(scene, *border, value=0)
        fitting = cv2.matchTemplate(space, template, cv2.TM_CCORR)
        around = cv2.matchTemplate(cv2.copyMakeBorder(power, *border, value=0), ones, cv2.TM_CCORR)
        # Where a scene has next to no edges, a chance fit of the few must not look perfect.
        least = max(0.35 * float(power.mean()) * high * wide, 1e-6)
        own = float(np.linalg.norm(template)) + 1e-9
        score = fitting / (own * np.sqrt(np.maximum(around, least)))
        total = score if total is None else total + score
    inside = np.ones(scenes[0].shape[:2], np.float32)
    overlap = cv2.matchTemplate(cv2.copyMakeBorder(inside, *border, value=0), ones, cv2.TM_CCORR)
    assert total is not None
    return np.asarray(total * np.sqrt(np.maximum(overlap, 0)), np.float32), margin
