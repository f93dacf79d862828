"""The keys of the diagnostics and what its message says."""

from __future__ import annotations

import pytest
import tiny_model

from paif_ros.accounting import DropReason, JobKind, Source
from paif_ros.diagnostics import Moment, status
from paif_ros.engines import EngineInfo
from paif_ros.statistics import STAGES, StageTimes, Statistics, Ticket

MS = 10**6
ENGINE = EngineInfo('onnxruntime', 'CPUExecutionProvider', 'test', tiny_model.card((48, 64)))


def times(total: int) -> StageTimes:
    return StageTimes(1, 2, 3, 4, 5, 6, 7, 8, total)


def receive_pair(statistics: Statistics) -> Ticket:
    for source in JobKind.PAIR.consumes:
        statistics.frame_received(source)
    return statistics.pair_made(-3 * MS)


def moment(statistics: Statistics, when: int, waiting: int = 0) -> Moment:
    return Moment(when, dict.fromkeys(Source, waiting), statistics.snapshot())


def values(statistics: Statistics, when: int = 10**9) -> dict[str, str]:
    return dict(status(moment(statistics, when), moment(Statistics(), 0), ENGINE).values)


def test_diagnostic_keys_are_there_from_the_first_message() -> None:
    fresh, busy = Statistics(), Statistics()
    busy.job_done(receive_pair(busy), times(5 * MS))
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
        ([DropReason.MALFORMED], 'images can not be read'),
        (['visible', 'thermal', 'malformed'], 'images can not be read'),
        ([DropReason.ENGINE_ERROR], 'the engine fails'),
        ([DropReason.NO_SUBSCRIBER], 'idle'),
        (['fused'], 'fusing'),
        ([DropReason.SUPERSEDED, 'fused'], 'fusing'),
    ],
)
def test_the_message_says_what_is_wrong(events: list, message: str) -> None:
    statistics = Statistics()
    for event in events:
        if isinstance(event, DropReason):
            statistics.job_lost(receive_pair(statistics), event)
        elif event == 'fused':
            statistics.job_done(receive_pair(statistics), times(1))
        elif event == 'malformed':
            statistics.frame_dropped(Source.VISIBLE, DropReason.MALFORMED)
        else:
            statistics.frame_received(Source(event))
    state = status(moment(statistics, 10**9), moment(Statistics(), 0), ENGINE)
    assert state.message.startswith(message)
    assert state.ok == (message in ('fusing', 'idle'))
