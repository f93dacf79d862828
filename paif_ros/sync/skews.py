"""Says why frames arrive and nothing pairs, with figures and the parameter to change.

The skews tell how far apart the stamps are that met in the queues. They do not tell how far apart
the clocks are: of a thermal clock one second behind, a queue of ten visible frames shows 0.7 s.
The lags of both cameras, receipt minus stamp, do tell that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Protocol

from paif_ros.monitoring.statistics import NS_PER_MS

# Of an interval. Half of one reaches the nearest frame of any phase, the rest is for jitter.
_REACH = 0.6
_UNLIKE = 1.8  # how many times slower a thermal camera is that hold_thermal suits
# The most that parameters.yaml allows.
_MOST_OFFSET_NS = 86400 * 10**9
_MOST_SLOP_NS = 10**9
_MOST_QUEUE = 1000

Change = tuple[str, str]  # a parameter and its value


@dataclass(frozen=True)
class SkewReport:
    """Skews (visible minus thermal stamp) of frames that were compared, and what to do.

    Attributes:
        least: smallest in ms, negative where the visible stamp is the older one.
        median: in ms.
        p90: 90th percentile in ms.
        most: largest in ms.
        advice: what to change, in words.
        changes: the parameters that the advice names with their values, one of which may do.
    """

    least: float
    median: float
    p90: float
    most: float
    advice: str
    changes: tuple[Change, ...]

    def __str__(self) -> str:
        return (
            f'stamps of visible minus thermal frames: min {self.least:.1f}, median '
            f'{self.median:.1f}, p90 {self.p90:.1f}, max {self.most:.1f} ms. {self.advice}'
        )


class Rhythm(Protocol):
    """What is known of one camera's stamps; a `CameraWatch` is one."""

    @property
    def interval(self) -> int | None:
        """Usual step from stamp to stamp in ns, None where not known."""

    @property
    def lag(self) -> int | None:
        """Median of receipt minus stamp in ns, with any zero that both cameras share, or None."""


@dataclass(frozen=True)
class SkewCase:
    """What the advice depends on. All times in ns.

    Attributes:
        skews: `last_skews` of the pairing.
        visible: the RGB camera, by the stamps that the pairing was given.
        thermal: the thermal camera likewise, by stamps with `sync.thermal_offset` added.
        mode: the parameter `sync.mode`.
        limit: largest |skew| of a pair: `sync.slop`, 0 with exact, `sync.max_age` with
            hold_thermal.
        thermal_offset: the parameter `sync.thermal_offset` as it is.
    """

    skews: Sequence[int]
    visible: Rhythm
    thermal: Rhythm
    mode: str
    limit: int
    thermal_offset: int = 0


def skew_report(case: SkewCase) -> SkewReport | None:
    """Explain why no pairs come. Returns None where no frames could be compared."""
    if not case.skews:
        return None
    ordered = sorted(case.skews)
    # Not the very least: a lucky one may be left from a queue's first or last moments.
    nearest = sorted(abs(skew) for skew in ordered)[len(ordered) // 10]
    intervals = [camera.interval for camera in (case.visible, case.thermal) if camera.interval]
    reach = ceil(_REACH * min(intervals)) if intervals else 0
    measured = clock_difference(case.visible, case.thermal)
    behind = ordered[len(ordered) // 2] if measured is None else measured
    # Further apart than any phase of the cameras explains.
    if min(nearest, abs(behind)) > max(case.limit, reach):
        advice, changes = _apart(case, behind)
    elif case.mode == 'exact':
        advice, changes = _unequal(case, reach)
    elif case.mode == 'hold_thermal':
        advice, changes = _too_old(case, nearest)
    else:
        advice, changes = _too_strict(case, min(max(nearest, reach), _MOST_SLOP_NS))
    return SkewReport(
        least=ordered[0] / NS_PER_MS,
        median=ordered[len(ordered) // 2] / NS_PER_MS,
        p90=ordered[len(ordered) * 9 // 10] / NS_PER_MS,
        most=ordered[-1] / NS_PER_MS,
        advice=advice,
        changes=changes,
    )


def clock_difference(visible: Rhythm, thermal: Rhythm) -> int | None:
    """Return by how much thermal stamps are older than visible ones that come in with them, ns.

    A constant difference of the clocks, or of the times that the frames take to come in: stamps
    alone don't tell which. None until both cameras have sent a stamp.
    """
    if visible.lag is None or thermal.lag is None:
        return None
    return thermal.lag - visible.lag


def _apart(case: SkewCase, behind: int) -> tuple[str, tuple[Change, ...]]:
    """Frames that come in together have stamps far apart, the thermal one's `behind` ns older."""
    words = (
        f'Thermal frames come in with stamps {abs(behind) / 1e9:.3f} s '
        f'{"older" if behind > 0 else "newer"} than visible frames'
    )
    offset = case.thermal_offset + behind
    if abs(offset) > _MOST_OFFSET_NS:
        return f'{words}: set the clock of the camera that is wrong', ()
    changes = [('sync.thermal_offset', f'{offset / 1e9:.3f}')]
    words += f': set sync.thermal_offset to {changes[0][1]} if its clock is off'
    # Frames of the camera that is ahead wait for those of the other; `Holder` keeps thermal ones.
    ahead = case.visible if behind > 0 else case.thermal
    if ahead.interval and not (case.mode == 'hold_thermal' and behind > 0):
        frames = ceil(abs(behind) / ahead.interval) + 3
        if frames <= _MOST_QUEUE:
            slow = 'thermal' if behind > 0 else 'visible'
            changes.append(('sync.queue_size', str(frames)))
            words += f', or sync.queue_size to {frames} if {slow} frames take that long to come in'
    return words, tuple(changes)


def _unequal(case: SkewCase, reach: int) -> tuple[str, tuple[Change, ...]]:
    """Nothing is wrong but that the stamps are not equal."""
    near = {skew for skew in case.skews if abs(skew) <= reach}
    if len(near) == 1:
        change = ('sync.thermal_offset', f'{(case.thermal_offset + near.pop()) / 1e9:.9f}')
        return f'The difference is constant: set sync.thermal_offset to {change[1]}', (change,)
    words = 'sync.mode exact wants equal stamps: without a hardware trigger set it to pair'
    return words + _or_hold(case), (('sync.mode', 'pair'), *_hold(case))


def _too_old(case: SkewCase, nearest: int) -> tuple[str, tuple[Change, ...]]:
    least = max(nearest, ceil(2 * _REACH * (case.thermal.interval or 0)))
    change = ('sync.max_age', _seconds(least))
    return f'Set sync.max_age to {change[1]}, more than a period of the thermal camera', (change,)


def _too_strict(case: SkewCase, least: int) -> tuple[str, tuple[Change, ...]]:
    change = ('sync.slop', _seconds(least))
    words = f'Set sync.slop to {change[1]}, a little more than half a period of the faster camera'
    return words + _or_hold(case), (change, *_hold(case))


def _hold(case: SkewCase) -> tuple[Change, ...]:
    """The mode for a slow thermal camera, where it is one."""
    visible, thermal = case.visible.interval, case.thermal.interval
    slow = visible is not None and thermal is not None and thermal > _UNLIKE * visible
    return (('sync.mode', 'hold_thermal'),) if slow else ()


def _or_hold(case: SkewCase) -> str:
    visible, thermal = case.visible.interval, case.thermal.interval
    if not _hold(case) or not visible or not thermal:
        return ''
    return (
        f', or set sync.mode to hold_thermal, for thermal frames come at {1e9 / thermal:.1f} Hz '
        f'and visible ones at {1e9 / visible:.1f} Hz'
    )


def _seconds(ns: int) -> str:
    """Return ns in seconds, to the next millisecond above."""
    return f'{ceil(ns / NS_PER_MS) / 1e3:.3f}'
