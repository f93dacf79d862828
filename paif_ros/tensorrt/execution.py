"""Runs a plan on the GPU: buffers that stay in place, one stream, and a CUDA graph.

Everything here belongs to one thread. What was taken is given back in the reverse order, whether
loading failed half-way or the plan ran for a week.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from paif_ros.contract import CONFIDENCE, INPUTS, OUTPUTS, ModelCard
from paif_ros.engines.base import U8, Prediction
from paif_ros.errors import EngineError
from paif_ros.tensorrt.cuda import Cuda
from paif_ros.tensorrt.plan import Plan

if TYPE_CHECKING:
    import tensorrt as trt

WARM_UPS = 2  # runs before the graph is captured: the first of them allocates and picks kernels
SAME = 0.999  # part of the values in which the graph must answer as the plain run does


@dataclass(frozen=True)
class Buffer:
    """One input or output, on both sides.

    Attributes:
        host: uint8 array in memory of the CPU that stays in place.
        host_address: where that is.
        device_address: where the GPU reads or writes it.
        copied: whether it is copied between the two; not where they are the same memory.
    """

    host: U8
    host_address: int
    device_address: int
    copied: bool


class _Memory:
    """Bytes at an address, as NumPy asks for them: an array of it copies nothing."""

    def __init__(self, address: int, shape: tuple[int, ...]) -> None:
        self.__array_interface__ = {
            'data': (address, False),  # not read-only
            'shape': shape,
            'typestr': '|u1',
            'version': 3,
        }


class Execution:
    """A plan with its buffers, warm and ready for frames.

    Args:
        plan: the bytes of the plan, see `Plan`.
        module: the TensorRT library.
        cuda: the CUDA runtime.
        card: metadata of the model that the plan was built of.
        mapped: let the GPU use the CPU's memory in place, for GPUs that share it.
        notice: told in words what works less well than it should.

    Raises:
        EngineError: the plan can't be loaded, or does not run.
        EngineMismatch: it does not keep the contract.
    """

    def __init__(
        self,
        plan: bytes,
        module: Any,
        cuda: Cuda,
        card: ModelCard,
        *,
        mapped: bool,
        notice: Callable[[str], None],
    ) -> None:
        self._cuda = cuda
        self._graph: Any = None
        self._buffers: dict[str, Buffer] = {}
        with contextlib.ExitStack() as undo:  # gives everything back unless the end is reached
            undo.callback(self._forget)
            self._stream = cuda.create_stream()
            undo.callback(_quietly, cuda.destroy_stream, self._stream)
            self._event = cuda.create_event()
            undo.callback(_quietly, cuda.destroy_event, self._event)
            self._plan = Plan(plan, module)
            undo.callback(self._plan.close)
            self._plan.set_shapes(card.input_size, int(self._stream))
            cuda.wait(self._event, self._stream)
            self._plan.check(card.input_size)
            specs = self._plan.specs('INPUT') | self._plan.specs('OUTPUT')
            self.outputs: tuple[str, ...] = OUTPUTS
            if CONFIDENCE in specs:
                self.outputs = (*OUTPUTS, CONFIDENCE)
            for name in (*INPUTS, *self.outputs):
                shape = tuple(int(side or 0) for side in specs[name].shape[1:])
                self._buffers[name] = self._make_buffer(name, shape, mapped, undo)
            for seed in range(WARM_UPS):
                self._run(self._sample(seed), None)
            self._try_graph(notice, undo)
            self._undo = undo.pop_all()

    @property
    def graph(self) -> bool:
        """Whether frames run as one CUDA graph."""
        return self._graph is not None

    @property
    def engine(self) -> trt.ICudaEngine:
        """TensorRT's engine, for its inspector. Not to be kept."""
        return self._plan.engine

    def run(self, visible: U8, thermal: U8) -> Prediction:
        """Run one pair, of the size that the card names.

        Raises:
            EngineError: CUDA or TensorRT failed.
        """
        found = self._run({'visible': visible, 'thermal': thermal}, self._graph)
        return Prediction(*(found[name] for name in self.outputs))

    def close(self) -> None:
        """Give everything back. May be called again."""
        self._undo.close()

    def _forget(self) -> None:
        """Drop what names memory and graphs that are gone."""
        self._buffers.clear()
        self._graph = None

    # ---- loading

    def _make_buffer(
        self, name: str, shape: tuple[int, ...], mapped: bool, undo: contextlib.ExitStack
    ) -> Buffer:
        size = int(np.prod(shape))
        cuda = self._cuda
        host = cuda.host_alloc(size, mapped)
        undo.callback(_quietly, cuda.free_host, host)
        if mapped:
            device = cuda.device_address(host)
        else:
            device = cuda.malloc(size)
            undo.callback(_quietly, cuda.free, device)
        if not self._plan.context.set_tensor_address(name, device):
            text = f'the address of {name} was refused: {self._plan.why()}'
            raise EngineError(self._plan.kind, text)
        return Buffer(np.asarray(_Memory(host, shape)), host, device, copied=not mapped)

    def _try_graph(self, notice: Callable[[str], None], undo: contextlib.ExitStack) -> None:
        """Capture what a frame takes. Where that fails, its parts are launched one by one."""
        expected = self._run(self._sample(0), None)
        self._run(self._sample(1), None)  # so that nothing of the answer is left anywhere
        reason, graph = '', None
        try:
            # Only TensorRT-RTX can say no beforehand.
            asked = getattr(self._plan.context, 'is_stream_capturable', None)
            if asked is not None and not asked(int(self._stream)):
                reason = f'{self._plan.kind} can not capture this plan'
            else:
                graph = self._cuda.capture(self._stream, self._enqueue)
                undo.callback(_quietly, self._cuda.destroy_graph, graph)
                reason = _difference(expected, self._run(self._sample(0), graph))
        except EngineError as err:
            reason = err.reason
        if not reason:
            self._graph = graph
            return
        self._run(self._sample(0), None)  # raises if the attempt has broken something
        notice(f'each frame takes a little longer, as no CUDA graph can be used: {reason}')

    def _sample(self, seed: int) -> dict[str, U8]:
        random = np.random.default_rng(seed)
        shapes = {name: self._buffers[name].host.shape for name in INPUTS}
        return {name: random.integers(0, 256, shape, np.uint8) for name, shape in shapes.items()}

    # ---- running

    def _run(self, inputs: dict[str, U8], graph: Any) -> dict[str, U8]:
        for name, value in inputs.items():
            np.copyto(self._buffers[name].host, value)
        if graph is not None:
            self._cuda.launch(graph, self._stream)
        else:
            self._enqueue()
        self._cuda.wait(self._event, self._stream)
        # Copies: whoever gets them keeps them longer than until the next frame.
        return {name: self._buffers[name].host.copy() for name in self.outputs}

    def _enqueue(self) -> None:
        """Put everything that one frame takes into the stream."""
        cuda, stream = self._cuda, self._stream
        for buffer in (self._buffers[name] for name in INPUTS):
            if buffer.copied:
                to, source = buffer.device_address, buffer.host_address
                cuda.copy_to_device(to, source, buffer.host.nbytes, stream)
        if not self._plan.context.execute_async_v3(int(stream)):
            raise EngineError(self._plan.kind, f'inference failed: {self._plan.why()}')
        for buffer in (self._buffers[name] for name in self.outputs):
            if buffer.copied:
                to, source = buffer.host_address, buffer.device_address
                cuda.copy_to_host(to, source, buffer.host.nbytes, stream)


def _difference(expected: dict[str, U8], found: dict[str, U8]) -> str:
    """Return in words how two answers differ, '' where they do not."""
    for name, values in expected.items():
        same = float(np.mean(values == found[name]))
        if same < SAME:
            return f'its {name} agrees in {same:.2%} of the values with that of a plain run'
    return ''


def _quietly(free: Callable[[Any], None], what: Any) -> None:
    """Free something of a GPU that may be gone: the rest must be freed all the same."""
    with contextlib.suppress(EngineError):
        free(what)
