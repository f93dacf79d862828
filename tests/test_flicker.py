"""Temporal stability: the measures on pictures worked out by hand, and the command."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import tiny_model

pytest.importorskip('torch', reason='torch is a development dependency')

from models import flicker
from models.sequences import Network, Sequence, clips, drawn, load_network
from models.temporal import MaskMeter, Motion, MotionEstimator, PictureMeter, TruthMeter
from paif_ros.contract import ClassLabel
from paif_ros.engines import Prediction
from paif_ros.parameters import MaskParameters

PAIRS = Path(__file__).parent / 'data' / 'pairs'
SIZE = (48, 64)
HOLD = MaskParameters(hold=3, confidence=255, motion=4)
U8 = np.ndarray


def still(size: tuple[int, int] = SIZE) -> Motion:
    """No motion, and everything is seen."""
    across, down = np.meshgrid(np.arange(size[1]), np.arange(size[0]))
    return Motion(across.astype(np.float32), down.astype(np.float32), np.ones(size, bool))


def texture(size: tuple[int, int]) -> U8:
    noise = np.random.default_rng(0).normal(0, 1, size).astype(np.float32)
    return cv2.normalize(
        cv2.GaussianBlur(noise, (0, 0), 3), None, 20, 230, cv2.NORM_MINMAX
    ).astype(np.uint8)


# ---- motion


def test_a_known_shift_is_found_and_undone() -> None:
    whole = texture((140, 180))
    before, now = whole[10:130, 10:170], whole[13:133, 8:168]  # contents go 3 up and 2 right
    motion = MotionEstimator().between(np.ascontiguousarray(before), np.ascontiguousarray(now))
    across, down = np.meshgrid(np.arange(160), np.arange(120))
    inside = np.s_[10:-10, 10:-10]
    assert np.abs(motion.column - across + 2)[inside].mean() < 0.2
    assert np.abs(motion.row - down - 3)[inside].mean() < 0.2
    assert motion.seen[inside].mean() > 0.98
    apart = np.abs(motion.bring(before).astype(int) - now)[inside]
    assert apart.mean() < 2 < np.abs(before.astype(int) - now)[inside].mean()


def test_what_an_object_uncovers_was_not_seen() -> None:
    size = (120, 160)
    ground, square = texture(size), 255 - texture((40, 40))
    frames = [ground.copy(), ground.copy()]
    for frame, left in zip(frames, (40, 52), strict=True):  # it goes 12 to the right
        frame[40:80, left : left + 40] = square
    seen = MotionEstimator().between(*frames).seen
    assert not seen[42:78, 41:50].all(axis=1).any(), 'each row of the strip has unseen pixels'
    assert seen[:20].mean() > 0.98


# ---- pictures


def test_noise_has_its_own_size_as_warping_error() -> None:
    random, meter = np.random.default_rng(0), PictureMeter()
    for number in range(5):
        noisy = np.clip(100 + random.normal(0, 8, SIZE), 0, 255).round().astype(np.uint8)
        meter.add(noisy, still() if number else None)
    found = meter.result()
    assert found.warping_error == pytest.approx(8 * math.sqrt(2), rel=0.03)
    assert found.contrast == pytest.approx(8, rel=0.03)
    assert found.relative == pytest.approx(math.sqrt(2), rel=0.03)
    assert found.brightness < 0.5


def test_a_picture_that_pumps() -> None:
    meter = PictureMeter()
    for number in range(5):
        meter.add(np.full(SIZE, 100 + 6 * (number % 2), np.uint8), still() if number else None)
    found = meter.result()
    assert (found.brightness, found.warping_error) == (6, 6)
    assert math.isnan(found.relative), 'no contrast'


def test_hidden_pixels_do_not_count() -> None:
    meter, motion = PictureMeter(), still()
    motion.seen[:, :10] = False
    other = np.zeros(SIZE, np.uint8)
    other[:, :10] = 200
    meter.add(np.zeros(SIZE, np.uint8), None)
    assert math.isnan(meter.result().warping_error), 'one frame does not flicker'
    meter.add(other, motion)
    assert meter.result().warping_error == 0


# ---- masks


@pytest.mark.parametrize(
    ('ids', 'flips'),
    [
        ('0000', 0),
        ('0100', 1),
        ('0110', 1),
        ('0111', 0),
        ('0120', 1),
        ('0122', 0),
        ('01010', 1),
        ('011100', 0),
        ('000100', 1 / 3),
    ],
)
def test_flips_there_and_back_within_3_frames(ids: str, flips: float) -> None:
    meter = MaskMeter(3)
    for number, one in enumerate(ids):
        meter.add(np.full(SIZE, int(one), np.uint8), still() if number else None)
    assert meter.result().flips == pytest.approx(flips)


def test_consistency_follows_motion() -> None:
    masks = [np.zeros(SIZE, np.uint8) for _ in range(2)]
    masks[0][10:20, 10:20] = 2
    masks[1][10:20, 15:25] = 2
    moved = replace(still(), column=still().column - 5)
    for motion, expected in ((moved, 1.0), (still(), 50 / 150)):
        meter = MaskMeter(3)
        meter.add(masks[0], None)
        meter.add(masks[1], motion)
        found = meter.result()
        assert found.consistency[2] == pytest.approx(expected)
        assert math.isnan(found.consistency[1]), 'there is none'
        assert found.mean_consistency == pytest.approx(expected)
        assert found.foreground == pytest.approx(100 / (48 * 64))


def test_a_lag_costs_the_front_and_leaves_a_ghost() -> None:
    labels = []
    for number in range(6):
        label = np.zeros(SIZE, np.uint8)
        label[10:20, 4 * number : 4 * number + 12] = 2
        labels.append(label)
    exact, late = TruthMeter(4, 2), TruthMeter(4, 2)
    for number, label in enumerate(labels):
        exact.add(label, label)
        late.add(label, labels[max(0, number - 1)])
    assert (exact.result().leading, exact.result().ghosts, exact.result().recall) == (1, 0, 1)
    assert (late.result().leading, late.result().ghosts) == (0, 1)
    assert late.result().iou[2] == pytest.approx((12 + 5 * 8) / (12 + 5 * 16))
    assert math.isnan(TruthMeter(4, 2).result().leading)


# ---- the whole


def test_a_mask_that_flickers_on_a_still_picture() -> None:
    color, heat = np.dstack([texture(SIZE)] * 3), texture(SIZE)
    flickers = (texture(SIZE) > 150) & (np.arange(SIZE[1]) < 32)
    numbers = iter(range(100))

    def answer(visible: U8, thermal: U8) -> Prediction:
        mask = np.zeros(SIZE, np.uint8)
        mask[flickers] = 2 * (next(numbers) % 2)
        return Prediction(np.minimum(visible, thermal[..., None]), mask)

    def frames() -> Iterator[tuple[U8, U8, U8 | None]]:
        for _ in range(9):
            yield color, heat, np.zeros(SIZE, np.uint8)

    network = Network(answer, ('background', 'car', 'person', 'bike'), None)
    report = flicker.measure(network, Sequence('still', 10.0, 8, frames), HOLD)
    assert report.frames == 8
    assert report.pictures['fused'].warping_error == 0
    assert report.masks['each frame'].flicker.flips == pytest.approx(flickers.mean())
    assert report.masks['held'].flicker.flips == 0
    assert report.masks['each frame'].flicker.mean_consistency == 0
    truth = report.masks['held'].truth
    assert truth is not None
    assert truth.iou[0] == 1
    assert '| still | held | 0.000 |' in flicker.tables([report])


def test_the_command_on_a_folder_of_pictures(
    tmp_path: Path, tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / 'out.json'
    command = ['--weights', str(tiny), '--data', str(PAIRS), '--threads', '1']
    assert flicker.main([*command, '--frames', '3', '--json', str(out)]) == 0
    (clip,) = json.loads(out.read_text())['clips']
    assert (clip['name'], clip['frames'], clip['rate']) == ('pairs', 3, 10.0)
    fused, visible = (clip['pictures'][name]['warping_error'] for name in ('fused', 'visible'))
    assert 0 < fused < visible, 'a mean of both halves what each of them does'
    assert set(clip['masks']) == {'each frame', 'held'}
    assert '| pairs | 3 |' in capsys.readouterr().out
    assert [clip.count for clip in clips(PAIRS, every=3, frames=0)] == [2]


def test_the_command_on_scenes(tmp_path: Path) -> None:
    bike = ClassLabel(3, 'bike', (0, 200, 0))
    card = replace(tiny_model.card(SIZE), classes=(*tiny_model.CLASSES, bike))
    model = tiny_model.write(tmp_path / 'four.onnx', metadata=card.to_metadata())
    out = tmp_path / 'out.json'
    command = ['--weights', str(model), '--scenes', '1', '--frames', '4', '--threads', '1']
    assert flicker.main([*command, '--json', str(out)]) == 0
    (clip,) = json.loads(out.read_text())['clips']
    assert clip['name'] == 'day 540'
    assert clip['masks']['label']['truth']['miou_foreground'] > 0
    assert clip['masks']['label']['truth']['iou'][0] == 1
    (again,) = drawn(1, 10.0, 1)
    visible, thermal, label = next(again.frames())
    assert (visible.dtype, thermal.dtype) == (np.uint8, np.uint8)
    assert label is not None


def test_weights_in_torch_answer_as_the_network_does(tmp_path: Path) -> None:
    import torch

    from models.checkpoint import load_paif, save_paif
    from models.paif import PAIF, load_config

    torch.manual_seed(0)
    network = PAIF(load_config('paif_small')).eval()
    path = tmp_path / 'random.safetensors'
    save_paif(path, network)
    random = np.random.default_rng(0)
    visible = random.integers(0, 256, (64, 96, 3), np.uint8)
    thermal = random.integers(0, 256, (64, 96), np.uint8)
    loaded = load_network(path)
    got = loaded.answer(visible, thermal)
    assert loaded.classes[1:] == ('car', 'person', 'bike')
    with torch.inference_mode():
        _, rgb = load_paif(path).fuse(
            torch.from_numpy(thermal)[None, None] / 255,
            torch.from_numpy(visible).permute(2, 0, 1)[None] / 255,
        )
    assert got.fused.shape == (64, 96, 3)
    assert got.mask.shape == thermal.shape
    assert got.confidence is not None
    expected = rgb[0].permute(1, 2, 0).clamp(0, 1).numpy() * 255
    assert expected.std() > 10
    assert np.abs(got.fused - expected).max() < 1.5


def test_bad_input_is_named(
    tmp_path: Path, tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert flicker.main(['--weights', str(tiny), '--data', str(tmp_path / 'none')]) == 2
    assert 'no clip at' in capsys.readouterr().err
    assert flicker.main(['--weights', str(tmp_path / 'no.onnx'), '--data', str(PAIRS)]) == 2
    assert 'no.onnx' in capsys.readouterr().err
    assert flicker.main(['--weights', str(tiny), '--data', str(PAIRS), '--hold', '99']) == 2
    assert 'mask.hold' in capsys.readouterr().err
    for wrong in ([], ['--scenes', '1'], ['--data', str(PAIRS), '--every', '0']):
        with pytest.raises(SystemExit):
            flicker.main(['--weights', str(tiny), *wrong])
    assert 'scenes have classes' in capsys.readouterr().err
