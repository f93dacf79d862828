"""Training sets of aligned patches on disk, written and read: a folder, or the official HDF5.

The folder is {vi,ir,label}/NAME.png, which our readers and any viewer open. It is the better kept
of the two: it holds colours, 8 bits and labels as they were, where the official file holds the
visible luma as float32; a killed run goes on at the next patch, where an HDF5 file that was open
is lost; and it needs no library. The HDF5 file is for the official training code, and its RSM3.h5
can be read.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from models.datasets.pair import IGNORE, Bytes, LabelledPair
from models.datasets.plain import read_folder
from models.vision_alignment.errors import OutputError
from models.vision_alignment.settings import Card

if TYPE_CHECKING:
    import h5py

CARD = 'alignment.json'
STATE = 'state.json'
ENDINGS = ('.h5', '.hdf5')
THERMAL, VISIBLE = 'ir_patchs', 'vis_patchs'  # the official groups, in their own spelling
LUMA = np.array((0.299, 0.587, 0.114), np.float32)


class Writer(Protocol):
    """Writes a training set.

    Attributes:
        state: file that says where an unfinished run is.
        resumable: whether what was written before a kill is still good.
    """

    state: Path
    resumable: bool

    def finished(self) -> bool:
        """Tell whether the training set is there, whole."""

    def add(self, number: int, pair: LabelledPair) -> None:
        """Write the patch of a number, counted from 0."""

    def close(self, card: Card) -> None:
        """Write the card and finish."""


class FolderWriter:
    """Writes {vi,ir,label}/NAME.png. A patch that is written again is the same file.

    Args:
        out: the folder; it is made as needed, and may hold an unfinished run.

    Raises:
        OutputError: it holds something else.
    """

    resumable = True

    def __init__(self, out: Path) -> None:
        self.out, self.state = out, out / STATE
        if not self.finished() and not self.state.exists() and out.is_dir() and any(out.iterdir()):
            raise OutputError(out, 'is not empty', 'choose another --out')

    def finished(self) -> bool:  # noqa: D102 - as the protocol
        return (self.out / CARD).exists()

    def add(self, number: int, pair: LabelledPair) -> None:  # noqa: D102
        from PIL import Image

        name = f'{number:06d}_{pair.name.replace("/", "_")}.png'
        pictures = {'vi': pair.visible, 'ir': pair.thermal, 'label': pair.label}
        for kind, picture in pictures.items():
            (self.out / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(self.out / kind / name)

    def close(self, card: Card) -> None:  # noqa: D102
        temporary = self.out / f'{CARD}.tmp'
        temporary.write_text(card.to_json())
        temporary.replace(self.out / CARD)
        self.state.unlink(missing_ok=True)


class Hdf5Writer:
    """Writes the official groups: float32 [1, H, W] in 0..1, named '0', '1' and so on.

    The file takes its name only when it is whole; a killed run writes its patches again.

    Args:
        out: the file.

    Raises:
        OutputError: h5py is not installed.
    """

    resumable = False

    def __init__(self, out: Path) -> None:
        self.out, self.state = out, out.with_name(f'{out.name}.{STATE}')
        self._temporary = out.with_name(f'{out.name}.part')
        self._file: h5py.File | None = None
        _h5py(out)

    def finished(self) -> bool:  # noqa: D102
        return self.out.exists()

    def add(self, number: int, pair: LabelledPair) -> None:  # noqa: D102
        if self._file is None:
            self._file = _h5py(self.out).File(self._temporary, 'w')
        luma = pair.visible.astype(np.float32) @ LUMA
        for group, picture in ((THERMAL, pair.thermal), (VISIBLE, luma)):
            values = picture.astype(np.float32)[None] / 255
            self._file.create_dataset(f'{group}/{number}', data=values)

    def close(self, card: Card) -> None:  # noqa: D102
        assert self._file is not None  # a training set has at least one patch
        self._file.attrs['alignment'] = card.to_json()
        self._file.close()
        self._temporary.replace(self.out)
        self.state.unlink(missing_ok=True)


def _h5py(path: Path) -> Any:
    try:
        import h5py
    except ImportError as err:
        cure = 'pip install h5py, or use a folder'
        raise OutputError(path, 'needs h5py, which is not installed', cure) from err
    return h5py


def writer_for(out: Path) -> Writer:
    """Return the writer of a name: HDF5 by its ending .h5 or .hdf5, a folder otherwise.

    Raises:
        OutputError: it exists and is something else.
    """
    if out.suffix.lower() in ENDINGS:
        return Hdf5Writer(out)
    if out.is_file():
        raise OutputError(out, 'is a file', 'give a folder, or a name that ends in .h5')
    return FolderWriter(out)


def read_aligned(path: Path, classes: int = 4) -> list[LabelledPair]:
    """Read a training set of aligned patches as `models.datasets` gives pairs.

    Args:
        path: folder of the command, or an HDF5 file with the official groups. The latter has
            neither colours nor labels: the visible pictures are grey, the labels 255.
        classes: of the network.

    Returns:
        Pairs in the order they were written.

    Raises:
        OutputError: nothing there, an unfinished run, or other content.
        DatasetError: a picture can't be read, or a label holds an id out of range.
    """
    if path.suffix.lower() in ENDINGS and path.is_file():
        return _read_hdf5(path)
    if not (path / CARD).is_file():
        if (path / STATE).exists():
            raise OutputError(path, 'is unfinished', 'run the command that began it again')
        cure = 'make it with python -m models.vision_alignment'
        raise OutputError(path, 'holds no aligned patches', cure)
    return read_folder(path, classes)


def _read_hdf5(path: Path) -> list[LabelledPair]:
    h5py = _h5py(path)
    try:
        file = h5py.File(path)
    except OSError as err:
        raise OutputError(path, f'is no HDF5 file ({err})', 'make it again') from err
    with file:
        groups = [file.get(name, {}) for name in (THERMAL, VISIBLE)]
        names = sorted(groups[0], key=lambda name: (len(name), name))
        if not names or set(names) != set(groups[1]):
            found = f'has {[len(group) for group in groups]} patches in {THERMAL} and {VISIBLE}'
            raise OutputError(path, found, 'both need the same names')
        pairs = []
        for name in names:
            thermal, luma = (_levels(path, name, np.asarray(group[name])) for group in groups)
            if thermal.shape != luma.shape:
                found = f'patch {name}: {thermal.shape} and {luma.shape}'
                raise OutputError(path, f'has {found}', 'both must be of one size')
            visible = np.repeat(luma[..., None], 3, axis=2)
            label = np.full(luma.shape, IGNORE, np.uint8)
            pairs.append(LabelledPair(f'{path.stem}/{name}', visible, thermal, label))
    return pairs


def _levels(path: Path, name: str, values: NDArray[Any]) -> Bytes:
    """Return uint8 [H, W] of float [1, H, W] in 0..1."""
    if values.ndim != 3 or values.shape[0] != 1 or not (values.min() >= 0 and values.max() <= 1):
        low, high = values.min(initial=0), values.max(initial=0)
        found = f'has patch {name} of shape {values.shape} in {low:g}..{high:g}'
        raise OutputError(path, found, 'expected [1, H, W] in 0..1')
    return np.rint(values[0] * 255).astype(np.uint8)
