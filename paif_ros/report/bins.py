"""Many values over time brought down to as many as a plot can show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from paif_ros.report.run import F64, Line

MOST = 300  # bins of a plot: more are narrower than its lines
SHORTEST = 1.0  # seconds of a bin that a rate is counted in


@dataclass(frozen=True, eq=False)
class Band:
    """A curve with what lies around it.

    Attributes:
        seconds: float64 [n], the middle of each bin that has values.
        low: float64 [n], 5th percentile of the bin.
        middle: float64 [n], its median.
        high: float64 [n], 95th percentile.
        most: float64 [n], largest value.
    """

    seconds: F64
    low: F64
    middle: F64
    high: F64
    most: F64


def band(line: Line) -> Band:
    """Bring a curve down to at most `MOST` points, each with the spread of what it stands for."""
    known = np.isfinite(line.values)
    seconds, values = line.seconds[known], line.values[known]
    if not values.size:
        nothing = np.empty(0)
        return Band(nothing, nothing, nothing, nothing, nothing)
    groups = np.array_split(np.arange(values.size), min(MOST, values.size))
    rows = [
        (seconds[group].mean(), *np.percentile(values[group], (5, 50, 95)), values[group].max())
        for group in groups
    ]
    return Band(*np.array(rows, np.float64).T)


def thinned(seconds: F64, values: F64) -> tuple[F64, F64]:
    """Bring curves down to at most `MOST` points by means.

    Args:
        seconds: float64 [n], not falling.
        values: float64 [n] or [n, k].

    Returns:
        float64 [m] and [m] or [m, k].
    """
    if seconds.size <= MOST:
        return seconds, values
    groups = np.array_split(np.arange(seconds.size), MOST)
    return (
        np.array([seconds[group].mean() for group in groups]),
        np.array([values[group].mean(axis=0) for group in groups]),
    )


def edges(duration: float) -> F64:
    """Return the borders of equal bins over a run, each `SHORTEST` seconds or more where it can.

    Args:
        duration: seconds, above 0.
    """
    count = int(np.clip(duration / SHORTEST, 1, MOST))
    return np.linspace(0.0, duration, count + 1)


def rate(name: str, seconds: F64, duration: float) -> Line:
    """Count events a second.

    Args:
        name: of the line.
        seconds: float64 [n], when they were.
        duration: of the whole, seconds above 0.

    Returns:
        The middles of the bins, and the events a second in each.
    """
    borders = edges(duration)
    counts, _ = np.histogram(seconds, borders)
    middles = (borders[1:] + borders[:-1]) / 2
    return Line(name, middles, counts / np.diff(borders))
