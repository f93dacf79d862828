"""Sizes, colours and untouched backgrounds of the pictures that leave."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_model

from paif_ros.outputs import overlay, palette, resize_mask, resize_picture

COLORS = palette(tiny_model.CLASSES)


def test_palette() -> None:
    assert COLORS.shape == (256, 3)
    assert [tuple(row) for row in COLORS[:3]] == [label.color for label in tiny_model.CLASSES]
    assert not COLORS[3:].any()


@pytest.mark.parametrize('alpha', [0.0, 0.3, 1.0])
def test_overlay_blends_classes_and_leaves_the_background(alpha: float) -> None:
    random = np.random.default_rng(0)
    fused = random.integers(0, 256, (30, 41, 3), np.uint8)
    mask = random.integers(0, 3, (30, 41)).astype(np.uint8)
    before = fused.copy()
    painted = overlay(fused, mask, COLORS, alpha)
    np.testing.assert_array_equal(fused, before)
    np.testing.assert_array_equal(painted[mask == 0], fused[mask == 0])
    blended = (1 - alpha) * fused + alpha * COLORS[mask].astype(float)
    np.testing.assert_allclose(painted[mask > 0], blended[mask > 0], atol=0.51)


def test_same_size_copies_nothing() -> None:
    picture, mask = np.zeros((4, 6, 3), np.uint8), np.zeros((4, 6), np.uint8)
    assert resize_picture(picture, (4, 6)) is picture
    assert resize_mask(mask, (4, 6)) is mask


@pytest.mark.parametrize('size', [(96, 128), (31, 77), (480, 640), (5, 7)])
def test_resize_takes_ids_from_the_nearest_pixel(size: tuple[int, int]) -> None:
    mask = np.random.default_rng(1).integers(0, 3, (48, 64)).astype(np.uint8)
    rows = (np.arange(size[0]) + 0.5) * 48 / size[0]
    columns = (np.arange(size[1]) + 0.5) * 64 / size[1]
    # A centre on the edge between two pixels may go to either, so it is left out.
    inner_rows, inner_columns = rows % 1 != 0, columns % 1 != 0
    resized = resize_mask(mask, size)[inner_rows][:, inner_columns]
    nearest = mask[rows[inner_rows].astype(int)][:, columns[inner_columns].astype(int)]
    np.testing.assert_array_equal(resized, nearest)
    assert resize_picture(np.zeros((48, 64, 3), np.uint8), size).shape == (*size, 3)


def test_resized_picture_is_smooth() -> None:
    ramp = np.repeat(np.arange(0, 250, 10, dtype=np.uint8)[None, :, None], 20, axis=0)
    wide = resize_picture(np.repeat(ramp, 3, axis=2), (40, 50)).astype(int)
    assert np.abs(np.diff(wide, axis=1)).max() <= 6
