"""Compares an engine with FP32 on real pairs, on the machine that it was built on.

The pairs and what the FP32 network answers to them lie beside the model (`*.parity.npz`, made by
export/parity_pairs.py). An engine that answers otherwise is not used, however fast it is.
"""

from __future__ import annotations

import json
import math
import struct
import zipfile
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from paif_ros.contract import ModelCard
from paif_ros.engines.base import U8, Engine, Prediction
from paif_ros.errors import EngineError, EngineMismatch

SUFFIX = '.parity.npz'
MASK_AGREEMENT = 0.995  # part of the pixels that must have FP32's class
MASK_AGREEMENT_INT8 = 0.990
FUSED_PSNR = 45.0  # dB
SAME_PSNR = 99.0  # dB, said of pictures without any difference
MOST_PAIRS = 64
BYTES_PER_PIXEL = 9  # visible and fused 3 each, thermal, mask, confidence
EXTRA = 1 << 16  # bytes for names and headers
# What reading a broken ZIP or a broken array raises.
BROKEN = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    MemoryError,
    RuntimeError,  # encrypted, or a compression that there is not
    OverflowError,
    SyntaxError,
    TypeError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
)
CURE = 'make it again with `python -m export.parity_pairs` and copy it beside the model'


@dataclass(frozen=True)
class Pair:
    """A pair and what FP32 answers to it. All are uint8 of the model's size, see `Prediction`."""

    name: str
    visible: U8
    thermal: U8
    expected: Prediction


@dataclass(frozen=True)
class PairResult:
    """How an engine answered one pair.

    Attributes:
        name: of the pair.
        mask_agreement: part of the pixels that have FP32's class.
        fused_psnr: in dB, over all three channels; 99 where nothing differs.
        fused_max: largest difference in grey levels.
        fused_p999: difference that 99.9 % of the values keep to.
        confidence_mean: mean difference in parts of 255, None for models without confidence.
        faults: what no difference of precision explains, in sentences.
    """

    name: str
    mask_agreement: float
    fused_psnr: float
    fused_max: int
    fused_p999: float
    confidence_mean: float | None
    faults: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """What the comparison says.

    Attributes:
        passed: whether the engine may be used.
        reasons: why not, in sentences with value and bound.
        mask_bound: least agreement.
        psnr_bound: least PSNR in dB.
        pairs: each pair.
    """

    passed: bool
    reasons: tuple[str, ...]
    mask_bound: float
    psnr_bound: float
    pairs: tuple[PairResult, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON gives it back, with lists for tuples."""
        values: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return values

    def __str__(self) -> str:
        if not self.passed:
            return '; '.join(self.reasons)
        mask = min(pair.mask_agreement for pair in self.pairs)
        psnr = min(pair.fused_psnr for pair in self.pairs)
        return (
            f'{len(self.pairs)} pairs agree with FP32: mask at least {_floor(mask)} '
            f'(bound {self.mask_bound:.1%}), fused picture at least {psnr:.1f} dB '
            f'(bound {self.psnr_bound:g})'
        )


def find_pairs(model: Path, card: ModelCard) -> tuple[Pair, ...]:
    """Return the pairs for a model: those of its own name, else those of the same weights.

    Raises:
        EngineError: there are none for its weights and size beside it.
        EngineMismatch: those of its own name are broken or made of other weights.
    """
    own = model.with_suffix(SUFFIX)
    if own.is_file():
        return load_pairs(own, card)
    for path in sorted(model.parent.glob(f'*{SUFFIX}')):
        try:
            return load_pairs(path, card)
        except EngineMismatch:
            continue  # of another model
    height, width = card.input_size
    raise EngineError(
        'tensorrt',
        f'beside {str(model)!r} lies no {own.name} with FP32 answers of weights '
        f'{card.weights_sha256[:12]} at {height}x{width}, and no engine is used without comparing '
        f'it; {CURE}, or set engine.backend to onnxruntime',
    )


def load_pairs(path: Path, card: ModelCard) -> tuple[Pair, ...]:
    """Read pairs.

    Args:
        path: NPZ file with visible, thermal, fused, mask, names, weights_sha256, and confidence
            where the model has it.
        card: of the model that they must be made of.

    Raises:
        EngineMismatch: it is broken, or made of other weights or for another size.
    """
    height, width = card.input_size
    try:
        arrays = _read_arrays(path, MOST_PAIRS * height * width * BYTES_PER_PIXEL)
    except BROKEN as err:
        text = f'{type(err).__name__}: {err}'
        raise EngineMismatch('parity file', 'an NPZ file', text, path.name, CURE) from err
    count = _check_arrays(path, arrays, card)
    confidence = arrays.get('confidence')
    names = arrays.get('names', np.array([f'pair {index}' for index in range(count)]))
    return tuple(
        Pair(
            str(names[i]),
            arrays['visible'][i],
            arrays['thermal'][i],
            Prediction(
                arrays['fused'][i],
                arrays['mask'][i],
                None if confidence is None else confidence[i],
            ),
        )
        for i in range(count)
    )


def _read_arrays(path: Path, limit: int) -> dict[str, Any]:
    """Read the arrays of an NPZ file without unpickling, which `read_array` does only if told to.

    Args:
        path: of the file.
        limit: most bytes that all arrays may have together.
    """
    arrays = {}
    with zipfile.ZipFile(path) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
        if size > limit + EXTRA:
            msg = f'{size} bytes of arrays, at most {limit + EXTRA} are read'
            raise ValueError(msg)
        for entry in archive.infolist():
            with archive.open(entry) as file:
                arrays[entry.filename.removesuffix('.npy')] = npy.read_array(file)
    return arrays


def _check_arrays(path: Path, arrays: dict[str, Any], card: ModelCard) -> int:
    """Return how many pairs the arrays hold."""
    height, width = card.input_size
    rgb, gray = (height, width, 3), (height, width)
    wanted = {'visible': rgb, 'thermal': gray, 'fused': rgb, 'mask': gray}
    if 'confidence' in arrays:
        wanted['confidence'] = gray
    count = len(arrays['mask']) if arrays.get('mask', np.array(0)).ndim else 0
    if not 1 <= count <= MOST_PAIRS:
        raise EngineMismatch('pairs', f'1 to {MOST_PAIRS}', count, path.name, CURE)
    for name, shape in wanted.items():
        found = arrays.get(name)
        expected = f'uint8 {[count, *shape]}'
        text = 'nothing' if found is None else f'{found.dtype} {list(found.shape)}'
        if text != expected:
            raise EngineMismatch(name, expected, text, path.name, CURE)
    if arrays.get('names', np.empty(count, str)).shape != (count,):
        raise EngineMismatch('names', f'{count} strings', arrays['names'].shape, path.name, CURE)
    weights = str(arrays.get('weights_sha256', ''))
    if weights != card.weights_sha256:
        raise EngineMismatch('weights_sha256', card.weights_sha256, weights, path.name, CURE)
    return count


def judge(engine: Engine, pairs: tuple[Pair, ...], int8: bool = False) -> Verdict:
    """Run pairs through a loaded engine and compare what comes out with FP32.

    The worst pair decides. What an engine answers is whole bytes, so that a NaN inside shows only
    by what it leaves: a picture of one single value, or one class everywhere.

    Args:
        engine: loaded.
        pairs: from `find_pairs`.
        int8: whether the model computes in INT8, which may flip more pixels.

    Raises:
        EngineError: the engine failed.
    """
    results = tuple(_compare(pair, engine.infer(pair.visible, pair.thermal)) for pair in pairs)
    bound = MASK_AGREEMENT_INT8 if int8 else MASK_AGREEMENT
    reasons = []
    for result in results:
        reasons += [f'pair {result.name}: {fault}' for fault in result.faults]
        if not result.mask_agreement >= bound:
            reasons.append(
                f'pair {result.name}: only {_floor(result.mask_agreement)} of the pixels have the '
                f'class that FP32 gives them, the bound is {bound:.1%}'
            )
        if not result.fused_psnr >= FUSED_PSNR:
            reasons.append(
                f'pair {result.name}: the fused picture agrees to {result.fused_psnr:.1f} dB '
                f'(up to {result.fused_max} grey levels off), the bound is {FUSED_PSNR:g} dB'
            )
    return Verdict(not reasons, tuple(reasons), bound, FUSED_PSNR, results)


def _floor(part: float) -> str:
    """Write a part in percent, rounded down: 100 % is said of what agrees everywhere."""
    return f'{math.floor(part * 1e4) / 100:.2f} %'


def _compare(pair: Pair, found: Prediction) -> PairResult:
    expected = pair.expected
    off = np.abs(found.fused.astype(np.int16) - expected.fused)
    square = float(np.mean(np.square(off, dtype=np.float64)))
    doubt = None
    if found.confidence is not None and expected.confidence is not None:
        doubt = float(np.mean(np.abs(found.confidence.astype(np.int16) - expected.confidence)))
    faults = []
    if found.fused.min() == found.fused.max() and expected.fused.min() != expected.fused.max():
        faults.append(
            f'every value of the fused picture is {found.fused.flat[0]}, as a NaN or an overflow '
            'inside leaves it'
        )
    if found.mask.min() == found.mask.max() and expected.mask.min() != expected.mask.max():
        faults.append(
            f'every pixel is of class {found.mask.flat[0]}, as NVIDIA/TensorRT#4723 describes it'
        )
    return PairResult(
        name=pair.name,
        mask_agreement=float(np.mean(found.mask == expected.mask)),
        fused_psnr=min(SAME_PSNR, 10 * math.log10(255**2 / square)) if square else SAME_PSNR,
        fused_max=int(off.max()),
        fused_p999=float(np.quantile(off, 0.999)),
        confidence_mean=doubt,
        faults=tuple(faults),
    )
