"""The benchmark of the node on a real graph: what it computes, and one short real run."""

from __future__ import annotations

import importlib.util
import json
from math import nan
from pathlib import Path

import pytest
import tiny_model

from benchmarks import stages
from benchmarks.compare import BACKENDS, operators
from benchmarks.end_to_end import versus
from benchmarks.end_to_end.__main__ import Report, arguments, main, table
from benchmarks.end_to_end.figures import (
    Trial,
    drops_of,
    highest_rate,
    later_of,
    spread_of,
)
from benchmarks.end_to_end.lines import GraphError, Member
from benchmarks.end_to_end.options import SIZES, on_graph
from paif_ros.monitoring.statistics import STAGES

MS = 10**6


def trial(rate: float, results: int, sent: int = 100, sent_rate: float | None = None) -> Trial:
    """Return a trial of a second or so."""
    return Trial(
        rate=rate,
        sent_rate=sent_rate or rate,
        sent=sent,
        results=results,
        result_rate=(sent_rate or rate) * results / sent,
        drops={'superseded': sent - results} if results < sent else {},
        latency_ms={'mean': 20.4, 'p50': 19.6, 'p99': 31.0, 'max': 33.0} if results else {},
        jitter_ms={'mean': 1.0, 'max': 4.0} if results else {},
        node_cpu_ms=50.0,
        late_p99_ms=1.0,
        load=2.5,
    )


def test_latency_is_of_the_later_picture_and_jitter_of_the_intervals() -> None:
    stamps = [100 * MS, 200 * MS, 300 * MS, 400 * MS, 500 * MS]
    fused = [(s, s + 10 * MS) for s in stamps[:4]] + [(7, 8)]  # 7: of an earlier trial
    mask = [(s, s + late * MS) for s, late in zip(stamps, (30, 5, 30, 40, 1), strict=True)]
    ends = later_of([fused, mask], stamps)
    assert ends == dict(zip(stamps[:4], (130 * MS, 210 * MS, 330 * MS, 440 * MS), strict=True))
    latency, jitter = spread_of(ends)
    assert latency == {'mean': 27.5, 'p50': 30.0, 'p99': 40.0, 'max': 40.0}
    assert jitter == {'mean': 25.0, 'max': 40.0}  # intervals of 80, 120 and 110 ms
    assert spread_of({}) == ({}, {})
    assert spread_of(dict(list(ends.items())[:2]))[1] == {}


def test_every_pair_is_in_one_place() -> None:
    before = {'visible.received': '5', 'visible.paired': '4', 'visible.dropped.stale': '1'}
    after = {
        'visible.received': '23',
        'visible.paired': '14',
        'visible.pending': '2',
        'visible.dropped.stale': '4',
        'visible.dropped.superseded': '3',
        'visible.dropped.no_partner': '0',
    }
    drops = drops_of(20, 9, before, after)
    found = {'before_node': 2, 'stale': 3, 'superseded': 3, 'pending': 2, 'after_node': 1}
    assert drops == found
    assert sum(drops.values()) + 9 == 20


@pytest.mark.parametrize('capacity', [0.7, 8.0, 23.0, 44.0])
def test_search_finds_what_a_node_can_do(capacity: float) -> None:
    def probe(rate: float) -> Trial:
        return trial(rate, round(1000 * min(1.0, capacity / rate)), sent=1000)

    best, trials = highest_rate(probe, 60.0, 7)
    assert len(trials) == 7
    assert best is not None
    assert capacity * 0.95 <= best < capacity / 0.95 + 0.01
    assert highest_rate(probe, 0.9 * capacity, 7)[0] == 0.9 * capacity


def test_search_without_any_good_rate() -> None:
    best, trials = highest_rate(lambda rate: trial(rate, 0), 60.0, 4)
    assert best is None
    assert [t.rate for t in trials] == sorted((t.rate for t in trials), reverse=True)


def test_cameras_that_are_too_slow_keep_no_rate_up() -> None:
    assert trial(30.0, 100).kept_up
    assert not trial(30.0, 100, sent_rate=25.0).kept_up
    assert not trial(30.0, 95).kept_up
    assert trial(30.0, 96).kept_up


def test_table() -> None:
    report = Report(
        'vga', 'any', None, [trial(60.0, 0)], [trial(10.0, 90), trial(60.0, 0)], {}, 400.0
    )
    lines = table([report]).splitlines()
    assert lines[2] == '| vga | below 60.0 | 60 | 0.0 | 50 | 400 |'
    assert lines[6] == ('| vga | 10.0 | 9.0 | 10% | 20 | 20 | 31 | 1 | 4 | superseded 10 | 2.5 |')
    assert '| - | - | - | - | - | superseded 100 |' in lines[7]


@pytest.mark.parametrize(
    ('given', 'said'),
    [
        (['--model', 'no.onnx'], "no model file 'no.onnx'"),
        (['--sizes', 'vga,4k'], "no size '4k'; there are vga, 720p, 1080p"),
        (['--rates', '10,x'], 'rates are above 0'),
        (['--rates', '0'], 'rates are above 0'),
        (['--set', 'engine.threads'], 'is not NAME=VALUE'),
        (['--seconds', '0'], '--seconds 0: above 0'),
        (['--probes', '99'], '--probes 99: 0 to 20'),
        (['--top', '-1'], '--top -1: above 0, at most 1000'),
    ],
)
def test_wrong_arguments(given: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        arguments(given)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_a_failure_and_ctrl_c_end_a_command_with_a_sentence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for error, code, said in (
        (GraphError('cameras has ended'), 1, 'me: cameras has ended'),
        (KeyboardInterrupt(), 130, 'me: stopped'),
    ):

        def work(error: BaseException = error) -> None:
            raise error

        with pytest.raises(SystemExit) as ended:
            on_graph('me', work)
        assert ended.value.code == code
        assert said in capsys.readouterr().err


def test_a_process_that_ends_is_named_with_what_it_said() -> None:
    member = Member('cameras', 'benchmarks.no_such_module', [], {})
    try:
        with pytest.raises(GraphError, match=r'cameras has ended(.|\n)*no_such_module'):
            member.wait(20.0)
    finally:
        member.end()


def test_versus_takes_the_ratio_of_each_turn() -> None:
    slow, fast, nothing = trial(10.0, 50), trial(10.0, 100), trial(10.0, 0)
    turns = [(slow, fast), (fast, slow), (slow, fast), (nothing, fast)]
    assert versus.ratio(turns, 'result_rate') == (5.0, 10.0, 2.0)
    assert versus.ratio(turns, 'mean') == (20.4, 20.4, 1.0)
    assert versus.ratio([(nothing, fast)], 'mean') == pytest.approx((nan,) * 3, nan_ok=True)
    assert '| 60 | fps out | 5.0 | 10.0 | 2.00 |' in versus.table({60.0: turns})


def test_stages_in_a_table() -> None:
    spreads = {stage: {'p50': 1.0, 'p99': 2.0} for stage in STAGES}
    kinds = {'Conv': 30.0, 'Add': 10.0}
    text = stages.table(stages.Report('vga', 'any', spreads, kinds, trial(10.0, 90), 1.0))
    assert '| decode | 1.00 | 2.00 |' in text
    assert '| camera to result, over DDS | 19.60 | 31.00 |' in text
    assert '| Conv | 30.0 | 75% |' in text


@pytest.mark.parametrize('backend', BACKENDS)
def test_operators_of_a_real_engine(tmp_path: Path, backend: str) -> None:
    pytest.importorskip(backend)
    found = operators(backend, tiny_model.write(tmp_path / 'm.onnx', (480, 640), work=2), 1, 1)
    assert found
    assert any('Conv' in kind for kind in found)
    assert list(found.values()) == sorted(found.values(), reverse=True)


@pytest.mark.skipif(importlib.util.find_spec('rclpy') is None, reason='needs ROS 2')
def test_a_real_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from benchmarks.end_to_end import cameras

    assert tuple(cameras.SIZES) == SIZES
    model, out = tiny_model.write(tmp_path / 'tiny.onnx'), tmp_path / 'out.json'
    given = ['--model', str(model), '--sizes', 'vga', '--probes', '1', '--top', '8']
    given += [
        '--rates',
        '10',
        '--seconds',
        '0.5',
        '--set',
        'sync.max_age=20.0',
        '--json',
        str(out),
    ]
    assert main(given) == 0
    (report,) = json.loads(out.read_text('utf-8'))['reports']
    for found in (report['search'][0], report['fixed'][0]):
        assert found['sent'] in (4, 5)
        assert found['results'] >= 1
        assert found['results'] + sum(found['drops'].values()) == found['sent']
        assert 0 < found['latency_ms']['p50'] <= found['latency_ms']['p99']
    assert report['peak_mib'] > 20
    spreads = report['stages']
    assert list(spreads) == list(STAGES)
    assert all(0 <= spread['p50'] <= spread['p99'] for spread in spreads.values())
    parts = sum(spread['p50'] for stage, spread in spreads.items() if stage != 'total')
    assert parts < 3 * spreads['total']['p99'], 'in the same unit'
    assert report['engine'].startswith('onnxruntime')
    assert f'| vga | {found["sent_rate"]:.1f} |' in capsys.readouterr().out
