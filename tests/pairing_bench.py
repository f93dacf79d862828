"""For the tests of pairing: a pairer whose every frame is followed, and streams of stamps."""

from collections import Counter
from itertools import pairwise

import numpy as np

from paif_ros.accounting import Accounting, JobKind
from paif_ros.pairing import Frame, Pairer, Source

V, T = Source.VISIBLE, Source.THERMAL
MS = 1_000_000
SECOND = 1000 * MS
START = 1_700_000_000 * SECOND


class Bench:
    """A pairer whose every frame is followed to its end."""

    def __init__(self, slop=20 * MS, queue_size=10, **options):
        self.counts = Accounting()
        self.pairs = []
        self.drops = []
        self.pushed = []
        self.queue_size = queue_size
        self.slop = slop
        self.pairer = Pairer(slop, queue_size, self.dropped, **options)

    def dropped(self, frame, reason):
        self.drops.append((frame, reason))
        self.counts.drop(frame.source, reason)

    def push(self, source, stamp):
        frame = Frame(source, stamp, len(self.pushed), len(self.pushed))
        self.pushed.append(frame)
        self.counts.receive(source)
        made = self.pairer.push(frame)
        for _ in made:
            self.counts.finish(JobKind.PAIR)
        self.pairs += made
        return made

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
        """Check what holds on any input: each frame ends once, in order, within the slop."""
        pending = self.pending()
        assert self.counts.counts().balanced(pending)
        assert max(pending.values()) <= self.queue_size
        ends = Counter(id(frame) for frame, _ in self.drops)
        for pair in self.pairs:
            assert pair.visible.source is V
            assert pair.thermal.source is T
            assert abs(pair.skew) <= self.slop
            ends.update((id(pair.visible), id(pair.thermal)))
        assert set(ends.values()) <= {1}
        assert set(ends) <= {id(frame) for frame in self.pushed}
        assert len(ends) + sum(pending.values()) == len(self.pushed)
        for one, two in pairwise(self.pairs):
            assert two.visible.payload > one.visible.payload  # order of arrival
            assert two.thermal.payload > one.thermal.payload
            if self.pairer.jumps == 0:
                assert two.visible.stamp > one.visible.stamp
                assert two.thermal.stamp > one.thermal.stamp
        return self


def in_order(visible, thermal):
    """Merge two streams by stamp; the visible one goes first where they are equal."""
    events = [(V, stamp) for stamp in visible] + [(T, stamp) for stamp in thermal]
    return sorted(events, key=lambda event: event[1])


def stream(rng, rate, count, jitter, *, loss=0.0, phase=0):
    """Return strictly rising stamps in ns of a camera with jitter and lost frames."""
    stamps = START + phase + np.arange(count) * (SECOND // rate) + rng.normal(0, jitter, count)
    stamps = np.unique(stamps.astype(np.int64))
    return [int(stamp) for stamp in stamps[rng.random(len(stamps)) >= loss]]
