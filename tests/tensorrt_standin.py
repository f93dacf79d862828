"""A stand-in for each version of TensorRT's Python module, made from the names it really has.

`tests/data/tensorrt_api` lists every class, member and function of six versions, dumped from
NVIDIA's own bindings, and of one TensorRT-RTX. `make(version)` returns a module of exactly these
names: any other name raises AttributeError, as does setting an attribute that a class lacks. Names
without a behaviour here raise NotImplementedError when called.

What a test on it proves: which names our code uses, in which order, and what it does when a call
fails. What it does not: that NVIDIA's library accepts the arguments, computes right, or is fast.
Numbers of enum members are ours; plans are our own format; the network runs in ONNX Runtime.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx

FOLDER = Path(__file__).parent / 'data' / 'tensorrt_api'
VERSIONS = tuple(
    sorted(
        (path.stem.removeprefix('api_') for path in FOLDER.glob('api_1[01].*.json')),
        key=lambda text: [int(part) for part in text.split('.')],
    )
)
RTX = '1.7.1.116'
MAGIC = b'standin\0'
TYPES = {  # of ONNX, in TensorRT's words
    onnx.TensorProto.FLOAT: 'FLOAT',
    onnx.TensorProto.FLOAT16: 'HALF',
    onnx.TensorProto.BFLOAT16: 'BF16',
    onnx.TensorProto.INT8: 'INT8',
    onnx.TensorProto.UINT8: 'UINT8',
    onnx.TensorProto.INT32: 'INT32',
    onnx.TensorProto.INT64: 'INT64',
    onnx.TensorProto.BOOL: 'BOOL',
}
INSPECTOR_TYPES = {'FLOAT': 'Float', 'HALF': 'Half', 'INT8': 'Int8', 'UINT8': 'UInt8'}


@dataclass
class Behaviour:
    """What a test sets, and what it reads afterwards.

    Attributes:
        device: name of the GPU that plans are built for and loaded on.
        unsupported: operators that the parser refuses.
        build_fails: what the logger hears in place of a plan, '' to build.
        build_raises: raised in place of building, as by a signal handler.
        during_build: called between two steps of a build.
        steps: how many steps a build has in each of its three phases.
        demote: replaces FLOAT by HALF in what the inspector says, or the other way round.
        spoil: takes the outputs of a run by name and returns what comes in their place.
        execute_fails: whether execute_async_v3 answers False.
        deserialize_fails: whether deserialize_cuda_engine answers None.
        launch: runs work on a stream; a stand-in of CUDA may queue or record it.
        calls: names of what was called, in order, such as 'OnnxParser.parse'.
    """

    device: str = 'Orin'
    unsupported: frozenset[str] = frozenset()
    build_fails: str = ''
    build_raises: BaseException | None = None
    during_build: Callable[[], None] = lambda: None
    steps: int = 4
    demote: dict[str, str] = field(default_factory=dict)
    spoil: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]] = lambda outputs: outputs
    execute_fails: bool = False
    deserialize_fails: bool = False
    launch: Callable[[int, Callable[[], None]], None] = lambda stream, work: work()
    calls: list[str] = field(default_factory=list)


@cache
def names_of(version: str) -> dict[str, list[str]]:
    """Return every name of a version: classes and functions, with the members of each."""
    middle = 'rtx_' if version == RTX else ''
    return json.loads((FOLDER / f'api_{middle}{version}.json').read_text())


def make(version: str) -> Any:
    """Return a stand-in for the module of a version, with its `Behaviour` as `standin`.

    Args:
        version: one of `VERSIONS`, or `RTX`.
    """
    return _Module('tensorrt_rtx' if version == RTX else 'tensorrt', version)


class _Module(ModuleType):
    """A module that makes each class when it is asked for, and says which names it lacks."""

    def __init__(self, kind: str, version: str) -> None:
        super().__init__(kind)
        self.__version__ = version
        self.standin = Behaviour()
        self._names = names_of(version)

    def __getattr__(self, name: str) -> Any:
        members = self.__dict__.get('_names', {}).get(name)
        if members is None:
            msg = f'{self.__name__} {self.__dict__.get("__version__")} has no name {name!r}'
            raise AttributeError(msg)
        # Two threads that ask at once get the same one.
        return self.__dict__.setdefault(name, _make_class(self, name, members))

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._names})


class _Member:
    """A value of an enum. Like pybind11's, it becomes a number only through int()."""

    def __init__(self, owner: str, name: str, value: int) -> None:
        self.owner, self.name, self.value = owner, name, value

    def __int__(self) -> int:
        return self.value

    def __repr__(self) -> str:
        return f'<{self.owner}.{self.name}: {self.value}>'

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Member) and self.owner == other.owner and self.name == other.name

    def __hash__(self) -> int:
        return hash((self.owner, self.name))


def _make_class(module: Any, name: str, members: list[str]) -> Any:
    behaviour = _BEHAVIOUR.get(name)
    if behaviour is None:
        if name[0].islower():
            return _unknown(module.__name__, name)
        values = [member for member in members if member[0].isupper()]
        if len(values) > len(members) / 2:
            return _make_enum(name, values)
        behaviour = type(name, (_Object,), {})
    body: dict[str, Any] = {'_module': module, '_allowed': frozenset(members), '_class': name}
    for member in members:
        if not _has(behaviour, member):
            body[member] = _unknown(name, member)
    if name in ('Logger', 'ILogger'):
        severity = _make_enum(
            'Severity', ['ERROR', 'INFO', 'INTERNAL_ERROR', 'VERBOSE', 'WARNING']
        )
        body['Severity'] = severity
        body.update(
            {member: getattr(severity, member) for member in vars(severity) if member.isupper()}
        )
    made = type(name, (behaviour,), body)
    made._sealed = True
    return made


def _has(behaviour: type, member: str) -> bool:
    return any(member in vars(base) for base in behaviour.__mro__ if base is not object)


def _make_enum(name: str, members: list[str]) -> Any:
    return type(
        name, (), {member: _Member(name, member, place) for place, member in enumerate(members)}
    )


def _unknown(owner: str, member: str) -> Any:
    def call(*_args: Any, **_kwargs: Any) -> Any:
        msg = f'the stand-in has no behaviour for {owner}.{member}'
        raise NotImplementedError(msg)

    return call


class _Object:
    """Base of the classes: only names that the version has can be read or set."""

    _module: Any
    _allowed: frozenset[str] = frozenset()
    _class = ''
    _sealed = False

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith('_'):
            made = next(c for c in type(self).__mro__ if '_allowed' in vars(c))
            below = type(self).__mro__[: type(self).__mro__.index(made)]
            own = any(name in vars(c) for c in below) or (below and name in vars(self))
            if not own and name not in made._allowed:
                msg = f'{made._module.__name__} {made._module.__version__}: '
                raise AttributeError(f'{msg}{made._class} has no {name!r}')
            if not own:
                made._module.standin.calls.append(f'{made._class}.{name}')
        return object.__getattribute__(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        made = next(c for c in type(self).__mro__ if '_allowed' in vars(c))
        if not name.startswith('_') and type(self) is made and name not in made._allowed:
            msg = f'{made._module.__name__} {made._module.__version__}: '
            raise AttributeError(f'{msg}{made._class} has no attribute {name!r} to set')
        object.__setattr__(self, name, value)


class _Logger(_Object):
    def __init__(self, min_severity: Any = None) -> None:
        self._ready = True

    def log(self, severity: Any, msg: str) -> None:
        pass


class _ILogger(_Object):
    def __init__(self) -> None:
        self._ready = True

    def log(self, severity: Any, msg: str) -> None:
        text = f'Tried to call pure virtual function "ILogger::log" ({severity}: {msg})'
        raise RuntimeError(text)


class _IProgressMonitor(_Object):
    def __init__(self) -> None:
        self._ready = True


class _Memory(_Object):
    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def nbytes(self) -> int:
        return len(self._data)

    def __bytes__(self) -> bytes:
        return self._data


@dataclass
class _Layer:
    name: str
    kind: str
    precision: str  # of its first output


class _Builder(_Object):
    def __init__(self, logger: Any) -> None:
        _check_logger(logger)
        self._logger = logger

    def create_network(self, flags: int = 0) -> Any:
        strong = 1 << int(self._module.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        return _instance(self._module, 'INetworkDefinition', bool(flags & strong))

    def create_builder_config(self) -> Any:
        return _instance(self._module, 'IBuilderConfig')

    def create_optimization_profile(self) -> Any:
        return _instance(self._module, 'IOptimizationProfile')

    def build_serialized_network(self, network: Any, config: Any) -> Any:
        standin = self._module.standin
        if standin.build_raises is not None:
            raise standin.build_raises
        if standin.build_fails:
            self._logger.log(self._module.Logger.ERROR, standin.build_fails)
            return None
        if network._model is None:
            self._logger.log(self._module.Logger.ERROR, 'Network must have at least one output')
            return None
        monitor = config._values.get('progress_monitor')
        if monitor is not None and not _run_phases(monitor, standin):
            self._logger.log(self._module.Logger.ERROR, 'Build cancelled')
            return None
        head = {
            'library': self._module.__name__,
            'version': self._module.__version__,
            'device': standin.device,
            'strong': network._strong,
            'detailed': str(config._values.get('profiling_verbosity')).count('DETAILED') > 0,
            'layers': [vars(layer) for layer in network._layers],
            'profiles': [profile._shapes for profile in config._profiles],
        }
        return _instance(self._module, 'IHostMemory', _pack(head, network._model))


def _run_phases(monitor: Any, standin: Behaviour) -> bool:
    """Run the callbacks of a build. Returns whether it may end."""
    monitor.phase_start('Building engine', None, 3)
    for number in range(3):
        name = f'Phase {number}'
        monitor.phase_start(name, 'Building engine', standin.steps)
        for step in range(standin.steps):
            standin.during_build()
            if not monitor.step_complete(name, step):
                return False
        monitor.phase_finish(name)
        if not monitor.step_complete('Building engine', number):
            return False
    monitor.phase_finish('Building engine')
    return True


def _pack(head: dict[str, Any], model: bytes) -> bytes:
    text = json.dumps(head).encode()
    body = struct.pack('<Q', len(text)) + text + model
    return MAGIC + hashlib.sha256(body).digest() + body


class _Network(_Object):
    def __init__(self, strong: bool) -> None:
        self._strong = strong
        self._model: bytes | None = None
        self._layers: list[_Layer] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []

    num_layers = property(lambda self: len(self._layers))
    num_inputs = property(lambda self: len(self._inputs))
    num_outputs = property(lambda self: len(self._outputs))

    def get_layer(self, index: int) -> Any:
        return _instance(self._module, 'ILayer', self._layers[index])

    def get_input(self, index: int) -> Any:
        return self._inputs[index]

    def get_output(self, index: int) -> Any:
        return self._outputs[index]


class _ILayer(_Object):
    def __init__(self, layer: _Layer) -> None:
        self._layer = layer

    name = property(lambda self: self._layer.name)
    num_outputs = property(lambda self: 1)
    type = property(lambda self: self._module.LayerType.ELEMENTWISE)

    def get_output(self, index: int) -> Any:
        spec = _Spec(f'{self._layer.name}_{index}', self._layer.precision, ())
        return _instance(self._module, 'ITensor', spec, self._module)

    def get_output_type(self, _index: int) -> Any:
        return getattr(self._module.DataType, self._layer.precision)


@dataclass
class _Spec:
    name: str
    dtype: str
    shape: tuple[int, ...]


class _ITensor(_Object):
    def __init__(self, spec: _Spec, module: Any) -> None:
        self._spec = spec

    name = property(lambda self: self._spec.name)
    shape = property(lambda self: self._spec.shape)
    dtype = property(lambda self: getattr(self._module.DataType, self._spec.dtype))


class _BuilderConfig(_Object):
    def __init__(self) -> None:
        self._values: dict[str, Any] = {}
        self._pools: dict[str, int] = {}
        self._profiles: list[Any] = []
        self._flags: set[str] = set()
        self._cache: Any = None

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value) if name.startswith('_') else self._set(name, value)

    def _set(self, name: str, value: Any) -> None:
        if name not in self._allowed:
            msg = f'{self._module.__version__}: IBuilderConfig has no attribute {name!r} to set'
            raise AttributeError(msg)
        self._values[name] = value

    num_optimization_profiles = property(lambda self: len(self._profiles))
    builder_optimization_level = property(
        lambda self: self._values.get('builder_optimization_level', 3)
    )

    def set_memory_pool_limit(self, pool: Any, size: int) -> None:
        self._pools[pool.name] = size

    def get_memory_pool_limit(self, pool: Any) -> int:
        return self._pools.get(pool.name, 1 << 40)

    def set_flag(self, flag: Any) -> None:
        self._flags.add(flag.name)

    def clear_flag(self, flag: Any) -> None:
        self._flags.discard(flag.name)

    def get_flag(self, flag: Any) -> bool:
        return flag.name in self._flags

    def create_timing_cache(self, data: bytes) -> Any:
        return _instance(self._module, 'ITimingCache', bytes(data))

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        del ignore_mismatch
        if cache._data.startswith(b'broken'):
            return False
        self._cache = cache
        return True

    def get_timing_cache(self) -> Any:
        return self._cache

    def add_optimization_profile(self, profile: Any) -> int:
        self._profiles.append(profile)
        return len(self._profiles) - 1


class _TimingCache(_Object):
    def __init__(self, data: bytes) -> None:
        self._data = data

    def serialize(self) -> Any:
        return _instance(self._module, 'IHostMemory', self._data + b'timed')


class _Profile(_Object):
    def __init__(self) -> None:
        self._shapes: dict[str, list[list[int]]] = {}

    def set_shape(self, input: str, min: Any, opt: Any, max: Any) -> None:  # noqa: A002
        self._shapes[input] = [list(min), list(opt), list(max)]

    def get_shape(self, input: str) -> Any:  # noqa: A002
        return [tuple(shape) for shape in self._shapes[input]]


class _ParserError(_Object):
    def __init__(self, text: str, number: int, node: Any) -> None:
        self._text, self._number, self._node = text, number, node

    def desc(self) -> str:
        return self._text

    def code(self) -> Any:
        return self._module.ErrorCode.UNSUPPORTED_NODE

    def node(self) -> int:
        return self._number

    def node_name(self) -> str:
        return self._node.name

    def node_operator(self) -> str:
        return self._node.op_type


class _Parser(_Object):
    def __init__(self, network: Any, logger: Any) -> None:
        _check_logger(logger)
        self._network, self._logger = network, logger
        self._errors: list[Any] = []
        self._graphs: list[tuple[list[int], bool]] = []

    num_errors = property(lambda self: len(self._errors))
    num_subgraphs = property(lambda self: len(self._graphs))

    def get_error(self, index: int) -> Any:
        return self._errors[index]

    def get_subgraph_nodes(self, index: int) -> list[int]:
        return self._graphs[index][0]

    def is_subgraph_supported(self, index: int) -> bool:
        return self._graphs[index][1]

    def clear_errors(self) -> None:
        self._errors.clear()

    def supports_model_v2(self, model: bytes, path: str | None = None) -> bool:
        del path
        good = self._parse(model)
        nodes = [error._number for error in self._errors]
        self._graphs = [(nodes, False)] if nodes else [([0], good)]
        return good

    def parse(self, model: bytes, path: str | None = None) -> bool:
        del path
        return self._parse(model)

    def _parse(self, model: bytes) -> bool:
        """Fill the network, which must be empty: NVIDIA's parser refuses one that was used."""
        network = self._network
        if network._layers:
            message = 'Parse was called with a non-empty network definition'
            self._logger.log(self._module.Logger.ERROR, message)
            return False
        try:
            proto = onnx.load_from_string(model)
            onnx.checker.check_model(proto)
        except Exception as err:
            self._logger.log(self._module.Logger.ERROR, f'Failed to parse the model: {err}')
            return False
        typed = {info.name: info.type.tensor_type.elem_type for info in _typed_values(proto)}
        for number, node in enumerate(proto.graph.node):
            precision = TYPES.get(typed.get(node.output[0], 0), 'FLOAT')
            network._layers.append(_Layer(node.name or node.output[0], node.op_type, precision))
            if node.op_type in self._module.standin.unsupported:
                text = f'{node.op_type} is not supported'
                error = _instance(self._module, 'ParserError', text, number, node)
                self._errors.append(error)
        for listed, found in (
            (proto.graph.input, network._inputs),
            (proto.graph.output, network._outputs),
        ):
            found += [_instance(self._module, 'ITensor', spec, None) for spec in _specs(listed)]
        if self._errors:
            return False
        network._model = bytes(model)
        return True


def _typed_values(proto: onnx.ModelProto) -> Iterator[onnx.ValueInfoProto]:
    graph = onnx.shape_inference.infer_shapes(proto).graph
    yield from (*graph.value_info, *graph.input, *graph.output)


def _specs(listed: Any) -> list[_Spec]:
    found = []
    for info in listed:
        tensor = info.type.tensor_type
        shape = tuple(d.dim_value if d.HasField('dim_value') else -1 for d in tensor.shape.dim)
        found.append(_Spec(info.name, TYPES[tensor.elem_type], shape))
    return found


class _Runtime(_Object):
    def __init__(self, logger: Any) -> None:
        _check_logger(logger)
        self._logger = logger

    def deserialize_cuda_engine(self, plan: Any) -> Any:
        module = self._module
        try:
            head, model = _unpack(bytes(plan))
        except ValueError as err:
            self._logger.log(module.Logger.ERROR, f'deserializeCudaEngine: {err}')
            return None
        for key, here in (
            ('library', module.__name__),
            ('version', module.__version__),
            ('device', module.standin.device),
        ):
            if head[key] != here:
                text = f'The engine plan file is not compatible: {key} {head[key]} is not {here}'
                self._logger.log(module.Logger.ERROR, text)
                return None
        if module.standin.deserialize_fails:
            self._logger.log(module.Logger.ERROR, 'out of memory')
            return None
        return _instance(module, 'ICudaEngine', head, model)


def _unpack(plan: bytes) -> tuple[dict[str, Any], bytes]:
    if plan[: len(MAGIC)] != MAGIC:
        msg = 'magic tag does not match'
        raise ValueError(msg)
    digest, body = plan[len(MAGIC) : len(MAGIC) + 32], plan[len(MAGIC) + 32 :]
    if hashlib.sha256(body).digest() != digest:
        msg = 'size or content of the plan does not match its header'
        raise ValueError(msg)
    length = struct.unpack('<Q', body[:8])[0]
    return json.loads(body[8 : 8 + length]), body[8 + length :]


class _Engine(_Object):
    def __init__(self, head: dict[str, Any], model: bytes) -> None:
        self._head, self._model = head, model
        proto = onnx.load_from_string(model)
        self._modes = {spec.name: 'INPUT' for spec in _specs(proto.graph.input)}
        self._specs = _specs(proto.graph.input)
        for spec in _specs(proto.graph.output):
            self._modes[spec.name] = 'OUTPUT'
            self._specs.append(spec)

    num_io_tensors = property(lambda self: len(self._specs))
    num_layers = property(lambda self: len(self._head['layers']))
    num_optimization_profiles = property(lambda self: max(1, len(self._head['profiles'])))
    device_memory_size_v2 = property(lambda self: 1 << 20)
    name = property(lambda self: 'Unnamed Network 0')

    def _spec(self, name: str) -> _Spec:
        return next(spec for spec in self._specs if spec.name == name)

    def get_tensor_name(self, index: int) -> str:
        return self._specs[index].name

    def get_tensor_mode(self, name: str) -> Any:
        return getattr(self._module.TensorIOMode, self._modes.get(name, 'NONE'))

    def get_tensor_dtype(self, name: str) -> Any:
        return getattr(self._module.DataType, self._spec(name).dtype)

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self._spec(name).shape

    def get_tensor_location(self, name: str) -> Any:
        self._spec(name)
        return self._module.TensorLocation.DEVICE

    def get_tensor_profile_shape(self, name: str, profile: int) -> Any:
        return [tuple(shape) for shape in self._head['profiles'][profile][name]]

    def create_execution_context(self, *_args: Any) -> Any:
        return _instance(self._module, 'IExecutionContext', self)

    def create_engine_inspector(self) -> Any:
        return _instance(self._module, 'EngineInspector', self)

    def serialize(self) -> Any:
        return _instance(self._module, 'IHostMemory', _pack(self._head, self._model))


class _Inspector(_Object):
    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def get_engine_information(self, format: Any) -> str:  # noqa: A002
        if format.name != 'JSON':
            msg = 'the stand-in knows JSON'
            raise NotImplementedError(msg)
        head = self._engine._head
        demote = self._module.standin.demote
        layers: list[Any] = []
        for layer in head['layers']:
            if not head['detailed']:
                layers.append(layer['name'])
                continue
            precision = demote.get(layer['precision'], layer['precision'])
            text = INSPECTOR_TYPES.get(precision, precision.capitalize())
            layers.append(
                {
                    'Name': layer['name'],
                    'LayerType': layer['kind'],
                    'Inputs': [],
                    'Outputs': [{'Name': layer['name'], 'Format/Datatype': text}],
                }
            )
        return json.dumps({'Layers': layers, 'Bindings': []})


class _Context(_Object):
    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._addresses: dict[str, int] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}

    engine = property(lambda self: self._engine)

    def set_tensor_address(self, name: str, memory: int) -> bool:
        if name not in self._engine._modes or not isinstance(memory, int) or not memory:
            return False
        self._addresses[name] = memory
        return True

    def get_tensor_address(self, name: str) -> int:
        return self._addresses.get(name, 0)

    def set_input_shape(self, name: str, shape: Any) -> bool:
        if self._engine._modes.get(name) != 'INPUT':
            return False
        self._shapes[name] = tuple(shape)
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        shape = self._shapes.get(name, self._engine._spec(name).shape)
        batch = next(iter(self._shapes.values()), (-1,))[0]  # the one side that may be open here
        return tuple(batch if side == -1 else side for side in shape)

    def is_stream_capturable(self, stream: int) -> bool:  # TensorRT-RTX alone has it
        return bool(stream)

    def infer_shapes(self) -> list[str]:
        return [
            spec.name
            for spec in self._engine._specs
            if -1 in self.get_tensor_shape(spec.name) and self._engine._modes[spec.name] == 'INPUT'
        ]

    def set_optimization_profile_async(self, profile: int, stream: int) -> bool:
        del stream
        return 0 <= profile < self._engine.num_optimization_profiles

    def execute_async_v3(self, stream_handle: int) -> bool:
        if set(self._addresses) != set(self._engine._modes):
            return False
        if self._module.standin.execute_fails:
            return False
        self._module.standin.launch(int(stream_handle), self._compute)
        return True

    def _compute(self) -> None:
        """Run the model in ONNX Runtime on what lies at the addresses when its turn comes."""
        session = _session(self._engine._model)
        feeds = {
            spec.name: _view(self._addresses[spec.name], spec, self.get_tensor_shape(spec.name))
            for spec in self._engine._specs
            if self._engine._modes[spec.name] == 'INPUT'
        }
        names = [output.name for output in session.get_outputs()]
        found = dict(zip(names, session.run(names, feeds), strict=True))
        for name, value in self._module.standin.spoil(found).items():
            spec = self._engine._spec(name)
            _view(self._addresses[name], spec, value.shape)[...] = value


NUMPY_TYPES = {
    'FLOAT': 'f4',
    'HALF': 'f2',
    'INT8': 'i1',
    'UINT8': 'u1',
    'INT32': 'i4',
    'BOOL': '?',
}


def _view(address: int, spec: _Spec, shape: tuple[int, ...]) -> np.ndarray:
    dtype = np.dtype(NUMPY_TYPES[spec.dtype])
    count = int(np.prod(shape))
    raw = (ctypes.c_ubyte * (count * dtype.itemsize)).from_address(address)
    return np.frombuffer(raw, dtype).reshape(shape)


@lru_cache(maxsize=4)
def _session(model: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=['CPUExecutionProvider'])


def _check_logger(logger: Any) -> None:
    if not isinstance(logger, _Logger | _ILogger) or not getattr(logger, '_ready', False):
        msg = 'incompatible constructor arguments: a Logger or an initialised ILogger is needed'
        raise TypeError(msg)


def _instance(module: Any, name: str, *args: Any) -> Any:
    """Make an object of a class that Python code can't make itself."""
    return getattr(module, name)(*args)


_BEHAVIOUR: dict[str, type] = {
    'Logger': _Logger,
    'ILogger': _ILogger,
    'IProgressMonitor': _IProgressMonitor,
    'IHostMemory': _Memory,
    'Builder': _Builder,
    'INetworkDefinition': _Network,
    'ILayer': _ILayer,
    'ITensor': _ITensor,
    'IBuilderConfig': _BuilderConfig,
    'ITimingCache': _TimingCache,
    'IOptimizationProfile': _Profile,
    'ParserError': _ParserError,
    'OnnxParser': _Parser,
    'Runtime': _Runtime,
    'ICudaEngine': _Engine,
    'EngineInspector': _Inspector,
    'IExecutionContext': _Context,
}
