"""The legend: names and colours where they belong, at every size of picture."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import tiny_model

from paif_ros.contract import ClassLabel
from paif_ros.pictures.legend import PANEL, draw_legend


def picture(rows: int, columns: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (rows, columns, 3), np.uint8)


def patch_of(before: np.ndarray, after: np.ndarray) -> tuple[int, int, int, int]:
    """Rows and columns of what changed: top, bottom, left, right."""
    rows, columns = np.nonzero((before != after).any(2))
    return rows.min(), rows.max() + 1, columns.min(), columns.max() + 1


@pytest.mark.parametrize('rows', [240, 480, 1080])
def test_every_class_but_the_background_has_its_swatch(rows: int) -> None:
    before = picture(rows, rows * 4 // 3)
    copy = before.copy()
    after = draw_legend(before, tiny_model.CLASSES)
    np.testing.assert_array_equal(before, copy)
    top, bottom, left, right = patch_of(before, after)
    patch = after[top:bottom, left:right]
    areas = [(patch == label.color).all(2).sum() for label in tiny_model.CLASSES]
    assert areas[0] == 0  # black, and the panel is not
    side = round(12 * max(0.7, rows / 480))
    assert areas[1:] == [side * side] * 2
    lines = [np.nonzero((patch == label.color).all(2))[0] for label in tiny_model.CLASSES[1:]]
    assert lines[0].max() < lines[1].min()  # in the order of the classes
    for line in lines:  # letters beside each
        assert (patch[line.min() : line.max() + 1].min(2) > 100).sum() > side
    outside = np.ones(before.shape[:2], bool)
    outside[top:bottom, left:right] = False
    np.testing.assert_array_equal(before[outside], after[outside])


def test_it_grows_with_the_picture_and_stays_in_its_corner() -> None:
    sizes = []
    for rows in (480, 960):
        before = picture(rows, rows)
        top, bottom, left, right = patch_of(before, draw_legend(before, tiny_model.CLASSES))
        assert max(top, left) <= rows // 60
        sizes.append((bottom - top, right - left))
    assert np.allclose(np.divide(sizes[1], sizes[0]), 2, atol=0.15)


@pytest.mark.parametrize('shape', [(1, 1), (10, 640), (480, 20), (30, 30)])
def test_a_picture_too_small_stays_as_it_is(shape: tuple[int, int]) -> None:
    before = picture(*shape)
    np.testing.assert_array_equal(draw_legend(before, tiny_model.CLASSES), before)


def test_more_classes_than_fit_are_summed_up() -> None:
    classes = tuple(ClassLabel(n, f'class {n}', (255, n, 0)) for n in range(256))
    before = picture(240, 320)
    after = draw_legend(before, classes)
    top, bottom, left, _ = patch_of(before, after)
    assert bottom <= 240
    swatches = {tuple(color) for color in after[top:bottom, left + 6].tolist()} - {PANEL}
    names = {label.color for label in classes}
    assert 10 < len(swatches & names) < 20
    assert (255, 1, 0) in swatches


def test_unusual_names_and_no_names() -> None:
    before = picture(480, 640)
    odd = (ClassLabel(0, 'b', (0, 0, 0)), ClassLabel(1, 'Fußgänger\n' * 30, (9, 9, 9)))
    assert patch_of(before, draw_legend(before, odd))[3] < 400
    np.testing.assert_array_equal(draw_legend(before, odd[:1]), before)
    np.testing.assert_array_equal(draw_legend(before, ()), before)


def test_the_second_picture_costs_no_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = picture(484, 644)
    first = draw_legend(before, tiny_model.CLASSES)
    monkeypatch.delattr(cv2, 'putText')
    np.testing.assert_array_equal(draw_legend(before, list(tiny_model.CLASSES)), first)
