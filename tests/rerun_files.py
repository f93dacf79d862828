"""Reads .rrd files with Rerun's own reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


def chunks(path: Path) -> list[Any]:
    """Return the chunks of a recording. Skips where the reader is of another version."""
    reader = pytest.importorskip('rerun.chunk', reason='rerun-sdk without a reader of chunks')
    return list(reader.RrdReader(path).stream().to_chunks())


def entities(path: Path) -> set[str]:
    """Return what was logged to."""
    return {chunk.entity_path for chunk in chunks(path)}


def annotations(path: Path) -> dict[int, tuple[str, int]]:
    """Return label and colour (RGBA as one number) of each class of the mask."""
    for chunk in chunks(path):
        if chunk.entity_path == '/result/mask' and chunk.is_static:
            column = chunk.to_record_batch().column('AnnotationContext:context')
            infos = [item['class_description']['info'] for item in column.to_pylist()[0][0]]
            return {info['id']: (info['label'], info['color']) for info in infos}
    return {}
