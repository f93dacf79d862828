"""What the node asks of an inference engine, and nothing more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from paif_ros.contract import ModelCard, TensorSpec, check_tensors
from paif_ros.errors import EngineError, EngineMismatch
from paif_ros.monitoring.notices import Level

U8 = NDArray[np.uint8]
CPU_PROVIDERS = ('CPUExecutionProvider', 'CPU')  # as ONNX Runtime and OpenVINO name it
Tell = Callable[[Level, str], None]
"""Takes a sentence on how loading goes, and how severe it is."""


@dataclass(frozen=True)
class Prediction:
    """What the network says about one pair, at the model's input size.

    Attributes:
        fused: uint8 [H, W, 3] RGB, 0 to 255.
        mask: uint8 [H, W], class ids.
        confidence: uint8 [H, W], 255 times the probability of the mask's class; None where the
            model does not say.
    """

    fused: U8
    mask: U8
    confidence: U8 | None = None


@dataclass(frozen=True)
class EngineInfo:
    """What was loaded, for the log and for diagnostics.

    Attributes:
        backend: the engine's name, such as 'onnxruntime'.
        provider: what computes, such as 'CPUExecutionProvider'.
        reason: why this provider was chosen, in words.
        card: the metadata of the model file.
        precision: of the graph that runs, such as 'fp32'; see `ModelCard.precision`.
    """

    backend: str
    provider: str
    reason: str
    card: ModelCard
    precision: str = 'fp32'

    @property
    def on_cpu(self) -> bool:
        """Whether the CPU computes, rather than a GPU."""
        return self.provider in CPU_PROVIDERS


class Engine(Protocol):
    """A loaded network. All three methods are called from one thread at a time."""

    def load(self) -> EngineInfo:
        """Read the model file, check it against the contract, and warm it up.

        Raises:
            EngineError: the file can't be read or run.
            EngineMismatch: the file does not keep the contract.
        """

    def infer(self, visible: U8, thermal: U8) -> Prediction:
        """Run one pair.

        Args:
            visible: uint8 [H, W, 3] RGB, 0 to 255, at the model's input size.
            thermal: uint8 [H, W], 0 to 255, at the model's input size.

        Returns:
            The fused picture, the mask and perhaps its confidence, at the same size.

        Raises:
            EngineError: the engine is not loaded, the input is not as above, or the run failed.
        """

    def close(self) -> None:
        """Free everything. Closing twice, or before loading, does nothing."""


@runtime_checkable
class SlowToLoad(Protocol):
    """An engine that may take minutes to load, as it builds something first."""

    def attend(self, tell: Tell, stop: Callable[[], bool]) -> None:
        """Take who wants to know how loading goes. Both are called from the thread that loads.

        Args:
            tell: takes sentences, at most every few seconds.
            stop: asked whether to give up, often.
        """


@dataclass(frozen=True)
class TensorRtOptions:
    """How TensorRT engines are built and kept, see parameters.yaml.

    Attributes:
        on_mismatch: 'rebuild' or 'refuse' where the kept engine does not serve here.
        workspace_mib: memory that a layer may use, in MiB; 0 leaves it to TensorRT.
        optimization_level: 0 (builds fast) to 5 (searches long).
        cache_dir: folder of the engines; `~` is the user's home.
    """

    on_mismatch: str = 'rebuild'
    workspace_mib: int = 0
    optimization_level: int = 3
    cache_dir: str = '~/.cache/paif_ros'

    @classmethod
    def of(cls, values: object) -> TensorRtOptions:
        """Take them from the node's parameters, which have the same names."""
        return cls(**{field.name: getattr(values, field.name) for field in fields(cls)})


def check_inputs(backend: str, visible: U8, thermal: U8, size: tuple[int, int]) -> None:
    """Refuse inputs that an engine would only answer with an error of its own library.

    Args:
        backend: name for the message.
        visible: what `infer` was given.
        thermal: what `infer` was given.
        size: (height, width) of the model.

    Raises:
        EngineError: a dtype or shape differs from what `Engine.infer` asks for.
    """
    for name, array, shape in (('visible', visible, (*size, 3)), ('thermal', thermal, size)):
        if array.dtype != np.uint8 or array.shape != shape:
            raise EngineError(
                backend,
                f'input {name} is {array.dtype} {list(array.shape)}, '
                f'this model takes uint8 {list(shape)}; resize it first',
            )


def check_one_pair(
    inputs: Mapping[str, TensorSpec], outputs: Mapping[str, TensorSpec], size: tuple[int, int]
) -> None:
    """Compare a model file's tensors with the contract, and refuse batches of more than one pair.

    Args:
        inputs: of the file, by name.
        outputs: of the file, by name.
        size: (height, width) that its metadata names.

    Raises:
        EngineMismatch: something differs; it names what.
    """
    check_tensors(inputs, outputs, size)
    for spec in (*inputs.values(), *outputs.values()):
        if spec.shape[0] not in (1, None):  # the contract allows N, `infer` runs one pair
            raise EngineMismatch(f'tensor {spec.name} batch size', 1, spec.shape[0])


def batch_of_one(visible: U8, thermal: U8) -> dict[str, U8]:
    """Return one pair as the inputs of a model file, [1, H, W, 3] and [1, H, W], contiguous."""
    return {
        'visible': np.ascontiguousarray(visible[None]),
        'thermal': np.ascontiguousarray(thermal[None]),
    }


def warm_up(engine: Engine, size: tuple[int, int]) -> None:
    """Run a black pair: the first run allocates, which belongs to loading and not to a frame.

    Args:
        engine: just loaded; closed where the run fails.
        size: (height, width) of the model.

    Raises:
        EngineError: the run failed.
    """
    try:
        engine.infer(np.zeros((*size, 3), np.uint8), np.zeros(size, np.uint8))
    except EngineError:
        engine.close()
        raise


def missing_model(backend: str, path: Path) -> EngineError:
    """Return the error of a model file that is not there."""
    return EngineError(
        backend,
        f'there is no model file {str(path)!r}; make one with '
        '`python export/to_onnx.py` or set model_path to another',
    )


def unreadable_model(backend: str, path: Path, err: BaseException) -> EngineError:
    """Return the error of a model file that the library `backend` answers with `err`."""
    return EngineError(
        backend,
        f'can not load {str(path)!r}: {first_line(err)}; copy the file again or export it again',
    )


def first_line(err: BaseException) -> str:
    """Return the first line of what an error says, or its type's name where it says nothing."""
    return (str(err).strip() or type(err).__name__).splitlines()[0]
