"""One camera alone: what stands in for the other one, and how that is scored."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from paif_ros.fusion.stand_in import stand_in_thermal, stand_in_visible


def test_stand_ins_are_black_pictures_of_the_right_shape() -> None:
    visible = np.full((30, 40, 3), 200, np.uint8)
    heat = stand_in_thermal(visible)
    assert (heat.dtype, heat.shape, heat.any()) == (np.uint8, (30, 40), False)
    color = stand_in_visible(visible[..., 0])
    assert (color.dtype, color.shape, color.any()) == (np.uint8, (30, 40, 3), False)


@pytest.fixture(scope='module')
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A narrow network with random weights."""
    torch = pytest.importorskip('torch', reason='torch is a development dependency')
    from models.checkpoint import save_paif
    from models.paif import PAIF, load_config

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp('weights') / 'w.safetensors'
    save_paif(path, PAIF(replace(load_config('paif_small'), channels=2, embedding=8)))
    return path


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two labelled pairs."""
    base = tmp_path_factory.mktemp('pairs')
    random = np.random.default_rng(1)
    for name in ('a.png', 'b.png'):
        for kind, shape, high in (('vi', (64, 96, 3), 256), ('ir', (64, 96), 256)):
            (base / kind).mkdir(exist_ok=True)
            cv2.imwrite(str(base / kind / name), random.integers(0, high, shape, np.uint8))
        (base / 'label').mkdir(exist_ok=True)
        cv2.imwrite(str(base / 'label' / name), random.integers(0, 4, (64, 96), np.uint8))
    return base


def test_only_the_missing_camera_is_replaced(folder: Path) -> None:
    pytest.importorskip('torch', reason='torch is a development dependency')
    from models.data import read_folder
    from models.evaluate import without

    pair = read_folder(folder, 4)[0]
    luma = pair.visible @ (0.299, 0.587, 0.114)  # red first
    for fill, thermal, visible in (
        ('black', 0, 0),
        ('grey', 128, 128),
        ('copy', luma, pair.thermal[..., None]),
    ):
        found = without(pair, 'thermal', fill)
        np.testing.assert_allclose(found.thermal, np.broadcast_to(thermal, (64, 96)), atol=1)
        assert (found.thermal.dtype, found.thermal.shape) == (np.uint8, (64, 96))
        assert found.visible is pair.visible
        found = without(pair, 'visible', fill)
        assert (found.visible == visible).all()
        assert (found.visible.dtype, found.visible.shape) == (np.uint8, (64, 96, 3))
        assert found.thermal is pair.thermal


def test_scores_stand_side_by_side(
    weights: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from models.evaluate import main

    out = tmp_path / 'scores.json'
    arguments = ['--weights', str(weights), '--data', str(folder), '--json', str(out)]
    assert main([*arguments, '--missing', 'thermal', '--missing', 'visible']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + 2 * 3
    assert lines[2].startswith('  without thermal: black')
    (found,) = json.loads(out.read_text('utf-8'))['sets'].values()
    assert set(found['missing']) == {'thermal', 'visible'}
    for fills in found['missing'].values():
        assert set(fills) == {'black', 'grey', 'copy'}
    assert main([*arguments, '--missing', 'visible', '--fill', 'black']) == 0
    (again,) = json.loads(out.read_text('utf-8'))['sets'].values()
    assert again['missing'] == {'visible': {'black': found['missing']['visible']['black']}}
    assert again['attacks'] == found['attacks']


def test_fill_without_missing_is_refused(
    weights: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from models.evaluate import main

    with pytest.raises(SystemExit):
        main(['--weights', str(weights), '--data', str(folder), '--fill', 'grey'])
    assert '--missing' in capsys.readouterr().err
