"""Counters and times as the key-value list of one diagnostic status. Key names are stable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from paif_ros.accounting import DropReason, Source
from paif_ros.engines import EngineInfo
from paif_ros.statistics import Snapshot


@dataclass(frozen=True)
class Moment:
    """Everything that is counted, at one moment.

    Attributes:
        when: monotonic time in nanoseconds.
        waiting: frames that wait for a partner, by camera.
        counted: all counters and times.
    """

    when: int
    waiting: Mapping[Source, int]
    counted: Snapshot


@dataclass(frozen=True)
class Status:
    """One diagnostic status without ROS.

    Attributes:
        ok: whether nothing is wrong.
        message: the state in a few words.
        values: keys and values, in order.
    """

    ok: bool
    message: str
    values: tuple[tuple[str, str], ...]


def status(now: Moment, before: Moment, engine: EngineInfo) -> Status:
    """Describe the node.

    Args:
        now: the present numbers.
        before: those of the last status; rates and judgement look at what came since.
        engine: what computes.
    """
    complaint = _complaint(now.counted, before.counted)
    values = [*_camera_values(now, before), *_pair_values(now, before), *_engine_values(engine)]
    fused = now.counted.frames.paired > before.counted.frames.paired
    state = 'fusing' if fused else 'idle: nobody subscribes to an output'
    return Status(not complaint, complaint or state, tuple(values))


def _complaint(now: Snapshot, before: Snapshot) -> str:
    silent = [
        source.value
        for source in Source
        if now.frames.received[source] == before.frames.received[source]
    ]
    if silent:
        return f'no frames from {" and ".join(silent)}'
    if now.lost[DropReason.ENGINE_ERROR] > before.lost[DropReason.ENGINE_ERROR]:
        return 'the engine fails'
    unread, unread_before = (
        sum(reasons.get(DropReason.MALFORMED, 0) for reasons in moment.frames.dropped.values())
        for moment in (now, before)
    )
    if unread > unread_before:
        return 'images can not be read'
    if now.pairs == before.pairs:
        return 'frames arrive but none pair: compare the skew of their stamps with sync.slop'
    return ''


def _camera_values(now: Moment, before: Moment) -> list[tuple[str, str]]:
    values = []
    frames = now.counted.frames
    for source in Source:
        name, dropped = source.value, frames.dropped[source]
        new = frames.received[source] - before.counted.frames.received[source]
        values += [
            (f'{name}.received', str(frames.received[source])),
            (f'{name}.paired', str(frames.paired)),
            (f'{name}.pending', str(now.waiting[source] + now.counted.pending)),
        ]
        values += [(f'{name}.dropped.{why.value}', str(dropped.get(why, 0))) for why in DropReason]
        values.append((f'{name}.rate_hz', _rate(new, now, before)))
    return values


def _pair_values(now: Moment, before: Moment) -> list[tuple[str, str]]:
    counted = now.counted
    values = [
        ('pairs.made', str(counted.pairs)),
        ('pairs.fused', str(counted.frames.paired)),
        ('pairs.pending', str(counted.pending)),
    ]
    values += [(f'pairs.{reason.value}', str(count)) for reason, count in counted.lost.items()]
    fused = counted.frames.paired - before.counted.frames.paired
    values.append(('pairs.fused_rate_hz', _rate(fused, now, before)))
    spans = {f'latency.{stage}': span for stage, span in counted.latency.items()}
    for key, span in {**spans, 'skew': counted.skew}.items():
        values.append((f'{key}.p50_ms', f'{span.p50:.3f}'))
        values.append((f'{key}.p99_ms', f'{span.p99:.3f}'))
    return values


def _engine_values(engine: EngineInfo) -> list[tuple[str, str]]:
    height, width = engine.card.input_size
    return [
        ('engine.backend', engine.backend),
        ('engine.provider', engine.provider),
        ('model.network', engine.card.network),
        ('model.variant', engine.card.variant),
        ('model.input_size', f'{width}x{height}'),
        ('model.weights_sha256', engine.card.weights_sha256),
    ]


def _rate(count: int, now: Moment, before: Moment) -> str:
    seconds = (now.when - before.when) / 1e9
    return f'{count / seconds:.2f}' if seconds > 0 else 'nan'
