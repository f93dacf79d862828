"""Reads one sqlite3 file of a bag, whole or broken: what is readable comes out, the rest is told.

A whole file is read in order of time. Where a page of it is broken or missing, the messages are
asked for one by one by their number, which SQLite answers for each that it can still reach.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from paif_ros.replay.feed import Item, RecordingError, TopicInfo
from paif_ros.replay.record import Loss

MAGIC = b'SQLite format 3\x00'
PATIENCE = 100_000  # numbers in a row without a message after which none is expected any more
EVER = 2**62


class SqliteFile:
    """One file.

    Args:
        path: of the file.
        name: for texts.
        expected: how many messages the bag's metadata claims it has, None where it does not say.

    Raises:
        RecordingError: not even its topics can be read.
    """

    def __init__(self, path: Path, name: str, expected: int | None = None) -> None:
        self._name = name
        self._expected = expected
        self.losses: list[Loss] = []
        self.span: tuple[int, int] | None = None
        try:
            self._base = _opened(path)
            self._topics = self._read_topics()
        except sqlite3.Error as err:
            reason = f'no bag that SQLite can read ({err}); a copy may be whole'
            raise RecordingError(path, reason) from err
        with suppress(sqlite3.Error):  # what is broken is found out again when it is read
            first, last = self._base.execute(
                'SELECT (SELECT min(timestamp) FROM messages), '
                '(SELECT max(timestamp) FROM messages)'
            ).fetchone()
            if first is not None:
                self.span = (first, last)

    @property
    def topics(self) -> list[TopicInfo]:
        """Its topics."""
        return list(self._topics.values())

    def close(self) -> None:
        """Close the file."""
        self._base.close()

    def messages(self, topics: set[str] | None, start: int, stop: int) -> Iterator[Item]:
        """Give the messages of some topics from `start` to before `stop`, ns."""
        self.losses.clear()
        numbers = [n for n, t in self._topics.items() if topics is None or t.name in topics]
        given: set[int] = set()
        try:
            rows = self._base.execute(
                'SELECT id, topic_id, timestamp, data FROM messages WHERE timestamp >= ? AND '
                'timestamp < ? AND topic_id IN (SELECT value FROM json_each(?)) '
                'ORDER BY timestamp, id',
                (max(start, -EVER), min(stop, EVER), json.dumps(numbers)),
            )
            for number, topic, when, data in rows:
                given.add(number)
                yield Item(self._topics[topic], when, data)
        except sqlite3.DatabaseError as err:
            yield from self._one_by_one(set(numbers), start, stop, given, str(err))

    def _one_by_one(
        self, topics: set[int], start: int, stop: int, given: set[int], fault: str
    ) -> Iterator[Item]:
        """Give what is left, in the order in which it was recorded."""
        saved = broken = misses = 0
        number = 0
        last = 0
        while misses < PATIENCE and (self._expected is None or number < self._expected):
            number += 1
            row, failed = self._row(number)
            if row is None:
                misses += 1
                broken += failed
                continue
            misses, last = 0, number
            topic, when, data = row
            if number not in given and topic in topics and start <= when < stop:
                saved += 1
                yield Item(self._topics[topic], when, data)
        lost = f'{broken} of them' if self._expected is not None else 'how many is not known'
        self.losses.append(
            Loss(
                self._name,
                f'broken ({fault}): {len(given)} messages were read in order, {saved} more saved '
                f'one by one, up to number {last}; the others are lost ({lost})',
            )
        )

    def _row(self, number: int) -> tuple[tuple[int, int, bytes] | None, bool]:
        """Return a message, and whether asking for it failed."""
        try:
            row = self._base.execute(
                'SELECT topic_id, timestamp, data FROM messages WHERE id = ?', (number,)
            ).fetchone()
        except sqlite3.DatabaseError:
            return None, True
        whole = row is not None and row[0] in self._topics and isinstance(row[2], bytes)
        return (row if whole else None), False

    def _read_topics(self) -> dict[int, TopicInfo]:
        columns = {row[1] for row in self._base.execute('PRAGMA table_info(topics)')}
        digest = 'type_description_hash' if 'type_description_hash' in columns else "''"
        definitions = self._definitions()
        rows = self._base.execute(f'SELECT id, name, type, {digest} FROM topics')  # noqa: S608
        return {
            number: TopicInfo(name, kind, None, definitions.get(kind, ''), code)
            for number, name, kind, code in rows
        }

    def _definitions(self) -> dict[str, str]:
        """Return the types' definitions by name; bags of Humble have none."""
        try:
            rows: Any = self._base.execute(
                'SELECT topic_type, encoded_message_definition FROM message_definitions'
            )
            return dict(rows)
        except sqlite3.Error:
            return {}


def _opened(path: Path) -> sqlite3.Connection:
    """Open read-only; a file whose journal can't be replayed is read as it lies there.

    SQLite refuses a file that is shorter than it says, unless writable_schema is on.
    """
    error: sqlite3.Error | None = None
    for how, shorter in (('mode=ro', False), ('mode=ro&immutable=1', False), ('mode=ro', True)):
        base = sqlite3.connect(f'{path.absolute().as_uri()}?{how}', uri=True)
        try:
            if shorter:
                base.execute('PRAGMA writable_schema=ON')
            base.execute('SELECT count(*) FROM topics').fetchone()
        except sqlite3.Error as err:
            error = err
            base.close()
        else:
            return base
    assert error is not None
    raise error
