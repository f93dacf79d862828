"""Versions of everything that a replay's results depend on, and fingerprints of files."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from paif_ros import __version__

LIBRARIES = (
    'onnxruntime', 'onnxruntime-gpu', 'tensorrt', 'tensorrt-rtx', 'numpy',
    'opencv-python-headless',
    'opencv-python', 'rosbags', 'mcap', 'zstandard', 'lz4', 'av', 'tqdm', 'ray', 'rerun-sdk',
)  # fmt: skip
END = 2**20  # bytes of both ends of a file that go into its fingerprint


def versions() -> dict[str, str]:
    """Return the versions of this package, Python, the machine and every library that is here."""
    found = {
        'paif_ros': __version__,
        'python': platform.python_version(),
        'machine': f'{platform.system()} {platform.release()} {platform.machine()}',
    }
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def fingerprint(files: Sequence[Path]) -> str:
    """Return a SHA-256 in hex over names, sizes and both ends of files.

    Not over all bytes: recordings have hundreds of gigabytes.
    """
    total = hashlib.sha256()
    for path in files:
        size = path.stat().st_size
        total.update(f'{path.name}\0{size}\0'.encode())
        with path.open('rb') as file:
            total.update(file.read(END))
            if size > END:
                file.seek(max(END, size - END))
                total.update(file.read(END))
    return total.hexdigest()


def sha256(path: Path) -> str:
    """Return the SHA-256 of a whole file in hex."""
    total = hashlib.sha256()
    with path.open('rb') as file:
        while piece := file.read(END):
            total.update(piece)
    return total.hexdigest()
