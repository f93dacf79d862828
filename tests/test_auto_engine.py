"""What `backend: auto` takes, and what it says of those that it does not take."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import tensorrt_standin
import tiny_model
from tensorrt_rig import Rig, check_answers, pair, write_model

from paif_ros.engines import SlowToLoad, TensorRtOptions, auto, make_engine
from paif_ros.engines.base import Engine
from paif_ros.errors import EngineError, EngineMismatch
from paif_ros.monitoring.notices import Level
from paif_ros.tensorrt.monitor import BuildStopped

ALL = pytest.mark.parametrize('version', tensorrt_standin.VERSIONS)
JETSON = '10.3.0'


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / 'model')


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auto, 'GPUS', ())


def auto_engine(rig: Rig, model: Path, provider: str = 'auto', **changes: Any) -> Engine:
    options = TensorRtOptions(cache_dir=str(model.parents[1] / 'cache'), **changes)
    engine = make_engine('auto', model, 1, provider, options)
    assert isinstance(engine, SlowToLoad)
    engine.attend(rig.tell, lambda: False)
    return engine


@ALL
@pytest.mark.parametrize('provider', ['auto', 'cuda'])
def test_tensorrt_comes_first(
    monkeypatch: pytest.MonkeyPatch, model: Path, version: str, provider: str
) -> None:
    rig = Rig(monkeypatch, version)
    engine = auto_engine(rig, model, provider)
    info = engine.load()
    assert (info.backend, info.provider) == ('tensorrt', 'Orin')
    assert info.reason.startswith(f'the fastest that works: tensorrt {version}')
    check_answers(engine)
    engine.close()
    engine.close()
    assert not rig.gpu.live
    with pytest.raises(EngineError, match='call load first'):
        engine.infer(*pair(0))


def test_the_cpu_alone_when_asked_for(monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    rig = Rig(monkeypatch, JETSON)
    info = auto_engine(rig, model, 'cpu').load()
    assert (info.backend, info.reason) == ('onnxruntime', 'engine.provider asks for it')
    assert not rig.gpu.calls
    assert not rig.standin.calls


def gone(rig: Rig, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'tensorrt', None)


def too_old(rig: Rig, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.module.__version__ = '8.6.2'


def no_device(rig: Rig, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.gpu.count = 0


def no_driver(rig: Rig, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.gpu.driver = 0


def no_pairs(rig: Rig, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (model.parent / 'tiny.parity.npz').unlink()


def unlike(rig: Rig, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.standin.spoil = lambda outputs: {**outputs, 'mask': outputs['mask'] // 2}


def unsupported(rig: Rig, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.standin.unsupported = frozenset({'Unsqueeze'})


def no_memory(rig: Rig, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.gpu.fails['cudaStreamCreateWithFlags'] = 'cudaErrorMemoryAllocation'


@pytest.mark.parametrize(
    ('change', 'why'),
    [
        (gone, 'it can not be imported'),
        (too_old, 'it is 8.6.2, older than 10.3'),
        (no_device, 'cudaGetDeviceCount failed with cudaErrorNoDevice'),
        (no_driver, 'no NVIDIA driver is loaded'),
        (no_pairs, 'lies no tiny.parity.npz'),
        (unlike, 'no engine agrees with FP32'),
        (unsupported, 'Unsqueeze'),
        (no_memory, 'cudaErrorMemoryAllocation'),
    ],
)
def test_else_onnx_runtime_and_why(
    monkeypatch: pytest.MonkeyPatch, model: Path, change: Any, why: str
) -> None:
    rig = Rig(monkeypatch, JETSON)
    change(rig, model, monkeypatch)
    engine = auto_engine(rig, model)
    info = engine.load()
    assert info.backend == 'onnxruntime'
    assert info.reason.startswith('no TensorRT: ')
    assert why in info.reason
    assert 'onnxruntime' in info.reason  # why that provider
    warnings = [text for level, text in rig.said if level == Level.WARN]
    assert any(why in text for text in warnings) == (change is not gone)
    check_answers(engine)
    engine.close()
    assert not rig.gpu.live


def test_where_there_is_a_gpu_a_missing_tensorrt_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, model: Path, tmp_path: Path
) -> None:
    rig = Rig(monkeypatch, JETSON)
    gone(rig, model, monkeypatch)
    monkeypatch.setattr(auto, 'GPUS', (str(tmp_path),))
    auto_engine(rig, model).load()
    ((level, text),) = rig.said
    assert level == Level.WARN
    assert text.startswith('TensorRT is not used: it can not be imported')
    assert 'python3-libnvinfer' in text


def test_a_kept_engine_that_is_refused_is_named(
    monkeypatch: pytest.MonkeyPatch, model: Path
) -> None:
    rig = Rig(monkeypatch, JETSON)
    auto_engine(rig, model).load()
    rig.use('10.7.0')
    info = auto_engine(rig, model, on_mismatch='refuse').load()
    assert info.backend == 'onnxruntime'
    assert 'library_version: expected 10.7.0, found 10.3.0' in info.reason
    assert rig.builds == 0


def test_a_model_outside_the_contract_is_nobody_s(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rig = Rig(monkeypatch, JETSON)
    engine = auto_engine(rig, write_model(tmp_path / 'model', outputs=('fused', 'labels')))
    with pytest.raises(EngineMismatch, match='outputs'):
        engine.load()


def test_where_nothing_works_it_says_of_each_why(
    monkeypatch: pytest.MonkeyPatch, model: Path
) -> None:
    rig = Rig(monkeypatch, JETSON)
    rig.gpu.count = 0
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    monkeypatch.setitem(sys.modules, 'openvino', None)
    with pytest.raises(EngineError, match=r'onnxruntime can not .*; and no TensorRT: cudaGetDevi'):
        auto_engine(rig, model).load()


def test_a_build_that_is_stopped_is_not_replaced(
    monkeypatch: pytest.MonkeyPatch, model: Path
) -> None:
    rig = Rig(monkeypatch, JETSON)
    engine = auto_engine(rig, model)
    engine.attend(rig.tell, lambda: True)
    with pytest.raises(BuildStopped):
        engine.load()


def test_another_file_under_the_same_name(monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    """The first load's engine is gone, whichever it was."""
    rig = Rig(monkeypatch, JETSON)
    engine = auto_engine(rig, model)
    engine.load()
    rig.standin.build_fails = 'no'
    tiny_model.write(model, work=1)
    assert engine.load().backend == 'onnxruntime'
    assert not rig.gpu.live
    check_answers(engine)
