"""The mixed model: what is in FP16, that it stays near FP32, and that FP32 is what it was."""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='torch is a development dependency')
onnx = pytest.importorskip('onnx', reason='onnx is a development dependency')

from export.graph_rules import broken_precision, broken_rules, computed_in
from export.half import FastHalf
from export.islands import MARK, answers, main
from export.moved import NO_NOISE, Answer, Moved, compare, psnr
from export.to_onnx import export_onnx, read_pairs
from export.to_onnx import main as to_onnx
from models.checkpoint import load_paif
from models.crossfuse.precision import CrossFusePrecision
from models.deploy import deploy
from models.evaluation.pages import put
from models.paif import PAIF, load_config
from models.parity import recipe_state
from models.precision import FP32, ISLANDS, MIXED, PARTS, PRECISIONS, SAFE, WORKERS, Precision
from paif_ros.contract import ModelCard
from paif_ros.engines.onnxruntime import OnnxRuntimeEngine

PAIRS = Path(__file__).parent / 'data' / 'pairs'
WEIGHTS = Path(__file__).resolve().parents[1] / 'models' / 'weights'
SMALL = WEIGHTS / 'paif_small.safetensors'
CROP = (192, 256)


def narrow(config: str = 'paif_small') -> PAIF:
    network = PAIF(replace(load_config(config), channels=4))
    network.load_state_dict(recipe_state(network, 5))
    return network.eval()


@pytest.fixture(scope='module')
def small() -> PAIF:
    return load_paif(SMALL)


@pytest.fixture(scope='module')
def plain(small: PAIF) -> list[Answer]:
    return answers(deploy(small), read_pairs(PAIRS, CROP))


def moved(small: PAIF, precision: Precision, plain: list[Answer]) -> Moved:
    return compare(answers(deploy(small, precision), read_pairs(PAIRS, CROP)), plain)


@pytest.mark.parametrize('config', ['paif_small', 'paif_official_b0'])
def test_every_part_has_the_type_of_its_precision(config: str) -> None:
    network = narrow(config)
    assert {p.dtype for p in deploy(network, FP32).parameters()} == {torch.float32}
    mixed = deploy(network, MIXED)
    assert {p.dtype for p in mixed.parameters()} == {torch.float16}  # all weights are workers'
    assert {b.dtype for b in mixed.buffers()} == {torch.float32}  # colours are islands
    safe = deploy(network, SAFE)
    assert {p.dtype for p in safe.segmenter.parameters()} == {torch.float32}
    assert {p.dtype for p in safe.fusion.parameters()} == {torch.float16}
    assert {p.dtype for p in network.parameters()} == {torch.float32}


@pytest.mark.parametrize('part', PARTS)
@torch.no_grad()
def test_each_part_can_be_moved_alone(part: str) -> None:
    """Every hand-over from one part to the next has its cast, whatever the types."""
    network = narrow()
    rng = np.random.default_rng(0)
    visible = torch.from_numpy(rng.integers(0, 256, (1, 32, 64, 3), np.uint8))
    thermal = torch.from_numpy(rng.integers(0, 256, (1, 32, 64), np.uint8))
    forms = (FP32.moved(to_half=[part]), MIXED.moved(to_half=[part]), FP32)
    forms += (MIXED.moved(to_full=[part]),)
    for precision in forms:
        fused, mask, confidence = deploy(network, precision)(visible, thermal)
        assert fused.dtype == mask.dtype == confidence.dtype == torch.uint8
    assert FP32.moved(to_half=[part]).dtype(part) == torch.float16
    assert MIXED.moved(to_full=[part]).dtype(part) == torch.float32


def test_names_of_parts_are_checked() -> None:
    for call in (
        lambda: Precision(frozenset({'stem'})),
        lambda: MIXED.moved(to_full=['stem']),
        lambda: FP32.dtype('stem'),
    ):
        with pytest.raises(ValueError, match='stem'):
            call()
    assert [str(p) for p in PRECISIONS.values()] == list(PRECISIONS)
    assert str(MIXED.moved(to_half=['luma'], to_full=['tail'])) == 'mixed +luma -tail'
    assert not ISLANDS.keys() & WORKERS.keys()


def test_mixed_stays_near_fp32_on_real_pairs(small: PAIF, plain: list[Answer]) -> None:
    found = moved(small, MIXED, plain)
    assert found.passes()
    assert found.fused_psnr > 55
    assert found.fused_max <= 2
    assert found.agreement > 0.999
    assert found.fused_psnr < NO_NOISE  # it did compute in FP16
    assert moved(small, SAFE, plain).passes()


def test_box_statistics_in_fp16_break_the_picture(small: PAIF, plain: list[Answer]) -> None:
    """The reason for islands: a whole model in FP16 fails, and this one part is why."""
    found = moved(small, MIXED.moved(to_half=['box_statistics']), plain)
    assert not found.passes()
    assert found.fused_max > 20


def test_fast_half_is_torchs_half() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 8, 20, 24, generator=generator).half()
    convolution = torch.nn.Conv2d(8, 6, 3, padding=1).half().requires_grad_(False)
    linear = torch.nn.Linear(24, 7).half().requires_grad_(False)
    a, b = x[0, :4], x[0, 4:].transpose(1, 2)

    def run() -> list[torch.Tensor]:
        return [convolution(x), linear(x), a @ b, torch.matmul(a, b)]

    slow = run()
    with FastHalf():
        fast = run()
    for first, second in zip(slow, fast, strict=True):
        assert first.dtype == second.dtype == torch.float16
        # Sums in another order, then one rounding: a step of FP16 at most, and seldom.
        torch.testing.assert_close(first, second, rtol=2**-9, atol=1e-3)
        assert (first != second).float().mean() < 0.05


@pytest.fixture(scope='module')
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A mixed file that the command has written, and what it printed."""
    from models.checkpoint import save_paif

    folder = tmp_path_factory.mktemp('mixed')
    save_paif(folder / 'w.safetensors', narrow())
    arguments = [str(folder / 'w.safetensors'), '--size', '32x64', '--precision', 'mixed']
    with redirect_stdout(io.StringIO()) as said:
        code = to_onnx(arguments)
    assert code == 0, said.getvalue()
    return folder / 'w_mixed.onnx', said.getvalue()


@pytest.fixture(scope='module')
def exported(written: tuple[Path, str]) -> dict[str, onnx.ModelProto]:
    """Graphs of one network; the mixed one is that which the command wrote."""
    network = narrow()
    forms = {'safe': SAFE, 'broken': MIXED.moved(to_half=['box_statistics', 'rounding'])}
    return {'mixed': onnx.load(written[0])} | {
        name: export_onnx(deploy(network, precision), (32, 64), 1, {})
        for name, precision in forms.items()
    }


def test_graph_of_the_mixed_model(exported: dict[str, onnx.ModelProto]) -> None:
    model = exported['mixed']
    onnx.checker.check_model(model, full_check=True)
    assert broken_rules(model, 30) == []
    assert broken_precision(model, 'mixed') == []
    found = computed_in(model)
    for kind in ('LayerNormalization', 'Softmax', 'MatMul', 'Erf', 'Tanh'):
        assert set(found[kind]) == {'FLOAT16'}, kind
    for kind in ('Round', 'ArgMax', 'Exp', 'ReduceMin', 'Clip'):
        assert set(found[kind]) == {'FLOAT'}, kind
    assert found['AveragePool'] == {'FLOAT': 10, 'FLOAT16': 8}
    assert found['Resize'] == {'FLOAT16': 3, 'FLOAT': 1}
    assert found['Conv']['FLOAT'] == 2


def test_graph_of_the_safe_model(exported: dict[str, onnx.ModelProto]) -> None:
    model = exported['safe']
    assert broken_precision(model, 'safe') == []
    found = computed_in(model)
    assert set(found['MatMul']) == set(found['LayerNormalization']) == {'FLOAT'}
    assert found['Conv']['FLOAT16'] > 20


def test_a_part_in_the_wrong_type_is_found(exported: dict[str, onnx.ModelProto]) -> None:
    text = ' | '.join(broken_precision(exported['broken'], 'mixed'))
    assert 'box means in FP32' in text
    assert 'Round in FP16' in text
    assert 'convolutions' in ' '.join(broken_precision(exported['safe'], 'mixed'))
    assert 'to be FP32' in ' '.join(broken_precision(exported['mixed'], 'fp32'))


def test_exported_file_computes_what_torch_does(exported: dict[str, onnx.ModelProto]) -> None:
    """In onnx.reference, which rounds every operation to FP16 as written."""
    from onnx.reference import ReferenceEvaluator

    pair = read_pairs(PAIRS, (32, 64))[0]
    feed = {'visible': pair[0][None], 'thermal': pair[1][None]}
    outputs = ReferenceEvaluator(exported['mixed']).run(None, feed)
    found = Answer(*(output[0] for output in outputs))
    network = narrow()
    assert compare([found], answers(deploy(network, MIXED), [pair])).passes()
    assert compare([found], answers(deploy(network), [pair])).passes()


def nodes_of(model: onnx.ModelProto) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    return [(n.op_type, tuple(n.input), tuple(n.output)) for n in model.graph.node]


def test_fp32_export_is_what_it_was(small: PAIF) -> None:
    """The casts of the mixed form leave no trace in the FP32 graph."""
    shipped = onnx.load(WEIGHTS / 'paif_small.onnx')
    again = export_onnx(deploy(small), (480, 640), 1, {})
    assert nodes_of(again) == nodes_of(shipped)
    assert 'precision' not in {prop.key for prop in shipped.metadata_props}


def test_command_writes_a_mixed_file(written: tuple[Path, str]) -> None:
    path, said = written
    engine = OnnxRuntimeEngine(path, threads=1)
    assert engine.load().card.precision == 'mixed'
    engine.close()
    assert not (path.parent / 'w.onnx').exists()
    assert 'mixed against FP32, in FP16 arithmetic' in said


def test_card_without_precision_is_fp32() -> None:
    card = ModelCard('paif', 'small', '{}', load_config('paif_small').classes, (1, 2), 'a', '1')
    assert 'precision' not in card.to_metadata()
    assert ModelCard.from_metadata(card.to_metadata()) == card
    mixed = replace(card, precision='mixed')
    assert ModelCard.from_metadata(mixed.to_metadata()) == mixed


def answer(value: int, label: int = 0) -> Answer:
    return Answer(
        np.full((4, 5, 3), value, np.uint8),
        np.full((4, 5), label, np.uint8),
        np.full((4, 5), 200, np.uint8),
    )


def test_differences() -> None:
    same = compare([answer(9)], [answer(9)])
    assert (same.fused_max, same.fused_psnr, same.agreement) == (0, NO_NOISE, 1.0)
    worst = compare([answer(9), answer(0)], [answer(9), answer(255, 1)])
    assert worst.fused_max == 255  # no wrap-around of bytes
    assert worst.agreement == 0
    assert worst.fused_psnr == pytest.approx(0)
    assert not worst.passes()
    assert psnr(answer(1).fused, answer(0).fused) == pytest.approx(48.13, abs=0.01)
    with pytest.raises(ValueError, match='1 answers against 0'):
        compare([answer(1)], [])


@pytest.mark.parametrize(
    ('network', 'parts'), [('paif', PARTS), ('crossfuse', CrossFusePrecision.parts)]
)
def test_islands_command(
    network: str,
    parts: Mapping[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    document = tmp_path / 'd.md'
    document.write_text('before\n<!-- islands: begin -->\nold\n<!-- islands: end -->\nafter\n')
    weights = SMALL if network == 'paif' else SMALL.with_name('crossfuse_small.safetensors')
    options = ['--network', network, '--size', '32x64', '--write', str(document)]
    assert main([str(weights), *options]) == 0
    text = document.read_text()
    assert text.startswith('before')
    assert text.endswith('after\n')
    assert 'old' not in text
    for part in parts:
        assert f' {part}' in text
    assert main(['nothing.safetensors']) == 2
    assert 'no weights' in capsys.readouterr().err
    document.write_text('no marks')
    with pytest.raises(ValueError, match='islands: begin'):
        put(document, MARK, 'x')
