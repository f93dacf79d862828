"""How steady pictures and masks are over time, motion taken out.

Both measures follow what moves by optical flow and compare a frame with the one before, brought
to its place; pixels that are hidden in one of both are left out.

* Pictures: the warping error of Lai et al., "Learning Blind Video Temporal Consistency", ECCV 2018
  (equation 10). Here its root, in grey levels.
* Masks: temporal consistency of Varghese et al., "Unsupervised Temporal Consistency Metric for
  Video Segmentation in Highly-Automated Driving", CVPR Workshops 2020: IoU of a mask with the one
  before. Here from one confusion matrix over the clip, so that a rare class does not weigh by
  frames in which it has a few pixels.
* Occlusion: forward-backward check of Sundaram, Brox, Keutzer, ECCV 2010 (equation 5).
* Flow: dense inverse search (Kroeger et al., ECCV 2016), as OpenCV has it, on the mean of both
  cameras' pictures, which no network has made.
* Flips: pixels that change class and change back within 3 frames, without following motion.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models.metrics import confusion, scores

U8 = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Motion:
    """Where each pixel of a frame was in the frame before.

    Attributes:
        column: float32 [H, W], pixels.
        row: float32 [H, W], pixels.
        seen: bool [H, W], whether it was to be seen there.
    """

    column: NDArray[np.float32]
    row: NDArray[np.float32]
    seen: NDArray[np.bool_]

    def bring(self, before: U8, classes: bool = False) -> U8:
        """Return the frame before, uint8 [H, W], as it would look now.

        Args:
            before: grey levels, or class ids.
            classes: whether they are ids, which have no values in between.
        """
        how = cv2.INTER_NEAREST if classes else cv2.INTER_LINEAR
        warped = cv2.remap(before, self.column, self.row, how, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(warped, np.uint8)


class MotionEstimator:
    """Finds motion between two pictures by DIS flow."""

    def __init__(self) -> None:
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)

    def between(self, before: U8, now: U8) -> Motion:
        """Return the motion from `before` to `now`, both uint8 [H, W], at least 16 pixels."""
        back = self._flow.calc(now, before, None)
        forth = self._flow.calc(before, now, None)
        height, width = now.shape
        across, down = np.meshgrid(
            np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
        )
        column, row = across + back[..., 0], down + back[..., 1]
        returned = cv2.remap(forth, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        apart = ((back + returned) ** 2).sum(-1)
        allowed = 0.01 * ((back**2).sum(-1) + (returned**2).sum(-1)) + 0.5
        # Half a pixel out is still the picture's edge.
        inside = (abs(column - (width - 1) / 2) <= width / 2) & (
            abs(row - (height - 1) / 2) <= height / 2
        )
        return Motion(column, row, inside & (apart <= allowed))


@dataclass(frozen=True)
class PictureFlicker:
    """Flicker of a picture over a clip.

    Attributes:
        warping_error: root of the mean squared difference to the frame before, brought to its
            place, grey levels 0 to 255.
        brightness: mean absolute change of the frame's mean, grey levels.
        contrast: mean standard deviation of a frame, grey levels; flicker grows with it.
    """

    warping_error: float
    brightness: float
    contrast: float

    @property
    def relative(self) -> float:
        """Warping error as part of the contrast: a paler picture is not a steadier one."""
        return self.warping_error / self.contrast if self.contrast else float('nan')


class PictureMeter:
    """Adds up the flicker of one sequence of pictures."""

    def __init__(self) -> None:
        self._squares = self._pixels = self._brightness = self._contrast = 0.0
        self._frames = 0
        self._before: U8 | None = None

    def add(self, picture: U8, motion: Motion | None) -> None:
        """Take the next frame, uint8 [H, W]; `motion` is None with the first."""
        self._frames += 1
        self._contrast += float(picture.std())
        if self._before is not None and motion is not None:
            apart = picture.astype(np.float32) - motion.bring(self._before)
            self._squares += float((apart[motion.seen] ** 2).sum())
            self._pixels += int(motion.seen.sum())
            self._brightness += abs(float(picture.mean()) - float(self._before.mean()))
        self._before = picture

    def result(self) -> PictureFlicker:
        """Return what there is so far; NaN before the second frame."""
        steps = self._frames - 1
        if steps < 1 or not self._pixels:
            return PictureFlicker(float('nan'), float('nan'), float('nan'))
        error = float(np.sqrt(self._squares / self._pixels))
        return PictureFlicker(error, self._brightness / steps, self._contrast / self._frames)


@dataclass(frozen=True)
class MaskFlicker:
    """Flicker of a mask over a clip.

    Attributes:
        consistency: IoU with the frame before for each class, NaN where a class never occurs.
        mean_consistency: their mean over the foreground classes that occur, NaN without one.
        flips: share of a frame's pixels that change class and change back within 3 frames.
        foreground: mean share of pixels that are a class.
    """

    consistency: tuple[float, ...]
    mean_consistency: float
    flips: float
    foreground: float


class MaskMeter:
    """Adds up the flicker of one sequence of masks of so many classes."""

    def __init__(self, classes: int) -> None:
        self._matrix = np.zeros((classes, classes), np.int64)
        self._last: deque[U8] = deque(maxlen=4)
        self._flips = self._foreground = 0.0
        self._frames = 0

    def add(self, mask: U8, motion: Motion | None) -> None:
        """Take the next mask, uint8 [H, W] of class ids; `motion` is None with the first."""
        if self._last and motion is not None:
            before = motion.bring(self._last[-1], classes=True)
            self._matrix += confusion(before[motion.seen], mask[motion.seen], len(self._matrix))
        self._last.append(mask)
        self._frames += 1
        self._foreground += float((mask > 0).mean())
        if len(self._last) == 4:
            first, second, third, fourth = self._last
            back = (third == first) | (fourth == first)
            self._flips += float(((second != first) & back).mean())

    def result(self) -> MaskFlicker:
        """Return what there is so far; NaN for flips before the fourth mask."""
        iou = scores(self._matrix).iou
        there = [value for value in iou[1:] if not np.isnan(value)]
        nan = float('nan')
        return MaskFlicker(
            iou,
            float(np.mean(there)) if there else nan,
            self._flips / (self._frames - 3) if self._frames > 3 else nan,
            self._foreground / self._frames if self._frames else nan,
        )


@dataclass(frozen=True)
class Truth:
    """How masks compare with exact labels, lag included.

    Attributes:
        iou: of each class, NaN where it occurs in neither.
        miou_foreground: mean without class 0.
        recall: share of the watched class' pixels that are found.
        leading: the same of the pixels that it has just come to: lower with a lag.
        ghosts: share of the pixels that it has just left and that still show it: higher with one.
    """

    iou: tuple[float, ...]
    miou_foreground: float
    recall: float
    leading: float
    ghosts: float


class TruthMeter:
    """Adds up how masks of so many classes compare with labels, watching one moving class."""

    def __init__(self, classes: int, watched: int) -> None:
        self._watched = watched
        self._matrix = np.zeros((classes, classes), np.int64)
        self._edges = np.zeros((2, 2), np.int64)  # (come to, left), (of so many, shown)
        self._before: U8 | None = None

    def add(self, label: U8, mask: U8) -> None:
        """Take the next frame's label and mask, uint8 [H, W]."""
        self._matrix += confusion(label, mask, len(self._matrix))
        if self._before is not None:
            now, before = label == self._watched, self._before == self._watched
            for place, edge in enumerate((now & ~before, before & ~now)):
                shown = int((mask[edge] == self._watched).sum())
                self._edges[place] += (int(edge.sum()), shown)
        self._before = label

    def result(self) -> Truth:
        """Return what there is so far; NaN where there was nothing to find."""
        found = scores(self._matrix)

        def share(counts: NDArray[Any]) -> float:
            return float(counts[1] / counts[0]) if counts[0] else float('nan')

        return Truth(
            found.iou,
            found.miou_foreground,
            found.recall[self._watched],
            share(self._edges[0]),
            share(self._edges[1]),
        )
