"""Faults 1 to 4 and 12 of the list: a camera that stops, that freezes, that is not alone."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2 (or its wheels) in this Python')

from faults import ERROR, OK, SLACK, WARN, Cameras, is_ok, level, listen, stamps, told
from ros_checks import SIZE, assert_balanced, assert_clean
from ros_rig import Rig, pixels_of
from sensor_msgs.msg import Image

TIMEOUT = 1.0  # of the cameras
OUTAGE = 1.8
BOTH = ('visible', 'thermal')


def camera_stops(tiny: Path, gone: tuple[str, ...], on_missing: str) -> None:
    """Let cameras stop and come back; diagnostics at their default rate, as users have them."""
    left = tuple(camera for camera in BOTH if camera not in gone)
    settings = {'sync__timeout': TIMEOUT, 'sync__on_missing': on_missing}
    with Rig(tiny, listen=('fused',), diagnostics__rate=1.0, **settings) as rig:
        validity = listen(rig, Image, '/fusion/validity')
        cameras = Cameras(rig)
        cameras.until(lambda: bool(rig.got['fused']) and bool(validity) and is_ok(rig))

        # ERROR within timeout + 1 s
        stopped, fused = time.monotonic(), len(rig.got['fused'])
        cameras.until(lambda: level(rig) == ERROR, which=left)
        assert time.monotonic() - stopped < TIMEOUT + 1.0 + SLACK
        for camera in gone:
            assert f'no frames from {camera} for' in told(rig)
        for camera in left:
            assert f'no frames from {camera} for' not in told(rig)

        # Meanwhile: nothing, or what is left.
        before = len(rig.got['fused'])
        cameras.play(max(0.5, stopped + OUTAGE - time.monotonic()), which=left)
        alone = rig.got['fused'][before:]
        if on_missing == 'degrade' and left:
            assert len(alone) >= 5
            assert f'degraded to {left[0]} alone' in told(rig)
        else:
            assert not alone
            assert 'alone' not in told(rig)

        # OK within a second of the return, by itself
        results, back = len(rig.got['fused']), time.monotonic()
        cameras.until(lambda: len(rig.got['fused']) > results)
        assert time.monotonic() - back < 1.0 + SLACK, 'results'
        cameras.until(lambda: is_ok(rig))
        assert time.monotonic() - back < 1.0 + SLACK, 'diagnostics'
        cameras.play(0.3)
        ending = rig.stop()

        assert_clean(ending)
        assert_balanced(rig)
        for camera in gone:
            assert f'{camera} camera stopped: no image on /' in ending.text
            assert f'{camera} camera: images come on /' in ending.text
        if gone == BOTH:
            assert 'alone until it is back' not in ending.text
        made = stamps(rig.got['fused'])
        assert made == sorted(set(made)), 'a stamp twice or back'
        known = {cameras.stamp(n) for camera in BOTH for n in cameras.sent[camera]}
        assert set(made) <= known
        assert len(rig.got['fused']) > fused + len(alone)
        blind = gone == ('thermal',) and on_missing == 'degrade'
        at = {cameras.stamp(n): n for n in cameras.sent['visible']}
        at_thermal = {cameras.stamp(n): n for n in cameras.sent['thermal']}
        whole = {stamp: set(np.unique(pixels_of(m))) for m in validity for stamp in stamps([m])}
        for message, stamp in zip(alone, stamps(alone), strict=True):
            if stamp in whole:  # the subscription to it is another one
                assert whole[stamp] == ({0} if blind else {255})
            if blind:
                expected = cameras.color(at[stamp])
            else:  # the thermal picture in grey
                expected = np.repeat(cameras.heat(at_thermal[stamp])[..., None], 3, axis=2)
            np.testing.assert_array_equal(pixels_of(message), expected)
        # Where degrade is on, the first frame of all may be alone too.
        single = {camera: rig.count(f'{camera}.single') for camera in BOTH}
        if on_missing == 'wait':
            assert single == {'visible': 0, 'thermal': 0}
        if alone:
            assert single[left[0]] >= len(alone)


@pytest.mark.parametrize('on_missing', ['wait', 'degrade'])
def test_fault_01_rgb_stops_and_comes_back(tiny: Path, on_missing: str) -> None:
    camera_stops(tiny, ('visible',), on_missing)


@pytest.mark.parametrize('on_missing', ['wait', 'degrade'])
def test_fault_02_thermal_stops_and_comes_back(tiny: Path, on_missing: str) -> None:
    camera_stops(tiny, ('thermal',), on_missing)


@pytest.mark.parametrize('on_missing', ['wait', 'degrade'])
def test_fault_03_both_cameras_stop_and_come_back(tiny: Path, on_missing: str) -> None:
    camera_stops(tiny, BOTH, on_missing)


def test_fault_04_a_shutter_freeze_is_told_and_holds_the_range(tiny: Path) -> None:
    scene = np.random.default_rng(4)
    shutter = np.random.default_rng(5).integers(28500, 29500, SIZE, np.uint16)

    def live(number: int) -> np.ndarray:
        return scene.integers(28000, 30000, SIZE, np.uint16)

    with Rig(tiny, listen=('mask',), thermal__smoothing=2.0) as rig:
        cameras = Cameras(rig, live)
        cameras.pairs(20)
        assert rig.values()['thermal.frozen'] == 'false'
        cameras.heat = lambda number: shutter
        cameras.until(lambda: rig.values()['thermal.frozen'] == 'true')
        began = len(rig.got['diagnostics'])
        assert level(rig) == WARN
        assert 'thermal frozen for 0.' in told(rig)
        pairs = rig.count('pairs.fused')
        # Frames under way when it was noticed have moved the range for the last time.
        cameras.play(0.3)
        held = [rig.values()[f'thermal.agc.{end}'] for end in ('low', 'high')]
        cameras.play(0.8)
        assert rig.values()['thermal.frozen'] == 'true'
        assert [rig.values()[f'thermal.agc.{end}'] for end in ('low', 'high')] == held
        assert rig.count('pairs.fused') > pairs, 'results go on'
        cameras.heat = live
        cameras.until(lambda: rig.values()['thermal.frozen'] == 'false' and is_ok(rig))
        cameras.until(
            lambda: [rig.values()[f'thermal.agc.{end}'] for end in ('low', 'high')] != held
        )
        assert_clean(rig.stop())
        assert_balanced(rig)
        assert rig.count('thermal.freezes') == 1
        assert set(_levels(rig, began)) <= {OK, WARN}


def _levels(rig: Rig, first: int) -> list[bytes]:
    return [bytes(message.status[0].level) for message in rig.got['diagnostics'][first:]]


def test_fault_12_a_second_publisher_is_named(tiny: Path) -> None:
    """Its frames mix with those of the first one; the counts stay exact, and it may go again."""
    with Rig(tiny, listen=('mask',)) as rig:
        cameras = Cameras(rig)
        cameras.pairs(5)
        second = rig.node.create_publisher(Image, 'thermal/image_raw', 5)
        cameras.until(lambda: '2 publishers on /thermal/image_raw (/rig, ' in rig.text())

        def eight_more() -> bool:
            # Until they have come: its first messages may leave before the node has matched it.
            second.publish(cameras.message('thermal', cameras.sent['thermal'][-1]))
            return rig.count('thermal.received') >= len(cameras.sent['thermal']) + 8

        cameras.until(eight_more)  # the same stamps a second time
        rig.node.destroy_publisher(second)
        cameras.pairs(10)
        ending = rig.stop()
        assert_clean(ending)
        assert_balanced(rig)
        refused = sum(
            rig.count(f'thermal.dropped.{reason}') for reason in ('duplicate', 'out_of_order')
        )
        assert refused >= 8
        assert ending.text.count('publishers on /') == 1
        fused = stamps(rig.got['mask'])
        assert fused == sorted(set(fused))
