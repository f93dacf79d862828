"""Everything the node knows of itself as one diagnostic status. Key names are stable."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

from paif_ros.cameras.lookout import APART_NS, CameraState
from paif_ros.fusion.worker import WorkerState
from paif_ros.images.messages import NS
from paif_ros.monitoring.accounting import DropReason, JobKind, Source
from paif_ros.monitoring.statistics import Snapshot
from paif_ros.parameters import Parameters
from paif_ros.registration.edges import MIN_CORRELATION

FLAT_MANY = 3  # flat answers in a row that are no coincidence
MEMORY = Path('/proc/self/statm')


class Severity(IntEnum):
    """The levels of diagnostic_msgs/DiagnosticStatus."""

    OK = 0
    WARN = 1
    ERROR = 2


@dataclass(frozen=True)
class Moment:
    """Everything that is known at one moment.

    Attributes:
        when: monotonic time in nanoseconds.
        state: the lifecycle state.
        reason: why the node is in it against its will, else empty.
        counted: all counters and times.
        values: the parameters.
        cameras: of the cameras, empty before the node is active for the first time.
        jumps: jumps of the stamps back in time.
        clock_difference: ns by which thermal stamps are older than RGB ones that come in with
            them, None where not known.
        unpaired: what is wrong with the pairing of frames that come, else empty.
        misfits: QoS that does not fit, in words.
        worker: of the worker.
    """

    when: int
    state: str
    reason: str
    counted: Snapshot
    values: Parameters
    cameras: Mapping[Source, CameraState] = field(default_factory=dict)
    jumps: int = 0
    clock_difference: int | None = None
    unpaired: str = ''
    misfits: tuple[str, ...] = ()
    worker: WorkerState = field(default_factory=WorkerState)


@dataclass(frozen=True)
class Status:
    """One diagnostic status without ROS.

    Attributes:
        level: the worst of all that is wrong.
        message: what that is, or what the node does.
        values: keys and values, in order.
    """

    level: Severity
    message: str
    values: tuple[tuple[str, str], ...]


def status(now: Moment, before: Moment) -> Status:
    """Describe the node.

    Args:
        now: the present moment.
        before: that of the last status; rates and judgement look at what came since.
    """
    wrong = [*_errors(now, before), *_warnings(now, before)]
    values = (
        *_node_values(now),
        *_camera_values(now, before),
        *_job_values(now, before),
        *_worker_values(now),
    )
    if not wrong:
        return Status(Severity.OK, _activity(now, before), values)
    level = max(severity for severity, _ in wrong)
    return Status(level, '; '.join(text for _, text in wrong), values)


def _activity(now: Moment, before: Moment) -> str:
    if now.state != 'active':
        return now.state
    if sum(now.counted.results.values()) > sum(before.counted.results.values()):
        return 'fusing'
    return 'idle: nobody subscribes to an output'


def _errors(now: Moment, before: Moment) -> Iterator[tuple[Severity, str]]:
    if now.reason:
        yield Severity.ERROR, f'{now.state}: {now.reason}'
    for source, camera in now.cameras.items():
        if not camera.stopped:
            continue
        text = f'no frames from {source} for {camera.silent / NS:.1f} s'
        degrade = now.values.sync.on_missing == 'degrade'
        if degrade and not now.cameras[source.other].stopped:
            text += f', degraded to {source.other} alone'
        yield Severity.ERROR, text
    if now.worker.death and now.worker.death not in now.reason:
        yield Severity.ERROR, f'nothing is fused: {now.worker.death}'
    if now.worker.busy > now.values.engine.timeout * NS:
        yield Severity.ERROR, f'an inference has taken {now.worker.busy / NS:.1f} s so far'
    if _new(now, before, DropReason.ENGINE_ERROR) and not now.worker.death:
        yield Severity.ERROR, f'the engine fails: {now.worker.last_error}'
    if _new(now, before, DropReason.UNREGISTERED):
        yield Severity.ERROR, 'the calibration does not fit the pictures, see the log'


def _warnings(now: Moment, before: Moment) -> Iterator[tuple[Severity, str]]:
    for source in Source:
        unread, unread_before = (
            moment.counted.frames.dropped[source].get(DropReason.MALFORMED, 0)
            for moment in (now, before)
        )
        if unread > unread_before:
            yield Severity.WARN, f'images of {source} can not be read'
    for source, camera in now.cameras.items():
        if camera.frozen:
            yield Severity.WARN, f'{source} frozen for {camera.frozen / NS:.1f} s'
        if camera.losing:
            yield Severity.WARN, f'{source}: {camera.losing}'
    apart = now.clock_difference or 0
    if abs(apart) > APART_NS and now.values.sync.mode == 'pair':
        yield (
            Severity.WARN,
            f'thermal stamps are {apart / NS:.2f} s behind those of RGB frames that arrive with '
            'them: see sync.thermal_offset',
        )
    agreement = now.worker.agreement
    if agreement is not None and agreement < MIN_CORRELATION:
        yield (
            Severity.WARN,
            f'the edges of both cameras hardly agree ({agreement:.2f} over a minute): see '
            '`ros2 run paif_ros check_registration`',
        )
    for misfit in now.misfits:
        yield Severity.WARN, f'incompatible QoS: {misfit}'
    if now.worker.flat >= FLAT_MANY:
        yield Severity.WARN, f'the model answered with one flat colour {now.worker.flat} times'
    if now.unpaired:
        yield Severity.WARN, f'{now.unpaired}, see the log'


def _new(now: Moment, before: Moment, reason: DropReason) -> bool:
    return now.counted.lost[reason] > before.counted.lost[reason]


def _node_values(now: Moment) -> Iterator[tuple[str, str]]:
    yield 'state', now.state
    yield 'memory_mb', f'{_memory() / 2**20:.1f}'
    yield 'sync.mode', now.values.sync.mode
    yield 'sync.time_jumps', str(now.jumps)
    apart = now.clock_difference
    yield 'sync.clock_difference_ms', 'nan' if apart is None else f'{apart / NS * 1000:.3f}'
    yield 'registration.mode', now.values.registration.mode
    agreement = now.worker.agreement
    yield 'registration.edge_correlation', 'nan' if agreement is None else f'{agreement:.3f}'


def _camera_values(now: Moment, before: Moment) -> Iterator[tuple[str, str]]:
    frames, counted = now.counted.frames, now.counted
    for source in Source:
        name, camera = source.value, now.cameras.get(source)
        new = frames.received[source] - before.counted.frames.received[source]
        waiting = camera.waiting if camera else 0
        yield f'{name}.received', str(frames.received[source])
        yield f'{name}.paired', str(frames.paired[source])
        yield f'{name}.single', str(frames.single[source])
        yield f'{name}.pending', str(waiting + counted.pending_frames[source])
        for reason in DropReason:
            yield f'{name}.dropped.{reason}', str(frames.dropped[source].get(reason, 0))
        yield f'{name}.rate_hz', _rate(new, now, before)
        yield f'{name}.missed', str(camera.missed if camera else 0)
        yield f'{name}.silent_s', f'{camera.silent / NS if camera else 0:.2f}'
        yield f'{name}.stopped', _flag(camera is not None and camera.stopped)
        age = counted.stamp_age[source]
        yield f'{name}.stamp_age.min_ms', f'{age.least:.3f}'
        yield f'{name}.stamp_age.max_ms', f'{age.most:.3f}'
    thermal = now.cameras.get(Source.THERMAL)
    yield 'thermal.frozen', _flag(thermal is not None and thermal.frozen > 0)
    yield 'thermal.freezes', str(thermal.freezes if thermal else 0)
    agc = now.worker.agc
    yield 'thermal.agc.mode', 'none' if agc is None else now.values.thermal.agc
    yield 'thermal.agc.low', 'nan' if agc is None else f'{agc.low:.2f}'
    yield 'thermal.agc.high', 'nan' if agc is None else f'{agc.high:.2f}'
    yield 'thermal.agc.unit', '' if agc is None else agc.unit
    yield 'thermal.reused', str(frames.reused)


def _job_values(now: Moment, before: Moment) -> Iterator[tuple[str, str]]:
    counted = now.counted
    yield 'pairs.made', str(counted.pairs)
    yield 'pairs.fused', str(counted.fused)
    waiting = {kind: n for kind, n in counted.pending.items() if kind.is_pair}
    yield 'pairs.pending', str(sum(waiting.values()))
    for reason, count in counted.lost.items():
        yield f'pairs.{reason}', str(count - counted.lost_alone[reason])
    yield 'pairs.fused_rate_hz', _rate(counted.fused - before.counted.fused, now, before)
    for source in Source:
        kind = JobKind.alone(source)
        yield f'singles.{source}.made', str(counted.made[kind])
        yield f'singles.{source}.published', str(counted.results[kind])
        yield f'singles.{source}.pending', str(counted.pending[kind])
    for reason, count in counted.lost_alone.items():
        yield f'singles.{reason}', str(count)
    results, earlier = (sum(moment.counted.results.values()) for moment in (now, before))
    yield 'results.rate_hz', _rate(results - earlier, now, before)
    spans = {f'latency.{stage}': span for stage, span in counted.latency.items()}
    for key, span in {**spans, 'skew': counted.skew}.items():
        yield f'{key}.p50_ms', f'{span.p50:.3f}'
        yield f'{key}.p99_ms', f'{span.p99:.3f}'


def _worker_values(now: Moment) -> Iterator[tuple[str, str]]:
    engine = now.worker.engine
    yield 'engine.backend', engine.backend if engine else ''
    yield 'engine.provider', engine.provider if engine else ''
    yield 'engine.precision', engine.precision if engine else ''
    yield 'engine.progress', now.worker.progress
    yield 'engine.failures_in_a_row', str(now.worker.failures)
    yield 'engine.deaths', str(now.counted.deaths)
    yield 'engine.busy_s', f'{now.worker.busy / NS:.2f}'
    card = engine.card if engine else None
    yield 'model.network', card.network if card else ''
    yield 'model.variant', card.variant if card else ''
    yield 'model.input_size', f'{card.input_size[1]}x{card.input_size[0]}' if card else ''
    yield 'model.weights_sha256', card.weights_sha256 if card else ''


def _flag(value: bool) -> str:
    return 'true' if value else 'false'


def _rate(count: int, now: Moment, before: Moment) -> str:
    seconds = (now.when - before.when) / NS
    return f'{count / seconds:.2f}' if seconds > 0 else 'nan'


def _memory() -> int:
    """Return the bytes of memory that the process holds, 0 where the system does not say."""
    try:
        return int(MEMORY.read_text().split()[1]) * os.sysconf('SC_PAGE_SIZE')
    except (OSError, ValueError, IndexError):
        return 0
