"""A report's run from what was seen of a running node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from paif_ros.monitoring.accounting import DropReason, Source
from paif_ros.monitoring.statistics import STAGES
from paif_ros.report.run import (
    F64,
    Areas,
    Drops,
    Line,
    Row,
    Run,
    Spread,
    Table,
    Tile,
    Verdict,
)
from paif_ros.report.watch import Heard, Watch, labels
from paif_ros.report.words import amount, clock

NOTES = (
    'A node reports percentiles of its last 500 results: p50 and p99 are medians of what it '
    'reported over time, and the largest is the largest p99. A histogram needs every result: '
    'record a bag and replay it with paif-replay.',
    'Counters say how many frames were dropped each second and why, not which.',
)
SPEAKING = {'OK': Verdict.GOOD, 'WARN': Verdict.WARN, 'ERROR': Verdict.BAD}


def run_of_node(
    watch: Watch,
    source: str,
    tables: Sequence[Table] = (),
    notes: Sequence[str] = (),
) -> Run:
    """Turn what was seen into a report's run.

    Args:
        watch: with one diagnostic status at least.
        source: where it was seen, in a sentence.
        tables: more to be told.
        notes: more that could not be known.
    """
    heard = watch.heard
    last, seconds = heard[-1].status, np.array([one.seconds for one in heard])
    verdict, message = _verdict(heard)
    latency = _spreads(heard)
    unit = last.values.get('thermal.agc.unit', '')
    return Run(
        title=last.node,
        source=source,
        verdict=verdict,
        message=message,
        duration=float(max(seconds[-1], 1e-3)),
        tiles=_tiles(heard, watch),
        rates=_lines(
            heard,
            {
                'results': 'results.rate_hz',
                'RGB in': 'visible.rate_hz',
                'thermal in': 'thermal.rate_hz',
            },
        ),
        latency=latency,
        latency_lines=_lines(
            heard, {'total, p50': 'latency.total.p50_ms', 'total, p99': 'latency.total.p99_ms'}
        ),
        skew_lines=_lines(heard, {'p50': 'skew.p50_ms', 'p99': 'skew.p99_ms'}),
        drops=_drops(heard),
        balance=_balance(last.values),
        agc=_lines(heard, {'low': 'thermal.agc.low', 'high': 'thermal.agc.high'}),
        agc_unit=unit,
        areas=_areas(watch),
        key_frames=tuple(watch.picker.frames),
        tables=(_engine(last.values), *tables, _said(heard)),
        notes=(*NOTES, *notes),
    )


def _series(heard: Sequence[Heard], key: str) -> F64:
    return np.array([_number(one.status.values.get(key, '')) for one in heard], np.float64)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float('nan')


def _lines(heard: Sequence[Heard], keys: Mapping[str, str]) -> tuple[Line, ...]:
    """Return a line of each key's values; none where nothing is known of one."""
    seconds = np.array([one.seconds for one in heard])
    lines = tuple(Line(name, seconds, _series(heard, key)) for name, key in keys.items())
    return lines if all(np.isfinite(line.values).any() for line in lines) else ()


def _spreads(heard: Sequence[Heard]) -> tuple[Spread, ...]:
    spreads = []
    for stage in STAGES:
        p50, p99 = (_series(heard, f'latency.{stage}.{p}_ms') for p in ('p50', 'p99'))
        known = np.isfinite(p50) & np.isfinite(p99)
        if known.any():
            middle, high = float(np.median(p50[known])), float(np.median(p99[known]))
            spreads.append(Spread(stage, middle, float('nan'), high, float(p99[known].max())))
    return tuple(spreads)


def _drops(heard: Sequence[Heard]) -> tuple[Drops, ...]:
    """Count by how much the counters grew between two statuses."""
    drops = []
    at = np.array([one.seconds for one in heard][1:])
    for source in Source:
        for reason in DropReason:
            counts = _series(heard, f'{source}.dropped.{reason}')
            # A counter that falls is that of a node that was started anew.
            grown = [new - old if new >= old else new for old, new in pairwise(counts)]
            grew = np.nan_to_num(np.array(grown, np.float64))
            if grew.any():
                drops.append(Drops(str(source), str(reason), at[grew > 0], grew[grew > 0]))
    return tuple(drops)


def _balance(values: Mapping[str, str]) -> str:
    words = []
    for source, name in ((Source.VISIBLE, 'RGB'), (Source.THERMAL, 'thermal')):
        received, paired, single, pending = (
            int(values.get(f'{source}.{key}', '0'))
            for key in ('received', 'paired', 'single', 'pending')
        )
        dropped = sum(int(values.get(f'{source}.dropped.{r}', '0')) for r in DropReason)
        sign = '=' if received == paired + single + pending + dropped else '!='
        words.append(
            f'{name} since the start of the node: {received} received {sign} {paired} paired + '
            f'{single} alone + {dropped} dropped + {pending} waiting'
        )
    return '; '.join(words)


def _verdict(heard: Sequence[Heard]) -> tuple[Verdict, str]:
    """Judge by the worst that the node said of itself."""
    counts = {level: sum(one.status.level == level for one in heard) for level in SPEAKING}
    worst = 'ERROR' if counts['ERROR'] else 'WARN' if counts['WARN'] else 'OK'
    if worst == 'OK':
        return Verdict.GOOD, 'always OK'
    share = 100 * counts[worst] / len(heard)
    return SPEAKING[worst], f'{worst} {max(share, 0.1):.2g} % of the time'


def _tiles(heard: Sequence[Heard], watch: Watch) -> tuple[Tile, ...]:
    first, last = heard[0].status.values, heard[-1].status.values

    def grown(key: str) -> int:
        old, new = (int(values.get(key, '0')) for values in (first, last))
        return new - old if new >= old else new

    def median(key: str) -> float:
        known = _series(heard, key)
        known = known[np.isfinite(known)]
        return float(np.median(known)) if known.size else float('nan')

    dropped = sum(drop.total for drop in _drops(heard))
    tiles = [
        Tile('watched', clock(heard[-1].seconds), f'{watch.masks} masks seen'),
        Tile('pairs fused', str(grown('pairs.fused')), f'of {grown("pairs.made")} made'),
        Tile('results', amount(median('results.rate_hz'), 'Hz'), 'median'),
        Tile('frames dropped', str(dropped), 'while watched'),
    ]
    for name, key in (('inference', 'latency.inference'), ('total', 'latency.total')):
        p50, p99 = median(f'{key}.p50_ms'), median(f'{key}.p99_ms')
        tiles.append(Tile(name, amount(p50, 'ms'), f'p99 {amount(p99, "ms")}'))
    tiles.append(Tile('memory', f'{last.get("memory_mb", "-")} MB', 'at the end'))
    return tuple(tiles)


def _areas(watch: Watch) -> Areas | None:
    seconds, shares = watch.areas
    if not seconds.size:
        return None
    classes = labels(watch.classes, max(shares.shape[1], len(watch.classes)))
    filled = np.zeros((seconds.size, len(classes)))
    filled[:, : shares.shape[1]] = shares
    return Areas(seconds, filled, classes)


def _engine(values: Mapping[str, str]) -> Table:
    keys = {
        'network': f'{values.get("model.network", "")} {values.get("model.variant", "")}'.strip(),
        'weights (SHA-256)': values.get('model.weights_sha256', ''),
        'input': values.get('model.input_size', ''),
        'engine': ' '.join(
            values.get(f'engine.{key}', '') for key in ('backend', 'provider', 'precision')
        ).strip(),
        'pairing': values.get('sync.mode', ''),
        'registration': values.get('registration.mode', ''),
        'thermal': values.get('thermal.agc.mode', ''),
    }
    return Table.of('Model and engine', keys)


def _said(heard: Sequence[Heard]) -> Table:
    """Return what the node said, each time that it changed."""
    rows: list[Row] = []
    before = ('', '')
    for one in heard:
        now = (one.status.level, one.status.message)
        if now != before:
            rows.append(Row(clock(one.seconds), f'{now[0]}: {now[1]}', now[0] != 'OK'))
        before = now
    return Table('What the node said', tuple(rows[:MOST_SAID]), long=True)


MOST_SAID = 500  # lines: a message with a number in it changes every second
