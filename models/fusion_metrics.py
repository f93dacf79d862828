"""How well a fused picture keeps what both cameras saw: the 12 metrics of the fusion papers.

    python -m models.parity tests/data/parity/crossfuse_topk_metrics_seed0.npz

They equal those of the official evaluation that `../shared/spec/crossfuse.md` section 4 describes,
its conventions included. Three of those are unusual, so do not compare across papers unseen: PSNR
takes its peak in grey levels and its error in 0..1; SSIM has constants for pictures in 0..1 but
gets 0..255, and is a sum over both sources (0..2); VIF and MI are sums too. `MSSIM` is the SSIM
that everybody else means.

| metric | computed by | reference |
|---|---|---|
| EN, MI | scikit-image `shannon_entropy` | Shannon 1948; Qu et al., Electronics Letters 2002 |
| SSIM, MSSIM | scikit-image `structural_similarity` | Wang et al., IEEE TIP 2004 |
| VIF | torchmetrics `visual_information_fidelity` | Sheikh and Bovik, IEEE TIP 2006 (pixels) |
| CC, SCD | NumPy `corrcoef` | SCD: Aslantas and Bendes, AEU 2015 |
| SF, AG, SD, MSE, PSNR | a line of NumPy each | SF: Eskicioglu and Fisher, IEEE T. Comm. 1995 |
| Qabf | ours (no well-kept library has it) | Xydeas and Petrovic, Electronics Letters 2000 |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

import cv2
import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]
F64 = NDArray[np.float64]
LEAST_SIDE = 41  # pixels: VIF halves the picture three times, under filters up to 17 wide


@dataclass(frozen=True)
class FusionMetrics:
    """Metrics of one fused picture, or their mean over many. More is better but for MSE.

    NaN where a metric is not defined: CC and SCD of a flat picture, VIF of a flat source, Qabf of
    two sources without edges. PSNR is infinite where all three pictures are equal.

    Attributes:
        EN: entropy of the fused picture in bits, 0 to 8.
        SD: standard deviation of its grey levels.
        SF: spatial frequency: root of the mean squared differences along rows and columns.
        AG: average gradient, by central differences.
        MI: mutual information with visible plus that with thermal, in nats.
        MSE: mean squared error to both sources on 0..1, their mean.
        CC: Pearson correlation with both sources, their mean.
        PSNR: 10 log10(peak^2 / MSE), peak the brightest fused pixel in 0..255.
        SCD: correlation of visible with (fused - thermal), plus the other way round.
        VIF: visual information fidelity to visible plus that to thermal.
        Qabf: share of the sources' edges that is kept, in strength and direction, 0 to 1.
        SSIM: sum over both sources, with the constants of data_range=1 on grey levels 0..255.
        MSSIM: mean over both sources, data_range=255: the usual SSIM, at most 1.
    """

    EN: float
    SD: float
    SF: float
    AG: float
    MI: float
    MSE: float
    CC: float
    PSNR: float
    SCD: float
    VIF: float
    Qabf: float
    SSIM: float
    MSSIM: float


def fusion_metrics(visible: U8, thermal: U8, fused: U8) -> FusionMetrics:
    """Compare a fused picture with its sources.

    Args:
        visible: uint8 [H, W], luma of the visible picture (0.299 R + 0.587 G + 0.114 B).
        thermal: uint8 [H, W].
        fused: uint8 [H, W], luma of the fused picture.

    Raises:
        ValueError: a dtype or shape differs, or a side is shorter than 41 pixels.
    """
    for name, picture in (('visible', visible), ('thermal', thermal), ('fused', fused)):
        if picture.dtype != np.uint8 or picture.ndim != 2 or picture.shape != fused.shape:
            msg = (
                f'{name} is {picture.dtype} {list(picture.shape)}; the three pictures must be '
                f'uint8 [H, W] of one size, here {list(fused.shape)}: convert or resize it'
            )
            raise ValueError(msg)
    if min(fused.shape) < LEAST_SIDE:
        msg = f'pictures are {list(fused.shape)}; VIF needs {LEAST_SIDE} pixels a side'
        raise ValueError(msg)
    from skimage.measure import shannon_entropy

    sources = [visible.astype(np.float64), thermal.astype(np.float64)]
    f = fused.astype(np.float64)
    mse = float(np.mean([((source - f) / 255) ** 2 for source in sources]))
    with np.errstate(divide='ignore'):
        psnr = float(10 * np.log10(f.max() ** 2 / np.float64(mse)))
    gy, gx = np.gradient(f)
    return FusionMetrics(
        EN=float(shannon_entropy(fused)),
        SD=float(f.std()),
        SF=float(np.sqrt((np.diff(f, axis=0) ** 2).mean() + (np.diff(f, axis=1) ** 2).mean())),
        AG=float(np.sqrt((gx**2 + gy**2) / 2).mean()),
        MI=_mutual_information(visible, fused) + _mutual_information(thermal, fused),
        MSE=mse,
        CC=(_correlation(sources[0], f) + _correlation(sources[1], f)) / 2,
        PSNR=psnr,
        SCD=_correlation(sources[0], f - sources[1]) + _correlation(sources[1], f - sources[0]),
        VIF=_fidelity(sources, f),
        Qabf=_edges_kept(sources, f),
        SSIM=_similarity(sources, f, 1) * 2,
        MSSIM=_similarity(sources, f, 255),
    )


def mean_metrics(metrics: Sequence[FusionMetrics]) -> FusionMetrics:
    """Average metrics over pictures; those that are NaN or infinite are left out.

    Raises:
        ValueError: there is nothing to average.
    """
    if not metrics:
        msg = 'no pictures to average over'
        raise ValueError(msg)
    means = {}
    for field in fields(FusionMetrics):
        values = np.array([getattr(one, field.name) for one in metrics])
        values = values[np.isfinite(values)]
        means[field.name] = float(values.mean()) if values.size else float('nan')
    return FusionMetrics(**means)


def fusion_table(rows: Sequence[tuple[str, FusionMetrics]]) -> str:
    """Return a table in Markdown, one line for each name."""
    names = [field.name for field in fields(FusionMetrics)]
    lines = ['| | ' + ' | '.join(names) + ' |', '|---' * (len(names) + 1) + '|']
    for name, metrics in rows:
        values = ' | '.join(f'{value:.4g}' for value in asdict(metrics).values())
        lines.append(f'| {name} | {values} |')
    return '\n'.join(lines)


def _mutual_information(a: U8, b: U8) -> float:
    """Return I(a; b) = H(a) + H(b) - H(a, b) of grey levels, in nats."""
    from skimage.measure import shannon_entropy

    joint = a.astype(np.int32) * 256 + b
    return float(sum(shannon_entropy(x, np.e) for x in (a, b)) - shannon_entropy(joint, np.e))


def _correlation(a: F64, b: F64) -> float:
    """Return Pearson's correlation, NaN where one of both is flat."""
    with np.errstate(divide='ignore', invalid='ignore'):
        return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def _similarity(sources: list[F64], f: F64, data_range: int) -> float:
    """Return the mean SSIM (7x7 uniform windows) to both sources."""
    from skimage.metrics import structural_similarity

    values = [structural_similarity(source, f, data_range=data_range) for source in sources]
    return float(np.mean(values))


def _fidelity(sources: list[F64], f: F64) -> float:
    """Return the sum of VIF to both sources; float32 is off by 2e-7 and 20 times as fast."""
    if any(source.min() == source.max() for source in sources):
        return float('nan')  # nothing to keep; rounding would make up a number
    import torch
    from torchmetrics.functional.image import visual_information_fidelity

    def tensor(picture: F64) -> torch.Tensor:
        return torch.from_numpy(picture).float()[None, None]

    seen = tensor(f)
    return sum(visual_information_fidelity(seen, tensor(source)).item() for source in sources)


def _edges(picture: F64) -> tuple[F64, F64]:
    """Return strength and direction (-pi/2 to pi/2, y upwards) of Sobel edges."""
    gx, gy = (
        cv2.Sobel(picture, cv2.CV_64F, *order, ksize=3, borderType=cv2.BORDER_CONSTANT)
        for order in ((1, 0), (0, 1))
    )
    with np.errstate(divide='ignore', invalid='ignore'):
        return np.hypot(gx, gy), np.where(gx == 0, np.pi / 2, np.arctan(-gy / gx))


def _edges_kept(sources: list[F64], f: F64) -> float:
    """Return Q^{AB/F} of Xydeas and Petrovic, with the constants of their paper and L = 1."""
    strength_f, direction_f = _edges(f)
    kept = weights = 0.0
    for source in sources:
        strength, direction = _edges(source)
        with np.errstate(divide='ignore', invalid='ignore'):
            ratio = np.minimum(strength, strength_f) / np.maximum(strength, strength_f)
        # Equal edges stay undivided in the official evaluation: a strength in place of 1.
        relative = np.where(strength == strength_f, strength_f, ratio)
        aligned = 1 - np.abs(direction - direction_f) / (np.pi / 2)
        quality = 0.9994 / (1 + np.exp(-15 * (relative - 0.5)))
        quality *= 0.9879 / (1 + np.exp(-22 * (aligned - 0.8)))
        kept += float((quality * strength).sum())
        weights += float(strength.sum())
    return kept / weights if weights else float('nan')
