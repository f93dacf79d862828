"""The runs of `python -m models.out_of_distribution` as tables in docs/out_of_distribution.md."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
PAGE = ROOT / 'docs' / 'out_of_distribution.md'
SCORES = ROOT / 'docs' / 'out_of_distribution.json'
MARK = 'out of distribution'
SHOWN = ('VIF', 'Qabf', 'MSSIM', 'SCD', 'miou', 'miou_foreground')
PERCENT = ('miou', 'miou_foreground')
HEADS = {'miou': 'mIoU, %', 'miou_foreground': 'foreground IoU, %'}


@dataclass(frozen=True)
class Run:
    """One training and what it scored.

    Attributes:
        source: what it was trained on.
        external: where aligned patches came from.
        network: system.
        variant: one of the command's.
        seed: of the training.
        own: the domains whose kind it was trained on.
        scores: by domain and metric.
    """

    source: str
    external: str
    network: str
    variant: str
    seed: int
    own: tuple[str, ...]
    scores: dict[str, dict[str, float]]

    def outside(self, metric: str) -> float:
        """Return the mean of a metric over all domains that are not the run's own."""
        values = [
            found[metric]
            for domain, found in self.scores.items()
            if domain not in self.own and metric in found
        ]
        return float(np.mean(values)) if values else float('nan')

    def inside(self, metric: str) -> float:
        """Return the mean of a metric over the run's own domains; NaN where it has none."""
        values = [found[metric] for name, found in self.scores.items() if name in self.own
                  and metric in found]  # fmt: skip
        return float(np.mean(values)) if values else float('nan')


def read_runs(path: Path) -> list[Run]:
    """Read runs.

    Raises:
        ValueError: the file holds something else.
        OSError: it can't be read.
    """
    try:
        found = json.loads(path.read_text('utf-8'))
        return [Run(**{**run, 'own': tuple(run['own'])}) for run in found]
    except (TypeError, KeyError) as err:
        msg = f'{path}: no runs ({err!r}); make it with python -m models.out_of_distribution'
        raise ValueError(msg) from err


def write_runs(path: Path, runs: Sequence[Run]) -> None:
    """Write runs as JSON."""
    path.write_text(json.dumps([asdict(run) for run in runs], indent=1) + '\n', 'utf-8')


def text(runs: Sequence[Run]) -> str:
    """Return all tables in Markdown: the means, then every domain."""
    if not runs:
        return 'No runs.'
    lines: list[str] = []
    for source in dict.fromkeys(run.source for run in runs):
        group = [run for run in runs if run.source == source]
        lines += [*_means(group), '', *_domains(group), '']
    return '\n'.join(lines).rstrip()


def _groups(runs: Sequence[Run]) -> dict[tuple[str, str], list[Run]]:
    found: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        found.setdefault((run.network, run.variant), []).append(run)
    return found


def _cell(runs: Sequence[Run], metric: str, value: Callable[[Run], float]) -> str:
    """Return 'mean' of one seed, or 'mean ± half the range' over seeds."""
    values = [value(run) * (100 if metric in PERCENT else 1) for run in runs]
    values = [x for x in values if np.isfinite(x)]
    if not values:
        return ''
    digits = 1 if metric in PERCENT else 3
    mean = f'{np.mean(values):.{digits}f}'
    return mean if len(values) == 1 else f'{mean} ± {(max(values) - min(values)) / 2:.{digits}f}'


def _means(runs: Sequence[Run]) -> Iterator[str]:
    one = runs[0]
    seeds = sorted({run.seed for run in runs})
    yield (
        f'Trained on `{one.source}`; aligned patches from `{one.external}`; seeds {seeds}; mean ± '
        f'half the range over seeds. "own": held-out pairs of `{one.source}`.'
    )
    yield ''
    yield _row(['network', 'variant', *(HEADS.get(m, m) for m in SHOWN), 'own VIF', 'own Qabf'])
    yield '|' + '---|' * (len(SHOWN) + 4)
    for (network, variant), group in _groups(runs).items():
        cells = [_cell(group, m, lambda run, m=m: run.outside(m)) for m in SHOWN]  # type: ignore[misc]
        own = [_cell(group, m, lambda run, m=m: run.inside(m)) for m in ('VIF', 'Qabf')]  # type: ignore[misc]
        yield _row([network, variant, *cells, *own])


def _domains(runs: Sequence[Run]) -> Iterator[str]:
    names = list(dict.fromkeys(name for run in runs for name in run.scores))
    yield 'VIF of each domain (foreground IoU in percent where there are labels):'
    yield ''
    yield _row(['network', 'variant', *names])
    yield '|' + '---|' * (len(names) + 2)
    for (network, variant), group in _groups(runs).items():
        cells = []
        for name in names:
            vif = _cell(group, 'VIF', lambda run, n=name: run.scores[n]['VIF'])  # type: ignore[misc]
            iou = _cell(
                group,
                'miou_foreground',
                lambda run, n=name: run.scores[n].get('miou_foreground', float('nan')),  # type: ignore[misc]
            )
            cells.append(f'{vif} ({iou})' if iou else vif)
        yield _row([network, variant, *cells])


def _row(cells: Sequence[str]) -> str:
    return f'| {" | ".join(cells)} |'
