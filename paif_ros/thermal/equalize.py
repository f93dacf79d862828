"""Contrast where the pixels are: a histogram equalization that noise can't exploit.

The plateau kind counts no grey level beyond a limit and spreads the rest over all levels, so a
large flat background does not take all the contrast, and nothing is stretched without bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paif_ros.thermal.ranges import sampled, scaled

# An odd number, so that the middle of the range is the middle of a bin and stays mid grey.
_BINS = 255
# A bin counts no more than this many times its even share, so no value is stretched more than
# _PLATEAU + 1 times as much as the linear stretch would.
_PLATEAU = 3.0
# Levels that a frame is quantized to before its look-up: 16 to a bin, far finer than the 256 out.
_LEVELS = 4096
# CLAHE's own usual values. Its limit means nothing in tiles of a few hundred pixels, and a flat
# one would not keep its grey; so tiles have 32 pixels a side at least.
_CLIP_LIMIT, _MOST_TILES, _LEAST_SIDE = 2.0, 8, 32


@dataclass(frozen=True)
class Curve:
    """A monotone map from raw values to grey.

    Attributes:
        edges: float64 [N + 1], raw values, ascending from the range's black to its white.
        greys: float64 [N + 1], 0 to 255, never falling.
    """

    edges: NDArray[np.float64]
    greys: NDArray[np.float64]

    def moved_from(self, old: Curve, weight: float) -> Curve:
        """Return the curve between `old` (weight 0) and this one (weight 1), on these edges."""
        before = np.interp(self.edges, old.edges, old.greys)
        return Curve(self.edges, before + weight * (self.greys - before))

    def apply(self, thermal: NDArray[Any]) -> NDArray[np.uint8]:
        """Map a frame.

        Args:
            thermal: uint16 [H, W], or float32 [H, W] without NaN.

        Returns:
            uint8 [H, W], a new array.
        """
        low, high = float(self.edges[0]), float(self.edges[-1])
        values = np.linspace(low, high, _LEVELS)
        table = np.rint(np.interp(values, self.edges, self.greys)).astype(np.uint8)
        return np.take(table, _levels(thermal, low, high))


def plateau(thermal: NDArray[Any], low: float, high: float) -> Curve:
    """Find the equalizing curve of one frame.

    Args:
        thermal: uint16 or float32 [H, W]. NaN does not count.
        low: raw value that becomes 0.
        high: raw value that becomes 255, above `low`.
    """
    # More bins than counts would leave some bins empty whatever the scene.
    bins = _BINS if thermal.dtype.kind == 'f' else min(_BINS, int(high - low) | 1)
    sample = sampled(thermal).ravel()
    levels = _levels(sample[~np.isnan(sample)], low, high).astype(np.intp)
    shares = np.bincount(levels * bins // _LEVELS, minlength=bins) * (bins / max(1, levels.size))
    clipped = np.minimum(shares, _PLATEAU)
    clipped += 1.0 - clipped.mean()  # what was cut, spread evenly
    greys = np.concatenate(([0.0], np.cumsum(clipped))) * (255.0 / bins)
    return Curve(np.linspace(low, high, bins + 1), greys)


def clahe(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Equalize by tiles, OpenCV's contrast limited adaptive kind.

    Args:
        grey: uint8 [H, W]. OpenCV takes 16 bits too, but spreads a tile's few thousand pixels over
            65536 bins then, where its limit means nothing, and needs eight times as long.

    Returns:
        uint8 [H, W]; the picture itself where it is too small for tiles.
    """
    if grey.size < _LEAST_SIDE**2:
        return grey
    import cv2

    height, width = (max(1, min(_MOST_TILES, side // _LEAST_SIDE)) for side in grey.shape)
    return np.asarray(cv2.createCLAHE(_CLIP_LIMIT, (width, height)).apply(grey), np.uint8)


def _levels(thermal: NDArray[Any], low: float, high: float) -> NDArray[np.uint16]:
    return scaled(thermal, low, high, _LEVELS - 1).astype(np.uint16)
