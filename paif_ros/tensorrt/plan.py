"""A plan that TensorRT has loaded: what its inputs and outputs are, and whether they are ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from paif_ros.contract import TensorSpec, check_tensors
from paif_ros.errors import EngineError, EngineMismatch
from paif_ros.tensorrt import library
from paif_ros.tensorrt.messages import make_logger

if TYPE_CHECKING:
    import tensorrt as trt

LONGEST = 600  # letters of what TensorRT says that go into an error


class Plan:
    """A deserialized plan with the one context that runs it.

    Args:
        data: the bytes of the plan. They are as good as code: only from `cache.Cache`, or just
            built.
        module: the TensorRT library.

    Raises:
        EngineError: TensorRT does not take it, or there is no memory to run it.
    """

    def __init__(self, data: bytes, module: Any) -> None:
        self.kind = library.kind_of(module)
        self._module = module
        self._log = make_logger(module)
        self._runtime: trt.Runtime | None = module.Runtime(self._log)
        self._engine: trt.ICudaEngine | None = None
        self._context: trt.IExecutionContext | None = None
        try:
            self._load(data)
        except EngineError:
            self.close()  # else the error's traceback would keep the GPU's memory
            raise

    @property
    def engine(self) -> trt.ICudaEngine:
        """TensorRT's engine. Not to be kept: `close` must be able to free it."""
        assert self._engine is not None
        return self._engine

    @property
    def context(self) -> trt.IExecutionContext:
        """TensorRT's context. Not to be kept either."""
        assert self._context is not None
        return self._context

    def close(self) -> None:
        """Free TensorRT's objects, each before the one that made it; the log goes last."""
        self._context = None
        self._engine = None
        self._runtime = None

    def why(self) -> str:
        """Return what TensorRT has said since the last time, in one line."""
        text = '; '.join(dict.fromkeys(' '.join(line.split()) for line in self._log.errors))
        self._log.errors.clear()
        return text[:LONGEST] or 'it gives no reason'

    def set_shapes(self, size: tuple[int, int], stream: int) -> None:
        """Say the inputs' shapes where the plan leaves them open, and choose the profile for them.

        Args:
            size: (height, width) of the model.
            stream: handle of the stream to do it on. The caller waits for it.

        Raises:
            EngineMismatch: no profile holds one pair of this size.
            EngineError: TensorRT refused the profile or a shape.
        """
        wanted = {'visible': (1, *size, 3), 'thermal': (1, *size)}
        listed = {n: tuple(self.engine.get_tensor_shape(n)) for n in self.names('INPUT')}
        if set(listed) != set(wanted) or all(-1 not in shape for shape in listed.values()):
            return  # `check` compares what is fixed
        index = self._profile(wanted)
        if index and not self.context.set_optimization_profile_async(index, stream):
            raise EngineError(self.kind, f'profile {index} can not be used: {self.why()}')
        for name, shape in wanted.items():
            if not self.context.set_input_shape(name, shape):
                raise EngineError(self.kind, f'shape {shape} of {name} refused: {self.why()}')

    def check(self, size: tuple[int, int]) -> None:
        """Compare inputs and outputs with the contract.

        Args:
            size: (height, width) that the model's metadata names.

        Raises:
            EngineMismatch: something differs; it names what.
        """
        inputs, outputs = self.specs('INPUT'), self.specs('OUTPUT')
        check_tensors(inputs, outputs, size)
        for spec in (*inputs.values(), *outputs.values()):
            if spec.shape[0] != 1:  # the contract allows N, a frame is one pair
                raise EngineMismatch(f'tensor {spec.name} batch size', 1, spec.shape[0])
            where = self.engine.get_tensor_location(spec.name)
            if where != self._module.TensorLocation.DEVICE:
                raise EngineMismatch(f'tensor {spec.name} location', 'the GPU', where)

    def names(self, mode: str) -> list[str]:
        """Return the names of all tensors that are 'INPUT' or 'OUTPUT'."""
        engine, wanted = self.engine, getattr(self._module.TensorIOMode, mode)
        listed = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        return [name for name in listed if engine.get_tensor_mode(name) == wanted]

    def specs(self, mode: str) -> dict[str, TensorSpec]:
        """Return type and shape of all inputs or outputs, as they are once the shapes are set."""
        found = {}
        for name in self.names(mode):
            dtype = self.engine.get_tensor_dtype(name)
            text = 'uint8' if dtype == self._module.DataType.UINT8 else str(dtype.name).lower()
            shape = tuple(int(side) for side in self.context.get_tensor_shape(name))
            found[name] = TensorSpec(name, text, shape)
        return found

    def _load(self, data: bytes) -> None:
        assert self._runtime is not None
        self._engine = self._runtime.deserialize_cuda_engine(data)
        if self._engine is None:
            raise EngineError(self.kind, f'the plan can not be loaded: {self.why()}')
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise EngineError(
                self.kind,
                f'there is no memory to run the plan: {self.why()}; end other programs that use '
                'the GPU, or set engine.workspace_mib lower',
            )

    def _profile(self, wanted: dict[str, tuple[int, ...]]) -> int:
        listed = []
        for index in range(self.engine.num_optimization_profiles):
            ranges = {
                name: [tuple(shape) for shape in self.engine.get_tensor_profile_shape(name, index)]
                for name in wanted
            }
            if all(_within(shape, ranges[name]) for name, shape in wanted.items()):
                return index
            listed.append(str(ranges))
        raise EngineMismatch('optimization profile', f'one that holds {wanted}', '; '.join(listed))


def _within(shape: tuple[int, ...], ranges: list[tuple[int, ...]]) -> bool:
    """Return whether a shape lies between the first and the last of a profile's three."""
    least, _, most = ranges
    return len(shape) == len(least) and all(
        low <= side <= high for low, side, high in zip(least, shape, most, strict=True)
    )
