"""One try: build a file, load the engine, and compare its answers with FP32."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from paif_ros.engines.base import Engine
from paif_ros.errors import EngineError
from paif_ros.tensorrt import library
from paif_ros.tensorrt.builder import BuildOptions, Built, Progress, build
from paif_ros.tensorrt.cache import Cache
from paif_ros.tensorrt.layers import half_share, inspect, layer_precisions
from paif_ros.tensorrt.messages import make_logger
from paif_ros.tensorrt.model_file import Model
from paif_ros.tensorrt.monitor import BuildStopped
from paif_ros.tensorrt.parity import Pair, judge

if TYPE_CHECKING:
    from paif_ros.tensorrt.cuda import Device

LEAST_OF_ASKED = 0.5  # part of the FP16 that was asked for, below which the engine is only slow


@dataclass(frozen=True)
class Surroundings:
    """What an engine is built with.

    Attributes:
        module: the library.
        device: the GPU.
        options: how to build.
        notice: told in sentences what happens.
        run: loads a plan as an engine, on the thread that calls.
        progress: see `builder.build`.
        stop: asked whether to give up.
    """

    module: Any
    device: Device
    options: BuildOptions
    notice: Callable[[str], None]
    run: Callable[[bytes], Engine]
    progress: Progress
    stop: Callable[[], bool]


def try_out(
    model: Model, pairs: tuple[Pair, ...], around: Surroundings, cache: Cache | None
) -> tuple[bytes | None, str, dict[str, Any]]:
    """Build one file and compare it. Returns its plan or None, why not, and its report."""
    entry: dict[str, Any] = {'file': model.path.name, 'precision': model.card.precision}
    options = _with_timing_cache(around.options, cache, around)
    try:
        built = build(model.data, options, around.module, around.progress, around.stop)
        entry['seconds'] = round(built.seconds, 1)
        entry['plan_bytes'] = len(built.plan)
        entry['warnings'] = list(built.warnings)
        entry['layers'] = _layers(built, around)
        engine = around.run(built.plan)
        try:
            verdict = judge(engine, pairs, int8=model.card.precision == 'int8')
        finally:
            engine.close()
    except BuildStopped:
        raise
    except EngineError as err:  # it can't be built or run; a safer form perhaps can
        entry['error'] = err.reason
        return None, err.reason, entry
    entry['parity'] = verdict.to_dict()
    if not verdict.passed:
        return None, str(verdict), entry
    around.notice(f'{model.path.name} in {model.card.precision}: {verdict}')
    return built.plan, '', entry


def _layers(built: Built, around: Surroundings) -> dict[str, Any]:
    """Compare the layers' types with what the file asks for; never a reason to refuse."""
    counts = inspect_plan(built.plan, around.module)
    if counts is None:
        return {'asked': built.asked, 'found': 'not measured'}
    asked, found = half_share(built.asked), half_share(counts)
    found_enough = asked is None or found is None or found >= LEAST_OF_ASKED * asked
    if asked and found is not None and not found_enough:
        around.notice(
            f'the file asks for {asked:.0%} of its layers in FP16, the engine has {found:.0%}: it '
            'is right, but slower than it could be; try a newer TensorRT'
        )
    return {
        'asked': built.asked,
        'found': counts,
        'asked_fp16': asked,
        'found_fp16': found,
        'enough_fp16': found_enough,
    }


def inspect_plan(plan: bytes, module: Any) -> dict[str, int] | None:
    """Count a plan's layers by type; None where it can't be loaded, as without a GPU."""
    logger = make_logger(module)
    runtime = module.Runtime(logger)
    engine = runtime.deserialize_cuda_engine(plan) if runtime is not None else None
    if engine is None:
        return None
    try:
        return layer_precisions(inspect(engine, module))
    except (ValueError, KeyError, TypeError):
        return None


def _with_timing_cache(
    options: BuildOptions, cache: Cache | None, around: Surroundings
) -> BuildOptions:
    """Keep what TensorRT measures beside the engines, unless another file is named."""
    if options.timing_cache is not None or cache is None:
        return options
    parts = (
        library.kind_of(around.module),
        library.version_text(around.module),
        around.device.compute_capability,
    )
    return replace(options, timing_cache=cache.folder / f'timing-{"-".join(parts)}.bin')
