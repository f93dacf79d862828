"""Reads one mcap file, whole or broken: what is readable comes out, what is not is told.

A whole file is read by its index in order of time. One whose end was never written, as after a
power cut, is read from front to back, down to the last message inside the last chunk, be it
compressed. A chunk that is damaged costs that chunk, and of a compressed one only what lies
behind the damage. Records are parsed by the mcap library.
"""

from __future__ import annotations

import heapq
import struct
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import IO, Any

from paif_ros.replay.feed import Item, RecordingError, TopicInfo
from paif_ros.replay.record import Loss

MAGIC = b'\x89MCAP0\r\n'
HEAD = struct.Struct('<BQ')  # opcode and length of a record
SCHEMA, CHANNEL, MESSAGE, CHUNK, DATA_END, FOOTER = 0x03, 0x04, 0x05, 0x06, 0x0F, 0x02
LEAST_CHUNK = 40  # bytes before the name of the compression
MAX_CHUNK = 2**32  # bytes when uncompressed; no recorder writes more than a few mebibytes
PEEK = 64 * 2**20  # bytes in which every topic of an unindexed file is expected to show up
PIECE = 64 * 2**10


class McapFile:
    """One file.

    Args:
        path: of the file.
        name: for texts.

    Raises:
        RecordingError: it is no mcap file at all.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._file: IO[bytes] = path.open('rb')
        self._size = path.stat().st_size
        self._name = name
        self.losses: list[Loss] = []
        self.span: tuple[int, int] | None = None
        self._schemas: dict[int, Any] = {}
        self._topics: dict[int, TopicInfo] = {}
        self._chunks: list[Any] = []
        self._told: set[str] = set()
        if self._file.read(len(MAGIC)) != MAGIC:
            self._file.close()
            raise RecordingError(path, 'is no mcap file: its first bytes are others')
        self._read_summary()

    @property
    def topics(self) -> list[TopicInfo]:
        """Its topics, of an unindexed file those of the first mebibytes."""
        return list(self._topics.values())

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def messages(self, topics: set[str] | None, start: int, stop: int) -> Iterator[Item]:
        """Give the messages of some topics from `start` to before `stop`, ns."""
        self.losses.clear()
        self._told.clear()
        if not self._chunks:
            for item in self._scan():
                if start <= item.log_ns < stop and (topics is None or item.topic.name in topics):
                    yield item
            return
        yield from self._by_index(topics, start, stop)

    # ---- with an index

    def _read_summary(self) -> None:
        """Read topics and chunks from the file's end, or else topics from its beginning."""
        from mcap.exceptions import McapError
        from mcap.reader import SeekingReader

        summary = None
        try:
            self._file.seek(0)
            summary = SeekingReader(self._file).get_summary()
        except (McapError, OSError, ValueError, struct.error, StopIteration, KeyError):
            pass  # there is none, or it is broken: the data may be good all the same
        whole = summary is not None and summary.chunk_indexes and summary.channels
        if not whole or not self._chunks_fit(summary):
            self._peek()
            return
        assert summary is not None
        self._schemas = dict(summary.schemas)
        counts = summary.statistics.channel_message_counts if summary.statistics else None
        for channel in summary.channels.values():
            self._add_channel(channel, None if counts is None else counts.get(channel.id, 0))
        self._chunks = sorted(summary.chunk_indexes, key=lambda c: c.message_start_time)
        held = [c for c in self._chunks if c.message_end_time]
        if held:
            last = max(c.message_end_time for c in held)
            self.span = (held[0].message_start_time, last)

    def _chunks_fit(self, summary: Any) -> bool:
        return all(
            chunk.chunk_start_offset + chunk.chunk_length <= self._size
            and all(number in summary.channels for number in chunk.message_index_offsets)
            for chunk in summary.chunk_indexes
        )

    def _by_index(self, topics: set[str] | None, start: int, stop: int) -> Iterator[Item]:
        """Merge the chunks by time; they may overlap."""
        numbers = {n for n, t in self._topics.items() if topics is None or t.name in topics}
        chunks = [
            chunk
            for chunk in self._chunks
            if chunk.message_end_time >= start
            and chunk.message_start_time < stop
            # A chunk without message indexes may hold anything.
            and (not chunk.message_index_offsets or numbers & set(chunk.message_index_offsets))
        ]
        waiting: list[tuple[int, int, int, Item]] = []
        for chunk in chunks:
            while waiting and waiting[0][0] < chunk.message_start_time:
                yield heapq.heappop(waiting)[-1]
            offset = chunk.chunk_start_offset
            self._file.seek(offset + HEAD.size)
            record = self._file.read(chunk.chunk_length - HEAD.size)
            for index, item in enumerate(self._items(record, offset, len(record))):
                wanted = topics is None or item.topic.name in topics
                if wanted and start <= item.log_ns < stop:
                    heapq.heappush(waiting, (item.log_ns, offset, index, item))
        while waiting:
            yield heapq.heappop(waiting)[-1]

    # ---- without one

    def _peek(self) -> None:
        for _ in self._scan(PEEK):
            pass
        self.losses.clear()
        self._told.clear()

    def _scan(self, limit: int | None = None) -> Iterator[Item]:
        """Read from front to back, as far as `limit` bytes or as there are records."""
        place = len(MAGIC)
        while limit is None or place < limit:
            self._file.seek(place)
            head = self._file.read(HEAD.size)
            if len(head) < HEAD.size:
                self._lose(self._size - place, 'its end is missing: the recording was cut off')
                return
            kind, length = HEAD.unpack(head)
            if kind in (DATA_END, FOOTER):
                return
            body = place + HEAD.size
            cut = body + length > self._size
            if cut and kind not in (CHUNK, MESSAGE):
                text = f'no readable record at byte {place}: what follows is lost'
                self._lose(self._size - place, text)
                return
            if kind in (SCHEMA, CHANNEL, MESSAGE, CHUNK):
                record = self._file.read(min(length, self._size - body))
                if kind == CHUNK:
                    yield from self._items(record, place, length)
                elif not cut:
                    yield from self._take(kind, record)
            if cut:
                if kind == MESSAGE:
                    self._lose(self._size - place, 'its end is missing, within a message')
                return
            place = body + length

    # ---- chunks

    def _items(self, record: bytes, place: int, length: int) -> list[Item]:
        """Return the messages of a chunk by time, as many as can be read."""
        if len(record) < LEAST_CHUNK:
            self._lose(len(record), f'its end is missing, from byte {place} on')
            return []
        size, crc, name_size = struct.unpack_from('<QII', record, 16)
        data_at = 32 + name_size + 8
        compression = record[32 : 32 + name_size].decode('ascii', 'replace')
        if size > MAX_CHUNK or data_at > len(record):
            self._lose(len(record), f'chunk at byte {place} has no sensible header')
            return []
        data, fault = _unpacked(compression, record[data_at:], size, crc)
        items = []
        place_in, end = 0, len(data)
        while place_in + HEAD.size <= end:
            kind, step = HEAD.unpack_from(data, place_in)
            if place_in + HEAD.size + step > end:
                break
            begin = place_in + HEAD.size
            items += self._take(kind, data[begin : begin + step])
            place_in = begin + step
        if len(record) < length:
            fault = 'cut off: the recording ended within it'
        elif place_in < size and not fault:
            fault = 'cut short'
        if fault:
            saved = f'{len(items)} messages of it are saved'
            self._lose(size - place_in, f'chunk at byte {place} is {fault}; {saved}')
        return sorted(items, key=lambda item: item.log_ns)

    def _take(self, kind: int, record: bytes) -> list[Item]:
        """Take note of a schema or channel, or return a message."""
        from mcap.data_stream import ReadDataStream
        from mcap.records import Channel, Schema

        if kind == MESSAGE:
            if len(record) < 22:
                return []
            number, _, log_ns, _ = struct.unpack_from('<HIQQ', record)
            topic = self._topics.get(number)
            return [] if topic is None else [Item(topic, log_ns, record[22:])]
        try:
            if kind == SCHEMA:
                schema = Schema.read(ReadDataStream(BytesIO(record)))
                self._schemas[schema.id] = schema
            elif kind == CHANNEL:
                self._add_channel(Channel.read(ReadDataStream(BytesIO(record))), None)
        except Exception:  # the library raises what comes; a broken record is left out
            self._lose(len(record), 'a record that describes a topic is broken')
        return []

    def _add_channel(self, channel: Any, count: int | None) -> None:
        if channel.id in self._topics:
            return
        schema = self._schemas.get(channel.schema_id)
        kind = schema.name if schema is not None else ''
        definition = schema.data.decode('utf-8', 'replace') if schema is not None else ''
        self._topics[channel.id] = TopicInfo(channel.topic, kind, count, definition)

    def _lose(self, size: int, what: str) -> None:
        if what not in self._told:
            self._told.add(what)
            self.losses.append(Loss(self._name, what, max(0, size)))


def _unpacked(compression: str, data: bytes, size: int, crc: int) -> tuple[bytes, str]:
    """Return a chunk's bytes, as many as can be had, and what is wrong with it or ''."""
    import zlib

    if compression not in ('', 'lz4', 'zstd'):
        return b'', f'compressed with {compression!r}, which nothing here reads'
    fault = ''
    plain = data
    if compression:
        pieces: list[bytes] = []
        unpack = _unpacker(compression)
        room = size
        try:
            for at in range(0, len(data), PIECE):
                pieces.append(unpack(data[at : at + PIECE]))
                room -= len(pieces[-1])
                if room < 0:
                    fault = 'longer than it says'
                    break
        except Exception as err:  # of lz4 or zstandard
            fault = f'damaged ({err})'
        plain = b''.join(pieces)[:size]
    if not fault and len(plain) == size and crc and zlib.crc32(plain) != crc:
        fault = 'damaged (wrong checksum: some of its bytes are others than were recorded)'
    return plain, fault


def _unpacker(compression: str) -> Any:
    if compression == 'lz4':
        from lz4.frame import LZ4FrameDecompressor  # type: ignore[import-untyped]

        return LZ4FrameDecompressor().decompress
    import zstandard

    return zstandard.ZstdDecompressor().decompressobj().decompress
