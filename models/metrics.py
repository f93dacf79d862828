"""Segmentation scores from a confusion matrix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.losses import IGNORE


def confusion(
    label: NDArray[np.uint8], mask: NDArray[np.uint8], classes: int
) -> NDArray[np.int64]:
    """Count pixels by true (row) and predicted (column) class, int64; 255 is left out."""
    known = label != IGNORE
    index = label[known].astype(np.int64) * classes + mask[known]
    return np.bincount(index, minlength=classes**2).reshape(classes, classes)


@dataclass(frozen=True)
class Scores:
    """Scores of a confusion matrix.

    A class that occurs in neither label nor prediction scores NaN and counts as 0 in the means, as
    in the official evaluation.

    Attributes:
        iou: TP / (TP + FP + FN) for each class.
        precision: TP / (TP + FP) for each class (printed as ACC by the official code).
        recall: TP / (TP + FN) for each class.
        miou: mean IoU of all classes.
        miou_foreground: mean IoU without class 0.
    """

    iou: tuple[float, ...]
    precision: tuple[float, ...]
    recall: tuple[float, ...]
    miou: float
    miou_foreground: float


def scores(matrix: NDArray[np.int64] | NDArray[np.float64]) -> Scores:
    """Score a confusion matrix [classes, classes], rows true and columns predicted."""
    hit = np.diag(matrix).astype(np.float64)
    with np.errstate(invalid='ignore', divide='ignore'):
        precision, recall = hit / matrix.sum(0), hit / matrix.sum(1)
        iou = hit / (matrix.sum(0) + matrix.sum(1) - hit)
    filled = np.nan_to_num(iou)
    return Scores(
        tuple(iou.tolist()),
        tuple(precision.tolist()),
        tuple(recall.tolist()),
        float(filled.mean()),
        float(filled[1:].mean()),
    )
