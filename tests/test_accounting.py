"""The counters of frames."""

import threading

from paif_ros.accounting import Accounting, DropReason, Source

V, T = Source


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


def test_threads_lose_no_count():
    counts = Accounting()

    def work():
        for _ in range(2000):
            for source in Source:
                counts.receive(source)
            counts.drop_pair(DropReason.SUPERSEDED)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(20.0)
    now = counts.counts()
    assert now.received == {V: 8000, T: 8000}
    assert now.balanced({})
