"""The TensorRT engine from an ONNX file to its answers, on stand-ins of all versions."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorrt_standin
import tiny_model
from tensorrt_rig import SIZE, VERSIONS, Rig, check_answers, every_version, pair, write_model

from paif_ros.engines import TensorRtOptions, make_engine
from paif_ros.engines.tensorrt import PlanEngine, TensorRtEngine
from paif_ros.errors import EngineError, EngineMismatch
from paif_ros.fusion.pipeline import Pipeline
from paif_ros.fusion.worker import Worker
from paif_ros.monitoring.accounting import DropReason
from paif_ros.monitoring.notices import Level, Notices
from paif_ros.monitoring.statistics import Statistics
from paif_ros.parameters import Parameters, specs
from paif_ros.registration.registration import Registration
from paif_ros.tensorrt.cuda import Cuda
from paif_ros.tensorrt.monitor import BuildStopped
from paif_ros.tensorrt.prepare import ParityError

JETSON = '10.3.0'


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / 'model')


def options(tmp_path: Path, **changes: Any) -> TensorRtOptions:
    return TensorRtOptions(cache_dir=str(tmp_path / 'cache'), **changes)


def engine_of(rig: Rig, model: Path, **changes: Any) -> TensorRtEngine:
    engine = TensorRtEngine(model, rig.kind, options(model.parents[1], **changes))
    engine.attend(rig.tell, lambda: False)
    return engine


@every_version
def test_builds_once_and_answers(
    monkeypatch: pytest.MonkeyPatch, model: Path, version: str
) -> None:
    rig = Rig(monkeypatch, version)
    engine = engine_of(rig, model)
    info = engine.load()
    assert (info.backend, info.provider, info.precision) == (rig.kind, rig.gpu.name, 'fp32')
    assert info.card == tiny_model.card(SIZE)
    memory = 'pinned' if rig.kind == 'tensorrt_rtx' else 'shared'
    for part in (version, f'{memory} memory', 'one CUDA graph', 'built now and kept in'):
        assert part in info.reason
    check_answers(engine)
    assert rig.builds == 1
    assert 'building' in rig.text
    assert '2 pairs agree with FP32: ' in rig.text
    rig.said.clear()
    again = engine_of(rig, model)  # as after a restart
    reason = again.load().reason
    assert ', kept in ' in reason
    assert 'built now' not in reason
    assert rig.builds == 1
    assert not rig.said
    check_answers(again)
    engine.close()
    engine.close()
    again.close()
    assert not rig.gpu.live
    assert set(rig.gpu.names) & {'cudaMalloc', 'cudaHostAlloc'}


@pytest.mark.parametrize('integrated', [False, True])
def test_memory_is_used_in_place_where_it_is_shared(
    monkeypatch: pytest.MonkeyPatch, model: Path, integrated: bool
) -> None:
    rig = Rig(monkeypatch, JETSON)
    rig.gpu.integrated = integrated
    engine_of(rig, model).load()
    assert ('cudaMemcpyAsync' in rig.gpu.names) != integrated
    assert ('cudaHostGetDevicePointer' in rig.gpu.names) == integrated


def test_needs_load_and_the_right_inputs(monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    rig = Rig(monkeypatch, JETSON)
    engine = engine_of(rig, model)
    engine.close()
    with pytest.raises(EngineError, match='call load first'):
        engine.infer(*pair(0))
    engine.load()
    with pytest.raises(EngineError, match='this model takes uint8'):
        engine.infer(np.zeros((96, 64, 3), np.uint8), np.zeros((96, 64), np.uint8))
    with pytest.raises(EngineError, match='this model takes uint8'):
        engine.infer(np.zeros((*SIZE, 3), np.float32), np.zeros(SIZE, np.uint8))
    engine.infer(pair(0)[0][::-1], pair(0)[1][:, ::-1])  # views are as good
    engine.close()
    with pytest.raises(EngineError, match='call load first'):
        engine.infer(*pair(0))
    plan = plan_of(model).read_bytes()
    once = PlanEngine(plan, rig.module, Cuda(), Cuda().device(), tiny_model.card(SIZE))
    with pytest.raises(EngineError, match='call load first'):
        once.infer(*pair(0))
    once.load()
    check_answers(once)
    once.close()
    with pytest.raises(EngineError, match='loaded before'):
        once.load()


# ---- a kept engine that does not serve


def other_version(rig: Rig, model: Path, options: dict) -> None:
    rig.use('10.7.0' if rig.module.__version__ != '10.7.0' else '11.0.0.114')


def other_gpu(rig: Rig, model: Path, options: dict) -> None:
    rig.gpu.name = rig.standin.device = 'NVIDIA Thor'


def other_capability(rig: Rig, model: Path, options: dict) -> None:
    rig.gpu.compute = (8, 6)


def other_export(rig: Rig, model: Path, options: dict) -> None:
    tiny_model.write(model, work=1)


def other_flags(rig: Rig, model: Path, options: dict) -> None:
    options['optimization_level'] = 5


def cut(rig: Rig, model: Path, options: dict) -> None:
    path = plan_of(model)
    path.write_bytes(path.read_bytes()[:-1])


def swap(rig: Rig, model: Path, options: dict) -> None:
    path = plan_of(model)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def lose_side_file(rig: Rig, model: Path, options: dict) -> None:
    plan_of(model).with_name(f'{plan_of(model).name}.json').unlink()


def plan_of(model: Path) -> Path:
    (found,) = (model.parents[1] / 'cache').glob('*.plan')
    return found


MISMATCHES = [
    (other_version, 'library_version'),
    (other_gpu, 'device_name'),
    (other_capability, 'compute_capability'),
    (other_export, 'onnx_sha256'),
    (other_flags, 'flags'),
    (cut, 'plan size'),
    (swap, 'plan sha256'),
    (lose_side_file, 'side file'),
]


@pytest.mark.parametrize(
    ('version', 'change', 'field'),
    [
        (version, change, field)
        for version in VERSIONS
        for change, field in MISMATCHES
        if (version, change) != (tensorrt_standin.RTX, other_version)  # there is one version of it
    ],
)
def test_a_kept_engine_that_does_not_serve_is_named(
    monkeypatch: pytest.MonkeyPatch, model: Path, version: str, change: Any, field: str
) -> None:
    rig = Rig(monkeypatch, version)
    engine_of(rig, model).load()
    changed: dict[str, Any] = {}
    change(rig, model, changed)
    rig.said.clear()
    rig.standin.calls.clear()
    live = rig.gpu.live
    with pytest.raises(EngineMismatch) as caught:
        engine_of(rig, model, on_mismatch='refuse', **changed).load()
    assert caught.value.field == field
    assert 'engine.on_mismatch rebuild' in str(caught.value)
    assert 'Runtime.deserialize_cuda_engine' not in rig.standin.calls  # TensorRT never sees it
    assert rig.gpu.live == live
    engine = engine_of(rig, model, **changed)
    info = engine.load()
    assert f'engine {field}: expected ' in rig.text
    assert rig.builds == 1
    assert 'built now' in info.reason
    check_answers(engine)
    engine_of(rig, model, on_mismatch='refuse', **changed).load()  # it serves from now on


# ---- what can fail


def spoil_mask(outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {**outputs, 'mask': np.zeros_like(outputs['mask'])}


@every_version
def test_an_engine_that_answers_otherwise_is_not_used(
    monkeypatch: pytest.MonkeyPatch, model: Path, version: str
) -> None:
    rig = Rig(monkeypatch, version)
    rig.standin.spoil = spoil_mask
    with pytest.raises(ParityError, match=r'agrees with FP32.*every pixel is of class 0'):
        engine_of(rig, model).load()
    assert not rig.gpu.live
    assert not list((model.parents[1] / 'cache').glob('*.plan'))


def load(engine: TensorRtEngine) -> str:
    """Load an engine. Returns why it could not be."""
    try:
        engine.load()
    except EngineError as err:
        return str(err)
    return ''


@pytest.mark.parametrize('version', [JETSON, tensorrt_standin.RTX])
def test_every_call_of_cuda_may_fail_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, model: Path, version: str
) -> None:
    """Each of the calls that a load makes answers with an error once."""
    rig = Rig(monkeypatch, version)
    rig.gpu.integrated = False  # so that there are copies too
    engine = engine_of(rig, model)
    engine.load()
    engine.close()
    rig.gpu.calls.clear()
    engine.load()  # out of the cache
    names = list(rig.gpu.names)
    engine.close()
    refused = warned = 0
    for place in range(len(names)):
        if names[place] == 'cudaGraphDestroy':
            continue  # what can not be freed stays
        rig.said.clear()
        rig.gpu.fails_at = place
        error = load(engine)
        if error:
            refused += 1
            assert 'cudaErrorUnknown' in error or 'no NVIDIA driver' in error
        else:
            warned += 1
            assert [level for level, _ in rig.said] == [Level.WARN]
            assert 'no CUDA graph' in rig.text
            check_answers(engine)
        rig.gpu.fails_at = None
        engine.close()
        assert not rig.gpu.live, f'call {place} left {rig.gpu.live}'
    assert refused > 10
    assert warned > 5


@every_version
def test_a_build_that_fails(monkeypatch: pytest.MonkeyPatch, model: Path, version: str) -> None:
    rig = Rig(monkeypatch, version)
    rig.standin.build_fails = 'Error Code 2: OutOfMemory'
    with pytest.raises(EngineError, match=r'OutOfMemory.*engine\.workspace_mib'):
        engine_of(rig, model).load()
    assert not rig.gpu.live


def test_rtx_is_not_for_a_jetson(monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    rig = Rig(monkeypatch, tensorrt_standin.RTX)
    rig.gpu.compute = (8, 7)
    with pytest.raises(EngineError, match=r'engine\.backend to tensorrt, which JetPack'):
        engine_of(rig, model).load()


@pytest.mark.parametrize('backend', ['tensorrt', 'tensorrt_rtx'])
def test_the_cpu_is_no_place_for_it(model: Path, backend: str) -> None:
    with pytest.raises(EngineError, match=r'engine\.provider is cpu.*NVIDIA GPUs'):
        make_engine(backend, model, provider='cpu')


# ---- on the worker's thread


def worker_of(rig: Rig, model: Path, notices: Notices) -> Worker:
    values = Parameters.from_values(
        {name: spec.default for name, spec in specs().items()} | {'model_path': str(model)}
    )
    engine = make_engine(rig.kind, model, options=options(model.parents[1]))
    sink: Any = None
    pipeline = Pipeline(engine, Registration('none', None))
    return Worker(pipeline, sink, Statistics(), notices, lambda: values)


@every_version
def test_all_of_cuda_is_called_on_the_worker_s_thread(
    monkeypatch: pytest.MonkeyPatch, model: Path, version: str
) -> None:
    rig = Rig(monkeypatch, version)
    lines: list[tuple[Level, str]] = []
    seen: list[str] = []
    built_on: set[int] = set()
    made = threading.Event()

    def look() -> None:
        assert made.wait(10)
        built_on.add(threading.get_ident())
        seen.append(worker.state(0).progress)

    rig.standin.during_build = look
    worker = worker_of(rig, model, Notices(lambda level, text: lines.append((level, text))))
    made.set()
    assert worker.wait_loaded(30)
    assert worker.failure is None
    assert worker.engine is not None
    assert worker.engine.backend == rig.kind
    assert worker.shut(1.0, DropReason.INACTIVE)
    assert worker.stop(10.0)
    assert not rig.gpu.live  # freed, and by that thread too
    (thread,) = rig.gpu.threads
    assert built_on == {thread}
    assert thread != threading.get_ident()
    assert any('building a' in text for text in seen)  # diagnostics tell how far it is
    assert worker.state(0).progress == ''
    assert any('building a' in text and '%' in text for _, text in lines)


@every_version
def test_a_node_that_stops_does_not_wait_for_a_build(
    monkeypatch: pytest.MonkeyPatch, model: Path, version: str
) -> None:
    rig = Rig(monkeypatch, version)
    rig.standin.steps = 10**9
    begun = threading.Event()
    rig.standin.during_build = begun.set
    worker = worker_of(rig, model, Notices(lambda level, text: None))
    assert begun.wait(30)
    assert worker.stop(10.0)
    assert isinstance(worker.failure, BuildStopped)
    assert not rig.gpu.live


@every_version
def test_several_pairs_of_cameras_in_one_process(
    monkeypatch: pytest.MonkeyPatch, model: Path, tmp_path: Path, version: str
) -> None:
    """Each worker builds, captures and computes on a thread and a stream of its own."""
    rig = Rig(monkeypatch, version)
    models = [model]
    for number in range(1, 4):
        models.append(write_model(tmp_path / f'model{number}', work=number))
    lines: list[str] = []
    notices = Notices(lambda level, text: lines.append(text))
    workers = [worker_of(rig, path, notices) for path in models]
    for worker in workers:
        assert worker.wait_loaded(60)
        assert worker.failure is None
        assert worker.engine is not None
        assert 'one CUDA graph' in worker.engine.reason
    assert len(rig.gpu.threads) == 4
    assert rig.gpu.live['stream'] == rig.gpu.live['executable'] == 4
    for worker in workers:
        assert worker.stop(10.0)
    assert not rig.gpu.live
    assert not any('CUDA graph' in line for line in lines)


def test_options_are_the_parameters(tmp_path: Path) -> None:
    defaults = {name: spec.default for name, spec in specs().items()}
    values = Parameters.from_values({**defaults, 'engine.workspace_mib': 512})
    assert TensorRtOptions.of(values.engine) == TensorRtOptions(workspace_mib=512)
    for field in dataclasses.fields(TensorRtOptions):
        assert specs()[f'engine.{field.name}'].default == field.default
