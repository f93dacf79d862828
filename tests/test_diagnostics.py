"""The keys of the diagnostics and what their message says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import tiny_model

from paif_ros.cameras.lookout import CameraState
from paif_ros.engines import EngineInfo
from paif_ros.fusion.worker import WorkerState
from paif_ros.monitoring.accounting import DropReason, JobKind, Source
from paif_ros.monitoring.diagnostics import Moment, Severity, status
from paif_ros.monitoring.statistics import STAGES, StageTimes, Statistics, Ticket
from paif_ros.parameters import Parameters, specs
from paif_ros.thermal.agc import AgcRange

MS = 10**6
SECOND = 10**9
ENGINE = EngineInfo('onnxruntime', 'CPUExecutionProvider', 'test', tiny_model.card((48, 64)))
FINE = CameraState(silent=MS, stopped=False, missed=0, losing='', waiting=0, frozen=0, freezes=0)


def parameters(**changed: Any) -> Parameters:
    values = {name: spec.default for name, spec in specs().items()}
    values.update({name.replace('__', '.'): value for name, value in changed.items()})
    return Parameters.from_values(values)


def times(total: int) -> StageTimes:
    return StageTimes(1, 2, 3, 4, 5, 6, 7, 8, total)


def receive_pair(statistics: Statistics) -> Ticket:
    for source in JobKind.PAIR.consumes:
        statistics.frame_received(source)
    return statistics.pair_made(-3 * MS)


def moment(statistics: Statistics, when: int = SECOND, **other: Any) -> Moment:
    start = Moment(
        when=when,
        state='active',
        reason='',
        counted=statistics.snapshot(),
        values=parameters(),
        cameras=dict.fromkeys(Source, FINE),
        worker=WorkerState(engine=ENGINE),
    )
    return replace(start, **other)


def values(now: Moment) -> dict[str, str]:
    return dict(status(now, moment(Statistics(), 0)).values)


def test_keys_are_the_same_in_every_state() -> None:
    fresh, busy = Statistics(), Statistics()
    busy.job_done(receive_pair(busy), times(5 * MS))
    unconfigured = moment(fresh, state='unconfigured', cameras={}, worker=WorkerState())
    agc = WorkerState(engine=ENGINE, agc=AgcRange(20.0, 30.5, 'degrees'), progress='40 %')
    told = values(moment(busy, worker=agc))
    assert list(values(unconfigured)) == list(told)
    for source in Source:
        assert {f'{source}.{key}' for key in ('received', 'paired', 'pending', 'rate_hz')} <= set(
            told
        )
        assert {f'{source}.dropped.{reason}' for reason in DropReason} <= set(told)
    for stage in STAGES:
        assert told[f'latency.{stage}.p99_ms'] != 'nan'
    assert told['pairs.fused_rate_hz'] == '1.00'
    assert told['model.network'] == 'tiny'
    assert (told['thermal.agc.low'], told['thermal.agc.high']) == ('20.00', '30.50')
    assert told['thermal.agc.unit'] == 'degrees'
    assert told['engine.precision'] == 'fp32'
    assert told['engine.progress'] == '40 %'
    assert float(told['memory_mb']) > 10


@pytest.mark.parametrize(
    ('events', 'severity', 'message'),
    [
        (['malformed'], Severity.WARN, 'images of visible can not be read'),
        ([DropReason.ENGINE_ERROR], Severity.ERROR, 'the engine fails: out of luck'),
        ([DropReason.UNREGISTERED], Severity.ERROR, 'the calibration does not fit'),
        ([DropReason.NO_SUBSCRIBER], Severity.OK, 'idle'),
        (['fused'], Severity.OK, 'fusing'),
        ([DropReason.SUPERSEDED, 'fused'], Severity.OK, 'fusing'),
        (['single'], Severity.OK, 'fusing'),
    ],
)
def test_the_message_says_what_is_wrong(
    events: list[Any], severity: Severity, message: str
) -> None:
    statistics = Statistics()
    for event in events:
        if isinstance(event, DropReason):
            statistics.job_lost(receive_pair(statistics), event)
        elif event == 'fused':
            statistics.job_done(receive_pair(statistics), times(1))
        elif event == 'single':
            statistics.frame_received(Source.VISIBLE)
            statistics.job_done(statistics.single_made(Source.VISIBLE), times(1))
        elif event == 'malformed':
            statistics.frame_received(Source.VISIBLE)
            statistics.frame_dropped(Source.VISIBLE, DropReason.MALFORMED)
        else:
            statistics.frame_received(Source(event))
    worker = WorkerState(engine=ENGINE, last_error='out of luck')
    told = status(moment(statistics, worker=worker), moment(Statistics(), 0))
    assert told.message.startswith(message)
    assert told.level == severity


STOPPED = replace(FINE, silent=3 * SECOND, stopped=True)


@pytest.mark.parametrize(
    ('change', 'severity', 'message'),
    [
        ({}, Severity.OK, 'idle'),
        ({'state': 'inactive'}, Severity.OK, 'inactive'),
        ({'state': 'unconfigured', 'reason': 'no file'}, Severity.ERROR, 'unconfigured: no file'),
        ({'worker': WorkerState(death='a bug')}, Severity.ERROR, 'nothing is fused: a bug'),
        (
            {'reason': 'as a bug', 'worker': WorkerState(death='a bug')},
            Severity.ERROR,
            'active: as a bug',
        ),
        (
            {'cameras': {Source.VISIBLE: FINE, Source.THERMAL: STOPPED}},
            Severity.ERROR,
            'no frames from thermal for 3.0 s',
        ),
        (
            {'cameras': dict.fromkeys(Source, STOPPED)},
            Severity.ERROR,
            'no frames from visible for 3.0 s; no frames from thermal for 3.0 s',
        ),
        (
            {
                'cameras': {Source.VISIBLE: FINE, Source.THERMAL: STOPPED},
                'values': parameters(sync__on_missing='degrade'),
            },
            Severity.ERROR,
            'no frames from thermal for 3.0 s, degraded to visible alone',
        ),
        (
            {'cameras': {Source.VISIBLE: FINE, Source.THERMAL: replace(FINE, frozen=SECOND)}},
            Severity.WARN,
            'thermal frozen for 1.0 s',
        ),
        (
            {'cameras': {Source.VISIBLE: replace(FINE, losing='few'), Source.THERMAL: FINE}},
            Severity.WARN,
            'visible: few',
        ),
        ({'unpaired': 'none pair'}, Severity.WARN, 'none pair, see the log'),
        ({'clock_difference': 90 * MS}, Severity.OK, 'idle'),
        ({'clock_difference': -300 * MS}, Severity.WARN, 'thermal stamps are -0.30 s behind'),
        ({'misfits': ('a and b',)}, Severity.WARN, 'incompatible QoS: a and b'),
        ({'worker': WorkerState(busy=4 * SECOND)}, Severity.ERROR, 'an inference has taken 4.0 s'),
        (
            {'worker': WorkerState(flat=3)},
            Severity.WARN,
            'the model answered with one flat colour',
        ),
        ({'worker': WorkerState(agreement=0.1)}, Severity.WARN, 'the edges of both cameras'),
        ({'worker': WorkerState(agreement=0.4)}, Severity.OK, 'idle'),
        (
            {'worker': WorkerState(flat=3, busy=4 * SECOND)},
            Severity.ERROR,
            'an inference has taken 4.0 s so far; the model answered',
        ),
    ],
)
def test_states_have_their_level(change: dict[str, Any], severity: Severity, message: str) -> None:
    told = status(moment(Statistics(), **change), moment(Statistics(), 0))
    assert (told.level, told.message[: len(message)]) == (severity, message)
