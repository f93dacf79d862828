"""The tables of the roofline, as text or Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.boards import BOARDS, ISAAC
from benchmarks.onnx_parts import FUSION
from benchmarks.roofline_model import CASES, load_anchors, seconds

MEANING = (
    'yes: even in the slow case; likely: in the expected case; unlikely: only in the fast case'
)


def counts_table(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Return the table of what each graph asks for, a header first."""
    head = ['network', 'size', 'precision', 'GFLOP', 'of them fusion', 'other', 'M parameters']
    table = [[*head, 'kernels', 'MB moved', 'MB if unfused']]
    for row in rows:
        fusion = sum(row['parts'][part]['gflop'] for part in FUSION if part in row['parts'])
        table.append(
            [
                *(row['network'], _size(row), row['precision']),
                *(f'{row["gflop"]:.1f}', f'{fusion:.1f}', f'{row["other_gflop"]:.2f}'),
                *(f'{row["parameters"] / 1e6:.2f}', str(row['kernels'])),
                *(f'{row["moved_mb"]:.0f}', f'{row["unfused_mb"]:.0f}'),
            ]
        )
    return table


def latency_table(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Return projected ms, expected (fast to slow), and the verdict, a header first."""
    table = [['network', 'size', 'precision', *(board.name for board in BOARDS)]]
    for row in rows:
        cells = [
            f'{_ms(cell["expected_ms"])} ({_ms(cell["fast_ms"])} to {_ms(cell["slow_ms"])}) '
            f'{cell["makes_it"]}'
            for cell in row['boards'].values()
        ]
        table.append([row['network'], _size(row), row['precision'], *cells])
    return table


def summary_table(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Return which graphs make the rate on each board, a header first."""
    table = [['board', 'yes', 'likely']]
    for board in BOARDS:
        cells = []
        for word in ('yes', 'likely'):
            found: dict[str, list[str]] = {}
            for row in rows:
                if row['boards'][board.name]['makes_it'] == word:
                    found.setdefault(f'{row["network"]} {_size(row)}', []).append(row['precision'])
            cells.append('; '.join(f'{k} {", ".join(v)}' for k, v in found.items()) or 'none')
        table.append([board.name, *cells])
    return table


def peers_table() -> list[list[str]]:
    """Return what peers publish, and what this model says of the same network, a header first."""
    anchors = load_anchors()
    names = [f'projected, if it is {case.anchor}' for case in CASES.values()]
    table = [['board', 'published fps', *names, 'remark']]
    for board in BOARDS:
        said = ' / '.join(f'{fps:g}' for fps in board.published.fps) if board.published else 'none'
        cells = [
            f'{1 / seconds(anchors[case.anchor], board, case):.1f}' for case in CASES.values()
        ]
        used = 'calibrates' if board.fits else board.remark or 'not used to calibrate'
        table.append([board.name, said, *cells, used])
    return table


def detail_tables(row: dict[str, Any]) -> list[list[list[str]]]:
    """Return the tables by part and by operator class of one graph."""
    tables = []
    for key, title in (('parts', 'part'), ('classes', 'operator class')):
        table = [[title, 'kernels', 'GFLOP', 'other GFLOP', 'MB moved']]
        for name, part in sorted(row[key].items(), key=lambda item: -item[1]['moved_mb']):
            figures = (f'{part["gflop"]:.2f}', f'{part["other_gflop"]:.2f}')
            cells = [name, str(int(part['kernels'])), *figures, f'{part["moved_mb"]:.0f}']
            table.append(cells)
        tables.append(table)
    return tables


def _ms(value: float) -> str:
    return f'{value:.1f}' if value < 9.95 else f'{value:.0f}'


def markdown(table: Sequence[Sequence[str]]) -> str:
    """Return a table as Markdown."""
    lines = [f'| {" | ".join(row)} |' for row in table]
    return '\n'.join([lines[0], '|' + '---|' * len(table[0]), *lines[1:]])


def plain(table: Sequence[Sequence[str]]) -> str:
    """Return a table as aligned text."""
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    return '\n'.join(
        '  '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    )


def _size(row: dict[str, Any]) -> str:
    return 'x'.join(map(str, row['size']))


def show(
    rows: Sequence[dict[str, Any]], fps: float, host_ms: float, *, as_markdown: bool, detail: bool
) -> None:
    """Print all tables."""
    text = markdown if as_markdown else plain
    print('What is asked for (a multiply-add is two operations):\n')
    print(text(counts_table(rows)))
    for row in rows:
        if detail:
            print(f'\n{row["network"]}, {_size(row)}, {row["precision"]}:')
            for table in detail_tables(row):
                print(f'\n{text(table)}')
        if row['unknown_operators']:
            print(f'\n{row["network"]}: not counted, unknown: {row["unknown_operators"]}')
    print('\nEngine time in ms, *projected*, expected (fast to slow case), and whether it makes')
    print(f'{fps:g} frames a second with {host_ms:g} ms of each left to the node ({MEANING}):\n')
    print(text(latency_table(rows)))
    print(f'\nWhat makes {fps:g} frames a second, *projected*:\n')
    print(text(summary_table(rows)))
    print(f'\nThe model beside published figures: {ISAAC}:\n')
    print(text(peers_table()))
