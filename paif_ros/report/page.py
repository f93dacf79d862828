"""A report as one HTML file that needs nothing else: no script, no font, no network."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from paif_ros import __version__
from paif_ros.errors import PaifError
from paif_ros.report import plots
from paif_ros.report.run import Run, Spread
from paif_ros.report.strip import TITLES
from paif_ros.report.words import amount, clock

TEMPLATE, STYLE = 'report.html.j2', 'report.css'
FOLDER = Path(__file__).parent


class ReportError(PaifError):
    """A report that can't be made.

    Attributes:
        what: is missing or wrong.
        cure: what to do.
    """

    def __init__(self, what: str, cure: str) -> None:
        self.what = what
        self.cure = cure
        super().__init__(f'{what}: {cure}')


def html(run: Run) -> str:
    """Return the page of a run.

    Raises:
        ReportError: jinja2 or matplotlib is not installed.
    """
    check_libraries()
    from markupsafe import Markup

    # Everything else is escaped: a topic or a path is not trusted to be HTML.
    drawn = {
        name: Markup(draw(run))  # noqa: S704 - our own drawings
        for name, draw in {
            'rates': plots.rates,
            'stages': plots.latency_stages,
            'latency': plots.latency,
            'skew': plots.skew,
            'drops': plots.drops,
            'agc': plots.agc,
            'areas': plots.areas,
        }.items()
    }
    return str(
        _environment()
        .get_template(TEMPLATE)
        .render(
            run=run,
            plots=drawn,
            style=Markup((FOLDER / STYLE).read_text('utf-8')),  # noqa: S704 - our own file
            spreads=[_cells(spread) for spread in run.latency],
            reasons=_reasons(run),
            titles=TITLES,
            version=__version__,
        )
    )


def write(run: Run, path: Path) -> None:
    """Write the page of a run.

    Raises:
        ReportError: jinja2 or matplotlib is not installed, or the file can't be written.
    """
    text = html(run)
    try:
        path.write_text(text, 'utf-8')
    except OSError as err:
        raise ReportError(str(path), f'{err.strerror}; name another file with -o') from err


def check_libraries() -> None:
    """Refuse to begin where a library is missing: before a long run, not after it.

    Raises:
        ReportError: jinja2 or matplotlib is not installed.
    """
    from importlib.util import find_spec

    missing = [name for name in ('jinja2', 'matplotlib') if find_spec(name) is None]
    if missing:
        raise ReportError(
            f'no {" and no ".join(missing)} in this Python', 'pip install jinja2 matplotlib'
        )


def _environment() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters['base64'] = lambda data: base64.b64encode(data).decode()
    made.filters['clock'] = clock
    return made


def _cells(spread: Spread) -> tuple[str, ...]:
    values = (spread.p50, spread.p90, spread.p99, spread.most)
    return spread.name, *(amount(value, '') for value in values)


def _reasons(run: Run) -> list[tuple[str, int, int]]:
    """Return each reason with the frames of both cameras, the most frequent one first."""
    counted = {
        reason: tuple(
            sum(d.total for d in run.drops if (d.camera, d.reason) == (camera, reason))
            for camera in ('visible', 'thermal')
        )
        for reason in {drop.reason for drop in run.drops}
    }
    ordered = sorted(counted.items(), key=lambda item: -sum(item[1]))
    return [(reason.replace('_', ' '), *both) for reason, both in ordered]  # type: ignore[misc]
