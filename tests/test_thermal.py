"""The settings, a frame's own range, and the stretch to 8 bit."""

import dataclasses
import math

import numpy as np
import pytest

from paif_ros.errors import ImageFormatError, ParameterError
from paif_ros.thermal.ranges import ThermalConfig, check_frame, percentile_range, stretch

DEFAULT = ThermalConfig()
EVERYTHING = ThermalConfig(low_percentile=0.0, high_percentile=100.0, min_span=1.0)


def ramp(low, high, height=48, width=64):
    return np.linspace(low, high, height * width).round().astype(np.uint16).reshape(height, width)


def test_stretch_by_hand():
    frame = np.array([[999, 1000, 1100], [1200, 1510, 65_535]], np.uint16)
    for values in (frame, frame.astype(np.float32)):
        assert stretch(values, 1000.0, 1510.0).tolist() == [[0, 0, 50], [100, 255, 255]]


@pytest.mark.parametrize(
    ('low', 'high', 'expected'),
    [
        (-500.0, -10.0, [255, 255, 255, 255]),  # below all counts
        (-10.0, 0.0, [255, 255, 255, 255]),
        (65_535.0, 70_000.0, [0, 0, 0, 0]),  # above all counts
        (66_000.0, 70_000.0, [0, 0, 0, 0]),
        (100.2, 100.8, [0, 0, 255, 255]),  # between two counts
        (-1e9, 1e9, [127, 127, 127, 128]),
        (99.5, 100.5, [0, 128, 255, 255]),  # what is above is white, not what the last count is
        (0.0, 65_535.0, [0, 0, 0, 255]),
    ],
)
def test_ranges_beyond_the_counts(low, high, expected):
    frame = np.array([[0, 100, 101, 65_535]], np.uint16)
    for values in (frame, frame.astype(np.float32)):
        grey = stretch(values, low, high)
        assert (grey.dtype, grey.shape) == (np.uint8, frame.shape)
        np.testing.assert_allclose(grey[0].astype(int), expected, atol=1)


@pytest.mark.parametrize(
    ('low', 'high'),
    [(0.0, 5e-324), (300.0, 300.0 + 1e-12), (-1e18, 1e18), (0.0, 1e-30), (1e12, 1e12 + 1)],
)
@pytest.mark.filterwarnings('error')
def test_frames_never_leave_numbers(low, high):
    frame = np.array([[-np.inf, -3.4e38, -1.0, 0.0, 1e-45, 1.0, 3.4e38, np.inf]], np.float32)
    grey = stretch(frame, low, high)[0].astype(int)
    assert (np.diff(grey) >= 0).all()
    assert (grey[0], grey[-1]) == (0, 255)
    grey = stretch(np.array([[0, 1, 300, 301, 65_535]], np.uint16), low, high)[0].astype(int)
    assert (np.diff(grey) >= 0).all()


def test_exact_differences_of_large_floats():
    """A product of 255 / 0.5 * 30,000 would be rounded to the next grey level and beyond."""
    frame = np.float32(30_000) + np.linspace(0, 0.5, 128, dtype=np.float32)[None]
    expected = np.clip((frame.astype(float) - 30_000.0) * 510.0, 0, 255)
    np.testing.assert_allclose(stretch(frame, 30_000.0, 30_000.5), expected, atol=0.51)


def test_percentiles_are_those_of_the_frame():
    low, high = percentile_range(
        ramp(10_000, 20_000), ThermalConfig(low_percentile=10.0, high_percentile=90.0)
    )
    assert low == pytest.approx(11_000, abs=5)
    assert high == pytest.approx(19_000, abs=5)


def test_grid_of_percentiles_is_near_the_exact_ones():
    frame = np.random.default_rng(2).normal(30_000, 400, (512, 640)).astype(np.uint16)
    low, high = percentile_range(frame, DEFAULT)
    exact_low, exact_high = np.percentile(frame, (1.0, 99.0))
    grey_level = (exact_high - exact_low) / 255
    assert abs(low - exact_low) < 5 * grey_level
    assert abs(high - exact_high) < 5 * grey_level


@pytest.mark.parametrize(
    ('dtype', 'config', 'span'),
    [
        (np.uint16, DEFAULT, 64.0),
        (np.float32, DEFAULT, 2.0),
        (np.uint16, ThermalConfig(min_span=5.0), 5.0),
        (np.uint16, ThermalConfig(min_span=5.0, scale=0.01, offset=-273.15), 500.0),
        (np.uint16, ThermalConfig(scale=0.01, offset=-273.15), 64.0),  # the default is in counts
        (np.float32, ThermalConfig(min_span=9.0, scale=1.8, offset=32.0), 5.0),
        (np.uint16, ThermalConfig(min_span=0.25), 1.0),  # no less than a count
    ],
)
def test_least_span_is_around_the_middle(dtype, config, span):
    low, high = percentile_range(np.full((9, 9), 300, dtype), config)
    assert (low, high) == pytest.approx((300 - span / 2, 300 + span / 2))


def test_least_span_of_floats_has_distinct_levels():
    for value in (1e9, -1e15, 1e18):
        low, high = percentile_range(np.full((4, 4), value, np.float32), DEFAULT)
        assert high - low >= 256 * np.spacing(np.float32(abs(value)))


def test_only_finite_pixels_count():
    frame = np.full((20, 20), np.nan, np.float32)
    frame[0] = np.linspace(10.0, 29.0, 20)
    frame[1, :3] = np.inf, -np.inf, 3e38
    assert percentile_range(frame, EVERYTHING) == (10.0, 29.0)


def test_the_only_finite_pixel_is_found_off_the_grid():
    frame = np.full((512, 640), np.nan, np.float32)
    assert percentile_range(frame, DEFAULT) is None
    frame[511, 639] = 20.0
    assert percentile_range(frame, DEFAULT) == (19.0, 21.0)


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf, 3e38])
def test_frames_without_a_finite_pixel_have_no_range(value):
    assert percentile_range(np.full((1, 1), value, np.float32), DEFAULT) is None


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('range_min', [0.0, 1.0, -273.15, 1e6 - 1])
@pytest.mark.parametrize('scale', [1e-6, 0.01, 1.0, 1e6])
@pytest.mark.parametrize('offset', [-1e6, 0.0, 1.0, 1e6])
def test_the_narrowest_fixed_range_divides_nothing_by_zero(range_min, scale, offset):
    config = ThermalConfig(
        agc='fixed', range_min=range_min, range_max=np.nextafter(range_min, 2e6), scale=scale,
        offset=offset,
    )  # fmt: skip
    low, high = config.fixed_range()
    assert low < high
    for dtype in (np.uint16, np.float32):
        grey = stretch(np.array([[0, 65_535]], dtype), low, high)
        assert grey[0, 0] <= grey[0, 1]


@pytest.mark.parametrize(
    'frame',
    [
        np.zeros((2, 2), np.float64),
        np.zeros((2, 2), np.float16),
        np.zeros((2, 2), np.int16),
        np.zeros((2, 2), bool),
        np.zeros((2, 2), np.dtype(np.uint16).newbyteorder()),
        np.zeros((2, 2), np.dtype(np.float32).newbyteorder()),
        np.zeros((2, 2, 1), np.uint16),
        np.zeros(4, np.uint16),
        np.zeros((0, 4), np.uint16),
        np.zeros((4, 0), np.float32),
    ],
)
def test_other_arrays_are_refused(frame):
    with pytest.raises(ImageFormatError):
        check_frame(frame)


NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('agc', 'auto'), ('agc', ''), ('equalizer', 'hist'),
        ('min_span', 1.1e6), ('range_min', -1.1e6), ('range_max', 1.1e6), ('offset', -1.1e6),
        ('scale', 0.9e-6), ('scale', 1.1e6),
        ('low_percentile', -0.1), ('low_percentile', 100.0), ('low_percentile', NAN),
        ('high_percentile', 1.0), ('high_percentile', 100.1), ('high_percentile', NAN),
        ('min_span', -1.0), ('min_span', INF), ('min_span', NAN),
        ('range_min', NAN), ('range_min', -INF), ('range_max', 0.0), ('range_max', -1.0),
        ('range_max', NAN), ('range_max', INF),
        ('smoothing', -0.1), ('smoothing', INF), ('smoothing', NAN),
        ('scale', 0.0), ('scale', -1.0), ('scale', NAN), ('scale', INF),
        ('offset', NAN), ('offset', INF),
    ],
)  # fmt: skip
def test_settings_are_checked(name, value):
    with pytest.raises(ParameterError) as caught:
        dataclasses.replace(DEFAULT, **{name: value})
    assert caught.value.name == f'thermal.{name}'
    np.testing.assert_equal(caught.value.value, value)


def test_a_minimum_above_the_maximum_names_both():
    with pytest.raises(ParameterError, match=r"'thermal.range_max' is 40.0.*above range_min \(50"):
        ThermalConfig(range_min=50.0, range_max=40.0)


def test_settings_are_those_of_the_parameter_file():
    yaml = pytest.importorskip('yaml')
    from pathlib import Path

    import paif_ros

    text = (Path(paif_ros.__file__).parent / 'parameters.yaml').read_text(encoding='utf-8')
    declared = yaml.safe_load(text)['paif_ros']['thermal']
    assert {name: entry['default_value'] for name, entry in declared.items()} == (
        dataclasses.asdict(DEFAULT)
    )
