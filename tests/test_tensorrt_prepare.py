"""The parity gate, and everything between an ONNX file and an engine that may be used."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import build_rig
import numpy as np
import onnx
import pytest
import tensorrt_standin
import tiny_model
from build_rig import ALL, ORIN, SIZE, Rig, make_model, write_pairs

from paif_ros.contract import ModelCard
from paif_ros.engines.base import Prediction
from paif_ros.errors import EngineError, EngineMismatch
from paif_ros.tensorrt import onnx_file
from paif_ros.tensorrt.builder import BuildOptions
from paif_ros.tensorrt.fingerprint import Fingerprint
from paif_ros.tensorrt.model_file import read_model
from paif_ros.tensorrt.monitor import BuildStopped
from paif_ros.tensorrt.parity import Pair, find_pairs, judge, load_pairs
from paif_ros.tensorrt.prepare import ParityError, Prepared

CARD = tiny_model.card(SIZE)
ROOT = Path(__file__).resolve().parents[1]


# ---- the pairs


def test_pairs_beside_the_model_that_is_shipped() -> None:
    path = ROOT / 'models' / 'weights' / 'paif_small.onnx'
    card = onnx_file.read(path.read_bytes()).card()
    pairs = find_pairs(path, card)
    assert len(pairs) >= 4
    for pair in pairs:
        assert pair.expected.confidence is not None
        assert pair.visible.shape == (*card.input_size, 3)
        assert len(np.unique(pair.expected.mask)) > 1  # else flat masks would go unseen


def test_pairs_of_the_same_weights_serve_every_export(tmp_path: Path) -> None:
    write_pairs(tmp_path / 'a_other.parity.npz', weights_sha256=np.array('1' * 64))
    write_pairs(tmp_path / 'tiny.parity.npz', count=3)
    assert len(find_pairs(tmp_path / 'tiny_mixed.onnx', CARD)) == 3


def test_no_pairs_no_engine(tmp_path: Path) -> None:
    with pytest.raises(EngineError) as caught:
        find_pairs(tmp_path / 'tiny.onnx', CARD)
    for word in ('tiny.parity.npz', '48x64', 'export.parity_pairs', 'onnxruntime'):
        assert word in str(caught.value)


GRAY = np.zeros((2, *SIZE), np.uint8)


@pytest.mark.parametrize(
    ('other', 'field'),
    [
        ({'mask': GRAY.astype(np.int64)}, 'mask'),
        ({'mask': GRAY[:, :, 1:]}, 'mask'),
        ({'mask': GRAY[:0]}, 'pairs'),
        ({'mask': np.uint8(3)}, 'pairs'),
        ({'thermal': GRAY[:1]}, 'thermal'),
        ({'confidence': GRAY[:1]}, 'confidence'),
        ({'fused': GRAY}, 'fused'),
        ({'names': np.array(['one'])}, 'names'),
        ({'weights_sha256': np.array('1' * 64)}, 'weights_sha256'),
        ({'mask': np.zeros((65, *SIZE), np.uint8)}, 'pairs'),
    ],
)
def test_pairs_that_do_not_fit_are_named(tmp_path: Path, other: dict, field: str) -> None:
    path = write_pairs(tmp_path / 'tiny.parity.npz', **other)
    with pytest.raises(EngineMismatch) as caught:
        load_pairs(path, CARD)
    assert caught.value.field == field
    assert 'export.parity_pairs' in str(caught.value)


def test_pairs_are_not_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / 'sprung',))

    path = tmp_path / 'tiny.parity.npz'
    np.savez(path, mask=np.array([Trap()], dtype=object))
    with pytest.raises(EngineMismatch, match='parity file'):
        load_pairs(path, CARD)
    assert not (tmp_path / 'sprung').exists()


def test_pairs_that_unpack_without_end_are_refused(tmp_path: Path) -> None:
    path = tmp_path / 'tiny.parity.npz'
    np.savez_compressed(path, mask=np.zeros((1, 64, *SIZE, 64), np.uint8))
    assert path.stat().st_size < 100_000
    with pytest.raises(EngineMismatch, match='at most 18'):
        load_pairs(path, CARD)


def test_broken_pairs_are_refused(tmp_path: Path) -> None:
    random = np.random.default_rng(8)
    path = write_pairs(tmp_path / 'tiny.parity.npz')
    good = path.read_bytes()
    refused = 0
    for _ in range(300):
        data = bytearray(good)
        for _ in range(int(random.integers(1, 4))):
            data[int(random.integers(len(data)))] ^= 1 << int(random.integers(8))
        path.write_bytes(data[: int(random.integers(1, len(data) + 1))])
        try:
            load_pairs(path, CARD)
        except EngineMismatch:
            refused += 1
    assert refused > 290  # what is left are bits that a ZIP does not mind


# ---- the verdict


class Answers:
    """An engine that answers as FP32 does, but for what `change` does to it."""

    def __init__(self, pairs: tuple[Pair, ...], change: Any = None) -> None:
        self.left = iter(pairs)
        self.change = change or (lambda fused, mask: (fused, mask))

    def load(self) -> Any:
        raise NotImplementedError

    def infer(self, visible: np.ndarray, thermal: np.ndarray) -> Prediction:
        pair = next(self.left)
        np.testing.assert_array_equal(visible, pair.visible)
        np.testing.assert_array_equal(thermal, pair.thermal)
        fused, mask = self.change(pair.expected.fused.copy(), pair.expected.mask.copy())
        return Prediction(fused, mask, pair.expected.confidence)

    def close(self) -> None:
        pass


@pytest.fixture
def pairs(tmp_path: Path) -> tuple[Pair, ...]:
    return load_pairs(write_pairs(tmp_path / 'tiny.parity.npz'), CARD)


def test_the_same_answers_pass(pairs: tuple[Pair, ...]) -> None:
    verdict = judge(Answers(pairs), pairs)
    assert verdict.passed
    assert verdict.reasons == ()
    assert [(r.mask_agreement, r.fused_psnr, r.fused_max) for r in verdict.pairs] == [
        (1.0, 99.0, 0)
    ] * 2
    assert '100.00 %' in str(verdict)
    json.dumps(verdict.to_dict())


def wrong_pixels(count: int) -> Any:
    def change(fused: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mask.reshape(-1)[:count] = (mask.reshape(-1)[:count] + 1) % 3
        return fused, mask

    return change


PIXELS = SIZE[0] * SIZE[1]


@pytest.mark.parametrize(
    ('part', 'int8', 'passed'),
    [(0.004, False, True), (0.006, False, False), (0.006, True, True), (0.011, True, False)],
)
def test_mask_bounds(pairs: tuple[Pair, ...], part: float, int8: bool, passed: bool) -> None:
    verdict = judge(Answers(pairs, wrong_pixels(int(PIXELS * part))), pairs, int8)
    assert verdict.passed == passed
    assert verdict.mask_bound == (0.990 if int8 else 0.995)
    if not passed:
        assert 'pair0' in verdict.reasons[0]
        assert f'{verdict.mask_bound:.1%}' in str(verdict)


def test_the_worst_pair_decides(pairs: tuple[Pair, ...]) -> None:
    calls = iter(range(2))

    def change(fused: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return wrong_pixels(PIXELS // 100)(fused, mask) if next(calls) else (fused, mask)

    verdict = judge(Answers(pairs, change), pairs)
    assert [reason.split(':')[0] for reason in verdict.reasons] == ['pair pair1']


@pytest.mark.parametrize(('levels', 'passed'), [(1, True), (2, False)])
def test_fused_bound(pairs: tuple[Pair, ...], levels: int, passed: bool) -> None:
    """One level off everywhere is 48.1 dB, two are 42.1."""

    def change(fused: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.where(fused < 128, fused + levels, fused - levels).astype(np.uint8), mask

    verdict = judge(Answers(pairs, change), pairs)
    assert verdict.passed == passed
    assert verdict.pairs[0].fused_psnr == pytest.approx(20 * np.log10(255 / levels))
    assert verdict.pairs[0].fused_max == levels
    assert passed or '45 dB' in str(verdict)


def test_flat_answers_are_named(pairs: tuple[Pair, ...]) -> None:
    def change(fused: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros_like(fused), np.full_like(mask, 2)

    verdict = judge(Answers(pairs, change), pairs)
    assert not verdict.passed
    assert 'as a NaN or an overflow' in str(verdict)
    assert '#4723' in str(verdict)


# ---- prepare


@pytest.fixture(params=ALL)
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Rig:
    rig = Rig(tmp_path, request.param)
    rig.standin.device = rig.device.name
    return rig


def test_builds_once_and_keeps(rig: Rig) -> None:
    first = rig.prepare()
    assert not first.cached
    assert first.path is not None
    assert first.path.read_bytes() == first.plan
    assert first.precision == 'fp32'
    assert first.card == CARD
    assert all(engine.closed for engine in rig.loaded)
    second = rig.prepare()
    assert second == replace(first, cached=True)
    assert rig.builds == 1
    assert second.report['attempts'][0]['parity']['passed']
    assert second.report['attempts'][0]['layers']['found']['fp32'] > 0
    assert (rig.progress[0][0], len(rig.progress)) == (pytest.approx(1 / 12), 1)
    timing = list(rig.cache.folder.glob('timing-*.bin'))
    assert [path.name for path in timing] == [
        f'timing-{rig.module.__name__}-{rig.version}-{rig.device.compute_capability}.bin'
    ]


def bad_masks(outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """As NVIDIA/TensorRT#4723 describes it: one class everywhere."""
    return outputs | {'mask': np.zeros_like(outputs['mask'])}


def test_an_engine_that_answers_otherwise_is_not_kept(rig: Rig) -> None:
    rig.standin.spoil = bad_masks
    with pytest.raises(ParityError) as caught:
        rig.prepare()
    assert 'no engine agrees with FP32' in str(caught.value)
    assert '#4723' in str(caught.value)
    assert 'onnxruntime' in str(caught.value)
    assert caught.value.report['attempts'][0]['parity']['passed'] is False
    json.dumps(caught.value.report)
    assert list(rig.cache.folder.glob('*.plan*')) == []
    rig.standin.spoil = lambda outputs: outputs
    assert not rig.prepare(again=True).cached


def test_a_refusal_is_remembered(rig: Rig) -> None:
    """Else a robot would spend minutes at each start to find the same again."""
    rig.standin.spoil = bad_masks
    with pytest.raises(ParityError) as first:
        rig.prepare()
    with pytest.raises(ParityError, match='earlier start') as second:
        rig.prepare()
    assert rig.builds == 1
    assert first.value.reason in second.value.reason
    assert second.value.report == json.loads(json.dumps(first.value.report))
    path = rig.cache.refusal(rig_fingerprint(rig))
    assert str(path) in second.value.reason
    # Broken, or somebody else's: it is found out again.
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ParityError):
        rig.prepare()
    assert rig.builds == 2
    # Whatever is new may do better: other pairs, or a safer export.
    write_pairs(rig.folder / 'tiny.parity.npz', count=3)
    with pytest.raises(ParityError):
        rig.prepare()
    assert rig.builds == 3
    make_model(rig.folder, 'mixed', 'tiny_mixed.onnx')
    rig.path = rig.folder / 'tiny_mixed.onnx'
    (rig.folder / 'tiny.onnx').rename(rig.folder / 'away')
    for builds in (4, 4):
        with pytest.raises(ParityError):
            rig.prepare()
        assert rig.builds == builds
    (rig.folder / 'away').rename(rig.folder / 'tiny.onnx')
    with pytest.raises(ParityError):
        rig.prepare()
    assert rig.builds == 6
    rig.cache.refusal(rig_fingerprint(rig)).unlink()
    rig.standin.spoil = lambda outputs: outputs
    assert rig.prepare().precision == 'mixed'


def rig_fingerprint(rig: Rig) -> Fingerprint:
    model = read_model(rig.path)
    return Fingerprint.of(model.data, model.card, rig.options, rig.module, rig.device)


def test_an_engine_that_does_not_run_is_not_kept(rig: Rig) -> None:
    rig.standin.execute_fails = True
    with pytest.raises(ParityError, match='inference failed'):
        rig.prepare()
    rig.standin.execute_fails = False
    rig.standin.deserialize_fails = True
    with pytest.raises(ParityError, match='can not be loaded'):
        rig.prepare()
    rig.standin.deserialize_fails = False
    rig.standin.build_fails = 'Could not find any implementation for node {ForeignNode}'
    with pytest.raises(ParityError, match='Could not find any implementation'):
        rig.prepare()
    assert rig.builds == 3  # none of that is remembered: it may work another time
    assert list(rig.cache.folder.glob('*.plan*')) == []


def spoil_first(count: int) -> Any:
    """Spoil the first `count` engines that run: each runs two pairs."""
    left = iter(range(2 * count))

    def spoil(outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return bad_masks(outputs) if next(left, None) is not None else outputs

    return spoil


@pytest.mark.parametrize(('bad', 'precision'), [(0, 'mixed'), (1, 'safe'), (2, 'fp32')])
def test_safer_forms_are_tried_in_order(rig: Rig, bad: int, precision: str) -> None:
    for kind in ('safe', 'int8', 'mixed'):
        # Each another file: else all would be one and the same engine.
        make_model(rig.folder, kind, f'tiny_{kind}.onnx', confidence=kind == 'safe')
    make_model(rig.folder / 'elsewhere', 'safe')
    other = replace(CARD, weights_sha256='2' * 64)
    tiny_model.write(rig.folder / 'other.onnx', SIZE, metadata=other.to_metadata())
    (rig.folder / 'broken.onnx').write_bytes(b'broken')
    rig.path = rig.folder / 'tiny_mixed.onnx'
    rig.standin.spoil = spoil_first(bad)
    prepared = rig.prepare()
    assert prepared.precision == precision
    assert prepared.card.precision == 'mixed'
    tried = [attempt['precision'] for attempt in prepared.report['attempts']]
    assert tried == ['mixed', 'safe', 'fp32'][: bad + 1]
    refusals = [notice for notice in rig.notices if notice.startswith('refused: ')]
    assert len(refusals) == bad
    # The next start finds it, and does not try again what was refused.
    again = rig.prepare()
    assert again == replace(prepared, cached=True)
    assert rig.builds == bad + 1


def test_a_form_that_can_not_be_built_gives_way_to_a_safer_one(rig: Rig) -> None:
    make_model(rig.folder, 'mixed', 'tiny_mixed.onnx', confidence=True)
    rig.path = rig.folder / 'tiny_mixed.onnx'
    real = rig.module.Builder.build_serialized_network

    def fail_once(self: Any, network: Any, config: Any) -> Any:
        rig.standin.build_fails = 'no implementation' if network.num_outputs == 3 else ''
        return real(self, network, config)

    rig.module.Builder.build_serialized_network = fail_once
    prepared = rig.prepare()
    assert prepared.precision == 'fp32'
    assert 'no implementation' in prepared.report['attempts'][0]['error']


def test_all_forms_refused(rig: Rig) -> None:
    make_model(rig.folder, 'mixed', 'tiny_mixed.onnx')
    rig.path = rig.folder / 'tiny_mixed.onnx'
    rig.standin.spoil = bad_masks
    with pytest.raises(ParityError) as caught:
        rig.prepare()
    assert 'tiny_mixed.onnx (mixed)' in str(caught.value)
    assert 'tiny.onnx (fp32)' in str(caught.value)
    assert len(caught.value.report['attempts']) == 2


def test_fp16_that_was_asked_and_not_delivered_is_said(rig: Rig, tmp_path: Path) -> None:
    make_model(rig.folder, 'mixed', 'tiny_mixed.onnx')
    rig.path = rig.folder / 'tiny_mixed.onnx'
    real = rig.module.INetworkDefinition.get_layer

    def as_half(self: Any, index: int) -> Any:
        layer = real(self, index)
        layer._layer = replace(layer._layer, precision='HALF')
        return layer

    rig.module.INetworkDefinition.get_layer = as_half
    prepared = rig.prepare()
    layers = prepared.report['attempts'][0]['layers']
    assert (layers['asked_fp16'], layers['found_fp16'], layers['enough_fp16']) == (1, 0, False)
    assert any('slower than it could be' in notice for notice in rig.notices)


def test_layers_that_can_not_be_inspected_are_not_measured(rig: Rig) -> None:
    def fail(_self: Any, _format: Any) -> str:
        return 'not JSON'

    rig.module.EngineInspector.get_engine_information = fail
    assert rig.prepare().report['attempts'][0]['layers']['found'] == 'not measured'


CHANGES = {
    'onnx_sha256': 'a new export',
    'library_version': 'another TensorRT',
    'cuda_version': 'another CUDA',
    'device_name': 'another GPU',
    'compute_capability': 'another GPU',
    'flags': 'other options',
}


def change(rig: Rig, field: str) -> None:
    if field == 'onnx_sha256':
        make_model(rig.folder, confidence=True)
    elif field == 'library_version':
        rig.module.__version__ = '11.5.0' if rig.version != tensorrt_standin.RTX else '1.9'
    elif field == 'cuda_version':
        rig.device = replace(rig.device, runtime_version=rig.device.runtime_version + '1')
    elif field == 'device_name':
        rig.device = replace(rig.device, name='Orin NX')
        rig.standin.device = 'Orin NX'
    elif field == 'compute_capability':
        rig.device = replace(rig.device, compute_capability='12.0', driver_version='14.0')
    elif field == 'flags':
        rig.options = BuildOptions(optimization_level=4)


@pytest.mark.parametrize('field', CHANGES)
def test_every_mismatch_is_named_and_rebuilt_or_refused(rig: Rig, field: str) -> None:
    first = rig.prepare()
    change(rig, field)
    if field == 'cuda_version':
        rig.device = replace(rig.device, driver_version=rig.device.runtime_version)
    with pytest.raises(EngineMismatch) as caught:
        rig.prepare('refuse')
    assert caught.value.field == field
    found = getattr(first.fingerprint, field)
    assert str(caught.value.found) == str(found)
    assert 'on_mismatch' in str(caught.value)
    assert rig.builds == 1
    rig.notices.clear()
    again = rig.prepare()
    assert not again.cached
    assert any(field in notice and 'built again' in notice for notice in rig.notices)
    assert rig.builds == 2
    assert rig.prepare('refuse').cached
    assert set(CHANGES) | {'library', 'precision', 'shapes'} == {
        field.name for field in fields(Fingerprint)
    }


def test_several_mismatches_are_all_named(rig: Rig) -> None:
    rig.prepare()
    for field in ('device_name', 'flags'):
        change(rig, field)
    with pytest.raises(EngineMismatch) as caught:
        rig.prepare('refuse')
    assert caught.value.field == 'device_name, flags'


def test_the_first_engine_is_built_also_with_refuse(rig: Rig) -> None:
    make_model(rig.folder / 'other_model', 'mixed')
    assert not rig.prepare('refuse').cached
    rig.path = rig.folder / 'other_model' / 'tiny.onnx'  # of another precision: another model
    assert not rig.prepare('refuse').cached


def test_unknown_policies(rig: Rig) -> None:
    with pytest.raises(ValueError, match='ignore'):
        rig.prepare('ignore')


def test_a_build_that_is_given_up_leaves_nothing(rig: Rig) -> None:
    with pytest.raises(BuildStopped):
        rig.prepare(stop=lambda: True)
    assert list(rig.cache.folder.glob('*.plan*')) == []
    assert not rig.prepare().cached


def test_without_pairs_no_minute_is_spent(rig: Rig) -> None:
    (rig.folder / 'tiny.parity.npz').unlink()
    with pytest.raises(EngineError, match=r'export\.parity_pairs'):
        rig.prepare()
    assert rig.builds == 0


@pytest.mark.parametrize('name', ['model.plan', 'model.engine', 'model.trt'])
def test_engines_are_no_models(tmp_path: Path, name: str) -> None:
    with pytest.raises(EngineError, match=r'give the \.onnx'):
        read_model(tmp_path / name)


def test_models_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match='model_path'):
        read_model(tmp_path / 'none.onnx')


def test_prepared_has_what_the_engine_needs(rig: Rig) -> None:
    names = {field.name for field in fields(Prepared)}
    assert names == {'plan', 'card', 'fingerprint', 'precision', 'path', 'cached', 'report'}
    assert rig.prepare().fingerprint.device_name == rig.device.name
    assert ORIN.compute_capability == '8.7'


# ---- reading ONNX without the onnx package


@pytest.mark.parametrize(
    'changes', [{}, {'confidence': True}, {'batch': 'N'}, {'batch': 4}, {'work': 2}]
)
def test_onnx_files_as_the_onnx_package_reads_them(tmp_path: Path, changes: dict) -> None:
    path = tiny_model.write(tmp_path / 'model.onnx', SIZE, **changes)
    check_against_onnx(path)
    assert onnx_file.read(path.read_bytes()).card() == CARD


def test_the_shipped_file_as_the_onnx_package_reads_it() -> None:
    check_against_onnx(ROOT / 'models' / 'weights' / 'paif_small.onnx')


def check_against_onnx(path: Path) -> None:
    found = onnx_file.read(path.read_bytes())
    model = onnx.load(path)
    assert found.metadata == {entry.key: entry.value for entry in model.metadata_props}
    for listed, ours in ((model.graph.input, found.inputs), (model.graph.output, found.outputs)):
        assert set(ours) == {info.name for info in listed}
        for info in listed:
            tensor = info.type.tensor_type
            sides = [d.dim_value if d.HasField('dim_value') else None for d in tensor.shape.dim]
            assert ours[info.name].shape == tuple(sides)
            assert ours[info.name].dtype == 'uint8'


def test_contracts_are_checked_without_the_onnx_package(tmp_path: Path) -> None:
    for changes, field in (
        ({'dtype': onnx.TensorProto.FLOAT}, 'tensor visible dtype'),
        ({'outputs': ('a', 'b')}, 'outputs'),
        ({'metadata': {}}, 'metadata contract'),
        ({'metadata': tiny_model.card((32, 32)).to_metadata()}, 'tensor visible shape'),
    ):
        path = tiny_model.write(tmp_path / 'model.onnx', SIZE, **changes)
        with pytest.raises(EngineMismatch) as caught:
            read_model(path)
        assert caught.value.field == field


def test_broken_onnx_files(tmp_path: Path) -> None:
    random = np.random.default_rng(4)
    good = tiny_model.write(tmp_path / 'model.onnx', SIZE).read_bytes()
    outcomes = {'card': 0, 'refused': 0}
    for number in range(3000):
        data = bytearray(good)
        if number % 3 == 0:
            data = data[: int(random.integers(len(data)))]
        elif number % 3 == 1:
            for _ in range(int(random.integers(1, 6))):
                data[int(random.integers(len(data)))] ^= 1 << int(random.integers(8))
        else:
            data = bytearray(random.bytes(int(random.integers(0, 300))))
        try:
            card = onnx_file.read(bytes(data)).card()
        except EngineMismatch:
            outcomes['refused'] += 1
        else:
            assert isinstance(card, ModelCard)
            outcomes['card'] += 1
    assert outcomes['refused'] > 2000
    assert build_rig.SIZE == SIZE
