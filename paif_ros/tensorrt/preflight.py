"""Looks at the machine before a build that takes minutes, and says what to do about it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from paif_ros.errors import EngineError
from paif_ros.tensorrt import library
from paif_ros.tensorrt.builder import MEBIBYTE, BuildOptions

if TYPE_CHECKING:
    from paif_ros.tensorrt.cuda import Device

OLDEST_GPU = (7, 5)  # Turing; TensorRT 10.5 and newer build for nothing older
JETSON = ('7.2', '8.7', '11.0')  # Xavier, Orin, Thor: not among the targets of TensorRT-RTX
BUILDER_MIB = 700  # what a build takes beside workspace and model: an estimate, not measured
PLAN_FACTOR = 5  # a plan may be so many times its ONNX file: 3.4 was seen with TensorRT-RTX
Version = tuple[int, ...]


@dataclass(frozen=True)
class KnownBad:
    """Versions from `first` to before `end` that are reported to compute wrongly."""

    first: Version
    end: Version
    text: str


KNOWN_BAD = (
    KnownBad(
        (10, 3),
        (10, 4),
        'is reported to answer wrongly for transformers, one class everywhere '
        '(NVIDIA/TensorRT#4723, #4419), and this network has one',
    ),
    KnownBad(
        (10, 4), (10, 5), 'is reported to answer wrongly for transformers (NVIDIA/TensorRT#4742)'
    ),
    KnownBad(
        (10, 7), (10, 8), 'is reported to answer wrongly for attention (NVIDIA/TensorRT#4333)'
    ),
)


def check(
    module: ModuleType, device: Device, size: int, options: BuildOptions, folder: Path
) -> list[str]:
    """Look before a build.

    Args:
        module: the library.
        device: the GPU.
        size: bytes of the ONNX file.
        options: how it is to be built.
        folder: where the engine is to be kept.

    Returns:
        What may go wrong, in sentences.

    Raises:
        EngineError: it can't work, and what to do.
    """
    kind = library.kind_of(module)
    _check_gpu(kind, device)
    warnings = known_bad(module)
    warnings += _check_versions(kind, module, device)
    warnings += _check_memory(device, size, options)
    warnings += _check_disk(size, folder)
    return warnings


def known_bad(module: ModuleType) -> list[str]:
    """Return what is reported against a version, in sentences."""
    if library.kind_of(module) != library.TENSORRT:
        return []
    found = library.version(module)
    return [
        f'TensorRT {library.version_text(module)} {bad.text}; what it builds is compared with '
        'FP32 before it is used'
        for bad in KNOWN_BAD
        if bad.first <= found < bad.end
    ]


def _check_gpu(kind: str, device: Device) -> None:
    capability = _numbers(device.compute_capability)
    if capability < OLDEST_GPU:
        raise EngineError(
            kind,
            f'{device.name} has compute capability {device.compute_capability}, TensorRT needs '
            '7.5 (Turing) or newer; set engine.backend to onnxruntime',
        )
    if kind == library.TENSORRT_RTX and device.compute_capability in JETSON:
        raise EngineError(
            kind,
            f'TensorRT-RTX builds for desktops, not for {device.name} (compute capability '
            f'{device.compute_capability}); set engine.backend to tensorrt, which JetPack has',
        )


def _check_versions(kind: str, module: ModuleType, device: Device) -> list[str]:
    found = library.version(module)
    if kind == library.TENSORRT and device.integrated and (11,) <= found < (11, 4, 1):
        return [
            f'TensorRT {library.version_text(module)} does not support Jetsons by its own '
            "documentation: use JetPack's own, or 11.4.1 with JetPack 7.2.2"
        ]
    if _numbers(device.driver_version)[:1] < _numbers(device.runtime_version)[:1]:
        raise EngineError(
            kind,
            f'the driver supports CUDA {device.driver_version}, the installed CUDA runtime is '
            f'{device.runtime_version}: update the driver, or install cuda-python '
            f'{device.driver_version.split(".", maxsplit=1)[0]}.x',
        )
    return []


def _check_memory(device: Device, size: int, options: BuildOptions) -> list[str]:
    needed = (options.workspace_mib + BUILDER_MIB) * MEBIBYTE + 4 * size
    if device.free_memory >= needed:
        return []
    cure = (
        'end other programs, add swap (the GPU shares this memory), or set engine.workspace_mib'
        if device.integrated
        else 'end other programs that use the GPU, or set engine.workspace_mib'
    )
    return [
        f'{device.name} has {device.free_memory / 2**30:.1f} GiB of '
        f'{device.total_memory / 2**30:.1f} GiB free, a build may take about '
        f'{needed / 2**30:.1f} (an estimate): {cure}'
    ]


def _check_disk(size: int, folder: Path) -> list[str]:
    """See whether the engine will find room; without, it is used and not kept."""
    there = next((path for path in (folder, *folder.parents) if path.is_dir()), None)
    free = shutil.disk_usage(there).free if there is not None else 0
    if free >= PLAN_FACTOR * size:
        return []
    return [
        f'{there} has {free / 2**20:.0f} MiB free, an engine may take '
        f'{PLAN_FACTOR * size / 2**20:.0f}; make room or set engine.cache_dir'
    ]


def _numbers(text: str) -> Version:
    return tuple(int(part) for part in text.split('.') if part.isdecimal())
