"""Finds the TensorRT that is installed, or says why there is none and what to do.

Two libraries share one API: `tensorrt`, which a JetPack or an NVIDIA repository installs, and
`tensorrt_rtx` for RTX desktops, which pip installs whole. The builder and the engine take either
as an argument, and never import one themselves.
"""

from __future__ import annotations

import importlib
import re
import sys
from types import ModuleType

from paif_ros.errors import EngineError

TENSORRT = 'tensorrt'
TENSORRT_RTX = 'tensorrt_rtx'
KINDS = (TENSORRT, TENSORRT_RTX)
OLDEST = {TENSORRT: (10, 3), TENSORRT_RTX: (1, 4)}
NEWEST_KNOWN = {TENSORRT: (11, 4), TENSORRT_RTX: (1, 7)}  # newer ones get a remark, no refusal
WAY_OUT = 'or set engine.backend to onnxruntime'


def find(kind: str) -> ModuleType:
    """Import a TensorRT.

    Args:
        kind: one of `KINDS`.

    Raises:
        EngineError: it is not installed, its own libraries are missing, or it is too old.
    """
    if kind not in KINDS:
        raise EngineError(kind, f'no such TensorRT library, it is one of {", ".join(KINDS)}')
    try:
        module = importlib.import_module(kind)
    except Exception as err:  # its start-up loads libraries, and may raise whatever they meet
        raise EngineError(kind, _cure(kind, err)) from err
    found = version(module)
    if found < OLDEST[kind]:
        raise EngineError(kind, _too_old(kind, module))
    return module


def version(module: ModuleType) -> tuple[int, ...]:
    """Return a library's version as numbers, such as (10, 3, 0).

    Raises:
        EngineError: the module has no version that begins with two numbers, so it is not TensorRT.
    """
    text = version_text(module)
    numbers = re.match(r'\d+(\.\d+)+', text)
    if numbers is None:
        where = getattr(module, '__file__', None) or 'a folder without code'
        raise EngineError(
            kind_of(module),
            f'the module found at {where} has no version (it says {text!r}): it is not '
            f'TensorRT; remove or rename what shadows it, {WAY_OUT}',
        )
    return tuple(int(part) for part in numbers.group().split('.'))


def version_text(module: ModuleType) -> str:
    """Return a library's version as it says it, '' where it says none."""
    return str(getattr(module, '__version__', ''))


def kind_of(module: ModuleType) -> str:
    """Return which of `KINDS` a module is."""
    return TENSORRT_RTX if module.__name__ == TENSORRT_RTX else TENSORRT


def remarks(module: ModuleType) -> list[str]:
    """Return what its user should know of a version, in sentences."""
    kind = kind_of(module)
    if version(module)[:2] > NEWEST_KNOWN[kind]:
        newest = '.'.join(map(str, NEWEST_KNOWN[kind]))
        return [
            f'{kind} {version_text(module)} is newer than {newest}, the newest that this package '
            'was written for; what it builds is compared with FP32 as always'
        ]
    return []


def _cure(kind: str, err: Exception) -> str:
    """Return a sentence on what an import met, and what to do."""
    text = (str(err).strip() or type(err).__name__).splitlines()[0]
    begin = f'it can not be imported ({text}); '
    if kind == TENSORRT_RTX:
        return begin + f'install it with `pip install tensorrt-rtx` (RTX desktops), {WAY_OUT}'
    if 'libnvdla_compiler' in text:
        return begin + (
            'this library belongs to the Jetson, not to the container: on JetPack 6, `sudo apt '
            'install nvidia-l4t-dla-compiler` on the Jetson and start the container with '
            '`--runtime nvidia`; JetPack 7.2 has it no more, take an image made for '
            f'7.2 (TensorRT 10.16), {WAY_OUT}'
        )
    if isinstance(err, ModuleNotFoundError) and err.name == TENSORRT:
        return begin + (
            'on a Jetson: `sudo apt install python3-libnvinfer`'
            f'{_venv()}; on a desktop: `pip install tensorrt`, {WAY_OUT}'
        )
    if '.so' in text or isinstance(err, OSError):
        return begin + (
            'its Python part is there, a library it needs is not: install both in one version '
            '(Jetson: `sudo apt install nvidia-tensorrt`; desktop: `pip install --force-reinstall '
            f'tensorrt`), {WAY_OUT}'
        )
    return begin + (
        'its installation is broken or made for another Python or NumPy: install it again '
        f'(Jetson: `sudo apt install --reinstall python3-libnvinfer`{_venv()}), {WAY_OUT}'
    )


def _venv() -> str:
    """Return what to add for a virtual environment, which hides what apt installs."""
    if sys.prefix == sys.base_prefix:
        return ''
    return (
        f', and since {sys.prefix!r} is a virtual environment make it with '
        '`python3 -m venv --system-site-packages`'
    )


def _too_old(kind: str, module: ModuleType) -> str:
    oldest = '.'.join(map(str, OLDEST[kind]))
    found = version_text(module)
    if kind == TENSORRT_RTX:
        return f'it is {found}, older than {oldest}: `pip install -U tensorrt-rtx`, {WAY_OUT}'
    return (
        f'it is {found}, older than {oldest}: without strongly typed networks the guided filter '
        'would silently run in FP16; install JetPack 6.1 or newer, or set engine.backend to '
        'onnxruntime, which runs on older ones'
    )
