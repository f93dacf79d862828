"""The node's diagnostics as a picture, for viewers that show pictures and nothing else: rviz."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

import numpy as np

from paif_ros.engines.base import U8
from paif_ros.monitoring.statistics import STAGES
from paif_ros.view.status import NodeStatus

SIZE = (480, 640)  # rows, columns
STALE_SECONDS = 5.0  # after which diagnostics say nothing of the present
COLORS = {
    'OK': (46, 125, 50), 'WARN': (178, 106, 0), 'ERROR': (183, 28, 28), 'STALE': (97, 97, 97),
}  # fmt: skip
PAPER, INK, PALE = (24, 24, 24), (240, 240, 240), (160, 160, 160)
MARGIN, LINE, HEAD = 16, 22, 44  # pixels
LETTERS = 62  # of the message in a line
MESSAGE_LINES = 3
FACTS = (MARGIN, 136)  # where names and values of the left table begin
TIMES = (370, 540, 620)  # where names of the right one begin, and where its numbers end
FONT, SCALE = 0, 0.5  # cv2.FONT_HERSHEY_SIMPLEX
DROPS = 5  # kinds that are listed


def draw_panel(status: NodeStatus, age: float | None) -> U8:
    """Draw what the node says of itself: level, message, rates, latency, drops, engine.

    Letters outside ASCII become question marks, OpenCV's fonts have none.

    Args:
        status: the node's last one.
        age: seconds since it came, None where none has come.

    Returns:
        uint8 [480, 640, 3] RGB.
    """
    import cv2

    level, message = status.level, status.message
    if age is None:
        level, message = 'STALE', 'no diagnostics yet: is the node running?'
    elif age > STALE_SECONDS:
        level, message = 'STALE', f'no diagnostics for {age:.0f} s; the last were: {message}'
    picture = np.full((*SIZE, 3), PAPER, np.uint8)
    cv2.rectangle(picture, (0, 0), (SIZE[1] - 1, HEAD - 1), COLORS[level], cv2.FILLED)
    _write(picture, f'{level}   {status.node}'[:LETTERS], (MARGIN, 30), scale=0.7)
    top = HEAD + LINE
    lines = textwrap.wrap(' '.join(message.split()), LETTERS) or ['']
    if len(lines) > MESSAGE_LINES:
        lines[MESSAGE_LINES - 1 :] = [lines[MESSAGE_LINES - 1][: LETTERS - 4] + ' ...']
    for number, line in enumerate(lines):
        _write(picture, line, (MARGIN, top + number * LINE))
    if age is None:
        return picture
    top += MESSAGE_LINES * LINE + LINE // 2
    for number, (name, value) in enumerate(_facts(status)):
        _write(picture, name, (FACTS[0], top + number * LINE), PALE)
        _write(picture, value, (FACTS[1], top + number * LINE))
    for number, (name, *times) in enumerate(_times(status)):
        _write(picture, name, (TIMES[0], top + number * LINE), PALE)
        for right, value in zip(TIMES[1:], times, strict=True):
            left = right - cv2.getTextSize(value, FONT, SCALE, 1)[0][0]
            _write(picture, value, (left, top + number * LINE))
    return picture


def _facts(status: NodeStatus) -> Iterator[tuple[str, str]]:
    """Return rates, drops and what computes, as name and value."""
    values = status.values
    yield 'state', values.get('state', '-')
    for name, key in (('results', 'results'), ('RGB in', 'visible'), ('thermal in', 'thermal')):
        yield name, _number(values.get(f'{key}.rate_hz'), 'Hz')
    yield 'pairs fused', f'{values.get("pairs.fused", "-")} of {values.get("pairs.made", "-")}'
    engine = (values.get(f'engine.{key}', '') for key in ('backend', 'precision'))
    yield 'engine', ' '.join(filter(None, engine))[:20] or '-'
    if progress := values.get('engine.progress'):
        yield 'loading', progress[:20]
    yield 'memory', _number(values.get('memory_mb'), 'MB')
    yield from _drops(status)


def _drops(status: NodeStatus) -> Iterator[tuple[str, str]]:
    """Return how many frames of each camera were dropped, the most frequent reasons first."""
    found = []
    for key, value in status.values.items():
        camera, dropped, reason = key.partition('.dropped.')
        if dropped and value.isdecimal() and int(value):
            found.append((int(value), 'RGB' if camera == 'visible' else camera, reason))
    yield 'dropped', '' if found else 'nothing'
    for count, camera, reason in sorted(found, reverse=True)[:DROPS]:
        yield f'  {camera}', f'{count} {reason}'


def _times(status: NodeStatus) -> Iterator[tuple[str, str, str]]:
    """Return latency by stage and skew, as name, median and 99th percentile in ms."""
    yield 'ms', 'p50', 'p99'
    for key in (*(f'latency.{stage}' for stage in STAGES), 'skew'):
        middle, most = (_number(status.values.get(f'{key}.{p}_ms')) for p in ('p50', 'p99'))
        yield key.removeprefix('latency.'), middle, most


def _number(text: str | None, unit: str = '') -> str:
    """Return a number of diagnostics with one digit, '-' where nothing was measured."""
    try:
        value = float(text or 'nan')
    except ValueError:
        return '-'
    return f'{value:.1f} {unit}'.strip() if np.isfinite(value) else '-'


def _write(
    picture: U8,
    text: str,
    place: tuple[int, int],
    color: tuple[int, int, int] = INK,
    scale: float = SCALE,
) -> None:
    import cv2

    cv2.putText(picture, text, place, FONT, scale, color, 1, cv2.LINE_AA)
