"""What every reader returns: a registered pair of pictures with its mask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

IGNORE = 255  # label of pixels that no loss counts; torch's losses are told so in models.losses


@dataclass(frozen=True)
class LabelledPair:
    """A registered pair with its mask.

    Attributes:
        name: where it came from.
        visible: uint8 [H, W, 3] RGB.
        thermal: uint8 [H, W].
        label: uint8 [H, W] class ids, 255 where unknown.
    """

    name: str
    visible: Bytes
    thermal: Bytes
    label: Bytes
