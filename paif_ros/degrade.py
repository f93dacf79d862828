"""What stands in for a camera that has stopped, so that the network can go on with the other one.

The network was trained on pairs, so this is an emergency: docs/degrade.md has the scores.
"""

from __future__ import annotations

import numpy as np

from paif_ros.engines.base import U8
from paif_ros.outputs import grey_to_rgb


def stand_in_thermal(visible: U8) -> U8:
    """Return what the network gets in place of the thermal picture: the luma of the RGB picture.

    Args:
        visible: uint8 [H, W, 3] RGB.

    Returns:
        uint8 [H, W].
    """
    import cv2

    return np.asarray(cv2.cvtColor(visible, cv2.COLOR_RGB2GRAY))


def stand_in_visible(thermal: U8) -> U8:
    """Return what the network gets in place of the RGB picture: the thermal one in grey.

    Args:
        thermal: uint8 [H, W].

    Returns:
        uint8 [H, W, 3] RGB.
    """
    return grey_to_rgb(thermal)
