"""The comparison is fair: equal latency, equal budget, equal crops, and it says what it found."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='torch is a development dependency')

from PIL import Image

from models.checkpoint import load_paif, save_paif
from models.data import LabelledPair
from models.genotype import load_genotype
from models.paif import PAIF, load_config
from models.search import compare
from models.search.arms import TOLERANCE, Arm, Yardstick, candidates, narrowed
from models.search.compare import Score
from models.search.contest import Contest, fixed_crops
from models.search.space import EDGES, OPERATORS, genotype_of
from models.search.table import Latencies, Timing

CHEAP = genotype_of([0] * EDGES, 'cheap')


def timing(ms: float) -> Timing:
    return Timing(ms, ms, ms, ms)


def yardstick() -> Yardstick:
    """Operator i takes (i + 1) ms for each channel, the fusion network's rest 10 ms for each."""
    widths = (2, 4, 6)
    return Yardstick(
        Latencies(
            operators={
                c: {name: timing(c * (i + 1.0)) for i, name in enumerate(OPERATORS)}
                for c in widths
            },
            fusion={c: timing(10.0 * c) for c in widths},
            networks={'paif_nano': timing(60.0)},
            widths={'paif_nano': 4},
            machine={},
        ),
        'paif_nano',
    )


def pairs_of_noise(count: int) -> list[LabelledPair]:
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


def contest(out: Path, **changes: object) -> Contest:
    config = replace(load_config('paif_nano'), channels=2, embedding=8)
    torch.manual_seed(0)
    init = out / 'init.safetensors'
    save_paif(init, PAIF(config))
    pairs = pairs_of_noise(4)
    made = Contest(
        config, init, pairs, fixed_crops(pairs, (32, 32)), 4, 2, (32, 32), 'fgsm', out / 'runs'
    )
    return replace(made, **changes)


def test_candidates_differ_and_have_the_latency_asked_for() -> None:
    ruler = yardstick()
    found = candidates(6, 4, 210.0, ruler, seed=1)
    assert len({arm.genotype for arm in found}) == 6
    for arm in found:
        assert arm.milliseconds == ruler.table.total(arm.genotype, 'paif_nano', 4)
        assert abs(arm.milliseconds - 210) <= TOLERANCE * 210
    assert candidates(6, 4, 210.0, ruler, seed=1) == found
    assert candidates(6, 4, 210.0, ruler, seed=2) != found


def test_candidates_of_an_impossible_latency_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('models.search.arms.TRIES', 50)
    with pytest.raises(ValueError, match='0 of 2 genotypes'):
        candidates(2, 4, 1.0, yardstick(), seed=0)


def test_narrowing_takes_the_width_of_the_closest_latency() -> None:
    ruler = yardstick()
    totals = {c: ruler.table.total(CHEAP, 'paif_nano', c) for c in (2, 4, 6)}
    assert totals == {2: 52.0, 4: 84.0, 6: 116.0}
    for target, width in ((10.0, 2), (67.0, 2), (69.0, 4), (500.0, 6)):
        assert narrowed('x', CHEAP, target, ruler).channels == width


def test_crops_hold_foreground_and_stay_as_they_are() -> None:
    label = np.zeros((96, 128), np.uint8)
    label[60:70, 90:100] = 2
    visible = np.arange(96 * 128 * 3, dtype=np.uint32).astype(np.uint8).reshape(96, 128, 3)
    pair = LabelledPair('one', visible, visible[..., 0].copy(), label)
    first, again = (fixed_crops([pair, pair], (32, 32)) for _ in range(2))
    for a, b in zip(first, again, strict=True):
        assert a.label.shape == (32, 32)
        assert (a.label == 2).any()
        assert np.array_equal(a.visible, b.visible)


def test_an_arm_is_trained_once_and_read_after_that(tmp_path: Path) -> None:
    made = contest(tmp_path)
    arm = Arm('searched', CHEAP, 2, 1.0)
    folder = tmp_path / 'arm'
    network = made.train(arm, 4, 0, made.pairs, folder)
    assert network.config.genotype == CHEAP
    stamp = (folder / 'weights.safetensors').stat().st_mtime_ns
    again = made.train(arm, 4, 0, made.pairs, folder)
    assert (folder / 'weights.safetensors').stat().st_mtime_ns == stamp
    state = again.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
    with pytest.raises(ValueError, match='another network'):
        made.train(replace(arm, genotype=load_genotype('paif')), 4, 0, made.pairs, folder)
    with pytest.raises(ValueError, match='recipe'):
        made.train(arm, 5, 0, made.pairs, folder)


def test_the_given_segmenter_stays_and_fusion_starts_fresh(tmp_path: Path) -> None:
    made = contest(tmp_path)
    source = PAIF(made.config)
    torch.nn.init.constant_(source.denoise_net.decoder.linear_pred.bias, 7.0)
    torch.nn.init.constant_(source.enhance_net.spa.spatial.conv.weight, 7.0)
    save_paif(made.init, source)
    network = made.train(Arm('searched', CHEAP, 2, 1.0), 4, 0, made.pairs, tmp_path / 'arm')
    kept = load_paif(made.init).denoise_net.named_parameters()
    after = dict(network.denoise_net.named_parameters())
    assert all(torch.equal(value, after[key]) for key, value in kept)
    assert network.enhance_net.spa.spatial.conv.weight.abs().max() < 1


def test_random_search_keeps_the_candidate_of_the_lowest_loss(tmp_path: Path) -> None:
    made = contest(tmp_path)
    arms = [Arm('random', genotype_of([i] * EDGES, f'all{i}'), 2, 1.0) for i in (0, 7, 9)]
    best = made.best(arms, 12, seed=0)
    judge = made.pairs[2:]
    losses = []
    for number in range(3):
        folder = made.out / f'candidate{number}_0'
        network = made.train(arms[number], 4, 0, made.pairs[:2], folder)
        losses.append(made.loss(network, judge, 0))
        assert made.loss(network, judge, 0) == losses[-1]
    assert len(set(losses)) == 3
    assert best == arms[int(np.argmin(losses))]


def scores(searched: list[float], other: list[float]) -> list[Score]:
    """Foreground IoU as given, and a loss of one less it."""
    return [
        Score(arm, seed, (), 4, 50.0, {'none': value}, 1 - value)
        for arm, values in (('searched', searched), ('random', other))
        for seed, value in enumerate(values)
    ]


@pytest.mark.parametrize(
    ('searched', 'other', 'found'),
    [
        ([0.30, 0.31, 0.32], [0.20, 0.21, 0.22], '+10.0 +- 0.0 points over 3 seeds: better'),
        ([0.20, 0.21, 0.22], [0.30, 0.31, 0.32], '-10.0 +- 0.0 points over 3 seeds: WORSE'),
        ([0.30, 0.20, 0.10], [0.21, 0.18, 0.20], 'within the spread'),
        # Three standard errors are not enough for three seeds: Student's t wants 4.3.
        ([0.33, 0.32, 0.31], [0.30, 0.30, 0.30], 'within the spread'),
    ],
)
def test_verdicts_are_paired_by_seed(
    searched: list[float], other: list[float], found: str
) -> None:
    line, loss = compare.verdicts(scores(searched, other))
    assert found in line
    # A lower loss is better.
    assert loss.rsplit(': ', 1)[1] == found.rsplit(': ', 1)[-1]


def test_one_seed_gives_no_verdict() -> None:
    assert compare.verdicts(scores([0.3], [0.2])) == []


def write_pairs(folder: Path, pairs: list[LabelledPair]) -> None:
    for kind in ('vi', 'ir', 'label'):
        (folder / kind).mkdir(parents=True)
    for number, pair in enumerate(pairs):
        for kind, picture in (('vi', pair.visible), ('ir', pair.thermal), ('label', pair.label)):
            Image.fromarray(picture).save(folder / kind / f'{number}.png')


def test_the_command_compares_all_arms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = contest(tmp_path)
    config = tmp_path / 'paif_nano.json'
    config.write_text(replace(made.config, channels=4).to_json())
    (tmp_path / 'table.json').write_text(
        replace(
            yardstick().table,
            networks={str(config): timing(60.0)},
            widths={str(config): 4},
        ).to_json()
    )
    (tmp_path / 'found.json').write_text(genotype_of([4] * EDGES, 'found').to_json())
    for part in ('train', 'val'):
        write_pairs(tmp_path / part, made.pairs)
    command = [
        *('--searched', str(tmp_path / 'found.json'), '--config', str(config)),
        *('--init', str(made.init), '--data', str(tmp_path), '--out', str(tmp_path / 'runs')),
        *('--latency-table', str(tmp_path / 'table.json'), '--json', str(tmp_path / 'out.json')),
        *('--steps', '4', '--batch', '2', '--candidates', '1', '--size', '32', '32'),
        *('--seeds', '1', '--limit', '2', '--attacks', 'none,fgsm'),
    ]
    assert compare.main(command) == 0
    assert 'foreground IoU' in capsys.readouterr().out
    report = json.loads((tmp_path / 'out.json').read_text())[str(config)]
    assert [score['arm'] for score in report['scores']] == list(compare.ARMS)
    assert [score['channels'] for score in report['scores']] == [4, 4, 4, 4]
    assert all(set(score['foreground']) == {'none', 'fgsm'} for score in report['scores'])
    # What another process scored with the same crops is read, not computed again.
    kept = tmp_path / 'runs' / 'searched_0' / 'score.json'
    kept.write_text(json.dumps({**json.loads(kept.read_text()), 'loss': 12.5}))
    assert compare.main(command) == 0
    assert '12.500' in capsys.readouterr().out
    assert compare.main([*command[:-1], 'fgsm7']) == 2
    assert 'fgsm7' in capsys.readouterr().err
