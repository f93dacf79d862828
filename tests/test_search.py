import random

import numpy as np
import pytest

torch = pytest.importorskip('torch')

from models.data import LabelledPair
from models.fusion import FusionNet
from models.genotype import load_genotype
from models.paif import PAIF, load_config
from models.search import __main__ as command
from models.search.searcher import Searcher, SearchPlan, halves
from models.search.space import EDGES, OPERATORS, best, draw, edges_of, entropy
from models.search.supernet import Architecture, Supernet
from models.search.table import Latencies, Timing, expected, load_latencies


def timing(ms):
    return Timing(ms, 2 * ms, 3 * ms, 4 * ms)


def made_up(channels=2):
    """A table where operator i costs i + 1 ms."""
    return Latencies(
        operators={channels: {name: timing(i + 1.0) for i, name in enumerate(OPERATORS)}},
        fusion={channels: timing(10.0), 4: timing(15.0)},
        networks={'tiny': timing(30.0)},
        widths={'tiny': 4},
        machine={},
    )


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_a_supernet_with_one_operator_at_each_edge_is_the_network_of_that_genotype():
    torch.manual_seed(0)
    genotype = draw(random.Random(3), 'drawn')
    supernet, plain = Supernet(4), FusionNet(genotype, 4)
    supernet.fix(genotype)
    state = {k: v for k, v in supernet.state_dict().items() if '.operators.' not in k}
    cells = [plain.decompation.chain, plain.decompation.chain2, plain.chain]
    operators = [op for cell in cells for op in cell._ops]
    for edge, name, operator in zip(supernet.edges, edges_of(genotype), operators, strict=True):
        operator.load_state_dict(edge.operators[OPERATORS.index(name)].state_dict(), strict=False)
    missing = plain.load_state_dict(state, strict=False)
    assert not missing.unexpected_keys
    assert all('._ops.' in key for key in missing.missing_keys)
    pictures = torch.rand(2, 2, 1, 24, 24)
    torch.testing.assert_close(supernet(*pictures), plain.train()(*pictures))
    # Eval mode computes the same function: attacks are made in it.
    torch.testing.assert_close(supernet.eval()(*pictures), plain(*pictures))


def test_a_supernet_without_an_architecture_says_what_is_missing():
    with pytest.raises(RuntimeError, match=r'Supernet\.use'):
        Supernet(2)(*torch.rand(2, 1, 1, 16, 16))


def test_draws_pick_one_operator_as_often_as_its_probability():
    architecture = Architecture('gumbel', generator())
    with torch.no_grad():
        architecture.alpha[0, 5] += 2.5
    probability = float(architecture.probabilities().detach()[0, 5])
    g = generator(1)
    drawn = torch.stack([architecture.draw(1.0, g).detach() for _ in range(600)])
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(drawn.sum(2), torch.ones(600, EDGES))
    assert abs(float(drawn[:, 0, 5].mean()) - probability) < 0.07  # 3.4 standard errors


def test_the_gradient_of_a_draw_pulls_towards_an_operator_that_lowers_the_loss():
    architecture = Architecture('gumbel', generator())
    weights = architecture.draw(1.0, generator(2))
    chosen = weights[1].argmax()
    weights[1, chosen].neg().backward()
    gradient = architecture.alpha.grad
    assert gradient[1, chosen] < 0
    assert gradient[1].sum().abs() < 1e-6  # a softmax: what one gains the others lose
    assert not gradient[0].any()


def test_the_softmax_relaxation_weighs_every_operator():
    architecture = Architecture('softmax', generator())
    weights = architecture.draw(1.0, generator())
    supernet = Supernet(2)
    supernet.use(weights)
    assert all(list(edge.active) == list(range(len(OPERATORS))) for edge in supernet.edges)
    supernet(*torch.rand(2, 1, 1, 16, 16)).sum().backward()
    assert (architecture.alpha.grad != 0).all()
    with pytest.raises(ValueError, match='choose one of'):
        Architecture('hard', generator())


def test_expected_latency_of_a_decided_architecture_is_its_sum_in_the_table():
    table = made_up()
    costs = table.costs(2, OPERATORS)
    genotype = draw(random.Random(1), 'drawn')
    alpha = torch.full((EDGES, len(OPERATORS)), -50.0)
    for edge, name in enumerate(edges_of(genotype)):
        alpha[edge, OPERATORS.index(name)] = 50.0
    cells = sum(OPERATORS.index(name) + 1 for name in edges_of(genotype))
    assert float(expected(alpha.softmax(1), costs)) == pytest.approx(cells)
    # 30 ms of the network, of which 15 are its own fusion network, 10 that of width 2.
    assert table.total(genotype, 'tiny', 2) == pytest.approx(30 - 15 + 10 + cells)
    assert best(alpha, 'drawn') == genotype
    assert entropy(alpha) < 1e-6
    assert entropy(torch.zeros(EDGES, len(OPERATORS))) == pytest.approx(np.log(len(OPERATORS)))


def test_a_table_survives_its_file_and_names_what_it_lacks(tmp_path):
    path = tmp_path / 'made_up.json'
    path.write_text(made_up().to_json())
    table = load_latencies(path)
    assert table == made_up()
    for call in (
        lambda: table.costs(32, OPERATORS),
        lambda: table.rest('tiny', 32),
        lambda: table.rest('huge', 2),
    ):
        with pytest.raises(ValueError, match=r'lacks.*models\.search\.latency'):
            call()
    path.write_text('{"operators": {}}')
    with pytest.raises(ValueError, match='not a latency table'):
        load_latencies(path)


def labelled(count):
    rng = np.random.default_rng(0)
    return [
        LabelledPair(
            f'{i}',
            rng.integers(0, 256, (48, 64, 3), dtype=np.uint8),
            rng.integers(0, 256, (48, 64), dtype=np.uint8),
            rng.integers(0, 4, (48, 64), dtype=np.uint8),
        )
        for i in range(count)
    ]


def searcher(out, **changes):
    out.mkdir(exist_ok=True)
    torch.manual_seed(5)
    plan = SearchPlan(2, **{'warmup': 1, 'steps': 3, 'batch': 2, 'size': (32, 32), **changes})
    return Searcher(PAIF(load_config('paif_nano')), plan, labelled(4), made_up(), 'tiny', out)


def test_a_search_that_was_stopped_goes_on_as_if_it_had_not_been(tmp_path):
    whole = searcher(tmp_path / 'whole', hypergradient='rank1')
    before = [p.detach().clone() for p in whole.network.denoise_net.parameters()]
    found = whole.run(save_every=2)
    after = whole.network.denoise_net.parameters()
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))

    broken = searcher(tmp_path / 'broken', hypergradient='rank1')
    steps = broken._search_step
    broken._search_step = lambda step: (float('nan'), 0.0, 0.0) if step == 3 else steps(step)
    with pytest.raises(FloatingPointError, match='step 3'):
        broken.run(save_every=2)
    resumed = searcher(tmp_path / 'broken', hypergradient='rank1')
    assert resumed.run(save_every=2).normal_1 == found.normal_1
    assert torch.equal(resumed.architecture.alpha, whole.architecture.alpha)
    assert all(
        torch.equal(a, b)
        for a, b in zip(resumed.supernet.parameters(), whole.supernet.parameters(), strict=True)
    )
    logs = [(tmp_path / name / 'log.csv').read_text() for name in ('whole', 'broken')]
    assert logs[0] == logs[1]
    assert len(logs[0].splitlines()) == 1 + 4
    with pytest.raises(ValueError, match='another plan'):
        searcher(tmp_path / 'broken', latency=9.0).run()


def test_latency_alone_finds_operators_that_cost_less_than_the_mean(tmp_path):
    run = searcher(tmp_path / 'run', latency=1e4, steps=3, adversarial=0.0)
    found = run.run()
    # Adam's first steps are of one size, whatever the saving: all cheaper ones rise alike.
    assert all(OPERATORS.index(name) < len(OPERATORS) / 2 for name in edges_of(found))
    assert float(expected(run.architecture.probabilities(), run.costs).detach()) < run.undecided


def test_halves_share_no_pair_and_keep_neighbours_together():
    first, second = halves(list(range(90)))
    assert sorted(first + second) == list(range(90))
    assert first[:21] == [*range(20), 40]
    assert halves([1, 2]) == ([1], [2])


@pytest.mark.parametrize(('channels', 'name'), [(8, 'small'), (4, 'nano')])
def test_the_searched_genotypes_are_cheaper_than_the_released_one(channels, name):
    table = load_latencies('cpu')
    genotype = load_genotype(name)
    assert genotype.name == name
    totals = [table.total(g, f'paif_{name}', channels) for g in (genotype, load_genotype('paif'))]
    assert totals[0] < 0.9 * totals[1]


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'steps': 0}, 'at least'),
        ({'batch': 1}, 'at least'),
        ({'latency': -1.0}, 'not under 0'),
        ({'hypergradient': 'second'}, 'choose one of'),
        ({'attack': 'pgd'}, 'pgd5'),
    ],
)
def test_a_plan_that_cannot_run_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        SearchPlan(2, **changes)


def test_the_command_names_what_is_missing(tmp_path, capsys):
    plan = ['--segmenter', 'none.safetensors', '--data', str(tmp_path), '--out', str(tmp_path)]
    assert command.main([*plan, '--latency-table', 'jetson']) == 2
    assert "no latency table 'jetson'" in capsys.readouterr().err
    assert command.main(plan) == 2
    assert 'no weights at none.safetensors' in capsys.readouterr().err
    assert command.main([*plan, '--steps', '0']) == 2
