"""Mutual information: whether grey values say something about each other, edges or not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from paif_ros.registration.alignment.patches import F64, Pair, sizes, warped_to
from paif_ros.registration.edges import U8, shrink
from paif_ros.registration.intrinsics import scaling

_WIDTH = 160  # pixels at which it is measured


def information_gain(pairs: Sequence[Pair], homography: F64) -> float:
    """Compare mutual information with that of shifted pictures, by how much it is more.

    Args:
        pairs: as for `align`.
        homography: float64 [3, 3], thermal to RGB pixels.

    Returns:
        Mutual information of the grey values at the homography, divided by the mean of that at
        shifts by a tenth of the width: above 1 where things lie on each other. 0 where there is
        nothing in common.
    """
    import cv2

    visible_size, thermal_size = sizes(pairs)
    width = min(_WIDTH, visible_size[0])
    small = (width, max(1, round(visible_size[1] * width / visible_size[0])))
    matrix = scaling('visible', visible_size, small) @ homography
    far = width // 10
    here, shifted = 0.0, 0.0
    for visible, thermal in pairs:
        grey = cv2.cvtColor(shrink(visible, width), cv2.COLOR_RGB2GRAY)
        warped, mask = warped_to(thermal, matrix, thermal_size, small)
        here += _information(grey, warped, mask)
        for shift in ((far, 0), (-far, 0), (0, far), (0, -far)):
            moved = np.roll(warped, shift, (1, 0))
            seen = mask & np.roll(mask, shift, (1, 0))
            shifted += _information(grey, moved, seen) / 4
    return here / shifted if shifted > 0 else 0.0


def _information(grey: U8, heat: U8, mask: NDArray[np.bool_]) -> float:
    """Return the mutual information in nats of two pictures where a mask is True."""
    if mask.sum() < 100:
        return 0.0
    cells = (grey[mask] // 8).astype(np.intp) * 32 + heat[mask] // 8
    joint = np.bincount(cells, minlength=1024).reshape(32, 32) / cells.size
    apart = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    some = joint > 0
    return float((joint[some] * np.log(joint[some] / apart[some])).sum())
