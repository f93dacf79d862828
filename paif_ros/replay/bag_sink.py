"""Writes results as a ROS 2 bag, in files that are closed one after the other.

rosbag2 splits long bags into files itself (`--max-bag-duration`), so every tool reads such a bag
as one. Each file is written beside the bag and moved in when it is whole, and metadata.yaml is
written anew then: at every moment, also after kill -9, the folder is a valid bag of everything up
to the last file. Nothing is written twice, and a replay that is taken up again goes on with the
next file.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from paif_ros.fusion.outgoing import FUSED_INFO, LABELS, PICTURES
from paif_ros.fusion.results import Wanted
from paif_ros.replay import messages
from paif_ros.replay.options import Options
from paif_ros.replay.record import write_atomically
from paif_ros.replay.sinks import Beginning, Fused, Original, Outgoing, QuietSink

FOLDER = 'bag'
METADATA = 'metadata.yaml'
WORK = '.parts'  # the file that is being written, and the metadata of each whole one
VERSION = 8  # of the metadata: the newest that Humble's player reads too
NO_DIGEST = 'RIHS01_' + 64 * '0'
ENDINGS = {'mcap': '.mcap', 'sqlite3': '.db3'}
INFO = 'rosbag2_bagfile_information'


class BagSink(QuietSink):
    """Writes the node's topics, and the recording's own ones where asked for.

    Args:
        options: storage, compression, which pictures, whether originals are copied.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._folder = Path()
        self._part = 0
        self._writer: Any = None
        self._connections: dict[tuple[str, str], Any] = {}
        own = [topic.name for topic in PICTURES.values()]
        names = [*own, *(f'{name}/compressed' for name in own), FUSED_INFO, LABELS]
        self._own = {name.replace('~', options.node, 1) for name in names}

    @property
    def wanted(self) -> Wanted:
        """The pictures of the topics that are written."""
        known = {field.name for field in fields(Wanted)}
        return Wanted(**dict.fromkeys(known & set(self._options.topics), True))

    @property
    def wants_originals(self) -> bool:
        """Whether the recording's own messages are copied."""
        return self._options.copy

    @property
    def outputs(self) -> Mapping[str, str]:
        """The bag."""
        return {'bag': FOLDER}

    def begin(self, beginning: Beginning) -> None:
        """Make the folder, and throw away what is not before this part."""
        self._folder = beginning.folder / FOLDER
        self._part = beginning.part
        work = self._folder / WORK
        work.mkdir(parents=True, exist_ok=True)
        for path in work.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.suffix == '.yaml' and int(path.stem) >= self._part:
                self._file(int(path.stem)).unlink(missing_ok=True)
                path.unlink()
        for number, path in self._files():
            if number >= self._part:
                path.unlink()
        self._write_metadata()

    def take(self, fused: Fused) -> None:
        """Write the messages of a result."""
        for outgoing in fused.messages:
            self.message(outgoing)

    def message(self, outgoing: Outgoing) -> None:
        """Write one of the node's messages."""
        data = messages.write(outgoing.message, outgoing.kind)
        connection = self._connection(outgoing.topic, outgoing.kind)
        self._writer.write(connection, outgoing.log_ns, data)

    def original(self, original: Original) -> None:
        """Write a message of the recording as it is; those of our own topics are made anew."""
        if original.topic in self._own:
            return
        connection = self._connection(original.topic, original.kind, original)
        self._writer.write(connection, original.log_ns, original.data)

    def checkpoint(self) -> None:
        """Close the present file and take it into the bag."""
        import yaml

        if self._writer is None:
            self._part += 1
            return
        self._writer.close()
        place = self._place(self._part)
        tree = yaml.safe_load((place / METADATA).read_text('utf-8'))
        written = place / f'{place.name}{ENDINGS[self._options.storage]}'
        with written.open('rb') as file:
            os.fsync(file.fileno())
        written.replace(self._file(self._part))
        # The file first: one without its metadata is thrown away when the run is taken up again.
        text = yaml.safe_dump(tree[INFO], sort_keys=False)
        write_atomically(self._folder / WORK / f'{self._part}.yaml', text)
        shutil.rmtree(place)
        self._writer, self._connections = None, {}
        self._part += 1
        self._write_metadata()

    def finish(self) -> None:
        """Remove what only a resumed run needs."""
        shutil.rmtree(self._folder / WORK, ignore_errors=True)

    def close(self) -> None:
        """Close the file that is being written; it is not part of the bag."""
        if self._writer is not None:
            self._writer.abort()
            self._writer = None

    def _place(self, part: int) -> Path:
        return self._folder / WORK / f'{FOLDER}_{part}'

    def _file(self, part: int) -> Path:
        return self._folder / f'{FOLDER}_{part}{ENDINGS[self._options.storage]}'

    def _files(self) -> list[tuple[int, Path]]:
        ending = ENDINGS[self._options.storage]
        found = self._folder.glob(f'{FOLDER}_*{ending}')
        return [(int(path.stem.rpartition('_')[2]), path) for path in found]

    def _connection(self, topic: str, kind: str, original: Original | None = None) -> Any:
        known = self._connections.get((topic, kind))
        if known is not None:
            return known
        if self._writer is None:
            self._open()
        if kind in messages.store().types:
            definition: dict[str, Any] = {'typestore': messages.store()}
        else:  # as it was recorded, which of old bags is nothing
            text, digest = (original.definition, original.digest) if original else ('', '')
            definition = {'msgdef': text, 'rihs01': digest or NO_DIGEST}
        profile = _qos(latched=topic.endswith('/label_info'))
        connection = self._writer.add_connection(
            topic, kind, **definition, offered_qos_profiles=[profile]
        )
        self._connections[topic, kind] = connection
        return connection

    def _open(self) -> None:
        from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

        plugin = {'mcap': StoragePlugin.MCAP, 'sqlite3': StoragePlugin.SQLITE3}
        self._writer = Writer(
            self._place(self._part), version=VERSION, storage_plugin=plugin[self._options.storage]
        )
        if self._options.compress:
            mcap = self._options.storage == 'mcap'
            mode = CompressionMode.STORAGE if mcap else CompressionMode.MESSAGE
            self._writer.set_compression(mode, CompressionFormat.ZSTD)
        self._writer.open()

    def _write_metadata(self) -> None:
        """Write metadata.yaml for all whole files."""
        write_metadata(self._folder, sorted((self._folder / WORK).glob('*.yaml')))


def write_metadata(folder: Path, parts: Sequence[Path]) -> None:
    """Write the metadata.yaml of a bag.

    Args:
        folder: of the bag; a file of part N is named bag_N.
        parts: metadata of each file, named N.yaml. Without any, metadata.yaml is removed.
    """
    import yaml

    trees = [
        (int(path.stem), yaml.safe_load(path.read_text('utf-8')))
        for path in sorted(parts, key=lambda path: int(path.stem))
    ]
    if not trees:
        (folder / METADATA).unlink(missing_ok=True)
        return
    joined = join_metadata([tree for _, tree in trees], [number for number, _ in trees])
    write_atomically(folder / METADATA, yaml.safe_dump({INFO: joined}, sort_keys=False))


def join_metadata(trees: Sequence[Mapping[str, Any]], numbers: Sequence[int]) -> dict[str, Any]:
    """Return the metadata of a bag of several files.

    Args:
        trees: of bags that are put one after the other.
        numbers: which their files are named by from now on.
    """
    first = trees[0]
    ending = ENDINGS[first['storage_identifier']]
    names = [f'{FOLDER}_{number}{ending}' for number in numbers]
    starts = [tree['starting_time']['nanoseconds_since_epoch'] for tree in trees]
    spans = [tree['duration']['nanoseconds'] for tree in trees]
    begin, end = min(starts), max(a + b for a, b in zip(starts, spans, strict=True))
    topics: dict[tuple[str, str], dict[str, Any]] = {}
    for tree in trees:
        for topic in tree['topics_with_message_count']:
            about = topic['topic_metadata']
            known = topics.setdefault(
                (about['name'], about['type']), {**topic, 'message_count': 0}
            )
            known['message_count'] += topic['message_count']
    return {
        **first,
        'relative_file_paths': names,
        'duration': {'nanoseconds': end - begin},
        'starting_time': {'nanoseconds_since_epoch': begin},
        'message_count': sum(tree['message_count'] for tree in trees),
        'topics_with_message_count': list(topics.values()),
        'files': [
            {**file, 'path': name}
            for file, name in zip((f for t in trees for f in t['files']), names, strict=True)
        ],
    }


def _qos(latched: bool) -> Any:
    """Return what the node offers: reliable, and for late comers the class names."""
    from rosbags.interfaces import (
        Qos,
        QosDurability,
        QosHistory,
        QosLiveliness,
        QosReliability,
        QosTime,
    )

    ever = QosTime(9223372036, 854775807)  # how rmw says so
    durability = QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE
    return Qos(
        QosHistory.KEEP_LAST, 1 if latched else 5, QosReliability.RELIABLE, durability,
        ever, ever, QosLiveliness.AUTOMATIC, ever, False,
    )  # fmt: skip
