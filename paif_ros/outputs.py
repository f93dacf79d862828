"""From a prediction to the pictures that leave: back to the camera's size, and the overlay."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from paif_ros.contract import ClassLabel
from paif_ros.engines.base import U8

BACKGROUND = 0  # the class that an overlay leaves as it is


def resize_picture(picture: U8, size: tuple[int, int]) -> U8:
    """Bring a fused picture to the camera's size, smoothly.

    Args:
        picture: uint8 [h, w, 3].
        size: (height, width) of the camera.

    Returns:
        uint8 [H, W, 3]; the same array where the size is right.
    """
    if picture.shape[:2] == size:
        return picture
    import cv2

    return np.asarray(cv2.resize(picture, (size[1], size[0]), interpolation=cv2.INTER_LINEAR))


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


def overlay(fused: U8, mask: U8, colors: U8, alpha: float) -> U8:
    """Lay the class colours over the fused picture. Background pixels stay as they are.

    Args:
        fused: uint8 [H, W, 3] RGB.
        mask: uint8 [H, W], class ids.
        colors: uint8 [256, 3] RGB from `palette`.
        alpha: weight of the colour, 0 (picture only) to 1 (colour only).

    Returns:
        uint8 [H, W, 3] RGB, a new array.
    """
    import cv2

    painted = cv2.addWeighted(fused, 1.0 - alpha, colors.take(mask, axis=0), alpha, 0.0)
    # The mask is its own selector: every id other than BACKGROUND is non-zero.
    return np.asarray(cv2.copyTo(painted, mask, fused.copy()))
