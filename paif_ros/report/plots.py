"""The plots of a report, each as SVG; '' where there is nothing to draw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from paif_ros.report.bins import band, edges, thinned
from paif_ros.report.run import Areas, Drops, Line, Run, Spread
from paif_ros.report.svg import FULL, HALF, INK, SERIES, SOFT, drawing

LEAST_MS = 0.01  # what is drawn of a stage that takes less: logarithms end somewhere
HISTOGRAM_BINS = 48
FAINT = 0.22
WIDE = 6.6  # inches, beside a table
MINUTES = 300.0  # seconds from which the axis counts in minutes


def rates(run: Run) -> str:
    """Draw frames and results a second."""
    if not run.rates:
        return ''
    with drawing('rates', 'Frames and results a second over time') as drawn:
        axes = drawn.axes()
        for line, color in zip(run.rates, SERIES, strict=False):
            seconds, values = thinned(line.seconds, line.values)
            axes.plot(_time(axes, seconds, run.duration), values, color=color, label=line.name)
        axes.set_ylim(bottom=0)
        axes.set_ylabel('Hz')
        _legend(axes)
    return drawn.svg


def latency_stages(run: Run) -> str:
    """Draw the median, 90th and 99th percentile and the largest value of each stage."""
    spreads = [spread for spread in run.latency if np.isfinite(spread.p50)]
    if not spreads:
        return ''
    height = 0.45 + 0.27 * len(spreads)
    with drawing('stages', 'Latency by stage', WIDE, height) as drawn:
        axes = drawn.axes()
        for place, spread in enumerate(reversed(spreads)):
            color = SERIES[0] if spread.name == 'total' else SERIES[1]
            p50, p90, p99, most = (
                max(value, LEAST_MS) for value in (spread.p50, spread.p90, spread.p99, spread.most)
            )
            axes.plot([p50, most], [place, place], color=color, linewidth=1)
            axes.plot([p50, p99], [place, place], color=color, linewidth=3, solid_capstyle='butt')
            if np.isfinite(p90):
                axes.plot(
                    [p50, p90], [place, place], color=color, linewidth=7, solid_capstyle='butt'
                )
            axes.plot([p50], [place], 'o', color=INK, markersize=4)
        axes.set_yticks(range(len(spreads)), [spread.name for spread in reversed(spreads)])
        axes.set_xscale('log')
        axes.grid(True, axis='x')
        axes.grid(False, axis='y')
        axes.xaxis.set_major_formatter(lambda value, _: f'{value:g}')
        axes.set_xlabel('ms: dot p50, bars to p90 and p99, line to the largest')
    return drawn.svg


def latency(run: Run) -> str:
    """Draw the total over time, and beside it how often it, and inference alone, took how long."""
    if not run.latency_lines:
        return ''
    spreads = [s for s in run.latency if s.name in ('inference', 'total') and s.samples.size]
    with drawing('latency', 'Latency over time and its histogram') as drawn:
        if spreads:
            axes, beside = drawn.axes(1, 2, width_ratios=(2, 1))
            _histogram(beside, spreads)
        else:
            axes = drawn.axes()
        _bands(axes, run.latency_lines, run.duration)
        axes.set_ylim(bottom=0)
        axes.set_ylabel('ms')
        _legend(axes)
    return drawn.svg


def _histogram(axes: Any, spreads: Sequence[Spread]) -> None:
    """Draw inference and total, with the percentiles of the latter, which comes last."""
    everything = np.concatenate([spread.samples for spread in spreads])
    # The slowest would squeeze the rest into one bar; they are counted in the last one.
    low, high = np.percentile(everything, (0, 99.5))
    borders = np.linspace(low, max(high, low + 1e-3), HISTOGRAM_BINS + 1)
    for spread, color in zip(reversed(spreads), SERIES, strict=False):
        clipped = np.clip(spread.samples, borders[0], borders[-1])
        axes.hist(clipped, borders, color=color, alpha=0.75, label=spread.name)
    for value, word in ((spreads[-1].p50, 'p50'), (spreads[-1].p99, 'p99')):
        at = min(value, borders[-1])
        axes.axvline(at, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.annotate(
            word, (at, 1), (-3, -8), xycoords=('data', 'axes fraction'), ha='right',
            textcoords='offset points', color=SOFT, fontsize=8,
        )  # fmt: skip
    axes.set_xlabel('ms')
    axes.set_ylabel('results')
    _legend(axes)


def skew(run: Run) -> str:
    """Draw the distance of the stamps of a pair: over time, and how often which."""
    if not run.skew_lines:
        return ''
    samples = run.skew.samples if run.skew is not None else np.empty(0)
    with drawing('skew', 'Skew of the pairs over time and its histogram') as drawn:
        if samples.size:
            axes, beside = drawn.axes(1, 2, width_ratios=(2, 1))
            beside.hist(samples, HISTOGRAM_BINS, color=SERIES[0], alpha=0.75)
            beside.set_xlabel('ms')
            beside.set_ylabel('pairs')
        else:
            axes = drawn.axes()
        _bands(axes, run.skew_lines, run.duration)
        axes.set_ylabel('ms')
        _legend(axes)
    return drawn.svg


def drops(run: Run) -> str:
    """Draw the dropped frames of each camera over time, stacked by reason."""
    if not run.drops:
        return ''
    reasons = sorted({drop.reason for drop in run.drops}, key=lambda r: -_total(run.drops, r))
    colors = {reason: SERIES[place % len(SERIES)] for place, reason in enumerate(reasons)}
    cameras = [c for c in ('visible', 'thermal') if any(d.camera == c for d in run.drops)]
    borders = edges(run.duration)
    with drawing('drops', 'Dropped frames over time by reason') as drawn:
        many = drawn.axes(len(cameras), 1, sharex=True, squeeze=False)[:, 0]
        for axes, camera in zip(many, cameras, strict=True):
            below = np.zeros(borders.size - 1)
            for drop in sorted(run.drops, key=lambda d: reasons.index(d.reason)):
                if drop.camera != camera:
                    continue
                counts, _ = np.histogram(drop.seconds, borders, weights=drop.counts)
                axes.bar(
                    _time(axes, borders[:-1], run.duration), counts,
                    np.diff(_time(axes, borders, run.duration)), below, align='edge',
                    color=colors[drop.reason], label=drop.reason.replace('_', ' '),
                )  # fmt: skip
                below += counts
            axes.set_ylabel('RGB' if camera == 'visible' else camera)
            axes.locator_params(axis='y', integer=True, nbins=3)
            _legend(axes)
        for axes in many[:-1]:
            axes.set_xlabel('')
    return drawn.svg


def agc(run: Run) -> str:
    """Draw the thermal values that become black and white."""
    if len(run.agc) != 2:
        return ''
    with drawing('agc', 'Thermal range over time', HALF) as drawn:
        axes = drawn.axes()
        low, high = run.agc
        seconds, values = thinned(low.seconds, np.stack([low.values, high.values], 1))
        at = _time(axes, seconds, run.duration)
        axes.fill_between(
            at, values[:, 0], values[:, 1], color=SERIES[0], alpha=FAINT, linewidth=0
        )
        axes.plot(at, values[:, 1], color=SERIES[1], label='white')
        axes.plot(at, values[:, 0], color=SERIES[0], label='black')
        axes.set_ylabel(run.agc_unit)
        axes.ticklabel_format(axis='y', useOffset=False)
        _legend(axes)
    return drawn.svg


def areas(run: Run) -> str:
    """Draw how much of the picture each class takes, without the background (id 0)."""
    if run.areas is None or not run.areas.seconds.size:
        return ''
    with drawing('areas', 'Class areas over time', HALF if len(run.agc) == 2 else FULL) as drawn:
        axes = drawn.axes()
        _stack(axes, run.areas, run.duration)
        axes.set_ylabel('% of the picture')
        axes.set_ylim(bottom=0)
        _legend(axes)
    return drawn.svg


def _stack(axes: Any, areas: Areas, duration: float) -> None:
    seconds, shares = thinned(areas.seconds, areas.shares)
    at, below = _time(axes, seconds, duration), np.zeros(seconds.size)
    for label in areas.classes[1:]:
        above = below + 100 * shares[:, label.id]
        color = '#{:02x}{:02x}{:02x}'.format(*label.color)
        axes.fill_between(at, below, above, color=color, linewidth=0, label=label.name, alpha=0.9)
        below = above


def _bands(axes: Any, lines: Sequence[Line], duration: float) -> None:
    """Draw curves with the spread of what each point stands for."""
    for line, color in zip(lines, SERIES, strict=False):
        drawn = band(line)
        at = _time(axes, drawn.seconds, duration)
        axes.fill_between(at, drawn.low, drawn.high, color=color, alpha=FAINT, linewidth=0)
        axes.plot(at, drawn.middle, color=color, label=line.name)
        if (drawn.most > drawn.high).any():
            axes.plot(at, drawn.most, color=color, linewidth=0.6, alpha=0.7)


def _time(axes: Any, seconds: Any, duration: float) -> Any:
    """Return times in the unit of the axis, and name it."""
    scale, unit = (60.0, 'min') if duration > MINUTES else (1.0, 's')
    axes.set_xlim(0, max(duration, 1e-3) / scale)
    axes.set_xlabel(unit, loc='right', labelpad=-2)
    return seconds / scale


def _legend(axes: Any) -> None:
    """Name the curves above the plot, out of their way."""
    handles, names = axes.get_legend_handles_labels()
    if names:
        axes.legend(
            handles, names, loc='lower left', bbox_to_anchor=(0, 0.98), ncols=min(len(names), 8),
            borderaxespad=0, columnspacing=1.4,
        )  # fmt: skip


def _total(drops: Sequence[Drops], reason: str) -> int:
    return sum(drop.total for drop in drops if drop.reason == reason)


def percentiles_known(spreads: Sequence[Spread]) -> bool:
    """Whether there is anything but NaN to put into a table."""
    return any(np.isfinite(spread.p50) for spread in spreads)
