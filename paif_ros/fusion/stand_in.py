"""What stands in for a camera that has stopped, so that the network can go on with the other one.

A black picture. Of what was tried (black, mid grey, a copy of the other camera's picture) it
scores best with the shipped weights, if not by much: models/weights/paif_small.md has the table.
What the network then fuses is darker than the picture it got, so the camera's own picture is
published in its place; the mask is the network's.
"""

from __future__ import annotations

import numpy as np

from paif_ros.engines.base import U8


def stand_in_thermal(visible: U8) -> U8:
    """Return what the network gets in place of the thermal picture.

    Args:
        visible: uint8 [H, W, 3] RGB.

    Returns:
        uint8 [H, W], black.
    """
    return np.zeros(visible.shape[:2], np.uint8)


def stand_in_visible(thermal: U8) -> U8:
    """Return what the network gets in place of the RGB picture.

    Args:
        thermal: uint8 [H, W].

    Returns:
        uint8 [H, W, 3] RGB, black.
    """
    return np.zeros((*thermal.shape, 3), np.uint8)
