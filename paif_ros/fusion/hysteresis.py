"""Steadies the mask over time: where the picture stands still, a new class has to hold first.

A network decides every frame anew, so pixels near a border between two classes flip to and fro
though nothing moved. Here a pixel changes class once the new one has come `hold` frames in a row.
It does so at once where the network is sure or where a picture has changed, so that what moves is
neither late nor leaves a ghost. Without that test a walking person loses its front and drags a
tail: docs/stability.md has both in figures. NumPy and OpenCV only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from paif_ros.engines.base import U8, Prediction
from paif_ros.parameters import MaskParameters

MAX_GAP = 10**9  # ns between two frames after which the old mask says nothing of the new one
HALVINGS = 2
CELL = 2**HALVINGS  # pixels: change is looked for in means of 4 by 4, which averages noise out
OFF = MaskParameters(hold=1, confidence=255, motion=255)


@dataclass(frozen=True)
class Seen:
    """What a prediction was made from, at the model's size.

    Attributes:
        visible: uint8 [H, W, 3] RGB.
        thermal: uint8 [H, W].
        stamp: nanoseconds.
        alone: the one camera whose picture it is, empty where both are.
    """

    visible: U8
    thermal: U8
    stamp: int
    alone: str = ''


@dataclass(frozen=True, eq=False)
class MaskMemory:
    """The last frame: what it was made from in cells, its mask, and the mask that was shown.

    `run` holds for each pixel how many frames in a row have brought the class of `mask`, to 255.
    """

    visible: U8
    thermal: U8
    stamp: int
    alone: str
    mask: U8
    shown: U8
    run: U8


class MaskHysteresis:
    """Remembers the mask that is shown. For one thread and one model.

    It starts anew, with the frame's own mask, where the stamp stands still, goes back or jumps by
    more than a second, where the size changes, and where a camera stops or comes back.
    """

    def __init__(self) -> None:
        self.memory: MaskMemory | None = None

    def reset(self) -> None:
        """Forget everything: the next frame's own mask is shown."""
        self.memory = None

    def apply(self, prediction: Prediction, seen: Seen, config: MaskParameters) -> Prediction:
        """Hold back what has not come often enough.

        Args:
            prediction: the network's answer; its arrays are kept, not changed.
            seen: what it was made from.
            config: how often is enough; may change with every frame.

        Returns:
            The prediction with the steadied mask, and confidence 0 where an older class is still
            shown, as the network does not say how likely that one is. The same prediction with
            `hold` 1 and on every new start.
        """
        if config.hold <= 1:
            self.memory = None
            return prediction
        visible, thermal = _cells(seen.visible), _cells(seen.thermal)
        mask, old = prediction.mask, self.memory
        if old is None or not _continues(old, seen, mask):
            run = np.ones_like(mask)
            self.memory = MaskMemory(visible, thermal, seen.stamp, seen.alone, mask, mask, run)
            return prediction
        import cv2

        again = cv2.compare(mask, old.mask, cv2.CMP_EQ)
        run = cv2.add(
            cv2.bitwise_and(old.run, again), 1
        )  # 1 where the class is new, else one more
        taken = cv2.compare(run, config.hold, cv2.CMP_GE)
        moved = cv2.compare(_change(old, visible, thermal), config.motion, cv2.CMP_GT)
        taken |= cv2.resize(moved, mask.shape[::-1], interpolation=cv2.INTER_NEAREST)
        confidence = prediction.confidence
        if confidence is not None:
            taken |= cv2.compare(confidence, config.confidence, cv2.CMP_GT)
        # Into a new array: the last one may still be on its way out.
        shown = np.asarray(cv2.copyTo(mask, taken, old.shown.copy()), np.uint8)
        if confidence is not None:
            confidence = confidence & cv2.compare(shown, mask, cv2.CMP_EQ)
        run = np.asarray(run, np.uint8)
        self.memory = MaskMemory(visible, thermal, seen.stamp, seen.alone, mask, shown, run)
        return replace(prediction, mask=shown, confidence=confidence)


def _continues(old: MaskMemory, seen: Seen, mask: U8) -> bool:
    """Tell whether a frame follows the last one closely enough to compare both."""
    in_time = 0 < seen.stamp - old.stamp <= MAX_GAP
    return in_time and old.alone == seen.alone and old.mask.shape == mask.shape


def _cells(picture: U8) -> U8:
    """Return the means of a picture's cells, uint8 [H / CELL, W / CELL] or with 3 channels."""
    import cv2

    for _ in range(HALVINGS):  # OpenCV is four times as fast at that as in one step
        height, width = (max(1, side // 2) for side in picture.shape[:2])
        picture = np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA))
    return picture


def _change(old: MaskMemory, visible: U8, thermal: U8) -> U8:
    """Return by how many grey levels each cell changed, the camera that changed more counts."""
    import cv2

    luma = cv2.cvtColor(cv2.absdiff(visible, old.visible), cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.max(luma, cv2.absdiff(thermal, old.thermal)))
