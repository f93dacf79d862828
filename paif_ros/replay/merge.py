"""Joins the stretches of a recording, in order: one folder, as if it had been done in one go.

Files of bags are moved, films are joined without encoding anew, tables are put one after the
other. Nothing is computed again.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from paif_ros.replay import bag_sink, film_sink, picture_sink
from paif_ros.replay.record import (
    DROPS,
    FRAMES,
    FrameRow,
    Loss,
    RowWriter,
    RunRecord,
    drop_cells,
    drop_header,
    frame_cells,
    frame_header,
    read_drops,
    read_frames,
    write_atomically,
)
from paif_ros.replay.verdict import verdict
from paif_ros.report.key_frames import merge_key_frames
from paif_ros.view.rerun_sink import merge_rerun


def merge(parts: Sequence[Path], folder: Path) -> RunRecord:
    """Join the folders of stretches.

    Args:
        parts: in order, all done; they are taken apart.
        folder: that gets everything.

    Returns:
        The run.json that was written, last.
    """
    records = [RunRecord.read(part) for part in parts]
    classes = len(records[0].model.classes) if records[0].model else 0
    firsts = _merge_tables(parts, folder, classes)
    _merge_bags(parts, folder)
    _merge_films(parts, folder, firsts)
    _merge_pictures(parts, folder)
    merge_key_frames(parts, folder)
    merge_rerun(parts, folder)
    record = _merged(records)
    record.write(folder)
    return record


def _merge_tables(parts: Sequence[Path], folder: Path, classes: int) -> list[int | None]:
    """Join frames.csv and drops.csv. Returns the stamp of each part's first result."""
    frames = RowWriter(folder / FRAMES, frame_header(classes))
    drops = RowWriter(folder / DROPS, drop_header())
    firsts: list[int | None] = []
    number = visible = thermal = 0
    for part in parts:
        first: FrameRow | None = None
        for row in read_frames(part):
            first = first or row
            moved = replace(
                row,
                number=number,
                dropped_visible=row.dropped_visible + visible,
                dropped_thermal=row.dropped_thermal + thermal,
            )
            number += 1
            frames.write(frame_cells(moved, classes))
        for drop in read_drops(part):
            visible += drop.camera == 'visible'
            thermal += drop.camera == 'thermal'
            drops.write(drop_cells(drop))
        firsts.append(None if first is None else first.stamp_ns)
    for writer in (frames, drops):
        writer.flush()
        writer.close()
    return firsts


def _merge_bags(parts: Sequence[Path], folder: Path) -> None:
    import yaml

    target = folder / bag_sink.FOLDER
    trees, number = [], 0
    for part in parts:
        source = part / bag_sink.FOLDER
        metadata = source / bag_sink.METADATA
        if not metadata.is_file():
            continue
        target.mkdir(exist_ok=True)
        tree = yaml.safe_load(metadata.read_text('utf-8'))[bag_sink.INFO]
        for name in tree['relative_file_paths']:
            ending = Path(name).suffix
            (source / name).replace(target / f'{bag_sink.FOLDER}_{number}{ending}')
            number += 1
        trees.append(tree)
    if trees:
        joined = bag_sink.join_metadata(trees, range(number))
        text = yaml.safe_dump({bag_sink.INFO: joined}, sort_keys=False)
        write_atomically(target / bag_sink.METADATA, text)


def _merge_films(parts: Sequence[Path], folder: Path, firsts: Sequence[int | None]) -> None:
    work = folder / film_sink.WORK
    begun = 0
    before: int | None = None
    earliest = 0  # at which the next part may begin, ms
    for number, (part, first) in enumerate(zip(parts, firsts, strict=True)):
        film = part / film_sink.FILM
        if first is None or not film.is_file():
            continue
        work.mkdir(exist_ok=True)
        if before is not None:
            begun = max(earliest, begun + round((first - before) / 1e6))
        before = first
        earliest = begun + _length(film)
        film.replace(work / f'{number:05}.mp4')
        (work / f'{number:05}.json').write_text(json.dumps({'begun': begun}), 'utf-8')
    if work.exists():
        film_sink.join_films(work, folder / film_sink.FILM)


def _length(film: Path) -> int:
    """Return how long a film is, in ms."""
    import av

    with av.open(str(film)) as opened:
        stream = opened.streams.video[0]
        assert stream.time_base is not None
        return round(float((stream.duration or 0) * stream.time_base) * 1000)


def _merge_pictures(parts: Sequence[Path], folder: Path) -> None:
    for part in parts:
        source = part / picture_sink.FOLDER
        for path in sorted(source.glob('*/*.png')):
            target = folder / picture_sink.FOLDER / path.parent.name
            target.mkdir(parents=True, exist_ok=True)
            shutil.move(path, target / path.name)


def _merged(records: Sequence[RunRecord]) -> RunRecord:
    first = records[0]
    counts = first.counts
    for record in records[1:]:
        counts = counts + record.counts
    starts = [r.recording.start_ns for r in records if r.recording.start_ns is not None]
    ends = [r.recording.end_ns for r in records if r.recording.end_ns is not None]
    recording = replace(
        first.recording,
        start_ns=min(starts, default=None),
        end_ns=max(ends, default=None),
        messages=sum(record.recording.messages for record in records),
        losses=tuple(_once(loss for record in records for loss in record.recording.losses)),
    )
    whole = replace(
        first,
        state='done',
        message='',
        seconds=round(sum(record.seconds for record in records), 3),
        recording=recording,
        counts=counts,
        outputs={name: path for record in records for name, path in record.outputs.items()},
        options={**first.options, 'start': None, 'stop': None, 'lead': None},
    )
    code, text = verdict(whole)
    return replace(whole, exit_code=code, message=text)


def _once(losses: Iterator[Loss]) -> Iterator[Loss]:
    """Leave out what two stretches told, as both read the seconds between them."""
    told: set[Loss] = set()
    for loss in losses:
        if loss not in told:
            told.add(loss)
            yield loss
