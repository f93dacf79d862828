"""What pairing must give, by brute force on whole recordings, and recordings to try it on.

Nothing here is shared with the code under test. A recording knows of each stamp to which lap it
belongs, so the reference need not find out, as the code must, where time has jumped.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from pairing_bench import MS, SECOND, START, T, V

from paif_ros.monitoring.accounting import DropReason

LAP_NS = 6 * SECOND  # least length of a lap, many times the delays at its end


class Arrival(NamedTuple):
    """A stamp that comes in, and the lap of the bag that it is from."""

    source: object
    stamp: int
    lap: int


def pair_all(visible, thermal, slop):
    """Pair two whole streams. Returns the pairs and how many frames are left undecided.

    Written from the rule on complete streams: the older head stays unless one of all that its
    stream still has is nearer to the other head, by more than a quarter of the slop or of the
    distance between the two, whichever is less.
    """
    i = j = 0
    pairs = []
    while i < len(visible) and j < len(thermal):
        visible_is_older = visible[i] <= thermal[j]
        older, k, other = (
            (visible, i, thermal[j]) if visible_is_older else (thermal, j, visible[i])
        )
        distance = other - older[k]
        # Those beyond the mirror image of the older head are further away than it is.
        later = older[k + 1 : bisect_left(older, other + distance, k + 1)]
        better = any(
            4 * (distance - abs(other - stamp)) > min(slop, stamp - older[k]) for stamp in later
        )
        if distance > slop or better:
            i, j = (i + 1, j) if visible_is_older else (i, j + 1)
            continue
        if k + 1 == len(older) and distance > 0:
            break
        pairs.append((visible[i], thermal[j]))
        i, j = i + 1, j + 1
    return pairs, (len(visible) - i, len(thermal) - j)


@dataclass
class Sorted:
    """A recording with the unusable stamps taken out.

    Attributes:
        streams: by lap and camera, the (position of arrival, stamp) that can be used.
        dropped: (camera, reason) of all others.
    """

    streams: dict
    dropped: Counter


def sort_out(arrivals):
    """Take out what no pairing can use, by the lap that each arrival is known to be from."""
    streams, dropped = defaultdict(list), Counter()
    newest = {}
    lap = 0
    for position, arrival in enumerate(arrivals):
        source, stamp = arrival.source, arrival.stamp
        lap = max(lap, arrival.lap)
        last = newest.get((arrival.lap, source), 0)
        if stamp <= 0:
            dropped[source, DropReason.BAD_STAMP] += 1
        elif stamp == last:
            dropped[source, DropReason.DUPLICATE] += 1
        elif arrival.lap < lap:
            dropped[source, DropReason.TIME_JUMP] += 1
        elif stamp < last:
            dropped[source, DropReason.OUT_OF_ORDER] += 1
        else:
            streams[arrival.lap, source].append((position, stamp))
        newest[arrival.lap, source] = max(stamp, last)
    return Sorted(streams, dropped)


def expect_pairs(arrivals, slop):
    """Return what a `Pairer` makes: pairs, drops by (camera, reason), frames left waiting."""
    usable = sort_out(arrivals)
    last_lap = max(arrival.lap for arrival in arrivals)
    pairs, dropped, waiting = [], usable.dropped, {}
    for lap in range(last_lap + 1):
        stamps = {source: [at for _, at in usable.streams[lap, source]] for source in (V, T)}
        made, undecided = pair_all(stamps[V], stamps[T], slop)
        pairs += made
        waiting = dict(zip((V, T), undecided, strict=True))
        for source in (V, T):
            lone = len(stamps[source]) - len(made) - waiting[source]
            dropped[source, DropReason.NO_PARTNER] += lone
            if lap < last_lap:
                dropped[source, DropReason.TIME_JUMP] += waiting[source]
    return pairs, +dropped, waiting


def expect_held(arrivals, max_age):
    """Return the (visible, thermal, reused) of a `Holder`: nearest of all that were there."""
    usable = sort_out(arrivals)
    held, lone = [], 0
    for lap in range(max(arrival.lap for arrival in arrivals) + 1):
        (at, visible), (there, thermal) = (
            np.array(usable.streams[lap, source], np.int64).reshape(-1, 2).T for source in (V, T)
        )
        distance = np.abs(visible[:, None] - thermal[::-1])  # the newer of two equally near ones
        distance[there[::-1] > at[:, None]] = np.iinfo(np.int64).max
        if not thermal.size:
            lone += len(visible)
            continue
        nearest = thermal[::-1][distance.argmin(axis=1)]
        near = distance.min(axis=1) <= max_age
        lone += int((~near).sum())
        used = set()
        for stamp, partner in zip(visible[near].tolist(), nearest[near].tolist(), strict=True):
            held.append((stamp, partner, partner in used))
            used.add(partner)
    return held, lone


def record(rng, *, triggered=False, regular=False, count=1000):
    """Return arrivals of two cameras: laps, losses, delays, and stamps of every bad kind.

    Args:
        rng: where all choices come from.
        triggered: both cameras take their pictures by one trigger and have equal stamps.
        regular: little jitter and loss, so that the rhythm of the cameras can be learned.
        count: how many arrivals.
    """
    rates = rng.choice([9, 30, 60], 2).tolist()
    if triggered and 9 in rates:
        rates = [9, 9]
    loss = rng.choice([0, 0.05] if regular else [0, 0.1, 0.5])
    length = int(1.03 * count / (1 - loss) / sum(rates) * SECOND)
    laps = 1 + int(rng.integers(0, max(1, length // LAP_NS)))
    jitter = rng.choice([0, 0.005, 0.01] if regular else [0, 0.01, 0.05, 0.2])
    phases = (0, 0) if triggered else rng.integers(0, SECOND // 9, 2).tolist()
    delays = rng.choice([0, 5, 50, 400], 2) * MS
    arrivals, base, begin = [], START, 0
    for lap in range(laps):
        ticks = rng.normal(0, jitter, length // laps * 60 // SECOND + 2)
        for source, rate, phase, delay in zip((V, T), rates, phases, delays.tolist(), strict=True):
            steps = np.arange(length // laps * rate // SECOND)
            own = ticks[steps * (60 // rate)] if triggered else rng.normal(0, jitter, len(steps))
            taken = np.unique(phase + ((steps + own) * (SECOND / rate)).astype(np.int64))
            taken = taken[rng.random(len(taken)) >= loss]
            came = np.maximum.accumulate(taken + delay + rng.integers(0, 9 * MS, len(taken)))
            stamps = base + taken
            if lap % 2:  # the clock is set forward half way through
                stamps[taken > length // laps // 2] += 3600 * SECOND
            arrivals += [
                (when, Arrival(source, at, lap))
                for when, stamp in zip((begin + came).tolist(), stamps.tolist(), strict=True)
                for at in ((stamp,) if rng.random() > 0.06 else litter(rng, stamp))
            ]
        begin += length // laps
        base -= int(rng.choice([0, 10, 1000])) * SECOND
    return [arrival for _, arrival in sorted(arrivals, key=lambda entry: entry[0])[:count]]


def litter(rng, stamp):
    """Return a stamp, and one that no pairing can use after it."""
    late = stamp - int(rng.integers(1, 900)) * MS
    return stamp, (stamp, 0, -stamp, late)[rng.integers(4)]
