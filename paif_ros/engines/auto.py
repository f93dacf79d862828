"""What works first: TensorRT, ONNX Runtime on CUDA or the CPU; without ONNX Runtime, OpenVINO.

It says which it took and why not the ones before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from paif_ros.engines.base import (
    U8,
    Engine,
    EngineInfo,
    Prediction,
    Tell,
    TensorRtOptions,
)
from paif_ros.engines.onnxruntime import OnnxRuntimeEngine
from paif_ros.engines.openvino import OpenVinoEngine
from paif_ros.engines.tensorrt import DEFAULTS, TensorRtEngine
from paif_ros.errors import EngineError, EngineMismatch, PaifError
from paif_ros.monitoring.notices import Level
from paif_ros.tensorrt import library
from paif_ros.tensorrt.monitor import BuildStopped

BACKEND = 'auto'
GPUS = ('/dev/nvidiactl', '/dev/nvhost-gpu', '/dev/nvmap')  # there where an NVIDIA driver runs


class AutoEngine:
    """Whatever of the others works first.

    Args:
        path: the ONNX file.
        threads: CPU threads of one run, 0 means one per core.
        provider: 'auto', 'cpu' (then TensorRT is not asked) or 'cuda' (then the CPU is not).
        options: how TensorRT builds.
        pinning: whether OpenVINO's threads stay on one core each.
    """

    def __init__(
        self,
        path: Path | str,
        threads: int = 0,
        provider: str = 'auto',
        options: TensorRtOptions = DEFAULTS,
        *,
        pinning: bool = False,
    ) -> None:
        self._path = path
        self._threads = threads
        self._provider = provider
        self._options = options
        self._pinning = pinning
        self._engine: Engine | None = None
        self._tell: Tell = lambda _level, _text: None
        self._stop: Callable[[], bool] = lambda: False

    def attend(self, tell: Tell, stop: Callable[[], bool]) -> None:
        """Take who wants to know how loading goes. See `SlowToLoad`."""
        self._tell, self._stop = tell, stop

    def load(self) -> EngineInfo:
        """Load the first that works. See `Engine.load`.

        Raises:
            EngineError: none works; it says of each why.
            EngineMismatch: the file does not keep the contract.
        """
        self.close()
        why_not = ''
        if self._provider != 'cpu':
            engine = TensorRtEngine(self._path, library.TENSORRT, self._options)
            engine.attend(self._tell, self._stop)
            try:
                info = engine.load()
            except BuildStopped:
                raise  # whoever waited does not wait for another engine either
            except PaifError as err:
                why_not = self._explain(err)
            else:
                self._engine = engine
                return replace(info, reason=f'the fastest that works: {info.reason}')
        other: Engine = OnnxRuntimeEngine(self._path, self._threads, self._provider)
        try:
            info = other.load()
        except EngineError as err:
            more = f'; and no TensorRT: {why_not}' if why_not else ''
            if self._provider == 'cuda' or not isinstance(err.__cause__, ImportError):
                raise EngineError(err.backend, err.reason + more) from err
            other = OpenVinoEngine(self._path, self._threads, pinning=self._pinning)
            try:
                info = other.load()
            except EngineError as last:
                text = f'{err.reason}; and no OpenVINO: {last.reason}{more}'
                raise EngineError(err.backend, text) from last
            info = replace(info, reason=f'no ONNX Runtime; {info.reason}')
        self._engine = other
        if not why_not:
            return info
        return replace(info, reason=f'no TensorRT: {why_not}; {info.reason}')

    def infer(self, visible: U8, thermal: U8) -> Prediction:
        """Run one pair. See `Engine.infer`.

        Raises:
            EngineError: not loaded, or whatever the engine in use raises.
        """
        if self._engine is None:
            raise EngineError(BACKEND, 'infer was called without a loaded model; call load first')
        return self._engine.infer(visible, thermal)

    def close(self) -> None:
        """Free the engine in use."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def _explain(self, err: PaifError) -> str:
        """Return in a sentence why TensorRT does not work, and warn where it could be expected."""
        text = err.reason if isinstance(err, EngineError) else str(err)
        absent = isinstance(err.__cause__, ModuleNotFoundError)
        if isinstance(err, EngineMismatch) or not absent or any(Path(g).exists() for g in GPUS):
            self._tell(Level.WARN, f'TensorRT is not used: {text}')
        return text.split('; ')[0]
