"""Running a plan, on stand-ins of all six versions of TensorRT and of TensorRT-RTX."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorrt_rig
import tensorrt_standin
import tiny_model
from onnx import TensorProto
from tensorrt_rig import SIZE, check_answers, every_version, pair

from paif_ros.errors import EngineError, EngineMismatch
from paif_ros.tensorrt.cuda import Cuda
from paif_ros.tensorrt.execution import Execution
from paif_ros.tensorrt.plan import Plan

either_memory = pytest.mark.parametrize('mapped', [False, True])
VISIBLE = ((1, *SIZE, 3), (2, *SIZE, 3), (4, *SIZE, 3))
THERMAL = ((1, *SIZE), (2, *SIZE), (4, *SIZE))


class Rig(tensorrt_rig.Rig):
    """With a way to plans of any model, and to their execution."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
        super().__init__(monkeypatch, version)
        self.notices: list[str] = []

    def plan(self, path: Path, profiles: Iterable[Sequence[tuple[Any, ...]]] = ()) -> bytes:
        """Build without our builder, which refuses what does not keep the contract."""
        trt, logger = self.module, self.module.Logger()
        builder = trt.Builder(logger)
        network = builder.create_network(
            1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        )
        assert trt.OnnxParser(network, logger).parse(path.read_bytes())
        config = builder.create_builder_config()
        for shapes in profiles:
            profile = builder.create_optimization_profile()
            for name, least, best, most in shapes:
                profile.set_shape(name, least, best, most)
            config.add_optimization_profile(profile)
        return bytes(builder.build_serialized_network(network, config))

    def load(self, plan: bytes, mapped: bool = False, size: tuple[int, int] = SIZE) -> Execution:
        card = tiny_model.card(size)
        return Execution(
            plan, self.module, Cuda(), card, mapped=mapped, notice=self.notices.append
        )


@every_version
@either_memory
def test_answers_what_the_model_computes(
    monkeypatch: pytest.MonkeyPatch, tiny: Path, version: str, mapped: bool
) -> None:
    rig = Rig(monkeypatch, version)
    running = rig.load(rig.plan(tiny), mapped)
    assert running.graph
    assert not rig.notices
    check_answers(running)
    running.close()
    running.close()
    assert not rig.gpu.live


@either_memory
def test_what_a_frame_takes(monkeypatch: pytest.MonkeyPatch, tiny: Path, mapped: bool) -> None:
    """One launch and one wait: the copies are in the graph, mapped memory needs none."""
    rig = Rig(monkeypatch, '10.3.0')
    running = rig.load(rig.plan(tiny), mapped)
    rig.gpu.calls.clear()
    rig.standin.calls.clear()
    running.run(*pair(0))
    assert rig.gpu.names == ['cudaGraphLaunch', 'cudaEventRecord', 'cudaEventSynchronize']
    assert 'IExecutionContext.execute_async_v3' not in rig.standin.calls
    rig.gpu.capture_fails = True
    plain = rig.load(rig.plan(tiny), mapped)
    rig.gpu.calls.clear()
    plain.run(*pair(0))
    copies = [] if mapped else 4 * ['cudaMemcpyAsync']
    assert rig.gpu.names == [*copies, 'cudaEventRecord', 'cudaEventSynchronize']


@every_version
def test_confidence_of_a_model_that_has_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str
) -> None:
    rig = Rig(monkeypatch, version)
    path = tiny_model.write(tmp_path / 'm.onnx', confidence=True)
    answer = rig.load(rig.plan(path)).run(*pair(1))
    assert answer.confidence is not None
    np.testing.assert_array_equal(answer.confidence, pair(1)[1])


@every_version
@pytest.mark.parametrize(
    ('spoil', 'reason'),
    [
        ('capture', 'cudaErrorStreamCaptureInvalidated'),
        ('instantiate', 'cudaErrorNotSupported'),
        ('skip', 'agrees in'),
    ],
)
def test_without_a_graph_it_runs_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tiny: Path, version: str, spoil: str, reason: str
) -> None:
    rig = Rig(monkeypatch, version)
    rig.gpu.capture_fails = spoil == 'capture'
    rig.gpu.graph_skips = spoil == 'skip'
    if spoil == 'instantiate':
        rig.gpu.fails['cudaGraphInstantiate'] = 'cudaErrorNotSupported'
    running = rig.load(rig.plan(tiny))
    assert not running.graph
    (said,) = rig.notices
    assert said.startswith('each frame takes a little longer')
    assert reason in said
    check_answers(running)
    running.close()
    assert not rig.gpu.live


def test_rtx_may_refuse_to_be_captured(monkeypatch: pytest.MonkeyPatch, tiny: Path) -> None:
    rig = Rig(monkeypatch, tensorrt_standin.RTX)
    rig.module.IExecutionContext.is_stream_capturable = lambda self, stream: False
    running = rig.load(rig.plan(tiny))
    assert 'tensorrt_rtx can not capture this plan' in rig.notices[0]
    assert 'cudaStreamBeginCapture' not in rig.gpu.names
    check_answers(running)


@every_version
@pytest.mark.parametrize('wrong', ['plan', 'context', 'address', 'execute', 'memory', 'kernel'])
def test_what_can_fail_while_loading_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tiny: Path, version: str, wrong: str
) -> None:
    rig = Rig(monkeypatch, version)
    plan = rig.plan(tiny)
    words = {
        'plan': 'the plan can not be loaded: deserializeCudaEngine: .*header',
        'context': r'no memory to run the plan: it gives no reason.*engine\.workspace_mib',
        'address': 'the address of visible was refused',
        'execute': 'inference failed',
        'memory': 'cudaMalloc failed with cudaErrorMemoryAllocation',
        'kernel': 'cudaErrorIllegalAddress.*restart the node',
    }
    context = rig.module.IExecutionContext
    if wrong == 'plan':
        plan = plan[:-1]
    elif wrong == 'context':
        rig.module.ICudaEngine.create_execution_context = lambda self: None
    elif wrong == 'address':
        context.set_tensor_address = lambda self, name, address: False
    elif wrong == 'execute':
        rig.standin.execute_fails = True
    elif wrong == 'memory':
        rig.gpu.fails['cudaMalloc'] = 'cudaErrorMemoryAllocation'
    else:
        rig.gpu.fails['cudaEventSynchronize'] = 'cudaErrorIllegalAddress'
        monkeypatch.setattr(rig.gpu, 'error', '')
    with pytest.raises(EngineError, match=words[wrong]):
        rig.load(plan)
    if wrong == 'kernel':  # nothing can be freed of a GPU that is gone; it is asked all the same
        assert 'cudaFreeHost' in rig.gpu.names or 'cudaStreamDestroy' in rig.gpu.names
        return
    assert not rig.gpu.live


@every_version
def test_a_failing_run_is_an_engine_error_and_the_next_one_works(
    monkeypatch: pytest.MonkeyPatch, tiny: Path, version: str
) -> None:
    rig = Rig(monkeypatch, version)
    running = rig.load(rig.plan(tiny))
    rig.gpu.fails['cudaGraphLaunch'] = 'cudaErrorUnknown'
    with pytest.raises(EngineError, match='cudaGraphLaunch failed with cudaErrorUnknown'):
        running.run(*pair(0))
    check_answers(running)


@every_version
@pytest.mark.parametrize(
    ('change', 'field'),
    [
        ({'dtype': TensorProto.FLOAT}, 'tensor visible dtype'),
        ({'outputs': ('fused', 'labels')}, 'outputs'),
        ({'outputs': ('fused', 'confidence')}, 'outputs'),
        ({'batch': 2}, 'tensor visible batch size'),
        ({'size': (96, 64)}, 'tensor visible shape'),
    ],
)
def test_plans_outside_the_contract(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str, change: dict, field: str
) -> None:
    rig = Rig(monkeypatch, version)
    plan = rig.plan(tiny_model.write(tmp_path / 'm.onnx', **change))
    with pytest.raises(EngineMismatch) as caught:
        rig.load(plan)
    assert caught.value.field == field
    assert not rig.gpu.live


def test_an_output_that_lies_with_the_cpu(monkeypatch: pytest.MonkeyPatch, tiny: Path) -> None:
    rig = Rig(monkeypatch, '11.4.0.106')
    rig.module.ICudaEngine.get_tensor_location = lambda self, _: rig.module.TensorLocation.HOST
    with pytest.raises(EngineMismatch, match='location: expected the GPU'):
        rig.load(rig.plan(tiny))


@every_version
def test_takes_the_profile_that_holds_one_pair(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str
) -> None:
    rig = Rig(monkeypatch, version)
    path = tiny_model.write(tmp_path / 'm.onnx', batch='N')
    inputs = (('visible', VISIBLE), ('thermal', THERMAL))
    single = [(name, *shapes) for name, shapes in inputs]
    many = [(name, shapes[1], *shapes[1:]) for name, shapes in inputs]
    running = rig.load(rig.plan(path, profiles=(many, single)))
    assert 'IExecutionContext.set_optimization_profile_async' in rig.standin.calls
    check_answers(running)
    rig.standin.calls.clear()
    check_answers(rig.load(rig.plan(path, profiles=(single,))))
    assert 'IExecutionContext.set_optimization_profile_async' not in rig.standin.calls
    with pytest.raises(EngineMismatch, match=r'optimization profile: .*\(2, 48, 64, 3\)'):
        rig.load(rig.plan(path, profiles=(many,)))


def watch_freeing(rig: Rig) -> list[str]:
    """Return a list that grows by the name of each object of TensorRT that is freed."""
    freed: list[str] = []
    for owner, method in (
        (rig.module.Runtime, 'deserialize_cuda_engine'),
        (rig.module.ICudaEngine, 'create_execution_context'),
    ):
        original = getattr(owner, method)

        def make(self: Any, *values: Any, original: Any = original) -> Any:
            made = original(self, *values)
            for thing in (self, made):
                weakref.finalize(thing, freed.append, type(thing).__name__)
            return made

        setattr(owner, method, make)
    return freed


@every_version
def test_tensorrt_s_objects_are_freed_in_their_order(
    monkeypatch: pytest.MonkeyPatch, tiny: Path, version: str
) -> None:
    rig = Rig(monkeypatch, version)
    freed = watch_freeing(rig)
    running = rig.load(rig.plan(tiny))
    assert not freed
    running.close()
    assert list(dict.fromkeys(freed)) == ['IExecutionContext', 'ICudaEngine', 'Runtime']


def test_a_kept_error_keeps_no_engine(monkeypatch: pytest.MonkeyPatch, tiny: Path) -> None:
    """The worker keeps why it could not load, and with it every frame of the traceback."""
    rig = Rig(monkeypatch, '10.3.0')
    rig.module.ICudaEngine.create_execution_context = lambda self: None
    plan = rig.plan(tiny)
    freed: list[str] = []
    original = rig.module.Runtime.deserialize_cuda_engine

    def deserialize(self: Any, data: bytes) -> Any:
        made = original(self, data)
        weakref.finalize(made, freed.append, 'ICudaEngine')
        return made

    rig.module.Runtime.deserialize_cuda_engine = deserialize
    with pytest.raises(EngineError, match='no memory to run the plan') as caught:
        rig.load(plan)
    assert freed == ['ICudaEngine'], caught


def test_the_real_library_says_why_it_does_not_load_a_plan() -> None:
    """TensorRT-RTX itself, as far as it comes without a GPU: logger, runtime, and its words."""
    real = pytest.importorskip('tensorrt_rtx', reason='tensorrt-rtx is a development extra')
    with pytest.raises(EngineError) as caught:
        Plan(b'no plan at all' * 100, real)
    assert 'tensorrt_rtx: the plan can not be loaded: IRuntime::deserialize' in str(caught.value)
    assert '\n' not in str(caught.value)


@either_memory
def test_a_thousand_loads_leave_nothing(
    monkeypatch: pytest.MonkeyPatch, tiny: Path, mapped: bool
) -> None:
    rig = Rig(monkeypatch, '10.16.1.11')
    plan, files = rig.plan(tiny), len(list(Path('/proc/self/fd').iterdir()))
    for _ in range(1000):
        rig.load(plan, mapped).close()
        assert not rig.gpu.live
        rig.gpu.calls.clear()
        rig.standin.calls.clear()
    assert len(list(Path('/proc/self/fd').iterdir())) <= files + 2
