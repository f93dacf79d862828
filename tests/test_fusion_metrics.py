"""Fusion metrics: against the official numbers, and on pictures worked out by hand."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip('torch', reason='torch is a development dependency')
pytest.importorskip('skimage', reason='scikit-image is a development dependency')
pytest.importorskip('torchmetrics', reason='torchmetrics is a development dependency')

from models import parity
from models.fusion_metrics import FusionMetrics, fusion_metrics, fusion_table, mean_metrics

HERE = Path(__file__).parent / 'data' / 'parity'
SHARED = Path(__file__).resolve().parents[2] / 'shared' / 'parity'
NAME = 'crossfuse_topk_metrics_seed0.npz'


def pictures() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    with np.load(HERE / NAME) as fixture:
        a, b, fused = (fixture[f'met/{name}'].astype(np.uint8) for name in 'ABF')
    return a, b, fused


def test_all_12_metrics_equal_the_official_ones() -> None:
    rows = parity.compare_file(HERE / NAME)
    assert {row.name for row in rows} == {
        f'met/{name}'
        for name in 'EN SD SF AG MI MSE CC PSNR SCD VIFF Qabf SSIM'.split()  # noqa: SIM905
    }
    assert not [str(row) for row in rows if not row.passed]


@pytest.mark.skipif(not SHARED.is_dir(), reason='../shared/parity is not there')
def test_the_shared_file_too() -> None:
    assert parity.main([str(SHARED / NAME)]) == 0


def test_a_wrong_number_is_found(tmp_path: Path) -> None:
    with np.load(HERE / NAME) as archive:
        fixture = {key: archive[key] for key in archive.files}
    fixture['met/Qabf'] = fixture['met/Qabf'] + 1e-4
    np.savez(tmp_path / NAME, **fixture)
    rows = parity.compare_file(tmp_path / NAME)
    assert [row.name for row in rows if not row.passed] == ['met/Qabf']


def test_perfect_fusion_of_two_equal_pictures() -> None:
    a, _, _ = pictures()
    same = asdict(fusion_metrics(a, a, a))
    assert same['MSE'] == 0
    assert math.isinf(same['PSNR'])
    assert same['VIF'] == pytest.approx(2, abs=1e-5)
    assert same['SSIM'] == pytest.approx(2)
    assert same['MSSIM'] == pytest.approx(1)
    assert same['CC'] == pytest.approx(1)
    assert same['Qabf'] == pytest.approx(0.9994 * 0.9879, abs=0.02), 'the most that Qabf can be'
    entropy = same['EN'] * math.log(2)
    assert same['MI'] == pytest.approx(2 * entropy), 'a picture tells all about itself'


def test_a_picture_worked_out_by_hand() -> None:
    """Columns 10, 20, 10, 20 ...: two grey levels, differences of 10 along rows alone."""
    stripes = np.tile(np.array([10, 20], np.uint8), (48, 32))
    found = asdict(fusion_metrics(stripes, stripes, stripes))
    assert found['EN'] == pytest.approx(1)
    assert found['SD'] == pytest.approx(5)
    assert found['SF'] == pytest.approx(10)
    # Central differences vanish but in the first and last of the 64 columns, where they are 10.
    assert found['AG'] == pytest.approx(10 / math.sqrt(2) * 2 / 64)


def test_noise_and_blur_cost_fidelity() -> None:
    folder = Path(__file__).parent / 'data' / 'pairs'
    name = sorted(path.name for path in (folder / 'vi').iterdir())[0]
    a, b = (
        cv2.imread(str(folder / kind / name), cv2.IMREAD_GRAYSCALE)[100:300, 100:400].astype(
            np.uint8
        )
        for kind in ('vi', 'ir')
    )
    fused = (a // 2 + b // 2).astype(np.uint8)
    random = np.random.default_rng(0)
    noisy = np.clip(fused + random.normal(0, 30, fused.shape), 0, 255).astype(np.uint8)
    clean, noise = fusion_metrics(a, b, fused), fusion_metrics(a, b, noisy)
    blur = fusion_metrics(a, b, cv2.GaussianBlur(fused, (0, 0), 3).astype(np.uint8))
    for worse in (noise, blur):
        assert worse.VIF < clean.VIF
        assert worse.Qabf < clean.Qabf
    assert blur.SF < clean.SF < noise.SF


def test_sources_may_be_swapped() -> None:
    a, b, fused = pictures()
    first, second = asdict(fusion_metrics(a, b, fused)), asdict(fusion_metrics(b, a, fused))
    assert first == pytest.approx(second)


def test_flat_pictures_have_no_correlation_and_make_no_noise(
    recwarn: pytest.WarningsRecorder,
) -> None:
    a, b, fused = pictures()
    flat = np.full_like(fused, 7)
    found = fusion_metrics(a, b, flat)
    assert math.isnan(found.CC)
    assert found.EN == found.SD == found.SF == found.AG == 0
    assert math.isnan(fusion_metrics(flat, flat, fused).VIF)
    assert math.isnan(fusion_metrics(flat * 0, flat * 0, fused).Qabf)
    assert not recwarn.list


@pytest.mark.parametrize(
    ('change', 'text'),
    [
        (lambda a: a.astype(np.float32), 'visible is float32'),
        (lambda a: a[..., None], r'visible is uint8 \[96, 128, 1\]'),
        (lambda a: a[1:], r'visible is uint8 \[95, 128\]'),
    ],
)
def test_what_does_not_fit_is_named(change: object, text: str) -> None:
    a, b, fused = pictures()
    with pytest.raises(ValueError, match=text):
        fusion_metrics(change(a), b, fused)  # type: ignore[operator]


def test_small_pictures_are_refused() -> None:
    small = np.zeros((40, 100), np.uint8)
    with pytest.raises(ValueError, match='VIF needs 41'):
        fusion_metrics(small, small, small)


def test_means_leave_out_what_is_undefined() -> None:
    one = fusion_metrics(*pictures())
    other = replace(one, EN=one.EN + 2, CC=float('nan'), PSNR=float('inf'))
    mean = mean_metrics([one, other])
    assert pytest.approx(one.EN + 1) == mean.EN
    assert (mean.CC, mean.PSNR) == (one.CC, one.PSNR)
    assert math.isnan(mean_metrics([replace(one, CC=float('nan'))]).CC)
    with pytest.raises(ValueError, match='no pictures'):
        mean_metrics([])


def test_the_table_has_every_metric() -> None:
    one = fusion_metrics(*pictures())
    lines = fusion_table([('paif_small', one)]).splitlines()
    assert lines[0].count('|') == lines[2].count('|') == len(asdict(one)) + 2
    assert '| 7.021 |' in lines[2]
    assert isinstance(one, FusionMetrics)
