"""The networks against tensors that the official code produced."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip('torch', reason='torch is a development dependency')

from models import parity

HERE = Path(__file__).parent / 'data' / 'parity'
SHARED = Path(__file__).resolve().parents[2] / 'shared' / 'parity'
FILES = ('paif_ops', 'paif_fusion', 'paif_mit_b0', 'paif_mit_b3_recipe')


def fixture_path(name: str) -> Path:
    return HERE / f'{name}_seed0.npz'


@pytest.mark.parametrize('name', FILES)
def test_within_tolerance(name: str) -> None:
    rows = parity.compare_file(fixture_path(name))
    assert len(rows) >= 9
    assert not [str(row) for row in rows if not row.passed]


@pytest.mark.skipif(not SHARED.is_dir(), reason='../shared/parity is not there')
@pytest.mark.parametrize('name', ['paif_fusion', 'paif_mit_b0'])
def test_the_whole_files_with_their_weights(name: str) -> None:
    rows = parity.compare_file(SHARED / f'{name}_seed0.npz')
    assert len(rows) > len(parity.compare_file(fixture_path(name)))
    assert not [str(row) for row in rows if not row.passed]


def test_parity_fails_past_tolerance(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import numpy as np

    with np.load(fixture_path('paif_ops')) as archive:
        fixture = {key: archive[key] for key in archive.files}
    fixture['op/DilConv_3_2/out'] = fixture['op/DilConv_3_2/out'] + 2e-5
    path = tmp_path / 'paif_ops_seed0.npz'
    np.savez(path, **fixture)
    assert parity.main([str(path)]) == 1
    assert 'FAIL op/DilConv_3_2/out' in capsys.readouterr().out


def test_parity_refuses_what_it_does_not_know(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert parity.main([str(tmp_path / 'something_seed0.npz')]) == 2
    assert 'no comparison for it' in capsys.readouterr().err
