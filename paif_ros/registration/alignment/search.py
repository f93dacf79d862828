"""The first guess: how large, how rolled and where the thermal picture lies in the RGB one.

At low resolution every place is tried, and all pairs have a say together: one pair alone is often
undecided at night.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from paif_ros.registration.alignment.patches import F64, Pair, box_sums, sizes, warped_to
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
    for size in _SIZES:
        wide = max(16, round(width * size))
        high = max(12, round(wide * thermal_size[1] / thermal_size[0]))
        slides = [_Slide.of(scene, (wide, high)) for scene in scenes]
        inside = _sums(np.ones((height, width), np.float32), (wide, high))
        for roll in _ROLLS:
            turn = _turned(thermal_size, (wide, high), roll)
            templates = [_template(thermal, turn, (wide, high)) for _, thermal in pairs]
            # The more of a template lies inside of the scene, the more a fit counts.
            votes = np.sqrt(inside) * sum(map(_Slide.fits, slides, templates))
            row, column = np.unravel_index(int(np.argmax(votes)), votes.shape)
            if votes[row, column] > best[0]:
                left, above = _margin((wide, high))
                move = np.array([[1, 0, column - left], [0, 1, row - above], [0, 0, 1.0]])
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


def _margin(size: Size) -> Size:
    """Return how far templates of a size reach over a scene's left and upper end."""
    return size[0] // 2 + 2, size[1] // 2 + 2


def _padded(plane: F32, size: Size) -> F32:
    """Return a scene's values with zeros around, as far as templates of a size reach."""
    import cv2

    left, above = _margin(size)
    border = (above, above, left, left, cv2.BORDER_CONSTANT)
    return np.asarray(cv2.copyMakeBorder(plane, *border, value=0), np.float32)


def _sums(plane: F32, size: Size) -> F64:
    """Return the sum of a scene's values under a template of a size, place by place."""
    return box_sums(_padded(plane, size), size)


@dataclass(frozen=True, eq=False)
class _Slide:
    """A scene over which templates of one size are slid, whatever their roll.

    Attributes:
        space: float32 [H, W, 2], the scene's edges with zeros around.
        power: float64 [rows, columns], root of the sum of their squares under a template.
    """

    space: F32
    power: F64

    @classmethod
    def of(cls, scene: F32, size: Size) -> _Slide:
        """Prepare a scene, float32 [h, w, 2], for templates of (width, height)."""
        power = np.square(scene[..., 0]) + np.square(scene[..., 1])  # numpy is slow to sum two
        # Where a scene has next to no edges, a chance fit of the few must not look perfect.
        least = max(0.35 * float(power.mean()) * size[0] * size[1], 1e-6)
        return cls(_padded(scene, size), np.sqrt(np.maximum(_sums(power, size), least)))

    def fits(self, template: F32) -> F64:
        """Return how well a template [height, width, 2] fits, float64 [rows, columns]."""
        import cv2

        own = float(np.linalg.norm(template)) + 1e-9
        fitting = cv2.matchTemplate(self.space, template, cv2.TM_CCORR)
        return np.asarray(fitting / (own * self.power), np.float64)
