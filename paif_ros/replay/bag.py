"""Reads a ROS 2 bag: mcap or sqlite3, in one file or many, compressed or not, whole or broken."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from paif_ros.replay.feed import Item, RecordingError, TopicInfo
from paif_ros.replay.mcap_file import MAGIC as MCAP_MAGIC
from paif_ros.replay.mcap_file import McapFile
from paif_ros.replay.record import Loss
from paif_ros.replay.sqlite_file import EVER, SqliteFile
from paif_ros.replay.sqlite_file import MAGIC as SQLITE_MAGIC

METADATA = 'metadata.yaml'
ENDINGS = ('.mcap', '.db3', '.mcap.zstd', '.db3.zstd')
ZSTD_MAGIC = b'\x28\xb5\x2f\xfd'
MAX_METADATA = 64 * 2**20
MAX_MESSAGE = 2**31  # bytes of one message when uncompressed
PIECE = 2**20


@dataclass(frozen=True)
class _Metadata:
    """What metadata.yaml says, as far as it is needed."""

    files: tuple[str, ...] = ()
    counts: Mapping[str, int] | None = None  # messages by file
    starts: tuple[int, ...] = ()  # of the files
    digests: Mapping[str, str] | None = None  # RIHS01 by type
    topics: Mapping[str, int] | None = None  # messages by topic


class Bag:
    """A bag, read file after file. A `Feed`.

    Args:
        path: folder of the bag, or one of its files.

    Raises:
        RecordingError: there is no bag, or nothing of it can be read.
    """

    kind = 'bag'

    def __init__(self, path: Path) -> None:
        self._path = path
        self._losses: list[Loss] = []
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        folder = path if path.is_dir() else path.parent
        self._metadata = _Metadata()
        if path.is_dir() or path.name == METADATA:
            self._metadata = self._read_metadata(folder / METADATA)
            self.files: Sequence[Path] = self._find_files(folder)
        elif path.is_file():
            self.files = (path,)
        else:
            raise RecordingError(path, 'no such file or folder')
        self._open: list[McapFile | SqliteFile] = []
        self._own_losses = len(self._losses)
        try:
            for file in self.files:
                self._add(file)
        except BaseException:
            self.close()
            raise
        if not self._open:
            told = '; '.join(f'{loss.file}: {loss.what}' for loss in self._losses)
            self.close()
            raise RecordingError(path, f'nothing of this bag can be read: {told or "it is empty"}')

    @property
    def topics(self) -> Sequence[TopicInfo]:
        """All topics of all files, with the sum of their messages."""
        found: dict[tuple[str, str], TopicInfo] = {}
        for file in self._open:
            for topic in file.topics:
                key = (topic.name, topic.kind)
                before = found.get(key)
                if before is None:
                    found[key] = topic
                elif before.count is not None:
                    total = None if topic.count is None else before.count + topic.count
                    found[key] = replace(before, count=total)
        return [self._known(topic) for topic in found.values()]

    @property
    def losses(self) -> Sequence[Loss]:
        """What could not be read so far."""
        return [*self._losses, *(loss for file in self._open for loss in file.losses)]

    @property
    def borders(self) -> Sequence[int]:
        """The times at which a new file of the bag begins."""
        starts = [file.span[0] for file in self._open if file.span is not None]
        return sorted(starts)[1:] if len(starts) == len(self._open) else self._metadata.starts[1:]

    @property
    def span(self) -> tuple[int, int] | None:
        """Times of the first and last message."""
        spans = [file.span for file in self._open]
        known = [span for span in spans if span is not None]
        if not known or len(known) < len(spans):
            return None
        return min(first for first, _ in known), max(last for _, last in known)

    def messages(
        self,
        topics: Iterable[str] | None = None,
        start: int | None = None,
        stop: int | None = None,
    ) -> Iterator[Item]:
        """Give the messages in order of time, file after file, see `Feed`."""
        wanted = None if topics is None else set(topics)
        first, last = -EVER if start is None else start, EVER if stop is None else stop
        for file in self._open:
            if file.span is not None and not (file.span[0] < last and file.span[1] >= first):
                continue
            for item in file.messages(wanted, first, last):
                if item.data[:4] == ZSTD_MAGIC:  # CDR begins with a zero byte
                    opened = self._decompressed(item)
                    if opened is not None:
                        yield opened
                else:
                    yield item

    def close(self) -> None:
        """Close all files."""
        for file in self._open:
            file.close()
        if self._folder is not None:
            self._folder.cleanup()

    def _known(self, topic: TopicInfo) -> TopicInfo:
        digests = self._metadata.digests or {}
        count = (self._metadata.topics or {}).get(topic.name, topic.count)
        return replace(topic, count=count, digest=topic.digest or digests.get(topic.kind, ''))

    def _decompressed(self, item: Item) -> Item | None:
        """Open a message that was compressed by itself."""
        import zstandard

        try:
            data = zstandard.ZstdDecompressor().decompress(item.data, MAX_MESSAGE)
        except zstandard.ZstdError as err:
            what = f'a message of {item.topic.name} can not be decompressed ({err})'
            self._losses.append(Loss(self._path.name, what, len(item.data)))
            return None
        return replace(item, data=data)

    def _find_files(self, folder: Path) -> list[Path]:
        """Return the bag's files: those that metadata.yaml names, and others that lie there."""
        found = [p for p in folder.iterdir() if p.is_file() and p.name.endswith(ENDINGS)]
        named = [folder / Path(name).name for name in self._metadata.files]
        for path in named:
            if not path.is_file():
                self._losses.append(Loss(path.name, f'{METADATA} names it, but it is missing'))
        rest = sorted(set(found) - set(named), key=_natural)
        if named and rest:
            # As after a crash: the metadata are written last.
            names = ', '.join(path.name for path in rest)
            self._losses.append(Loss(METADATA, f'does not name {names}, which are read too', 0))
        files = [path for path in named if path.is_file()] + rest
        if not files:
            raise RecordingError(folder, f'no bag: it has none of {", ".join(ENDINGS)}')
        return files

    def _read_metadata(self, path: Path) -> _Metadata:
        import yaml

        try:
            with path.open('rb') as file:
                tree = yaml.safe_load(file.read(MAX_METADATA))['rosbag2_bagfile_information']
            files = tree.get('files') or []
            return _Metadata(
                files=tuple(str(name) for name in tree['relative_file_paths']),
                counts={str(f['path']): int(f['message_count']) for f in files},
                starts=tuple(int(f['starting_time']['nanoseconds_since_epoch']) for f in files),
                digests={
                    str(t['topic_metadata']['type']): str(
                        t['topic_metadata'].get('type_description_hash') or ''
                    )
                    for t in tree['topics_with_message_count']
                },
                topics={
                    str(t['topic_metadata']['name']): int(t['message_count'])
                    for t in tree['topics_with_message_count']
                },
            )
        except OSError:
            what = 'is missing, as of a recording that was cut off; the files are read without it'
        except (yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError) as err:
            text = ' '.join(str(err).split())[:200]
            what = f'can not be read ({text}); the files are read without it'
        self._losses.append(Loss(METADATA, what, 0))
        return _Metadata()

    def _add(self, path: Path) -> None:
        """Open one file, or tell why not."""
        place = path
        if path.name.endswith('.zstd'):
            place = self._unpack(path)
        with place.open('rb') as file:
            magic = file.read(16)
        count = (self._metadata.counts or {}).get(path.name)
        try:
            if magic.startswith(MCAP_MAGIC):
                self._open.append(McapFile(place, path.name))
            elif magic == SQLITE_MAGIC:
                self._open.append(SqliteFile(place, path.name, count))
            else:
                size = path.stat().st_size
                what = f'neither mcap nor sqlite3, it begins with {magic[:8]!r}'
                self._losses.append(Loss(path.name, what if size else 'empty', size))
        except RecordingError as err:
            self._losses.append(Loss(path.name, err.reason, path.stat().st_size))

    def _unpack(self, path: Path) -> Path:
        """Decompress a file, as far as it goes, into a temporary folder."""
        import zstandard

        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix='paif_replay_')
        place = Path(self._folder.name) / path.name.removesuffix('.zstd')
        with path.open('rb') as packed, place.open('wb') as plain:
            unpacker = zstandard.ZstdDecompressor().decompressobj()
            try:
                while piece := packed.read(PIECE):
                    plain.write(unpacker.decompress(piece))
                cut = not unpacker.eof
            except zstandard.ZstdError as err:
                left = path.stat().st_size - packed.tell()
                what = f'compressed file is damaged ({err}): read up to there'
                self._losses.append(Loss(path.name, what, max(0, left)))
                cut = False
        if cut:
            what = 'compressed file is cut off: read up to there'
            self._losses.append(Loss(path.name, what))
        return place


def _natural(path: Path) -> list[Any]:
    """Order bag_2 before bag_10."""
    return [int(part) if part.isdigit() else part for part in re.split(r'(\d+)', path.name)]
