"""ONNX Runtime as an engine: runs everywhere, on CUDA where the installed build has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from paif_ros.contract import CONFIDENCE, OUTPUTS, ModelCard, TensorSpec
from paif_ros.engines.base import (
    U8,
    EngineInfo,
    Prediction,
    batch_of_one,
    check_inputs,
    check_one_pair,
    first_line,
    missing_model,
    unreadable_model,
    warm_up,
)
from paif_ros.errors import EngineError

BACKEND = 'onnxruntime'
CPU = 'CPUExecutionProvider'
CUDA = 'CUDAExecutionProvider'


class OnnxRuntimeEngine:
    """One ONNX file in one ONNX Runtime session.

    Args:
        path: the model file.
        threads: CPU threads of one run, 0 lets ONNX Runtime take one per core.
        provider: 'auto' (CUDA where it works, else CPU), 'cpu' or 'cuda'.
    """

    def __init__(self, path: Path | str, threads: int = 0, provider: str = 'auto') -> None:
        self._path = Path(path)
        self._threads = threads
        self._provider = provider
        self._session: Any = None
        self._run_options: Any = None
        self._size = (0, 0)
        self._outputs: tuple[str, ...] = OUTPUTS

    def load(self) -> EngineInfo:
        """Read, check and warm the model. See `Engine.load`.

        Raises:
            EngineError: no such file, broken bytes, or a provider that is not there.
            EngineMismatch: the file does not keep the contract of exported models.
        """
        self.close()
        ort = _import()
        providers, reason = self._choose(ort)
        session = self._open(ort, providers)
        card = ModelCard.from_metadata(session.get_modelmeta().custom_metadata_map)
        inputs, outputs = _specs(session.get_inputs()), _specs(session.get_outputs())
        check_one_pair(inputs, outputs, card.input_size)
        used = str(session.get_providers()[0])
        if used != providers[0]:
            reason = f'{providers[0]} failed to start (see its message above), so {used}'
            if self._provider == 'cuda':
                raise EngineError(BACKEND, f'{reason}; set engine.provider to auto to allow it')
        self._session = session
        self._run_options = ort.RunOptions()
        self._run_options.log_severity_level = 4  # what goes wrong in a run is raised, not printed
        self._size = card.input_size
        self._outputs = (*OUTPUTS, CONFIDENCE) if CONFIDENCE in outputs else OUTPUTS
        warm_up(self, self._size)
        return EngineInfo(BACKEND, used, reason, card, card.precision)

    def infer(self, visible: U8, thermal: U8) -> Prediction:
        """Run one pair. See `Engine.infer`.

        Raises:
            EngineError: not loaded, wrong input, or ONNX Runtime failed.
        """
        if self._session is None:
            raise EngineError(BACKEND, 'infer was called without a loaded model; call load first')
        check_inputs(BACKEND, visible, thermal, self._size)
        feeds = batch_of_one(visible, thermal)
        try:
            found = self._session.run(self._outputs, feeds, self._run_options)
        except Exception as err:  # its exceptions share no base class but this one
            raise EngineError(BACKEND, f'inference failed: {first_line(err)}') from err
        return Prediction(*(output[0] for output in found))  # in the order of its fields

    def close(self) -> None:
        """Free the session."""
        self._session = None

    def _choose(self, ort: Any) -> tuple[list[str], str]:
        available = ort.get_available_providers()
        if self._provider == 'cpu':
            return [CPU], 'engine.provider asks for it'
        if CUDA in available:
            asked = 'engine.provider asks for it' if self._provider == 'cuda' else 'it is there'
            return [CUDA, CPU], asked
        if self._provider == 'cuda':
            raise EngineError(
                BACKEND,
                f'this onnxruntime {ort.__version__} has no CUDA (it has {", ".join(available)}); '
                'install onnxruntime-gpu in its place or set engine.provider to cpu',
            )
        return [CPU], f'onnxruntime {ort.__version__} was built without CUDA'

    def _open(self, ort: Any, providers: list[str]) -> Any:
        if not self._path.is_file():
            raise missing_model(BACKEND, self._path)
        options = ort.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # a robot's log has no use for its graph warnings
        # Its idle threads otherwise spin between two frames and take the cameras' CPU time.
        options.add_session_config_entry('session.force_spinning_stop', '1')
        try:
            return ort.InferenceSession(str(self._path), options, providers=providers)
        except Exception as err:  # its exceptions share no base class but this one
            raise unreadable_model(BACKEND, self._path, err) from err


def _import() -> Any:
    try:
        import onnxruntime
    except (ImportError, OSError) as err:
        raise EngineError(
            BACKEND,
            f'onnxruntime can not be imported ({first_line(err)}); '
            'install it with `pip install "onnxruntime>=1.23"`',
        ) from err
    return onnxruntime


def _specs(nodes: list[Any]) -> dict[str, TensorSpec]:
    return {
        node.name: TensorSpec(
            node.name,
            node.type.removeprefix('tensor(').removesuffix(')'),
            tuple(side if isinstance(side, int) else None for side in node.shape),
        )
        for node in nodes
    }
