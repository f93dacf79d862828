"""The plateau curve and CLAHE."""

import numpy as np
import pytest

from paif_ros.thermal.equalize import Curve, clahe, plateau


def frame_of(*parts, shape=(60, 80)):
    """Draw a frame that is uniform over each (share, low, high) part."""
    rng = np.random.default_rng(8)
    count = shape[0] * shape[1]
    values = [rng.uniform(low, high, round(share * count)) for share, low, high in parts]
    return np.concatenate(values).reshape(shape).astype(np.uint16)


def test_what_is_evenly_spread_is_stretched_linearly():
    curve = plateau(frame_of((1.0, 1_000, 9_000)), 1_000.0, 9_000.0)
    linear = np.linspace(0.0, 255.0, curve.greys.size)
    np.testing.assert_allclose(curve.greys, linear, atol=8)


def test_where_pixels_are_contrast_is():
    """Nine tenths of the pixels lie in a tenth of the range, which gets far more than 25 greys."""
    frame = frame_of((0.9, 1_000, 2_000), (0.1, 2_000, 11_000))
    curve = plateau(frame, 1_000.0, 11_000.0)
    assert 2.5 * 25.5 < np.interp(2_000.0, curve.edges, curve.greys) < 4.05 * 25.5


@pytest.mark.parametrize('span', [1, 2, 3, 64, 255, 256, 257, 1_000, 65_535])
def test_no_value_is_stretched_without_bound(span):
    for frame in (frame_of((1.0, 0, 1)), frame_of((0.5, 0, 1), (0.5, span - 1, span))):
        for values in (frame, frame.astype(np.float32)):
            curve = plateau(values, 0.0, float(span))
            assert (curve.greys[0], curve.greys[-1]) == (0.0, pytest.approx(255.0))
            slopes = np.diff(curve.greys) / np.diff(curve.edges) / (255.0 / span)
            assert slopes.min() >= 0.0
            assert slopes.max() <= 4.0 + 1e-9


def test_holes_do_not_count():
    frame = frame_of((0.5, 1_000, 2_000), (0.5, 5_000, 9_000)).astype(np.float32)
    holed = np.where(np.arange(80) % 2 == 0, frame, np.nan).astype(np.float32)
    whole = plateau(frame[:, ::2], 1_000.0, 9_000.0)
    np.testing.assert_array_equal(plateau(holed, 1_000.0, 9_000.0).greys, whole.greys)
    nothing = plateau(np.full((3, 3), np.nan, np.float32), 0.0, 1.0)
    np.testing.assert_allclose(nothing.greys, np.linspace(0.0, 255.0, nothing.greys.size))


def test_a_curve_is_applied_to_counts_and_floats():
    curve = Curve(np.array([100.0, 200.0, 300.0]), np.array([0.0, 200.0, 255.0]))
    values = np.array([[0, 100, 150, 200, 250, 300, 900]])
    for dtype in (np.uint16, np.float32):
        grey = curve.apply(values.astype(dtype))
        np.testing.assert_allclose(grey.astype(int), [[0, 0, 100, 200, 228, 255, 255]], atol=1)


def test_between_two_curves():
    old = Curve(np.array([0.0, 100.0]), np.array([0.0, 255.0]))
    new = Curve(np.array([50.0, 100.0, 150.0]), np.array([0.0, 100.0, 255.0]))
    half = new.moved_from(old, 0.5)
    np.testing.assert_array_equal(half.edges, new.edges)
    np.testing.assert_allclose(half.greys, [127.5 / 2, (255 + 100) / 2, 255.0])
    np.testing.assert_allclose(new.moved_from(old, 1.0).greys, new.greys)


def test_clahe_raises_local_contrast_of_both_halves():
    grey = np.zeros((128, 128), np.uint8)
    grey[:64] = np.random.default_rng(1).integers(20, 30, (64, 128))
    grey[64:] = np.random.default_rng(2).integers(220, 230, (64, 128))
    clear = clahe(grey)
    assert clear[:48].std() > 2 * grey[:48].std()
    assert clear[80:].std() > 2 * grey[80:].std()


@pytest.mark.parametrize('shape', [(1, 1), (1, 7), (3, 5), (9, 8), (61, 83)])
def test_clahe_of_every_size(shape):
    grey = np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)
    assert clahe(grey).shape == shape
