"""Drawn scenes: equal bytes, exact labels, and conditions that do what they say."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import pytest

from scenes import CLASSES, CONDITIONS, Frame, Scene, SceneConfig
from scenes.camera import camera_of
from scenes.clips import drawn_clip
from scenes.noise import fractal
from scenes.sensor import to_counts, to_degrees
from scenes.stamps import make_stamps

SIZE = (240, 320)
SEEDS = range(6)


@cache
def scene(condition: str, seed: int) -> Scene:
    return Scene(SceneConfig(seed, condition, *SIZE))


@cache
def frames(condition: str) -> tuple[Frame, ...]:
    return tuple(scene(condition, seed).frame(index) for seed in SEEDS for index in (0, 25))


def same(one: Frame, other: Frame) -> bool:
    return all(
        getattr(one, name).tobytes() == getattr(other, name).tobytes()
        for name in ('visible', 'thermal', 'label')
    )


@pytest.mark.parametrize('condition', CONDITIONS)
def test_same_bytes_in_any_order(condition: str) -> None:
    first, second = (Scene(SceneConfig(3, condition, *SIZE)) for _ in range(2))
    forward = [first.frame(index) for index in (0, 7, 14)]
    backward = [second.frame(index) for index in (14, 7, 0)][::-1]
    assert all(same(a, b) for a, b in zip(forward, backward, strict=True))
    assert not same(forward[0], forward[1])
    assert not same(forward[0], scene(condition, 4).frame(0))


@pytest.mark.parametrize('condition', CONDITIONS)
def test_shapes_types_and_ids(condition: str) -> None:
    for frame in frames(condition):
        assert (frame.visible.shape, frame.visible.dtype) == ((*SIZE, 3), np.uint8)
        assert (frame.thermal.shape, frame.thermal.dtype) == (SIZE, np.uint16)
        assert (frame.label.shape, frame.label.dtype) == (SIZE, np.uint8)
        degrees = to_degrees(frame.thermal)
        assert degrees.min() > -40
        assert degrees.max() < 120


@pytest.mark.parametrize('condition', CONDITIONS)
def test_all_classes_occur(condition: str) -> None:
    found = np.unique(np.concatenate([frame.label.ravel() for frame in frames(condition)]))
    assert found.tolist() == list(range(len(CLASSES)))


def around(mask: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Return the background pixels 4 to 10 pixels away from the mask."""
    near = cv2.dilate(mask.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    wide = cv2.dilate(mask.astype(np.uint8), np.ones((21, 21), np.uint8)) > 0
    return wide & ~near & (label == 0)


@pytest.mark.parametrize('condition', ['night', 'glare', 'smoke'])
def test_people_are_warmer_than_what_surrounds_them(condition: str) -> None:
    gains = []
    for frame in frames(condition):
        people, degrees = frame.label == 2, to_degrees(frame.thermal)
        ring = around(people, frame.label)
        if people.sum() > 80 and ring.any():
            gains.append(float(np.median(degrees[people]) - np.median(degrees[ring])))
    assert len(gains) >= 5
    if condition == 'smoke':  # that is by day: ground in the sun can be warmer than a coat
        assert np.mean(gains) > 1
    else:
        assert min(gains) > 3


def test_labels_lie_where_the_warm_people_are() -> None:
    """Moving the label away by a few pixels must lose warmth: the pair is registered."""
    here, aside = [], []
    for frame in frames('night'):
        people, degrees = frame.label == 2, to_degrees(frame.thermal)
        if people.sum() > 80:
            here.append(degrees[people].mean())
            moved = [np.roll(people, step, axis) for axis in (0, 1) for step in (-8, 8)]
            aside.append(max(degrees[mask].mean() for mask in moved))
    assert np.mean(here) > np.mean(aside) + 1


def test_colour_and_thermal_share_their_edges() -> None:
    """By day the outline of an object is seen at the same pixels in both pictures."""
    ratios = []
    for frame in frames('day'):
        edge = cv2.morphologyEx(frame.label, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
        if edge.sum() < 100:
            continue
        for picture in (cv2.cvtColor(frame.visible, cv2.COLOR_RGB2GRAY), frame.thermal):
            smooth = cv2.GaussianBlur(picture.astype(np.float32), (0, 0), 1)
            slope = np.hypot(cv2.Sobel(smooth, -1, 1, 0), cv2.Sobel(smooth, -1, 0, 1))
            ratios.append(slope[edge].mean() / slope[SIZE[0] // 2 :][~edge[SIZE[0] // 2 :]].mean())
    assert np.median(ratios) > 2


def contrast(picture: np.ndarray, frame: Frame) -> float:
    people = frame.label == 2
    ring = around(people, frame.label)
    if people.sum() < 60 or not ring.any():
        return np.nan
    return abs(float(picture[people].mean()) - float(picture[ring].mean())) + float(
        picture[people].std()
    )


def test_smoke_hides_people_from_colour_only() -> None:
    values = {}
    for condition in ('day', 'smoke'):
        rows = [
            (contrast(f.visible.mean(axis=2), f), contrast(to_degrees(f.thermal), f))
            for f in frames(condition)
        ]
        values[condition] = np.nanmean(rows, axis=0)
    assert values['smoke'][0] < 0.4 * values['day'][0]
    assert values['smoke'][1] > 0.7 * values['day'][1]


def test_night_is_dark_and_glare_burns_out() -> None:
    day, night = (np.mean([f.visible.mean() for f in frames(c)]) for c in ('day', 'night'))
    assert night < 0.4 * day
    burnt = [(f.visible.min(axis=2) > 245).mean() for f in frames('glare')]
    assert max(burnt) > 0.005
    assert max((f.visible.min(axis=2) > 245).mean() for f in frames('night')) < max(burnt)


def test_objects_move_and_come_closer() -> None:
    sets = [scene('night', 1).frame(index).label for index in (0, 2, 4)]
    assert (sets[0] != sets[1]).any()
    # A fifth of a second moves outlines, it does not reshuffle the picture.
    assert (sets[0] != sets[1]).mean() < 0.1


def test_number_of_objects() -> None:
    assert len(Scene(SceneConfig(0, 'day', *SIZE, objects=9)).actors) == 9
    empty = Scene(SceneConfig(0, 'day', *SIZE, objects=0)).frame(3)
    assert not empty.label.any()


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        ({'seed': -1}, 'seed is -1'),
        ({'condition': 'fog'}, "'fog'.*night"),
        ({'height': 10}, 'height is 10.*64 to 2048'),
        ({'width': 9000}, 'width is 9000.*64 to 2048'),
        ({'rate': 0.0}, 'rate is 0.0'),
        ({'objects': 65}, 'objects is 65.*0 to 64'),
    ],
)
def test_bad_configurations_say_what_is_wrong(change: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        SceneConfig(**{'seed': 0, **change})


def test_negative_frames_are_refused() -> None:
    with pytest.raises(ValueError, match='index is -1'):
        scene('day', 0).frame(-1)


@pytest.mark.parametrize('size', [(64, 64), (75, 131), (481, 333)])
def test_odd_sizes(size: tuple[int, int]) -> None:
    for condition in CONDITIONS:
        frame = Scene(SceneConfig(2, condition, *size)).frame(5)
        assert frame.visible.shape == (*size, 3)
        assert frame.thermal.shape == frame.label.shape == size


def test_counts_are_hundredths_of_a_kelvin() -> None:
    degrees = np.array([[-20.0, 0.0, 36.6]], np.float32)
    assert to_counts(degrees).tolist() == [[25315, 27315, 30975]]
    assert np.allclose(to_degrees(to_counts(degrees)), degrees, atol=0.01)


def test_camera_follows_the_picture_size() -> None:
    small, large = (
        camera_of(SceneConfig(5, height=h, width=w)) for h, w in ((240, 320), (480, 640))
    )
    assert large.fx == pytest.approx(2 * small.fx)
    assert large.cx == pytest.approx(319.5)
    feet = np.array([[0.0, 0.0, 10.0], [0.0, 0.0, 20.0]])
    rows = large.project(feet)[:, 1] - large.horizon
    assert rows[0] == pytest.approx(2 * rows[1])  # twice as far, half as deep below the horizon


def test_noise_tiles() -> None:
    noise = fractal(np.random.default_rng(0), (96, 80), (4, 5))
    across = np.abs(noise[:, 0] - noise[:, -1]).mean()
    inside = np.abs(np.diff(noise, axis=1)).mean()
    assert across < 2 * inside
    assert abs(float(noise.mean())) < 1e-3


def test_stamps_rise_and_stay_together() -> None:
    for rate in (1.0, 10.0, 30.0, 1000.0):
        stamps = make_stamps(4, rate, 200, 10**9)
        assert (np.diff(stamps.visible) > 0).all()
        assert (np.diff(stamps.thermal) > 0).all()
        assert np.abs(stamps.visible - stamps.thermal).max() < min(0.4e9 / rate, 6e6)
        assert (stamps.visible != stamps.thermal).any()
    assert (make_stamps(4, 10, 9, 0).visible == make_stamps(4, 10, 9, 0).visible).all()
    with pytest.raises(ValueError, match='rate 0'):
        make_stamps(0, 0, 3, 0)


def test_drawn_clip_shares_its_length() -> None:
    clip = drawn_clip(['day', 'night', 'smoke'], 1.0, 10.0, (96, 128), 0)
    names = [shot.name for shot in clip.shots()]
    assert clip.count == len(names) == 10
    assert list(dict.fromkeys(names)) == ['day', 'night', 'smoke']
    with pytest.raises(ValueError, match='above 0'):
        drawn_clip(['day'], 0.0, 10.0, (96, 128), 0)
