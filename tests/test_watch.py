"""The watch over one camera: stops, rates, and images that get lost."""

import numpy as np
import pytest

from paif_ros.cameras.watch import CameraWatch
from paif_ros.errors import ParameterError

MS = 10**6
SECOND = 10**9
START = 1_700_000_000 * SECOND
PERIOD = 33_333_333


def watch(timeout=2 * SECOND):
    return CameraWatch(timeout)


def feed(camera, stamps, *, begin=START, latency=8 * MS):
    """Give frames as they would come in on a monotonic clock that starts near 0."""
    received = 0
    for stamp in stamps:
        received = stamp - begin + latency
        camera.frame(stamp, received)
    return received


def run(frames, *, period=PERIOD, begin=START):
    return [begin + i * period for i in range(frames)]


def lossy(rng, frames, share, jitter=0.0, period=PERIOD):
    stamps = START + np.arange(frames) * period + rng.normal(0, jitter, frames)
    return [int(stamp) for stamp in stamps[rng.random(frames) >= share]]


def test_silence_counts_from_the_start_and_then_from_the_last_frame():
    camera = watch()
    assert camera.silent_for(5) is None
    assert not camera.stopped(9 * SECOND)
    camera.start(10 * SECOND)
    assert not camera.stopped(12 * SECOND - 1)
    assert camera.stopped(12 * SECOND)
    camera.frame(START, 13 * SECOND)
    assert not camera.stopped(13 * SECOND)
    assert camera.silent_for(14 * SECOND) == SECOND
    assert camera.stopped(15 * SECOND)
    camera.timeout = 3 * SECOND
    assert not camera.stopped(15 * SECOND)


def test_a_camera_info_ends_no_silence():
    camera = watch()
    camera.start(0)
    for i in range(100):
        camera.info(START + i * PERIOD, i * PERIOD)
    assert camera.stopped(3 * SECOND)


@pytest.mark.parametrize('timeout', [0, -1])
def test_the_timeout_is_above_zero(timeout):
    camera = watch()
    with pytest.raises(ParameterError, match='timeout'):
        camera.timeout = timeout
    assert camera.timeout == 2 * SECOND
    with pytest.raises(ParameterError, match='timeout'):
        watch(timeout)


@pytest.mark.parametrize('hertz', [9, 30, 60])
@pytest.mark.parametrize('seconds', [1, 20])
def test_the_rate_is_of_the_last_seconds(hertz, seconds):
    camera = watch()
    now = feed(camera, run(hertz * seconds, period=SECOND // hertz))
    assert camera.rate(now) == pytest.approx(hertz, rel=0.01)
    assert camera.rate(now + 4 * SECOND) < hertz / 2
    assert camera.rate(now + 6 * SECOND) == 0.0


def test_a_clean_camera_misses_nothing():
    for seed in range(50):
        rng = np.random.default_rng(seed)
        camera = watch()
        period = SECOND // int(rng.choice([9, 30, 60]))
        now = feed(camera, lossy(rng, 600, 0, jitter=period * 0.08, period=period))
        assert camera.missed == 0
        assert camera.losing(now) is None


@pytest.mark.parametrize('share', [0.02, 0.2, 0.4, 0.6])
def test_missing_images_are_counted_by_the_gaps_in_the_stamps(share):
    for seed in range(30):
        rng = np.random.default_rng(seed)
        camera = watch()
        stamps = run(60) + [
            stamp + 60 * PERIOD for stamp in lossy(rng, 900, share, jitter=0.5 * MS)
        ]
        now = feed(camera, stamps)
        gone = round((stamps[-1] - START) / PERIOD) + 1 - len(stamps)
        assert abs(camera.missed - gone) <= max(2, gone // 20), seed
        words = camera.losing(now)
        assert (words is None) == (share < 0.1)
        if words is not None:
            lost, came = int(words.split()[0]), int(words.split()[2])
            assert lost / came == pytest.approx(share, abs=0.15)
            assert '5 s' in words
            assert words.endswith('either the camera paused or images are lost')


def test_losses_are_forgotten_after_some_seconds():
    rng = np.random.default_rng(0)
    stamps = run(60) + [stamp + 60 * PERIOD for stamp in lossy(rng, 150, 0.5)]
    camera = watch()
    assert camera.losing(feed(camera, stamps)) is not None
    missed = camera.missed
    now = feed(camera, run(200, begin=stamps[-1] + PERIOD))
    assert camera.losing(now) is None
    assert camera.missed == missed > 50


@pytest.mark.parametrize('lost', [1, 4])
def test_a_few_losses_are_no_alarm(lost):
    camera = watch()
    stamps = [stamp for i, stamp in enumerate(run(35)) if i not in range(20, 20 + lost)]
    now = feed(camera, stamps)
    assert camera.missed == lost
    assert camera.losing(now) is None


@pytest.mark.parametrize(
    ('again', 'silence'),
    [
        pytest.param(START + 5 * SECOND, 4 * SECOND, id='resumed after a stop'),
        pytest.param(START + 3600 * SECOND, PERIOD, id='clock set forward'),
        pytest.param(START - 3600 * SECOND, PERIOD, id='clock set back'),
        pytest.param(START, PERIOD, id='bag that starts again'),
    ],
)
def test_jumps_and_resumptions_are_no_gaps(again, silence):
    camera = watch()
    now = feed(camera, run(60)) + silence
    for i, stamp in enumerate(run(20, begin=again)):
        camera.frame(stamp, now + i * PERIOD)
    assert camera.missed == 0
    assert camera.losing(now + 20 * PERIOD) is None
    assert camera.interval == PERIOD
    # Though there were more frames before than after.
    assert camera.lag == now - again


def test_a_clock_set_forward_by_less_than_a_long_timeout_is_no_gap():
    camera = watch(timeout=3600 * SECOND)
    now = feed(camera, run(60))
    camera.frame(START + 60 * PERIOD + 10 * SECOND, now + PERIOD)
    assert camera.missed == 0


def test_a_silence_of_receipt_is_a_stop_whatever_the_stamps_say():
    camera = watch(timeout=SECOND)
    now = feed(camera, run(40))
    camera.frame(START + 40 * PERIOD + 500 * MS, now + 1500 * MS)
    assert camera.missed == 0


def test_swapped_and_repeated_images_are_not_missing():
    stamps = run(60)
    stamps[30:32] = stamps[31], stamps[30]
    stamps[40:42] = stamps[40], stamps[40]
    camera = watch()
    for i, stamp in enumerate(stamps):
        camera.frame(stamp, i * PERIOD)
    assert camera.missed == 1  # the one that the repeated stamp took the place of


@pytest.mark.parametrize('stamp', [0, -5])
def test_images_without_a_stamp_count_for_rate_and_silence_only(stamp):
    camera = watch()
    for i in range(90):
        camera.frame(stamp, i * PERIOD)
    assert camera.rate(89 * PERIOD) == pytest.approx(30, rel=0.01)
    assert (camera.missed, camera.interval, camera.lag) == (0, None, None)
    assert camera.losing(90 * PERIOD) is None


def words_of(stamps, infos=()):
    """Give images and camera_infos in the order of their stamps; return what was ever said."""
    camera = watch()
    said = set()
    events = sorted([(stamp, 1) for stamp in stamps] + [(stamp, 0) for stamp in infos])
    for i, (stamp, is_image) in enumerate(events):
        received = stamp - START + 5 * MS
        (camera.frame if is_image else camera.info)(stamp, received)
        if i % 7 == 0:
            said.add(camera.losing(received))
    return said - {None}, camera


def paused(lengths, begin=300, apart=60):
    """Return stamps of a camera that takes no image for some ms, again and again."""
    steps = np.full(1200, PERIOD)
    for i, length in enumerate(lengths):
        steps[begin + i * apart] += length * MS
    return [int(stamp) for stamp in START + np.cumsum(steps)]


@pytest.mark.parametrize('length', [300, 700, 1000])
@pytest.mark.parametrize('times', [1, 2])
def test_a_pause_for_the_shutter_or_of_a_bag_is_no_loss(length, times):
    said, _ = words_of(paused([length] * times))
    assert said == set()


def test_pauses_again_and_again_are_no_loss_where_camera_infos_pause_too():
    stamps = paused([300] * 8, apart=30)
    said, camera = words_of(stamps, infos=stamps)
    assert (said, camera.missed) == (set(), 0)
    said, camera = words_of(stamps)
    assert said, 'without camera_infos it can not be told from a loss'
    assert all(words.endswith('either the camera paused or images are lost') for words in said)


@pytest.mark.parametrize('infos_first', [True, False])
def test_camera_infos_from_inside_the_gaps_prove_a_loss(infos_first):
    rng = np.random.default_rng(3)
    taken = run(900)
    stamps = [stamp for stamp in taken if rng.random() >= 0.3]
    late = 0 if infos_first else 3 * MS  # of the camera_info's own stamp
    said, camera = words_of(stamps, infos=[stamp + late for stamp in taken])
    assert any(words.endswith('camera_info came, so images are lost') for words in said)
    assert not any('paused' in words for words in said)
    assert camera.missed == pytest.approx(taken.index(stamps[-1]) + 1 - len(stamps), abs=8)


def test_a_loss_right_after_a_pause_counts_as_what_it_is():
    taken = paused([700])
    lost = taken[301]
    said, camera = words_of([stamp for stamp in taken if stamp != lost], infos=taken)
    assert (said, camera.missed) == (set(), 1)


@pytest.mark.parametrize(
    'steps',
    [
        pytest.param(lambda rng: rng.choice([33, 33, 33, 50, 66], 1200), id='some of three'),
        pytest.param(lambda rng: rng.uniform(25, 60, 1200), id='anything'),
        pytest.param(lambda rng: rng.normal(40, 8, 1200).clip(20, 80), id='around a value'),
        pytest.param(lambda rng: np.repeat(rng.choice([33, 40, 50, 66], 120), 10), id='stairs'),
        pytest.param(lambda rng: 45 + 20 * np.sin(np.arange(1200) / 20), id='up and down'),
    ],
)
def test_variable_exposure_is_no_loss(steps):
    for seed in range(6):
        stamps = START + np.cumsum(steps(np.random.default_rng(seed)) * MS).astype(np.int64)
        said, camera = words_of(stamps.tolist())
        assert (said, camera.missed) == (set(), 0), seed


def test_losses_of_a_camera_with_variable_exposure_are_told_by_its_camera_infos():
    rng = np.random.default_rng(0)
    taken = (START + np.cumsum(rng.uniform(25, 60, 900) * MS).astype(np.int64)).tolist()
    shown = [stamp for stamp in taken if rng.random() >= 0.3]
    said, camera = words_of(shown, infos=taken)
    assert said
    gone = len(taken) - len(shown)
    assert 0.8 * gone < camera.missed <= gone


@pytest.mark.parametrize('jitter', [0, 1, 2])
def test_a_third_lost_is_told_in_spite_of_jitter(jitter):
    for seed in range(6):
        camera = watch()
        now = feed(camera, lossy(np.random.default_rng(seed), 900, 0.3, jitter=jitter * MS))
        assert camera.losing(now) is not None, seed


def test_a_late_image_is_not_missing_even_where_its_camera_info_came_first():
    camera = watch()
    for i in range(100):
        camera.info(START + i * PERIOD, i * PERIOD)
        if i != 50:
            camera.frame(START + i * PERIOD, i * PERIOD + MS)
        if i == 51:
            assert camera.missed == 1
            camera.frame(START + 50 * PERIOD, i * PERIOD + 2 * MS)
    assert camera.missed == 0


def test_a_camera_that_slows_down_in_low_light_is_no_alarm():
    camera = watch()
    now = feed(camera, run(150) + run(150, begin=START + 150 * PERIOD, period=2 * PERIOD))
    assert camera.interval == 2 * PERIOD
    assert camera.missed == 0
    assert camera.losing(now) is None
    stamps = run(150) + run(20, begin=START + 150 * PERIOD, period=2 * PERIOD)
    camera = watch()
    assert camera.losing(feed(camera, stamps)) is None


def with_infos(shown, seconds=8, hertz=30):
    """Watch a camera whose every camera_info comes in, and of its images those `shown`."""
    camera = watch()
    period = SECOND // hertz
    for i in range(seconds * hertz):
        camera.info(START + i * period, i * period)
        if shown(i):
            camera.frame(START + i * period, i * period + 5 * MS)
    return camera.losing(seconds * SECOND)


def test_images_that_come_less_often_than_their_camera_info():
    assert with_infos(lambda i: True) is None
    assert with_infos(lambda i: i % 10 == 0) == (
        'images arrive at 3.0 Hz, their camera_info at 30.0 Hz'
    )
    assert with_infos(lambda i: False) == 'no images arrive, their camera_info at 30.0 Hz'


def test_camera_infos_are_compared_over_a_full_window_only():
    assert with_infos(lambda i: i % 2, seconds=4) is None
    assert with_infos(lambda i: i % 2, seconds=6) is not None
    assert with_infos(lambda i: False, hertz=1) is None


def test_a_second_publisher_of_camera_info_does_not_count_twice():
    camera = watch()
    for i in range(240):
        for _ in range(2):
            camera.info(START + i * PERIOD, i * PERIOD)
        camera.frame(START + i * PERIOD, i * PERIOD)
    assert camera.losing(240 * PERIOD) is None


def test_start_forgets_the_rhythm_and_keeps_the_count():
    camera = watch()
    feed(camera, [stamp for i, stamp in enumerate(run(60)) if i != 40])
    assert camera.missed == 1
    camera.start(20 * SECOND)
    assert camera.interval is None
    assert camera.rate(20 * SECOND) == 0.0
    camera.frame(START + 90 * PERIOD, 20 * SECOND + MS)
    assert camera.missed == 1


def test_stamps_of_another_clock_are_no_gap():
    camera = watch()
    now = feed(camera, run(60))
    camera.set_clock()
    assert camera.silent_for(now + SECOND) == SECOND
    camera.frame(START + 60 * PERIOD + SECOND, now + PERIOD)
    assert camera.missed == 0
    assert camera.lag == 8 * MS - SECOND - START
    assert camera.interval == PERIOD


def test_memory_is_bounded():
    camera = watch()
    for i in range(20_000):
        camera.frame(START + i * MS, i * MS)
        camera.info(START + i * MS, i * MS)
    kept = [v for v in vars(camera).values() if hasattr(v, '__len__')]
    assert max(len(values) for values in kept) <= 5001
