"""Integrated gradients, the fusion weights made of them, and the explanation of whole networks."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='torch is a development dependency')

from models.attribution.__main__ import main
from models.attribution.explain import explain
from models.attribution.integrated import (
    class_maps,
    fusion_weights,
    integrated_gradients,
    one_hot,
    weights_of,
)
from models.attribution.sheets import paint
from models.checkpoint import save_paif
from models.paif import PAIF, load_config
from models.parity import recipe_state
from models.uaafusion.network import UAAFusion
from models.uaafusion.network import load_config as load_uaafusion_config
from scenes.bag import COLOR, THERMAL, write_bag
from scenes.clips import drawn_clip

SIZE = (64, 96)


def linear(thermal: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
    """Scores of two classes: 2 t + v, and t - v."""
    return torch.cat((2 * thermal + visible, thermal - visible), 1)


def test_one_hot_leaves_unknown_out() -> None:
    regions = one_hot(torch.tensor([[[0, 1, 255]]]), 2)
    assert regions[0, :, 0].tolist() == [[True, False, False], [False, True, False]]


def test_contributions_of_a_linear_function_by_hand() -> None:
    thermal, visible = torch.full((1, 1, 2, 2), 0.5), torch.full((1, 1, 2, 2), 0.25)
    regions = one_hot(torch.tensor([[[0, 0], [0, 1]]]), 2)
    first, second = integrated_gradients(linear, (thermal, visible), regions, 1)
    assert (first.label, first.pixels, second.label, second.pixels) == (0, 3, 1, 1)
    assert first.totals == pytest.approx((2 * 0.5, 0.25))
    assert second.totals == pytest.approx((0.5, -0.25))
    # Only the region itself matters to a function of single pixels.
    assert first.contributions[0][0, 0, 1, 1] == 0
    maps = class_maps([first, second], regions, picture=1)
    assert maps[0, 0].flatten().tolist() == pytest.approx([0.25 / 3] * 3 + [0])
    assert not maps[0, 1].any()  # speaks against
    only = integrated_gradients(linear, (thermal, visible), regions, 1, labels=[1])
    assert [found.label for found in only] == [1]


def test_contributions_of_a_curve_sum_up_to_its_rise() -> None:
    def cubic(x: torch.Tensor) -> torch.Tensor:
        return x**3

    x = torch.full((1, 1, 4, 4), 0.8)
    regions = torch.ones(1, 1, 4, 4, dtype=torch.bool)
    for rule, steps, bound in (('middle', 32, 1e-3), ('right', 32, 5e-2)):
        (found,) = integrated_gradients(cubic, [x], regions, steps, rule=rule)
        gap = abs(found.totals[0] - 0.8**3)
        assert gap < bound * 0.8**3
    (shifted,) = integrated_gradients(cubic, [x], regions, 64, baselines=[torch.full_like(x, 0.2)])
    assert shifted.totals[0] == pytest.approx(0.8**3 - 0.2**3, rel=1e-3)
    with pytest.raises(ValueError, match='0 steps'):
        integrated_gradients(cubic, [x], regions, 0)
    with pytest.raises(ValueError, match='1 baselines for 2'):
        integrated_gradients(linear, (x, x), regions, 1, baselines=[x])


def test_weights_favour_the_picture_that_carries_the_class() -> None:
    def bright(x: torch.Tensor) -> torch.Tensor:
        return torch.cat((x, 1 - x), 1)

    thermal, visible = torch.full((1, 1, 4, 4), 0.9), torch.full((1, 1, 4, 4), 0.3)
    regions = one_hot(torch.zeros(1, 4, 4, dtype=torch.int64), 2)
    weights = fusion_weights(bright, thermal, visible, regions, 3)
    torch.testing.assert_close(weights.thermal, torch.full((1, 1, 4, 4), 0.75))
    torch.testing.assert_close(weights.thermal + weights.visible, torch.ones(1, 1, 4, 4))
    nothing = torch.zeros(1, 2, 4, 4)
    torch.testing.assert_close(weights_of(nothing, nothing).visible, torch.full((1, 1, 4, 4), 0.5))


@pytest.fixture(scope='module')
def paif() -> PAIF:
    config = replace(load_config('paif_nano_half'), channels=2, embedding=8)
    network = PAIF(config).eval()
    # Strong weights, so that a mask of several classes comes out and depends on the pictures.
    network.load_state_dict(recipe_state(network, 3))
    return network


def pair() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    coarse = torch.rand(1, 4, 8, 12, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, SIZE, mode='bilinear')
    return smooth[:, :1], smooth[:, 1:]


def test_an_explanation_of_paif_adds_up(paif: PAIF) -> None:
    thermal, visible = pair()
    found = explain(paif, thermal, visible, steps=8)
    assert found.mask.shape == SIZE
    assert len(found.reasons) == len(found.mask.unique())
    for reason in found.reasons:
        assert reason.pixels == int((found.mask == reason.label).sum())
        assert abs(reason.gap) < 0.01
        assert 0 <= reason.thermal_share <= 1
        assert float(reason.thermal_map.sum()) == pytest.approx(reason.thermal, abs=1e-5)
    assert max(abs(reason.score - reason.black) for reason in found.reasons) > 0.05
    assert all(p.grad is None for p in paif.parameters())
    with pytest.raises(ValueError, match='2 pairs'):
        explain(paif, thermal.repeat(2, 1, 1, 1), visible.repeat(2, 1, 1, 1))


def test_a_camera_that_is_not_looked_at_gets_no_share(paif: PAIF) -> None:
    alone = PAIF(replace(paif.config, fusion='thermal')).eval()
    alone.denoise_net.load_state_dict(paif.denoise_net.state_dict())
    for reason in explain(alone, *pair(), steps=2).reasons:
        assert reason.visible == 0
        assert not reason.visible_map.any()
        assert reason.thermal_map.any()


def test_an_explanation_of_uaafusion() -> None:
    torch.manual_seed(0)
    config = replace(load_uaafusion_config('small'), channels=2, stages=2, decoder=8, steps=1)
    network = UAAFusion(config).eval()
    found = explain(network, *pair(), steps=2)
    assert sum(reason.pixels for reason in found.reasons) == SIZE[0] * SIZE[1]
    assert any(reason.thermal_map.any() and reason.visible_map.any() for reason in found.reasons)


def test_maps_are_orange_for_and_blue_against() -> None:
    values = np.array([[1.0, -1.0, 0.0]], np.float32)
    painted = paint(values, 1.0, np.full((1, 3, 3), 100, np.uint8))
    assert painted[0].tolist() == [[255, 120, 40], [60, 140, 255], [35, 35, 35]]


def test_commands(paif: PAIF, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_paif(tmp_path / 'w.safetensors', paif)
    rng = np.random.default_rng(0)
    cv2.imwrite(str(tmp_path / 'v.png'), rng.integers(0, 256, (*SIZE, 3), np.uint8))
    cv2.imwrite(str(tmp_path / 't.png'), rng.integers(0, 60000, SIZE, np.uint16))
    network = ['--weights', str(tmp_path / 'w.safetensors'), '--size', '64x96', '--steps', '2']
    picture = ['image', str(tmp_path / 'v.png'), str(tmp_path / 't.png')]
    out = ['--out', str(tmp_path / 'why.png'), '--json', str(tmp_path / 'why.json')]
    assert main([*picture, *network, *out]) == 0
    report = json.loads((tmp_path / 'why.json').read_text())
    classes = report[0]['classes']
    assert classes
    assert {'name', 'thermal_share', 'gap', 'pixels'} <= classes[0].keys()
    drawn = cv2.imread(str(tmp_path / 'why.png'))
    rows = round(SIZE[0] * 320 / SIZE[1])  # enlarged to what captions need
    assert drawn.shape == ((1 + len(classes)) * (rows + 22), 3 * 320, 3)

    clip = drawn_clip(['night'], 0.4, 10.0, SIZE, 3)
    write_bag(tmp_path / 'bag', clip, seed=3)
    topics = ['--color-topic', COLOR, '--thermal-topic', THERMAL]
    recording = ['bag', str(tmp_path / 'bag'), '--count', '2', '--out', str(tmp_path / 'why')]
    assert main([*recording, *topics, *network]) == 0
    assert len(list((tmp_path / 'why').glob('*.png'))) == 2
    capsys.readouterr()
    absent = {'background', 'car', 'person', 'bike'} - {row['name'] for row in classes}
    assert absent
    assert main([*picture, *network, *out, '--class', min(absent)]) == 0
    assert f'{min(absent):12s} is not in the mask' in capsys.readouterr().out
    assert main([*picture, *network, '--class', 'tree']) == 2
    assert "classes ['tree']" in capsys.readouterr().err
    assert main(['image', 'nothing.png', 'nothing.png', *network]) == 2
    assert 'nothing.png is no picture' in capsys.readouterr().err
