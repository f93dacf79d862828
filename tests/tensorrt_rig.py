"""A GPU and a TensorRT that are not real, with a model between them that is."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cuda_standin
import numpy as np
import pytest
import tensorrt_standin
import tiny_model

from paif_ros.monitoring.notices import Level

SIZE = (48, 64)
VERSIONS = (*tensorrt_standin.VERSIONS, tensorrt_standin.RTX)
every_version = pytest.mark.parametrize('version', VERSIONS)


def pair(seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (*SIZE, 3), np.uint8), random.integers(0, 256, SIZE, np.uint8)


def check_answers(engine: Any) -> None:
    """Compare with the model in NumPy, and see that an answer outlives the next frame."""
    run = engine.run if hasattr(engine, 'run') else engine.infer
    answers = [run(*pair(seed)) for seed in range(10, 14)]
    for seed, answer in zip(range(10, 14), answers, strict=True):
        fused, mask = tiny_model.expected(*pair(seed))
        np.testing.assert_array_equal(answer.fused, fused)
        np.testing.assert_array_equal(answer.mask, mask)


def write_model(folder: Path, **changes: Any) -> Path:
    """Write the tiny model with FP32 answers beside it. Returns the path of the ONNX file."""
    folder.mkdir(exist_ok=True)
    path = tiny_model.write(folder / 'tiny.onnx', **changes)
    pairs = [pair(seed) for seed in range(2)]
    answers = [tiny_model.expected(*both) for both in pairs]
    np.savez(
        folder / 'tiny.parity.npz',
        visible=np.stack([visible for visible, _ in pairs]),
        thermal=np.stack([thermal for _, thermal in pairs]),
        fused=np.stack([fused for fused, _ in answers]),
        mask=np.stack([mask for _, mask in answers]),
        weights_sha256=tiny_model.card(SIZE).weights_sha256,
    )
    return path


class Rig:
    """What a machine has.

    Args:
        monkeypatch: takes it away again.
        version: of TensorRT.

    Attributes:
        kind: the library's name.
        gpu: the GPU; a Jetson's, or a desktop's for TensorRT-RTX.
        module, standin: the library, and how it behaves.
        said: what an engine said while it was loaded.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
        self.gpu = cuda_standin.install(monkeypatch, '12.6')
        self.said: list[tuple[Level, str]] = []
        self._monkeypatch = monkeypatch
        self.use(version)
        if self.kind == 'tensorrt_rtx':
            self.gpu.name, self.gpu.compute, self.gpu.integrated = 'RTX 4090', (8, 9), False
            self.standin.device = self.gpu.name

    def use(self, version: str) -> None:
        """Install another version in place of the one before."""
        self.module = tensorrt_standin.make(version)
        self.kind: str = self.module.__name__
        self.standin: tensorrt_standin.Behaviour = self.module.standin
        self.standin.device = self.gpu.name
        self.standin.launch = self.gpu.launch
        self._monkeypatch.setitem(sys.modules, self.kind, self.module)

    def tell(self, level: Level, text: str) -> None:
        self.said.append((level, text))

    @property
    def text(self) -> str:
        """Everything that was said."""
        return '\n'.join(text for _, text in self.said)

    @property
    def builds(self) -> int:
        """How many engines were built."""
        return self.standin.calls.count('Builder.build_serialized_network')
