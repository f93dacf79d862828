"""Matplotlib's drawings as SVG inside a page: the page's own font, colours that follow its theme.

Why Matplotlib: it is kept, known, a package of Debian and ROS (python3-matplotlib), draws without
a screen, and its SVG needs no script, so a report is small (15 to 70 kB a plot), opens offline
anywhere, prints, and can be mailed. plotly's script alone adds 4.8 MB to every report, bokeh's
1.3 MB, altair needs vl-convert (33 MB); what they add, zooming, is done better in Rerun or
Foxglove on the data itself.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

# Matplotlib knows colours only as numbers. These stand in for the page's CSS variables.
INK, SOFT, GRID, CARD = '#010101', '#010102', '#010103', '#010104'
SERIES = ('#010201', '#010202', '#010203', '#010204', '#010205', '#010206', '#010207', '#010208')
VARIABLES = {
    INK: '--ink',
    SOFT: '--soft',
    GRID: '--line',
    CARD: '--card',
    **{color: f'--s{number}' for number, color in enumerate(SERIES, 1)},
}
STYLE: Any = {
    'svg.fonttype': 'none',
    'svg.hashsalt': 'paif_ros',
    'font.size': 9,
    'text.color': INK,
    'axes.edgecolor': GRID,
    'axes.labelcolor': SOFT,
    'axes.facecolor': 'none',
    'figure.facecolor': 'none',
    'savefig.facecolor': 'none',
    'xtick.color': SOFT,
    'ytick.color': SOFT,
    'xtick.major.size': 3,
    'ytick.major.size': 0,
    'axes.grid': True,
    'axes.grid.axis': 'y',
    'grid.color': GRID,
    'grid.linewidth': 0.7,
    'axes.axisbelow': True,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.spines.left': False,
    'lines.linewidth': 1.5,
    'legend.frameon': False,
    'legend.fontsize': 8.5,
    'legend.handlelength': 1.2,
    'figure.constrained_layout.use': True,
}
FULL, HALF, HEIGHT = 11.4, 5.55, 2.3  # inches; both widths get the same size of letters


class Drawing:
    """One figure that is drawn and then read as SVG.

    Args:
        name: unlike that of any other drawing of the page; ids begin with it.
        figure: of Matplotlib.
    """

    def __init__(self, name: str, figure: Any) -> None:
        self._name = name
        self.figure = figure
        self.svg = ''

    def axes(self, rows: int = 1, columns: int = 1, **options: Any) -> Any:
        """Return what matplotlib.figure.Figure.subplots does."""
        return self.figure.subplots(rows, columns, **options)

    def finish(self, description: str) -> None:
        """Make `svg`."""
        text = io.StringIO()
        nothing = dict.fromkeys(('Creator', 'Date', 'Format', 'Type'))
        self.figure.savefig(text, format='svg', metadata=nothing)
        self.svg = _for_page(text.getvalue(), self._name, description)


@contextmanager
def drawing(
    name: str, description: str, width: float = FULL, height: float = HEIGHT
) -> Iterator[Drawing]:
    """Draw a figure in the page's style.

    Args:
        name: of letters, unlike that of any other drawing of the page.
        description: what it shows, for those who can't see it.
        width: inches.
        height: inches.

    Yields:
        The drawing; its `svg` is there when the block has ended.
    """
    import matplotlib
    from matplotlib.figure import Figure  # without pyplot: no screen, no global state

    with matplotlib.rc_context(STYLE):
        drawn = Drawing(name, Figure(figsize=(width, height)))
        yield drawn
        drawn.finish(description)


def _for_page(svg: str, name: str, description: str) -> str:
    """Take what the page needs of a file: no prologue, ids of its own, colours of the theme."""
    body = svg[svg.index('<svg') :]
    body = re.sub(r'<metadata>.*?</metadata>', '', body, flags=re.DOTALL)
    body = re.sub(r'<!--.*?-->', '', body, flags=re.DOTALL)
    # Inside HTML the namespaces are known, and the page sets the size.
    head, body = body.split('>', 1)
    box = re.search(r'viewBox="[^"]*"', head)
    assert box is not None
    body = re.sub(r'(\bid=")', rf'\g<1>{name}-', body)
    body = re.sub(r'(url\(#|href="#)', rf'\g<1>{name}-', body)
    body = re.sub(r'font: ([\d.]+px)[^;"]*', r'font-size: \1', body)
    for color, variable in VARIABLES.items():
        body = body.replace(color, f'var({variable})')
    return f'<svg role="img" aria-label="{escape(description)}" {box[0]}>{body}'
