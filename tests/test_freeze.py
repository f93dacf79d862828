"""Identical thermal frames."""

import array

import numpy as np
import pytest

from paif_ros.cameras.freeze import FreezeDetector
from paif_ros.errors import ImageFormatError


def frame(seed, size=640 * 512 * 2):
    return np.random.default_rng(seed).integers(0, 256, size, np.uint8).tobytes()


def replay(seeds, rate, start=1_000_000_000, size=2_000):
    """Return the detector and its answers to frames at a rate in Hz."""
    detector = FreezeDetector()
    stamps = [start + round(k * 1e9 / rate) for k in range(len(seeds))]
    return (
        detector,
        [detector.update(frame(s, size), t) for s, t in zip(seeds, stamps, strict=True)],
        stamps,
    )


def test_live_frames_are_never_frozen():
    detector, answers, _ = replay(range(100), 30.0)
    assert not any(answers)
    assert (detector.count, detector.frozen_since) == (0, None)


def test_shutter_of_half_a_second():
    seeds = [*range(10), *[10] * 16, *range(11, 20)]  # frame 10 is shown for 0.5 s
    detector, answers, _ = replay(seeds, 30.0)
    assert answers == [False] * 18 + [True] * 8 + [False] * 9  # known after 0.25 s
    assert (detector.count, detector.frozen_since) == (1, None)


def test_frozen_since_the_first_of_the_identical_frames():
    detector, answers, stamps = replay([1, 2, 2, 2, 2], 9.0)
    assert answers == [False, False, False, False, True]
    assert detector.frozen_since == stamps[1]
    assert detector.count == 1


def test_every_freeze_counts_once():
    detector, _, _ = replay([*[1] * 30, 2, *[3] * 30, *[4] * 30], 30.0)
    assert detector.count == 3


@pytest.mark.parametrize(('repeats', 'rate'), [(3, 27.0), (4, 30.0), (7, 60.0), (2, 1.0)])
def test_frames_that_are_sent_several_times_are_no_freeze(repeats, rate):
    """Slow cores behind a faster stream repeat each frame; a still picture may come twice."""
    seeds = np.repeat(np.arange(40), repeats)
    _, answers, _ = replay(seeds, rate)
    assert not any(answers)


def test_slow_cameras_freeze_with_the_third_frame():
    _, answers, _ = replay([1, 1, 1, 1], 1.0)
    assert answers == [False, False, True, True]


def test_a_frame_given_again_is_no_repetition():
    detector = FreezeDetector()
    assert not any(detector.update(frame(1), 5_000_000_000) for _ in range(100))
    # Not even while frozen does it count, in either direction.
    answers = [detector.update(frame(1), 5_000_000_000 + k * 100_000_000) for k in (1, 2, 3, 3, 3)]
    assert answers == [False, False, True, True, True]


def test_a_still_picture_that_comes_twice_as_two_messages_each_is_no_freeze():
    detector = FreezeDetector()
    assert not any(detector.update(frame(1), k // 2 * 1_000_000_000) for k in range(2, 6))


def test_stamps_that_go_back_start_anew():
    detector, answers, stamps = replay([1] * 10, 30.0)
    assert answers[-1]
    assert not detector.update(frame(1, 2_000), stamps[0])
    assert detector.frozen_since is None
    assert detector.update(frame(1, 2_000), stamps[0] + 1) is False


@pytest.mark.parametrize('place', [0, 1, 777, 640 * 512 * 2 - 1])
def test_one_changed_byte_is_a_live_frame(place):
    detector, first = FreezeDetector(), bytearray(frame(1))
    for k in range(20):
        first[place] ^= 1
        assert not detector.update(bytes(first), k * 100_000_000)


def test_the_buffer_may_be_used_again():
    detector, buffer = FreezeDetector(), bytearray(2_000)
    for k in range(20):
        buffer[:] = frame(k, 2_000)
        assert not detector.update(buffer, k * 100_000_000)


def test_sizes_may_change():
    detector = FreezeDetector()
    for k, size in enumerate([10, 20, 10, 0, 0, 1, 5_000, 4_999]):
        assert not detector.update(bytes(size), k * 1_000_000_000)


@pytest.mark.parametrize(
    'kind',
    [bytes, bytearray, lambda raw: array.array('B', raw), lambda raw: np.frombuffer(raw, 'B')],
)
def test_kinds_of_buffers(kind):
    detector = FreezeDetector()
    answers = [detector.update(kind(frame(1)), k * 200_000_000) for k in range(4)]
    assert answers == [False, False, True, True]


@pytest.mark.parametrize('data', [None, 'x', [1, 2], np.zeros((2, 2), np.uint8), np.zeros(3)])
def test_other_data_are_refused(data):
    with pytest.raises(ImageFormatError):
        FreezeDetector().update(data, 1)
