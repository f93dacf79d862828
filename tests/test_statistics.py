"""Counts that add up exactly, and percentiles."""

from __future__ import annotations

import math
import threading

import pytest

from paif_ros.monitoring.accounting import DropReason, JobKind, Source
from paif_ros.monitoring.statistics import (
    PAIR_REASONS,
    Extremes,
    StageTimes,
    Statistics,
    extremes,
    percentiles,
)

MS = 10**6
V, T = Source


def times(total: int) -> StageTimes:
    return StageTimes(1, 2, 3, 4, 5, 6, 7, 8, total)


def assert_adds_up(statistics: Statistics, waiting: dict[Source, int] | None = None) -> None:
    now = statistics.snapshot()
    ended = sum(now.results.values()) + sum(now.lost.values())
    assert sum(now.made.values()) == ended + sum(now.pending.values())
    under_way = {source: now.pending_frames[source] for source in Source}
    for source, count in (waiting or {}).items():
        under_way[source] += count
    assert now.frames.balanced(under_way)


def make(statistics: Statistics, kind: JobKind):
    """Receive what a job of this kind uses up, and make it."""
    for source in kind.consumes:
        statistics.frame_received(source)
    if kind.is_pair:
        return statistics.pair_made(-3 * MS, reused=kind is JobKind.REUSED)
    return statistics.single_made(*kind.consumes)


def test_percentiles_are_by_nearest_rank() -> None:
    assert percentiles([n * MS for n in range(1, 101)]) == percentiles(
        [n * MS for n in range(100, 0, -1)]
    )
    spread = percentiles([n * MS for n in range(1, 101)])
    assert (spread.p50, spread.p99) == (50.0, 99.0)
    assert percentiles([7 * MS]).p50 == percentiles([7 * MS]).p99 == 7.0
    assert math.isnan(percentiles([]).p50)


def test_extremes() -> None:
    assert extremes([3 * MS, -2 * MS, MS]) == Extremes(-2.0, 3.0)
    assert math.isnan(extremes([]).least)
    assert math.isnan(extremes([]).most)


def test_what_the_stages_leave_unexplained() -> None:
    assert times(36 + 10).unexplained == 10
    assert times(36).unexplained == 0


def test_the_window_forgets_and_the_counts_do_not() -> None:
    statistics = Statistics(window=10)
    for n in range(100):
        statistics.job_done(make(statistics, JobKind.PAIR), times(n * MS))
    snapshot = statistics.snapshot()
    assert snapshot.pairs == snapshot.fused == snapshot.frames.paired[V] == 100
    assert snapshot.latency['total'].p50 == 94.0
    assert snapshot.skew.p50 == 3.0


@pytest.mark.parametrize('kind', JobKind)
def test_every_ending_is_counted_on_both_levels(kind: JobKind) -> None:
    statistics = Statistics()
    for reason in PAIR_REASONS:
        statistics.job_lost(make(statistics, kind), reason)
    statistics.job_done(make(statistics, kind), times(1))
    make(statistics, kind)
    snapshot = statistics.snapshot()
    assert snapshot.made[kind] == len(PAIR_REASONS) + 2
    assert snapshot.results[kind] == snapshot.pending[kind] == 1
    assert snapshot.lost == dict.fromkeys(PAIR_REASONS, 1)
    for source in Source:
        mine = int(source in kind.consumes)
        assert snapshot.pending_frames[source] == mine
        assert (snapshot.frames.paired[source] + snapshot.frames.single[source]) == mine
        assert snapshot.frames.dropped[source] == (dict.fromkeys(PAIR_REASONS, 1) if mine else {})
    assert_adds_up(statistics)


def test_pairs_are_told_from_results_of_one_camera() -> None:
    statistics = Statistics()
    for kind in JobKind:
        statistics.job_done(make(statistics, kind), times(1))
    snapshot = statistics.snapshot()
    assert (snapshot.pairs, snapshot.fused, sum(snapshot.results.values())) == (2, 2, 4)
    assert snapshot.frames.paired == {V: 2, T: 1}
    assert snapshot.frames.single == {V: 1, T: 1}
    assert snapshot.frames.reused == 1
    assert_adds_up(statistics)


def test_a_job_ends_once() -> None:
    statistics = Statistics()
    lost, done = make(statistics, JobKind.PAIR), make(statistics, JobKind.PAIR)
    statistics.job_lost(lost, DropReason.STALE)
    statistics.job_done(lost, times(1))
    statistics.job_done(done, times(1))
    statistics.job_lost(done, DropReason.ENGINE_ERROR)
    statistics.job_done(done, times(1))
    snapshot = statistics.snapshot()
    assert snapshot.fused == 1
    assert {reason for reason, count in snapshot.lost.items() if count} == {DropReason.STALE}
    assert_adds_up(statistics)


def test_a_reason_that_is_not_of_jobs_is_refused_and_changes_nothing() -> None:
    statistics = Statistics()
    ticket = make(statistics, JobKind.PAIR)
    with pytest.raises(ValueError, match='no_partner'):
        statistics.job_lost(ticket, DropReason.NO_PARTNER)
    with pytest.raises(ValueError, match='overflow'):
        statistics.abandon(DropReason.OVERFLOW)
    assert statistics.snapshot().pending[JobKind.PAIR] == 1
    assert_adds_up(statistics)


def test_abandoned_jobs_stay_lost_and_new_ones_count() -> None:
    """A worker that was stuck over a deactivation ends its old job after the next activation."""
    statistics = Statistics()
    statistics.job_done(make(statistics, JobKind.PAIR), times(1))
    stuck, waiting = make(statistics, JobKind.PAIR), make(statistics, JobKind.VISIBLE_ALONE)
    statistics.abandon(DropReason.INACTIVE)
    statistics.abandon(DropReason.SHUTDOWN)
    fresh = make(statistics, JobKind.PAIR)
    statistics.job_done(stuck, times(1))
    statistics.job_lost(waiting, DropReason.ENGINE_ERROR)
    snapshot = statistics.snapshot()
    assert (snapshot.pairs, snapshot.fused, snapshot.pending[JobKind.PAIR]) == (3, 1, 1)
    assert snapshot.lost[DropReason.INACTIVE] == 2
    assert sum(snapshot.lost.values()) == 2
    statistics.job_done(fresh, times(1))
    assert statistics.snapshot().fused == 2
    assert_adds_up(statistics)


def test_stamp_age_by_camera() -> None:
    statistics = Statistics(window=3)
    for age in (900 * MS, 5 * MS, None, -2 * MS, 7 * MS):
        statistics.frame_received(T, age)
    ages = statistics.snapshot().stamp_age
    assert ages[T] == Extremes(-2.0, 7.0)
    assert math.isnan(ages[V].least)
    assert_adds_up(statistics, {T: 5})


def test_threads_lose_no_count() -> None:
    statistics = Statistics()

    def work(reason: DropReason) -> None:
        for kind in list(JobKind) * 500:
            statistics.job_lost(make(statistics, kind), reason)

    threads = [threading.Thread(target=work, args=(reason,)) for reason in PAIR_REASONS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statistics.snapshot().lost == dict.fromkeys(PAIR_REASONS, 2000)
    assert_adds_up(statistics)
