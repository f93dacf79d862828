"""Bags that start again, clocks that are set, cameras that come and go: pairs must come back."""

import numpy as np
import pytest
from pairing_bench import MS, SECOND, START, Bench, T, V, in_order, stream

from paif_ros.pairing import DropReason


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


def test_new_lap_keeps_the_frames_of_who_jumped_first():
    lap = [(V, START + i * 33 * MS) for i in range(60)]
    partners = [(T, stamp + MS) for _, stamp in lap]
    bench = Bench(queue_size=100).run(lap + partners + lap)
    assert bench.reasons(V) == {}
    before = len(bench.pairs)
    bench.run(partners)
    assert len(bench.check().pairs) - before >= 59


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


def test_a_camera_that_restarts_pairs_again():
    clean = [START + i * 33 * MS for i in range(300)]
    gone = [*clean[:100], *clean[200:]]
    bench = Bench().run(in_order(clean, gone)).check()
    assert len(bench.pairs) == 200
    assert sum(bench.reasons(V).values()) == 100
