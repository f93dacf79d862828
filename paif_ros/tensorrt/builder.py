"""Builds an engine of an ONNX file: strongly typed, so that the file decides each precision.

Only names that TensorRT 10.3 and 11.4 both have are used (tests/tensorrt_standin.py holds us to
it); whatever one of them lacks is asked for with `getattr`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from paif_ros.contract import TensorSpec, check_tensors
from paif_ros.errors import EngineError
from paif_ros.tensorrt import library
from paif_ros.tensorrt.files import replace_file
from paif_ros.tensorrt.layers import asked_precisions
from paif_ros.tensorrt.messages import make_logger
from paif_ros.tensorrt.monitor import interrupts_into, make_monitor

Progress = Callable[[float, str], None]
"""Takes the part that is done, 0 to 1, and what is being done. What it raises stops the build."""

MEBIBYTE = 1 << 20
MAX_OPTIMIZATION = 5


@dataclass(frozen=True)
class Batches:
    """How many pairs at once an optimization profile is made for.

    Attributes:
        least: the fewest.
        best: the number to be fast at.
        most: the most.
    """

    least: int = 1
    best: int = 1
    most: int = 1

    def __str__(self) -> str:
        return f'{self.least},{self.best},{self.most}'


@dataclass(frozen=True)
class BuildOptions:
    """How to build.

    Attributes:
        workspace_mib: memory a layer may use while it runs, in MiB; 0 leaves it to TensorRT, which
            takes what the GPU has.
        optimization_level: 0 (builds fast) to 5 (searches long); 3 is TensorRT's own choice.
        timing_cache: file that keeps what was measured, so that the next build is faster. It is
            made if it is not there.
        profiles: for a model whose batch is not fixed; without any, it is made for one pair.
        compute_capability: of the GPU to build for, such as '8.9'. Only TensorRT-RTX can build for
            a GPU that is not there; '' builds for the one that is.
    """

    workspace_mib: int = 0
    optimization_level: int = 3
    timing_cache: Path | None = None
    profiles: tuple[Batches, ...] = ()
    compute_capability: str = ''

    def flags(self) -> tuple[str, ...]:
        """Return what of it makes one engine another, in words for its fingerprint."""
        return (
            f'optimization_level={self.optimization_level}',
            f'workspace_mib={self.workspace_mib}',
            *(f'profile={profile}' for profile in self.profiles),
        )


@dataclass(frozen=True)
class Built:
    """An engine that was built, and was compared with nothing yet.

    Attributes:
        plan: its bytes. They are code: keep them in `cache.Cache`, which guards them.
        asked: layers of the network by the type that they write, as `layer_precisions` counts.
        seconds: that it took.
        warnings: what TensorRT said meanwhile.
    """

    plan: bytes
    asked: dict[str, int]
    seconds: float
    warnings: tuple[str, ...] = ()


def _ignore(_part: float, _text: str) -> None:
    """Say nothing."""


def build(
    onnx: bytes,
    options: BuildOptions,
    module: Any,
    progress: Progress = _ignore,
    stop: Callable[[], bool] = lambda: False,
) -> Built:
    """Build an engine.

    Args:
        onnx: the bytes of an ONNX file.
        options: how.
        module: the library, from `library.find`.
        progress: called at most every 5 seconds, from the thread that builds. It may raise to
            stop the build; what it raised comes out of here.
        stop: asked often, from the same thread, whether to give the build up.

    Raises:
        EngineMismatch: the file does not keep the contract of exported models.
        EngineError: the file can't be parsed (it names the nodes), an option is out of range, or
            TensorRT failed (it says with which words).
        BuildStopped: `stop` said so.
    """
    if TYPE_CHECKING:
        import tensorrt as trt
    else:
        trt = module
    kind = library.kind_of(module)
    if not 0 <= options.optimization_level <= MAX_OPTIMIZATION:
        raise EngineError(
            kind,
            f'optimization level {options.optimization_level} is not one of 0 to '
            f'{MAX_OPTIMIZATION}; 3 is the usual one',
        )
    logger = make_logger(module)
    builder = trt.Builder(logger)
    flags = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    # A parser that was asked what it supports leaves the network filled, and refuses to parse into
    # it again; so it is asked with a network of its own. Both stay referenced: the parser does not
    # keep them alive.
    scratch = builder.create_network(flags)
    _check_supported(onnx, trt.OnnxParser(scratch, logger), logger, kind)
    network = builder.create_network(flags)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(onnx):
        raise EngineError(kind, _complaints(parser, logger))
    _check_contract(network)
    config = builder.create_builder_config()
    _configure(config, options, module)
    _add_profiles(config, builder, network, options.profiles, kind)
    monitor = make_monitor(module, progress, stop)
    config.progress_monitor = monitor
    cache = _read_timing_cache(config, options.timing_cache, logger)
    began = monotonic()
    with interrupts_into(monitor):
        made = builder.build_serialized_network(network, config)
    if monitor.failure is not None:
        raise monitor.failure
    plan = b'' if made is None else bytes(made)
    if not plan:
        raise EngineError(kind, _failed(logger.errors))
    if cache is not None and options.timing_cache is not None:
        replace_file(options.timing_cache, bytes(cache.serialize()))
    return Built(plan, asked_precisions(network), monotonic() - began, tuple(logger.warnings))


def _check_contract(network: Any) -> None:
    """Compare a parsed network with the contract: before the minutes of a build, not after."""
    inputs, outputs = (
        {spec.name: spec for spec in (_spec(get(index)) for index in range(count))}
        for get, count in (
            (network.get_input, network.num_inputs),
            (network.get_output, network.num_outputs),
        )
    )
    shape = inputs['thermal'].shape if 'thermal' in inputs else ()
    size = (shape[1] or 0, shape[2] or 0) if len(shape) == 3 else (0, 0)
    check_tensors(inputs, outputs, size)


def _spec(tensor: Any) -> TensorSpec:
    shape = tuple(None if side < 0 else int(side) for side in tensor.shape)
    return TensorSpec(str(tensor.name), str(tensor.dtype.name).lower(), shape)


def _check_supported(onnx: bytes, parser: Any, logger: Any, kind: str) -> None:
    if not parser.supports_model_v2(onnx):
        raise EngineError(kind, _complaints(parser, logger))


def _complaints(parser: Any, logger: Any) -> str:
    """Return what a parser says against a file, with the names of the nodes."""
    listed = []
    for index in range(parser.num_errors):
        error = parser.get_error(index)
        where = f'node {error.node()} {error.node_name()!r} ({error.node_operator()}): '
        listed.append((where if error.node() >= 0 else '') + _one_line(error.desc()))
    listed = listed or [_one_line(text) for text in logger.errors] or ['it gives no reason']
    more = f' and {len(listed) - 5} more' if len(listed) > 5 else ''
    return (
        f'its parser refuses the model: {"; ".join(listed[:5])}{more}. Export it again with '
        '`python export/to_onnx.py`, which keeps to what TensorRT reads'
    )


def _failed(errors: list[str]) -> str:
    text = '; '.join(_one_line(error) for error in errors[-3:]) or 'it gives no reason'
    lower = text.lower()
    if 'memory' in lower or 'alloc' in lower:
        cure = (
            'give it less to try (engine.workspace_mib 512, engine.optimization_level 2), free '
            'memory of the GPU, or add swap (a Jetson shares its memory with the GPU)'
        )
    elif 'kernel image' in lower or 'compute capability' in lower or 'unsupported sm' in lower:
        cure = (
            "this TensorRT was not made for this GPU: on a Jetson take JetPack's own (`sudo apt "
            'install python3-libnvinfer`), not one that pip installed'
        )
    elif 'cuda' in lower and 'driver' in lower:
        cure = 'install the driver that this TensorRT asks for, or see `nvidia-smi`'
    else:
        cure = 'try engine.optimization_level 2, or set engine.backend to onnxruntime'
    return f'the build failed: {text}. What to do: {cure}'


def _one_line(text: str) -> str:
    return ' '.join(text.split())[:300]


def _configure(config: Any, options: BuildOptions, module: Any) -> None:
    if TYPE_CHECKING:
        import tensorrt as trt

        config = trt.IBuilderConfig()
    else:
        trt = module
    if options.workspace_mib:
        size = options.workspace_mib * MEBIBYTE
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, size)
    config.builder_optimization_level = options.optimization_level
    # Without it the inspector says no types, and what was asked can't be compared with them.
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    # FP32 islands are FP32: TF32 would keep ten bits of what they hold.
    config.clear_flag(trt.BuilderFlag.TF32)
    if options.compute_capability:
        _target(config, options.compute_capability, module)


def _add_profiles(
    config: Any, builder: Any, network: Any, profiles: tuple[Batches, ...], kind: str
) -> None:
    """Say for which batches to build, where the model leaves that open."""
    inputs = [network.get_input(index) for index in range(network.num_inputs)]
    if all(side >= 0 for tensor in inputs for side in tensor.shape):
        if profiles:
            raise EngineError(kind, 'this model has a fixed batch: leave the profiles out')
        return
    for batches in profiles or (Batches(),):
        if not 1 <= batches.least <= batches.best <= batches.most:
            raise EngineError(kind, f'profile {batches}: give 1 <= least <= best <= most')
        profile = builder.create_optimization_profile()
        for tensor in inputs:
            rest = tuple(tensor.shape)[1:]
            profile.set_shape(
                tensor.name, (batches.least, *rest), (batches.best, *rest), (batches.most, *rest)
            )
        if config.add_optimization_profile(profile) < 0:
            raise EngineError(kind, f'profile {batches} is refused: {rest} must be fixed sides')


def _target(config: Any, capability: str, module: Any) -> None:
    """Build for a GPU that is named, which only TensorRT-RTX can."""
    kind = library.kind_of(module)
    known = getattr(module, 'ComputeCapability', None)
    member = getattr(known, f'SM{capability.replace(".", "")}', None)
    if member is None or not hasattr(config, 'set_compute_capability'):
        raise EngineError(
            kind, f'it can not build for compute capability {capability} from here; build there'
        )
    config.num_compute_capabilities = 1
    config.set_compute_capability(member, 0)


def _read_timing_cache(config: Any, path: Path | None, logger: Any) -> Any:
    """Set the timing cache. One that does not fit costs its measurements, not the build."""
    if path is None:
        return None
    data = path.read_bytes() if path.is_file() else b''
    cache = config.create_timing_cache(data)
    if cache is None or not config.set_timing_cache(cache, False):
        logger.errors.clear()
        cache = config.create_timing_cache(b'')
        if cache is None or not config.set_timing_cache(cache, False):
            return None
    return cache
