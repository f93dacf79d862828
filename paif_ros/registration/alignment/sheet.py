"""Pictures that show a registration: the RGB picture with the thermal picture's edges drawn in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from paif_ros.registration.alignment.refusal import InputError
from paif_ros.registration.edges import shrink
from paif_ros.registration.registration import Warp

U8 = NDArray[np.uint8]

_WIDTH = 800  # pixels of one picture at most
_EDGE = (255, 96, 0)
_FIELD = (0, 200, 255)
_MOST_ROWS = 4


def edge_overlay(visible: U8, thermal: U8, valid: U8) -> U8:
    """Draw thermal edges (orange) and the border of the thermal view (blue) into a picture.

    Args:
        visible: uint8 [H, W, 3] RGB.
        thermal: uint8 [H, W], warped to it.
        valid: uint8 [H, W], not 0 where the thermal camera sees.

    Returns:
        uint8 [h, w, 3] RGB, up to 800 pixels wide.
    """
    import cv2

    small = shrink(visible, _WIDTH)
    size = (small.shape[1], small.shape[0])
    heat = cv2.resize(thermal, size, interpolation=cv2.INTER_AREA)
    seen = cv2.resize(valid, size, interpolation=cv2.INTER_NEAREST)
    heat = cv2.GaussianBlur(heat, (0, 0), 1.2)
    x, y = cv2.Sobel(heat, cv2.CV_16S, 1, 0), cv2.Sobel(heat, cv2.CV_16S, 0, 1)
    core = cv2.erode(seen, np.ones((7, 7), np.uint8), borderValue=0) > 0
    steep = np.hypot(x.astype(np.float32), y.astype(np.float32))
    # A twelfth of the pixels are edges, whatever the contrast.
    high = max(float(np.percentile(steep[core], 92)), 12.0) if core.any() else 12.0
    edges = cv2.Canny(x, y, 0.5 * high, high, L2gradient=True)
    picture = np.array(small // 2 + 40, np.uint8)
    picture[(edges > 0) & core] = _EDGE
    border = cv2.morphologyEx(seen, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    picture[border > 0] = _FIELD
    return picture


def before_after(pairs: Sequence[tuple[U8, U8]], warp: Warp | None) -> U8:
    """Lay pictures side by side: thermal only resized to the RGB picture, and registered.

    Args:
        pairs: RGB uint8 [H, W, 3], thermal uint8 [h, w]; the first, the last and some between
            are shown.
        warp: the map; None shows one column only.

    Returns:
        uint8 [h, w, 3] RGB.
    """
    import cv2

    numbers = sorted(set(np.linspace(0, len(pairs) - 1, _MOST_ROWS).round().astype(int).tolist()))
    rows = []
    for number in numbers:
        visible, thermal = pairs[number]
        size = (visible.shape[1], visible.shape[0])
        plain = np.asarray(cv2.resize(thermal, size, interpolation=cv2.INTER_LINEAR), np.uint8)
        everywhere = np.full(plain.shape, 255, np.uint8)
        parts = [_named(edge_overlay(visible, plain, everywhere), f'pair {number + 1}: as it is')]
        if warp is not None:
            warped = edge_overlay(visible, warp.apply(thermal), warp.valid)
            parts.append(_named(warped, 'registered'))
        rows.append(np.concatenate(parts, axis=1))
    return np.concatenate(rows)


def write(picture: U8, path: Path) -> None:
    """Write a picture.

    Args:
        picture: uint8 [H, W, 3] RGB.
        path: ends in .png or .jpg.

    Raises:
        CalibrationError: it can't be written.
    """
    import cv2

    try:
        good = cv2.imwrite(str(path), np.ascontiguousarray(picture[..., ::-1]))
    except cv2.error:
        good = False
    if not good:
        raise InputError('--overlay', str(path), 'a .png or .jpg in a folder that is there')


def _named(picture: U8, name: str) -> U8:
    import cv2

    font, scale = cv2.FONT_HERSHEY_SIMPLEX, 0.6
    (width, height), _ = cv2.getTextSize(name, font, scale, 1)
    picture[: height + 14, : width + 16] //= 3
    cv2.putText(picture, name, (8, height + 7), font, scale, (255, 255, 255), 1, cv2.LINE_AA)
    return picture
