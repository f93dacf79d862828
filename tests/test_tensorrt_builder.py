"""The builder on the names of seven versions, and on NVIDIA's own TensorRT-RTX."""

from __future__ import annotations

import signal
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import onnx
import pytest
import tensorrt_standin
import tiny_model
from build_rig import ALL
from onnx import TensorProto, helper

from paif_ros.errors import EngineError, EngineMismatch
from paif_ros.tensorrt import library
from paif_ros.tensorrt.builder import Batches, BuildOptions, build
from paif_ros.tensorrt.layers import half_share, inspect, layer_precisions
from paif_ros.tensorrt.monitor import EVERY, BuildStopped, Phases, make_monitor
from paif_ros.tensorrt.trial import inspect_plan

ROOT = Path(__file__).resolve().parents[1]
TINY_LAYERS = 12  # nodes of tiny_model


@pytest.fixture(params=ALL)
def module(request: pytest.FixtureRequest) -> Any:
    return tensorrt_standin.make(request.param)


@pytest.fixture(scope='module')
def rtx() -> Any:
    """NVIDIA's real library, which parses and builds without a GPU."""
    pytest.importorskip('tensorrt_rtx')
    return library.find('tensorrt_rtx')


@pytest.fixture
def model(tiny: Path) -> bytes:
    return tiny.read_bytes()


def unreadable_model() -> bytes:
    """A model with a node that no TensorRT reads."""
    node = helper.make_node('Unique', ['x'], ['y'], name='odd_one', sorted=1)
    graph = helper.make_graph(
        [node],
        'odd',
        [helper.make_tensor_value_info('x', TensorProto.FLOAT, [8])],
        [helper.make_tensor_value_info('y', TensorProto.FLOAT, [None])],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 18)])
    made.ir_version = 10
    return made.SerializeToString()


# ---- on all seven lists of names


def test_builds_with_the_names_that_all_versions_have(module: Any, model: bytes) -> None:
    progress: list[tuple[float, str]] = []
    built = build(
        model,
        BuildOptions(workspace_mib=512, optimization_level=2),
        module,
        lambda part, text: progress.append((part, text)),
    )
    engine = module.Runtime(module.Logger()).deserialize_cuda_engine(built.plan)
    names = {engine.get_tensor_name(index) for index in range(engine.num_io_tensors)}
    assert names == {'visible', 'thermal', 'fused', 'mask'}
    assert engine._head['strong']
    assert engine._head['detailed']  # else the inspector says no types
    assert progress == [(pytest.approx(1 / 12), 'Phase 0')]  # one of 3 x 4, then 5 s of silence
    assert built.asked['fp32'] >= 5
    calls = module.standin.calls
    parses = [
        call for call in calls if call in ('OnnxParser.supports_model_v2', 'OnnxParser.parse')
    ]
    assert parses == ['OnnxParser.supports_model_v2', 'OnnxParser.parse']
    assert calls.count('Builder.create_network') == 2  # a used network can't be parsed into


def test_options_reach_the_library(module: Any, model: bytes, tmp_path: Path) -> None:
    seen: dict[str, Any] = {}
    real = module.Builder.build_serialized_network

    def spy(self: Any, network: Any, config: Any) -> Any:
        seen.update(config._values, pools=config._pools, flags=config._flags)
        return real(self, network, config)

    module.Builder.build_serialized_network = spy
    options = BuildOptions(
        workspace_mib=256, optimization_level=1, timing_cache=tmp_path / 'times'
    )
    build(model, options, module)
    assert seen['builder_optimization_level'] == 1
    assert seen['pools'] == {'WORKSPACE': 256 << 20}
    assert seen['profiling_verbosity'].name == 'DETAILED'
    assert 'TF32' not in seen['flags']
    assert (tmp_path / 'times').read_bytes() == b'timed'
    build(model, options, module)
    assert (tmp_path / 'times').read_bytes() == b'timedtimed'  # the second knows the first
    seen.clear()
    build(model, BuildOptions(), module)
    assert seen['pools'] == {}  # TensorRT's own choice


def test_tf32_is_switched_off(module: Any, model: bytes) -> None:
    cleared = []
    real = module.IBuilderConfig.clear_flag

    def spy(self: Any, flag: Any) -> None:
        cleared.append(flag.name)
        real(self, flag)

    module.IBuilderConfig.clear_flag = spy
    build(model, BuildOptions(), module)
    assert cleared == ['TF32']


def test_a_broken_timing_cache_costs_no_build(module: Any, model: bytes, tmp_path: Path) -> None:
    times = tmp_path / 'times'
    times.write_bytes(b'broken')
    assert build(model, BuildOptions(timing_cache=times), module).plan
    assert times.read_bytes() == b'timed'


def test_the_parser_names_the_node(module: Any, model: bytes) -> None:
    module.standin.unsupported = frozenset({'GreaterOrEqual'})
    with pytest.raises(EngineError) as caught:
        build(model, BuildOptions(), module)
    text = str(caught.value)
    assert "node 5 '' (GreaterOrEqual): GreaterOrEqual is not supported" in text
    assert 'node 6' in text
    assert 'export/to_onnx.py' in text
    assert 'Builder.build_serialized_network' not in module.standin.calls


@pytest.mark.parametrize(
    ('said', 'cure'),
    [
        ('Requested amount of GPU memory (9 bytes) could not be allocated', 'add swap'),
        ('CUDA driver version is insufficient for CUDA runtime', 'install the driver'),
        ('no kernel image is available for execution', "JetPack's own"),
        ('Could not find any implementation for node {ForeignNode}', 'engine.backend'),
    ],
)
def test_a_failed_build_says_why_and_what_to_do(
    module: Any, model: bytes, said: str, cure: str
) -> None:
    module.standin.build_fails = said
    with pytest.raises(EngineError) as caught:
        build(model, BuildOptions(), module)
    assert said in str(caught.value)
    assert cure in str(caught.value)


def test_models_that_do_not_keep_the_contract(module: Any, tmp_path: Path) -> None:
    for change, field in (
        ({'dtype': TensorProto.FLOAT}, 'tensor visible dtype'),
        ({'outputs': ('picture', 'mask')}, 'outputs'),
    ):
        path = tiny_model.write(tmp_path / 'other.onnx', **change)
        with pytest.raises(EngineMismatch) as caught:
            build(path.read_bytes(), BuildOptions(), module)
        assert caught.value.field == field
    assert 'Builder.build_serialized_network' not in module.standin.calls


@pytest.mark.parametrize('level', [-1, 6])
def test_levels_that_there_are_not(module: Any, model: bytes, level: int) -> None:
    with pytest.raises(EngineError, match='0 to 5'):
        build(model, BuildOptions(optimization_level=level), module)


def test_profiles(module: Any, model: bytes, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match='fixed batch'):
        build(model, BuildOptions(profiles=(Batches(),)), module)
    open_batch = tiny_model.write(tmp_path / 'open.onnx', batch='N').read_bytes()
    runtime = module.Runtime(module.Logger())
    engine = runtime.deserialize_cuda_engine(build(open_batch, BuildOptions(), module).plan)
    assert engine.num_optimization_profiles == 1
    assert engine.get_tensor_profile_shape('thermal', 0) == [(1, 48, 64)] * 3
    options = BuildOptions(profiles=(Batches(1, 1, 1), Batches(2, 4, 8)))
    engine = runtime.deserialize_cuda_engine(build(open_batch, options, module).plan)
    shapes = engine.get_tensor_profile_shape('visible', 1)
    assert shapes == [(2, 48, 64, 3), (4, 48, 64, 3), (8, 48, 64, 3)]
    assert options.flags() != BuildOptions().flags()
    with pytest.raises(EngineError, match='least <= best <= most'):
        build(open_batch, BuildOptions(profiles=(Batches(3, 2, 4),)), module)


def test_what_progress_raises_stops_the_build_and_comes_out(module: Any, model: bytes) -> None:
    def interrupt(_part: float, _text: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(model, BuildOptions(), module, interrupt)


def test_ctrl_c_stops_the_build_and_its_handler_is_put_back(module: Any, model: bytes) -> None:
    steps = iter(range(100))

    def press() -> None:
        if next(steps) == 2:
            signal.raise_signal(signal.SIGINT)

    module.standin.during_build = press
    with pytest.raises(KeyboardInterrupt):
        build(model, BuildOptions(), module)
    assert next(steps) == 3  # at once
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_of_somebody_else_is_left_alone(module: Any, model: bytes) -> None:
    heard = []
    before = signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    module.standin.during_build = lambda: signal.raise_signal(signal.SIGINT)
    try:
        assert build(model, BuildOptions(), module).plan
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(heard) == 12


def test_a_build_can_be_given_up(module: Any, model: bytes) -> None:
    asked = iter([False, False, True])
    with pytest.raises(BuildStopped, match='next start begins it again'):
        build(model, BuildOptions(), module, stop=lambda: next(asked))


def test_only_tensorrt_rtx_builds_for_a_gpu_elsewhere(module: Any, model: bytes) -> None:
    if library.kind_of(module) == 'tensorrt_rtx':
        with pytest.raises(EngineError, match=r'8\.7 from here'):
            build(model, BuildOptions(compute_capability='8.7'), module)
    else:
        with pytest.raises(EngineError, match=r'8\.9 from here'):
            build(model, BuildOptions(compute_capability='8.9'), module)


# ---- on NVIDIA's library


def test_rtx_builds_the_network_that_is_shipped(rtx: Any) -> None:
    model = (ROOT / 'models' / 'weights' / 'paif_small.onnx').read_bytes()
    progress: list[tuple[float, str]] = []
    built = build(model, BuildOptions(), rtx, lambda part, text: progress.append((part, text)))
    assert len(built.plan) > 1_000_000
    assert half_share(built.asked) == 0
    assert built.asked['fp32'] > 300
    assert progress
    assert 0 <= progress[0][0] <= 1


def test_rtx_builds_profiles_and_for_other_gpus(rtx: Any, model: bytes, tmp_path: Path) -> None:
    open_batch = tiny_model.write(tmp_path / 'open.onnx', batch='N').read_bytes()
    assert build(open_batch, BuildOptions(profiles=(Batches(1, 2, 4),)), rtx).plan
    assert build(model, BuildOptions(compute_capability='8.9'), rtx).plan
    with pytest.raises(EngineError, match=r'8\.7 from here'):
        build(model, BuildOptions(compute_capability='8.7'), rtx)


def test_rtx_names_the_node_that_it_refuses(rtx: Any) -> None:
    with pytest.raises(EngineError, match=r"'odd_one' \(Unique\)"):
        build(unreadable_model(), BuildOptions(), rtx)


@pytest.mark.parametrize('data', [b'', b'not a model'])
def test_rtx_refuses_what_is_no_model(rtx: Any, data: bytes) -> None:
    with pytest.raises((EngineError, EngineMismatch)):
        build(data, BuildOptions(), rtx)


def test_rtx_refuses_uint8_that_is_not_cast_at_once(rtx: Any, tmp_path: Path) -> None:
    """The rule of export/graph_rules.py that ONNX Runtime does not know."""
    model = onnx.load(tiny_model.write(tmp_path / 'model.onnx'))
    first = next(node for node in model.graph.node if list(node.input) == ['visible'])
    turned = helper.make_node(
        'Transpose', ['visible'], ['turned'], name='too_early', perm=[0, 1, 2, 3]
    )
    first.input[0] = 'turned'
    model.graph.node.insert(0, turned)
    onnx.checker.check_model(model)
    with pytest.raises(EngineError, match='too_early'):
        build(model.SerializeToString(), BuildOptions(), rtx)


def test_rtx_stops_when_it_is_asked_to(rtx: Any, model: bytes) -> None:
    def interrupt(_part: float, _text: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(model, BuildOptions(), rtx, interrupt)
    with pytest.raises(BuildStopped):
        build(model, BuildOptions(), rtx, stop=lambda: True)
    assert build(model, BuildOptions(), rtx).plan  # and can go on afterwards


def test_rtx_lets_other_threads_run_while_it_builds(rtx: Any) -> None:
    """Else cameras and diagnostics of the node would stand still for the minutes of a build."""
    model = (ROOT / 'models' / 'weights' / 'paif_small.onnx').read_bytes()
    ticks = 0
    done = threading.Event()

    def tick() -> None:
        nonlocal ticks
        while not done.wait(0.01):
            ticks += 1

    thread = threading.Thread(target=tick)
    thread.start()
    began = time.monotonic()
    build(model, BuildOptions(), rtx)
    took = time.monotonic() - began
    done.set()
    thread.join()
    assert ticks > took / 0.01 / 10


def test_rtx_says_nothing_of_layers_without_a_gpu(rtx: Any, model: bytes) -> None:
    """With one it does; either way nothing is made up."""
    counts = inspect_plan(build(model, BuildOptions(), rtx).plan, rtx)
    assert counts is None or sum(counts.values()) > 0


# ---- progress


def test_the_part_that_is_done_grows_through_nested_phases() -> None:
    phases = Phases()
    seen = [phases.part]
    phases.start('all', None, 2)
    for number in range(2):
        name = f'part {number}'
        phases.start(name, 'all', 4)
        for step in range(4):
            phases.step(name, step)
            seen.append(phases.part)
        phases.finish(name)
        seen.append(phases.part)
        phases.step('all', number)
        seen.append(phases.part)
    assert seen == sorted(seen)
    assert seen[:6] == [0.0, 0.125, 0.25, 0.375, 0.5, 0.5]
    assert seen[-1] == 1.0


def test_phases_that_make_no_sense_do_no_harm() -> None:
    phases = Phases()
    phases.step('unknown', 3)
    phases.finish('unknown')
    phases.start('a', 'a', 0)
    phases.start('b', 'c', -1)
    phases.start('c', 'b', 5)
    phases.start('root', None, 2)
    phases.step('root', 99)
    assert phases.part == 1.0
    phases.start('second root', None, 4)
    assert phases.part == 1.0  # it never goes back


def test_progress_is_said_every_five_seconds(module: Any) -> None:
    now = 0.0
    said: list[float] = []
    monitor = make_monitor(
        module, lambda part, text: said.append(now), clock=lambda: now, stop=lambda: False
    )
    monitor.phase_start('all', None, 1000)
    for step in range(1000):
        now = step * 0.1
        assert monitor.step_complete('all', step)
    assert all(later - earlier >= EVERY for earlier, later in pairwise(said))
    assert len(said) == 20


# ---- what the inspector says


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('Row major linear FP32', 'fp32'),
        ('Row major linear FP16 format', 'fp16'),
        ('Channel major FP16 format where channel % 8 == 0', 'fp16'),
        ('Half', 'fp16'),
        ('Float', 'fp32'),
        ('BFloat16', 'bf16'),
        ('Thirty-two wide channel vectorized row major Int8 format.', 'int8'),
        ('Row major linear UInt8 format', 'uint8'),
        ('Int64', 'int64'),
        ('something new', 'unknown'),
    ],
)
def test_types_as_real_inspectors_write_them(text: str, expected: str) -> None:
    """Texts seen in reports to NVIDIA/TensorRT (#4020, #3876, #4048) and pytorch/pytorch#66683."""
    layer = f'{{"Name": "a", "LayerType": "kgen", "Outputs": [{{"Format/Datatype": "{text}"}}]}}'
    assert layer_precisions(f'{{"Layers": [{layer}]}}') == {expected: 1}


def test_layers_that_only_move_data_are_left_out() -> None:
    text = (
        '{"Layers": ["only a name", {"LayerType": "Reformat", "Outputs": [{"Datatype": "Half"}]},'
        '{"LayerType": "Convolution", "Outputs": []}, {"LayerType": "Constant"}]}'
    )
    assert layer_precisions(text) == {'unknown': 2}


@pytest.mark.parametrize('text', ['', '[]', '{}', 'null'])
def test_what_is_no_inspector_json(text: str) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        layer_precisions(text)


def test_the_inspector_of_every_version(module: Any, model: bytes) -> None:
    plan = build(model, BuildOptions(), module).plan
    engine = module.Runtime(module.Logger()).deserialize_cuda_engine(plan)
    counts = layer_precisions(inspect(engine, module))
    assert counts == inspect_plan(plan, module)
    assert sum(counts.values()) == TINY_LAYERS
    module.standin.demote = {'FLOAT': 'HALF'}
    assert half_share(layer_precisions(inspect(engine, module))) == 1.0


def test_half_share_of_nothing() -> None:
    assert half_share({'int8': 3}) is None
    assert half_share({'fp16': 3, 'fp32': 1, 'bool': 7}) == 0.75
