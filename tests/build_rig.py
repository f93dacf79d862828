"""What the tests of building and keeping engines share: a model with FP32 answers, and a GPU."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorrt_standin
import tiny_model

from paif_ros.engines.base import Prediction
from paif_ros.errors import EngineError
from paif_ros.tensorrt.builder import BuildOptions
from paif_ros.tensorrt.cache import Cache
from paif_ros.tensorrt.cuda import Device
from paif_ros.tensorrt.prepare import Prepared, prepare

SIZE = (48, 64)
ALL = (*tensorrt_standin.VERSIONS, tensorrt_standin.RTX)
ORIN = Device('Orin', '8.7', 8 << 30, 6 << 30, True, '12.6', '12.6')
DESKTOP = Device('NVIDIA GeForce RTX 4090', '8.9', 24 << 30, 20 << 30, False, '13.0', '13.0')


def make_model(
    folder: Path, precision: str = 'fp32', name: str = 'tiny.onnx', **more: Any
) -> Path:
    """Write a model and, once, the FP32 answers of its weights."""
    folder.mkdir(parents=True, exist_ok=True)
    card = replace(tiny_model.card(SIZE), precision=precision)
    path = tiny_model.write(folder / name, SIZE, metadata=card.to_metadata(), **more)
    if not list(folder.glob('*.parity.npz')):
        write_pairs(folder / 'tiny.parity.npz')
    return path


def write_pairs(path: Path, count: int = 2, **other: Any) -> Path:
    """Write FP32 answers, some of the arrays in another form."""
    random = np.random.default_rng(3)
    visible = random.integers(0, 256, (count, *SIZE, 3), np.uint8)
    thermal = random.integers(0, 256, (count, *SIZE), np.uint8)
    fused, mask = tiny_model.expected(visible, thermal)
    arrays = {
        'visible': visible,
        'thermal': thermal,
        'fused': fused,
        'mask': mask,
        'names': np.array([f'pair{index}' for index in range(count)]),
        'weights_sha256': np.array('0' * 64),
    }
    np.savez_compressed(path, **(arrays | other))
    return path


class PlanOnStandIn:
    """Runs a plan on the stand-in, with NumPy arrays for the GPU's memory."""

    def __init__(self, plan: bytes, module: Any) -> None:
        self._module = module
        engine = module.Runtime(module.Logger()).deserialize_cuda_engine(plan)
        if engine is None:
            raise EngineError(module.__name__, 'the plan can not be loaded')
        self._context = engine.create_execution_context()
        self._arrays: dict[str, np.ndarray] = {}
        for index in range(engine.num_io_tensors):
            name = engine.get_tensor_name(index)
            self._arrays[name] = np.zeros(engine.get_tensor_shape(name), np.uint8)
            assert self._context.set_tensor_address(name, self._arrays[name].ctypes.data)
        self.closed = False

    def load(self) -> Any:
        raise NotImplementedError

    def infer(self, visible: np.ndarray, thermal: np.ndarray) -> Prediction:
        self._arrays['visible'][0] = visible
        self._arrays['thermal'][0] = thermal
        if not self._context.execute_async_v3(1):
            raise EngineError(self._module.__name__, 'inference failed')
        return Prediction(self._arrays['fused'][0].copy(), self._arrays['mask'][0].copy())

    def close(self) -> None:
        self.closed = True


@dataclass
class Rig:
    """A model, a cache and a library; `prepare` as a node would call it."""

    folder: Path
    version: str = tensorrt_standin.VERSIONS[-1]
    device: Device = ORIN
    options: BuildOptions = field(default_factory=BuildOptions)
    notices: list[str] = field(default_factory=list)
    loaded: list[PlanOnStandIn] = field(default_factory=list)
    progress: list[tuple[float, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.version == tensorrt_standin.RTX:
            self.device = DESKTOP
        self.module = tensorrt_standin.make(self.version)
        self.cache = Cache(self.folder / 'cache')
        self.path = self.folder / 'tiny.onnx'
        if not self.path.exists():
            make_model(self.folder)

    @property
    def standin(self) -> tensorrt_standin.Behaviour:
        return self.module.standin

    @property
    def builds(self) -> int:
        return self.standin.calls.count('Builder.build_serialized_network')

    def run(self, plan: bytes) -> PlanOnStandIn:
        self.loaded.append(PlanOnStandIn(plan, self.module))
        return self.loaded[-1]

    def prepare(
        self,
        on_mismatch: str = 'rebuild',
        stop: Callable[[], bool] = lambda: False,
        again: bool = False,
    ) -> Prepared:
        return prepare(
            self.path,
            self.options,
            self.module,
            self.device,
            self.cache,
            self.notices.append,
            self.run,
            on_mismatch=on_mismatch,
            again=again,
            progress=lambda part, text: self.progress.append((part, text)),
            stop=stop,
        )


def main() -> None:
    """Prepare in a process of its own: FOLDER WHERE; hang there, or be slow."""
    import os

    folder, where = Path(sys.argv[1]), sys.argv[2]
    rig = Rig(folder)

    def hang() -> None:
        (folder / 'hanging').touch()
        time.sleep(60)

    if where == 'build':
        rig.standin.during_build = hang
    elif where == 'slow':
        rig.standin.during_build = lambda: time.sleep(0.1)
    elif where.startswith('write'):
        ending = '.plan' if where == 'write the plan' else '.json'
        real = os.replace

        def hang_before(source: str, to: Path) -> None:
            if Path(to).suffix == ending:
                hang()
            real(source, to)

        os.replace = hang_before  # type: ignore[assignment]
    prepared = rig.prepare()
    print('cached' if prepared.cached else 'built', *rig.notices)


if __name__ == '__main__':
    main()
