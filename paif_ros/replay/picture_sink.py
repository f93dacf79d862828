"""Writes pictures of results as PNG files, one folder for each kind, named by their stamp."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from paif_ros.errors import ParameterError
from paif_ros.fusion.results import Wanted
from paif_ros.images.compressed import encode
from paif_ros.replay.sinks import Beginning, Fused, QuietSink

FOLDER = 'png'
NAMES = ('rgb', 'fused', 'mask', 'color_mask', 'overlay', 'confidence', 'thermal', 'validity')


class PictureSink(QuietSink):
    """Writes PNG files; masks hold class ids.

    Args:
        names: of `NAMES`.

    Raises:
        ParameterError: a name is not known.
    """

    def __init__(self, names: Sequence[str]) -> None:
        for name in names:
            if name not in NAMES:
                raise ParameterError('--png', name, f'names of {", ".join(NAMES)}')
        self._names = tuple(names)
        self._folder = Path()

    @property
    def wanted(self) -> Wanted:
        """The pictures that are written."""
        return Wanted(**dict.fromkeys(set(self._names) - {'rgb'}, True))

    @property
    def outputs(self) -> Mapping[str, str]:
        """The folder."""
        return {'pictures': FOLDER}

    def begin(self, beginning: Beginning) -> None:
        """Make the folders."""
        self._folder = beginning.folder / FOLDER
        for name in self._names:
            (self._folder / name).mkdir(parents=True, exist_ok=True)

    def take(self, fused: Fused) -> None:
        """Write a result's pictures; each file is there whole or not at all."""
        result = fused.result
        for name in self._names:
            if name == 'rgb':
                picture = None if result.scene is None else result.scene.color
            else:
                picture = getattr(result, name)
            if picture is None:
                continue
            encoding = 'rgb8' if picture.ndim == 3 else 'mono8'
            _, data = encode(picture, encoding, 'png')
            path = self._folder / name / f'{fused.row.stamp_ns:019}.png'
            beside = path.with_suffix('.tmp')
            beside.write_bytes(data)
            beside.replace(path)
