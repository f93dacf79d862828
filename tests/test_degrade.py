"""One camera alone: what stands in for the other one, and how that is scored."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from paif_ros.degrade import stand_in_thermal, stand_in_visible


def test_stand_ins_are_the_other_picture() -> None:
    random = np.random.default_rng(0)
    visible = random.integers(0, 256, (30, 40, 3), np.uint8)
    luma = stand_in_thermal(visible)
    assert (luma.dtype, luma.shape) == (np.uint8, (30, 40))
    np.testing.assert_allclose(luma, visible @ (0.299, 0.587, 0.114), atol=1)  # red first
    three = stand_in_visible(luma)
    assert (three.dtype, three.shape) == (np.uint8, (30, 40, 3))
    np.testing.assert_array_equal(three, np.repeat(luma[..., None], 3, axis=2))
    np.testing.assert_allclose(stand_in_thermal(three), luma, atol=1)


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
    for fill, thermal, visible in (
        ('copy', stand_in_thermal(pair.visible), stand_in_visible(pair.thermal)),
        ('grey', 128, 128),
        ('zeros', 0, 0),
    ):
        found = without(pair, 'thermal', fill)
        assert (found.thermal == thermal).all()
        assert found.thermal.shape == pair.thermal.shape
        assert found.visible is pair.visible
        found = without(pair, 'visible', fill)
        assert (found.visible == visible).all()
        assert found.visible.shape == pair.visible.shape
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
    assert lines[2].startswith('  without thermal: copy')
    (found,) = json.loads(out.read_text('utf-8'))['sets'].values()
    assert set(found['missing']) == {'thermal', 'visible'}
    for fills in found['missing'].values():
        assert set(fills) == {'copy', 'grey', 'zeros'}
    assert main([*arguments, '--missing', 'visible', '--fill', 'zeros']) == 0
    (again,) = json.loads(out.read_text('utf-8'))['sets'].values()
    assert again['missing'] == {'visible': {'zeros': found['missing']['visible']['zeros']}}
    assert again['attacks'] == found['attacks']


def test_fill_without_missing_is_refused(
    weights: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from models.evaluate import main

    with pytest.raises(SystemExit):
        main(['--weights', str(weights), '--data', str(folder), '--fill', 'grey'])
    assert '--missing' in capsys.readouterr().err
