"""The pairing of every visible frame with a slower camera's last thermal frame."""

import numpy as np
import pytest
from pairing_bench import MS, SECOND, START, HoldingBench, T, V, draw_streams, in_order, litter

from paif_ros.errors import ParameterError
from paif_ros.monitoring.accounting import DropReason

PERIOD_30, PERIOD_9 = 33 * MS, 111 * MS


def bench(max_age=250 * MS, queue_size=10):
    return HoldingBench(max_age, queue_size)


def cameras(seconds=10, thermal_hz=9, lag=0):
    """Events of a 30 Hz RGB and a thermal camera, the visible frames coming in `lag` ns late."""
    visible = [START + i * PERIOD_30 for i in range(seconds * 30)]
    thermal = [START - MS + i * SECOND // thermal_hz for i in range(seconds * thermal_hz)]
    events = in_order(visible, thermal)
    return sorted(events, key=lambda e: e[1] + (lag if e[0] is V else 0))


def test_each_visible_frame_is_paired_at_once_with_the_last_thermal_frame():
    rig = bench()
    rig.push(T, START)
    thermal = START
    for i in range(1, 300):
        if i % 3 == 0:
            thermal = START + i * PERIOD_30 - 2 * MS
            assert rig.push(T, thermal) == []
        (pair,) = rig.push(V, START + i * PERIOD_30)
        assert pair.thermal.stamp == thermal
        assert pair.reused == (i % 3 != 0 and i > 1)
    assert rig.check().drops == []
    assert rig.pending() == {V: 0, T: 0}
    assert rig.counts.counts().reused == 298 - 99


def test_a_thermal_frame_is_reused_up_to_the_limit_and_no_further():
    rig = bench(max_age=100 * MS).run([(T, START)])
    rig.run((V, START + age * MS) for age in (33, 66, 100, 101, 133))
    assert [pair.skew // MS for pair in rig.check().pairs] == [33, 66, 100]
    assert [pair.reused for pair in rig.pairs] == [False, True, True]
    assert rig.reasons(V) == {DropReason.NO_PARTNER: 2}
    assert rig.pairer.last_skews == tuple(age * MS for age in (33, 66, 100, 101, 133))


def test_the_limit_may_change_at_any_time():
    rig = bench(max_age=50 * MS).run([(T, START), (V, START + 66 * MS)])
    assert rig.pairs == []
    rig.pairer.max_age = rig.slop = 100 * MS
    assert len(rig.push(V, START + 99 * MS)) == 1
    with pytest.raises(ParameterError, match='max_age'):
        rig.pairer.max_age = -1
    assert rig.check().pairer.max_age == 100 * MS


@pytest.mark.parametrize('lag', [0, 60 * MS, 400 * MS, 900 * MS])
def test_visible_frames_that_come_late_get_the_thermal_frame_of_their_moment(lag):
    """An RGB camera on a network is behind: the newest thermal frame would be of the future."""
    rig = bench().run(cameras(lag=lag)).check()
    assert len(rig.pairs) == 300
    assert max(abs(pair.skew) for pair in rig.pairs) <= PERIOD_9
    if lag > PERIOD_9:
        assert max(abs(pair.skew) for pair in rig.pairs) <= PERIOD_9 // 2 + MS


def test_of_two_equally_near_the_newer_is_taken():
    rig = bench().run([(T, START), (T, START + 100 * MS), (V, START + 50 * MS)])
    assert rig.check().stamps() == [(START + 50 * MS, START + 100 * MS)]
    assert rig.reasons(T) == {DropReason.NO_PARTNER: 1}


def test_a_faster_thermal_camera_gives_its_nearest_frames():
    rig = bench().run(cameras(thermal_hz=60)).check()
    assert len(rig.pairs) == 300
    assert not any(pair.reused for pair in rig.pairs)
    assert set(rig.reasons(T)) == {DropReason.NO_PARTNER}


def test_thermal_frames_alone_are_kept_up_to_the_queue_size():
    rig = bench(queue_size=3).run((T, START + i * PERIOD_9) for i in range(10))
    assert rig.check().pending() == {V: 0, T: 3}
    assert rig.reasons(T) == {DropReason.OVERFLOW: 7}


def test_a_used_frame_that_leaves_is_not_dropped_again():
    rig = bench(queue_size=1).run([(T, START), (V, START + MS), (T, START + PERIOD_9)])
    assert rig.check().drops == []
    assert rig.pending() == {V: 0, T: 1}


def test_visible_frames_before_any_thermal_frame_are_dropped_at_once():
    rig = bench().run((V, START + i * PERIOD_30) for i in range(5))
    assert rig.check().reasons(V) == {DropReason.NO_PARTNER: 5}
    assert rig.pairer.last_skews == ()


def test_bad_stamps_duplicates_and_late_frames():
    rig = bench().run([(T, 0), (T, START), (T, START), (T, START - MS), (V, -1)])
    rig.run([(V, START + 9 * MS), (V, START + 9 * MS), (V, START + 8 * MS)])
    assert len(rig.check().pairs) == 1
    for source in (V, T):
        assert rig.reasons(source) == {
            DropReason.BAD_STAMP: 1, DropReason.DUPLICATE: 1, DropReason.OUT_OF_ORDER: 1,
        }  # fmt: skip


def test_three_laps_of_a_bag_give_equal_pairs():
    lap = cameras()
    rig, per_lap = bench(), []
    for _ in range(3):
        before = len(rig.pairs)
        rig.run(lap).check()
        per_lap.append(rig.stamps()[before:])
    assert per_lap[0] == per_lap[1] == per_lap[2]
    assert rig.pairer.jumps == 2


def test_no_thermal_frame_of_the_old_lap_meets_a_visible_frame_of_the_new_one():
    """Both laps are within max_age, so that only the epochs can keep them apart."""
    rig = bench(max_age=60 * SECOND).run([(T, START + 9 * SECOND), (V, START + 9 * SECOND)])
    rig.run([(T, START + 9 * SECOND + PERIOD_9), (V, START)])
    assert rig.check().reasons(T) == {DropReason.TIME_JUMP: 1}
    assert rig.reasons(V) == {DropReason.NO_PARTNER: 1}
    assert [pair.reused for pair in rig.run([(T, START + MS), (V, START + 2 * MS)]).pairs] == [
        False,
        False,
    ]


def test_a_jump_forward_of_both_costs_the_frames_between_only():
    later = [(source, stamp + 3600 * SECOND) for source, stamp in cameras(1)]
    rig = bench().run(cameras(1)).run(later).check()
    assert len(rig.pairs) == 60
    assert rig.pairer.jumps == 0


def test_a_frame_of_the_far_future_blocks_nobody():
    rig = bench().run(cameras(1))
    rig.push(T, 2 * START)
    rig.run((source, stamp + SECOND) for source, stamp in cameras(1)).check()
    assert len(rig.pairs) >= 59


def test_flush_drops_what_was_not_used_and_starts_afresh():
    rig = bench().run([(T, START), (V, START + MS), (T, START + PERIOD_9)])
    rig.pairer.flush(DropReason.INACTIVE)
    assert rig.check().reasons(T) == {DropReason.INACTIVE: 1}
    rig.run([(V, START - SECOND), (T, START - 2 * SECOND)])
    assert rig.check().pairer.jumps == 0
    assert len(rig.pairs) == 1


def test_frames_that_go_alone():
    rig = bench().run([(T, START), (V, START + MS)])
    assert rig.push_alone(V, START + 33 * MS)
    assert not rig.push_alone(V, START + 33 * MS)
    rig.push(T, START + PERIOD_9)
    assert rig.push_alone(T, START + 2 * PERIOD_9)
    assert rig.check().reasons(T) == {DropReason.NO_PARTNER: 1}
    # The one that went alone is not held: it had its result.
    assert rig.push(V, START + 2 * PERIOD_9 + MS) == []
    assert rig.check().pending() == {V: 0, T: 0}


def test_garbage_is_accounted_for_and_a_clean_stretch_pairs_again():
    for seed in range(100):
        rng = np.random.default_rng(seed)
        rig = bench(queue_size=int(rng.choice([1, 2, 10])))
        rig.run(litter(rng, in_order(*draw_streams(rng)))).check()
        resume = START + int(rng.choice([-100, 100])) * SECOND
        before = len(rig.pairs)
        rig.run((source, stamp - START + resume) for source, stamp in cameras(4)).check()
        assert len(rig.pairs) - before >= 80, seed


@pytest.mark.parametrize(('name', 'value'), [('max_age', -1), ('queue_size', 0)])
def test_options_are_checked(name, value):
    with pytest.raises(ParameterError) as caught:
        bench(**{name: value})
    assert caught.value.name == name
