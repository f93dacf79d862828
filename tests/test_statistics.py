"""Counts that add up exactly, percentiles, and the keys of the diagnostics."""

from __future__ import annotations

import math
import threading

import pytest
import tiny_model

from paif_ros.accounting import DropReason, Source
from paif_ros.diagnostics import Moment, status
from paif_ros.engines import EngineInfo
from paif_ros.statistics import PAIR_REASONS, STAGES, StageTimes, Statistics, percentiles

MS = 10**6
ENGINE = EngineInfo('onnxruntime', 'CPUExecutionProvider', 'test', tiny_model.card((48, 64)))


def times(total: int) -> StageTimes:
    return StageTimes(1, 2, 3, 4, 5, 6, total)


def receive_pair(statistics: Statistics) -> None:
    for source in Source:
        statistics.frame_received(source)
    statistics.pair_made(-3 * MS)


def moment(statistics: Statistics, when: int, waiting: int = 0) -> Moment:
    return Moment(when, dict.fromkeys(Source, waiting), statistics.snapshot())


def values(statistics: Statistics, when: int = 10**9) -> dict[str, str]:
    return dict(status(moment(statistics, when), moment(Statistics(), 0), ENGINE).values)


def test_percentiles_are_by_nearest_rank() -> None:
    assert percentiles([n * MS for n in range(1, 101)]) == percentiles(
        [n * MS for n in range(100, 0, -1)]
    )
    spread = percentiles([n * MS for n in range(1, 101)])
    assert (spread.p50, spread.p99) == (50.0, 99.0)
    assert percentiles([7 * MS]).p50 == percentiles([7 * MS]).p99 == 7.0
    assert math.isnan(percentiles([]).p50)


def test_the_window_forgets_and_the_counts_do_not() -> None:
    statistics = Statistics(window=10)
    for n in range(100):
        receive_pair(statistics)
        statistics.pair_fused(times(n * MS))
    snapshot = statistics.snapshot()
    assert snapshot.pairs == snapshot.frames.paired == 100
    assert snapshot.latency['total'].p50 == 94.0
    assert snapshot.skew.p50 == 3.0


def test_every_ending_is_counted_on_both_levels() -> None:
    statistics = Statistics()
    for reason in PAIR_REASONS:
        receive_pair(statistics)
        statistics.pair_lost(reason)
    receive_pair(statistics)
    statistics.pair_fused(times(1))
    receive_pair(statistics)
    snapshot = statistics.snapshot()
    assert snapshot.pending == 1
    assert snapshot.lost == dict.fromkeys(PAIR_REASONS, 1)
    assert snapshot.frames.balanced(dict.fromkeys(Source, snapshot.pending))


def test_close_counts_what_is_pending_and_ignores_what_ends_later() -> None:
    statistics = Statistics()
    for _ in range(3):
        receive_pair(statistics)
    statistics.pair_fused(times(1))
    statistics.close()
    statistics.close()
    statistics.pair_fused(times(1))  # a worker that was stuck
    statistics.pair_lost(DropReason.ENGINE_ERROR)
    snapshot = statistics.snapshot()
    assert (snapshot.pairs, snapshot.frames.paired, snapshot.pending) == (3, 1, 0)
    assert snapshot.lost[DropReason.SHUTDOWN] == 2
    assert snapshot.frames.balanced({})


def test_threads_lose_no_count() -> None:
    statistics = Statistics()

    def work(reason: DropReason) -> None:
        for _ in range(2000):
            receive_pair(statistics)
            statistics.pair_lost(reason)

    threads = [threading.Thread(target=work, args=(reason,)) for reason in PAIR_REASONS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statistics.snapshot().lost == dict.fromkeys(PAIR_REASONS, 2000)
    assert statistics.snapshot().frames.balanced({})


def test_diagnostic_keys_are_there_from_the_first_message() -> None:
    fresh, busy = Statistics(), Statistics()
    receive_pair(busy)
    busy.pair_fused(times(5 * MS))
    assert list(values(fresh)) == list(values(busy))
    for source in Source:
        assert {f'{source}.{key}' for key in ('received', 'paired', 'pending', 'rate_hz')} <= set(
            values(fresh)
        )
        assert {f'{source}.dropped.{reason}' for reason in DropReason} <= set(values(fresh))
    for stage in STAGES:
        assert values(busy)[f'latency.{stage}.p99_ms'] != 'nan'
    assert values(busy)['pairs.fused_rate_hz'] == '1.00'
    assert values(busy)['model.network'] == 'tiny'


@pytest.mark.parametrize(
    ('events', 'message'),
    [
        ([], 'no frames from visible and thermal'),
        (['visible'], 'no frames from thermal'),
        (['visible', 'thermal'], 'frames arrive but none pair'),
        (['pair', DropReason.MALFORMED], 'images can not be read'),
        (['visible', 'thermal', 'malformed'], 'images can not be read'),
        (['pair', DropReason.ENGINE_ERROR], 'the engine fails'),
        (['pair', DropReason.NO_SUBSCRIBER], 'idle'),
        (['pair', 'fused'], 'fusing'),
        (['pair', DropReason.SUPERSEDED, 'pair', 'fused'], 'fusing'),
    ],
)
def test_the_message_says_what_is_wrong(events: list, message: str) -> None:
    statistics = Statistics()
    for event in events:
        if isinstance(event, DropReason):
            statistics.pair_lost(event)
        elif event == 'pair':
            receive_pair(statistics)
        elif event == 'fused':
            statistics.pair_fused(times(1))
        elif event == 'malformed':
            statistics.frame_dropped(Source.VISIBLE, DropReason.MALFORMED)
        else:
            statistics.frame_received(Source(event))
    state = status(moment(statistics, 10**9), moment(Statistics(), 0), ENGINE)
    assert state.message.startswith(message)
    assert state.ok == (message in ('fusing', 'idle'))
