"""Noise textures that wrap around at their edges."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

PAD = 2  # grid cells repeated around the edge, as wide as the cubic filter reaches


def layer(
    rng: np.random.Generator, size: tuple[int, int], cells: tuple[int, int]
) -> NDArray[np.float32]:
    """Return one octave of smooth noise.

    Args:
        rng: where the random numbers come from.
        size: (height, width) of the result in pixels.
        cells: (rows, columns) of the random grid that is enlarged to it.

    Returns:
        float32 [H, W], mean about 0, standard deviation about 1, tiles without a seam.
    """
    rows, cols = max(2, min(cells[0], size[0])), max(2, min(cells[1], size[1]))
    grid = rng.standard_normal((rows, cols)).astype(np.float32)
    grid = np.pad(grid, PAD, mode='wrap')
    # Enlarged with whole pixels per cell, cropped, then brought to size: the crop keeps the wrap.
    up_r, up_c = -(-size[0] // rows), -(-size[1] // cols)
    big = cv2.resize(grid, None, fx=up_c, fy=up_r, interpolation=cv2.INTER_CUBIC)
    big = big[PAD * up_r : (PAD + rows) * up_r, PAD * up_c : (PAD + cols) * up_c]
    if big.shape != size:
        big = cv2.resize(big, size[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(big, np.float32)


def fractal(
    rng: np.random.Generator,
    size: tuple[int, int],
    cells: tuple[int, int],
    octaves: int = 4,
    gain: float = 0.6,
) -> NDArray[np.float32]:
    """Return noise with detail at several scales, each octave twice as fine.

    Args:
        rng: where the random numbers come from.
        size: (height, width) of the result in pixels.
        cells: grid of the coarsest octave.
        octaves: how many there are.
        gain: strength of an octave relative to the one before.

    Returns:
        float32 [H, W], mean 0, standard deviation 1.
    """
    total = np.zeros(size, np.float32)
    for octave in range(octaves):
        grid = (cells[0] << octave, cells[1] << octave)
        total += np.float32(gain**octave) * layer(rng, size, grid)
    total -= total.mean()
    return total / np.float32(max(float(total.std()), 1e-6))
