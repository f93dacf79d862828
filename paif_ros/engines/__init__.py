"""Inference engines behind one protocol of three methods."""

from __future__ import annotations

from pathlib import Path

from paif_ros.engines.base import Engine, EngineInfo, Prediction, SlowToLoad, TensorRtOptions
from paif_ros.errors import EngineError

__all__ = [
    'BACKENDS',
    'Engine',
    'EngineInfo',
    'Prediction',
    'SlowToLoad',
    'TensorRtOptions',
    'make_engine',
]

BACKENDS = ('auto', 'onnxruntime', 'openvino', 'tensorrt', 'tensorrt_rtx')
PLANS = ('.plan', '.engine', '.trt')  # endings under which people keep TensorRT's own files
DEFAULTS = TensorRtOptions()


def make_engine(
    backend: str,
    path: Path | str,
    threads: int = 0,
    provider: str = 'auto',
    options: TensorRtOptions = DEFAULTS,
    *,
    pinning: bool = False,
) -> Engine:
    """Make the engine of a backend, not yet loaded.

    Args:
        backend: one of `BACKENDS`; 'auto' takes the fastest that works.
        path: the model file, an .onnx for each of them.
        threads: CPU threads of one run, 0 means one per core.
        provider: 'auto', 'cpu' or 'cuda'.
        options: how TensorRT builds.
        pinning: whether OpenVINO's threads stay on one core each.

    Raises:
        EngineError: the backend is unknown, or it does not read this file or run there.
    """
    if backend not in BACKENDS:
        raise EngineError(backend, f'no such backend, it is one of {", ".join(BACKENDS)}')
    suffix = Path(path).suffix
    if suffix in PLANS:
        raise EngineError(
            backend,
            f'{str(path)!r} is an engine that was built before. It serves one GPU and one version '
            'of TensorRT, and is code that nobody has checked; give the .onnx file that it was '
            'built of, the node builds and keeps its own',
        )
    if backend != 'onnxruntime' and suffix != '.onnx':
        raise EngineError(
            backend,
            f'no engine reads {suffix or "a file without an ending"} ({str(path)!r}); '
            'give an .onnx file',
        )
    if backend == 'onnxruntime':
        from paif_ros.engines.onnxruntime import OnnxRuntimeEngine

        return OnnxRuntimeEngine(path, threads, provider)
    if backend == 'auto':
        from paif_ros.engines.auto import AutoEngine

        return AutoEngine(path, threads, provider, options, pinning=pinning)
    if backend == 'openvino':
        if provider == 'cuda':
            raise EngineError(
                backend,
                'engine.provider is cuda, but it runs on CPUs here; set engine.provider to auto, '
                'or engine.backend to auto',
            )
        from paif_ros.engines.openvino import OpenVinoEngine

        return OpenVinoEngine(path, threads, pinning=pinning)
    if provider == 'cpu':
        raise EngineError(
            backend,
            'engine.provider is cpu, but it runs on NVIDIA GPUs only; set engine.provider to '
            'auto, or engine.backend to onnxruntime',
        )
    from paif_ros.engines.tensorrt import TensorRtEngine

    return TensorRtEngine(path, backend, options)
