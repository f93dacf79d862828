"""The key frames of a replay: a sink of `paif-replay` that keeps few small pictures for a report.

They lie in `key_frames/` of the run's folder, a JPEG each and an index. Whatever was taken before
a checkpoint outlasts a crash.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from paif_ros.fusion.results import Wanted
from paif_ros.replay.record import FrameRow, read_frames, write_atomically
from paif_ros.replay.sinks import Beginning, Fused, QuietSink
from paif_ros.report.run import KeyFrame
from paif_ros.report.selection import EVEN, Selection
from paif_ros.report.strip import strip

FOLDER, INDEX = 'key_frames', 'index.json'
NS = 1e9


class KeyFrames(QuietSink):
    """Keeps the pictures of a `Selection`: a bounded number, however long the run is."""

    def __init__(self) -> None:
        self._folder = Path()
        self._part = 0
        self._names: tuple[str, ...] = ()
        self._selection = Selection()
        self._pictures: dict[int, bytes] = {}
        self._parts: dict[int, int] = {}

    @property
    def wanted(self) -> Wanted:
        """What a strip is made of."""
        return Wanted(fused=True, mask=True, overlay=True, thermal=True)

    @property
    def outputs(self) -> Mapping[str, str]:
        """The folder."""
        return {FOLDER: FOLDER}

    def begin(self, beginning: Beginning) -> None:
        """Start anew, or go on with what earlier parts have left."""
        self._folder, self._part = beginning.folder / FOLDER, beginning.part
        self._names = tuple(label.name for label in beginning.classes)
        if not self._part:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(exist_ok=True)
        if self._part:
            self._restore()

    def take(self, fused: Fused) -> None:
        """Keep the pictures of a result that is worth it."""
        row, result = fused.row, fused.result
        if not self._selection.offer(row.number, self._values(row)):
            return
        scene = result.scene
        color = None if scene is None or scene.alone == 'thermal' else scene.color
        pictures = (color, result.thermal, result.fused, result.overlay)
        if any(picture is not None for picture in pictures):
            self._pictures[row.number] = strip(pictures)
            self._parts[row.number] = self._part
        kept = self._selection.kept
        for number in [number for number in self._pictures if number not in kept]:
            del self._pictures[number]

    def checkpoint(self) -> None:
        """Write what is kept, and remove what is not any more."""
        kept = sorted(self._selection.kept & set(self._pictures))
        for number in kept:
            path = self._folder / _name(number)
            if not path.exists():
                path.write_bytes(self._pictures[number])
        _write_index(self._folder, self._selection, {n: self._parts[n] for n in kept})
        names = {_name(number) for number in kept}
        for path in self._folder.glob('*.jpg'):
            if path.name not in names:
                path.unlink()
        self._part += 1

    def _values(self, row: FrameRow) -> dict[str, float]:
        """Return what a result could be the record of."""
        values = {'slowest': sum(row.times_ms.values()), 'largest skew': abs(row.skew_ms or 0.0)}
        for name, share in list(zip(self._names, row.shares, strict=False))[1:]:
            values[f'most {name}'] = share
        return values

    def _restore(self) -> None:
        """Take up what was kept before the part that is written next."""
        index = _index(self._folder)
        self._selection.step = int(index.get('step', 1))
        for frame in index.get('frames', ()):
            number, path = int(frame['number']), self._folder / _name(int(frame['number']))
            if frame['part'] >= self._part or not path.is_file():
                continue
            self._pictures[number], self._parts[number] = path.read_bytes(), int(frame['part'])
            if number % self._selection.step == 0:
                self._selection.even.append(number)
            for why, value in frame['records'].items():
                self._selection.records[why] = (float(value), number)


def read_key_frames(folder: Path, start: int, rows: Sequence[FrameRow]) -> tuple[KeyFrame, ...]:
    """Read the key frames of a run's folder, none where it has none.

    Args:
        folder: of the run.
        start: when it begins, ns.
        rows: its results.
    """
    by_number = {row.number: row for row in rows}
    frames = []
    for frame in _index(folder / FOLDER).get('frames', ()):
        row, path = by_number.get(int(frame['number'])), folder / FOLDER / _name(frame['number'])
        if row is not None and path.is_file():
            words = ', '.join(frame['records'])
            frames.append(KeyFrame((row.log_ns - start) / NS, words, path.read_bytes()))
    return tuple(frames)


def merge_key_frames(parts: Sequence[Path], folder: Path) -> None:
    """Join the key frames of stretches of a recording: fewer of each, the records of all.

    Args:
        parts: folders of the stretches, in order, with their own frames.csv.
        folder: of the whole; untouched where no stretch has key frames.
    """
    merged, begun = Selection(), 0
    sources: dict[int, Path] = {}
    for part in parts:
        for frame in _index(part / FOLDER).get('frames', ()):
            number = begun + int(frame['number'])
            sources[number] = part / FOLDER / _name(frame['number'])
            merged.even.append(number)
            for why, value in frame['records'].items():
                if value > merged.records.get(why, (0.0, 0))[0]:
                    merged.records[why] = (float(value), number)
        begun += sum(1 for _ in read_frames(part))
    if not sources:
        return
    merged.even = merged.even[:: -(-len(merged.even) // EVEN)]
    target = folder / FOLDER
    target.mkdir(exist_ok=True)
    for number in merged.kept:
        shutil.copyfile(sources[number], target / _name(number))
    _write_index(target, merged, dict.fromkeys(merged.kept, 0))


def _write_index(folder: Path, selection: Selection, parts: Mapping[int, int]) -> None:
    """Write which pictures there are, and the part of the run that each is of."""
    records = selection.records
    frames = [
        {
            'number': number,
            'part': parts[number],
            'records': {why: records[why][0] for why in selection.why(number)},
        }
        for number in sorted(parts)
    ]
    index = {'step': selection.step, 'frames': frames}
    write_atomically(folder / INDEX, json.dumps(index, indent=1) + '\n')


def _name(number: int) -> str:
    return f'{int(number):08d}.jpg'


def _index(folder: Path) -> dict[str, Any]:
    """Return the index of a folder, empty where there is none that can be read."""
    try:
        index = json.loads((folder / INDEX).read_text('utf-8'))
    except (OSError, ValueError):
        return {}
    return index if isinstance(index, dict) else {}
