"""What the run amounts to: counts, speed and latency, from the node and from the recorder."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from demo.topics import FUSED
from scenes.bag import COLOR, THERMAL

CAMERAS = {'visible': COLOR, 'thermal': THERMAL}
STAGES = (
    *('pairing', 'waiting', 'decode', 'thermal', 'registration'),
    *('inference', 'convert', 'publish', 'total'),
)
# What the stages mean, for those who read the table.
MEANING = {
    'pairing': "second picture arrived to pair made; the first four wait for the cameras' pace",
    'waiting': 'pair made to network free',
    'decode': 'messages to arrays',
    'thermal': 'thermal frame to 8 bit',
    'registration': "into the RGB frame, both to the network's size",
    'inference': 'the network alone',
    'convert': 'overlay, arrays to messages',
    'publish': 'handing over to the middleware',
    'total': 'all of the above',
    'end to end': 'picture sent to fused picture received, by the recorder',
}


TRANSPORT_LOSS = 0.05  # part that best-effort topics may lose before the run counts as failed


@dataclass(frozen=True)
class Span:
    """Median and 99th percentile in milliseconds; NaN where nothing was measured."""

    p50: float
    p99: float


@dataclass(frozen=True)
class Check:
    """Two counts that must agree.

    Attributes:
        text: what is compared.
        expected: one count.
        found: the other.
        slack: how many may be missing; best-effort topics may lose some, as cameras' do.
    """

    text: str
    expected: int
    found: int
    slack: int = 0

    @property
    def ok(self) -> bool:
        """Whether they agree, but for the slack."""
        return 0 <= self.expected - self.found <= self.slack

    @property
    def verdict(self) -> str:
        """Return the outcome in words."""
        if self.expected == self.found:
            return 'agrees'
        missing = self.expected - self.found
        return f'{missing} LOST' if self.ok else f'DIFFERS: {self.expected} against {self.found}'


@dataclass(frozen=True)
class Report:
    """The numbers of one run.

    Attributes:
        source: what was played, in words.
        camera_hz: pairs per second that the cameras sent.
        pairs_in: pairs that the cameras sent.
        fused: pairs that were fused and published.
        fused_hz: fused pairs per second.
        dropped_pairs: pairs that ended otherwise, by reason; zeros left out.
        dropped_frames: frames without a partner, by camera and reason; zeros left out.
        latency: by stage, and 'end to end'.
        engine: what computed, in words.
        checks: counts of the node against those of player and recorder.
        notes: what a reader should know, in full sentences.
    """

    source: str
    camera_hz: float
    pairs_in: int
    fused: int
    fused_hz: float
    dropped_pairs: Mapping[str, int]
    dropped_frames: Mapping[str, int]
    latency: Mapping[str, Span]
    engine: str
    checks: Sequence[Check]
    notes: Sequence[str]

    @property
    def ok(self) -> bool:
        """Whether something was fused and all counts agree."""
        return self.fused > 0 and all(check.ok for check in self.checks)

    def to_json(self) -> str:
        """Return it as JSON; NaN becomes null, which JSON can hold."""
        facts = asdict(self)
        facts['checks'] = [{**asdict(check), 'ok': check.ok} for check in self.checks]
        facts['ok'] = self.ok
        return json.dumps(_without_nan(facts), indent=2) + '\n'


def make_report(
    source: str, rate: float, played: Mapping[str, Any], recorded: Mapping[str, Any]
) -> Report:
    """Work out the numbers.

    Args:
        source: what was played, in words.
        rate: pairs per second of the bag.
        played: what the player wrote: `stamps` by topic and `late_p99_ms`.
        recorded: what the recorder wrote: `arrivals` by topic and the last `diagnostics`.
    """
    values = dict(recorded['diagnostics'].get('values', {}))
    arrivals = recorded['arrivals'].get(FUSED, [])
    stamps = {name: list(played['stamps'][topic]) for name, topic in CAMERAS.items()}
    latency = {stage: _stage(values, stage) for stage in STAGES}
    latency['end to end'] = _span([(got - stamp) / 1e6 for stamp, got in arrivals])
    dropped_pairs = {
        key.removeprefix('pairs.'): int(value)
        for key, value in values.items()
        if key.startswith('pairs.')
        and key not in ('pairs.made', 'pairs.fused', 'pairs.pending', 'pairs.fused_rate_hz')
        and int(value)
    }
    report = Report(
        source=source,
        camera_hz=rate,
        pairs_in=min(len(sent) for sent in stamps.values()),
        fused=len(arrivals),
        fused_hz=_rate([got for _, got in arrivals]),
        dropped_pairs=dropped_pairs,
        dropped_frames=_lone_frames(values, dropped_pairs),
        latency=latency,
        engine=_engine(values),
        checks=_checks(values, stamps, arrivals, dropped_pairs),
        notes=(),
    )
    notes = _notes(report, float(played.get('late_p99_ms', 0.0)), bool(values))
    return replace(report, notes=notes)


def table(report: Report) -> str:
    """Return the report as text for a terminal."""
    rows = [
        f'played       {report.source}',
        f'computed by  {report.engine}',
        f'pairs in     {report.pairs_in:6d}   {report.camera_hz:6.2f} Hz',
        f'fused        {report.fused:6d}   {report.fused_hz:6.2f} Hz',
    ]
    rows += [f'dropped      {count:6d}   {why}' for why, count in report.dropped_pairs.items()]
    rows += [f'lone frames  {count:6d}   {why}' for why, count in report.dropped_frames.items()]
    if not report.dropped_pairs and not report.dropped_frames:
        rows.append('dropped           0')
    rows += ['', f'{"latency, ms":<12} {"p50":>8} {"p99":>8}']
    for stage, span in report.latency.items():
        rows.append(f'{stage:<12} {_number(span.p50)} {_number(span.p99)}   {MEANING[stage]}')
    rows.append('')
    for check in report.checks:
        rows.append(f'{check.text}: {check.verdict}')
    rows += [f'Note: {note}' for note in report.notes]
    return '\n'.join(rows)


def _checks(
    values: Mapping[str, str],
    stamps: Mapping[str, Sequence[int]],
    arrivals: Sequence[Sequence[int]],
    dropped_pairs: Mapping[str, int],
) -> tuple[Check, ...]:
    if not values:
        return ()
    fused = int(values['pairs.fused'])
    checks = [Check('pairs the node fused, pictures the recorder received', fused, len(arrivals))]
    sent = set(stamps['visible'])
    known = sum(1 for stamp, _ in arrivals if stamp in sent)
    checks.append(
        Check('fused pictures, those with the stamp of a sent one', len(arrivals), known)
    )
    ended = fused + sum(dropped_pairs.values()) + int(values['pairs.pending'])
    checks.append(Check('pairs made, fused + dropped + pending', int(values['pairs.made']), ended))
    for camera, out in stamps.items():
        received = int(values[f'{camera}.received'])
        slack = int(len(out) * TRANSPORT_LOSS)
        text = f'{camera} pictures sent, received by the node'
        checks.append(Check(text, len(out), received, slack))
        ended = int(values[f'{camera}.paired']) + int(values[f'{camera}.pending'])
        ended += sum(_dropped(values, camera).values())
        checks.append(Check(f'{camera} received, paired + dropped + pending', received, ended))
    return tuple(checks)


def _notes(report: Report, late_ms: float, heard: bool) -> tuple[str, ...]:
    notes = []
    if not heard:
        notes.append('the node sent no diagnostics, so its own counts are missing.')
    replaced = report.dropped_pairs.get('superseded', 0)
    period = 1000.0 / report.camera_hz
    needs = float(np.nansum([report.latency[s].p50 for s in STAGES[2:-1]]))
    gave_way = f'{replaced} of {report.pairs_in} pairs were dropped for newer ones (superseded)'
    if needs > period:
        notes.append(
            f'the network is slower than the cameras here: one pair takes {needs:.0f} ms, the '
            f'cameras send one every {period:.0f} ms. {gave_way}: fewer results, but no backlog '
            'builds up.'
        )
    elif replaced:
        notes.append(f'{gave_way}, which came while another one was computed.')
    if late_ms > period / 2:
        notes.append(f'this machine is busy: the player sent up to {late_ms:.0f} ms late.')
    if any(
        check.text.endswith('received by the node') and check.expected != check.found
        for check in report.checks
    ):
        notes.append(
            'pictures were lost on the way to the node. If you chose the DDS settings yourself, '
            'compare them with config/fastdds_shm.xml.'
        )
    return tuple(notes)


def _dropped(values: Mapping[str, str], camera: str) -> dict[str, int]:
    start = f'{camera}.dropped.'
    return {k.removeprefix(start): int(v) for k, v in values.items() if k.startswith(start)}


def _lone_frames(values: Mapping[str, str], pairs: Mapping[str, int]) -> dict[str, int]:
    """Return frames dropped without having been part of a pair, by 'camera: reason'."""
    lone = {}
    for camera in CAMERAS:
        for reason, count in _dropped(values, camera).items():
            rest = count - pairs.get(reason, 0)
            if rest:
                lone[f'{camera}: {reason}'] = rest
    return lone


def _engine(values: Mapping[str, str]) -> str:
    if not values:
        return 'unknown'
    model = f'{values["model.network"]} {values["model.variant"]} {values["model.input_size"]}'
    return f'{model} on {values["engine.backend"]} {values["engine.provider"]}'


def _stage(values: Mapping[str, str], stage: str) -> Span:
    p50, p99 = (float(values.get(f'latency.{stage}.{p}_ms', 'nan')) for p in ('p50', 'p99'))
    return Span(p50, p99)


def _span(values: Sequence[float]) -> Span:
    if not values:
        return Span(math.nan, math.nan)
    p50, p99 = (float(part) for part in np.percentile(values, (50, 99)))
    return Span(p50, p99)


def _rate(times: Sequence[int]) -> float:
    """Return events per second from their times in ns; 0 with fewer than two."""
    return (len(times) - 1) * 1e9 / (times[-1] - times[0]) if len(times) > 1 else 0.0


def _number(value: float) -> str:
    return f'{"-":>8}' if math.isnan(value) else f'{value:8.1f}'


def _without_nan(value: Any) -> Any:
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, Mapping):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return value
