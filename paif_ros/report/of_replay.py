"""A report's run from the folder of a `paif-replay`: run.json, frames.csv, drops.csv."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from paif_ros.contract import ClassLabel
from paif_ros.parameters import specs
from paif_ros.replay.record import (
    DropRow,
    FrameRow,
    Recording,
    RunRecord,
    read_drops,
    read_frames,
)
from paif_ros.report.bins import rate
from paif_ros.report.key_frames import read_key_frames
from paif_ros.report.run import F64, Areas, Drops, Line, Row, Run, Spread, Table, Tile, Verdict
from paif_ros.report.words import amount, clock, plain, size, utc

NS = 1e9
Since = Callable[[Sequence[int]], F64]  # ns to seconds since the start
CLEAN, LOSS = 0, 3  # exit codes of paif-replay
TOTAL = 'total'


def run_of_replay(folder: Path) -> Run:
    """Read a run's folder.

    Args:
        folder: with run.json, frames.csv and drops.csv, also of a run that goes on or was killed.

    Raises:
        RecordError: a file can't be read.
    """
    record = RunRecord.read(folder)
    rows, drops = list(read_frames(folder)), list(read_drops(folder))
    start, duration = _span(record.recording, rows, drops)

    def since(stamps: Sequence[int]) -> F64:
        return (np.array(stamps, np.int64) - start) / NS

    seconds = since([row.log_ns for row in rows])
    latency = _latency(record.stages, rows)
    skews = np.array([np.nan if r.skew_ms is None else r.skew_ms for r in rows], np.float64)
    total = next((spread for spread in latency if spread.name == TOTAL), None)
    verdict, message = _verdict(record)
    return Run(
        title=' + '.join(Path(path).name for path in record.recording.path.split(', ')),
        source=f'paif-replay of {record.recording.path}, {utc(record.started)}',
        verdict=verdict,
        message=message,
        duration=duration,
        tiles=_tiles(record, duration, latency, skews),
        rates=_rates(since, rows, drops, seconds, duration),
        latency=latency,
        latency_lines=() if total is None else (Line('total', seconds, _totals(rows)),),
        skew=Spread.of('skew', np.abs(skews)),
        skew_lines=(Line('RGB minus thermal stamp', seconds, skews),)
        if np.isfinite(skews).any()
        else (),
        drops=_drops(drops, since),
        balance=_balance(record),
        agc=_agc(rows, seconds),
        agc_unit=_unit(record),
        areas=_areas(record, rows, seconds),
        key_frames=read_key_frames(folder, start, rows),
        tables=_tables(record),
        notes=_notes(record),
    )


def _span(
    recording: Recording, rows: Sequence[FrameRow], drops: Sequence[DropRow]
) -> tuple[int, float]:
    """Return the first moment in ns and the length in seconds."""
    times = [row.log_ns for row in rows] + [drop.log_ns for drop in drops]
    times += [at for at in (recording.start_ns, recording.end_ns) if at is not None]
    if not times:
        return 0, 1.0
    return min(times), max((max(times) - min(times)) / NS, 1e-3)


def _latency(stages: Sequence[str], rows: Sequence[FrameRow]) -> tuple[Spread, ...]:
    if not rows:
        return ()
    spreads = [
        Spread.of(stage, np.array([row.times_ms.get(stage, np.nan) for row in rows]))
        for stage in stages
    ]
    known = [spread for spread in spreads if spread.samples.size]
    return (*known, Spread.of(TOTAL, _totals(rows))) if known else ()


def _totals(rows: Sequence[FrameRow]) -> F64:
    return np.array([sum(row.times_ms.values()) for row in rows], np.float64)


def _rates(
    since: Since, rows: Sequence[FrameRow], drops: Sequence[DropRow], seconds: F64, duration: float
) -> tuple[Line, ...]:
    """Return what came in and went out, each second of the recording."""
    if not rows and not drops:
        return ()
    lines = [rate('results', seconds, duration)]
    for camera, word in (('visible', 'RGB in'), ('thermal', 'thermal in')):
        used = [row.log_ns for row in rows if getattr(row, f'{camera}_ns') is not None]
        if camera == 'thermal':  # of a reused frame only the first pair counts
            used = [
                row.log_ns for row in rows if row.thermal_ns is not None and row.kind != 'reused'
            ]
        lost = [drop.log_ns for drop in drops if drop.camera == camera]
        if used or lost:
            lines.append(rate(word, since(sorted(used + lost)), duration))
    return tuple(lines)


def _drops(drops: Sequence[DropRow], since: Since) -> tuple[Drops, ...]:
    kinds = Counter((drop.camera, drop.reason) for drop in drops)
    return tuple(
        Drops(
            camera,
            reason,
            since([d.log_ns for d in drops if (d.camera, d.reason) == (camera, reason)]),
            np.ones(count),
        )
        for (camera, reason), count in kinds.most_common()
    )


def _agc(rows: Sequence[FrameRow], seconds: F64) -> tuple[Line, ...]:
    if not any(row.agc_low is not None for row in rows):
        return ()
    low = [np.nan if row.agc_low is None else row.agc_low for row in rows]
    high = [np.nan if row.agc_high is None else row.agc_high for row in rows]
    return Line('low', seconds, np.array(low)), Line('high', seconds, np.array(high))


def _unit(record: RunRecord) -> str:
    plain = record.parameters.get('thermal.scale', 1.0) == 1.0
    return 'counts, or degrees of 32FC1' if plain else 'raw * thermal.scale + offset'


def _areas(record: RunRecord, rows: Sequence[FrameRow], seconds: F64) -> Areas | None:
    if record.model is None:
        return None
    classes = tuple(
        ClassLabel(
            int(item['id']),
            str(item['name']),
            (item['color'][0], item['color'][1], item['color'][2]),
        )
        for item in record.model.classes
    )
    masked = [place for place, row in enumerate(rows) if len(row.shares) == len(classes)]
    if not masked:
        return None
    shares = np.array([rows[place].shares for place in masked], np.float64)
    return Areas(seconds[masked], shares, classes)


def _verdict(record: RunRecord) -> tuple[Verdict, str]:
    said = record.message or record.state
    if record.state == 'done':
        return (Verdict.GOOD if record.exit_code == CLEAN else Verdict.WARN), said
    if record.state == 'running':
        return Verdict.WARN, 'not finished: it goes on, or was killed; `paif-replay` resumes it'
    return (Verdict.WARN if record.state == 'interrupted' else Verdict.BAD), said


def _balance(record: RunRecord) -> str:
    words = []
    for name, counts in (('RGB', record.counts.visible), ('thermal', record.counts.thermal)):
        gone = sum(counts.dropped.values())
        sign = '=' if counts.balanced else '≠'
        words.append(
            f'{name}: {counts.received} received {sign} {counts.paired} paired + {counts.single} '
            f'alone + {gone} dropped'
        )
    return '; '.join(words)


def _tiles(
    record: RunRecord, duration: float, latency: Sequence[Spread], skews: F64
) -> tuple[Tile, ...]:
    counts = record.counts
    dropped = sum(counts.visible.dropped.values()) + sum(counts.thermal.dropped.values())
    tiles = [
        Tile('results', str(counts.results), f'{counts.fused} fused, {counts.singles} alone'),
        Tile('recording', clock(duration), f'{counts.results / duration:.1f} results/s'),
        Tile(
            'work',
            clock(record.seconds),
            f'{duration / max(record.seconds, 1e-3):.2g} x real time',
        ),
        Tile(
            'dropped',
            str(dropped),
            f'of {counts.visible.received + counts.thermal.received} frames',
        ),
    ]
    for spread in latency:
        if spread.name in (TOTAL, 'inference'):
            tiles.append(
                Tile(spread.name, amount(spread.p50, 'ms'), f'p99 {amount(spread.p99, "ms")}')
            )
    if np.isfinite(skews).any():
        spread = Spread.of('skew', np.abs(skews))
        tiles.append(Tile('skew', amount(spread.p50, 'ms'), f'p99 {amount(spread.p99, "ms")}'))
    return tuple(tiles)


def _tables(record: RunRecord) -> tuple[Table, ...]:
    recording, model = record.recording, record.model
    what: dict[str, object] = {
        'path': recording.path,
        'kind': recording.kind,
        'fingerprint (SHA-256)': recording.fingerprint,
        'size': size(recording.bytes),
        'from': _moment(recording.start_ns),
        'to': _moment(recording.end_ns),
        'messages': recording.messages,
        **{f'{role} topic': topic for role, topic in recording.topics.items()},
    }
    tables = [Table.of('Recording', what)]
    if model is not None:
        network = {
            'file': model.path,
            'file (SHA-256)': model.sha256,
            'weights (SHA-256)': model.weights_sha256,
            'network': f'{model.network} {model.variant}',
            'input': f'{model.input_size[1]}x{model.input_size[0]}',
            'engine': f'{model.backend} {model.provider} {model.precision}',
            'chosen because': model.reason,
        }
        tables.append(Table.of('Model and engine', network))
    tables.append(Table.of('Versions', dict(record.versions)))
    run: dict[str, object] = {
        'started': utc(record.started),
        'state': record.state,
        'exit code': '' if record.exit_code is None else record.exit_code,
        'command': ' '.join(record.command),
        **{f'output: {name}': path for name, path in record.outputs.items()},
        **{f'option: {name}': plain(value) for name, value in record.options.items()},
    }
    tables.append(Table.of('Run', run))
    if recording.losses:
        lost = tuple(
            Row(loss.file, loss.what + (f' ({size(loss.bytes)})' if loss.bytes else ''), True)
            for loss in recording.losses
        )
        tables.insert(0, Table('Lost in the recording', lost))
    return (*tables, parameter_table(record.parameters))


def parameter_table(parameters: Mapping[str, object]) -> Table:
    """Return the parameters, marked where they are not the default.

    Args:
        parameters: values by dotted name.
    """
    known = specs()
    rows = tuple(
        Row(name, str(value), name in known and known[name].default != value)
        for name, value in parameters.items()
    )
    return Table('Parameters', rows, long=True)


def _moment(nanoseconds: int | None) -> str:
    if nanoseconds is None:
        return ''
    at = datetime.fromtimestamp(nanoseconds / NS, timezone.utc)
    return at.isoformat(' ', 'milliseconds').replace('+00:00', ' UTC')


def _notes(record: RunRecord) -> tuple[str, ...]:
    notes = ['A replay takes every pair, so nothing waits: there is no stage "waiting".']
    if record.state != 'done':
        notes.append('The run has not ended: counts are those of the last checkpoint.')
    return tuple(notes)
