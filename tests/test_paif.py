"""PAIF as data, its normalisation, and strict checkpoints."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip('torch', reason='torch is a development dependency')

from models.checkpoint import CheckpointError, load_paif, save_paif
from models.genotype import Genotype, load_genotype
from models.operators import Operator, parse_operator
from models.paif import PAIF, PAIFConfig, load_config, stretch_batch, stretch_image

OTHER = Genotype(
    'other',
    ('SepConv_5_1', 'SPAattention_5'),
    ('Residualblocks_3_2', 'DilConv_5_2'),
    ('Denseblocks_3_2', 'ECAattention_5'),
)


def tiny(**changes: object) -> PAIFConfig:
    return replace(load_config('paif_small'), channels=4, embedding=16, **changes)


def pictures(batch: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return (
        torch.rand(batch, 1, 64, 96, generator=generator),
        torch.rand(batch, 3, 64, 96, generator=generator) * 0.6 + 0.2,
    )


@torch.no_grad()
def test_image_stretch_equals_the_official_one_at_batch_1() -> None:
    torch.manual_seed(0)
    ours = PAIF(tiny()).eval()
    official = PAIF(tiny(stretch='batch')).eval()
    official.load_state_dict(ours.state_dict())
    for a, b in zip(ours(*pictures()), official(*pictures()), strict=True):
        assert torch.equal(a, b)


@torch.no_grad()
def test_a_picture_does_not_depend_on_its_neighbours_in_the_batch() -> None:
    torch.manual_seed(0)
    network = PAIF(tiny()).eval()
    thermal, visible = pictures(2)
    visible[0] = 0.5 + (visible[0] - 0.5) * 0.1  # the narrower range of the two
    together = network(thermal, visible)[1]
    alone = network(thermal[:1], visible[:1])[1]
    torch.testing.assert_close(together[:1], alone, atol=1e-5, rtol=0)
    # The official stretch does depend on them, or this test would prove nothing.
    official = PAIF(tiny(stretch='batch')).eval()
    official.load_state_dict(network.state_dict())
    assert (official(thermal, visible)[1][:1] - alone).abs().max() > 1e-3


def test_a_flat_picture_is_safe() -> None:
    flat = torch.full((1, 3, 8, 8), 0.5)
    assert torch.equal(stretch_image(flat), torch.zeros_like(flat))
    assert stretch_batch(flat).isnan().all()
    network = PAIF(tiny()).eval()
    with torch.no_grad():
        fused, logits = network(torch.zeros(1, 1, 64, 64), torch.zeros(1, 3, 64, 64))
    assert fused.isfinite().all()
    assert logits.isfinite().all()


@torch.no_grad()
def test_any_genotype_runs_and_travels_as_json() -> None:
    again = Genotype.from_json(OTHER.to_json())
    assert again == OTHER
    network = PAIF(tiny(genotype=again)).eval()
    fused, logits = network(*pictures())
    assert fused.shape == (1, 1, 64, 96)
    assert logits.shape == (1, 4, 16, 24)
    config = PAIFConfig.from_json(network.config.to_json())
    assert config == network.config


def test_genotype_files_and_their_errors(tmp_path: Path) -> None:
    assert load_genotype('paif').normal_3 == ('ECAattention_3', 'Residualblocks_7_1')
    with pytest.raises(FileNotFoundError, match=r"one of \['nano', 'paif', 'small'\]"):
        load_genotype('nothing')
    path = tmp_path / 'g.json'
    path.write_text(json.dumps({'name': 'x', 'normal_1': ['DilConv_3_2', 'DilConv_3_2']}))
    with pytest.raises(ValueError, match='lacks'):
        load_genotype(path)


@pytest.mark.parametrize(
    'name',
    ['Nonsense_3_1', 'DilConv_3', 'ECAattention_3_1', 'DilConv_4_1', 'DilConv_x_1', 'DilConv'],
)
def test_wrong_operator_names(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        parse_operator(name)


def test_operators_keep_the_size() -> None:
    x = torch.rand(1, 4, 11, 14)
    for name in ('DilConv_7_2', 'SepConv_7_2', 'SelAttention_2_1', 'Denseblocks_7_2'):
        assert Operator(name, 4)(x).shape == x.shape


def test_weights_round_trip_with_their_configuration(tmp_path: Path) -> None:
    network = PAIF(tiny()).eval()
    path = tmp_path / 'w.safetensors'
    save_paif(path, network)
    again = load_paif(path)
    assert again.config == network.config
    assert not again.training
    for key, value in network.state_dict().items():
        stored = value.half().float() if value.ndim > 1 else value
        assert torch.equal(again.state_dict()[key], stored), key


def test_checkpoint_is_strict_and_names_every_key(tmp_path: Path) -> None:
    state = PAIF(tiny()).state_dict()
    state['enhance_net.stray'] = torch.zeros(1)
    del state['denoise_net.classifier.weight']
    state['enhance_net.stem_1.0.weight'] = torch.zeros(2, 1, 3, 3)
    path = tmp_path / 'w.pth'
    torch.save(state, path)
    with pytest.raises(CheckpointError) as caught:
        load_paif(path, tiny())
    report = caught.value.report
    assert report.missing == ('denoise_net.classifier.weight',)
    assert report.unexpected == ('enhance_net.stray',)
    assert report.reshaped == ('enhance_net.stem_1.0.weight: (4, 1, 3, 3), (2, 1, 3, 3)',)
    assert 'enhance_net.stray' in str(caught.value)


def test_official_checkpoint_by_its_keys(tmp_path: Path) -> None:
    network = PAIF(load_config('paif_official_b0'))
    path = tmp_path / 'official.pth'
    torch.save(network.state_dict(), path)
    loaded = load_paif(path, 'paif_official_b0')
    key = 'enhance_net.decompation.chain2._ops.1._op.conv3.conv.weight'
    assert torch.equal(loaded.state_dict()[key], network.state_dict()[key])
    with pytest.raises(ValueError, match='--config'):
        load_paif(path)


class Mischief:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ('code ran',)


def test_a_pickle_with_code_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / 'evil.pth'
    torch.save({'x': Mischief()}, path)
    with pytest.raises(pickle.UnpicklingError):
        load_paif(path, tiny())
    assert 'code ran' not in capsys.readouterr().out
