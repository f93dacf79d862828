"""Draws an explanation: the pair with its result, and the two contribution maps of each class."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from models.attribution.explain import Explanation, Reason
from paif_ros.contract import ClassLabel
from paif_ros.engines.base import U8
from paif_ros.pictures.drawing import grey_to_rgb, overlay, palette, resize_picture
from paif_ros.pictures.legend import draw_legend

CAPTION = 22  # rows above a panel
NARROWEST = 320  # columns that a caption needs: smaller pictures are enlarged
INK, DIM = (255, 255, 255), 0.35  # letters; brightness of the picture below a map
FOR, AGAINST = (255, 120, 40), (60, 140, 255)  # what speaks for a class, and against it
BLUR = 100  # a map is smoothed by this part of the picture's width: single pixels are noise
SHOWN = 99.5  # percentile of both maps together that is drawn in full colour


def smooth(contributions: Tensor) -> NDArray[np.float32]:
    """Return a contribution map [H, W] smoothed for the eye; its sum stays."""
    values = contributions.detach().cpu().numpy().astype(np.float32)
    sigma = max(values.shape[1] / BLUR, 0.5)
    return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_REFLECT))


def paint(values: NDArray[np.float32], scale: float, below: U8) -> U8:
    """Lay a map over a dimmed picture.

    Args:
        values: [H, W], over 0 in orange, under 0 in blue.
        scale: value of the full colour, over 0.
        below: uint8 [H, W, 3] RGB.

    Returns:
        uint8 [H, W, 3] RGB.
    """
    strength = np.clip(np.abs(values) / scale, 0, 1)[..., None]
    color = np.where(values[..., None] > 0, FOR, AGAINST).astype(np.float32)
    mixed = below.astype(np.float32) * DIM * (1 - strength) + color * strength
    return mixed.round().astype(np.uint8)


def maps(reason: Reason, visible: U8, thermal: U8) -> tuple[U8, U8]:
    """Return both contribution maps of a class over their pictures, on one scale.

    Args:
        reason: of the class.
        visible: uint8 [H, W, 3] RGB.
        thermal: uint8 [H, W].

    Returns:
        Those of the thermal and the visible picture, uint8 [H, W, 3] RGB.
    """
    of_thermal, of_visible = smooth(reason.thermal_map), smooth(reason.visible_map)
    both = np.abs(np.stack((of_thermal, of_visible)))
    scale = max(float(np.percentile(both, SHOWN)), 1e-12)
    return paint(of_thermal, scale, grey_to_rgb(thermal)), paint(of_visible, scale, visible)


def panel(caption: str, picture: U8) -> U8:
    """Return a picture under its caption, uint8 [22 + H, W, 3]; enlarged where it is narrow."""
    rows, columns = picture.shape[:2]
    if columns < NARROWEST:
        picture = resize_picture(picture, (round(rows * NARROWEST / columns), NARROWEST))
    head = np.zeros((CAPTION, picture.shape[1], 3), np.uint8)
    cv2.putText(head, caption, (4, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, INK, 1, cv2.LINE_AA)
    return np.vstack((head, picture))


def sheet(explanation: Explanation, visible: U8, thermal: U8, classes: Sequence[ClassLabel]) -> U8:
    """Draw a pair, its result, and for each explained class the two maps and its region.

    Args:
        explanation: of the pair.
        visible: uint8 [H, W, 3] RGB.
        thermal: uint8 [H, W].
        classes: labels of the mask.

    Returns:
        uint8 [(classes + 1) * (H + 22), 3 * W, 3] RGB; H and W are at least those of panels of 320
        columns.
    """
    colors = palette(classes)
    mask = explanation.mask.cpu().numpy().astype(np.uint8)
    fused = explanation.fused.detach().cpu().numpy().transpose(1, 2, 0)
    picture = np.ascontiguousarray((fused * 255).round().astype(np.uint8))
    result = overlay(picture, mask, colors, 0.4, outlines=True)
    if result.shape[1] >= NARROWEST:  # letters of a smaller one would hide it
        result = draw_legend(result, classes)
    rows = [[('visible', visible), ('thermal', grey_to_rgb(thermal)), ('result', result)]]
    for reason in explanation.reasons:
        name = classes[reason.label].name
        of_thermal, of_visible = maps(reason, visible, thermal)
        region = (mask == reason.label).astype(np.uint8)
        where = np.where(region[..., None] > 0, picture, (picture * DIM).astype(np.uint8))
        share = reason.thermal_share
        rows.append(
            [
                (f'{name} by visible: {1 - share:.0%} ({reason.visible:+.2f})', of_visible),
                (f'{name} by thermal: {share:.0%} ({reason.thermal:+.2f})', of_thermal),
                (f'{name}: score {reason.score:.2f}, black pair {reason.black:.2f}', where),
            ]
        )
    return np.vstack([np.hstack([panel(*one) for one in row]) for row in rows])
