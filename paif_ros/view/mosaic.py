"""Four pictures in one: RGB and thermal above, fused and overlay below."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from paif_ros.engines.base import U8
from paif_ros.pictures.drawing import resize_picture

TILES = ('rgb', 'thermal', 'fused', 'overlay')
EMPTY = 24  # grey of a tile without a picture


def mosaic(pictures: Mapping[str, U8]) -> U8:
    """Lay pictures side by side, all at the size of the first one there is.

    Args:
        pictures: uint8 [h, w, 3] RGB by names of `TILES`, one or more; the tile of a missing one
            stays dark.

    Returns:
        uint8 [2 * h, 2 * w, 3] RGB.
    """
    first = next(pictures[name] for name in TILES if name in pictures)
    size = (first.shape[0], first.shape[1])
    tiles = [
        resize_picture(pictures[name], size)
        if name in pictures
        else np.full((*size, 3), EMPTY, np.uint8)
        for name in TILES
    ]
    return np.vstack([np.hstack(tiles[:2]), np.hstack(tiles[2:])])
