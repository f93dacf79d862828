"""A stand-in for the CUDA bindings: memory is the CPU's, streams are lists, and it counts.

`tests/data/cuda_api` holds the names, argument counts, constants and error numbers of four real
versions of NVIDIA's bindings (see tests/cuda_names.py). A name that a version lacks, a wrong
number of arguments, or a function without a behaviour here fails. Work that is put into a stream
is done when somebody waits for it, and not before; the GPU's memory has other addresses than the
CPU's, also where it is the same memory. So a missing copy, wait or address shows.

What a test on it proves: which calls are made, in which order, on which thread, and that what is
taken is given back. What it does not: that a real GPU computes right, or how fast.
"""

# ruff: noqa: N802 - the names are CUDA's

from __future__ import annotations

import ctypes
import itertools
import json
import mmap
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pytest

FOLDER = Path(__file__).parent / 'data' / 'cuda_api'
VERSIONS = tuple(
    sorted((p.stem for p in FOLDER.glob('*.json')), key=lambda v: [int(n) for n in v.split('.')])
)
FRESH = 0xCD  # what memory holds that was never written
DEAD = ('cudaErrorIllegalAddress', 'cudaErrorLaunchFailure')  # no call works after one of these
ALWAYS = ('cudaGetErrorString', 'cudaGetErrorName', 'cudaGetLastError')
NOT_CAPTURED = (  # what spoils a capture on the same thread
    'cudaMalloc',
    'cudaFree',
    'cudaHostAlloc',
    'cudaFreeHost',
    'cudaEventSynchronize',
    'cudaStreamSynchronize',
    'cudaMemGetInfo',
)


@dataclass
class Block:
    """Memory: where it is, how much, and on which side."""

    address: int
    size: int
    kind: str  # 'device', 'host', 'mapped host' or 'mapped device'
    keep: Any  # what holds it


@dataclass
class Stream:
    """Work that waits, or that is recorded."""

    number: int
    work: list[Callable[[], None]] = field(default_factory=list)
    captured: list[Callable[[], None]] | None = None
    thread: int = 0  # that captures
    spoiled: bool = False

    def __int__(self) -> int:
        return self.number


@dataclass
class Handle:
    """An event, a graph or an executable graph."""

    number: int
    work: list[Callable[[], None]] = field(default_factory=list)
    stream: Stream | None = None

    def __int__(self) -> int:
        return self.number


class Gpu:
    """What a test sets and reads.

    Attributes:
        name, compute, integrated: what the device says.
        count: how many GPUs there are.
        driver: version of the driver, 0 where there is none.
        fails: by function, the name of the error that its next call answers.
        fails_at: which call from now on answers with an error, None for none.
        capture_fails: whether whatever is launched during a capture spoils it.
        graph_skips: whether a graph launches nothing.
        calls: thread and name of every call, in order.
        live: what was taken and not given back.
        error: the one that every call answers from now on, as after CUDA's worst ones.
    """

    def __init__(self) -> None:
        self.name, self.compute, self.integrated = 'Orin', (8, 7), True
        self.count, self.driver = 1, 12060
        self.memory = 8 << 30
        self.fails: dict[str, str] = {}
        self.fails_at: int | None = None
        self.capture_fails = self.graph_skips = False
        self.calls: list[tuple[int, str]] = []
        self.blocks: dict[int, Block] = {}
        self.handles: dict[str, dict[int, Any]] = {
            kind: {} for kind in ('stream', 'event', 'graph', 'executable')
        }
        self.error = ''
        self._numbers = itertools.count(1000, 16)

    @property
    def live(self) -> Counter[str]:
        """Count what was taken and not given back."""
        found = Counter(
            block.kind for block in self.blocks.values() if block.kind != 'mapped device'
        )
        for kind, handles in self.handles.items():
            found[kind] += len(handles)
        return +found

    @property
    def threads(self) -> set[int]:
        """Which threads have called."""
        return {thread for thread, _ in self.calls}

    @property
    def names(self) -> list[str]:
        """What was called, in order."""
        return [name for _, name in self.calls]

    def launch(self, handle: int, work: Callable[[], None]) -> None:
        """Take what TensorRT puts into a stream; `Behaviour.launch` of its stand-in."""
        stream = self.handles['stream'][handle]
        if stream.captured is not None and self.capture_fails:
            stream.spoiled = True
        self.put(stream, lambda: self._compute(work))

    def put(self, stream: Stream, work: Callable[[], None]) -> None:
        """Put work into a stream, or into the graph that is being captured on it."""
        (stream.work if stream.captured is None else stream.captured).append(work)

    def _compute(self, work: Any) -> None:
        blocks = [self.blocks.get(place) for place in work.__self__._addresses.values()]
        if all(block is not None and 'device' in block.kind for block in blocks):
            work()
        else:
            self.error = 'cudaErrorIllegalAddress'

    def new(self, kind: str, **values: Any) -> Any:
        """Make a stream, an event or a graph."""
        number = next(self._numbers)
        made = Stream(number) if kind == 'stream' else Handle(number, **values)
        self.handles[kind][number] = made
        return made

    def end(self, kind: str, handle: Any) -> None:
        """Free one. Twice is a mistake."""
        self.handles[kind].pop(int(handle)).work.clear()

    def do(self, stream: Stream) -> None:
        """Do everything in a stream."""
        while stream.work and not self.error:
            stream.work.pop(0)()


@dataclass(frozen=True)
class Api:
    """What a version's module has: functions with their arguments, constants and enums."""

    module: str
    functions: dict[str, list[str]]
    properties: frozenset[str]
    values: dict[str, Any]


@cache
def _api(version: str) -> Api:
    api = json.loads((FOLDER / f'{version}.json').read_text())
    enums = {name: IntEnum(name, members) for name, members in api['enums'].items()}
    properties = frozenset(api['properties'])
    return Api(api['module'], api['functions'], properties, api['constants'] | enums)


class Runtime(ModuleType):
    """The module `cuda.bindings.runtime`, or `cuda.cudart`, of one version."""

    def __init__(self, version: str, gpu: Gpu) -> None:
        api = _api(version)
        super().__init__(api.module)
        self.version, self.gpu, self._functions = version, gpu, api.functions
        self._properties = api.properties
        for name, value in api.values.items():
            setattr(self, name, value)

    def __getattr__(self, name: str) -> Any:
        if name.startswith('__') or name not in self.__dict__.get('_functions', {}):
            msg = f'module {self.__name__} {self.__dict__.get("version")} has no name {name!r}'
            raise AttributeError(msg)
        return lambda *values: self._answer(name, values)

    def _answer(self, name: str, values: tuple[Any, ...]) -> tuple[Any, ...]:
        gpu, success = self.gpu, self.cudaError_t.cudaSuccess
        gpu.calls.append((threading.get_ident(), name))
        if len(values) != len(self._functions[name]):
            msg = f'{name}() takes {self._functions[name]}, was given {len(values)} values'
            raise TypeError(msg)
        if not gpu.driver and name not in (*ALWAYS, 'cudaRuntimeGetVersion'):
            if self.version < '12.8':  # these raise, as was seen with 12.3 and 12.6
                raise RuntimeError('Failed to dlopen libcuda.so.1')
            if name != 'cudaDriverGetVersion':
                return (self.cudaError_t.cudaErrorInsufficientDriver, None)
        if name not in ALWAYS:
            wrong = gpu.fails.pop(name, '') or gpu.error
            if gpu.fails_at is not None:
                gpu.fails_at -= 1
                wrong = 'cudaErrorUnknown' if gpu.fails_at == -1 else wrong
            here = threading.get_ident()
            streams = list(gpu.handles['stream'].values())
            capturing = [s for s in streams if s.captured is not None and s.thread == here]
            if capturing and name in NOT_CAPTURED:
                capturing[0].spoiled = True
                wrong = 'cudaErrorStreamCaptureUnsupported'
            if wrong:
                gpu.error = wrong if wrong in DEAD else gpu.error
                if name == 'cudaStreamEndCapture':  # a capture ends, also where it fails
                    values[0].captured = None
                return (self.cudaError_t[wrong], None)
        found = getattr(_Functions, name)(self, *values)
        if isinstance(found, self.cudaError_t):
            return (found, None)
        if gpu.error and name not in ALWAYS:
            return (self.cudaError_t[gpu.error], None)
        if found is None:
            return (success,)
        return (success, *found) if isinstance(found, tuple) else (success, found)


class _Functions:
    """What each function does; whatever is not here fails."""

    def cudaGetErrorString(self, error: Any) -> bytes:
        return f'in words, {error.name}'.encode()

    def cudaGetLastError(self) -> Any:
        return None if not self.gpu.error else self.cudaError_t[self.gpu.error]

    def cudaDriverGetVersion(self) -> int:
        return self.gpu.driver

    def cudaRuntimeGetVersion(self) -> int:
        return 13050 if self.version[:2] == '13' else 12000 + 10 * int(self.version[3:])

    def cudaGetDeviceCount(self) -> Any:
        if self.gpu.driver // 1000 < int(self.version[:2]):
            return self.cudaError_t.cudaErrorInsufficientDriver
        return self.gpu.count or self.cudaError_t.cudaErrorNoDevice

    def cudaSetDevice(self, device: int) -> None:
        assert device < self.gpu.count

    def cudaGetDeviceProperties(self, device: int) -> Any:
        gpu, (major, minor) = self.gpu, self.gpu.compute
        values = {'name': gpu.name.encode(), 'major': major, 'minor': minor}
        values['integrated'] = int(gpu.integrated)
        assert device < gpu.count
        assert set(values) <= self._properties
        return SimpleNamespace(**values)

    def cudaMemGetInfo(self) -> tuple[int, int]:
        used = sum(b.size for b in self.gpu.blocks.values() if b.kind in ('device', 'mapped host'))
        return self.gpu.memory - used, self.gpu.memory

    def cudaMalloc(self, size: int) -> int:
        return self._block(size, 'device')

    def cudaFree(self, address: int) -> None:
        assert self.gpu.blocks.pop(address).kind == 'device'

    def cudaHostAlloc(self, size: int, flags: int) -> int:
        if not flags & self.cudaHostAllocMapped:
            return self._block(size, 'host')
        # Two places of one memory: whoever mixes them up uses an address that is not there.
        handle = os.memfd_create('mapped')
        os.ftruncate(handle, size)
        host, device = mmap.mmap(handle, size), mmap.mmap(handle, size)
        os.close(handle)
        np.frombuffer(host, np.uint8)[:] = FRESH
        places = [ctypes.addressof(ctypes.c_char.from_buffer(side)) for side in (host, device)]
        self.gpu.blocks[places[0]] = Block(places[0], size, 'mapped host', (host, places[1]))
        self.gpu.blocks[places[1]] = Block(places[1], size, 'mapped device', device)
        return places[0]

    def cudaHostGetDevicePointer(self, address: int, flags: int) -> Any:
        block = self.gpu.blocks[address]
        assert flags == 0
        if block.kind != 'mapped host':
            return self.cudaError_t.cudaErrorInvalidValue
        return block.keep[1]

    def cudaFreeHost(self, address: int) -> None:
        block = self.gpu.blocks.pop(address)
        assert block.kind in ('host', 'mapped host')
        if block.kind == 'mapped host':
            del self.gpu.blocks[block.keep[1]]

    def cudaMemcpyAsync(self, to: int, source: int, size: int, kind: Any, stream: Stream) -> None:
        inwards = kind == self.cudaMemcpyKind.cudaMemcpyHostToDevice
        assert inwards or kind == self.cudaMemcpyKind.cudaMemcpyDeviceToHost
        for address, side in ((to, inwards), (source, not inwards)):
            block = self.gpu.blocks[address]  # a copy of memory that can move is not asynchronous
            assert block.kind == ('device' if side else 'host'), (block.kind, kind)
            assert size == block.size
        self.gpu.put(stream, lambda: ctypes.memmove(to, source, size) and None)

    def cudaStreamCreateWithFlags(self, flags: int) -> Stream:
        assert flags == self.cudaStreamNonBlocking
        return self.gpu.new('stream')

    def cudaStreamDestroy(self, stream: Stream) -> None:
        self.gpu.end('stream', stream)

    def cudaEventCreateWithFlags(self, flags: int) -> Handle:
        assert flags & self.cudaEventBlockingSync  # others spin, and take the cameras' CPU
        return self.gpu.new('event')

    def cudaEventDestroy(self, event: Handle) -> None:
        self.gpu.end('event', event)

    def cudaEventRecord(self, event: Handle, stream: Stream) -> None:
        event.stream = stream

    def cudaEventSynchronize(self, event: Handle) -> None:
        assert event.stream is not None
        self.gpu.do(event.stream)

    def cudaStreamBeginCapture(self, stream: Stream, mode: Any) -> None:
        assert mode == self.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        assert stream.captured is None
        assert not stream.work
        stream.captured, stream.spoiled, stream.thread = [], False, threading.get_ident()

    def cudaStreamEndCapture(self, stream: Stream) -> Any:
        assert stream.captured is not None
        work, stream.captured = stream.captured, None
        if stream.spoiled:
            return self.cudaError_t.cudaErrorStreamCaptureInvalidated
        return self.gpu.new('graph', work=work)

    def cudaGraphInstantiate(self, graph: Handle, flags: int) -> Handle:
        assert flags == 0
        return self.gpu.new('executable', work=list(graph.work))

    def cudaGraphDestroy(self, graph: Handle) -> None:
        self.gpu.end('graph', graph)

    def cudaGraphLaunch(self, graph: Handle, stream: Stream) -> None:
        assert int(graph) in self.gpu.handles['executable']
        if not self.gpu.graph_skips:
            for work in graph.work:
                self.gpu.put(stream, work)

    def cudaGraphExecDestroy(self, graph: Handle) -> None:
        self.gpu.end('executable', graph)


def _block(self: Any, size: int, kind: str) -> int:
    keep = np.full(size, FRESH, np.uint8)
    self.gpu.blocks[keep.ctypes.data] = Block(keep.ctypes.data, size, kind, keep)
    return keep.ctypes.data


Runtime._block = _block


def install(monkeypatch: pytest.MonkeyPatch, version: str = '12.6') -> Gpu:
    """Put the stand-in of a version in the place of the CUDA bindings."""
    gpu = Gpu()
    runtime = Runtime(version, gpu)
    package = ModuleType('cuda')
    monkeypatch.setitem(sys.modules, 'cuda', package)
    if runtime.__name__ == 'cuda.cudart':
        monkeypatch.setitem(sys.modules, 'cuda.bindings', None)
        monkeypatch.setitem(sys.modules, 'cuda.cudart', runtime)
        package.cudart = runtime
    else:
        bindings = ModuleType('cuda.bindings')
        bindings.runtime, package.bindings = runtime, bindings
        monkeypatch.setitem(sys.modules, 'cuda.bindings', bindings)
        monkeypatch.setitem(sys.modules, 'cuda.bindings.runtime', runtime)
    return gpu
