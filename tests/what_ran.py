"""One table at the end of every run: what ran, what was skipped and why, by file."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

KINDS = {
    'passed': 'passed',
    'xpassed': 'passed',
    'failed': 'failed',
    'error': 'failed',
    'skipped': 'skipped',
    'xfailed': 'skipped',  # it ran, and says nothing good: its reason is told
}


@dataclass
class Row:
    """What became of one file's tests. `reasons` counts those of the skipped ones."""

    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


def rows(stats: dict[str, list[Any]]) -> dict[str, Row]:
    """Count pytest's reports by file.

    Args:
        stats: of pytest's terminal reporter: reports by outcome. A file skipped as a whole counts
            as one.
    """
    found: dict[str, Row] = {}
    for outcome, reports in stats.items():
        for report in reports:
            if not hasattr(report, 'nodeid') or not hasattr(report, 'longrepr'):
                continue  # a warning
            row = found.setdefault(report.nodeid.partition('::')[0], Row())
            row.seconds += getattr(report, 'duration', 0.0)
            if outcome in KINDS:
                row.counts[KINDS[outcome]] += 1
            if outcome == 'skipped' and isinstance(report.longrepr, tuple):
                row.reasons[report.longrepr[2].removeprefix('Skipped: ')] += 1
            elif outcome == 'xfailed':
                row.reasons[f'known to fail: {report.wasxfail}'] += 1
    return dict(sorted(found.items()))


def lines(found: dict[str, Row]) -> list[str]:
    """Return the table."""
    width = max(map(len, found), default=0)
    table = [f'{"what ran":{width}}  passed  failed  skipped  seconds  why skipped']
    total = Row()
    for row in found.values():
        total.counts += row.counts
        total.seconds += row.seconds
    for name, row in [*found.items(), ('total', total)]:
        counts = [row.counts[kind] for kind in ('passed', 'failed', 'skipped')]
        why = '; '.join(f'{count} x {reason}' for reason, count in row.reasons.items())
        text = f'{name:{width}}  {counts[0]:6}  {counts[1]:6}  {counts[2]:7}  {row.seconds:7.1f}'
        table.append(f'{text}  {why}'.rstrip())
    return table


def pytest_terminal_summary(terminalreporter: Any) -> None:
    terminalreporter.section('what ran, what was skipped and why')
    for line in lines(rows(terminalreporter.stats)):
        terminalreporter.write_line(line)
