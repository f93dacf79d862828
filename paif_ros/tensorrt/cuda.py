"""The few calls of the CUDA runtime that an engine needs, each checked.

Through NVIDIA's own `cuda.bindings.runtime`, or `cuda.cudart` as older ones call it. It works in
the primary context of device 0, which every thread of the process and TensorRT itself share;
CUDA_VISIBLE_DEVICES chooses which GPU that is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from paif_ros.errors import EngineError

BACKEND = 'cuda'
INSTALL = (
    '`pip install "cuda-bindings==12.*"` on CUDA 12 (JetPack 6), '
    '`pip install "cuda-bindings==13.*"` on CUDA 13 (JetPack 7)'
)
RESTART = 'the GPU accepts nothing more from this process; restart the node'
# What to do about an error, by its name. Whatever is not here is said as CUDA says it.
REMEDIES = {
    'cudaErrorMemoryAllocation': 'the GPU has no memory left; end other programs that use it, or '
    'set engine.workspace_mib lower',
    'cudaErrorInsufficientDriver': 'the driver is older than these bindings; update it, or take '
    f'the bindings for its CUDA: {INSTALL}',
    'cudaErrorNoDevice': 'there is no GPU to see; look at nvidia-smi (tegrastats on a Jetson) and '
    'at CUDA_VISIBLE_DEVICES, and start a container with --runtime nvidia or --gpus all',
    'cudaErrorSystemNotReady': 'the driver is still starting; try again, or restart the machine',
    'cudaErrorSystemDriverMismatch': 'the driver was updated and is not loaded yet; restart the '
    'machine',
    'cudaErrorDevicesUnavailable': 'another program holds the GPU in exclusive mode; end it',
    'cudaErrorIllegalAddress': RESTART,
    'cudaErrorLaunchFailure': RESTART,
    'cudaErrorLaunchTimeout': RESTART,
    'cudaErrorIllegalInstruction': RESTART,
    'cudaErrorECCUncorrectable': f'its memory is faulty; {RESTART}',
}


class CudaError(EngineError):
    """A call of the CUDA runtime that failed.

    Attributes:
        call: the function.
        name: CUDA's name of the error, such as 'cudaErrorMemoryAllocation'.
    """

    def __init__(self, call: str, name: str, text: str) -> None:
        self.call = call
        self.name = name
        remedy = REMEDIES.get(name)
        super().__init__(
            BACKEND, f'{call} failed with {name}: {text}' + (f'; {remedy}' if remedy else '')
        )


@dataclass(frozen=True)
class Device:
    """The GPU.

    Attributes:
        name: as the driver says it, such as 'Orin' or 'NVIDIA GeForce RTX 4090'.
        compute_capability: such as '8.7'.
        total_memory: bytes.
        free_memory: bytes, at the time of asking.
        integrated: whether it shares the CPU's memory, as a Jetson's does.
        driver_version: the CUDA version that the driver supports, such as '12.6'.
        runtime_version: that of the bindings.
    """

    name: str
    compute_capability: str
    total_memory: int
    free_memory: int
    integrated: bool
    driver_version: str
    runtime_version: str


class Cuda:
    """The CUDA runtime with every answer checked; whatever fails is a `CudaError`.

    Raises:
        EngineError: there are no bindings, no driver, or no GPU; it says what to do.
    """

    def __init__(self) -> None:
        self._runtime = _import()
        self._driver = _driver_version(self._runtime)
        try:
            count = self._call('cudaGetDeviceCount')
        except CudaError as err:
            made = _version(self._call('cudaRuntimeGetVersion'))
            text = f'the driver is for CUDA {_version(self._driver)}, the bindings for {made}'
            raise CudaError(err.call, err.name, text) from err
        if not count:
            raise CudaError('cudaGetDeviceCount', 'cudaErrorNoDevice', 'it counts no GPU')
        self._call('cudaSetDevice', 0)  # makes the primary context

    def device(self) -> Device:
        """Describe the GPU."""
        found = self._call('cudaGetDeviceProperties', 0)
        free, total = self._call('cudaMemGetInfo')
        name = found.name
        return Device(
            name=name.decode() if isinstance(name, bytes) else str(name),
            compute_capability=f'{found.major}.{found.minor}',
            total_memory=int(total),
            free_memory=int(free),
            integrated=bool(found.integrated),
            driver_version=_version(self._driver),
            runtime_version=_version(self._call('cudaRuntimeGetVersion')),
        )

    # ---- memory

    def malloc(self, size: int) -> int:
        """Take memory of the GPU. Returns its address."""
        return int(self._call('cudaMalloc', size))

    def free(self, address: int) -> None:
        """Give back what `malloc` took."""
        self._call('cudaFree', address)

    def host_alloc(self, size: int, mapped: bool = False) -> int:
        """Take memory of the CPU that stays in place, so that copies need not wait for it.

        Args:
            size: bytes.
            mapped: whether the GPU may use it in place, see `device_address`.

        Returns:
            Its address.
        """
        flags = self._runtime.cudaHostAllocMapped if mapped else self._runtime.cudaHostAllocDefault
        return int(self._call('cudaHostAlloc', size, flags))

    def device_address(self, address: int) -> int:
        """Return the GPU's address of mapped memory of the CPU."""
        return int(self._call('cudaHostGetDevicePointer', address, 0))

    def free_host(self, address: int) -> None:
        """Give back what `host_alloc` took."""
        self._call('cudaFreeHost', address)

    def copy_to_device(self, to: int, source: int, size: int, stream: Any) -> None:
        """Copy bytes to the GPU, when their turn comes in the stream."""
        kind = self._runtime.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._call('cudaMemcpyAsync', to, source, size, kind, stream)

    def copy_to_host(self, to: int, source: int, size: int, stream: Any) -> None:
        """Copy bytes from the GPU, when their turn comes in the stream."""
        kind = self._runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._call('cudaMemcpyAsync', to, source, size, kind, stream)

    # ---- order

    def create_stream(self) -> Any:
        """Make a stream that does not wait for those of others. `int` of it is its handle."""
        return self._call('cudaStreamCreateWithFlags', self._runtime.cudaStreamNonBlocking)

    def destroy_stream(self, stream: Any) -> None:
        """Free a stream."""
        self._call('cudaStreamDestroy', stream)

    def create_event(self) -> Any:
        """Make an event. Who waits for it sleeps: the cameras need the CPU."""
        flags = self._runtime.cudaEventBlockingSync | self._runtime.cudaEventDisableTiming
        return self._call('cudaEventCreateWithFlags', flags)

    def destroy_event(self, event: Any) -> None:
        """Free an event."""
        self._call('cudaEventDestroy', event)

    def wait(self, event: Any, stream: Any) -> None:
        """Wait until everything in the stream is done. Other threads run meanwhile."""
        self._call('cudaEventRecord', event, stream)
        self._call('cudaEventSynchronize', event)

    # ---- graphs

    def capture(self, stream: Any, work: Callable[[], None]) -> Any:
        """Record what `work` puts into the stream, without running it.

        Returns:
            An executable graph.

        Raises:
            EngineError: from `work`, or because something in it can't be recorded. The stream is
                usable again in either case.
        """
        mode = self._runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call('cudaStreamBeginCapture', stream, mode)
        try:
            work()
        except BaseException:
            self._abandon(stream)
            raise
        graph = self._call('cudaStreamEndCapture', stream)
        try:
            return self._call('cudaGraphInstantiate', graph, 0)
        finally:
            with contextlib.suppress(CudaError):  # else what was just made would be lost
                self._call('cudaGraphDestroy', graph)

    def launch(self, graph: Any, stream: Any) -> None:
        """Run a captured graph."""
        self._call('cudaGraphLaunch', graph, stream)

    def destroy_graph(self, graph: Any) -> None:
        """Free what `capture` gave."""
        self._call('cudaGraphExecDestroy', graph)

    def _abandon(self, stream: Any) -> None:
        """End a capture in which something failed."""
        try:
            graph = self._call('cudaStreamEndCapture', stream)
        except CudaError:  # says again what `work` has said
            self._runtime.cudaGetLastError()  # or the next call would answer with it
            return
        if graph is not None and int(graph):
            self._call('cudaGraphDestroy', graph)

    def _call(self, name: str, *values: Any) -> Any:
        """Call a function of the runtime. Returns what it answers beside the error code."""
        try:
            error, *found = getattr(self._runtime, name)(*values)
        except RuntimeError as err:  # cuda-python 12.3 and 12.6 raise what the driver lacks
            raise CudaError(name, 'cudaErrorInsufficientDriver', str(err)) from err
        if int(error) != int(self._runtime.cudaError_t.cudaSuccess):
            _, text = self._runtime.cudaGetErrorString(error)
            # Most errors stay until they are asked for, and would be blamed on another call.
            self._runtime.cudaGetLastError()
            raise CudaError(name, error.name, text.decode())
        return found[0] if len(found) == 1 else tuple(found)


def _import() -> Any:
    first = ''
    try:
        from cuda.bindings import runtime
    except (ImportError, OSError) as err:
        first = str(err)
    else:
        return runtime
    try:
        from cuda import cudart  # its name up to 12.5, gone in 13
    except (ImportError, OSError) as err:
        raise EngineError(
            BACKEND,
            f'the CUDA bindings for Python can not be imported ({first}); install them: {INSTALL}',
        ) from err
    return cudart


def _driver_version(runtime: Any) -> int:
    """Return the CUDA version of the driver as a number, such as 12060.

    Raises:
        EngineError: there is no driver.
    """
    missing = 'no NVIDIA driver is loaded'
    try:
        error, found = runtime.cudaDriverGetVersion()
    except RuntimeError as err:  # so do cuda-python 12.3 and 12.6, newer ones answer 0
        error, found, missing = 0, 0, f'{missing} ({err})'
    if int(error) or not found:
        raise EngineError(
            BACKEND,
            f'{missing}; install it (on a Jetson it comes with JetPack), start a container with '
            '--runtime nvidia or --gpus all, or set engine.backend to onnxruntime',
        )
    return int(found)


def _version(number: int) -> str:
    return f'{number // 1000}.{number % 1000 // 10}'
