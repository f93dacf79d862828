"""How far the answers of one form of a network lie from those of its FP32 form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
# The bounds of the parity gate that every engine passes on its robot.
FUSED_PSNR = 45.0  # dB
MASK_AGREEMENT = 0.995  # part of the pixels
MASK_AGREEMENT_INT8 = 0.990
NO_NOISE = 99.0  # dB, in place of infinity for equal pictures: it goes into JSON and tables


@dataclass(frozen=True)
class Answer:
    """What a model answers to one pair.

    Attributes:
        fused: uint8 [H, W, 3].
        mask: uint8 [H, W].
        confidence: uint8 [H, W].
    """

    fused: Bytes
    mask: Bytes
    confidence: Bytes


@dataclass(frozen=True)
class Moved:
    """The differences over all pairs.

    Attributes:
        fused_max: largest difference of the fused pictures in grey levels.
        fused_p999: 99.9th percentile of their differences in grey levels.
        fused_psnr: of the worst pair in dB.
        agreement: part of the pixels whose class is the same, of the worst pair.
        confidence_max: largest difference of the confidence in parts of 255.
    """

    fused_max: int
    fused_p999: float
    fused_psnr: float
    agreement: float
    confidence_max: int

    def passes(self, agreement: float = MASK_AGREEMENT) -> bool:
        """Whether an engine that moves this far would be installed."""
        return self.fused_psnr >= FUSED_PSNR and self.agreement >= agreement


def psnr(found: Bytes, expected: Bytes) -> float:
    """Return the peak signal-to-noise ratio of bytes in dB, NO_NOISE at most."""
    error = np.mean((found.astype(np.float64) - expected) ** 2)
    return NO_NOISE if error == 0 else min(NO_NOISE, float(10 * np.log10(255**2 / error)))


def compare(found: Sequence[Answer], expected: Sequence[Answer]) -> Moved:
    """Compare answers with the FP32 ones to the same pairs.

    Raises:
        ValueError: not as many of the one as of the other, or none.
    """
    if not found or len(found) != len(expected):
        msg = (
            f'{len(found)} answers against {len(expected)}: as many of both are needed, 1 or more'
        )
        raise ValueError(msg)
    pairs = list(zip(found, expected, strict=True))
    levels = np.concatenate([np.abs(a.fused.astype(np.int16) - b.fused).ravel() for a, b in pairs])
    doubts = [int(np.abs(a.confidence.astype(np.int16) - b.confidence).max()) for a, b in pairs]
    return Moved(
        fused_max=int(levels.max()),
        fused_p999=float(np.percentile(levels, 99.9)),
        fused_psnr=min(psnr(a.fused, b.fused) for a, b in pairs),
        agreement=min(float((a.mask == b.mask).mean()) for a, b in pairs),
        confidence_max=max(doubts),
    )
