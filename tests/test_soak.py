"""18,000 pairs through the real node over real DDS. benchmarks/soak_report.py says how they judge.

It can fail: with a list that gets an entry for each pair and is walked for each pair (0.45 ms in
the end) the median of the last tenth was 1.30 of that of the first, and 1.27 to 1.45 of those of
five fresh nodes, on a machine with other work.
"""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2 (or its wheels) in this Python')

from benchmarks import soak
from benchmarks.soak_report import BLOCK, MEMORY_LIMIT, Pace, Report, Sample
from paif_ros.monitoring.accounting import DropReason, Source
from paif_ros.monitoring.statistics import PAIR_REASONS

# All on Kilted; Jazzy differs in the middleware only.
PAIRS = 18_000 if int(version('rclpy').split('.')[0]) >= 9 else 4_000
MS = 10**6


def test_nothing_is_lost_and_nothing_grows(tiny: Path) -> None:
    report = soak.run(soak.Plan(model=tiny, pairs=PAIRS, size=(48, 64)))
    print(report.table())
    assert report.wrong() == []
    assert report.sent >= PAIRS
    assert len(report.samples) >= PAIRS // BLOCK
    ended = sum(int(report.values[f'pairs.{reason}']) for reason in PAIR_REASONS)
    assert report.answered + ended == report.sent
    # A pair gets stale only where the whole machine stands still for a quarter of a second.
    assert ended == int(report.values['pairs.stale']) <= PAIRS // 1000
    for source in Source:
        assert int(report.values[f'{source}.received']) == report.sent


def test_the_command(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """At a rate, for a time. 1,000 answers are the least to judge by."""
    out = tmp_path / 'soak.json'
    arguments = ['--model', str(tiny), '--size', '48x64', '--pairs', '0', '--minutes', '0.05']
    code = soak.main([*arguments, '--rate', '100', '--json', str(out)])
    printed, figures = capsys.readouterr().out, json.loads(out.read_text())
    assert 100 <= figures['sent'] <= 302
    assert int(figures['values']['visible.received']) > 50
    assert 'answers are too few to judge by' in figures['wrong'][0]
    assert f'WRONG: {figures["wrong"][0]}' in printed
    assert code == 1


@pytest.mark.parametrize('arguments', [['--pairs', '0'], ['--size', '64']])
def test_wrong_arguments(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        soak.main(arguments)
    assert caught.value.code == 2


# ---- what is wrong is found


def good() -> Report:
    """Return the report of a node that keeps its pace."""
    count = 2000
    values = dict.fromkeys((f'pairs.{reason}' for reason in PAIR_REASONS), '0')
    values |= {f'{source}.dropped.{reason}': '0' for source in Source for reason in DropReason}
    for source in Source:
        values |= {f'{source}.{key}': str(count) for key in ('received', 'paired')}
        values |= {f'{source}.{key}': '0' for key in ('single', 'pending')}
        values |= {f'singles.{source}.{key}': '0' for key in ('made', 'published')}
    values |= {'pairs.made': str(count), 'pairs.fused': str(count), 'pairs.pending': '0'}
    return Report(
        seconds=10.0,
        load=0.0,
        in_turn=True,
        sent=count,
        answered=count,
        latencies=tuple(2 * MS + (n % BLOCK == 7) * MS * (n % 3) for n in range(count)),
        costs=(MS,) * count,
        samples=tuple(Sample(n * BLOCK, 100 * 2**20, 20, 30) for n in range(count // BLOCK)),
        opinions=(),
        values=values,
    )


def test_a_good_report() -> None:
    assert good().wrong() == []
    assert 'fine: p99 of the last tenth 1.00 of the first' in good().table()


@pytest.mark.parametrize(
    ('key', 'value', 'found'),
    [
        ('visible.received', '1999', 'visible: 1999 received, 2000 used, 0 dropped'),
        ('thermal.dropped.no_partner', '1', 'thermal: 2000 received, 2000 used, 1 dropped'),
        ('thermal.pending', '1', 'thermal: 2000 received'),
        ('pairs.made', '2001', '2001 pairs made, 2000 fused, 0 lost'),
        ('pairs.superseded', '1', '2000 pairs made, 2000 fused, 1 lost'),
        ('pairs.pending', '1', '2000 pairs made'),
        ('pairs.fused', '1999', '1999 fused, 2000 answers'),
    ],
)
def test_wrong_counts(key: str, value: str, found: str) -> None:
    report = good()
    assert key in report.values
    wrong = replace(report, values={**report.values, key: value}).wrong()
    assert any(text.startswith(found) for text in wrong), wrong


def creeping(values: tuple[int, ...]) -> tuple[int, ...]:
    """Return them 20 % larger in the end."""
    return tuple(round(t * (1 + 0.2 * n / len(values))) for n, t in enumerate(values))


@pytest.mark.parametrize(
    ('field', 'names'), [('latencies', ['p50', 'p99']), ('costs', ['cpu_p99'])]
)
def test_growth_of_latency(field: str, names: list[str]) -> None:
    report = good()
    grown = replace(report, **{field: creeping(getattr(report, field))})
    assert grown.slower == names
    assert len(grown.wrong()) == len(names)
    fresh = Pace(1.02, 1.02, 1.02)
    slow = Pace(1.15, 1.15, 1.15)
    assert replace(grown, opinions=(slow, fresh)).wrong() == [], 'the machine got slower'
    sure = replace(grown, opinions=(slow, slow)).wrong()[-1]
    assert f'{names[-1]} of the last tenth is 1.1' in sure
    assert 'against fresh nodes: 1.15, 1.15' in sure


def test_noise_in_some_blocks_is_no_growth() -> None:
    count = 18_000
    latencies = [2 * MS] * count
    for block in range(163, 173):  # of the last 18
        latencies[block * BLOCK : block * BLOCK + 5] = [50 * MS] * 5
    assert replace(good(), latencies=tuple(latencies)).growth == Pace(1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ('change', 'found'),
    [
        ({'memory': 100 * 2**20 + MEMORY_LIMIT + 1}, 'memory grew by 5.0 MB'),
        ({'threads': 21}, 'threads: 20, in the end 21'),
        ({'files': 31}, 'files: 30, in the end 31'),
    ],
)
def test_growth_of_the_process(change: dict[str, int], found: str) -> None:
    report = good()
    *others, last, very_last = report.samples
    after = (replace(last, **change), replace(very_last, **change))
    assert replace(report, samples=(*others, *after)).wrong() == [found]
