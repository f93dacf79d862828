"""OpenVINO as an engine for CPUs: the same ONNX file, in FP32.

OpenVINO by itself computes in bfloat16 where the CPU has it, and says nothing. That ruins the
guided filter, so FP32 is asked for and what was compiled is checked to be FP32.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from paif_ros.contract import CONFIDENCE, OUTPUTS, TensorSpec
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
from paif_ros.tensorrt import onnx_file

BACKEND = 'openvino'
DTYPES = {'u8': 'uint8', 'f32': 'float32', 'i64': 'int64', 'i32': 'int32'}


class OpenVinoEngine:
    """One ONNX file compiled by OpenVINO for the CPU.

    Args:
        path: the model file.
        threads: CPU threads of one run, 0 lets OpenVINO take one per core.
        pinning: whether each thread stays on one core.
    """

    def __init__(self, path: Path | str, threads: int = 0, *, pinning: bool = False) -> None:
        self._path = Path(path)
        self._threads = threads
        self._pinning = pinning
        self._request: Any = None
        self._size = (0, 0)
        self._outputs: tuple[str, ...] = OUTPUTS

    def load(self) -> EngineInfo:
        """Read, check, compile and warm the model. See `Engine.load`.

        Raises:
            EngineError: no OpenVINO, no such file, broken bytes, or not compiled in FP32.
            EngineMismatch: the file does not keep the contract of exported models.
        """
        self.close()
        openvino = _import()
        try:
            data = self._path.read_bytes()
        except OSError as err:
            raise missing_model(BACKEND, self._path) from err
        card = onnx_file.read(data).card()
        core = openvino.Core()
        try:
            model = core.read_model(data)
        except Exception as err:  # its exceptions share no base class but this one
            raise unreadable_model(BACKEND, self._path, err) from err
        inputs, outputs = _specs(model.inputs), _specs(model.outputs)
        check_one_pair(inputs, outputs, card.input_size)
        settings: dict[str, Any] = {
            'PERFORMANCE_HINT': 'LATENCY',
            'INFERENCE_PRECISION_HINT': 'f32',
            'NUM_STREAMS': 1,  # one pair at a time: more streams would only split the threads
            'ENABLE_CPU_PINNING': self._pinning,
        }
        if self._threads:
            settings['INFERENCE_NUM_THREADS'] = self._threads
        try:
            compiled = core.compile_model(model, 'CPU', settings)
            precision = compiled.get_property('INFERENCE_PRECISION_HINT').to_string()
            threads = compiled.get_property('INFERENCE_NUM_THREADS')
        except Exception as err:  # its exceptions share no base class but this one
            raise unreadable_model(BACKEND, self._path, err) from err
        if precision != 'f32':
            raise EngineError(
                BACKEND,
                f'it compiled the model in {precision} although f32 was asked for, which changes '
                'the pictures; set engine.backend to onnxruntime',
            )
        self._request = compiled.create_infer_request()
        self._size = card.input_size
        self._outputs = (*OUTPUTS, CONFIDENCE) if CONFIDENCE in outputs else OUTPUTS
        warm_up(self, self._size)
        reason = f'openvino {openvino.__version__.split("-")[0]}, {precision}, {threads} threads'
        return EngineInfo(BACKEND, 'CPU', reason, card, card.precision)

    def infer(self, visible: U8, thermal: U8) -> Prediction:
        """Run one pair. See `Engine.infer`.

        Raises:
            EngineError: not loaded, wrong input, or OpenVINO failed.
        """
        if self._request is None:
            raise EngineError(BACKEND, 'infer was called without a loaded model; call load first')
        check_inputs(BACKEND, visible, thermal, self._size)
        feeds = batch_of_one(visible, thermal)
        try:
            self._request.infer(feeds, share_inputs=True)
            # Copies: the request writes its next answer to the same memory.
            found = [self._request.get_tensor(name).data[0].copy() for name in self._outputs]
        except Exception as err:  # its exceptions share no base class but this one
            raise EngineError(BACKEND, f'inference failed: {first_line(err)}') from err
        return Prediction(*found)  # in the order of its fields

    def close(self) -> None:
        """Free the compiled model."""
        self._request = None


def _import() -> Any:
    try:
        import openvino
    except (ImportError, OSError) as err:
        raise EngineError(
            BACKEND,
            f'openvino can not be imported ({first_line(err)}); '
            'install it with `pip install openvino`',
        ) from err
    return openvino


def _specs(ports: Any) -> dict[str, TensorSpec]:
    found = {}
    for port in ports:
        name, kind = str(port.any_name), port.element_type.to_string()
        shape = tuple(side.get_length() if side.is_static else None for side in port.partial_shape)
        found[name] = TensorSpec(name, DTYPES.get(kind, kind), shape)
    return found
