"""The mailbox, with real threads."""

import threading
import time

from paif_ros.fusion.mailbox import Mailbox


def test_newest_value_wins():
    box = Mailbox()
    assert box.put('a') is None
    assert box.put('b') == 'a'
    assert box.pending == 1
    assert box.get(0.0) == 'b'
    assert box.pending == 0


def test_falsy_values_are_values():
    box = Mailbox()
    box.put(0)
    assert box.pending == 1
    assert box.put('') == 0
    assert box.get(1.0) == ''


def test_empty_mailbox_waits_out_the_timeout():
    box = Mailbox()
    start = time.monotonic()
    assert box.get(0.05) is None
    assert 0.04 < time.monotonic() - start < 1.0
    assert not box.closed
    assert box.get(-1.0) is None


def test_put_wakes_the_waiter():
    box = Mailbox()
    got = []
    worker = threading.Thread(target=lambda: got.append(box.get(10.0)), daemon=True)
    worker.start()
    box.put('pair')
    worker.join(5.0)
    assert got == ['pair']


def test_close_wakes_every_waiter_at_once():
    box = Mailbox()
    got = []
    # Daemons, so that a lost wake-up fails the test and does not hang it.
    workers = [
        threading.Thread(target=lambda: got.append(box.get()), daemon=True) for _ in range(3)
    ]
    for worker in workers:
        worker.start()
    time.sleep(0.02)
    start = time.monotonic()
    assert box.close() is None
    for worker in workers:
        worker.join(5.0)
    assert time.monotonic() - start < 1.0
    assert got == [None] * 3


def test_closing_hands_back_what_nobody_will_get():
    box = Mailbox()
    box.put('left')
    assert box.close() == 'left'
    assert box.close() is None
    assert box.closed
    assert box.put('late') == 'late'
    assert box.pending == 0
    assert box.get() is None


def test_every_value_has_exactly_one_end():
    """A fast sender and a slow worker: got + replaced + left is all that was put, in order."""
    box = Mailbox()
    got, replaced = [], []

    def work():
        while (value := box.get(5.0)) is not None:
            got.append(value)
            if value % 7 == 0:
                time.sleep(0.0005)

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    total = 5000
    for value in range(1, total + 1):
        if (old := box.put(value)) is not None:
            replaced.append(old)
        if value % 50 == 0:
            time.sleep(0.0002)
    left = box.close()
    worker.join(5.0)
    assert not worker.is_alive()
    ends = got + replaced + ([] if left is None else [left])
    assert sorted(ends) == list(range(1, total + 1))
    assert got == sorted(got)
    assert got
