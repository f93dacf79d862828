"""What the trainers of all networks leave in the folder of a run: a checkpoint and a log."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

CHECKPOINT, LOG = 'checkpoint.pt', 'log.csv'


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write a checkpoint beside the old one and swap: a kill never leaves half a file."""
    temporary = path.with_suffix('.tmp')
    torch.save(dict(state), temporary)
    temporary.replace(path)


def load_checkpoint(path: Path, identity: str, device: torch.device) -> dict[str, Any] | None:
    """Read a checkpoint, None where there is none.

    Args:
        path: of the file.
        identity: what it must have been made with, its entry of that name.
        device: where its tensors go.

    Raises:
        ValueError: it was made with something else.
    """
    if not path.exists():
        return None
    state: dict[str, Any] = torch.load(path, weights_only=True, map_location=device)
    if state['identity'] != identity:
        msg = (
            f'{path} was made with another schedule, configuration or data: '
            'choose another --out, or remove it'
        )
        raise ValueError(msg)
    return state


def append_row(path: Path, columns: Sequence[str], row: Iterable[object]) -> None:
    """Append a row to a CSV file; a new file begins with the columns' names."""
    head = not path.exists() or not path.stat().st_size
    with path.open('a', newline='') as file:
        writer = csv.writer(file)
        if head:
            writer.writerow(columns)
        writer.writerow(row)
