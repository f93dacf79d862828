"""5,000 recordings of 1,000 stamps each, against brute force: every pair and every drop.

2,000 are of mode pair (half of them with the rhythm learned, as in the node), 1,000 of mode exact
and 2,000 of mode hold_thermal.
"""

from collections import Counter

import numpy as np
import pytest
from pairing_bench import MS, Bench, HoldingBench, T, V
from pairing_reference import expect_held, expect_pairs, record

from paif_ros.monitoring.accounting import DropReason

PER_BLOCK = 100


def recordings(block, mode, **options):
    """Yield a generator of choices and a recording each time, different for each mode."""
    for seed in range(block * PER_BLOCK, (block + 1) * PER_BLOCK):
        rng = np.random.default_rng([mode, seed])
        yield rng, record(rng, **options)


def run(bench, arrivals):
    return bench.run((arrival.source, arrival.stamp) for arrival in arrivals).check()


def drops(bench):
    return Counter((frame.source, reason) for frame, reason in bench.drops)


@pytest.mark.parametrize('block', range(10))
def test_pair(block):
    made = 0
    for rng, arrivals in recordings(block, 0):
        slop = int(rng.choice([1, 5, 20, 60, 500])) * MS
        bench = run(Bench(slop, 10_000, learn=False), arrivals)
        pairs, dropped, waiting = expect_pairs(arrivals, slop)
        assert bench.stamps() == pairs
        assert drops(bench) == dropped
        assert bench.pending() == waiting
        made += len(pairs)
    assert made > 100 * PER_BLOCK


@pytest.mark.parametrize('block', range(10))
def test_pair_with_the_rhythm_learned(block):
    """As the node does it: what the next frame will be is known before it is there."""
    made = 0
    for rng, arrivals in recordings(block, 1, regular=True):
        slop = int(rng.choice([1, 5, 20, 60])) * MS
        bench = run(Bench(slop, 10_000), arrivals)
        pairs, dropped, _ = expect_pairs(arrivals, slop)
        early = Counter(bench.stamps()) - Counter(pairs)
        assert not Counter(pairs) - Counter(bench.stamps())
        # At the end of a lap it need not wait for a frame that never comes.
        assert early.total() <= arrivals[-1].lap + 1
        for source in (V, T):
            lone = dropped[source, DropReason.NO_PARTNER]
            assert abs(drops(bench)[source, DropReason.NO_PARTNER] - lone) <= arrivals[-1].lap + 1
        made += len(pairs)
    assert made > 100 * PER_BLOCK


@pytest.mark.parametrize('block', range(10))
def test_exact(block):
    made = 0
    for _, arrivals in recordings(block, 2, triggered=True):
        bench = run(Bench(0, 10_000), arrivals)
        pairs, dropped, waiting = expect_pairs(arrivals, 0)
        assert bench.stamps() == pairs
        assert drops(bench) == dropped
        assert bench.pending() == waiting
        assert all(pair.skew == 0 for pair in bench.pairs)
        made += len(pairs)
    assert made > 100 * PER_BLOCK


@pytest.mark.parametrize('block', range(20))
def test_hold_thermal(block):
    made = 0
    for rng, arrivals in recordings(block, 3):
        max_age = int(rng.choice([1, 20, 111, 250, 1000])) * MS
        bench = run(HoldingBench(max_age, 10_000), arrivals)
        held, lone = expect_held(arrivals, max_age)
        made_of = [(p.visible.stamp, p.thermal.stamp, p.reused) for p in bench.pairs]
        assert made_of == held
        assert bench.reasons(V)[DropReason.NO_PARTNER] == lone
        made += len(held)
    assert made > 100 * PER_BLOCK
