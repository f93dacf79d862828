"""Lists, reads and compares the files of a data set."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import cv2
import numpy as np

from models.datasets.pair import Bytes

SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff')


def pictures(folder: Path) -> dict[str, Path]:
    """Return the pictures of a folder by their names without ending."""
    return {
        path.stem: path for path in sorted(folder.glob('*')) if path.suffix.lower() in SUFFIXES
    }


def listed(folder: Path, kinds: tuple[str, ...]) -> dict[str, tuple[Path, ...]]:
    """Return the files of each name that a folder holds in all its kinds, sorted by name.

    Args:
        folder: holds one folder per kind.
        kinds: such as ('vi', 'ir', 'label').

    Raises:
        FileNotFoundError: no pictures, or a name lacks a partner.
    """
    found = [pictures(folder / kind) for kind in kinds]
    layout = f'{{{",".join(kinds)}}}/NAME'
    if not found[0]:
        msg = f'{folder} has no pictures in {kinds[0]}/: expected {layout}'
        raise FileNotFoundError(msg)
    names = [set(part) for part in found]
    lonely = set[str]().union(*names) - names[0].intersection(*names)
    if lonely:
        msg = (
            f'{folder}: {len(lonely)} names lack a partner in {", ".join(kinds)}, '
            f'such as {min(lonely)!r}'
        )
        raise FileNotFoundError(msg)
    return {name: tuple(part[name] for part in found) for name in sorted(found[0])}


def _read(path: Path, flags: int) -> Bytes:
    picture = cv2.imread(str(path), flags)
    if picture is None:
        msg = f'{path} is not a picture that OpenCV reads'
        raise ValueError(msg)
    return picture.astype(np.uint8, copy=False)


def read_rgb(path: Path) -> Bytes:
    """Read uint8 [H, W, 3] RGB."""
    bgr = _read(path, cv2.IMREAD_COLOR)
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def read_grey(path: Path) -> Bytes:
    """Read uint8 [H, W]."""
    return _read(path, cv2.IMREAD_GRAYSCALE)


def read_label(path: Path, ids: Collection[int]) -> Bytes:
    """Read uint8 [H, W] class ids: the index of a palette picture, not its colours.

    Raises:
        ValueError: colours in place of ids, or an id that is not among `ids`.
    """
    from PIL import Image

    label = np.asarray(Image.open(path))
    unknown = set(np.unique(label).tolist()) - set(ids)
    if label.ndim != 2 or unknown:
        msg = (
            f'{path}: ids {sorted(unknown)} in {label.ndim} dimensions; '
            f'allowed are {sorted(ids)} in 2'
        )
        raise ValueError(msg)
    return label.astype(np.uint8)


def same_size(path: Path, **parts: Bytes) -> None:
    """Refuse pictures of one frame whose heights or widths differ.

    Raises:
        ValueError: names each part's size.
    """
    sizes = {name: part.shape[:2] for name, part in parts.items()}
    if len(set(sizes.values())) > 1:
        each = ', '.join(f'{name} {rows}x{cols}' for name, (rows, cols) in sizes.items())
        msg = f'{path}: {each} (rows x columns); sizes must be equal'
        raise ValueError(msg)
