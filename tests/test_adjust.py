"""Class biases: the shift that scores best on held-out pairs is found, and only the bias moves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='torch is a development dependency')

from models import average as averaging
from models.adjust import REACH, best_shift, bounded_shift, collect, foreground, main
from models.checkpoint import load_paif, save_paif
from models.data import generate
from models.paif import PAIF, load_config


def timid(count: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Logits of a classifier that knows class 1 and 2 but holds them back by 1.5 and 0.5."""
    rng = np.random.default_rng(0)
    labels = rng.choice(3, count, p=(0.8, 0.1, 0.1)).astype(np.uint8)
    logits = rng.normal(0, 0.3, (count, 3))
    logits[np.arange(count), labels] += 1.2
    logits -= (0.0, 1.5, 0.5)
    return logits.astype(np.float16), labels


def test_the_shift_undoes_what_was_held_back() -> None:
    found = timid()
    shift = best_shift([found])
    assert shift[0] == 0
    assert shift[1] - shift[2] == pytest.approx(1.0, abs=0.5)
    assert foreground([found], shift) > foreground([found], np.zeros(3)) + 0.3
    assert np.abs(shift).max() <= REACH


def test_a_classifier_that_is_right_is_left_alone() -> None:
    logits, labels = timid()
    logits = np.eye(3, dtype=np.float16)[labels] * 9
    assert not best_shift([(logits, labels)]).any()


def test_the_clean_score_bounds_what_is_taken_for_the_attacked_one() -> None:
    clean = timid()
    attacked = (clean[0] + np.float16([0, -1.5, 0.5]), clean[1])
    free, bound, kept = (bounded_shift(clean, [attacked], points) for points in (100, 5, 0))
    best = foreground([clean], best_shift([clean]))
    assert foreground([clean], free) < best - 0.05
    assert best - 0.05 <= foreground([clean], bound) <= foreground([clean], kept) == best
    scored = [foreground([attacked], shift) for shift in (free, bound, kept)]
    assert scored[0] > scored[1] > scored[2]


def test_only_the_bias_moves(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = replace(load_config('paif_small'), channels=2, backbone='mit_nano', embedding=8)
    network = PAIF(config)
    save_paif(tmp_path / 'before.safetensors', network)
    for pair in generate([500], 2, 96, 128):
        name = f'{pair.name.split("/")[-1]}.png'
        pictures = {
            'vi': cv2.cvtColor(pair.visible, cv2.COLOR_RGB2BGR),
            'ir': pair.thermal,
            'label': pair.label,
        }
        for kind, picture in pictures.items():
            (tmp_path / 'data' / kind).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(tmp_path / 'data' / kind / name), picture)
    out = tmp_path / 'after.safetensors'
    options = ['--weights', str(tmp_path / 'before.safetensors'), '--data', str(tmp_path / 'data')]
    assert main([*options, '--attacks', 'none,fgsm', '--out', str(out), '--threads', '1']) == 0
    before, after = (load_paif(p).state_dict() for p in (tmp_path / 'before.safetensors', out))
    moved = [key for key in before if not before[key].equal(after[key])]
    assert moved in ([], ['denoise_net.decoder.linear_pred.bias'])
    sets = [collect(load_paif(out), generate([500], 2, 96, 128), 'none')]
    assert sets[0][0].shape == (2 * 24 * 32, 4)
    assert main([*options, '--attacks', 'magic', '--out', str(out)]) == 2
    assert main([*options, '--attacks', 'fgsm', '--give-up', '3', '--out', str(out)]) == 2


def test_networks_of_one_start_are_averaged(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = load_config('paif_nano')
    paths = [tmp_path / f'{number}.safetensors' for number in range(2)]
    for path in paths:
        save_paif(path, PAIF(config))
    out = tmp_path / 'mean.safetensors'
    assert averaging.main([*map(str, paths), '--out', str(out)]) == 0
    mean, *states = (load_paif(path).state_dict() for path in (out, *paths))
    name = 'denoise_net.decoder.linear_pred.weight'
    assert not states[0][name].equal(states[1][name])
    torch.testing.assert_close(
        mean[name], (states[0][name] + states[1][name]) / 2, atol=1e-3, rtol=1e-3
    )
    assert averaging.main([str(out), '--out', str(out)]) == 2
    other = tmp_path / 'other.safetensors'
    save_paif(other, PAIF(replace(config, pool=2)))
    assert averaging.main([str(out), str(other), '--out', str(out)]) == 2
