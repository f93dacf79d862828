"""Inference engines behind one protocol of three methods."""

from __future__ import annotations

from pathlib import Path

from paif_ros.engines.base import Engine, EngineInfo, Prediction
from paif_ros.errors import EngineError

__all__ = ['BACKENDS', 'Engine', 'EngineInfo', 'Prediction', 'make_engine']

BACKENDS = ('auto', 'onnxruntime')


def make_engine(
    backend: str, path: Path | str, threads: int = 0, provider: str = 'auto'
) -> Engine:
    """Make the engine of a backend, not yet loaded.

    Args:
        backend: one of `BACKENDS`; 'auto' takes what suits the file.
        path: the model file.
        threads: CPU threads of one run, 0 means one per core.
        provider: 'auto', 'cpu' or 'cuda'.

    Raises:
        EngineError: the backend is unknown, or none suits the file.
    """
    if backend not in BACKENDS:
        raise EngineError(backend, f'no such backend, it is one of {", ".join(BACKENDS)}')
    suffix = Path(path).suffix
    if backend == 'auto' and suffix != '.onnx':
        raise EngineError(
            backend,
            f'no engine reads {suffix or "a file without an ending"} ({str(path)!r}); '
            'give an .onnx file',
        )
    from paif_ros.engines.onnxruntime import OnnxRuntimeEngine

    return OnnxRuntimeEngine(path, threads, provider)
