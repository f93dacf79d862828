"""The picture of diagnostics: level, what is wrong, numbers, and that nothing comes."""

from __future__ import annotations

import numpy as np
import pytest

from paif_ros.view import panel
from paif_ros.view.panel import COLORS, HEAD, SIZE, STALE_SECONDS, draw_panel
from paif_ros.view.status import LEVELS, NodeStatus

VALUES = {
    'state': 'active',
    'results.rate_hz': '4.50',
    'visible.rate_hz': 'nan',
    'memory_mb': 'x',
    'latency.total.p50_ms': '280.25',
    'latency.total.p99_ms': '1310.2',
    'skew.p99_ms': '11',
    'visible.dropped.superseded': '52',
    'thermal.dropped.no_partner': '3',
    'thermal.dropped.stale': '0',
    'pairs.fused': '9',
    'pairs.made': '61',
}


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[int, int]]]:
    """Every text that is drawn, with its place, beside being drawn."""
    import cv2

    found: list[tuple[str, tuple[int, int]]] = []
    put = cv2.putText

    def watched(picture: np.ndarray, text: str, place: tuple[int, int], *more: object) -> object:
        found.append((text, place))
        return put(picture, text, place, *more)

    monkeypatch.setattr(cv2, 'putText', watched)
    return found


@pytest.mark.parametrize('level', LEVELS)
def test_the_head_has_the_colour_of_the_level(level: str) -> None:
    picture = draw_panel(NodeStatus('/fusion', level, 'fusing', VALUES), 0.0)
    assert picture.shape == (*SIZE, 3)
    assert picture.dtype == np.uint8
    assert (picture[:HEAD, -1] == COLORS[level]).all()
    assert not (picture[HEAD:, -1] == COLORS[level]).all()


def test_numbers_stand_beside_their_names(words: list[tuple[str, tuple[int, int]]]) -> None:
    draw_panel(NodeStatus('/fusion', 'OK', 'fusing', VALUES), 0.0)
    lines: dict[tuple[bool, int], list[str]] = {}
    for text, (column, row) in words:
        lines.setdefault((column >= panel.TIMES[0], row), []).append(text.strip())
    rows = list(lines.values())
    assert ['OK   /fusion'] in rows
    assert ['fusing'] in rows
    for row in (
        ['state', 'active'], ['results', '4.5 Hz'], ['RGB in', '-'], ['memory', '-'],
        ['pairs fused', '9 of 61'], ['RGB', '52 superseded'], ['thermal', '3 no_partner'],
        ['ms', 'p50', 'p99'], ['total', '280.2', '1310.2'], ['skew', '-', '11.0'],
    ):  # fmt: skip
        assert row in rows, rows
    assert not [text for text, _ in words if 'stale' in text]


def test_a_long_message_is_cut_and_nothing_leaves_the_picture(
    words: list[tuple[str, tuple[int, int]]],
) -> None:
    import cv2

    many = {f'visible.dropped.reason_{n}': str(n) for n in range(1, 30)}
    draw_panel(NodeStatus('/fusion', 'ERROR', 'wrong ' * 99, {**VALUES, **many}), 0.0)
    assert [text for text, _ in words if text.endswith(' ...')]
    assert [text for text, _ in words if text == '52 superseded'], 'the most frequent come first'
    assert not [text for text, _ in words if text == '1 reason_1']
    for text, (column, row) in words:
        assert row < SIZE[0]
        assert column + cv2.getTextSize(text, panel.FONT, panel.SCALE, 1)[0][0] < SIZE[1], text


def test_silence_is_told(words: list[tuple[str, tuple[int, int]]]) -> None:
    never = draw_panel(NodeStatus('/fusion', 'OK', 'fusing', VALUES), None)
    assert (never[:HEAD, -1] == COLORS['STALE']).all()
    assert [text for text, _ in words if 'no diagnostics yet' in text]
    gone = draw_panel(NodeStatus('/fusion', 'OK', 'fusing', VALUES), STALE_SECONDS + 1)
    assert (gone[:HEAD, -1] == COLORS['STALE']).all()
    assert [text for text, _ in words if 'no diagnostics for 6 s' in text]
