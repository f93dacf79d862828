"""The ONNX Runtime engine against the contract: what it answers, and what it refuses and how."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_model
from onnx import TensorProto

from paif_ros.contract import INPUTS, OUTPUTS, TensorSpec, check_tensors
from paif_ros.engines import BACKENDS, make_engine
from paif_ros.engines import onnxruntime as engine_module
from paif_ros.engines.onnxruntime import OnnxRuntimeEngine
from paif_ros.errors import EngineError, EngineMismatch

SIZE = (48, 64)


def pair(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (*SIZE, 3), np.uint8), random.integers(0, 256, SIZE, np.uint8)


def test_answers_what_the_model_computes(tiny: Path) -> None:
    engine = make_engine('auto', tiny, threads=1)
    info = engine.load()
    assert (info.backend, info.provider) == ('onnxruntime', 'CPUExecutionProvider')
    assert info.card == tiny_model.card(SIZE)
    assert info.reason
    for seed in range(3):
        visible, thermal = pair(seed)
        prediction = engine.infer(visible, thermal)
        fused, mask = tiny_model.expected(visible, thermal)
        np.testing.assert_array_equal(prediction.fused, fused)
        np.testing.assert_array_equal(prediction.mask, mask)
        assert prediction.confidence is None
    engine.close()


def test_confidence_of_a_model_that_has_it(tmp_path: Path) -> None:
    with_it = tiny_model.write(tmp_path / 'with.onnx', confidence=True)
    engine = make_engine('auto', with_it, threads=1)
    engine.load()
    visible, thermal = pair(1)
    prediction = engine.infer(visible, thermal)
    fused, mask = tiny_model.expected(visible, thermal)
    np.testing.assert_array_equal(prediction.fused, fused)
    np.testing.assert_array_equal(prediction.mask, mask)
    assert prediction.confidence is not None
    np.testing.assert_array_equal(prediction.confidence, thermal)
    # The same engine may be given another file: nothing is left of the first one.
    tiny_model.write(with_it)
    engine.load()
    assert engine.infer(visible, thermal).confidence is None


def test_takes_views_that_are_not_contiguous(tiny: Path) -> None:
    engine = make_engine('onnxruntime', tiny, threads=1)
    engine.load()
    visible, thermal = pair()
    flipped = engine.infer(visible[::-1], thermal[:, ::-1])
    fused, mask = tiny_model.expected(visible[::-1], thermal[:, ::-1])
    np.testing.assert_array_equal(flipped.fused, fused)
    np.testing.assert_array_equal(flipped.mask, mask)


def test_needs_load_and_can_be_closed_twice(tiny: Path) -> None:
    engine = make_engine('auto', tiny)
    engine.close()
    with pytest.raises(EngineError, match='call load first'):
        engine.infer(*pair())
    engine.load()
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match='call load first'):
        engine.infer(*pair())
    engine.load()  # and opened again
    engine.infer(*pair())


@pytest.mark.parametrize(
    'inputs',
    [
        (np.zeros((48, 64), np.uint8), np.zeros((48, 64), np.uint8)),
        (np.zeros((48, 64, 3), np.float32), np.zeros((48, 64), np.uint8)),
        (np.zeros((48, 64, 3), np.uint8), np.zeros((48, 64), np.uint16)),
        (np.zeros((96, 64, 3), np.uint8), np.zeros((96, 64), np.uint8)),
    ],
)
def test_refuses_other_inputs(tiny: Path, inputs: tuple[np.ndarray, np.ndarray]) -> None:
    engine = make_engine('auto', tiny)
    engine.load()
    with pytest.raises(EngineError, match='this model takes uint8'):
        engine.infer(*inputs)
    engine.infer(*pair())


def test_a_failing_run_is_an_engine_error_and_the_next_one_works(tmp_path: Path) -> None:
    engine = make_engine('auto', tiny_model.write(tmp_path / 'm.onnx', poison=True))
    engine.load()
    visible, thermal = pair()
    thermal[0, 0] = 255
    with pytest.raises(EngineError, match='inference failed'):
        engine.infer(visible, thermal)
    engine.infer(visible, np.minimum(thermal, 254))


def test_missing_and_broken_files(tmp_path: Path, tiny: Path) -> None:
    with pytest.raises(EngineError, match=r'no model file .*export/to_onnx.py'):
        make_engine('auto', tmp_path / 'absent.onnx').load()
    with pytest.raises(EngineError, match='no model file'):
        make_engine('onnxruntime', tmp_path).load()  # a folder
    for name, content in (
        ('empty.onnx', b''),
        ('text.onnx', b'version https://git-lfs.github.com/spec/v1\n'),
        ('cut.onnx', tiny.read_bytes()[:300]),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises((EngineError, EngineMismatch)) as caught:
            make_engine('auto', path).load()
        assert 'export' in str(caught.value), name


@pytest.mark.parametrize(
    ('change', 'field'),
    [
        ({'dtype': TensorProto.FLOAT}, 'tensor visible dtype'),
        ({'outputs': ('fused', 'labels')}, 'outputs'),
        ({'outputs': ('fused', 'labels'), 'confidence': True}, 'outputs'),
        ({'outputs': ('fused', 'confidence')}, 'outputs'),
        ({'metadata': {}}, 'metadata contract'),
        ({'metadata': {**tiny_model.card(SIZE).to_metadata(), 'contract': '2'}}, 'contract'),
        ({'metadata': {**tiny_model.card(SIZE).to_metadata(), 'classes': '?'}}, 'metadata'),
        (
            {'metadata': {**tiny_model.card(SIZE).to_metadata(), 'input_size': '[48, 1e999]'}},
            'meta',
        ),
        ({'metadata': tiny_model.card((96, 64)).to_metadata()}, 'tensor visible shape'),
        ({'batch': 2}, 'tensor visible batch size'),
    ],
)
def test_models_outside_the_contract(tmp_path: Path, change: dict, field: str) -> None:
    path = tiny_model.write(tmp_path / 'm.onnx', **change)
    engine = make_engine('auto', path)
    with pytest.raises(EngineMismatch) as caught:
        engine.load()
    assert field in caught.value.field
    with pytest.raises(EngineError):  # nothing half open is left
        engine.infer(*pair())


@pytest.mark.parametrize(
    ('confidence', 'field'),
    [
        (TensorSpec('confidence', 'uint8', (1, *SIZE)), None),
        (TensorSpec('confidence', 'float32', (1, *SIZE)), 'tensor confidence dtype'),
        (TensorSpec('confidence', 'uint8', (1, *SIZE, 3)), 'tensor confidence shape'),
        (TensorSpec('confidence', 'uint8', (1, 24, 32)), 'tensor confidence shape'),
    ],
)
def test_confidence_is_a_map_of_bytes_at_full_size(
    confidence: TensorSpec, field: str | None
) -> None:
    picture, flat = (1, *SIZE, 3), (1, *SIZE)
    inputs, outputs = (
        {names[0]: TensorSpec(names[0], 'uint8', picture)}
        | {names[1]: TensorSpec(names[1], 'uint8', flat)}
        for names in (INPUTS, OUTPUTS)
    )
    check_tensors(inputs, outputs, SIZE)
    outputs['confidence'] = confidence
    if field is None:
        check_tensors(inputs, outputs, SIZE)
        return
    with pytest.raises(EngineMismatch) as caught:
        check_tensors(inputs, outputs, SIZE)
    assert caught.value.field == field


def test_a_batch_of_any_size_runs_one_pair(tmp_path: Path) -> None:
    engine = make_engine('auto', tiny_model.write(tmp_path / 'm.onnx', batch='N'))
    engine.load()
    assert engine.infer(*pair()).mask.shape == SIZE


def test_unknown_backend_and_ending(tiny: Path) -> None:
    with pytest.raises(EngineError, match='one of auto, onnxruntime'):
        make_engine('tensorrt7', tiny)
    for backend in BACKENDS:
        for name in ('model.engine', 'model.plan', 'model.trt'):
            with pytest.raises(EngineError, match=r'one GPU and one version .*the \.onnx file'):
                make_engine(backend, name)
    for backend in ('auto', 'tensorrt', 'tensorrt_rtx'):
        with pytest.raises(EngineError, match=r'no engine reads \.pt .*give an \.onnx file'):
            make_engine(backend, 'model.pt')


def test_cuda_where_there_is_none(tiny: Path) -> None:
    import onnxruntime

    if 'CUDAExecutionProvider' in onnxruntime.get_available_providers():
        pytest.skip('this onnxruntime has CUDA')
    with pytest.raises(EngineError, match='onnxruntime-gpu'):
        OnnxRuntimeEngine(tiny, provider='cuda').load()
    assert 'without CUDA' in OnnxRuntimeEngine(tiny).load().reason
    assert 'asks for it' in OnnxRuntimeEngine(tiny, provider='cpu').load().reason


def test_without_onnxruntime(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    with pytest.raises(EngineError, match='pip install'):
        OnnxRuntimeEngine(tiny).load()
    assert engine_module.BACKEND == 'onnxruntime'


def test_runs_without_torch_and_without_onnx(tiny: Path) -> None:
    """A robot has neither: block both and run a pair."""
    code = f"""
import sys
for name in ('torch', 'onnx', 'torchvision'):
    sys.modules[name] = None
import numpy as np
from paif_ros.engines import make_engine
engine = make_engine('auto', {str(tiny)!r}, 1)
engine.load()
print(engine.infer(np.zeros((48, 64, 3), np.uint8), np.zeros((48, 64), np.uint8)).mask.sum())
"""
    result = subprocess.run(
        [sys.executable, '-c', code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=Path(__file__).parents[1],
    )
    assert result.stdout.strip() == '0', result.stderr
