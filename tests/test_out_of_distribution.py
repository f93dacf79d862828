"""The three fusions on one source: trained alike, scored elsewhere, gone on with, tabled."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='torch is a development dependency')

from models.checkpoint import save_paif
from models.data import generate
from models.out_of_distribution import sets
from models.out_of_distribution.__main__ import RUN, main
from models.out_of_distribution.sets import read_source
from models.out_of_distribution.table import PAGE, SCORES, Run, read_runs, text
from models.out_of_distribution.training import Budget, train
from models.paif import PAIF, load_config

SIDE = 64


def write_pairs(root: Path, seeds: range, ids: int, labels: bool = True) -> None:
    """Write generated pairs of 96x128 as {vi,ir,label}/NAME."""
    for pair in generate(seeds, 1, 96, 128):
        name = f'{pair.name.replace("/", "_")}.png'
        pictures = {'vi': cv2.cvtColor(pair.visible, cv2.COLOR_RGB2BGR), 'ir': pair.thermal}
        if labels:
            pictures['label'] = np.minimum(pair.label, ids)
        for kind, picture in pictures.items():
            (root / kind).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(root / kind / name), picture)


def write_film(path: Path) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'mp4v'), 20, (128, 96))
    rng = np.random.default_rng(0)
    writer.write(rng.integers(0, 256, (96, 128, 3), np.uint8))
    writer.release()


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp('data')
    write_pairs(root / 'roadscene', range(1, 4), 0, labels=False)
    write_pairs(root / 'train', range(5, 8), 3)
    write_pairs(root / 'test', range(9, 10), 3)
    write_pairs(root / 'tno_salient' / 'train', range(10, 11), 1)
    (root / 'video').mkdir()
    for kind in ('visible', 'infrared'):
        write_film(root / 'video' / f'walk_{kind}.mp4')
    return root


def test_runs_are_made_once_and_tabled(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sets, 'GENERATED', ('night',))
    torch.manual_seed(0)
    lent = tmp_path / 'segmenter.safetensors'
    save_paif(lent, PAIF(replace(load_config('paif_nano'), channels=2)))
    scores = tmp_path / 'runs.json'
    asked = {
        'data': data,
        'out': tmp_path / 'runs',
        'variants': 'plain,both',
        'networks': 'crossfuse',
        'seeds': 1,
        'steps': 4,
        'batch': 2,
        'patch': SIDE,
        'crop': 32,
        'k': 3,
        'limit': 1,
        'segmenter': lent,
        'json': scores,
    }
    argv = [part for name, value in asked.items() for part in (f'--{name}', str(value))]
    assert main(argv) == 0
    runs = read_runs(scores)
    assert [run.variant for run in runs] == ['plain', 'both']
    for run in runs:
        assert run.own == ('roadscene',)
        assert set(run.scores) == {
            'roadscene', 'test', 'tno_salient', 'video', 'generated, night'
        }  # fmt: skip
        assert {'test', 'tno_salient', 'generated, night'} == {
            name for name, found in run.scores.items() if 'miou' in found
        }
        assert all(found['VIF'] > 0 for found in run.scores.values())
    assert runs[0].scores != runs[1].scores
    assert '| crossfuse | both |' in capsys.readouterr().out
    made = tmp_path / 'runs' / 'roadscene' / 'crossfuse-both-0' / RUN
    before = made.stat().st_mtime_ns
    lent.unlink()  # nothing is left that would need it
    assert main(argv) == 0
    assert made.stat().st_mtime_ns == before
    assert read_runs(scores) == runs


@pytest.mark.parametrize('name', ['paif', 'uaafusion'])
def test_each_system_learns_from_the_same_patches(name: str, data: Path, tmp_path: Path) -> None:
    pairs, held = read_source(data, 'roadscene')
    assert not {pair.name for pair in pairs} & {pair.name for pair in held}
    patches = sets.patches(pairs, SIDE)
    assert all(patch.thermal.shape == (SIDE, SIDE) for patch in patches)
    plain, augmented = (
        train(name, patches, Budget(2, 2, 32, 1e-3, beta, 0), tmp_path / str(beta)).state_dict()
        for beta in (0.0, 0.1)
    )
    assert any(not plain[key].equal(augmented[key]) for key in plain)
    assert not any(value.isnan().any() for value in plain.values())


def test_bad_arguments_are_named(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for wrong, words in {
        ('--networks', 'mean'): 'choose from paif',
        ('--variants', 'none'): 'choose from plain',
        ('--seeds', '0'): 'at least 1',
        ('--data', str(data / 'vi')): 'vi',
    }.items():
        assert main(['--data', str(data), *wrong]) == 2
        assert words in capsys.readouterr().err
    with pytest.raises(ValueError, match='choose from roadscene'):
        read_source(data, 'mars')


def test_means_leave_the_own_domain_out() -> None:
    found = {'a': {'VIF': 9.0}, 'b': {'VIF': 1.0, 'miou_foreground': 0.5}, 'c': {'VIF': 2.0}}
    run = Run('roadscene', 'train', 'paif', 'plain', 0, ('a',), found)
    assert run.outside('VIF') == 1.5
    assert run.inside('VIF') == 9
    other = replace(run, seed=1, scores={**found, 'b': {'VIF': 3.0, 'miou_foreground': 0.7}})
    table = text([run, other])
    assert '| paif | plain | 2.000 ± 0.500 |' in table
    assert '2.000 ± 1.000 (60.0 ± 10.0)' in table


def test_the_page_shows_the_runs() -> None:
    assert text(read_runs(SCORES)) in PAGE.read_text('utf-8')
