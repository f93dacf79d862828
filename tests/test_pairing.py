"""The pairer on streams in order, and what it must keep on any input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pairing_bench import MS, SECOND, START, Bench, T, V, draw_streams, in_order, litter, stream
from pairing_reference import pair_all

from paif_ros.errors import ParameterError
from paif_ros.monitoring.accounting import DropReason
from paif_ros.sync.pairing import Frame, Pair, Pairer


def any_interleaving(rng, visible, thermal):
    """Merge two streams at random, each in its own order: any delay between them."""
    sides = np.array([True] * len(visible) + [False] * len(thermal))
    style = rng.integers(3)
    if style == 0:
        rng.shuffle(sides)
    elif style == 1:
        sides = sides[::-1]
    queues = {True: iter(visible), False: iter(thermal)}
    return [(V if side else T, next(queues[side])) for side in sides.tolist()]


@pytest.mark.parametrize('block', range(6))
def test_equals_the_reference_whatever_the_interleaving(block):
    for seed in range(block * 50, block * 50 + 50):
        rng = np.random.default_rng(seed)
        visible, thermal = draw_streams(rng)
        slop = int(rng.choice([0, 2, 17, 60, 500])) * MS
        expected, undecided = pair_all(visible, thermal, slop)
        for events in (any_interleaving(rng, visible, thermal), in_order(visible, thermal)):
            bench = Bench(slop, 10_000, learn=False).run(events).check()
            assert bench.stamps() == expected
            assert tuple(bench.pending().values()) == undecided
            assert set(bench.reasons(V)) | set(bench.reasons(T)) <= {DropReason.NO_PARTNER}


small = st.lists(st.integers(1, 40), max_size=25)


@settings(max_examples=300, deadline=None)
@given(small, small, st.integers(0, 20), st.randoms(use_true_random=False))
def test_small_streams_equal_the_reference(visible_steps, thermal_steps, slop, random):
    """Tiny integers hit the ties that real stamps never do."""
    visible, thermal = (np.cumsum(steps).tolist() for steps in (visible_steps, thermal_steps))
    sides = [V] * len(visible) + [T] * len(thermal)
    random.shuffle(sides)
    queues = {V: iter(visible), T: iter(thermal)}
    bench = Bench(slop, 100, learn=False).run((side, next(queues[side])) for side in sides)
    assert bench.check().stamps() == pair_all(visible, thermal, slop)[0]


def test_ties_equal_the_reference():
    for seed in range(1000):
        rng = np.random.default_rng(seed)
        visible, thermal = (np.cumsum(rng.integers(1, 9, 30)).tolist() for _ in range(2))
        slop = int(rng.integers(10))
        bench = Bench(slop, 100, learn=False).run(any_interleaving(rng, visible, thermal))
        assert bench.check().stamps() == pair_all(visible, thermal, slop)[0]


@pytest.mark.parametrize(('successor', 'partner'), [(110, 10), (95, 10), (94, 94)])
def test_the_older_is_taken_unless_the_next_is_nearer_by_a_quarter_of_the_slop(successor, partner):
    bench = Bench(60 * MS).run([(V, 10 * MS), (T, 60 * MS), (V, successor * MS), (T, 160 * MS)])
    assert bench.stamps() == [(partner * MS, 60 * MS)]


@pytest.mark.parametrize(('successor', 'partner'), [(9, 1), (8, 8)])
def test_frames_that_follow_closely_have_a_margin_of_a_quarter_of_their_step(successor, partner):
    bench = Bench(SECOND).run([(V, 1 * MS), (T, 6 * MS), (V, successor * MS), (T, 20 * MS)])
    assert bench.stamps() == [(partner * MS, 6 * MS)]


@pytest.mark.parametrize('jitter', [0.3, 0.5, 1.0])
def test_free_running_cameras_half_a_period_apart_keep_their_frames(jitter):
    """Without the margin they lose 23 % of them at any jitter."""
    rng = np.random.default_rng(5)
    streams = [stream(rng, 30, 3000, jitter * MS, phase=phase) for phase in (0, 16_666_667)]
    bench = Bench().run(in_order(*streams)).check()
    assert len(bench.pairs) >= (2990 if jitter < 1 else 2950)


@pytest.mark.parametrize('learn', [True, False])
def test_any_garbage_is_accounted_for_and_a_clean_stretch_pairs_again(learn):
    for seed in range(150):
        rng = np.random.default_rng(seed)
        visible, thermal = draw_streams(rng)
        garbage = litter(rng, any_interleaving(rng, visible, thermal))
        size = int(rng.choice([1, 2, 10, 100]))
        bench = Bench(20 * MS, size, learn=learn).run(garbage).check()
        # Two clean cameras from now on, either later or earlier than what the garbage reached.
        resume = START + int(rng.choice([-100, 100])) * SECOND
        clean = [resume + i * 33 * MS for i in range(120)]
        before = len(bench.pairs)
        bench.run(in_order(clean, [stamp + 5 * MS for stamp in clean])).check()
        assert len(bench.pairs) - before >= 80, seed


@pytest.mark.parametrize('rates', [(30, 9), (9, 30), (60, 30), (30, 30)])
@pytest.mark.parametrize('learn', [True, False])
def test_bounded_queues_lose_nothing_at_camera_delays(rates, learn):
    rng = np.random.default_rng(7)
    visible, thermal = (stream(rng, rate, 10 * rate, MS) for rate in rates)
    lag = 60 * MS  # the thermal frames come in later than their stamps say
    events = sorted(in_order(visible, thermal), key=lambda e: e[1] + (lag if e[0] is T else 0))
    bench = Bench(20 * MS, 20, learn=learn).run(events).check()
    overlap = min(visible[-1], thermal[-1]) - START
    assert len(bench.pairs) >= overlap * min(rates) // SECOND * 0.97
    assert DropReason.OVERFLOW not in bench.reasons(T)


def test_learning_saves_the_wait_and_changes_no_pair():
    visible = [START + i * 33 * MS for i in range(100)]
    events = in_order(visible, [stamp + 8 * MS for stamp in visible])
    patient, quick = Bench(learn=False).run(events), Bench().run(events)
    assert quick.stamps()[:99] == patient.stamps()[:99]
    # Once the interval is known each thermal frame makes its pair, not the visible one after it.
    bench = Bench()
    made = [len(bench.push(*event)) for event in events]
    assert made[10:] == [0, 1] * 95
    assert not any(bench.pending().values())


def test_learning_still_waits_where_a_nearer_frame_may_come():
    thermal = START + 9 * 33 * MS + 16 * MS
    for later, skew in ((17, -16), (15, -16), (10, 10)):
        bench = Bench().run((V, START + i * 33 * MS) for i in range(10))
        assert bench.push(T, thermal) == []
        bench.run([(V, thermal + later * MS), (T, thermal + 33 * MS)])
        assert bench.pairs[0].skew == skew * MS


def test_a_single_interval_teaches_nothing():
    """The gap may be a lost frame: a nearer one than this may still come."""
    bench = Bench().run([(V, SECOND), (V, SECOND + 330 * MS)])
    assert bench.push(T, SECOND + 345 * MS) == []
    (pair,) = bench.push(V, SECOND + 363 * MS)
    assert pair.skew == -15 * MS


def test_equal_stamps_pair_at_once():
    bench = Bench(slop=0)
    for i in range(1, 5):
        assert bench.push(V, i * SECOND) == []
        (pair,) = bench.push(T, i * SECOND)
        assert pair.skew == 0
    assert bench.check().drops == []


def test_pair_knows_skew_and_receipt():
    pair = Pair(Frame(V, 100, 7, 'v'), Frame(T, 130, 5, 't'))
    assert (pair.skew, pair.received) == (-30, 7)


def test_bad_stamps_duplicates_and_late_frames():
    bench = Bench()
    bench.run([(V, 0), (V, -5), (V, SECOND), (V, SECOND), (V, SECOND - MS), (V, SECOND + 1)])
    assert bench.check().reasons(V) == {
        DropReason.BAD_STAMP: 2, DropReason.DUPLICATE: 1, DropReason.OUT_OF_ORDER: 1,
    }  # fmt: skip
    assert bench.pending() == {V: 2, T: 0}


def test_full_queue_drops_its_oldest():
    bench = Bench(queue_size=3).run((V, i * SECOND) for i in range(1, 6))
    assert [frame.stamp // SECOND for frame, _ in bench.drops] == [1, 2]
    assert bench.check().reasons(V) == {DropReason.OVERFLOW: 2}


def test_what_an_overflow_decides_is_decided_at_once():
    bench = Bench(15 * MS, queue_size=1, learn=False)
    bench.run([(V, 1 * MS), (T, 11 * MS)])
    assert bench.pending() == {V: 1, T: 1}
    bench.push(T, 21 * MS)
    assert bench.check().reasons(T) == {DropReason.OVERFLOW: 1}
    assert bench.reasons(V) == {DropReason.NO_PARTNER: 1}


def test_flush_drops_all_and_starts_afresh():
    bench = Bench().run([(V, 9 * SECOND), (V, 10 * SECOND)])
    bench.pairer.flush(DropReason.SHUTDOWN)
    assert bench.check().reasons(V) == {DropReason.SHUTDOWN: 2}
    assert bench.pending() == {V: 0, T: 0}
    bench.run([(V, 1 * SECOND), (T, 1 * SECOND)])
    assert bench.check().stamps() == [(SECOND, SECOND)]
    assert bench.pairer.jumps == 0


def test_last_skews_show_the_slop_that_is_needed():
    visible = [START + i * 100 * MS for i in range(20)]
    bench = Bench(slop=10 * MS).run(in_order(visible, [stamp + 30 * MS for stamp in visible]))
    assert bench.pairs == []
    assert min(abs(skew) for skew in bench.pairer.last_skews) == 30 * MS
    assert len(bench.pairer.last_skews) <= 64


@pytest.mark.parametrize('reenter', [True, False])
def test_a_failing_callback_loses_no_pair(reenter, caplog):
    def broken(frame, reason):
        if reenter:
            pairer.push(Frame(V, 0, 0, None)) if reason is not DropReason.BAD_STAMP else None
        raise RuntimeError(reason)

    pairer = Pairer(20 * MS, 10, broken)
    clean = [START + i * 33 * MS for i in range(50)]
    events = [event for stamp in clean for event in ((V, stamp), (V, stamp), (T, stamp))]
    made = sum(len(pairer.push(Frame(source, stamp, 0, None))) for source, stamp in events)
    assert made == 50
    assert 'on_drop failed for a duplicate frame' in caplog.text


def test_the_slop_may_change_at_any_time():
    bench = Bench(slop=1 * MS).run([(V, START), (T, START + 8 * MS), (V, START + 33 * MS)])
    assert bench.pairs == []
    bench.pairer.slop = bench.slop = 20 * MS
    bench.run([(T, START + 41 * MS), (V, START + 66 * MS)])
    assert bench.check().stamps() == [(START + 33 * MS, START + 41 * MS)]
    with pytest.raises(ParameterError, match='slop'):
        bench.pairer.slop = -1
    assert bench.pairer.slop == 20 * MS


def test_a_frame_that_goes_alone_takes_the_place_of_those_that_wait():
    bench = Bench().run([(V, START), (V, START + 33 * MS), (T, START - 100 * MS)])
    assert bench.push_alone(V, START + 66 * MS)
    assert bench.reasons(V) == {DropReason.NO_PARTNER: 2}
    assert not bench.push_alone(V, START + 66 * MS)
    assert not bench.push_alone(V, START + 50 * MS)
    assert not bench.push_alone(V, 0)
    bench.run((s, START + at * MS) for s, at in ((T, 70), (V, 99), (T, 100), (V, 132)))
    # The thermal frame of 70 ms belonged to the one that is gone.
    assert bench.stamps() == [(START + 99 * MS, START + 100 * MS)]
    assert bench.push_alone(V, START - 9 * SECOND)
    assert bench.pairer.jumps == 1
    bench.check()


@pytest.mark.parametrize(('name', 'value'), [('slop', -1), ('queue_size', 0), ('jump', 0)])
def test_options_are_checked(name, value):
    with pytest.raises(ParameterError) as caught:
        Bench(**{name: value})
    assert caught.value.name == name
