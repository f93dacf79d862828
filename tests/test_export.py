"""From weights to a file that engines accept: ONNX Runtime runs it, NVIDIA's builder builds it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='torch is a development dependency')
onnx = pytest.importorskip('onnx', reason='onnx is a development dependency')

from onnx import TensorProto, helper, numpy_helper

from export.compact import compact
from export.graph_rules import broken_rules
from export.to_onnx import main
from models.checkpoint import save_paif, sha256
from models.paif import PAIF, load_config
from models.parity import recipe_state
from paif_ros import __version__
from paif_ros.contract import CONFIDENCE, OUTPUTS, ModelCard
from paif_ros.engines.onnxruntime import OnnxRuntimeEngine

SHIPPED = Path(__file__).resolve().parents[1] / 'models' / 'weights' / 'paif_small.onnx'
SIZE = (96, 128)


@pytest.fixture(scope='module')
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A narrow network, exported by the command."""
    folder = tmp_path_factory.mktemp('export')
    network = PAIF(replace(load_config('paif_small'), channels=4))
    network.load_state_dict(recipe_state(network, 5))
    save_paif(folder / 'w.safetensors', network)
    assert main([str(folder / 'w.safetensors'), '--size', '96x128']) == 0
    return folder / 'w.onnx'


def test_command_writes_a_file_that_the_engine_loads(exported: Path) -> None:
    engine = OnnxRuntimeEngine(exported, threads=1)
    card = engine.load().card
    assert card.input_size == SIZE
    assert card.network == 'paif'
    assert card.variant == 'small'
    assert card.version == __version__
    assert card.weights_sha256 == sha256(exported.with_suffix('.safetensors'))
    assert [label.name for label in card.classes] == ['background', 'car', 'person', 'bike']
    assert '"Denseblocks_3_1"' in card.genotype
    rng = np.random.default_rng(0)
    prediction = engine.infer(
        rng.integers(0, 256, (*SIZE, 3), np.uint8), rng.integers(0, 256, SIZE, np.uint8)
    )
    assert prediction.fused.shape == (*SIZE, 3)
    assert prediction.mask.max() < 4
    assert prediction.confidence is not None
    assert prediction.confidence.shape == SIZE
    assert prediction.confidence.min() >= 63  # of four classes
    assert np.unique(prediction.confidence).size > 10
    engine.close()


def test_exported_graph_keeps_the_rules(exported: Path) -> None:
    model = onnx.load(exported)
    kinds = [node.op_type for node in model.graph.node]
    # In 2 directions: 4 means of each modality, and one of both guides and their squares.
    assert kinds.count('AveragePool') == 2 * (2 * 4 + 1)
    assert 'BatchNormalization' not in kinds
    assert 'PRelu' not in kinds
    assert broken_rules(model, kinds.count('LayerNormalization')) == []
    assert kinds.count('LayerNormalization') == 30


def test_broken_rules_are_found() -> None:
    visible = helper.make_tensor_value_info('visible', TensorProto.UINT8, [1, 4, 4, 3])
    fused = helper.make_tensor_value_info('fused', TensorProto.UINT8, ['n', 3, 4, 4])
    graph = helper.make_graph(
        [
            helper.make_node('Transpose', ['visible'], ['t'], perm=[0, 3, 1, 2]),
            helper.make_node('AveragePool', ['t'], ['p'], kernel_shape=[9, 9]),
            helper.make_node('CumSum', ['p', 'axis'], ['fused']),
        ],
        'bad',
        [visible],
        [fused],
        [numpy_helper.from_array(np.array(1), 'axis')],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 20)])
    text = ' | '.join(broken_rules(model, 1))
    for part in (
        'opset 20',
        'before a Cast',
        'not from a Cast',
        'not static',
        'CumSum',
        '[9, 9]',
        '0 LayerNorm',
    ):
        assert part in text


def test_compact_changes_no_value() -> None:
    rng = np.random.default_rng(0)
    exact = rng.standard_normal(300).astype(np.float16).astype(np.float32)
    inexact = rng.standard_normal(300).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node('Add', ['a', 'b'], ['y'])],
        'g',
        [],
        [helper.make_tensor_value_info('y', TensorProto.FLOAT, [300])],
        [numpy_helper.from_array(exact, 'a'), numpy_helper.from_array(inexact, 'b')],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 18)], ir_version=10)
    compact(model)
    assert [t.data_type for t in model.graph.initializer] == [
        TensorProto.FLOAT16,
        TensorProto.FLOAT,
    ]
    import onnxruntime

    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=['CPUExecutionProvider']
    )
    assert np.array_equal(session.run(None, {})[0], exact + inexact)


@pytest.mark.parametrize(
    ('arguments', 'text'),
    [(['nothing.safetensors'], 'no weights at'), (['{w}', '--pictures', 'nowhere'], '--pictures')],
)
def test_bad_arguments(
    exported: Path, arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = str(exported.with_suffix('.safetensors'))
    assert main([part.replace('{w}', weights) for part in arguments]) == 2
    assert text in capsys.readouterr().err


def test_bad_size(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(['w', '--size', '480x641'])
    assert 'multiples of 32' in capsys.readouterr().err


def build_with_tensorrt_rtx(path: Path) -> dict[str, tuple[int, ...]]:
    """Parse and build a model, which needs no GPU; returns its tensors' shapes."""
    trt = pytest.importorskip('tensorrt_rtx', reason='tensorrt-rtx is a development extra')
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    # Each parser wants its own empty network, which must outlive it.
    flags = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    networks = [builder.create_network(flags) for _ in range(2)]
    asking, parser = (trt.OnnxParser(network, logger) for network in networks)
    data = path.read_bytes()
    assert asking.supports_model_v2(data)
    assert parser.parse(data), [str(parser.get_error(i)) for i in range(parser.num_errors)]
    network = networks[1]
    plan = builder.build_serialized_network(network, builder.create_builder_config())
    assert plan is not None
    assert plan.nbytes > 1_000_000
    ends = [network.get_input(i) for i in range(network.num_inputs)]
    ends += [network.get_output(i) for i in range(network.num_outputs)]
    assert all(end.dtype == trt.uint8 for end in ends)
    return {end.name: tuple(end.shape) for end in ends}


def test_nvidia_parser_and_builder_accept_the_export(exported: Path) -> None:
    assert build_with_tensorrt_rtx(exported) == {
        'visible': (1, *SIZE, 3),
        'thermal': (1, *SIZE),
        'fused': (1, *SIZE, 3),
        'mask': (1, *SIZE),
        'confidence': (1, *SIZE),
    }


@pytest.mark.skipif(not SHIPPED.exists(), reason='no shipped model')
def test_shipped_model_belongs_to_the_shipped_weights() -> None:
    model = onnx.load(SHIPPED)
    card = ModelCard.from_metadata({prop.key: prop.value for prop in model.metadata_props})
    weights = SHIPPED.with_suffix('.safetensors')
    assert card.weights_sha256 == sha256(weights)
    assert [output.name for output in model.graph.output] == [*OUTPUTS, CONFIDENCE]
    assert SHIPPED.stat().st_size + weights.stat().st_size < 20e6
