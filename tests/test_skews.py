"""The words for frames that do not pair, and that they help: each advice is followed and tried."""

from dataclasses import dataclass

import numpy as np
import pytest
from pairing_bench import MS, SECOND, START, Bench, HoldingBench, T, V

from paif_ros.cameras.watch import CameraWatch
from paif_ros.parameters import specs
from paif_ros.sync.skews import SkewCase, clock_difference, skew_report

HOUR = 3600 * SECOND


class Cameras:
    """Two cameras for four seconds, and what a pairing makes of them.

    Rates in Hz, times in ns: phase and clock of the thermal camera against the other, and how long
    the frames of either take to come in.
    """

    def __init__(
        self, mode='pair', *, slop=20 * MS, max_age=250 * MS, queue_size=10, offset=0, **of
    ):
        self.mode, self.offset = mode, offset
        self.limit = {'pair': slop, 'exact': 0, 'hold_thermal': max_age}[mode]
        self.bench = (HoldingBench if mode == 'hold_thermal' else Bench)(self.limit, queue_size)
        self.watches = {source: CameraWatch(2 * SECOND) for source in (V, T)}
        for received, source, stamp in self.events(**of):
            self.bench.push(source, stamp)
            self.watches[source].frame(stamp, received)
        self.bench.check()

    def events(self, *, rates=(30, 30), clock=0, phase=0, delays=(0, 0), jitter=0.3 * MS):
        rng = np.random.default_rng(0)
        events = []
        for source, rate, delay in zip((V, T), rates, delays, strict=True):
            taken = np.arange(4 * rate) * (SECOND // rate) + rng.normal(0, jitter, 4 * rate)
            taken = np.sort(taken.astype(np.int64)) + (phase if source is T else 0)
            stamps = taken + START + (clock + self.offset if source is T else 0)
            came = taken + delay + rng.integers(0, 3 * MS, len(taken))
            events += [(int(at), source, int(s)) for at, s in zip(came, stamps, strict=True)]
        return sorted(events)

    def report(self):
        skews = self.bench.pairer.last_skews
        return skew_report(
            SkewCase(skews, *self.watches.values(), self.mode, self.limit, self.offset)
        )


def follow(name, value, mode, options):
    """Do what a report says. Returns mode and options with the parameter set."""
    if name == 'sync.mode':
        return value, options
    unit = 1 if name == 'sync.queue_size' else SECOND
    key = name.removeprefix('sync.').removeprefix('thermal_')
    return mode, {**options, key: round(float(value) * unit)}


@pytest.mark.parametrize(
    ('mode', 'options', 'parameters'),
    [
        ('pair', {'slop': 5 * MS, 'phase': 16 * MS}, ['sync.slop']),
        ('pair', {'slop': 5 * MS, 'phase': 10 * MS}, ['sync.slop']),
        ('pair', {'slop': 1 * MS, 'phase': 8 * MS, 'rates': (60, 60)}, ['sync.slop']),
        ('pair', {'slop': 1 * MS, 'phase': 8 * MS, 'rates': (30, 9)}, ['sync.slop', 'sync.mode']),
        ('pair', {'slop': 1 * MS, 'phase': 8 * MS, 'rates': (9, 30)}, ['sync.slop']),
        ('pair', {'clock': -SECOND}, ['sync.thermal_offset', 'sync.queue_size']),
        ('pair', {'clock': SECOND}, ['sync.thermal_offset', 'sync.queue_size']),
        (
            'pair',
            {'clock': -5 * SECOND, 'offset': SECOND},
            ['sync.thermal_offset', 'sync.queue_size'],
        ),
        ('pair', {'clock': -HOUR // 2}, ['sync.thermal_offset']),
        ('pair', {'clock': -SECOND, 'rates': (30, 9)}, ['sync.thermal_offset', 'sync.queue_size']),
        ('exact', {}, ['sync.mode']),
        ('exact', {'rates': (30, 9)}, ['sync.mode', 'sync.mode']),
        ('exact', {'jitter': 0, 'clock': 5 * MS}, ['sync.thermal_offset']),
        ('hold_thermal', {'clock': -SECOND, 'rates': (30, 9)}, ['sync.thermal_offset']),
        ('hold_thermal', {'clock': 5 * SECOND, 'rates': (30, 9)}, None),
        ('hold_thermal', {'max_age': MS, 'phase': 20 * MS, 'rates': (30, 9)}, ['sync.max_age']),
    ],
)
def test_each_advice_brings_the_pairs(mode, options, parameters):
    before = Cameras(mode, **options)
    report = before.report()
    assert len(before.bench.pairs) <= 1
    changes = report.changes
    assert [name for name, _ in changes] == (
        parameters or ['sync.thermal_offset', 'sync.queue_size']
    )
    least = 4 * min(options.get('rates', (30, 30)))
    for name, value in changes:
        assert name in report.advice
        assert value in report.advice
        if name == 'sync.queue_size' and abs(options['clock']) > 3 * SECOND:
            continue  # more frames would have to wait than come in four seconds
        next_mode, next_options = follow(name, value, mode, options)
        after = Cameras(next_mode, **next_options)
        waits = int(value) if name == 'sync.queue_size' else 2
        assert len(after.bench.pairs) >= 0.9 * least - waits, (name, value)


def test_exact_stamps_of_clocks_far_apart_are_found_in_two_steps():
    """The lags tell the difference but for the time that the frames take, the skews the rest."""
    options = {'jitter': 0, 'clock': -HOUR // 2, 'delays': (0, 12 * MS)}
    mode = 'exact'
    for _ in range(2):
        cameras = Cameras(mode, **options)
        assert cameras.bench.pairs == []
        mode, options = follow(*cameras.report().changes[0], mode, options)
    assert options['offset'] == HOUR // 2
    assert len(Cameras(mode, **options).bench.pairs) == 120


def test_the_words_hold_the_distribution_and_the_value():
    assert str(Cameras(slop=5 * MS, phase=10 * MS, jitter=0).report()) == (
        'stamps of visible minus thermal frames: min -10.0, median 23.3, p90 23.3, max 23.3 ms. '
        'Set sync.slop to 0.020, a little more than half a period of the faster camera'
    )
    assert 'Thermal frames come in with stamps 1.000 s older' in str(
        Cameras(clock=-SECOND).report()
    )
    assert 'Thermal frames come in with stamps 1.000 s newer' in str(
        Cameras(clock=SECOND).report()
    )


def test_hold_thermal_is_named_with_both_rates():
    advice = Cameras('exact', rates=(30, 9), phase=MS, jitter=0).report().advice
    assert 'hold_thermal, for thermal frames come at 9.0 Hz and visible ones at 30.0 Hz' in advice


def test_a_clock_that_is_off_by_more_than_the_parameter_may_be():
    report = Cameras(clock=-48 * HOUR).report()
    assert report.changes == ()
    assert 'set the clock' in report.advice


def test_the_queue_shows_less_than_the_clocks_differ_by():
    """Which is why the value comes from the lags."""
    cameras = Cameras(clock=-SECOND)
    assert cameras.report().median < 750
    assert cameras.report().changes[0] == ('sync.thermal_offset', '1.000')


@pytest.mark.parametrize('clock', [-300 * MS, 300 * MS, 0])
def test_the_clock_difference_shows_where_wrong_frames_pair(clock):
    """Within the queue's span every frame finds a partner, of another moment."""
    cameras = Cameras(clock=clock)
    assert len(cameras.bench.pairs) > 100
    assert clock_difference(*cameras.watches.values()) == pytest.approx(-clock, abs=2 * MS)


@dataclass
class Rhythm:
    interval: int | None
    lag: int | None


UNKNOWN = Rhythm(None, None)


def pair_report(skew, visible=UNKNOWN, thermal=UNKNOWN, limit=20 * MS, offset=0):
    skews = () if skew is None else (skew,)
    return skew_report(SkewCase(skews, visible, thermal, 'pair', limit, offset))


def test_without_frames_there_is_nothing_to_say():
    assert pair_report(None) is None
    assert clock_difference(UNKNOWN, UNKNOWN) is None


def test_one_frame_of_each_is_enough_for_an_advice():
    report = pair_report(30 * MS)
    assert (report.least, report.median, report.p90, report.most) == (30.0, 30.0, 30.0, 30.0)
    assert report.changes == (('sync.thermal_offset', '0.030'),)
    assert pair_report(30 * MS, limit=40 * MS).changes == (('sync.slop', '0.030'),)


def test_frames_that_meet_are_a_matter_of_the_slop_however_late_one_camera_is():
    cameras = Cameras(slop=MS, phase=8 * MS, delays=(0, 300 * MS), queue_size=30)
    assert cameras.bench.pairs == []
    assert [name for name, _ in cameras.report().changes] == ['sync.slop']


def test_one_lucky_skew_hides_no_clock_that_is_off():
    """Frames of a queue's first moments may have met by chance."""
    known = Rhythm(33 * MS, 0), Rhythm(33 * MS, SECOND)
    report = skew_report(SkewCase([0, *[700 * MS] * 40], *known, 'pair', 20 * MS))
    assert report.changes[0] == ('sync.thermal_offset', '1.000')


def test_the_slop_is_of_the_faster_camera():
    visible, thermal = Rhythm(10 * MS, 0), Rhythm(100 * MS, 0)
    for cameras in ((visible, thermal), (thermal, visible)):
        assert pair_report(4 * MS, *cameras, limit=MS).changes[0] == ('sync.slop', '0.006')


def test_far_skews_of_clocks_that_agree_are_a_matter_of_the_slop():
    """The queue is too short for its cameras' bursts, say: no offset would mend that."""
    at_once = Rhythm(33 * MS, 5 * MS)
    assert pair_report(90 * MS, at_once, at_once).changes == (('sync.slop', '0.090'),)


def test_no_value_is_named_that_the_parameters_do_not_allow():
    most = {name: spec.bounds[1] for name, spec in specs().items() if spec.bounds}
    slop = pair_report(2 * SECOND, limit=3 * SECOND).changes
    assert [float(value) for _, value in slop] == [most['sync.slop']]
    behind = Rhythm(33 * MS, 10 * SECOND)
    for interval, fits in ((11 * MS, True), (9 * MS, False)):
        names = [n for n, _ in pair_report(9 * SECOND, Rhythm(interval, 0), behind).changes]
        assert ('sync.queue_size' in names) == fits
        assert (10 * SECOND / interval < most['sync.queue_size']) == fits
    limit = round(most['sync.thermal_offset'] * SECOND)
    for offset, fits in ((limit - 11 * SECOND, True), (limit - 9 * SECOND, False)):
        changes = pair_report(9 * SECOND, Rhythm(33 * MS, 0), behind, offset=offset).changes
        assert bool(changes) == fits
