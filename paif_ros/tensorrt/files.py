"""Writes files so that a crash or a full disk leaves the old one or the new one, never half."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def replace_file(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write a file whole or not at all: temporary file beside it, fsync, rename, fsync the folder.

    Args:
        path: in a folder that is there.
        data: its new content.
        mode: who may read and write it.

    Raises:
        OSError: it could not be written; what was there before still is, and nothing else.
    """
    handle, name = tempfile.mkstemp(prefix=f'.{path.name}.', suffix='.part', dir=path.parent)
    try:
        with os.fdopen(handle, 'wb') as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # else a power cut may take the rename back
    finally:
        os.close(folder)
