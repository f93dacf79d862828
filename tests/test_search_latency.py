import numpy as np
import pytest

torch = pytest.importorskip('torch')
ort = pytest.importorskip('onnxruntime')
pytest.importorskip('onnxscript')

from models.deploy import deploy, fold_operator
from models.operators import Operator
from models.paif import PAIF, load_config
from models.search import latency


def test_each_graph_of_a_part_computes_its_own_module():
    torch.manual_seed(0)
    names = ('ECAattention_3', 'DilConv_3_2')
    modules = {(4, name): fold_operator(Operator(name, 4).eval()).eval() for name in names}
    part = latency.Part(modules, (torch.rand(1, 4, 16, 16),))
    graphs = latency.graphs(part)
    assert list(graphs) == list(modules)
    for key, graph in graphs.items():
        session = ort.InferenceSession(graph.SerializeToString())
        (found,) = session.run(None, {'x0': part.inputs[0].numpy()})
        np.testing.assert_allclose(found, modules[key](*part.inputs).detach(), atol=1e-5)
        # Nothing of the neighbour is left in it, which would be measured too.
        kinds = [node.op_type for node in graph.graph.node]
        assert ('Sigmoid' in kinds) == (key[1] == 'ECAattention_3')


def test_all_operators_of_the_search_are_measured_as_they_are_exported():
    part = latency.operators_part(2, (32, 32))
    assert [name for _, name in part.modules] == list(latency.OPERATORS)
    for (_, name), module in part.modules.items():
        kinds = {type(layer).__name__ for layer in module.modules()}
        assert not kinds & {'BatchNorm2d', 'PReLU', 'Operator'}, name


def test_an_emptied_network_keeps_all_but_the_cells():
    torch.manual_seed(0)
    network = deploy(PAIF(load_config('paif_nano')))
    whole = sum(p.numel() for p in network.parameters())
    fusion = network.fusion
    cells = [fusion.chain_thermal, fusion.chain_visible, fusion.chain]
    inside = sum(p.numel() for cell in cells for p in cell.parameters())
    latency.empty_cells(fusion)
    assert sum(p.numel() for p in network.parameters()) == whole - inside
    picture = torch.rand(1, 1, 32, 32)
    assert fusion(picture, picture).shape == picture.shape


def test_runs_take_turns_and_the_first_round_does_not_count():
    order = []

    def run(name, seconds):
        def once():
            order.append(name)
            return (seconds[order.count(name) - 1], 1.0)

        return once

    runs = {'a': run('a', [99.0, 0.001, 0.003, 0.002]), 'b': run('b', [99.0, 0.5, 0.5, 0.5])}
    found = latency.interleave(runs, 3)
    assert order == ['a', 'b'] * 4
    assert found['a'].cpu_median == 2.0
    assert found['a'].cpu_p10 == pytest.approx(1.2)
    assert (found['b'].cpu_p10, found['b'].wall_median) == (500.0, 1000.0)


def test_bad_requests_write_nothing(tmp_path, capsys):
    out = tmp_path / 'table.json'
    assert latency.main(['--out', str(out), '--configs', 'paif_huge']) == 2
    assert "no configuration 'paif_huge'" in capsys.readouterr().err
    if not torch.cuda.is_available():
        assert latency.main(['--out', str(out), '--device', 'cuda']) == 2
        assert 'finds none here' in capsys.readouterr().err
    assert not out.exists()
