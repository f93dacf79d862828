"""Sheets of pictures: clean, attacked, difference and masks of one pair under one attack."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from torch import Tensor

from models.attacks import Attack
from models.evaluation.fused import saved
from models.evaluation.masks import Outcome
from paif_ros.contract import ClassLabel
from paif_ros.engines.base import U8
from paif_ros.pictures.drawing import color_mask, grey_to_rgb, palette
from paif_ros.pictures.legend import draw_legend

CAPTION = 22  # rows above a panel
INK = (255, 255, 255)


class Sheets:
    """Draws a sheet for each of a few pairs under each attack.

    Args:
        folder: where they go, made if absent.
        classes: the labels of the masks.
        places: of the pairs that are drawn, among all.
    """

    def __init__(self, folder: Path, classes: Sequence[ClassLabel], places: Sequence[int]) -> None:
        self.folder, self.classes, self.places = folder, classes, set(places)
        self.clean: dict[int, Outcome] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def take(self, outcome: Outcome, attack: Attack) -> list[Path]:
        """Draw what is wanted of an outcome; that of 'none' has to come first.

        Returns:
            The files written.
        """
        paths = []
        for row, pair in enumerate(outcome.pairs):
            place = outcome.first + row
            if place not in self.places:
                continue
            if outcome.attack == 'none':
                self.clean[place] = outcome
                continue
            name = re.sub(r'[^\w.-]+', '_', f'{Path(pair.name).stem}_{attack.name}')
            path = self.folder / f'{name}.png'
            sheet = draw(self.clean[place], outcome, row, attack, self.classes)
            cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
            paths.append(path)
        return paths


def draw(
    clean: Outcome, attacked: Outcome, row: int, attack: Attack, classes: Sequence[ClassLabel]
) -> U8:
    """Draw one pair: a row for each camera, the fused picture and the masks, 3 panels each.

    Args:
        clean: outcome without attack.
        attacked: outcome of the same pairs under attack.
        row: which of the pairs.
        attack: what was done.
        classes: the labels of the masks.

    Returns:
        uint8 [4 * (H + 22), 3 * W, 3] RGB.
    """
    pair = clean.pairs[row]
    # The largest change that is allowed becomes the largest that can be shown.
    factor = max(1, int(127 / (255 * attack.eps))) if attack.eps else 1
    lines = []
    for name, before, after in (
        ('visible', picture_bytes(clean.visible[row]), picture_bytes(attacked.visible[row])),
        ('thermal', picture_bytes(clean.thermal[row]), picture_bytes(attacked.thermal[row])),
        ('fused', saved(clean)[row], saved(attacked)[row]),
    ):
        change = after.astype(np.int16) - before
        change_shown = np.clip(128 + factor * change, 0, 255).astype(np.uint8)
        lines.append(
            [
                (f'{name}, clean', before),
                (f'{name}, {attack.name}', after),
                (f'difference x{factor} around grey', change_shown),
            ]
        )
    colors = palette(classes)
    lines.append(
        [
            ('mask, clean', color_mask(clean.masks[row], colors)),
            (f'mask, {attack.name}', color_mask(attacked.masks[row], colors)),
            ('label', draw_legend(color_mask(pair.label, colors), classes)),
        ]
    )
    return np.vstack([np.hstack([panel(*one) for one in line]) for line in lines])


def picture_bytes(picture: Tensor) -> U8:
    """Return [1 or 3, H, W] in 0..1 as uint8 [H, W, 3]."""
    values = (picture.detach().cpu() * 255).round().numpy().astype(np.uint8)
    if len(values) == 1:
        return grey_to_rgb(values[0])
    return np.ascontiguousarray(values.transpose(1, 2, 0))


def panel(caption: str, picture: U8) -> U8:
    """Return a picture under its caption, uint8 [22 + H, W, 3]."""
    head = np.zeros((CAPTION, picture.shape[1], 3), np.uint8)
    cv2.putText(head, caption, (4, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, INK, 1, cv2.LINE_AA)
    return np.vstack((head, picture))
