"""Thermal frames to grey over time: every mode, what no camera should send, and no flicker."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paif_ros.errors import ImageFormatError
from paif_ros.thermal.agc import Agc, AgcRange
from paif_ros.thermal.ranges import ThermalConfig, stretch

PERIOD = 33_333_333  # nanoseconds at 30 Hz
MODES = {
    'fixed': ThermalConfig(agc='fixed', range_min=20_000.0, range_max=40_000.0),
    'percentile': ThermalConfig(),
    'plateau': ThermalConfig(agc='equalize'),
    'clahe': ThermalConfig(agc='equalize', equalizer='clahe'),
}
FOLLOWING = [mode for mode in MODES if mode != 'fixed']


def once(frame, config, agc=None):
    return (agc or Agc()).apply(frame, config, 1)


def noise(seed=0, mean=30_000.0, spread=400.0, shape=(60, 80)):
    values = np.random.default_rng(seed).normal(mean, spread, shape)
    return np.clip(values, 0, 65_535).astype(np.uint16)


def scene(seed=0, *, at=30_000.0, hot=0):
    """Draw a gradient with noise, and `hot` columns of something far warmer."""
    frame = np.linspace(at, at + 1_000, 60 * 80).reshape(60, 80)
    frame = frame + np.random.default_rng(seed).normal(0, 5, frame.shape)
    frame[:, :hot] = at + 4_000
    return frame.astype(np.uint16)


class TestOneFrame:
    @pytest.mark.parametrize('mode', MODES)
    def test_8_bit_passes_through(self, mode):
        frame = np.full((4, 4), 7, np.uint8)
        agc = Agc()
        once(noise(), MODES[mode], agc)
        assert once(frame, MODES[mode], agc) is frame
        assert agc.range is None

    def test_percentiles_clip_both_ends(self):
        frame = np.linspace(10_000, 20_000, 60 * 80).astype(np.uint16).reshape(60, 80)
        grey = once(frame, ThermalConfig(low_percentile=10.0, high_percentile=90.0))
        assert 0.09 < (grey == 0).mean() < 0.11
        assert 0.09 < (grey == 255).mean() < 0.11
        assert abs(int(np.median(grey)) - 128) <= 1

    def test_fixed_range_in_counts(self):
        agc = Agc()
        frame = np.array([[19_000, 20_000, 30_000, 40_000, 65_535]], np.uint16)
        assert once(frame, MODES['fixed'], agc).tolist() in (
            [[0, 0, middle, 255, 255]] for middle in (127, 128)
        )
        assert agc.range == AgcRange(20_000.0, 40_000.0, 'counts')

    @pytest.mark.parametrize(
        ('frame', 'scale', 'offset'),
        [
            (np.array([[28_315, 30_315, 29_315]], np.uint16), 0.01, -273.15),  # centikelvin
            (np.array([[10.0, 30.0, 20.0]], np.float32), 1.0, 0.0),  # Celsius
            (np.array([[283.15, 303.15, 293.15]], np.float32), 1.0, -273.15),  # Kelvin
            (np.array([[50.0, 86.0, 68.0]], np.float32), 5 / 9, -160 / 9),  # Fahrenheit
        ],
    )
    def test_fixed_range_in_degrees(self, frame, scale, offset):
        config = ThermalConfig(
            agc='fixed', range_min=10.0, range_max=30.0, scale=scale, offset=offset
        )
        agc = Agc()
        np.testing.assert_allclose(once(frame, config, agc).astype(int), [[0, 255, 128]], atol=1)
        assert (agc.range.low, agc.range.high) == pytest.approx((10.0, 30.0))
        assert agc.range.unit == 'degrees'

    def test_range_is_shown_in_values(self):
        agc = Agc()
        frame = np.full((4, 4), 29_315, np.uint16)
        once(frame, ThermalConfig(min_span=4.0, scale=0.01, offset=-273.15), agc)
        assert (agc.range.low, agc.range.high) == pytest.approx((18.0, 22.0))
        assert agc.range.unit == 'degrees'
        once(frame, ThermalConfig(), agc)
        assert agc.range.unit == 'counts'

    @pytest.mark.parametrize('mode', MODES)
    def test_floats_and_counts_agree(self, mode):
        frame = noise()
        grey = once(frame, MODES[mode]).astype(int)
        same = once(frame.astype(np.float32), MODES[mode]).astype(int)
        np.testing.assert_allclose(grey, same, atol=2 if mode == 'clahe' else 1)

    @pytest.mark.parametrize('mode', ['percentile', 'plateau', 'clahe'])
    def test_hot_and_dead_pixels_change_nothing_else(self, mode):
        frame = scene()
        marred = frame.copy()
        marred[20, 20], marred[30, 30] = 65_535, 0
        plain, grey = once(frame, MODES[mode]).astype(int), once(marred, MODES[mode]).astype(int)
        assert grey[20, 20] >= 250
        assert grey[30, 30] <= 5
        plain[20, 20], plain[30, 30] = grey[20, 20], grey[30, 30]
        assert np.abs(plain - grey).max() <= (12 if mode == 'clahe' else 1)

    def test_noise_of_a_flat_scene_is_not_stretched(self):
        frame = np.random.default_rng(0).integers(30_000, 30_005, (60, 80)).astype(np.uint16)
        grey = once(frame, ThermalConfig())
        assert int(grey.max()) - int(grey.min()) == pytest.approx(4 / 64 * 255, abs=1)
        for mode in ('plateau', 'clahe'):  # no more than four times that
            grey = once(frame, MODES[mode])
            assert int(grey.max()) - int(grey.min()) <= 4 * 4 / 64 * 255 + 2

    @pytest.mark.parametrize('mode', MODES)
    def test_strided_read_only_frames_are_read_and_not_written(self, mode):
        wide = noise(shape=(48, 128))
        wide.setflags(write=False)
        view = wide[:, ::2]
        np.testing.assert_array_equal(once(view, MODES[mode]), once(view.copy(), MODES[mode]))

    @pytest.mark.parametrize('mode', ['fixed', 'percentile', 'plateau'])
    @settings(max_examples=60, deadline=None)
    @given(
        drawn=st.tuples(
            st.integers(0, 2**32 - 1), st.integers(0, 65_535), st.floats(0.0, 30_000.0)
        ),
        percentiles=st.tuples(st.floats(0.0, 49.0), st.floats(51.0, 100.0)),
        min_span=st.floats(0.0, 70_000.0), dtype=st.sampled_from([np.uint16, np.float32]),
    )  # fmt: skip
    def test_hotter_is_never_darker(self, mode, drawn, percentiles, min_span, dtype):
        config = dataclasses.replace(
            MODES[mode],
            low_percentile=percentiles[0],
            high_percentile=percentiles[1],
            min_span=min_span,
        )
        frame = noise(*drawn, (12, 16)).astype(dtype)
        grey = once(frame, config)
        order = np.argsort(frame, axis=None, kind='stable')
        assert (np.diff(grey.ravel()[order].astype(int)) >= 0).all()
        np.testing.assert_array_equal(grey, once(frame.copy(), config))

    def test_other_arrays_are_refused(self):
        for frame in (
            np.zeros((2, 2)),
            np.zeros((2, 2, 3), np.uint16),
            np.zeros((0, 2), np.uint8),
        ):
            with pytest.raises(ImageFormatError):
                once(frame, ThermalConfig())


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('mode', MODES)
class TestWhatNoCameraShouldSend:
    @pytest.mark.parametrize('counts', [0, 1, 63, 30_000, 65_534, 65_535])
    @pytest.mark.parametrize('shape', [(1, 1), (2, 3), (60, 80)])
    def test_flat_frames_are_one_grey(self, mode, shape, counts):
        for dtype in (np.uint16, np.float32):
            grey = once(np.full(shape, counts, dtype), MODES[mode])
            assert grey.shape == shape
            assert grey.min() == grey.max()
            if mode != 'fixed':
                assert abs(int(grey[0, 0]) - 128) <= 4

    @pytest.mark.parametrize('min_span', [1e-6, 1.0, 65_535.0, 1e6])
    def test_flat_frames_are_mid_grey_with_any_span(self, mode, min_span):
        config = dataclasses.replace(MODES[mode], min_span=min_span)
        for value in (0, 1, 30_000):
            for dtype in (np.uint16, np.float32):
                grey = once(np.full((6, 8), value, dtype), config)
                assert mode == 'fixed' or abs(int(grey[0, 0]) - 128) <= 4

    @pytest.mark.parametrize('value', [1e30, -1e15, 3.4e38, -3.4e38, 1e-45])
    def test_absurd_floats(self, mode, value):
        grey = once(np.full((6, 8), value, np.float32), MODES[mode])
        assert grey.min() == grey.max()

    @pytest.mark.parametrize('shape', [(1, 1), (1, 9), (9, 1), (512, 640), (1024, 1280)])
    def test_every_size(self, mode, shape):
        for dtype in (np.uint16, np.float32):
            grey = once(noise(shape=shape).astype(dtype), MODES[mode])
            assert (grey.dtype, grey.shape) == (np.uint8, shape)

    def test_half_saturated_frame_keeps_its_other_half(self, mode):
        frame = scene(at=20_500.0)
        frame[:24] = 65_535
        grey = once(frame, MODES[mode])
        assert (grey[:20] >= 250).all()
        assert len(np.unique(grey[30:])) >= (8 if mode == 'plateau' else 4)
        assert grey[30:].max() < 128

    def test_all_nan_is_mid_grey_and_keeps_the_range(self, mode):
        nothing = np.full((60, 80), np.nan, np.float32)
        agc = Agc()
        assert (once(nothing, MODES[mode], agc) == 128).all()
        if mode != 'fixed':
            assert agc.range is None
        frame = noise().astype(np.float32)
        expected = once(frame, MODES[mode])
        np.testing.assert_array_equal(agc.apply(frame, MODES[mode], PERIOD), expected)
        before = agc.range
        assert (agc.apply(nothing, MODES[mode], 9 * PERIOD) == 128).all()
        assert agc.range == before

    def test_pixels_without_a_number(self, mode):
        frame = noise().astype(np.float32)
        holes = frame.copy()
        holes[::2] = np.nan
        holes[1, :3] = np.inf, -np.inf, np.nan
        grey = once(holes, MODES[mode])
        assert (grey[::2] == 128).all()
        assert grey[1, 2] == 128
        if mode != 'clahe':
            assert grey[1, :2].tolist() == [255, 0]
        # What is left keeps the range that it would have alone.
        if mode in ('fixed', 'percentile'):
            np.testing.assert_allclose(grey[3::2], once(frame, MODES[mode])[3::2], atol=8)

    def test_infinite_frames(self, mode):
        for value, expected in ((np.inf, 255), (-np.inf, 0)):
            grey = once(np.full((6, 8), value, np.float32), MODES[mode])
            assert grey.min() == grey.max()
            assert mode in ('plateau', 'clahe') or grey[0, 0] == expected

    def test_ten_thousand_odd_pixels(self, mode):
        rng = np.random.default_rng(4)
        odd = np.array([0, 1e-45, -1e-45, 3.4e38, -3.4e38, np.inf, -np.inf, np.nan, 20.0, 300.0])
        for seed in range(50):
            frame = odd[rng.integers(len(odd), size=(10, 20))].astype(np.float32)
            config = dataclasses.replace(
                MODES[mode], min_span=float(rng.choice([0.0, 1e-9, 50.0]))
            )
            grey = Agc().apply(frame, config, seed)
            assert (grey[np.isnan(frame)] == 128).all()
            if mode != 'clahe':
                kept = ~np.isnan(frame)
                order = np.argsort(frame[kept], kind='stable')
                assert (np.diff(grey[kept][order].astype(int)) >= 0).all()


def run(config, frames, *, start=PERIOD, period=PERIOD):
    """Return each frame's range."""
    agc, ranges = Agc(), []
    for index, frame in enumerate(frames):
        agc.apply(frame, config, start + index * period)
        ranges.append((agc.range.low, agc.range.high))
    return np.array(ranges)


@pytest.mark.parametrize('mode', FOLLOWING)
class TestOverTime:
    def test_flicker(self, mode):
        """A hot spot of about one percent comes and goes, which moves the percentile each time."""
        frames = [scene(seed, hot=seed % 2) for seed in range(60)]
        smooth, raw = (
            run(dataclasses.replace(MODES[mode], smoothing=tau), frames) for tau in (0.5, 0.0)
        )
        moves = [np.abs(np.diff(ranges[30:, 1])).mean() for ranges in (smooth, raw)]
        assert moves[1] > 2_000  # of a scene of 1,000 counts
        assert moves[0] < moves[1] / 12  # 1 - exp(-1 / 15), and what is left of the start

    def test_pictures_flicker_less(self, mode):
        frames = [scene(seed, hot=seed % 2) for seed in range(40)]
        changes = []
        for tau in (0.5, 0.0):
            agc, config = Agc(), dataclasses.replace(MODES[mode], smoothing=tau)
            greys = [
                agc.apply(frame, config, (1 + k) * PERIOD)[:, 20:].astype(int)
                for k, frame in enumerate(frames)
            ]
            changes.append(np.abs(np.diff(greys[20:], axis=0)).mean())
        assert changes[0] < changes[1] / 3

    def test_time_constant(self, mode):
        config = dataclasses.replace(MODES[mode], smoothing=0.5)
        before, after = scene(), scene(at=30_300.0)
        (low, _), (target, _) = (run(config, [frame])[0] for frame in (before, after))
        for period in (10_000_000, PERIOD, 111_111_111):  # whatever the frame rate
            count = round(500_000_000 / period)
            moved = run(config, [before] + [after] * count, period=period)[-1, 0]
            share = (moved - low) / (target - low)
            assert share == pytest.approx(1 - np.exp(-count * period / 5e8), abs=0.02)

    @pytest.mark.parametrize(
        ('before', 'after'),
        [
            (scene(), scene(at=45_000.0)),
            (scene(), scene(at=28_800.0)),
            (scene(), scene(at=30_700.0)),  # overlaps, but most of it would be white
            (scene(), noise(spread=40_000.0)),
            (noise(spread=40_000.0), scene()),  # all of it would be one grey
        ],
    )
    def test_scene_cut_snaps(self, mode, before, after):
        ranges = run(MODES[mode], [before, before, after])
        np.testing.assert_array_equal(ranges[2], run(MODES[mode], [after])[0])

    def test_a_picture_after_a_cut_owes_nothing_to_the_one_before(self, mode):
        agc, after = Agc(), scene(at=45_000.0)
        agc.apply(scene(), MODES[mode], PERIOD)
        grey = agc.apply(after, MODES[mode], 2 * PERIOD)
        np.testing.assert_array_equal(grey, once(after, MODES[mode]))

    @pytest.mark.parametrize(
        ('stamp', 'change'),
        [
            (PERIOD - 1, lambda frame: frame),  # stamps go back
            (0, lambda frame: frame),  # none at all
            (2 * PERIOD, lambda frame: frame[:, :70]),
            (2 * PERIOD, lambda frame: frame.astype(np.float32)),
        ],
        ids=['back', 'zero', 'size', 'type'],
    )
    def test_what_starts_anew(self, mode, stamp, change):
        agc, after = Agc(), change(scene(1, at=30_300.0))
        agc.apply(scene(), MODES[mode], PERIOD)
        grey = agc.apply(after, MODES[mode], stamp)
        np.testing.assert_array_equal(grey, once(after, MODES[mode]))

    def test_stamps_that_stay_zero_do_not_keep_the_first_range(self, mode):
        ranges = run(MODES[mode], [scene(), scene(at=30_300.0)], start=0, period=0)
        assert ranges[1, 0] - ranges[0, 0] > 250

    def test_reset(self, mode):
        agc, after = Agc(), scene(1, at=30_300.0)
        agc.apply(scene(), MODES[mode], PERIOD)
        agc.reset()
        assert agc.range is None
        grey = agc.apply(after, MODES[mode], 2 * PERIOD)
        np.testing.assert_array_equal(grey, once(after, MODES[mode]))

    def test_hold(self, mode):
        agc = Agc()
        agc.apply(scene(), MODES[mode], PERIOD)
        before = agc.range
        shutter = scene(at=30_300.0)
        for k in range(2, 32):
            agc.apply(shutter, MODES[mode], k * PERIOD, hold=True)
            assert agc.range == before
        # The second of the shutter does not count when the range follows again.
        agc.apply(shutter, MODES[mode], 32 * PERIOD)
        assert 0 < agc.range.low - before.low < 0.1 * 300

    def test_hold_keeps_the_whole_map(self, mode):
        """A frame of the coldest third only gets the greys that its values had in the scene."""
        agc, frame = Agc(), scene()
        grey = agc.apply(frame, MODES[mode], PERIOD)
        cold = agc.apply(np.tile(frame[:20], (3, 1)), MODES[mode], 2 * PERIOD, hold=True)
        if mode != 'clahe':  # which looks at each tile of each frame
            np.testing.assert_array_equal(cold, np.tile(grey[:20], (3, 1)))
        again = agc.apply(frame, MODES[mode], 3 * PERIOD, hold=True)
        np.testing.assert_array_equal(again, grey)

    def test_hold_needs_a_range_to_keep(self, mode):
        frame = scene()
        grey = Agc().apply(frame, MODES[mode], PERIOD, hold=True)
        np.testing.assert_array_equal(grey, once(frame, MODES[mode]))

    def test_a_frame_given_again_gives_its_picture_again(self, mode):
        agc = Agc()
        agc.apply(scene(), MODES[mode], PERIOD)
        first = agc.apply(scene(1, at=30_300.0), MODES[mode], 2 * PERIOD)
        again = agc.apply(scene(1, at=30_300.0), MODES[mode], 2 * PERIOD)
        np.testing.assert_array_equal(first, again)

    def test_settings_may_change_with_every_frame(self, mode):
        rng, agc = np.random.default_rng(6), Agc()
        for k in range(200):
            config = dataclasses.replace(
                list(MODES.values())[rng.integers(len(MODES))],
                smoothing=float(rng.choice([0.0, 0.1, 5.0])),
                scale=float(rng.choice([1.0, 2.0])),
                min_span=float(rng.choice([0.0, 1.0, 5_000.0])),
            )
            grey = agc.apply(scene(k, at=25_000.0 + 3_000 * rng.random()), config, k * PERIOD)
            assert agc.range.low < agc.range.high
            if config.agc != 'fixed':
                assert len(np.unique(grey)) > 8


def test_the_fixed_range_does_not_move():
    frames = [noise(mean=mean) for mean in (10_000.0, 30_000.0, 60_000.0)]
    assert len(set(map(tuple, run(MODES['fixed'], frames)))) == 1
    np.testing.assert_array_equal(
        once(frames[1], MODES['fixed']), stretch(frames[1], 20_000.0, 40_000.0)
    )
