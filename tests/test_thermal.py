"""The map from thermal counts to 8 bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paif_ros.errors import ImageFormatError, ParameterError
from paif_ros.thermal import PercentileRange, to_uint8

DEFAULT = PercentileRange()
EVERYTHING = PercentileRange(low=0.0, high=100.0, min_span=1)


def ramp(low, high, height=48, width=64):
    return np.linspace(low, high, height * width).round().astype(np.uint16).reshape(height, width)


def test_full_range_by_hand():
    frame = np.array([[1000, 1100], [1200, 1510]], np.uint16)
    assert to_uint8(frame, EVERYTHING).tolist() == [[0, 50], [100, 255]]


def test_percentiles_clip_both_ends():
    grey = to_uint8(ramp(10_000, 20_000), PercentileRange(10.0, 90.0))
    assert 0.09 < (grey == 0).mean() < 0.11
    assert 0.09 < (grey == 255).mean() < 0.11
    assert abs(int(np.median(grey)) - 128) <= 1


def test_8_bit_passes_through():
    frame = np.full((4, 4), 7, np.uint8)
    assert to_uint8(frame, DEFAULT) is frame


@pytest.mark.parametrize('counts', [0, 1, 63, 30_000, 65_534, 65_535])
@pytest.mark.parametrize('min_span', [1, 64, 65_535])
def test_flat_frames_are_mid_grey(counts, min_span):
    grey = to_uint8(np.full((60, 80), counts, np.uint16), PercentileRange(min_span=min_span))
    assert grey.shape == (60, 80)
    assert len(np.unique(grey)) == 1
    assert grey[0, 0] in (127, 128)


def test_noise_of_a_flat_scene_is_not_stretched():
    frame = np.random.default_rng(0).integers(30_000, 30_005, (60, 80)).astype(np.uint16)
    grey = to_uint8(frame, PercentileRange(min_span=64))
    assert int(grey.max()) - int(grey.min()) == pytest.approx(4 / 64 * 255, abs=1)


def test_hot_and_dead_pixels_change_nothing():
    frame = ramp(29_000, 31_000)
    marred = frame.copy()
    marred[20, 20], marred[30, 30] = 65_535, 0
    plain, grey = to_uint8(frame, DEFAULT).astype(int), to_uint8(marred, DEFAULT).astype(int)
    assert (grey[20, 20], grey[30, 30]) == (255, 0)
    plain[20, 20], plain[30, 30] = 255, 0
    assert np.abs(plain - grey).max() <= 1


def test_half_saturated_frame_keeps_its_other_half():
    frame = ramp(20_000, 40_000)
    frame[:24] = 65_535
    grey = to_uint8(frame, DEFAULT)
    assert (grey[:24] == 255).all()
    assert len(np.unique(grey[24:])) > 50


@pytest.mark.parametrize('shape', [(1, 1), (1, 9), (9, 1), (60, 80), (512, 640), (1024, 1280)])
def test_every_size(shape):
    frame = np.random.default_rng(1).integers(0, 65_536, shape).astype(np.uint16)
    grey = to_uint8(frame, DEFAULT)
    assert grey.dtype == np.uint8
    assert grey.shape == shape


def test_grid_of_percentiles_is_near_the_exact_ones():
    frame = np.random.default_rng(2).normal(30_000, 400, (512, 640)).astype(np.uint16)
    low, high = np.percentile(frame, (1.0, 99.0))
    exact = np.clip((frame - low) * 255.0 / (high - low), 0, 255)
    assert np.abs(to_uint8(frame, DEFAULT) - exact).max() < 5


@given(
    seed=st.integers(0, 2**32 - 1),
    center=st.integers(0, 65_535),
    spread=st.floats(0.0, 30_000.0),
    config=st.builds(
        PercentileRange, st.floats(0.0, 49.0), st.floats(51.0, 100.0), st.integers(1, 65_535)
    ),
)
def test_hotter_is_never_darker_and_runs_agree(seed, center, spread, config):
    noise = np.random.default_rng(seed).normal(center, spread, (12, 16))
    frame = np.clip(noise, 0, 65_535).astype(np.uint16)
    grey = to_uint8(frame, config)
    order = np.argsort(frame, axis=None, kind='stable')
    assert (np.diff(grey.ravel()[order].astype(int)) >= 0).all()
    np.testing.assert_array_equal(grey, to_uint8(frame.copy(), config))


def test_strided_read_only_frames_are_read():
    wide = ramp(1_000, 2_000, 48, 128)
    wide.setflags(write=False)
    view = wide[:, ::2]
    np.testing.assert_array_equal(to_uint8(view, DEFAULT), to_uint8(view.copy(), DEFAULT))


@pytest.mark.parametrize(
    'frame',
    [
        np.zeros((2, 2), np.float32),
        np.zeros((2, 2), np.int16),
        np.zeros((2, 2), '>u2'),
        np.zeros((2, 2, 1), np.uint16),
        np.zeros(4, np.uint16),
        np.zeros((0, 4), np.uint16),
    ],
)
def test_other_arrays_are_refused(frame):
    with pytest.raises(ImageFormatError):
        to_uint8(frame, DEFAULT)


@pytest.mark.parametrize(
    ('name', 'values'),
    [
        ('low', {'low': -0.1}), ('low', {'low': 100.0}), ('low', {'low': float('nan')}),
        ('high', {'high': 1.0}), ('high', {'high': 100.1}), ('high', {'high': float('nan')}),
        ('min_span', {'min_span': 0}), ('min_span', {'min_span': 65_536}),
    ],
)  # fmt: skip
def test_ranges_are_checked(name, values):
    with pytest.raises(ParameterError) as caught:
        PercentileRange(**values)
    assert caught.value.name == name
