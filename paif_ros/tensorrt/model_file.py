"""The ONNX file that an engine is built of, and the safer forms of it that lie beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from paif_ros.contract import ModelCard
from paif_ros.errors import EngineError, EngineMismatch
from paif_ros.tensorrt import onnx_file

# What models are exported for: each has more modules in FP32 than the one before it.
SAFER = ('int8', 'mixed', 'safe', 'fp32')


@dataclass(frozen=True)
class Model:
    """An ONNX file.

    Attributes:
        path: where it is.
        data: its bytes.
        card: its metadata.
    """

    path: Path
    data: bytes
    card: ModelCard

    @property
    def title(self) -> str:
        """Name that stays the same when it is exported again: engines of it are its engines."""
        return f'{self.card.network} {self.card.variant} {self.card.precision}'


def read_model(path: Path | str) -> Model:
    """Read an ONNX file.

    Raises:
        EngineError: there is none, or it can't be read.
        EngineMismatch: it is not one of ours.
    """
    path = Path(path)
    if path.suffix in ('.plan', '.engine', '.trt'):
        raise EngineError(
            'tensorrt',
            f'{str(path)!r} is an engine, which serves one GPU and one TensorRT, and is code: '
            'give the .onnx file that it was built of; engines are built and kept by themselves',
        )
    try:
        data = path.read_bytes()
    except OSError as err:
        raise EngineError(
            'tensorrt', f'can not read {str(path)!r} ({err.strerror}); set model_path to another'
        ) from err
    return Model(path, data, onnx_file.read(data).card())


def with_safer_forms(model: Model) -> list[Model]:
    """Return the model and the safer forms of it that lie beside it, fastest first."""
    found = []
    for path in sorted(model.path.parent.glob('*.onnx')):
        try:
            other = read_model(path)
        except (EngineError, EngineMismatch):
            continue  # not one of ours
        # Everything but the precision is the same: weights, size, classes.
        same = replace(other.card, precision=model.card.precision) == model.card
        if same and _safety(other.card) > _safety(model.card):
            found.append(other)
    return [model, *sorted(found, key=lambda other: _safety(other.card))]


def _safety(card: ModelCard) -> int:
    """Return how much of a model is in FP32: more is slower, and less can go wrong."""
    return SAFER.index(card.precision) if card.precision in SAFER else 0
