"""From a prediction to the pictures that leave: sizes, class colours, overlay."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from paif_ros.contract import ClassLabel
from paif_ros.engines.base import U8

BACKGROUND = 0  # the class that an overlay leaves as it is
BROAD_FROM = 720  # pixels of the shorter side from which outlines are 2 pixels wide


def resize_picture(picture: U8, size: tuple[int, int]) -> U8:
    """Bring a picture to another size, smoothly.

    Args:
        picture: uint8 [h, w, 3] or [h, w].
        size: (height, width).

    Returns:
        uint8 [H, W, 3] or [H, W]; the same array where the size is right.
    """
    if picture.shape[:2] == size:
        return picture
    import cv2

    # AREA averages what it drops, so shrinking does not flicker; enlarging wants LINEAR.
    shrinks = picture.shape[0] > size[0] and picture.shape[1] > size[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, (size[1], size[0]), interpolation=how))


def resize_mask(mask: U8, size: tuple[int, int]) -> U8:
    """Bring class ids to the camera's size, each pixel from the nearest one.

    Args:
        mask: uint8 [h, w].
        size: (height, width) of the camera.

    Returns:
        uint8 [H, W]; the same array where the size is right.
    """
    if mask.shape == size:
        return mask
    import cv2

    # NEAREST_EXACT: plain NEAREST shifts ids by up to a pixel when the sizes are no multiples.
    wide = (size[1], size[0])
    return np.asarray(cv2.resize(mask, wide, interpolation=cv2.INTER_NEAREST_EXACT))


def palette(classes: Sequence[ClassLabel]) -> U8:
    """Return the colours of the classes as uint8 [256, 3] RGB; ids without a class are black."""
    table = np.zeros((256, 3), np.uint8)
    for label in classes:
        table[label.id] = label.color
    return table


def grey_to_rgb(grey: U8) -> U8:
    """Return a grey picture, uint8 [H, W], as uint8 [H, W, 3] RGB."""
    import cv2

    return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB))


def color_mask(mask: U8, colors: U8) -> U8:
    """Paint every pixel in the colour of its class, the background too.

    Args:
        mask: uint8 [H, W], class ids.
        colors: uint8 [256, 3] RGB from `palette`.

    Returns:
        uint8 [H, W, 3] RGB.
    """
    import cv2

    # OpenCV's colour maps are tables of 256 colours; NumPy's `take` needs three times as long.
    return np.asarray(cv2.applyColorMap(mask, colors.reshape(256, 1, 3)))


def overlay(picture: U8, mask: U8, colors: U8, alpha: float, *, outlines: bool = False) -> U8:
    """Lay the class colours over a picture. Background pixels stay as they are.

    Args:
        picture: uint8 [H, W, 3] RGB.
        mask: uint8 [H, W], class ids.
        colors: uint8 [256, 3] RGB from `palette`.
        alpha: weight of the colour, 0 (picture only) to 1 (colour only).
        outlines: draw the border of every region in the full colour of its class, inside the
            region; 1 pixel wide, 2 where the shorter side has `BROAD_FROM` pixels or more.

    Returns:
        uint8 [H, W, 3] RGB, a new array.
    """
    import cv2

    painted = color_mask(mask, colors)
    # The mask is its own selector: every id other than BACKGROUND is non-zero.
    blended = cv2.addWeighted(picture, 1.0 - alpha, painted, alpha, 0.0)
    result = cv2.copyTo(blended, mask, picture.copy())
    if outlines:
        result = cv2.copyTo(painted, _borders(mask), result)
    return np.asarray(result)


def _borders(mask: U8) -> U8:
    """Return where a region other than the background meets another id, not 0, uint8 [H, W]."""
    import cv2

    side = 5 if min(mask.shape) >= BROAD_FROM else 3
    gradient = cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, np.ones((side, side), np.uint8))
    return np.asarray(cv2.min(gradient, mask))  # not 0 where both are not


def blend_outside(fused: U8, visible: U8, valid: U8) -> U8:
    """Take the RGB camera's own pixels where the thermal camera sees nothing.

    Args:
        fused: uint8 [H, W, 3] RGB.
        visible: uint8 [H, W, 3] RGB.
        valid: uint8 [H, W], 0 outside the thermal camera's field of view.

    Returns:
        uint8 [H, W, 3] RGB, a new array.
    """
    import cv2

    return np.asarray(cv2.copyTo(fused, valid, visible.copy()))


def is_flat(picture: U8) -> bool:
    """Return whether every pixel has the same colour.

    A network that overflowed, as FP16 ones can, answers that way: NaN becomes one grey level.

    Args:
        picture: uint8 [H, W, 3] or [H, W], at least 1x1.
    """
    # A glance at every eighth pixel settles all pictures but flat ones.
    return _one_color(picture[::8, ::8]) and _one_color(picture)


def _one_color(picture: U8) -> bool:
    return bool((picture == picture[0, 0]).all())
