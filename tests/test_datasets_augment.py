"""Crops come out of pictures smaller than they are, and of pairs without labels."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip('torch', reason='torch is a development dependency')

from models.data import Augmentation, LabelledPair, TrainingPairs, augment, paste


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


def test_pasted_objects_come_with_their_pixels_and_label() -> None:
    """Background and unknown pixels of the second pair stay away, in both modalities."""
    label = np.array([[0, 1], [255, 3]], np.uint8)
    onto, source = (
        LabelledPair(name, np.full((2, 2, 3), v, np.uint8), np.full((2, 2), v, np.uint8), ids)
        for name, v, ids in (('a', 10, np.full((2, 2), 2, np.uint8)), ('b', 90, label))
    )
    found = paste(onto, source)
    assert found.label.tolist() == [[2, 1], [2, 3]]
    assert found.thermal.tolist() == [[10, 90], [10, 90]]
    assert (found.visible == found.thermal[..., None]).all()
    sources = [[onto], [source]]
    plain, pasted = (
        TrainingPairs(sources, (0.0, 1.0), 2, 1, 0, Augmentation(size=(8, 8), paste=share))[0]
        for share in (0.0, 1.0)
    )
    assert not plain.label.equal(pasted.label)
