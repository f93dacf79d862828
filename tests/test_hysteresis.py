"""The steady mask: pixels worked out by hand, what starts it anew, and against a plain loop."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from paif_ros.engines.base import Prediction
from paif_ros.fusion.hysteresis import CELL, MAX_GAP, OFF, MaskHysteresis, Seen
from paif_ros.parameters import MaskParameters, specs

SIZE = (16, 24)
STEP = 33_000_000  # ns
HOLD_3 = MaskParameters(hold=3, confidence=200, motion=5)
STILL = (np.full((*SIZE, 3), 90, np.uint8), np.full(SIZE, 120, np.uint8))


def answer(class_id: int, confidence: int | None = 100) -> Prediction:
    fused = np.zeros((*SIZE, 3), np.uint8)
    sure = None if confidence is None else np.full(SIZE, confidence, np.uint8)
    return Prediction(fused, np.full(SIZE, class_id, np.uint8), sure)


def seen(number: int, alone: str = '') -> Seen:
    return Seen(*STILL, (number + 1) * STEP, alone)


def shown(
    ids: str, config: MaskParameters = HOLD_3, confidence: int | None = 100, first: int = 0
) -> str:
    """Feed one class a frame; return the class that is shown with each."""
    filter_ = MaskHysteresis()
    out = ''
    for number, one in enumerate(ids, start=first):
        mask = filter_.apply(answer(int(one), confidence), seen(number), config).mask
        assert len(set(mask.ravel().tolist())) == 1
        out += str(mask[0, 0])
    return out


@pytest.mark.parametrize(
    ('ids', 'hold', 'expected'),
    [
        ('000100', 3, '000000'),  # a flicker of one frame
        ('000110', 3, '000000'),  # and of two
        ('000111', 3, '000001'),  # the third in a row counts: two frames late
        ('0101010', 2, '0000000'),
        ('0110100', 2, '0011110'),
        ('0121212', 2, '0000000'),  # neither of two new classes holds
        ('0122', 2, '0002'),
        ('012345', 1, '012345'),
        ('0' + '1' * 400, 30, '0' * 30 + '1' * 371),  # the counter does not overflow
    ],
)
def test_a_class_has_to_hold(ids: str, hold: int, expected: str) -> None:
    assert shown(ids, replace(HOLD_3, hold=hold)) == expected
    assert shown(ids, replace(HOLD_3, hold=hold), confidence=None) == expected


def test_a_sure_class_is_shown_at_once() -> None:
    assert shown('00100', confidence=201) == '00100'
    assert shown('00100', confidence=200) == '00000', 'above, not from'
    assert shown('00100', replace(HOLD_3, confidence=255), confidence=255) == '00000', 'never'


def test_confidence_is_0_where_an_older_class_is_shown() -> None:
    filter_ = MaskHysteresis()
    filter_.apply(answer(0), seen(0), HOLD_3)
    mixed = answer(1)
    mixed.mask[:, 12:] = 0
    got = filter_.apply(mixed, seen(1), HOLD_3)
    assert not got.mask.any()
    assert got.confidence is not None
    assert not got.confidence[:, :12].any()
    assert (got.confidence[:, 12:] == 100).all()
    assert mixed.mask[0, 0] == 1, 'what came in is not changed'


@pytest.mark.parametrize('camera', ['visible', 'thermal'])
@pytest.mark.parametrize(('change', 'at_once'), [(5, False), (6, True), (-6, True)])
def test_where_a_picture_changes_the_new_class_is_shown_at_once(
    camera: str, change: int, at_once: bool
) -> None:
    filter_ = MaskHysteresis()
    filter_.apply(answer(0), seen(0), HOLD_3)
    now = seen(1)
    moved = getattr(now, camera).copy()
    moved[4:8, 8:16] = moved[4:8, 8:16].astype(int) + change  # two cells
    got = filter_.apply(answer(2), replace(now, **{camera: moved}), HOLD_3).mask
    expected = np.zeros(SIZE, np.uint8)
    expected[4:8, 8:16] = 2 * at_once
    np.testing.assert_array_equal(got, expected)


def test_a_moving_object_is_neither_late_nor_leaves_a_ghost() -> None:
    """A bright square of two cells moves on by a cell a frame; the network finds it each time."""
    filter_ = MaskHysteresis()
    for number in range(4):
        where = (slice(4, 12), slice(number * CELL, number * CELL + 8))
        heat, prediction = STILL[1].copy(), answer(0)
        heat[where] = 200
        prediction.mask[where] = 2
        got = filter_.apply(prediction, replace(seen(number), thermal=heat), HOLD_3)
        np.testing.assert_array_equal(got.mask, prediction.mask, f'frame {number}')


def test_sensor_noise_is_no_motion() -> None:
    random = np.random.default_rng(0)
    filter_ = MaskHysteresis()
    filter_.apply(answer(0), seen(0), HOLD_3)
    noisy = [np.clip(x + random.normal(0, 3, x.shape), 0, 255).astype(np.uint8) for x in STILL]
    assert not filter_.apply(answer(1), Seen(*noisy, 2 * STEP), HOLD_3).mask.any()


def fed(*frames: tuple[Prediction, Seen], config: MaskParameters = HOLD_3) -> list[int]:
    filter_ = MaskHysteresis()
    return [int(filter_.apply(*frame, config).mask[0, 0]) for frame in frames]


def test_what_starts_anew() -> None:
    first = (answer(0), seen(0))
    assert fed(first, (answer(1), seen(1))) == [0, 0]
    stamp = first[1].stamp
    for name, after in {
        'a gap': stamp + MAX_GAP + 1,
        'the same stamp again': stamp,
        'an older stamp': stamp - STEP,
        'no stamp': 0,
    }.items():
        assert fed(first, (answer(1), replace(seen(1), stamp=after))) == [0, 1], name
    assert fed(first, (answer(1), replace(seen(1), stamp=stamp + MAX_GAP))) == [0, 0]
    assert fed(first, (answer(1), seen(1, alone='thermal'))) == [0, 1], 'a camera stopped'
    other = Prediction(np.zeros((8, 8, 3), np.uint8), np.ones((8, 8), np.uint8))
    small = Seen(np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8), 2 * STEP)
    assert fed(first, (other, small)) == [0, 1], 'another size'
    filter_ = MaskHysteresis()
    filter_.apply(*first, HOLD_3)
    filter_.reset()
    assert filter_.apply(answer(1), seen(1), HOLD_3).mask.all(), 'told to'
    assert filter_.apply(answer(0), seen(2), OFF).confidence is not None
    assert filter_.apply(answer(2), seen(3), HOLD_3).mask.all(), 'switched off in between'


def test_lost_frames_within_a_second_go_on() -> None:
    frames = [
        (answer(0), seen(0)),
        (answer(1), seen(3)),
        (answer(1), seen(9)),
        (answer(1), seen(12)),
    ]
    assert fed(*frames) == [0, 0, 0, 1]


def test_what_was_handed_out_does_not_change_any_more() -> None:
    filter_ = MaskHysteresis()
    out = [filter_.apply(answer(int(one)), seen(n), HOLD_3).mask for n, one in enumerate('0111')]
    assert [int(mask[0, 0]) for mask in out] == [0, 0, 0, 1]


def test_off_hands_the_prediction_through() -> None:
    filter_ = MaskHysteresis()
    for number in range(3):
        prediction = answer(number % 2)
        assert filter_.apply(prediction, seen(number), OFF) is prediction
    default = MaskParameters(
        *(specs()[f'mask.{n}'].default for n in ('hold', 'confidence', 'motion'))
    )  # type: ignore[arg-type]
    assert filter_.apply(prediction, seen(3), default) is prediction, 'off by default'


def test_against_a_loop_over_pixels() -> None:
    """Random classes, confidences and pictures, with a size that is no multiple of the cells."""
    random = np.random.default_rng(3)
    size = (18, 27)
    config = MaskParameters(hold=3, confidence=180, motion=20)
    filter_ = MaskHysteresis()
    history: list[np.ndarray] = []
    expected = np.zeros(size, np.uint8)
    color, heat = (random.integers(0, 256, shape, np.uint8) for shape in ((*size, 3), size))
    for number in range(30):
        if number % 4 == 0:
            heat = random.integers(0, 256, size, np.uint8)
        mask = random.integers(0, 2, size, np.uint8)
        sure = random.integers(0, 200, size, np.uint8)
        got = filter_.apply(
            Prediction(np.zeros((*size, 3), np.uint8), mask, sure),
            Seen(color, heat, (number + 1) * STEP),
            config,
        ).mask
        history.append(mask)
        if number == 0:
            expected = mask.copy()
        elif number % 4:  # the pictures stand still: held, or sure
            for place in np.ndindex(size):
                last = [int(old[place]) for old in history[-3:]]
                held = number >= 2 and len(set(last)) == 1
                if held or sure[place] > 180:
                    expected[place] = mask[place]
            np.testing.assert_array_equal(got, expected, f'frame {number}')
        else:
            assert (got == mask).mean() > (expected == mask).mean(), 'most cells have changed'
            expected = got.copy()


def test_in_the_node(tiny: Path) -> None:
    """Held while nothing moves; anew after a jump of the stamps and after a deactivation."""
    pytest.importorskip('rclpy', reason='needs ROS 2 (or its wheels) in this Python')
    from faults import Remote
    from ros_checks import START, assert_balanced, assert_clean
    from ros_rig import Rig, image, pixels_of

    color = np.full((48, 64, 3), 90, np.uint8)

    def pair(rig: Rig, grey: int, number: int) -> None:
        """Send a thermal picture of one grey: below 128 the tiny model says 0, above it 1."""
        heat = np.full((48, 64), grey, np.uint8)
        stamp = START + number * STEP
        rig.send(image(color, stamp, 'rgb'), image(heat, stamp, 'thermal'))

    with Rig(tiny, listen=('mask',), mask__hold=3) as rig:
        remote, masks = Remote(rig), rig.got['mask']

        def answer_to(grey: int, number: int) -> int:
            before = len(masks)
            pair(rig, grey, number)
            rig.until(lambda: len(masks) > before)
            values = np.unique(pixels_of(masks[-1]))
            assert len(values) == 1
            return int(values[0])

        greys = (126, 129, 126, 129, 129, 129, 126)
        assert [answer_to(g, n) for n, g in enumerate(greys)] == [0, 0, 0, 0, 0, 1, 1]
        assert answer_to(160, 7) == 1
        assert answer_to(120, 8) == 0, 'it moved'
        assert answer_to(129, 100) == 1, 'more than a second later'
        assert answer_to(126, 101) == 1
        assert remote.set('mask.hold', 1)[0]
        assert answer_to(126, 102) == 0
        assert remote.set('mask.hold', 3)[0]
        assert [answer_to(g, n) for n, g in ((103, 126), (104, 129))] == [0, 0]
        assert remote.go('deactivate')
        assert remote.go('activate')
        before = len(masks)
        for number in range(105, 130):  # the first may be lost: topics are found one by one
            pair(rig, 129, number)
            rig.spin(0.05)
            if len(masks) > before:
                break
        assert pixels_of(masks[before]).all(), 'the mask of the earlier activation is forgotten'
        assert_clean(rig.stop())
        assert_balanced(rig)
