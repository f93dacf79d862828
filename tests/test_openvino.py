"""The OpenVINO engine: answers as ONNX Runtime does, in FP32, and refuses with the same care."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import numpy as np
import onnx
import pytest
import tiny_model
from onnx import TensorProto, helper

openvino = pytest.importorskip('openvino', reason='openvino is optional')

from paif_ros.engines import make_engine
from paif_ros.errors import EngineError, EngineMismatch
from paif_ros.fusion.worker import step_back

ROOT = Path(__file__).resolve().parents[1]
SIZE = (48, 64)


def pair(size: tuple[int, int] = SIZE, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (*size, 3), np.uint8), random.integers(0, 256, size, np.uint8)


@pytest.fixture(scope='module')
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.write(tmp_path_factory.mktemp('tiny') / 'm.onnx', confidence=True)


def test_answers_what_the_model_computes_and_keeps_its_answers(tiny: Path) -> None:
    engine = make_engine('openvino', tiny, threads=1)
    info = engine.load()
    assert (info.backend, info.provider, info.precision) == ('openvino', 'CPU', 'fp32')
    assert 'f32, 1 threads' in info.reason
    assert info.card == tiny_model.card(SIZE)
    answers = [engine.infer(*pair(seed=seed)) for seed in range(3)]
    for seed, found in enumerate(answers):  # all at the end: none was overwritten by the next
        fused, mask = tiny_model.expected(*pair(seed=seed))
        np.testing.assert_array_equal(found.fused, fused)
        np.testing.assert_array_equal(found.mask, mask)
        assert found.confidence is not None
        np.testing.assert_array_equal(found.confidence, pair(seed=seed)[1])
    visible, thermal = pair()
    flipped = engine.infer(visible[::-1], thermal[:, ::-1])
    np.testing.assert_array_equal(flipped.mask, tiny_model.expected(visible, thermal[:, ::-1])[1])
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match='call load first'):
        engine.infer(*pair())


def test_equals_onnx_runtime_on_the_shipped_network() -> None:
    """Rounding to bytes turns 1e-4 of 0 to 1 into one grey level at most, seldom."""
    model = ROOT / 'models' / 'weights' / 'paif_nano.onnx'
    answers = []
    for backend in ('onnxruntime', 'openvino'):
        engine = make_engine(backend, model, threads=1, provider='cpu')
        size = engine.load().card.input_size
        answers.append(engine.infer(*pair(size)))
        engine.close()
    ours, theirs = answers
    off = np.abs(ours.fused.astype(int) - theirs.fused)
    assert off.max() <= 1
    assert (off > 0).mean() < 0.01  # a level is 3.9e-3: 1e-4 moves 2.6 % of it at the very most
    assert (ours.mask == theirs.mask).mean() > 0.9995


@pytest.fixture(scope='module')
def fine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose mask tells FP32 from bfloat16: a product of 24 bits, less 8 of them."""
    model = onnx.load(tiny_model.write(tmp_path_factory.mktemp('fine') / 'm.onnx'))
    size = (1, 1, *SIZE)
    nodes = [
        helper.make_node('Cast', ['thermal'], ['f'], to=TensorProto.FLOAT),
        helper.make_node('Reshape', ['f', 'shape'], ['x']),
        helper.make_node('Conv', ['x', 'weight'], ['y']),
        helper.make_node('Sub', ['y', 'base'], ['d']),
        helper.make_node('Reshape', ['d', 'flat'], ['r']),
        helper.make_node('Cast', ['r'], ['mask'], to=TensorProto.UINT8),
        helper.make_node('Identity', ['visible'], ['fused']),
    ]
    weights = [
        helper.make_tensor('shape', TensorProto.INT64, [4], size),
        helper.make_tensor('flat', TensorProto.INT64, [3], (1, *SIZE)),
        helper.make_tensor('weight', TensorProto.FLOAT, [1, 1, 1, 1], [257.0]),
        helper.make_tensor('base', TensorProto.FLOAT, [1], [257.0 * 200]),
    ]
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(weights)
    path = tmp_path_factory.mktemp('fine') / 'm.onnx'
    onnx.save(model, path)
    return path


def test_bfloat16_is_not_used_silently(fine: Path) -> None:
    engine = make_engine('openvino', fine, threads=1)
    engine.load()
    visible, _ = pair()
    # 257 times 200 needs 16 bits, bfloat16 has 8.
    assert engine.infer(visible, np.full(SIZE, 200, np.uint8)).mask.max() == 0
    compiled = openvino.Core().compile_model(str(fine), 'CPU', {'INFERENCE_PRECISION_HINT': 'f32'})
    assert compiled.get_property('INFERENCE_PRECISION_HINT') == openvino.Type.f32


def test_another_precision_is_refused(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = openvino.Core.compile_model

    def by_itself(core: object, model: object, device: str, settings: dict) -> object:
        return real(core, model, device, {**settings, 'INFERENCE_PRECISION_HINT': 'f16'})

    monkeypatch.setattr(openvino.Core, 'compile_model', by_itself)
    with pytest.raises(EngineError, match=r'although f32 was asked for|can not load'):
        make_engine('openvino', tiny).load()


def test_missing_broken_and_foreign_files(tmp_path: Path, tiny: Path) -> None:
    with pytest.raises(EngineError, match=r'no model file .*export/to_onnx.py'):
        make_engine('openvino', tmp_path / 'absent.onnx').load()
    cut = tmp_path / 'cut.onnx'
    for data in (b'', b'version https://git-lfs', tiny.read_bytes()[:300]):
        cut.write_bytes(data)
        with pytest.raises((EngineError, EngineMismatch)):
            make_engine('openvino', cut).load()
    path = tiny_model.write(tmp_path / 'float.onnx', dtype=TensorProto.FLOAT)
    with pytest.raises(EngineMismatch, match='dtype'):
        make_engine('openvino', path).load()
    with pytest.raises(EngineMismatch, match='batch size'):
        make_engine('openvino', tiny_model.write(tmp_path / 'two.onnx', batch=2)).load()
    with pytest.raises(EngineError, match='runs on CPUs'):
        make_engine('openvino', tiny, provider='cuda')
    engine = make_engine('openvino', tiny)
    engine.load()
    with pytest.raises(EngineError, match='this model takes uint8'):
        engine.infer(np.zeros((96, 64, 3), np.uint8), np.zeros(SIZE, np.uint8))


def test_auto_takes_it_where_onnx_runtime_is_missing(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    info = make_engine('auto', tiny, 1, 'cpu').load()
    assert info.backend == 'openvino'
    assert info.reason.startswith('no ONNX Runtime; openvino')
    monkeypatch.setitem(sys.modules, 'openvino', None)
    with pytest.raises(EngineError, match='pip install openvino'):
        make_engine('openvino', tiny).load()
    with pytest.raises(EngineError, match=r'onnxruntime.*and no OpenVINO'):
        make_engine('auto', tiny, 1, 'cpu').load()


def test_inference_steps_back_and_nobody_else(tiny: Path) -> None:
    mine = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    found: list[int] = []

    def work() -> None:
        step_back(7)
        engine = make_engine('onnxruntime', tiny, threads=3, provider='cpu')
        before = set(os.listdir('/proc/self/task'))
        engine.load()
        started = set(os.listdir('/proc/self/task')) - before
        found.extend(os.getpriority(os.PRIO_PROCESS, int(task)) for task in started)
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(found) > 1  # the engine has threads of its own
    assert set(found) == {max(7, mine)}
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == mine
