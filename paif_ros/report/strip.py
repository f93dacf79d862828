"""One row of a contact sheet: RGB, thermal, fused and overlay side by side, as JPEG."""

from __future__ import annotations

import numpy as np

from paif_ros.engines.base import U8
from paif_ros.images.compressed import encode
from paif_ros.pictures.drawing import grey_to_rgb, resize_picture

TITLES = ('RGB', 'thermal', 'fused', 'overlay')
TILE = 280  # columns of one picture
GAP, BETWEEN = 2, 24  # columns between two pictures, and their grey
QUALITY = 82
NOTHING = 40  # grey of a picture that there is none of


def strip(pictures: tuple[U8 | None, ...]) -> bytes:
    """Lay pictures side by side.

    Args:
        pictures: in the order of `TITLES`, uint8 [h, w, 3] RGB or [h, w]; None where there is
            none. At least one is there.

    Returns:
        The JPEG, `TILE` columns a picture.
    """
    first = next(picture for picture in pictures if picture is not None)
    rows = max(1, round(first.shape[0] * TILE / first.shape[1]))
    tiles: list[U8] = []
    for picture in pictures:
        if picture is None:
            tile = np.full((rows, TILE, 3), NOTHING, np.uint8)
        else:
            colored = picture if picture.ndim == 3 else grey_to_rgb(picture)
            tile = resize_picture(colored, (rows, TILE))
        tiles += [tile, np.full((rows, GAP, 3), 24, np.uint8)]
    _, data = encode(np.hstack(tiles[:-1]), 'rgb8', 'jpeg', QUALITY)
    return data.tobytes()
