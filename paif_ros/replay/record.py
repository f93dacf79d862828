"""What a replay writes about itself: run.json, frames.csv and drops.csv, with readers.

The formats are for programs: reports, viewers, other languages. Columns and keys are only ever
added. `FORMAT` grows when one changes its meaning.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TextIO

from paif_ros.errors import PaifError

FORMAT = 1
RUN, FRAMES, DROPS = 'run.json', 'frames.csv', 'drops.csv'
# Where the time of a result went, in order; the columns of frames.csv are `ms_STAGE`.
STAGES = (
    'read',  # out of the recording, with what lay between this pair and the one before
    'pairing',
    'decode',
    'thermal',  # AGC: the thermal frame to 8 bit
    'registration',
    'inference',  # the engine alone
    'convert',  # back to the camera's size, overlay, arrays to messages
    'write',  # bag, film, pictures and what else takes results
)
STATES = ('running', 'done', 'interrupted', 'failed')
_PLAIN = (
    'number', 'kind', 'stamp_ns', 'visible_ns', 'thermal_ns', 'log_ns', 'skew_ms',
    'dropped_visible', 'dropped_thermal', 'agc_low', 'agc_high',
)  # fmt: skip
_MS, _SHARE = 'ms_', 'share_'


class RecordError(PaifError):
    """A file of a run that can't be read.

    Attributes:
        path: the file.
        reason: what is wrong with it.
    """

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f'{path}: {reason}')


@dataclass(frozen=True)
class FrameRow:
    """One result: a line of frames.csv.

    Attributes:
        number: counts the jobs of the run, lost ones included, from 0.
        kind: 'pair', 'reused' (a pair whose thermal frame was in an earlier one),
            'visible_alone' or 'thermal_alone'.
        stamp_ns: stamp of all outputs, that of the RGB frame where there is one.
        visible_ns: stamp of the RGB frame as recorded, None without one.
        thermal_ns: stamp of the thermal frame as recorded, None without one.
        log_ns: time in the recording at which the result could be made.
        skew_ms: visible minus thermal stamp (that one with sync.thermal_offset), None of one
            camera alone.
        dropped_visible: RGB frames dropped so far.
        dropped_thermal: thermal frames dropped so far.
        agc_low: thermal value that is black, None of 8-bit frames.
        agc_high: thermal value that is white, None of 8-bit frames.
        times_ms: milliseconds by stage, see `STAGES`.
        shares: part of the picture of each class, by id, 0 to 1; empty where no mask was made.
    """

    number: int
    kind: str
    stamp_ns: int
    visible_ns: int | None
    thermal_ns: int | None
    log_ns: int
    skew_ms: float | None
    dropped_visible: int
    dropped_thermal: int
    agc_low: float | None
    agc_high: float | None
    times_ms: Mapping[str, float] = field(default_factory=dict)
    shares: tuple[float, ...] = ()


@dataclass(frozen=True)
class DropRow:
    """One frame that ended in no result: a line of drops.csv.

    Attributes:
        stamp_ns: its stamp as recorded.
        camera: 'visible' or 'thermal'.
        reason: a `DropReason` of paif_ros.monitoring.accounting, such as 'no_partner'.
        log_ns: time in the recording at which that was known.
    """

    stamp_ns: int
    camera: str
    reason: str
    log_ns: int


@dataclass(frozen=True)
class Loss:
    """Something of a recording that could not be read.

    Attributes:
        file: which file.
        what: what is broken and what became of it, in words.
        bytes: how many could not be used, None where not known.
    """

    file: str
    what: str
    bytes: int | None = None


@dataclass(frozen=True)
class CameraCounts:
    """What became of one camera's frames: received = paired + single + sum of dropped."""

    received: int = 0
    paired: int = 0
    single: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)

    @property
    def balanced(self) -> bool:
        """Whether each frame is in exactly one place."""
        return self.received == self.paired + self.single + sum(self.dropped.values())


@dataclass(frozen=True)
class Counts:
    """What became of everything.

    Attributes:
        visible: the RGB camera's frames.
        thermal: the thermal camera's frames.
        pairs: pairs made, those with a reused thermal frame included.
        fused: pairs that became a result.
        singles: results of one camera alone.
        reused: fused pairs whose thermal frame was in an earlier pair.
        lost: jobs without a result, by reason.
    """

    visible: CameraCounts = field(default_factory=CameraCounts)
    thermal: CameraCounts = field(default_factory=CameraCounts)
    pairs: int = 0
    fused: int = 0
    singles: int = 0
    reused: int = 0
    lost: Mapping[str, int] = field(default_factory=dict)

    @property
    def results(self) -> int:
        """Results in all."""
        return self.fused + self.singles

    def __add__(self, other: Counts) -> Counts:
        return _combined(self, other, 1)

    def __sub__(self, other: Counts) -> Counts:
        return _combined(self, other, -1)


@dataclass(frozen=True)
class Recording:
    """What was read.

    Attributes:
        path: as it was given.
        kind: 'bag', 'films' or 'folders'.
        fingerprint: SHA-256 over names, sizes, first and last mebibyte of all files.
        bytes: of all files.
        start_ns: time of the first message that was read, None of an empty recording.
        end_ns: time of the last message that was read.
        messages: how many were read, of every topic.
        topics: the topic of 'color', 'thermal', 'color_info', 'thermal_info', where there is one.
        losses: what could not be read.
    """

    path: str
    kind: str
    fingerprint: str
    bytes: int
    start_ns: int | None = None
    end_ns: int | None = None
    messages: int = 0
    topics: Mapping[str, str] = field(default_factory=dict)
    losses: tuple[Loss, ...] = ()


@dataclass(frozen=True)
class Model:
    """What computed: fields of the model's card and of the engine, and the file's SHA-256."""

    path: str
    sha256: str
    network: str
    variant: str
    weights_sha256: str
    input_size: tuple[int, int]
    backend: str
    provider: str
    precision: str
    reason: str
    classes: tuple[Mapping[str, Any], ...]  # id, name, color as RGB


@dataclass(frozen=True)
class RunRecord:
    """run.json.

    Attributes:
        state: one of `STATES`; 'running' also where the process was killed.
        exit_code: 0 clean, 3 with loss, 1 failed or interrupted; None while running.
        message: what there is to say, in words.
        started: UTC, ISO 8601.
        seconds: of work, all attempts together.
        command: the command line.
        versions: of this package, Python and every library that matters.
        recording: what was read.
        parameters: of the node, by dotted name.
        counts: what became of the frames.
        model: None before it was loaded.
        outputs: 'bag', 'video', 'pictures' and the like: path inside the run's folder.
        stages: names of the stages in frames.csv, in order.
        options: further options of the replay that change what comes out.
        format: of these files.
    """

    state: str
    exit_code: int | None
    message: str
    started: str
    seconds: float
    command: tuple[str, ...]
    versions: Mapping[str, str]
    recording: Recording
    parameters: Mapping[str, Any]
    counts: Counts = field(default_factory=Counts)
    model: Model | None = None
    outputs: Mapping[str, str] = field(default_factory=dict)
    stages: tuple[str, ...] = STAGES
    options: Mapping[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)

    def write(self, folder: Path) -> None:
        """Write run.json into a folder, whole or not at all."""
        write_atomically(folder / RUN, json.dumps(self.to_dict(), indent=1) + '\n')

    @classmethod
    def read(cls, folder: Path) -> RunRecord:
        """Read run.json of a folder.

        Raises:
            RecordError: it can't be read, or is of a newer format.
        """
        path = folder / RUN
        try:
            tree = json.loads(path.read_text('utf-8'))
            if tree['format'] > FORMAT:
                raise RecordError(path, f'format {tree["format"]}, this version reads {FORMAT}')
            return cls.from_dict(tree)
        except (OSError, ValueError, KeyError, TypeError) as err:
            raise RecordError(path, f'can not be read as a run of paif-replay ({err!r})') from err

    @classmethod
    def from_dict(cls, tree: Mapping[str, Any]) -> RunRecord:
        """Take it from what `to_dict` gave.

        Raises:
            KeyError, TypeError: something is missing.
        """
        recording, counts, model = tree['recording'], tree['counts'], tree['model']
        known = {key: tree[key] for key in (f.name for f in fields(cls)) if key in tree}
        return cls(**{
            **known,
            'command': tuple(tree['command']),
            'stages': tuple(tree['stages']),
            'recording': Recording(**{
                **recording, 'losses': tuple(Loss(**loss) for loss in recording['losses'])
            }),
            'counts': counts_from_dict(counts),
            'model': model and Model(**{
                **model,
                'input_size': tuple(model['input_size']),
                'classes': tuple(model['classes']),
            }),
        })  # fmt: skip


def counts_from_dict(tree: Mapping[str, Any]) -> Counts:
    """Take counts from their JSON."""
    cameras = {name: CameraCounts(**tree[name]) for name in ('visible', 'thermal')}
    return Counts(**{**tree, **cameras})


class RowWriter:
    """Appends lines to frames.csv or drops.csv; every line is out when `flush` returns.

    Args:
        path: of the file; where it exists, lines are appended after `size` bytes of it.
        header: names of the columns.
        size: bytes to keep of what is there, 0 starts anew.
    """

    def __init__(self, path: Path, header: Iterable[str], size: int = 0) -> None:
        self._file: TextIO = path.open('r+' if size else 'w', newline='', encoding='utf-8')
        if size:
            self._file.seek(size)
            self._file.truncate()
        self._writer = csv.writer(self._file, lineterminator='\n')
        if not size:
            self._writer.writerow(header)

    def write(self, cells: Iterable[Any]) -> None:
        """Append a line."""
        self._writer.writerow('' if cell is None else cell for cell in cells)

    def flush(self) -> int:
        """Write out every line. Returns the size of the file in bytes."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def frame_header(classes: int) -> list[str]:
    """Return the columns of frames.csv for a model with so many classes."""
    stages = [_MS + stage for stage in STAGES]
    return [*_PLAIN, *stages, *(f'{_SHARE}{number}' for number in range(classes))]


def frame_cells(row: FrameRow, classes: int) -> list[Any]:
    """Return the cells of a line of frames.csv."""
    plain = [getattr(row, name) for name in _PLAIN]
    times = [_short(row.times_ms.get(stage)) for stage in STAGES]
    shares: list[float | None] = [*row.shares] or [None] * classes
    return [*(_short(cell) for cell in plain), *times, *(_short(share) for share in shares)]


def drop_header() -> list[str]:
    """Return the columns of drops.csv."""
    return [one.name for one in fields(DropRow)]


def drop_cells(row: DropRow) -> list[Any]:
    """Return the cells of a line of drops.csv."""
    return [getattr(row, name) for name in drop_header()]


def read_frames(folder: Path) -> Iterator[FrameRow]:
    """Read frames.csv of a run's folder, line by line.

    Raises:
        RecordError: it can't be read. A last line that was cut short is left out.
    """
    for line in _lines(folder / FRAMES, _PLAIN):
        yield FrameRow(
            number=int(line['number']),
            kind=line['kind'],
            stamp_ns=int(line['stamp_ns']),
            visible_ns=_integer(line['visible_ns']),
            thermal_ns=_integer(line['thermal_ns']),
            log_ns=int(line['log_ns']),
            skew_ms=_number(line['skew_ms']),
            dropped_visible=int(line['dropped_visible']),
            dropped_thermal=int(line['dropped_thermal']),
            agc_low=_number(line['agc_low']),
            agc_high=_number(line['agc_high']),
            times_ms={
                key[len(_MS) :]: float(cell)
                for key, cell in line.items()
                if key.startswith(_MS) and cell
            },
            shares=tuple(
                float(cell) for key, cell in line.items() if key.startswith(_SHARE) and cell
            ),
        )


def read_drops(folder: Path) -> Iterator[DropRow]:
    """Read drops.csv of a run's folder, line by line.

    Raises:
        RecordError: it can't be read. A last line that was cut short is left out.
    """
    for line in _lines(folder / DROPS, drop_header()):
        yield DropRow(int(line['stamp_ns']), line['camera'], line['reason'], int(line['log_ns']))


def write_atomically(path: Path, text: str) -> None:
    """Write a text file so that a reader, or a crash, never meets half of it."""
    beside = path.with_name(f'.{path.name}.tmp')
    with beside.open('w', encoding='utf-8') as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def _lines(path: Path, needed: Iterable[str]) -> Iterator[dict[str, str]]:
    try:
        with path.open(newline='', encoding='utf-8') as file:
            reader = csv.DictReader(line for line in file if line.endswith('\n'))
            missing = set(needed) - set(reader.fieldnames or ())
            if missing:
                raise RecordError(path, f'no column {", ".join(sorted(missing))}')
            yield from reader
    except (OSError, ValueError) as err:
        raise RecordError(path, str(err)) from err


def _short(cell: Any) -> Any:
    return round(cell, 6) if isinstance(cell, float) else cell


def _integer(cell: str) -> int | None:
    return int(cell) if cell else None


def _number(cell: str) -> float | None:
    return float(cell) if cell else None


def _combined(one: Any, other: Any, sign: int) -> Any:
    """Add or subtract two values of a kind: numbers, mappings of them, dataclasses of these."""
    if isinstance(one, Mapping):
        keys = [*one, *(key for key in other if key not in one)]
        sums = {key: _combined(one.get(key, 0), other.get(key, 0), sign) for key in keys}
        return {key: value for key, value in sums.items() if value}
    if isinstance(one, (CameraCounts, Counts)):
        names = [f.name for f in fields(one)]
        parts = {n: _combined(getattr(one, n), getattr(other, n), sign) for n in names}
        return type(one)(**parts)
    return one + sign * other
