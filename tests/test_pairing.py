"""The pairer against a brute-force reference, and what it must keep on any input."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paif_ros.errors import ParameterError
from paif_ros.pairing import Accounting, DropReason, Frame, Pair, Pairer, Source

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
            self.counts.pair()
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


def reference(visible, thermal, slop):
    """Pair two whole streams. Returns the pairs and how many frames are left undecided.

    Written from the rule on complete streams: the older head stays only if it is the nearest of
    all that its stream still has to the other head; the first of equally near ones wins.
    """
    v, t = (np.array(stream, np.int64) for stream in (visible, thermal))
    i = j = 0
    pairs = []
    while i < len(v) and j < len(t):
        visible_is_older = v[i] <= t[j]
        rest, other = (v[i:], t[j]) if visible_is_older else (t[j:], v[i])
        distance = np.abs(rest - other)
        if distance[0] > slop or distance.argmin() > 0:
            i, j = (i + 1, j) if visible_is_older else (i, j + 1)
            continue
        if len(rest) == 1 and distance[0] > 0:
            break
        pairs.append((int(v[i]), int(t[j])))
        i, j = i + 1, j + 1
    return pairs, (len(v) - i, len(t) - j)


def stream(rng, rate, count, jitter, *, loss=0.0, phase=0):
    """Return strictly rising stamps in ns of a camera with jitter and lost frames."""
    stamps = START + phase + np.arange(count) * (SECOND // rate) + rng.normal(0, jitter, count)
    stamps = np.unique(stamps.astype(np.int64))
    return [int(stamp) for stamp in stamps[rng.random(len(stamps)) >= loss]]


def any_interleaving(rng, visible, thermal):
    """Merge two streams at random, each in its own order: any delay between them."""
    sides = np.array([True] * len(visible) + [False] * len(thermal))
    style = rng.integers(3)
    if style == 0:
        rng.shuffle(sides)
    elif style == 1:
        sides = sides[::-1]
    queues = {True: iter(visible), False: iter(thermal)}
    return [(V if side else T, next(queues[side])) for side in sides.tolist()]


def draw_streams(rng, count=300):
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


@pytest.mark.parametrize('block', range(6))
def test_equals_the_reference_whatever_the_interleaving(block):
    for seed in range(block * 50, block * 50 + 50):
        rng = np.random.default_rng(seed)
        visible, thermal = draw_streams(rng)
        slop = int(rng.choice([0, 2, 17, 60, 500])) * MS
        expected, undecided = reference(visible, thermal, slop)
        for events in (any_interleaving(rng, visible, thermal), in_order(visible, thermal)):
            bench = Bench(slop, 10_000, learn=False).run(events).check()
            assert bench.stamps() == expected
            assert tuple(bench.pending().values()) == undecided
            assert set(bench.reasons(V)) | set(bench.reasons(T)) <= {DropReason.NO_PARTNER}


small = st.lists(st.integers(1, 40), max_size=25)


@settings(max_examples=300, deadline=None)
@given(small, small, st.integers(0, 20), st.randoms(use_true_random=False))
def test_small_streams_equal_the_reference(visible_steps, thermal_steps, slop, random):
    """Tiny integers hit the ties that real stamps never do."""
    visible, thermal = (np.cumsum(steps).tolist() for steps in (visible_steps, thermal_steps))
    sides = [V] * len(visible) + [T] * len(thermal)
    random.shuffle(sides)
    queues = {V: iter(visible), T: iter(thermal)}
    bench = Bench(slop, 100, learn=False).run((side, next(queues[side])) for side in sides)
    assert bench.check().stamps() == reference(visible, thermal, slop)[0]


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


@pytest.mark.parametrize('learn', [True, False])
def test_any_garbage_is_accounted_for_and_a_clean_stretch_pairs_again(learn):
    for seed in range(150):
        rng = np.random.default_rng(seed)
        visible, thermal = draw_streams(rng)
        garbage = litter(rng, any_interleaving(rng, visible, thermal))
        size = int(rng.choice([1, 2, 10, 100]))
        bench = Bench(20 * MS, size, learn=learn).run(garbage).check()
        # Two clean cameras from now on, either later or earlier than what the garbage reached.
        resume = START + int(rng.choice([-100, 100])) * SECOND
        clean = [resume + i * 33 * MS for i in range(120)]
        before = len(bench.pairs)
        bench.run(in_order(clean, [stamp + 5 * MS for stamp in clean])).check()
        assert len(bench.pairs) - before >= 80, seed


@pytest.mark.parametrize('rates', [(30, 9), (9, 30), (60, 30), (30, 30)])
@pytest.mark.parametrize('learn', [True, False])
def test_bounded_queues_lose_nothing_at_camera_delays(rates, learn):
    rng = np.random.default_rng(7)
    visible, thermal = (stream(rng, rate, 10 * rate, MS) for rate in rates)
    lag = 60 * MS  # the thermal frames come in later than their stamps say
    events = sorted(in_order(visible, thermal), key=lambda e: e[1] + (lag if e[0] is T else 0))
    bench = Bench(20 * MS, 20, learn=learn).run(events).check()
    overlap = min(visible[-1], thermal[-1]) - START
    assert len(bench.pairs) >= overlap * min(rates) // SECOND * 0.97
    assert DropReason.OVERFLOW not in bench.reasons(T)


def test_learning_saves_the_wait_and_changes_no_pair():
    visible = [START + i * 33 * MS for i in range(100)]
    events = in_order(visible, [stamp + 8 * MS for stamp in visible])
    patient, quick = Bench(learn=False).run(events), Bench().run(events)
    assert quick.stamps()[:99] == patient.stamps()[:99]
    waits = [max(0, p.visible.payload, p.thermal.payload) for p in quick.pairs]
    # Once the interval is known each pair comes with its own thermal frame, not one frame later.
    fresh = Bench()
    made = [bool(fresh.push(*event)) for event in events]
    assert made[10::2] == [False] * len(made[10::2])
    assert made[11::2] == [True] * len(made[11::2])
    assert waits == sorted(waits)


def test_learning_still_waits_where_a_nearer_frame_may_come():
    bench = Bench()
    bench.run(in_order([START + i * 33 * MS for i in range(10)], []))
    assert bench.pairs == []
    assert bench.push(T, START + 9 * 33 * MS + 16 * MS) == []
    assert len(bench.push(V, START + 10 * 33 * MS)) == 1
    assert bench.pairs[0].skew == -16 * MS or bench.pairs[0].skew == 17 * MS


def test_equal_stamps_pair_at_once():
    bench = Bench(slop=0)
    for i in range(1, 5):
        assert bench.push(V, i * SECOND) == []
        (pair,) = bench.push(T, i * SECOND)
        assert pair.skew == 0
    assert bench.check().drops == []


def test_pair_knows_skew_and_receipt():
    pair = Pair(Frame(V, 100, 7, 'v'), Frame(T, 130, 5, 't'))
    assert (pair.skew, pair.received) == (-30, 7)


def test_bad_stamps_duplicates_and_late_frames():
    bench = Bench()
    bench.run([(V, 0), (V, -5), (V, SECOND), (V, SECOND), (V, SECOND - MS), (V, SECOND + 1)])
    assert bench.check().reasons(V) == {
        DropReason.BAD_STAMP: 2, DropReason.DUPLICATE: 1, DropReason.OUT_OF_ORDER: 1,
    }  # fmt: skip
    assert bench.pending() == {V: 2, T: 0}


def test_full_queue_drops_its_oldest():
    bench = Bench(queue_size=3).run((V, i * SECOND) for i in range(1, 6))
    assert [frame.stamp // SECOND for frame, _ in bench.drops] == [1, 2]
    assert bench.check().reasons(V) == {DropReason.OVERFLOW: 2}


def test_flush_drops_all_and_starts_afresh():
    bench = Bench().run([(V, 9 * SECOND), (V, 10 * SECOND)])
    bench.pairer.flush(DropReason.SHUTDOWN)
    assert bench.check().reasons(V) == {DropReason.SHUTDOWN: 2}
    assert bench.pending() == {V: 0, T: 0}
    bench.run([(V, 1 * SECOND), (T, 1 * SECOND)])
    assert bench.check().stamps() == [(SECOND, SECOND)]
    assert bench.pairer.jumps == 0


@pytest.mark.parametrize('learn', [True, False])
@pytest.mark.parametrize('tails', [(0, 0), (0, 2), (2, 0), (0.05, 0), (0, 0.05), (0, 8), (8, 0)])
@pytest.mark.parametrize('rates', [(30, 30), (30, 9), (60, 30)])
def test_three_laps_of_a_bag_give_equal_pairs(rates, tails, learn):
    """Each lap is ten seconds, of which either camera may miss the last ones."""
    rng = np.random.default_rng(3)
    streams = [stream(rng, rate, 10 * rate, MS, loss=0.05, phase=4 * MS) for rate in rates]
    for stamps, tail in zip(streams, tails, strict=True):
        while stamps[-1] > START + (10 - tail) * SECOND:
            stamps.pop()
    lap = in_order(*streams)
    bench = Bench(learn=learn)
    per_lap = []
    for _ in range(3):
        before = len(bench.pairs)
        bench.run(lap).check()
        per_lap.append(bench.stamps()[before:])
    assert per_lap[0] == per_lap[1] == per_lap[2]
    assert per_lap[0]
    assert bench.pairer.jumps == 2


def test_new_lap_keeps_the_frames_of_who_jumped_first():
    lap = [(V, START + i * 33 * MS) for i in range(60)]
    partners = [(T, stamp + MS) for _, stamp in lap]
    bench = Bench(queue_size=100).run(lap + partners + lap)
    assert bench.reasons(V) == {}
    before = len(bench.pairs)
    bench.run(partners)
    assert len(bench.check().pairs) - before >= 59


def test_stragglers_of_the_old_lap_are_dropped():
    bench = Bench().run([(V, START + 9 * SECOND), (T, START + 9 * SECOND)])
    bench.run([(V, START), (T, START + 9 * SECOND + 33 * MS), (T, START + MS)])
    bench.push(V, START + 33 * MS)
    assert bench.reasons(T) == {DropReason.TIME_JUMP: 1}
    assert bench.check().stamps()[1:] == [(START, START + MS)]


def test_a_camera_alone_set_back_and_right_again():
    """The thermal clock starts at 1970, is set right, and pairs come back without a jump of V."""
    clean = [START + i * 33 * MS for i in range(200)]
    bench = Bench().run(in_order(clean[:50], clean[:50]))
    assert len(bench.pairs) == 50
    for i, stamp in enumerate(clean[50:100]):
        bench.run([(V, stamp), (T, 5 * SECOND + i * 33 * MS)])
    assert len(bench.check().pairs) == 50
    bench.run(in_order(clean[100:], clean[100:])).check()
    assert len(bench.pairs) >= 149


def test_a_clock_set_back_by_little_more_than_the_jump():
    """One stream sees a step beyond the limit and the other, for its gap, one below it."""
    rate = 33 * MS
    bench = Bench().run((s, START + i * rate) for i in range(100) for s in (V, T))
    back = START + 100 * rate - SECOND - 40 * MS
    for i in range(100):
        bench.push(V, back + i * rate)
        bench.push(T, back + 7 * MS + i * rate)
    assert len(bench.check().pairs) >= 198


def test_a_jump_forward_of_both_costs_one_frame_at_most():
    later = [START + 3600 * SECOND + i * 33 * MS for i in range(50)]
    bench = Bench().run([(V, START), (T, START + MS), (V, START + 33 * MS)])
    bench.run(in_order(later, later)).check()
    assert len(bench.pairs) == 51


def test_a_frame_of_the_far_future_blocks_nobody():
    clean = [START + i * 33 * MS for i in range(100)]
    bench = Bench().run(in_order(clean[:10], clean[:10]))
    bench.push(V, START * 2)
    bench.run(in_order(clean[10:], clean[10:])).check()
    assert len(bench.pairs) >= 98


def test_a_camera_that_restarts_pairs_again():
    clean = [START + i * 33 * MS for i in range(300)]
    gone = [*clean[:100], *clean[200:]]
    bench = Bench().run(in_order(clean, gone)).check()
    assert len(bench.pairs) == 200
    assert sum(bench.reasons(V).values()) == 100


def test_last_skews_show_the_slop_that_is_needed():
    visible = [START + i * 100 * MS for i in range(20)]
    bench = Bench(slop=10 * MS).run(in_order(visible, [stamp + 30 * MS for stamp in visible]))
    assert bench.pairs == []
    assert min(abs(skew) for skew in bench.pairer.last_skews) == 30 * MS
    assert len(bench.pairer.last_skews) <= 64


@pytest.mark.parametrize('reenter', [True, False])
def test_a_failing_callback_loses_no_pair(reenter, caplog):
    def broken(frame, reason):
        if reenter:
            pairer.push(Frame(V, 0, 0, None)) if reason is not DropReason.BAD_STAMP else None
        raise RuntimeError(reason)

    pairer = Pairer(20 * MS, 10, broken)
    clean = [START + i * 33 * MS for i in range(50)]
    events = [event for stamp in clean for event in ((V, stamp), (V, stamp), (T, stamp))]
    made = sum(len(pairer.push(Frame(source, stamp, 0, None))) for source, stamp in events)
    assert made == 50
    assert 'on_drop failed for a duplicate frame' in caplog.text


@pytest.mark.parametrize(('name', 'value'), [('slop', -1), ('queue_size', 0), ('jump', 0)])
def test_options_are_checked(name, value):
    with pytest.raises(ParameterError) as caught:
        Bench(**{name: value})
    assert caught.value.name == name


def test_accounting_by_hand():
    counts = Accounting()
    for source in (V, V, V, T, T):
        counts.receive(source)
    counts.drop(V, DropReason.MALFORMED)
    counts.pair()
    now = counts.counts()
    assert now.received == {V: 3, T: 2}
    assert now.dropped == {V: {DropReason.MALFORMED: 1}, T: {}}
    assert not now.balanced({})
    assert now.balanced({V: 1, T: 1})
    counts.drop_pair(DropReason.SUPERSEDED)
    assert counts.counts().balanced({})
    assert now.paired == 1
    assert not now.balanced({})


def test_names_in_messages_are_the_plain_values():
    assert f'{Source.THERMAL} {DropReason.NO_PARTNER}' == 'thermal no_partner'
