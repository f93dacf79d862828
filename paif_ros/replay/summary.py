"""What the command says at the end."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paif_ros.replay.record import RunRecord


def run_text(record: RunRecord, folder: Path) -> str:
    """Return a run in a few lines."""
    counts = record.counts
    rate = counts.results / max(record.seconds, 1e-3)
    lines = [
        f'{record.state}: {counts.fused} of {counts.pairs} pairs fused in {record.seconds:.1f} s '
        f'({rate:{".1f" if rate >= 1 else ".2g"}} results a second)',
        f'visible  {_camera(counts.visible)}',
        f'thermal  {_camera(counts.thermal)}',
    ]
    if counts.singles:
        lines.insert(1, f'{counts.singles} results of one camera alone')
    if record.message:
        lines.append(record.message)
    made = ', '.join(str(folder / path) for path in record.outputs.values())
    lines.append(f'in {made or folder}; facts in {folder / "run.json"}')
    return '\n'.join(lines)


def archive_text(tree: Mapping[str, Any], folder: Path) -> str:
    """Return a manifest in a line for each recording."""
    words = {0: 'clean', 3: 'with loss', 1: 'FAILED'}
    lines = []
    for entry in tree['recordings']:
        counts = entry['counts']
        fused = f'{counts["fused"]} of {counts["pairs"]} pairs fused' if counts else ''
        told = '; '.join(part for part in (fused, entry['message']) if part)
        lines.append(f'{words[entry["exit_code"]]:>9}  {entry["path"]}: {told}')
    lines.append(f'{tree["counts"]["fused"]} pairs fused in all; facts in {folder}/manifest.json')
    return '\n'.join(lines)


def _camera(camera: Any) -> str:
    drops = ', '.join(f'{number} {reason}' for reason, number in camera.dropped.items())
    single = f', {camera.single} single' if camera.single else ''
    text = f'{camera.received} received, {camera.paired} paired{single}'
    return text + (f', dropped: {drops}' if drops else '')
