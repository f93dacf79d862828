"""Patches of the thermal picture that look for their place in the RGB picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from paif_ros.errors import CalibrationError
from paif_ros.registration.alignment.fit import F64, Residual, distances, transfer
from paif_ros.registration.edges import F32, U8, edge_directions, top
from paif_ros.registration.intrinsics import Size, scaling

Pair = tuple[U8, U8]  # RGB uint8 [H, W, 3], thermal uint8 [h, w]
Mask = NDArray[np.bool_]

SURE = 0.25  # correlation of a patch that is believed
_BORDER = 6  # pixels at the end of the field of view in which edges would be its own


@dataclass(frozen=True)
class Search:
    """How patches are looked for.

    Attributes:
        width: of the RGB picture in which they are looked for; the others are pixels of it.
        patch: side of a patch.
        reach: how far from its place it may be found.
        step: from patch to patch.
    """

    width: int
    patch: int
    reach: int
    step: int


CHECK = Search(640, 96, 8, 40)


@dataclass(frozen=True, eq=False)
class Patches:
    """Where patches of the thermal picture were found in the RGB picture.

    Attributes:
        thermal: float64 [N, 2] middles in thermal pixels.
        visible: float64 [N, 2] places found, RGB pixels.
        score: float64 [N] correlation there, -1 to 1.
        cover: share of the common field of view that the sure ones (`sure`) cover.
    """

    thermal: F64
    visible: F64
    score: F64
    cover: float

    @property
    def sure(self) -> NDArray[np.bool_]:
        """Which of them are believed, bool [N]."""
        return np.asarray(self.score > SURE)

    def residual(self, homography: F64, held_out: bool) -> Residual | None:
        """Return how far the sure patches are from where a homography leads them."""
        sure = self.sure
        if not sure.any():
            return None
        return Residual.of(distances(homography, self.thermal[sure], self.visible[sure]), held_out)


def check_sizes(pairs: Sequence[Pair]) -> None:
    """Refuse an empty list, and pictures of one camera that differ in size.

    Raises:
        CalibrationError: it is one of these.
    """
    if not pairs:
        raise CalibrationError('pairs', 0, 'one or more; ten are good')
    for visible, thermal in pairs:
        if visible.shape != pairs[0][0].shape or thermal.shape != pairs[0][1].shape:
            raise CalibrationError(
                'pairs', f'{visible.shape} and {thermal.shape}', 'pictures of one size per camera'
            )


def sizes(pairs: Sequence[Pair]) -> tuple[Size, Size]:
    """Return (width, height) of the RGB and of the thermal pictures."""
    visible, thermal = pairs[0]
    return (visible.shape[1], visible.shape[0]), (thermal.shape[1], thermal.shape[0])


def match(
    pairs: Sequence[Pair], homography: F64, step: Search = CHECK, valid: U8 | None = None
) -> Patches:
    """Find patches of the warped thermal pictures in the RGB pictures, in all pairs at once.

    Args:
        pairs: as for `align`.
        homography: float64 [3, 3], thermal to RGB pixels.
        step: how.
        valid: uint8 [H, W] of the RGB pictures, not 0 where thermal pictures that are warped
            already are seen; None is everywhere.
    """
    visible_size, thermal_size = sizes(pairs)
    width = min(step.width, visible_size[0])
    small = (width, max(1, round(visible_size[1] * width / visible_size[0])))
    scale = scaling('visible', visible_size, small)
    edges, mask = _edges(pairs, scale @ homography, thermal_size, small, _core(valid, small))
    middles, places, scores = [], [], []
    covered = np.zeros(mask.shape, bool)
    half = step.patch / 2 - 0.5
    power = _power([scene for scene, _ in edges])
    for y in range(0, small[1] - step.patch + 1, step.step):
        for x in range(0, small[0] - step.patch + 1, step.step):
            window = np.s_[y : y + step.patch, x : x + step.patch]
            if mask[window].mean() < 0.7:
                continue
            found = _find(edges, power, (x, y), step)
            if found is None:
                continue
            dx, dy, score = found
            middles.append((x + half, y + half))
            places.append((x + half + dx, y + half + dy))
            scores.append(score)
            if score > SURE:
                covered[window] = True
    back = np.asarray(np.linalg.inv(scale), np.float64)
    there = np.asarray(np.linalg.inv(scale @ homography), np.float64)
    return Patches(
        transfer(there, np.array(middles, np.float64).reshape(-1, 2)),
        transfer(back, np.array(places, np.float64).reshape(-1, 2)),
        np.array(scores, np.float64),
        float((covered & mask).sum() / max(int(mask.sum()), 1)),
    )


def warped_to(
    thermal: U8, matrix: F64, thermal_size: Size, size: Size, border: int = _BORDER
) -> tuple[U8, NDArray[np.bool_]]:
    """Return a thermal picture warped to a size, and where it is seen, less a border.

    Args:
        thermal: uint8 [h, w].
        matrix: thermal pixels to pixels of the result.
        thermal_size: (width, height).
        size: of the result.
        border: pixels in which edges would be those of the field of view.
    """
    import cv2

    middle = np.array(thermal_size, np.float64) / 2
    here, right, below = transfer(matrix, middle + np.array([[0, 0], [1, 0], [0, 1]]))
    area = abs(float(np.linalg.det(np.array([right - here, below - here]))))
    # Averaged to about the final scale first: bilinear warping would skip pixels.
    factor = min(1.0, max(area, 1e-6) ** 0.5)
    less = tuple(max(8, round(side * factor)) for side in thermal_size)
    coarse = cv2.resize(thermal, less, interpolation=cv2.INTER_AREA)
    wide, high = less[0] / thermal_size[0], less[1] / thermal_size[1]
    shrunk = np.array([[wide, 0, (wide - 1) / 2], [0, high, (high - 1) / 2], [0, 0, 1]])
    whole = matrix @ np.linalg.inv(shrunk)
    warped = cv2.warpPerspective(coarse, whole, size, borderMode=cv2.BORDER_REPLICATE)
    full = np.full(coarse.shape, 255, np.uint8)
    seen = cv2.warpPerspective(full, whole, size, flags=cv2.INTER_NEAREST)
    core = cv2.erode(seen, np.ones((2 * border + 1,) * 2, np.uint8), borderValue=0)
    return np.asarray(warped, np.uint8), np.asarray(core > 0)


def box_sums(plane: F32, size: Size) -> F64:
    """Return the sums under a box that slides over values.

    Args:
        plane: float32 [H, W].
        size: (width, height) of the box, within the plane.

    Returns:
        float64 [H - height + 1, W - width + 1].
    """
    import cv2

    wide, high = size
    sums = cv2.integral(plane)
    across = sums[:, wide:] - sums[:, :-wide]
    return np.asarray(across[high:] - across[:-high], np.float64)


def _core(valid: U8 | None, size: Size) -> Mask:
    """Return where a mask of any size is set, at this size and less a border."""
    import cv2

    if valid is None:
        return np.ones(size[::-1], bool)
    seen = cv2.resize(valid, size, interpolation=cv2.INTER_NEAREST)
    kernel = np.ones((2 * _BORDER + 1,) * 2, np.uint8)
    return np.asarray(cv2.erode(seen, kernel, borderValue=0) > 0)


def _edges(
    pairs: Sequence[Pair], matrix: F64, thermal_size: Size, size: Size, seen: Mask
) -> tuple[list[tuple[F32, F32]], Mask]:
    """Return the edges of each RGB and warped thermal picture, and where both are seen."""
    import cv2

    mask = seen
    edges = []
    for visible, thermal in pairs:
        warped, mask = warped_to(thermal, matrix, thermal_size, size)
        mask &= seen
        small = np.asarray(cv2.resize(visible, size, interpolation=cv2.INTER_AREA), np.uint8)
        heat = np.asarray(edge_directions(warped) * mask[..., None], np.float32)
        edges.append((edge_directions(small), heat))
    return edges, mask


def _power(scenes: list[F32]) -> F32:
    """Return the squared length of all scenes' edges together, float32 [H, W]."""
    return np.asarray(sum(scene[..., 0] ** 2 + scene[..., 1] ** 2 for scene in scenes), np.float32)


def _find(
    edges: list[tuple[F32, F32]], power: F32, corner: tuple[int, int], step: Search
) -> tuple[float, float, float] | None:
    """Return how far a patch is from its place, and the correlation there.

    None where the best place lies at the end of the reach, or along a line that has no ends.
    """
    import cv2

    (x, y), side, reach = corner, step.patch, step.reach
    height, width = edges[0][0].shape[:2]
    left, top_row = max(0, x - reach), max(0, y - reach)
    window = np.s_[top_row : min(height, y + side + reach), left : min(width, x + side + reach)]
    fitting, own = np.float32(0), 0.0
    for scene, heat in edges:
        template = heat[y : y + side, x : x + side]
        fitting = fitting + cv2.matchTemplate(scene[window], template, cv2.TM_CCORR)
        own += float(np.vdot(template, template))
    around = box_sums(power[window], (side, side))
    score = np.asarray(fitting / np.sqrt(own * np.maximum(around, 1e-9) + 1e-9), np.float32)
    row, column = (int(place) for place in np.unravel_index(int(np.argmax(score)), score.shape))
    if not (0 < row < score.shape[0] - 1 and 0 < column < score.shape[1] - 1):
        return None
    near = score[row - 1 : row + 2, column - 1 : column + 2].astype(np.float64)
    cross = (near[2, 2] - near[2, 0] - near[0, 2] + near[0, 0]) / 4
    flat, steep = np.linalg.eigvalsh(
        [
            [2 * near[1, 1] - near[1, 0] - near[1, 2], -cross],
            [-cross, 2 * near[1, 1] - near[0, 1] - near[2, 1]],
        ]
    )
    if flat < 0.15 * steep:
        return None
    dx = left + column + top(score[row], column) - x
    dy = top_row + row + top(score[:, column], row) - y
    return dx, dy, float(score[row, column])
