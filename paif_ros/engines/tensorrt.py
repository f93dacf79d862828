"""TensorRT, and TensorRT for RTX, as an engine: builds the ONNX file once, then runs the plan.

Nothing here needs torch. Whatever touches the GPU happens in `load`, `infer` and `close`, so on
the worker's thread and on no other.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from paif_ros.contract import ModelCard
from paif_ros.engines.base import (
    U8,
    EngineInfo,
    Prediction,
    Tell,
    TensorRtOptions,
    check_inputs,
)
from paif_ros.errors import EngineError
from paif_ros.monitoring.notices import Level
from paif_ros.tensorrt import library
from paif_ros.tensorrt.builder import BuildOptions
from paif_ros.tensorrt.cache import Cache
from paif_ros.tensorrt.cuda import Cuda, Device
from paif_ros.tensorrt.execution import Execution
from paif_ros.tensorrt.model_file import read_model
from paif_ros.tensorrt.prepare import Prepared, prepare

DEFAULTS = TensorRtOptions()


def _say_nothing(_level: Level, _text: str) -> None:
    """Nobody wants to know."""


class PlanEngine:
    """A plan that is at hand, as an engine.

    Args:
        plan: its bytes, see `Execution`.
        module: the TensorRT library.
        cuda: the CUDA runtime.
        device: its GPU.
        card: metadata of the model that was asked for.
        tell: told what works less well than it should.
    """

    def __init__(  # noqa: PLR0917 - all of it is needed, and named where it is called
        self,
        plan: bytes,
        module: Any,
        cuda: Cuda,
        device: Device,
        card: ModelCard,
        tell: Tell = _say_nothing,
    ) -> None:
        self._plan: bytes | None = plan
        self._module = module
        self._cuda = cuda
        self._device = device
        self._card = card
        self._tell = tell
        self._kind = library.kind_of(module)
        self._execution: Execution | None = None

    def load(self) -> EngineInfo:
        """Load and warm the plan, once: the bytes, of which there are many, are dropped then.

        Raises:
            EngineError: it can't be loaded, does not run, or was loaded before.
            EngineMismatch: it does not keep the contract.
        """
        plan, self._plan = self._plan, None
        if plan is None:
            raise EngineError(self._kind, 'this plan was loaded before; make a new engine of it')
        shared = self._device.integrated
        self._execution = Execution(
            plan,
            self._module,
            self._cuda,
            self._card,
            mapped=shared,
            notice=lambda text: self._tell(Level.WARN, text),
        )
        reason = (
            f'{self._kind} {library.version_text(self._module)}, compute capability '
            f'{self._device.compute_capability}, {"shared" if shared else "pinned"} memory, '
            f'{"one" if self._execution.graph else "no"} CUDA graph'
        )
        return EngineInfo(self._kind, self._device.name, reason, self._card, self._card.precision)

    def infer(self, visible: U8, thermal: U8) -> Prediction:
        """Run one pair. See `Engine.infer`.

        Raises:
            EngineError: not loaded, wrong input, or CUDA or TensorRT failed.
        """
        if self._execution is None:
            raise EngineError(
                self._kind, 'infer was called without a loaded model; call load first'
            )
        check_inputs(self._kind, visible, thermal, self._card.input_size)
        return self._execution.run(visible, thermal)

    def close(self) -> None:
        """Free the plan and all its memory on the GPU."""
        if self._execution is not None:
            self._execution.close()
            self._execution = None


class TensorRtEngine:
    """One ONNX file as a TensorRT engine for this machine's GPU.

    Args:
        path: the ONNX file.
        kind: the library, 'tensorrt' or 'tensorrt_rtx'.
        options: how the plan is built and kept.
    """

    def __init__(
        self,
        path: Path | str,
        kind: str = library.TENSORRT,
        options: TensorRtOptions = DEFAULTS,
    ) -> None:
        self._path = Path(path)
        self._kind = kind
        self._options = options
        self._running: PlanEngine | None = None
        self._tell: Tell = _say_nothing
        self._stop: Callable[[], bool] = lambda: False

    def attend(self, tell: Tell, stop: Callable[[], bool]) -> None:
        """Take who wants to know how loading goes. See `SlowToLoad`."""
        self._tell, self._stop = tell, stop

    def load(self) -> EngineInfo:
        """Take the plan out of the cache or build it, and warm it up. See `Engine.load`.

        Raises:
            EngineError: no library, no GPU, or no build that answers as FP32 does.
            EngineMismatch: the file does not keep the contract, or the kept plan does not serve
                here and engine.on_mismatch is 'refuse'.
        """
        self.close()
        module = library.find(self._kind)
        for remark in library.remarks(module):
            self._tell(Level.WARN, remark)
        card = read_model(self._path).card
        cuda = Cuda()
        device = cuda.device()
        prepared = prepare(
            self._path,
            BuildOptions(self._options.workspace_mib, self._options.optimization_level),
            module,
            device,
            Cache(self._options.cache_dir),
            lambda text: self._tell(Level.INFO, text),
            lambda plan: _loaded(PlanEngine(plan, module, cuda, device, card)),
            on_mismatch=self._options.on_mismatch,
            progress=self._tell_part,
            stop=self._stop,
        )
        running = PlanEngine(prepared.plan, module, cuda, device, card, self._tell)
        info = running.load()
        self._running = running
        reason = f'{info.reason}, {_origin(prepared)}'
        return EngineInfo(info.backend, info.provider, reason, card, prepared.precision)

    def infer(self, visible: U8, thermal: U8) -> Prediction:
        """Run one pair. See `Engine.infer`.

        Raises:
            EngineError: not loaded, wrong input, or CUDA or TensorRT failed.
        """
        if self._running is None:
            raise EngineError(
                self._kind, 'infer was called without a loaded model; call load first'
            )
        return self._running.infer(visible, thermal)

    def close(self) -> None:
        """Free the plan and all its memory on the GPU."""
        if self._running is not None:
            self._running.close()
            self._running = None

    def _tell_part(self, part: float, phase: str) -> None:
        text = f'building a {self._kind} engine of {self._path.name}: {part:.0%} ({phase})'
        self._tell(Level.INFO, text)


def _loaded(engine: PlanEngine) -> PlanEngine:
    engine.load()
    return engine


def _origin(prepared: Prepared) -> str:
    if prepared.path is None:
        return 'built now, not kept'
    kept = f'kept in {prepared.path.parent}'
    return kept if prepared.cached else f'built now and {kept}'
