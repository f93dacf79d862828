"""A frame of the film: pictures side by side and one above the other, as a text says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from paif_ros.engines.base import U8
from paif_ros.errors import ParameterError
from paif_ros.fusion.results import Result, Wanted
from paif_ros.pictures.drawing import grey_to_rgb, resize_picture

# What a text may name, and the picture of a `Result` that it is; '' for one of the scene.
NAMES: Mapping[str, str] = {
    'rgb': '',
    'thermal': 'thermal',
    'fused': 'fused',
    'mask': 'color_mask',
    'overlay': 'overlay',
    'confidence': 'confidence',
    'validity': 'validity',
}


@dataclass(frozen=True)
class Mosaic:
    """Rows of pictures.

    Attributes:
        rows: names of the pictures, row by row.
    """

    rows: tuple[tuple[str, ...], ...]

    @classmethod
    def parse(cls, text: str) -> Mosaic:
        """Read 'rgb,thermal/fused,overlay': commas within a row, slashes between rows.

        Raises:
            ParameterError: a name is not known or missing.
        """
        rows = tuple(tuple(n.strip() for n in row.split(',')) for row in text.split('/'))
        for name in (name for row in rows for name in row):
            if name not in NAMES:
                allowed = f'names of {", ".join(NAMES)}, as in rgb,thermal/fused,overlay'
                raise ParameterError('--mosaic', name, allowed)
        return cls(rows)

    @property
    def wanted(self) -> Wanted:
        """The pictures that it takes."""
        names = {NAMES[name] for row in self.rows for name in row}
        return Wanted(**dict.fromkeys(names - {''}, True))

    def draw(self, result: Result, size: tuple[int, int]) -> U8:
        """Return a frame.

        Args:
            result: with the pictures of `wanted`; one that is not to be had is black.
            size: (height, width) of each picture.

        Returns:
            uint8 [H, W, 3] RGB, both sides even; shorter rows are filled up with black.
        """
        columns = max(len(row) for row in self.rows)
        height, width = size
        shape = (height * len(self.rows), width * columns)
        frame = np.zeros((shape[0] + shape[0] % 2, shape[1] + shape[1] % 2, 3), np.uint8)
        for y, row in enumerate(self.rows):
            for x, name in enumerate(row):
                tile = _tile(name, result, size)
                if tile is not None:
                    place = np.s_[y * height : (y + 1) * height, x * width : (x + 1) * width]
                    frame[place] = tile
        return frame


def _tile(name: str, result: Result, size: tuple[int, int]) -> U8 | None:
    if name == 'rgb':
        blind = result.scene is None or result.scene.alone == 'thermal'
        picture = None if blind or result.scene is None else result.scene.color
    else:
        picture = getattr(result, NAMES[name])
    if picture is None:
        return None
    tile = resize_picture(picture, size)
    return grey_to_rgb(tile) if tile.ndim == 2 else tile
