"""Bags of every kind are read alike; of broken ones what is readable is, and the rest is told."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip('rosbags')
pytest.importorskip('mcap')
zstandard = pytest.importorskip('zstandard')

import replay_rig as rig
from mcap.writer import CompressionType, IndexType
from mcap.writer import Writer as McapWriter
from rosbags.rosbag2 import CompressionMode

from paif_ros.replay.bag import Bag
from paif_ros.replay.feed import RecordingError

COUNT = 12
Rows = list[tuple[str, int, bytes]]


def rows_of(bag: Bag, **limits: Any) -> Rows:
    return [(item.topic.name, item.log_ns, bytes(item.data)) for item in bag.messages(**limits)]


@pytest.fixture(scope='module')
def expected() -> Rows:
    return [
        (topic, when, bytes(rig.messages.store().serialize_cdr(message, kind)))
        for topic, kind, when, message in rig.recording(COUNT)
    ]


@pytest.fixture(scope='module')
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The recording as a bag of either storage."""
    folder = tmp_path_factory.mktemp('bags')
    rows = rig.recording(COUNT)
    return {name: rig.write_bag(folder / name, rows, name) for name in rig.PLUGINS}


@pytest.mark.parametrize(
    ('storage', 'mode'),
    [
        ('mcap', CompressionMode.NONE),
        ('mcap', CompressionMode.STORAGE),
        ('mcap', CompressionMode.FILE),
        ('mcap', CompressionMode.MESSAGE),
        ('sqlite3', CompressionMode.NONE),
        ('sqlite3', CompressionMode.FILE),
        ('sqlite3', CompressionMode.MESSAGE),
    ],
)
def test_storages_and_compressions(
    tmp_path: Path, expected: Rows, storage: str, mode: CompressionMode
) -> None:
    bag = Bag(rig.write_bag(tmp_path / 'bag', rig.recording(COUNT), storage, mode))
    assert rows_of(bag) == expected
    assert list(bag.losses) == []
    assert {t.name: t.count for t in bag.topics}[rig.COLOR] == COUNT
    assert bag.span == (expected[0][1], expected[-1][1])
    first, last = rig.START + 3 * rig.PERIOD, rig.START + 5 * rig.PERIOD
    some = rows_of(bag, topics={rig.COLOR}, start=first, stop=last)
    assert some == [r for r in expected if r[0] == rig.COLOR and first <= r[1] < last]
    bag.close()


def write_mcap(path: Path, rows: Rows, **settings: Any) -> Path:
    """Write an mcap file by the mcap library's own writer."""
    with path.open('wb') as file:
        writer = McapWriter(file, **settings)
        writer.start('ros2', 'test')
        channels: dict[str, int] = {}
        kinds = {topic: kind for topic, kind, _, _ in rig.recording(1)}
        for topic, when, data in rows:
            if topic not in channels:
                schema = writer.register_schema(kinds[topic], 'ros2msg', b'')
                channels[topic] = writer.register_channel(topic, 'cdr', schema)
            writer.add_message(channels[topic], when, data, when)
        writer.finish()
    return path


@pytest.mark.parametrize(
    'settings',
    [
        {'compression': CompressionType.LZ4, 'chunk_size': 50_000},
        {'compression': CompressionType.ZSTD, 'chunk_size': 50_000},
        {'compression': CompressionType.NONE, 'chunk_size': 50_000},
        {'use_chunking': False},
        {'index_types': IndexType.NONE, 'chunk_size': 50_000},
        {'use_statistics': False, 'use_summary_offsets': False, 'chunk_size': 50_000},
    ],
    ids=['lz4', 'zstd', 'none', 'no chunks', 'no index', 'no statistics'],
)
def test_mcap_files_of_other_writers(tmp_path: Path, expected: Rows, settings: Any) -> None:
    bag = Bag(write_mcap(tmp_path / 'a.mcap', expected, **settings))
    assert rows_of(bag) == expected
    assert list(bag.losses) == []
    assert rows_of(bag, topics={rig.THERMAL}) == [r for r in expected if r[0] == rig.THERMAL]
    bag.close()


@pytest.mark.parametrize('kind', list(CompressionType), ids=lambda kind: kind.name)
def test_a_truncated_file_gives_every_whole_message(
    tmp_path: Path, expected: Rows, kind: CompressionType
) -> None:
    """Wherever it was cut; where nothing is compressed, also those of a chunk that is cut.

    Of a compressed one its whole blocks can be had, 128 KiB and more each, here none.
    """
    lost = 1 if kind is CompressionType.NONE else len(expected) / 4 + 4
    whole = write_mcap(tmp_path / 'a.mcap', expected, compression=kind, chunk_size=60_000)
    data = whole.read_bytes()
    found = []
    for share in (0.2, 0.5, 0.8, 0.95):
        cut = tmp_path / 'cut.mcap'
        cut.write_bytes(data[: int(len(data) * share)])
        bag = Bag(cut)
        rows = rows_of(bag)
        assert rows == expected[: len(rows)]
        assert len(rows) >= share * len(expected) - lost - 1
        assert len(bag.losses) == 1, bag.losses
        assert 'cut' in bag.losses[0].what or 'missing' in bag.losses[0].what
        found.append(len(rows))
        bag.close()
    assert found == sorted(found)


def chunk_offsets(path: Path) -> list[tuple[int, int]]:
    """Place and length of every chunk record's body."""
    data, place, found = path.read_bytes(), 8, []
    while place < len(data) - 8:
        kind, length = struct.unpack_from('<BQ', data, place)
        if kind == 6:
            found.append((place + 9, length))
        place += 9 + length
    return found


@pytest.mark.parametrize('kind', list(CompressionType), ids=lambda kind: kind.name)
def test_a_damaged_chunk_costs_no_other_one(
    tmp_path: Path, expected: Rows, kind: CompressionType
) -> None:
    path = write_mcap(tmp_path / 'a.mcap', expected, compression=kind, chunk_size=60_000)
    chunks = chunk_offsets(path)
    assert len(chunks) > 3
    data = bytearray(path.read_bytes())
    place = chunks[1][0] + chunks[1][1] // 2
    data[place : place + 64] = b'\xa5' * 64
    path.write_bytes(data)
    bag = Bag(path)
    rows = rows_of(bag)
    (loss,) = bag.losses
    assert 'damaged' in loss.what
    assert 'chunk at byte' in loss.what
    whole = set(expected)
    assert len([row for row in rows if row in whole]) >= len(expected) * (1 - 1.5 / len(chunks))
    assert [when for _, when, _ in rows] == sorted(when for _, when, _ in rows)
    bag.close()


def test_garbage_behind_good_records_is_told(tmp_path: Path, expected: Rows) -> None:
    path = write_mcap(tmp_path / 'a.mcap', expected, use_chunking=False)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + b'\xff' * 1000)
    bag = Bag(path)
    rows = rows_of(bag)
    assert rows == expected[: len(rows)]
    assert len(rows) > COUNT
    assert bag.losses
    bag.close()


def test_a_broken_database_gives_what_can_be_reached(
    tmp_path: Path, plain: dict[str, Path], expected: Rows
) -> None:
    for how in ('hole', 'cut'):
        shutil.copytree(plain['sqlite3'], tmp_path / how)
        path = tmp_path / how / 'sqlite3.db3'
        data = bytearray(path.read_bytes())
        if how == 'hole':
            middle = len(data) // 2 // 4096 * 4096
            data[middle : middle + 3 * 4096] = b'\xa5' * 3 * 4096
        else:
            del data[len(data) * 3 // 4 // 4096 * 4096 :]
        path.write_bytes(data)
        bag = Bag(tmp_path / how)
        rows = rows_of(bag)
        (loss,) = bag.losses
        assert 'broken' in loss.what
        whole = set(expected)
        good = [row for row in rows if row in whole]
        assert len(good) >= len(expected) // 2, (how, len(good), loss)
        assert len({row[:2] for row in rows}) == len(rows), 'none twice'
        bag.close()


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_without_metadata(
    tmp_path: Path, plain: dict[str, Path], expected: Rows, storage: str
) -> None:
    """A recorder that was killed leaves no metadata.yaml, or one that names too little."""
    shutil.copytree(plain[storage], tmp_path / 'bag')
    (tmp_path / 'bag' / 'metadata.yaml').unlink()
    bag = Bag(tmp_path / 'bag')
    assert rows_of(bag) == expected
    assert [(loss.file, loss.bytes) for loss in bag.losses] == [('metadata.yaml', 0)]
    bag.close()
    (tmp_path / 'bag' / 'metadata.yaml').write_text('a: [')
    bag = Bag(tmp_path / 'bag')
    assert rows_of(bag) == expected
    assert 'can not be read' in bag.losses[0].what
    bag.close()


def test_a_truncated_compressed_file(tmp_path: Path) -> None:
    rows = rig.recording(COUNT, size=(96, 128))
    path = rig.write_bag(tmp_path / 'bag', rows, 'mcap', CompressionMode.FILE)
    (file,) = path.glob('*.zstd')
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3])
    bag = Bag(path)
    found = [row[:2] for row in rows_of(bag)]
    assert found == [(topic, when) for topic, _, when, _ in rows][: len(found)]
    assert len(found) > len(rows) // 3
    assert 'cut off' in bag.losses[1].what + bag.losses[0].what
    bag.close()


def test_a_bag_of_several_files(tmp_path: Path, expected: Rows) -> None:
    """bag_10 comes after bag_2, and a file that is empty or foreign is told."""
    folder = tmp_path / 'bag'
    folder.mkdir()
    parts = [(2, expected[: 2 * COUNT]), (10, expected[2 * COUNT :])]
    for number, rows in parts:
        write_mcap(folder / f'bag_{number}.mcap', rows)
    (folder / 'bag_11.mcap').touch()
    bag = Bag(folder)
    assert rows_of(bag) == expected
    assert [loss.what for loss in bag.losses if loss.file == 'bag_11.mcap'] == ['empty']
    assert list(bag.borders) == [parts[1][1][0][1]]
    bag.close()


def test_what_is_no_bag_is_refused(tmp_path: Path) -> None:
    (tmp_path / 'a.mcap').write_bytes(b'nothing of the kind')
    with pytest.raises(RecordingError, match='neither mcap nor sqlite3'):
        Bag(tmp_path / 'a.mcap')
    (tmp_path / 'a').mkdir()
    with pytest.raises(RecordingError, match='no bag'):
        Bag(tmp_path / 'a')
    with pytest.raises(RecordingError, match='no such file'):
        Bag(tmp_path / 'b.mcap')
