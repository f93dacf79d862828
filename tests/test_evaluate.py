"""Evaluation: pooled scores under attacks, of sets, times of day and inputs; sheets; errors."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='torch is a development dependency')

from models.attacks import parse_attack
from models.checkpoint import load_paif, save_paif
from models.data import LabelledPair, read_folder
from models.evaluate import main, swept
from models.evaluation.exported import Exported
from models.evaluation.fused import metrics, saved
from models.evaluation.inputs import OneInput, feed, verdicts
from models.evaluation.masks import Outcome, Tensors, attacked_scores, confusions, outcomes
from models.evaluation.sets import by_time, spread
from models.evaluation.sheets import CAPTION, draw
from models.metrics import confusion, scores
from models.paif import PAIF, load_config, stretch_image
from models.uaafusion.checkpoint import save_uaafusion
from models.uaafusion.network import UAAFusion
from models.uaafusion.network import load_config as load_uaafusion_config

ROOT = Path(__file__).resolve().parents[1]
SIZE = (48, 64)


@pytest.fixture(scope='module')
def weights(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp('weights') / 'tiny.safetensors'
    tiny = replace(load_config('paif_small'), channels=2, backbone='mit_nano', embedding=8)
    network = PAIF(tiny).eval()
    with torch.no_grad():  # no class the usual one, so that scores can move both ways
        pair = Tensors.of(read_folder(folder, 4))
        logits = network(pair.thermal, pair.visible)[1]
        network.denoise_net.decoder.linear_pred.bias -= logits.mean((0, 2, 3))
    save_paif(path, network)
    return path


def make_folder(base: Path, names: tuple[str, ...], seed: int) -> Path:
    random = np.random.default_rng(seed)
    for kind, shape, high in (('vi', (*SIZE, 3), 256), ('ir', SIZE, 256), ('label', SIZE, 4)):
        (base / kind).mkdir(parents=True)
        for name in names:
            picture = random.integers(0, high, shape, np.uint8)
            if kind == 'label':
                picture[:4, :4] = 255
            cv2.imwrite(str(base / kind / name), picture)
    return base


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp('pairs') / 'a', ('00001D.png', '00002N.png'), 1)


@pytest.fixture(scope='module')
def pairs(folder: Path) -> list[LabelledPair]:
    return read_folder(folder, 4)


@pytest.fixture(scope='module')
def network(weights: Path) -> PAIF:
    return load_paif(weights)


def by_hand(network: PAIF, pairs: list[LabelledPair]) -> dict[str, float]:
    """Mean IoU with and without background, pixel sets and sums written out."""
    inside, around = np.zeros(4), np.zeros(4)
    for pair in pairs:
        thermal = torch.from_numpy(pair.thermal)[None, None] / 255
        visible = torch.from_numpy(pair.visible).permute(2, 0, 1)[None] / 255
        with torch.no_grad():
            logits = network(thermal, visible)[1]
        mask = torch.nn.functional.interpolate(logits, SIZE, mode='bilinear').argmax(1)[0].numpy()
        known = pair.label != 255
        for c in range(4):
            found, true = (mask == c) & known, (pair.label == c) & known
            inside[c] += (found & true).sum()
            around[c] += (found | true).sum()
    iou = inside / around
    return {'miou': iou.mean(), 'miou_foreground': iou[1:].mean()}


def test_everything_lands_in_table_json_and_sheets(  # noqa: PLR0917 - fixtures
    weights: Path,
    folder: Path,
    pairs: list[LabelledPair],
    network: PAIF,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    other = make_folder(tmp_path / 'b', ('x.png', 'y.png', 'z.png'), 2)
    out, sheets = tmp_path / 'out.json', tmp_path / 'sheets'
    code = main(
        f'--weights {weights} --data {folder} --data {other} --attacks pgd2,none --sweep 4,8 '
        f'--sweep-attack pgd2 --inputs fused,visible,thermal --pictures {sheets} --limit 2 '
        f'--json {out}'.split()
    )
    assert code == 0
    report = json.loads(out.read_text('utf-8'))
    both = [*pairs, *spread(read_folder(other, 4), 2)]
    attacks = ['none', 'pgd2', 'pgd2@4/255', 'pgd2@8/255']
    assert list(report['attacks']) == attacks
    assert report['attacks']['pgd2'] == report['attacks']['pgd2@8/255']
    assert report['attacks']['pgd2'] != report['attacks']['pgd2@4/255']
    for where, which in ((report, both), (report['sets'][str(folder)], pairs)):
        assert where['pairs'] == len(which)
        for name, value in by_hand(network, which).items():
            assert where['attacks']['none'][name] == pytest.approx(value, abs=1e-9)
        assert set(where['attacks']['pgd2']) == {
            *('iou', 'precision', 'recall', 'miou', 'miou_foreground')
        }
        assert where['inputs']['fused']['attacks'] == where['attacks']
        for camera in ('visible', 'thermal'):
            alone = where['inputs'][camera]['attacks']
            assert list(alone) == attacks
            assert alone['none'] != where['attacks']['none']
        assert set(where['fusion_beats_inputs']) == set(attacks)
        assert {name: group['pairs'] for name, group in where['groups'].items()} == {
            'day': 1,
            'night': 1,
        }
    day = report['groups']['day']['attacks']['none']
    assert day['miou'] == pytest.approx(by_hand(network, pairs[:1])['miou'], abs=1e-9)
    assert set(report['sets']) == {str(folder), str(other)}
    table = capsys.readouterr().out
    assert f'{folder} (2)' in table
    assert 'all (4)' in table
    assert 'beat its inputs' in table or 'beats its inputs' in table
    names = sorted(path.name for path in (sheets / 'a').iterdir())
    assert names == [
        *('00001D_pgd2.png', '00001D_pgd2_4_255.png'),
        *('00002N_pgd2.png', '00002N_pgd2_4_255.png'),
    ]
    sheet = cv2.imread(str(sheets / 'a' / names[0]))
    assert sheet.shape == (4 * (SIZE[0] + CAPTION), 3 * SIZE[1], 3)


def test_a_pair_is_attacked_alike_whatever_else_is_scored(
    network: PAIF, pairs: list[LabelledPair]
) -> None:
    attacks = [parse_attack('pgd2'), parse_attack('noise')]
    alone = confusions(network, pairs[1:], attacks)
    beside = confusions(network, pairs, attacks[::-1])
    for name, matrices in alone.items():
        assert (matrices[0] == beside[name][1]).all()
    other = confusions(network, pairs[1:], attacks, seed=1)
    assert (alone['noise'] != other['noise']).any()


def test_batches_score_as_single_pairs(network: PAIF, pairs: list[LabelledPair]) -> None:
    taller = replace(pairs[0], **{
        kind: np.concatenate([getattr(pairs[0], kind)] * 2)
        for kind in ('visible', 'thermal', 'label')
    })  # fmt: skip
    several = [pairs[0], pairs[1], taller]
    plan = [parse_attack('none')]
    single = confusions(network, several, plan)['none']
    batched = confusions(network, several, plan, batch=3)['none']
    assert single.sum((1, 2)).tolist() == [(pair.label != 255).sum() for pair in several]
    assert abs(single - batched).sum() <= 4  # pixels: rounding may decide a tie otherwise


def test_attacks_lower_the_score_and_leave_the_network_as_it_was(
    weights: Path, pairs: list[LabelledPair]
) -> None:
    network = load_paif(weights).train()
    network.denoise_net.eval()
    next(network.parameters()).requires_grad_(False)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    wanted = [parameter.requires_grad for parameter in network.parameters()]
    # Labels that the network gets right, so that there is something to lose.
    right = [
        replace(pair, label=outcome.masks[0])
        for pair, outcome in zip(
            pairs, outcomes(network, pairs, [parse_attack('none')]), strict=True
        )
    ]
    found = attacked_scores(network, right, ['none', 'noise@2/255', 'pgd5@2/255'])
    recall = {name: np.nanmean(value.recall) for name, value in found.items()}
    assert recall['none'] == 1
    assert recall['pgd5@2/255'] < recall['noise@2/255'] - 0.01
    assert [module.training for module in network.modules()] == modes
    assert [parameter.requires_grad for parameter in network.parameters()] == wanted
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all((before[key] == value).all() for key, value in network.state_dict().items())


def test_one_input_does_not_see_the_other(network: PAIF, pairs: list[LabelledPair]) -> None:
    t = Tensors.of(pairs)
    with torch.no_grad():
        for camera in ('visible', 'thermal'):
            alone = OneInput(network, camera)
            usual = alone(t.thermal, t.visible)
            kept = (
                (t.thermal, 1 - t.visible) if camera == 'thermal' else (1 - t.thermal, t.visible)
            )
            lost = (
                (1 - t.thermal, t.visible) if camera == 'thermal' else (t.thermal, 1 - t.visible)
            )
            for seen, same in ((alone(*kept), True), (alone(*lost), False)):
                assert all(torch.equal(a, b) == same for a, b in zip(usual, seen, strict=True))


def test_fusion_that_does_not_beat_its_inputs_is_told_so() -> None:
    good, bad = scores(np.diag([5, 5])), scores(np.array([[5, 0], [3, 2]]))
    lines = verdicts({
        'fused': {'none': good, 'pgd5': bad},
        'visible': {'none': bad, 'pgd5': bad},
        'thermal': {'none': bad, 'pgd5': good},
    })  # fmt: skip
    assert lines[0].startswith('none: fusion beats its inputs')
    assert lines[1].startswith('pgd5: fusion does NOT beat its inputs')
    assert 'thermal alone 100.0' in lines[1]
    assert 'does NOT' in verdicts({'fused': {'none': good}, 'visible': {'none': good}})[0]


def outcome_of(pair: LabelledPair, change: float = 0.0) -> Outcome:
    t = Tensors.of([pair])
    fused = (t.thermal + change).clamp(0, 1)
    moved = ((t.thermal + change).clamp(0, 1), (t.visible + change).clamp(0, 1))
    return Outcome(0, [pair], 'pgd5', *moved, fused, pair.label[None], 4)


def test_differences_on_sheets_are_amplified_by_what_the_caption_says() -> None:
    grey = np.full(SIZE, 100, np.uint8)
    pair = LabelledPair('grey', np.stack([grey] * 3, 2), grey, np.zeros(SIZE, np.uint8))
    labels = load_config('paif_small').classes
    sheet = draw(
        outcome_of(pair), outcome_of(pair, 3 / 255), 0, parse_attack('pgd5@4/255'), labels
    )
    for line in range(3):
        rows = slice(line * (SIZE[0] + CAPTION) + CAPTION, (line + 1) * (SIZE[0] + CAPTION))
        clean, attacked, change = np.split(sheet[rows], 3, 1)
        assert (clean == 100).all()
        assert (attacked == 103).all()
        assert (change == 128 + 31 * 3).all()


def test_fusion_metrics_are_those_of_the_saved_picture(pairs: list[LabelledPair]) -> None:
    pytest.importorskip('torchmetrics', reason='torchmetrics is a development dependency')
    from models.fusion_metrics import fusion_metrics

    outcome = outcome_of(pairs[0], 0.0013)  # a third of a grey level, which saving rounds away
    (picture,) = saved(outcome)
    luma, fused = (cv2.cvtColor(x, cv2.COLOR_RGB2GRAY) for x in (pairs[0].visible, picture))
    expected = fusion_metrics(luma, pairs[0].thermal, fused)
    assert asdict(metrics(outcome)[0]) == asdict(expected)
    assert expected.MSSIM > 0.4
    ready = replace(outcome, pictures=[np.full((*SIZE, 3), 7, np.uint8)])
    assert saved(ready)[0].max() == 7


def test_an_exported_file_scores_as_its_weights() -> None:
    pytest.importorskip('onnxruntime', reason='onnxruntime is not installed')
    base = ROOT / 'tests' / 'data' / 'pairs'
    name = min(path.name for path in (base / 'vi').iterdir())
    bgr = cv2.imread(str(base / 'vi' / name))
    thermal = cv2.imread(str(next((base / 'ir').glob(f'{Path(name).stem}.*'))), 0)
    pair = LabelledPair(name, bgr[..., ::-1].copy(), thermal, np.zeros(thermal.shape, np.uint8))
    exported = Exported(ROOT / 'models' / 'weights' / 'paif_small.onnx', 1)
    (found,) = exported.outcomes([pair])
    network = load_paif(ROOT / 'models' / 'weights' / 'paif_small.safetensors')
    (expected,) = outcomes(network, [pair], [parse_attack('none')])
    assert (found.masks == expected.masks).mean() > 0.995
    assert abs(saved(found)[0].astype(int) - saved(expected)[0]).mean() < 1
    assert found.confusions()[0].sum() == pair.label.size


def test_groups_and_a_part_of_a_set(pairs: list[LabelledPair]) -> None:
    named = [replace(pairs[0], name=name) for name in ('01D.png', 'rainN', 'a/7N', '3D')]
    assert by_time(named) == {'day': [0, 3], 'night': [2]}
    assert spread(range(10), 4) == [0, 3, 6, 9]
    assert spread(range(3), 4) == spread(range(3), None) == [0, 1, 2]


def test_sweeps_are_named_as_attacks() -> None:
    names = swept('1, 2', 'textbook5:thermalx3')
    assert names == ['textbook5@1/255:thermalx3', 'textbook5@2/255:thermalx3']
    assert [parse_attack(name).eps for name in names] == [1 / 255, 2 / 255]
    for text, kind in (('1,b', 'pgd5'), ('1', 'pgd5@4/255'), ('1', 'none'), ('1', 'nothing')):
        with pytest.raises(ValueError, match='attack'):
            swept(text, kind)


@pytest.mark.parametrize(
    ('options', 'says'),
    [
        ('--attacks pgd', 'choose none, noise or fgsm'),
        ('--attacks none --sweep 1,x', 'pgd5@x/255'),
        ('--inputs visible', 'fused'),
        ('--inputs fused,radar', 'radar'),
        ('--limit 0', '--limit 0'),
        ('--batch 0', '--batch'),
        ('--device tpu', 'tpu'),
        ('--pictures DIR', '--attacks'),
        ('--data nowhere', 'nowhere'),
        ('--weights nothing.safetensors', 'no weights at nothing.safetensors'),
        (f'--weights {ROOT}/models/weights/paif_small.onnx --attacks pgd5', 'no gradients'),
    ],
)
def test_bad_arguments_end_with_2_and_say_why(
    weights: Path, folder: Path, options: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = options.split()
    if '--data' not in given:
        given += ['--data', str(folder)]
    if '--weights' not in given:
        given += ['--weights', str(weights)]
    try:
        code = main(given)
    except SystemExit as ended:
        code = ended.code
    assert code == 2
    assert says in capsys.readouterr().err


def test_uaafusion_is_scored_by_the_same_table(folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    small = load_uaafusion_config('small')
    network = UAAFusion(replace(small, channels=4, stages=2, steps=1, decoder=8)).eval()
    save_uaafusion(tmp_path / 'tiny.safetensors', network)
    given = ['--network', 'uaafusion', '--weights', str(tmp_path / 'tiny.safetensors')]
    given += ['--data', str(folder), '--inputs', 'fused,visible,thermal', '--threads', '1']
    assert main([*given, '--json', str(tmp_path / 'o.json')]) == 0
    found = json.loads((tmp_path / 'o.json').read_text())['inputs']
    label = np.stack([pair.label for pair in read_folder(folder, 4)])
    tensors = Tensors.of(read_folder(folder, 4))
    with torch.no_grad():
        fused, logits = network(tensors.thermal, tensors.visible)
        shown, _ = feed(network, 'fused')(tensors.thermal, tensors.visible)
        alone = network.segmenter.logits(tensors.thermal)
    assert torch.equal(shown, stretch_image(fused))
    for name, by in (('fused', logits), ('thermal', alone)):
        mask = by.argmax(1).numpy().astype(np.uint8)
        expected = scores(confusion(label, mask, 4)).miou
        assert found[name]['attacks']['none']['miou'] == pytest.approx(expected, abs=1e-3)
