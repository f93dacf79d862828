"""Bags that start again, clocks that are set, cameras that come and go: pairs must come back."""

import numpy as np
import pytest
from pairing_bench import MS, SECOND, START, Bench, HoldingBench, T, V, in_order, stream

from paif_ros.monitoring.accounting import DropReason


@pytest.mark.parametrize('learn', [True, False])
@pytest.mark.parametrize('tails', [(0, 0), (0, 2), (2, 0), (0.05, 0), (0, 0.05), (0, 8), (8, 0)])
@pytest.mark.parametrize('rates', [(30, 30), (30, 9), (60, 30)])
def test_three_laps_of_a_bag_give_equal_pairs(rates, tails, learn):
    """Each lap is ten seconds, of which either camera may miss the last ones."""
    rng = np.random.default_rng(3)
    streams = [stream(rng, rate, 10 * rate, MS, loss=0.05, phase=4 * MS) for rate in rates]
    for stamps, tail in zip(streams, tails, strict=True):
        while stamps[-1] > START + (10 - tail) * SECOND:
            stamps.pop()
    lap = in_order(*streams)
    bench = Bench(learn=learn)
    per_lap = []
    for _ in range(3):
        before = len(bench.pairs)
        bench.run(lap).check()
        per_lap.append(bench.stamps()[before:])
    assert per_lap[0] == per_lap[1] == per_lap[2]
    assert per_lap[0]
    assert bench.pairer.jumps == 2


def test_each_lap_learns_anew():
    """What was learned at the end of a lap would take the first frame for the nearest one."""
    visible = [START, START + 14 * MS, *(START + i * 33 * MS for i in range(1, 60))]
    lap = in_order(visible, [START + 12 * MS, *(stamp + 2 * MS for stamp in visible[2:])])
    bench = Bench().run(lap)
    first = bench.stamps()
    assert first[0] == (START + 14 * MS, START + 12 * MS)
    bench.run(lap).check()
    assert bench.stamps() == first * 2


def test_new_lap_keeps_the_frames_of_who_jumped_first():
    lap = [(V, START + i * 33 * MS) for i in range(60)]
    partners = [(T, stamp + MS) for _, stamp in lap]
    bench = Bench(queue_size=100).run(lap + partners + lap)
    assert bench.reasons(V) == {}
    before = len(bench.pairs)
    bench.push(*partners[0])
    bench.push(V, START + 60 * 33 * MS)  # two seconds ahead of the other camera, of the same lap
    bench.run(partners[1:])
    assert len(bench.check().pairs) - before == 60
    assert bench.reasons(V) == {}
    assert bench.pairer.jumps == 1


def test_a_late_camera_joins_the_time_that_is():
    bench = Bench(queue_size=100).run([(V, START + 9 * SECOND), (V, START), (V, START + SECOND)])
    bench.run([(T, START + 4 * SECOND), (T, START + 5 * SECOND)])
    assert bench.reasons(T) == {}
    assert bench.check().pending()[T] == 2


def test_order_is_kept_in_a_time_that_was_adopted():
    bench = Bench().run([(V, START + 9 * SECOND), (T, START + 8 * SECOND), (V, START)])
    assert bench.pairer.jumps == 1
    bench.run([(V, START + 8 * SECOND), (T, START + 8 * SECOND + 50 * MS)])
    bench.run([(T, START + 8 * SECOND + 40 * MS)])
    assert bench.check().reasons(T)[DropReason.OUT_OF_ORDER] == 1


def test_a_jump_is_seen_from_the_stragglers_on():
    """The thermal camera goes on in the old lap, then comes back to where it was last in step."""
    bench = Bench(queue_size=1000)
    bench.run([(V, START), (T, START), (V, START + 60 * SECOND)])
    bench.run((V, START + i * 33 * MS) for i in range(90))
    bench.run((T, START + 57 * SECOND + i * 33 * MS) for i in range(90))
    before = len(bench.pairs)
    bench.run((T, START + i * 33 * MS) for i in range(90))
    assert len(bench.check().pairs) - before == 90
    assert bench.reasons(T) == {DropReason.TIME_JUMP: 90}


def test_stragglers_of_the_old_lap_are_dropped():
    bench = Bench().run([(V, START + 9 * SECOND), (T, START + 9 * SECOND)])
    bench.run([(V, START), (T, START + 9 * SECOND + 33 * MS), (T, START + MS)])
    bench.push(V, START + 33 * MS)
    assert bench.reasons(T) == {DropReason.TIME_JUMP: 1}
    assert bench.check().stamps()[1:] == [(START, START + MS)]


def test_a_camera_alone_set_back_and_right_again():
    """The thermal clock starts at 1970, is set right, and pairs come back without a jump of V."""
    clean = [START + i * 33 * MS for i in range(200)]
    bench = Bench().run(in_order(clean[:50], clean[:50]))
    assert len(bench.pairs) == 50
    for i, stamp in enumerate(clean[50:100]):
        bench.run([(V, stamp), (T, 5 * SECOND + i * 33 * MS)])
    assert len(bench.check().pairs) == 50
    bench.run(in_order(clean[100:], clean[100:])).check()
    assert len(bench.pairs) >= 149


def test_a_clock_set_back_by_little_more_than_the_jump():
    """One stream sees a step beyond the limit and the other, for its gap, one below it."""
    rate = 33 * MS
    bench = Bench().run((s, START + i * rate) for i in range(100) for s in (V, T))
    back = START + 100 * rate - SECOND - 40 * MS
    for i in range(100):
        bench.push(V, back + i * rate)
        bench.push(T, back + 7 * MS + i * rate)
    assert len(bench.check().pairs) >= 198


def test_a_jump_forward_of_both_costs_one_frame_at_most():
    later = [START + 3600 * SECOND + i * 33 * MS for i in range(50)]
    bench = Bench().run([(V, START), (T, START + MS), (V, START + 33 * MS)])
    bench.run(in_order(later, later)).check()
    assert len(bench.pairs) == 51


def test_a_frame_of_the_far_future_blocks_nobody():
    clean = [START + i * 33 * MS for i in range(100)]
    bench = Bench().run(in_order(clean[:10], clean[:10]))
    bench.push(V, START * 2)
    bench.run(in_order(clean[10:], clean[10:])).check()
    assert len(bench.pairs) >= 98


@pytest.mark.parametrize('back', [1050 * MS, 1950 * MS])
@pytest.mark.parametrize('kind', [Bench, HoldingBench])
@pytest.mark.parametrize('live', [False, True])
def test_a_camera_set_back_alone_by_less_than_the_slop_shuts_nobody_out(back, kind, live):
    clean = [START + i * 33 * MS for i in range(60)]
    bench = kind(20 * MS if live else 2 * SECOND).run(in_order(clean[:30], clean[:30]))
    if live:
        name = 'slop' if kind is Bench else 'max_age'
        setattr(bench.pairer, name, 2 * SECOND)
        bench.slop = 2 * SECOND
    waiting = bench.pending()[T]
    bench.run(event for stamp in clean[30:] for event in ((V, stamp - back), (T, stamp)))
    assert bench.pairer.jumps == 1
    assert bench.check().reasons(T)[DropReason.TIME_JUMP] == waiting


@pytest.mark.parametrize('wrong', [1, 2**62])
def test_one_wrong_stamp_of_a_lagging_camera_shuts_nobody_out(wrong):
    """The thermal frames come two seconds late, more than the limit of a jump."""
    clean = [START + i * 33 * MS for i in range(400)]
    lag = 60
    events = []
    for i in range(lag, 400):
        events += [(V, clean[i]), (T, clean[i - lag])]
        if i == 200:
            events.append((T, wrong))
    bench = Bench(queue_size=100).run((V, stamp) for stamp in clean[:lag]).run(events).check()
    # The jump costs what waited then, two seconds, and no more.
    assert len(bench.pairs) >= 340 - lag - 5
    assert bench.pairs[-1].thermal.stamp == clean[399 - lag]


def test_a_camera_that_restarts_pairs_again():
    clean = [START + i * 33 * MS for i in range(300)]
    gone = [*clean[:100], *clean[200:]]
    bench = Bench().run(in_order(clean, gone)).check()
    assert len(bench.pairs) == 200
    assert sum(bench.reasons(V).values()) == 100


@pytest.mark.parametrize('frames', [4, 5, 10, 29])
@pytest.mark.parametrize('visible_first', [True, False])
def test_a_bag_shorter_than_the_jump(frames, visible_first):
    """Its start lies less than a second back: a few frames tell, and the lap pairs again."""
    lap = []
    for i in range(frames):
        stamp = START + i * 33 * MS
        lap += [(V, stamp), (T, stamp + MS)][:: 1 if visible_first else -1]
    bench = Bench()
    per_lap = []
    for _ in range(4):
        before = len(bench.pairs)
        bench.run(lap).check()
        per_lap.append(len(bench.pairs) - before)
    assert min(per_lap) >= frames - 3, per_lap
    assert bench.pairer.jumps == 3


def test_frames_that_swapped_places_are_no_jump():
    clean = [START + i * 33 * MS for i in range(60)]
    mixed = list(clean)
    for i in range(3, 57, 6):
        mixed[i : i + 3] = [mixed[i + 2], mixed[i], mixed[i + 1]]
    bench = Bench().run(
        event for v, t in zip(mixed, clean, strict=True) for event in ((V, v), (T, t))
    )
    assert bench.check().pairer.jumps == 0
    assert set(bench.reasons(V)) == {DropReason.OUT_OF_ORDER}
