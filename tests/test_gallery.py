"""The documentation's gallery: which scenes, what is drawn, and bad input."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='torch is a development dependency')

from models.checkpoint import save_paif
from models.data import LabelledPair, read_folder
from models.evaluation import gallery
from models.evaluation.sheets import CAPTION
from models.paif import PAIF, load_config

SIZE = (48, 64)
NAMES = ('00001D.png', '00002N.png', '00003N.png')


@pytest.fixture(scope='module')
def network() -> PAIF:
    torch.manual_seed(0)
    tiny = replace(load_config('paif_small'), channels=2, backbone='mit_nano', embedding=8)
    return PAIF(tiny).eval()


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as ../shared/data: the last pair has most person pixels."""
    base = tmp_path_factory.mktemp('data')
    random = np.random.default_rng(0)
    for kind, shape in (('vi', (*SIZE, 3)), ('ir', SIZE), ('label', SIZE)):
        (base / 'test' / kind).mkdir(parents=True)
        for number, name in enumerate(NAMES):
            picture = random.integers(0, 256, shape, np.uint8)
            if kind == 'label':
                picture[:] = 0
                picture[: 5 * number + 1, :9] = 2
            cv2.imwrite(str(base / 'test' / kind / name), picture)
    (base / 'video').mkdir()
    for end in ('visible', 'infrared'):
        path = base / 'video' / f'{gallery.SMOKE_FILM}_{end}.mp4'
        film = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'mp4v'), 30, SIZE[::-1])
        for number in range(gallery.SMOKE_FRAME + 1):
            film.write(np.full((*SIZE, 3), number, np.uint8))
        film.release()
    return base


def test_the_pairs_with_most_people_are_shown(data: Path) -> None:
    rows = {row.title: row for row in gallery.choose(data, 4, 'fgsm')}
    assert [Path(rows[title].pair.name).stem for title in ('night', 'day')] == ['00003N', '00001D']
    assert rows['night, fgsm'].attack == 'fgsm'
    assert abs(int(rows['smoke'].pair.visible.mean()) - gallery.SMOKE_FRAME) < 8
    assert 'glare' in rows['generated glare'].pair.name
    for path in (data / 'test' / 'vi').glob('*D.png'):
        path.rename(path.with_name('00001X.png'))
        for kind in ('ir', 'label'):
            (data / 'test' / kind / path.name).rename(data / 'test' / kind / '00001X.png')
    with pytest.raises(ValueError, match='NAME_D'):
        gallery.choose(data, 4, 'fgsm')


def test_a_row_has_a_panel_for_each_network(data: Path, network: PAIF) -> None:
    pair: LabelledPair = read_folder(data / 'test', 4)[-1]
    networks = [('one', network), ('two', network)]
    clean, attacked = (
        gallery.draw(gallery.Row('night', pair, attack), networks) for attack in ('none', 'fgsm')
    )
    height = round(gallery.WIDTH * SIZE[0] / SIZE[1]) + CAPTION
    assert clean.shape == attacked.shape == (height, 5 * gallery.WIDTH, 3)
    first = np.s_[CAPTION:, : gallery.WIDTH]
    size = (gallery.WIDTH, height - CAPTION)
    small = cv2.resize(pair.visible, size, interpolation=cv2.INTER_AREA)
    assert np.abs(clean[first].astype(int) - small).mean() < 1
    assert np.abs(attacked[first].astype(int) - small).mean() > 3


def test_bad_input_ends_with_2(
    tmp_path: Path, network: PAIF, capsys: pytest.CaptureFixture[str]
) -> None:
    save_paif(tmp_path / 'w.safetensors', network)
    arguments = ['--weights', str(tmp_path / 'w.safetensors'), '--out', str(tmp_path / 'o.jpg')]
    assert gallery.main([*arguments, '--data', str(tmp_path / 'none')]) == 2
    assert 'none' in capsys.readouterr().err
    assert gallery.main([*arguments, '--data', str(tmp_path), '--attack', 'magic']) == 2
    assert 'magic' in capsys.readouterr().err
