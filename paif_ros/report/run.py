"""What a report shows of a run, whether of `paif-replay` or of a running node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from paif_ros.contract import ClassLabel

F64 = NDArray[np.float64]


class Verdict(str, Enum):
    """How a run went. The value is the CSS class of its badge."""

    GOOD = 'good'
    WARN = 'warn'
    BAD = 'bad'


@dataclass(frozen=True, eq=False)
class Line:
    """A curve.

    Attributes:
        name: for the legend.
        seconds: float64 [n] since the run's start, not falling.
        values: float64 [n], NaN where nothing is known.
    """

    name: str
    seconds: F64
    values: F64


@dataclass(frozen=True, eq=False)
class Spread:
    """Percentiles of one quantity, in milliseconds; NaN where not known.

    Attributes:
        name: such as a stage of the latency.
        p50: the median.
        p90: 90th percentile.
        p99: 99th percentile.
        most: the largest value.
        samples: float64 [n], every value; empty where only percentiles are known.
    """

    name: str
    p50: float
    p90: float
    p99: float
    most: float
    samples: F64 = field(default_factory=lambda: np.empty(0))

    @classmethod
    def of(cls, name: str, samples: F64) -> Spread:
        """Return the nearest-rank percentiles of samples, as the node counts them."""
        known = samples[np.isfinite(samples)]
        if not known.size:
            nothing = float('nan')
            return cls(name, nothing, nothing, nothing, nothing)
        p50, p90, p99 = np.percentile(known, (50, 90, 99), method='inverted_cdf')
        return cls(name, float(p50), float(p90), float(p99), float(known.max()), known)


@dataclass(frozen=True, eq=False)
class Drops:
    """Frames of one camera that were dropped for one reason.

    Attributes:
        camera: 'visible' or 'thermal'.
        reason: such as 'no_partner'.
        seconds: float64 [k], when they were.
        counts: float64 [k], how many at each of these times.
    """

    camera: str
    reason: str
    seconds: F64
    counts: F64

    @property
    def total(self) -> int:
        """All of them."""
        return int(self.counts.sum())


@dataclass(frozen=True, eq=False)
class Areas:
    """How much of the picture each class takes.

    Attributes:
        seconds: float64 [n].
        shares: float64 [n, classes], 0 to 1.
        classes: of the columns.
    """

    seconds: F64
    shares: F64
    classes: tuple[ClassLabel, ...]


@dataclass(frozen=True, eq=False)
class KeyFrame:
    """One row of the contact sheet.

    Attributes:
        seconds: since the run's start.
        caption: why it is shown.
        jpeg: RGB, thermal, fused and overlay side by side.
    """

    seconds: float
    caption: str
    jpeg: bytes


@dataclass(frozen=True)
class Tile:
    """One of the numbers at the top: what it is, the number, and a word on it."""

    label: str
    value: str
    note: str = ''


@dataclass(frozen=True)
class Row:
    """One line of a table; `marked` where it differs from what is usual."""

    name: str
    value: str
    marked: bool = False


@dataclass(frozen=True)
class Table:
    """Names and values; a `long` one is folded up."""

    title: str
    rows: tuple[Row, ...]
    long: bool = False

    @classmethod
    def of(cls, title: str, values: Mapping[str, object], long: bool = False) -> Table:
        """Make a table of a mapping, without what is empty."""
        rows = tuple(
            Row(name, str(value)) for name, value in values.items() if value not in ('', None)
        )
        return cls(title, rows, long)


@dataclass(frozen=True, eq=False)
class Run:
    """Everything that a report shows.

    Attributes:
        title: what was run.
        source: what the numbers are from, in a sentence.
        verdict: how it went.
        message: the same in words.
        duration: seconds of recording, or of watching.
        tiles: the numbers at the top.
        rates: frames and results a second.
        latency: by stage, 'total' last.
        latency_lines: of the total, over time.
        skew: distance of a pair's stamps.
        skew_lines: the same over time.
        drops: by camera and reason, only those that occurred.
        balance: whether all frames are accounted for, in words.
        agc: thermal values that are black and white: two lines, none of 8-bit frames.
        agc_unit: of them.
        areas: None where no mask was seen.
        key_frames: the contact sheet.
        tables: versions, fingerprints, parameters and the like.
        notes: what could not be known, and why.
    """

    title: str
    source: str
    verdict: Verdict
    message: str
    duration: float
    tiles: tuple[Tile, ...] = ()
    rates: tuple[Line, ...] = ()
    latency: tuple[Spread, ...] = ()
    latency_lines: tuple[Line, ...] = ()
    skew: Spread | None = None
    skew_lines: tuple[Line, ...] = ()
    drops: tuple[Drops, ...] = ()
    balance: str = ''
    agc: tuple[Line, ...] = ()
    agc_unit: str = ''
    areas: Areas | None = None
    key_frames: tuple[KeyFrame, ...] = ()
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()
