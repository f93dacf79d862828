"""Sizes, colours and untouched backgrounds of the pictures that leave."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_model

from paif_ros.pictures.drawing import (
    blend_outside,
    color_mask,
    grey_to_rgb,
    is_flat,
    overlay,
    palette,
    resize_mask,
    resize_picture,
)

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


def test_shrinking_averages_what_it_drops() -> None:
    """A pattern finer than the new pixels becomes grey instead of flickering."""
    fine = np.indices((400, 600)).sum(0) % 2 * np.uint8(200)
    np.testing.assert_allclose(resize_picture(fine.astype(np.uint8), (100, 150)), 100, atol=1)


def test_color_mask_and_grey() -> None:
    mask = np.random.default_rng(2).integers(0, 256, (37, 53), np.uint8)
    table = np.random.default_rng(3).integers(0, 256, (256, 3), np.uint8)
    np.testing.assert_array_equal(color_mask(mask, table), table[mask])
    np.testing.assert_array_equal(color_mask(mask[::2, ::-3], table), table[mask[::2, ::-3]])
    assert (grey_to_rgb(mask) == mask[..., None]).all()


def brute_force_borders(mask: np.ndarray, reach: int) -> np.ndarray:
    """Pixels of a class with another id within `reach` rows and columns."""
    rows, columns = mask.shape
    found = np.zeros(mask.shape, bool)
    for y in range(rows):
        for x in range(columns):
            near = mask[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]
            found[y, x] = mask[y, x] > 0 and (near != mask[y, x]).any()
    return found


@pytest.mark.parametrize(('size', 'reach'), [((60, 47), 1), ((720, 721), 2)])
def test_outlines_are_the_borders_of_regions(size: tuple[int, int], reach: int) -> None:
    random = np.random.default_rng(4)
    coarse = random.integers(0, 3, (size[0] // 6 + 1, size[1] // 6 + 1)).astype(np.uint8)
    mask = np.ascontiguousarray(coarse.repeat(6, 0).repeat(6, 1)[: size[0], : size[1]])
    fused = random.integers(0, 256, (*size, 3), np.uint8)
    plain = overlay(fused, mask, COLORS, 0.4)
    drawn = overlay(fused, mask, COLORS, 0.4, outlines=True)
    part = np.s_[:60, :47]  # all of the small picture, a corner of the large one
    borders = brute_force_borders(mask[:70, :60], reach)[part]
    assert borders.any()
    assert not borders.all()
    np.testing.assert_array_equal(drawn[part][borders], COLORS[mask[part][borders]])
    np.testing.assert_array_equal(drawn[part][~borders], plain[part][~borders])
    np.testing.assert_array_equal(drawn[mask == 0], fused[mask == 0])


def test_outside_the_thermal_view_there_is_rgb_alone() -> None:
    random = np.random.default_rng(5)
    fused, visible = (random.integers(0, 256, (20, 30, 3), np.uint8) for _ in range(2))
    valid = np.where(random.random((20, 30)) < 0.5, 255, 0).astype(np.uint8)
    blended = blend_outside(fused, visible, valid)
    np.testing.assert_array_equal(blended, np.where(valid[..., None] > 0, fused, visible))
    assert not np.shares_memory(blended, fused)
    assert not np.shares_memory(blended, visible)


def test_flat_pictures_are_found_and_no_others() -> None:
    flat = np.full((480, 640, 3), (3, 0, 200), np.uint8)
    assert is_flat(flat)
    assert is_flat(flat[..., 0])
    assert is_flat(flat[:1, :1])
    for place in ((0, 0, 0), (3, 5, 1), (479, 639, 2)):  # one value is enough
        picture = flat.copy()
        picture[place] ^= 1
        assert not is_flat(picture), place
