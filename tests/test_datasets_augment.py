"""Crops come out of pictures smaller than they are, and of pairs without labels."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip('torch', reason='torch is a development dependency')

from models.data import Augmentation, LabelledPair, TrainingPairs, augment


@pytest.mark.parametrize('size', [(40, 200), (161, 597), (30, 30), (500, 60)])
def test_pictures_smaller_than_the_crop(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    visible = rng.integers(0, 256, (*size, 3), np.uint8)
    thermal = np.tile(np.linspace(0, 255, size[1]).astype(np.uint8), (size[0], 1))
    pair = LabelledPair('small', visible, thermal, np.full(size, 255, np.uint8))
    config = Augmentation(size=(256, 320), noise=0, tone=0)
    for seed in range(6):
        crop = augment(pair, np.random.default_rng(seed), config)
        assert crop.visible.shape == (256, 320, 3)
        assert crop.thermal.shape == crop.label.shape == (256, 320)
        assert crop.label.min() == 255
        assert np.ptp(crop.thermal) > 0  # a part of the picture, not of its border


def test_batches_of_labelled_and_unlabelled_pairs() -> None:
    rng = np.random.default_rng(0)
    sources = [
        [
            LabelledPair(
                'pair',
                rng.integers(0, 256, (*size, 3), np.uint8),
                rng.integers(0, 256, size, np.uint8),
                np.full(size, known, np.uint8),
            )
        ]
        for size, known in (((64, 64), 1), ((30, 50), 255))
    ]
    data = TrainingPairs(sources, [0.5, 0.5], 6, 4, 0, Augmentation(size=(48, 48)))
    labels = [int(label.unique()) for step in range(4) for label in data[step].label]
    assert set(labels) == {1, 255}
