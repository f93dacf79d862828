"""For the tests of pairing: a pairer whose every frame is followed, and streams of stamps."""

from collections import Counter
from itertools import pairwise

import numpy as np

from paif_ros.monitoring.accounting import Accounting, JobKind, Source
from paif_ros.sync.holding import Holder
from paif_ros.sync.pairing import Frame, Pairer

V, T = Source.VISIBLE, Source.THERMAL
MS = 1_000_000
SECOND = 1000 * MS
START = 1_700_000_000 * SECOND


class Bench:
    """A pairer whose every frame is followed to its end."""

    kind = Pairer

    def __init__(self, slop=20 * MS, queue_size=10, **options):
        self.counts = Accounting()
        self.pairs = []
        self.alone = []
        self.drops = []
        self.pushed = []
        self.queue_size = queue_size
        self.slop = slop
        self.pairer = self.kind(slop, queue_size, self.dropped, **options)

    def dropped(self, frame, reason):
        self.drops.append((frame, reason))
        self.counts.drop(frame.source, reason)

    def push(self, source, stamp):
        frame = Frame(source, stamp, len(self.pushed), len(self.pushed))
        self.pushed.append(frame)
        self.counts.receive(source)
        made = self.pairer.push(frame)
        for pair in made:
            self.counts.finish(JobKind.REUSED if pair.reused else JobKind.PAIR)
        self.pairs += made
        return made

    def push_alone(self, source, stamp):
        frame = Frame(source, stamp, len(self.pushed), len(self.pushed))
        self.pushed.append(frame)
        self.counts.receive(source)
        admitted = self.pairer.push_alone(frame)
        if admitted:
            self.counts.finish(JobKind.alone(source))
            self.alone.append(frame)
        return admitted

    def run(self, events):
        for source, stamp in events:
            self.push(source, stamp)
        return self

    def pending(self):
        return {source: self.pairer.pending(source) for source in Source}

    def stamps(self):
        return [(pair.visible.stamp, pair.thermal.stamp) for pair in self.pairs]

    def reasons(self, source):
        return Counter(reason for frame, reason in self.drops if frame.source is source)

    def check(self):
        """Check what holds on any input: each frame ends once, in order, within the slop.

        A thermal frame of several pairs, which a `Holder` makes, ends with the first of them.
        """
        pending = self.pending()
        assert self.counts.counts().balanced(pending)
        assert max(pending.values()) <= self.queue_size
        ends = Counter(id(frame) for frame in (*self.alone, *(frame for frame, _ in self.drops)))
        for pair in self.pairs:
            assert pair.visible.source is V
            assert pair.thermal.source is T
            assert abs(pair.skew) <= self.slop
            ends.update(
                [id(pair.visible)] if pair.reused else map(id, (pair.visible, pair.thermal))
            )
        assert set(ends.values()) <= {1}
        assert set(ends) <= {id(frame) for frame in self.pushed}
        assert len(ends) + sum(pending.values()) == len(self.pushed)
        for one, two in pairwise(self.pairs):
            assert two.visible.payload > one.visible.payload  # order of arrival
            assert two.reused == (two.thermal is one.thermal)
            assert two.reused or two.thermal.payload > one.thermal.payload
            if self.pairer.jumps == 0:
                assert two.visible.stamp > one.visible.stamp
                assert two.reused or two.thermal.stamp > one.thermal.stamp
        return self


class HoldingBench(Bench):
    """The same of a `Holder`, whose largest age the slop is."""

    kind = Holder


def in_order(visible, thermal):
    """Merge two streams by stamp; the visible one goes first where they are equal."""
    events = [(V, stamp) for stamp in visible] + [(T, stamp) for stamp in thermal]
    return sorted(events, key=lambda event: event[1])


def stream(rng, rate, count, jitter, *, loss=0.0, phase=0):
    """Return strictly rising stamps in ns of a camera with jitter and lost frames."""
    stamps = START + phase + np.arange(count) * (SECOND // rate) + rng.normal(0, jitter, count)
    stamps = np.unique(stamps.astype(np.int64))
    return [int(stamp) for stamp in stamps[rng.random(len(stamps)) >= loss]]


def draw_streams(rng, count=300):
    """Return the stamps of two cameras of any rate, jitter and loss."""
    rates = rng.choice([9, 30, 60], 2)
    return [
        stream(
            rng,
            int(rate),
            count,
            rng.choice([0, 1, 5, 30]) * MS,
            loss=rng.choice([0, 0.1, 0.5]),
            phase=int(rng.integers(SECOND // 9)),
        )
        for rate in rates
    ]


def litter(rng, events):
    """Add duplicates, repeats, jumps back and forward, bad stamps and swaps of neighbours."""
    littered = []
    shift = {V: 0, T: 0}
    for source, stamp in events:
        dice = rng.random()
        if dice < 0.01:
            shift[source] += int(rng.integers(-20, 20)) * SECOND
        elif dice < 0.015:
            shift = dict.fromkeys(Source, int(rng.integers(-20, 20)) * SECOND)
        elif dice < 0.02:
            shift = dict.fromkeys(Source, 0)
        littered.append((source, stamp + shift[source]))
        if dice > 0.95:
            littered.append(littered[int(rng.integers(max(0, len(littered) - 40), len(littered)))])
        if dice > 0.99:
            littered.append((source, int(rng.choice([0, -1, 1, -(2**62), 2**62]))))
        if 0.93 < dice < 0.95 and len(littered) > 1:
            littered[-1], littered[-2] = littered[-2], littered[-1]
    return littered
