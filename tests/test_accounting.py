"""The counters of frames."""

import threading

import pytest

from paif_ros.monitoring.accounting import Accounting, DropReason, JobKind, Source

V, T = Source


def test_accounting_by_hand():
    counts = Accounting()
    for source in (V, V, V, T, T):
        counts.receive(source)
    counts.drop(V, DropReason.MALFORMED)
    counts.finish(JobKind.PAIR)
    now = counts.counts()
    assert now.received == {V: 3, T: 2}
    assert now.paired == {V: 1, T: 1}
    assert now.dropped == {V: {DropReason.MALFORMED: 1}, T: {}}
    assert not now.balanced({})
    assert now.balanced({V: 1, T: 1})
    counts.lose(JobKind.PAIR, DropReason.SUPERSEDED)
    assert counts.counts().balanced({})
    assert now.paired == {V: 1, T: 1}
    assert not now.balanced({})


@pytest.mark.parametrize(
    ('kind', 'paired', 'single', 'reused'),
    [
        (JobKind.PAIR, {V: 1, T: 1}, {V: 0, T: 0}, 0),
        (JobKind.REUSED, {V: 1, T: 0}, {V: 0, T: 0}, 1),
        (JobKind.VISIBLE_ALONE, {V: 0, T: 0}, {V: 1, T: 0}, 0),
        (JobKind.THERMAL_ALONE, {V: 0, T: 0}, {V: 0, T: 1}, 0),
    ],
)
def test_each_kind_of_job_ends_its_own_frames(kind, paired, single, reused):
    counts = Accounting()
    for source in kind.consumes:
        counts.receive(source)
        counts.receive(source)
    counts.finish(kind)
    now = counts.counts()
    assert (now.paired, now.single, now.reused) == (paired, single, reused)
    assert now.balanced(dict.fromkeys(kind.consumes, 1))
    counts.lose(kind, DropReason.STALE)
    now = counts.counts()
    assert now.reused == reused
    assert {source for source in Source if now.dropped[source]} == set(kind.consumes)
    assert now.balanced({})


def test_kinds_by_camera():
    assert [JobKind.alone(source).consumes for source in Source] == [(V,), (T,)]
    assert [kind.is_pair for kind in JobKind] == [True, True, False, False]
    assert [source.other for source in Source] == [T, V]


def test_names_in_messages_are_the_plain_values():
    assert f'{T} {DropReason.NO_PARTNER} {JobKind.REUSED}' == 'thermal no_partner reused'


def test_threads_lose_no_count():
    counts = Accounting()

    def work():
        for _ in range(2000):
            for source in Source:
                counts.receive(source)
            counts.lose(JobKind.PAIR, DropReason.SUPERSEDED)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(20.0)
    now = counts.counts()
    assert now.received == {V: 8000, T: 8000}
    assert now.balanced({})
