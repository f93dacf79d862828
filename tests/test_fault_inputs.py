"""Faults 5 to 11, 25 and 26 of the list: stamps, formats, QoS and clocks that are not as usual."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2 (or its wheels) in this Python')

from faults import (
    RELIABLE,
    WARN,
    Cameras,
    Remote,
    filled,
    hot,
    is_ok,
    level,
    listen,
    matched,
    stamps,
    told,
)
from rclpy.qos import (
    DurabilityPolicy,
    QoSProfile,
    qos_profile_sensor_data,
)
from ros_checks import SIZE, START, assert_balanced, assert_clean, camera_pair
from ros_rig import Rig, pixels_of
from sensor_msgs.msg import Image

from paif_ros.monitoring.accounting import DropReason, Source

HOUR = 3600 * 10**9
COLOR = '/color/image_raw'


def dropped(rig: Rig, *but: str) -> int:
    """How many frames were dropped for reasons other than these."""
    return sum(
        rig.count(f'{source}.dropped.{reason}')
        for source in Source
        for reason in DropReason
        if reason.value not in but
    )


def test_fault_05_a_bag_loops_and_each_lap_pairs_alike(tiny: Path) -> None:
    """Three laps of 20 pairs whose tails are unequal: thermal goes on for three frames more."""
    with Rig(tiny, listen=('mask',), qos=RELIABLE) as rig:
        cameras = Cameras(rig)
        made = []
        matched(rig)
        for lap in range(3):
            for number in range(0, 46, 2):  # 2.2 s of stamps
                if number < 40:
                    rig.visible.publish(cameras.message('visible', number))
                rig.thermal.publish(cameras.message('thermal', number))
                rig.spin(0.03)
            ends = 23 * (lap + 1)
            rig.until(lambda: rig.count('thermal.received') == ends)  # noqa: B023
            rig.until(lambda: rig.count('pairs.pending') == 0)
            made.append(rig.count('pairs.made'))
            assert rig.count('sync.time_jumps') == lap
        rig.spin(1.0)
        ending = rig.stop()
        assert_clean(ending)
        assert_balanced(rig)
        assert made == [20, 40, 60]
        assert ending.text.count('went back in time, as when a bag starts again') == 1  # throttled
        assert '[INFO]' in next(line for line in ending.text.splitlines() if 'went back' in line)


def test_fault_05_the_clock_jumps_forward_an_hour(tiny: Path) -> None:
    with Rig(tiny, listen=('mask',)) as rig:
        cameras = Cameras(rig)
        cameras.pairs(10)
        cameras.clock += HOUR
        cameras.pairs(10)
        assert_clean(rig.stop())
        assert_balanced(rig)
        assert rig.count('sync.time_jumps') == 0
        assert rig.count('visible.missed') == rig.count('thermal.missed') == 0
        assert stamps(rig.got['mask'])[-1] > START + HOUR
        assert dropped(rig, 'no_partner', 'shutdown', 'superseded', 'inactive') == 0


def test_fault_06_zero_stamps_are_told_and_end(tiny: Path) -> None:
    with Rig(tiny, listen=('mask',)) as rig:
        cameras = Cameras(rig)
        clock, cameras.stamp = cameras.stamp, lambda number: 0  # type: ignore[method-assign]
        cameras.until(lambda: 'see that their drivers set header.stamp' in rig.text())
        cameras.until(lambda: level(rig) == WARN and 'no frames pair' in told(rig))
        assert rig.count('pairs.made') == 0
        cameras.stamp = clock  # type: ignore[method-assign]
        cameras.pairs(10)
        cameras.until(lambda: is_ok(rig))
        ending = rig.stop()
        assert_clean(ending)
        assert_balanced(rig)
        assert rig.count('visible.dropped.bad_stamp') > 30
        assert ending.text.count('no frames pair') == 1
        assert 'bad_stamp' in ending.text


@pytest.mark.parametrize('queue', [4, 10])
def test_fault_07_an_offset_of_300_ms_is_measured_and_set_live(tiny: Path, queue: int) -> None:
    """In short queues nothing pairs. Long ones hold frames until wrong ones pair: told too."""
    with Rig(tiny, listen=('mask',), sync__queue_size=queue) as rig:
        remote, cameras = Remote(rig), Cameras(rig)
        cameras.thermal_skew = -300_000_000  # the thermal camera's clock is behind
        if queue == 4:
            cameras.until(lambda: 'no frames pair for 2 s' in rig.text())
            line = next(line for line in rig.text().splitlines() if 'no frames pair' in line)
            assert '[WARN]' in line
            value = float(line.split('set sync.thermal_offset to ')[1].split()[0])
            assert rig.count('pairs.made') == 0
        else:
            cameras.until(lambda: rig.count('pairs.made') > 0)
            cameras.until(lambda: 'see sync.thermal_offset' in told(rig))
            value = float(told(rig).split('thermal stamps are ')[1].split()[0])
        assert abs(value - 0.3) < 0.03
        cameras.until(lambda: level(rig) == WARN)
        assert remote.set('sync.thermal_offset', value) == (True, '')
        cameras.pairs(20)
        cameras.until(lambda: is_ok(rig))
        assert_clean(rig.stop())
        assert_balanced(rig)
        sent = {cameras.stamp(number) for number in cameras.sent['visible']}
        assert set(stamps(rig.got['mask'])) <= sent, 'outputs keep the original stamps'


def test_fault_08_the_resolution_changes_mid_stream(tiny: Path) -> None:
    with Rig(tiny, listen=('fused', 'mask')) as rig:
        cameras = Cameras(rig)
        cameras.pairs(5)
        cameras.color = lambda number: camera_pair(number, (120, 160))[0]
        cameras.pairs(5)
        cameras.heat = lambda number: camera_pair(number, (30, 40))[1]
        cameras.pairs(5)
        ending = rig.stop()
        assert_clean(ending)
        assert_balanced(rig)
        for name in ('fused', 'mask'):
            sizes = [(message.height, message.width) for message in rig.got[name]]
            assert sizes == sorted(sizes)
            assert set(sizes) == {SIZE, (120, 160)}
        assert 'visible images are 160x120 rgb8 from now on, they were 64x48 rgb8' in ending.text
        assert 'thermal images are 40x30 mono16 from now on, they were 64x48' in ending.text
        assert dropped(rig, 'no_partner', 'shutdown', 'superseded', 'inactive') == 0


def test_fault_09_the_encoding_changes_mid_stream(tiny: Path) -> None:
    """mono16 to mono8 and back; 8 bit frames pass unchanged, so their pixels tell."""
    with Rig(tiny, listen=('mask',)) as rig:
        shown = listen(rig, Image, '/fusion/thermal/image')
        cameras = Cameras(rig, lambda number: camera_pair(number)[1])
        cameras.until(lambda: len(shown) >= 5 and rig.count('pairs.fused') >= 5)
        assert rig.values()['thermal.agc.unit'] == 'counts'
        first = cameras.sent['thermal'][-1] + 1
        cameras.heat = lambda number: camera_pair(number, top=200)[1].astype(np.uint8)
        made = rig.count('pairs.made')
        cameras.until(lambda: rig.count('pairs.fused') >= made + 5 and len(shown) >= 10)
        assert rig.values()['thermal.agc.unit'] == ''
        eight_bit = set(range(first, cameras.sent['thermal'][-1] + 1))
        cameras.heat = lambda number: camera_pair(number)[1]
        cameras.pairs(5)
        ending = rig.stop()
        assert_clean(ending)
        assert_balanced(rig)
        assert 'thermal images are 64x48 mono8 from now on, they were 64x48 mono16' in ending.text
        assert dropped(rig, 'no_partner', 'shutdown', 'superseded', 'inactive') == 0
        at = {cameras.stamp(number): number for number in eight_bit}
        seen = [(at[stamp], m) for m in shown for stamp in stamps([m]) if stamp in at]
        assert len(seen) >= 3
        for number, message in seen:
            expected = camera_pair(number, top=200)[1].astype(np.uint8)
            np.testing.assert_array_equal(pixels_of(message), expected)


def test_fault_10_one_bad_message_costs_one_frame(tiny: Path) -> None:
    """First one with a wrong step, then one with too little data."""
    with Rig(tiny, listen=('mask',), qos=RELIABLE) as rig:
        cameras = Cameras(rig)
        matched(rig)
        for number in range(21):
            thermal = cameras.message('thermal', number)
            if number == 7:
                thermal.step //= 2
            if number == 14:
                thermal.data = thermal.data[:-1]
            rig.visible.publish(cameras.message('visible', number))
            rig.thermal.publish(thermal)
            rig.until(lambda: rig.count('thermal.received') > number)  # noqa: B023
            if number == 10:
                assert "thermal image dropped: image field 'step' is 32" in rig.text()
        rig.until(lambda: rig.count('pairs.made') == 19)
        ending = rig.stop()
        assert_clean(ending)
        assert_balanced(rig)
        assert rig.count('pairs.made') == 19
        assert rig.count('thermal.dropped.malformed') == 2
        assert rig.count('visible.dropped.no_partner') == 2
        assert 1 <= ending.text.count('thermal image dropped: image field') <= 2  # throttled
        messages = [m.status[0].message for m in rig.got['diagnostics']]
        assert sum('images of thermal can not be read' in text for text in messages) == 2
        lost = {cameras.stamp(n) for n in range(21)} - set(stamps(rig.got['mask']))
        assert lost >= {cameras.stamp(7), cameras.stamp(14)}
        assert len(lost) == 2 + rig.count('pairs.superseded')


def test_fault_11_qos_that_does_not_fit_is_told_with_both_profiles(tiny: Path) -> None:
    """A user's override asks for more than the camera offers; a subscriber asks for too much."""
    override = {f'qos_overrides.{COLOR}.subscription.reliability': 'reliable'}
    with Rig(tiny, listen=('mask',), raw=False, **override) as rig:
        rig.until(lambda: 'no images from a publisher whose QoS does not fit' in rig.text())
        line = next(line for line in rig.text().splitlines() if 'QoS does not fit' in line)
        assert '[WARN]' in line
        assert f'{COLOR} is offered with best_effort, volatile' in line
        assert 'this node asks for reliable, volatile, keep_last 5' in line
        assert f'qos_overrides.{COLOR}.subscription.*' in line
        rig.until(lambda: 'incompatible QoS: /color/image_raw is offered with' in told(rig))
        keep = QoSProfile(depth=5, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        listen(rig, Image, '/fusion/fused/image', qos=keep)
        rig.until(lambda: 'a subscriber of /fusion/fused/image gets nothing' in rig.text())
        line = next(line for line in rig.text().splitlines() if 'gets nothing' in line)
        assert '[WARN]' in line
        assert 'this node offers reliable, volatile, keep_last 5' in line
        assert 'asks for reliable, transient_local' in line
        assert 'UNKNOWN' not in line
        # A publisher that offers enough works at once, and with the other one gone all is well.
        rig.node.destroy_publisher(rig.visible)
        rig.visible = rig.node.create_publisher(Image, COLOR, RELIABLE)
        rig.until(lambda: 'incompatible QoS' not in told(rig))
        cameras = Cameras(rig)
        cameras.pairs(5)
        cameras.until(lambda: is_ok(rig))
        ending = rig.stop()
        assert_clean(ending)
        assert_balanced(rig)
        assert ending.text.count('no images from a publisher') == 1


def test_fault_11_reliable_and_best_effort_cameras_both_work(tiny: Path) -> None:
    """By default, and where the driver is restarted with the other kind while the node runs."""
    with Rig(tiny, listen=('mask',)) as rig:
        cameras = Cameras(rig)
        cameras.pairs(5)  # best effort
        for kind in (RELIABLE, qos_profile_sensor_data):
            rig.node.destroy_publisher(rig.visible)
            rig.visible = rig.node.create_publisher(Image, COLOR, kind)
            reliable = kind is RELIABLE
            word = 'reliable' if reliable else 'best_effort'
            rig.until(lambda: f'{COLOR}: subscribed with {word}' in rig.text())  # noqa: B023
            rig.until(lambda: rig.visible.get_subscription_count() == 1)
            cameras.pairs(10)
            asked = rig.node.get_subscriptions_info_by_topic(COLOR)
            kinds = {info.qos_profile.reliability for info in asked}
            assert kinds == {kind.reliability}
        # A reliable one beside a best effort one: both are heard.
        second = rig.node.create_publisher(Image, 'thermal/image_raw', RELIABLE)
        rig.until(lambda: second.get_subscription_count() == 1)
        rig.spin(0.3)  # the last ones of the other publisher
        received = rig.count('thermal.received')
        second.publish(cameras.message('thermal', cameras.sent['thermal'][-1] + 1))
        rig.until(lambda: rig.count('thermal.received') == received + 1)
        ending = rig.stop()
        assert_clean(ending)
        assert_balanced(rig)
        assert 'does not fit' not in ending.text


def test_fault_25_use_sim_time_without_a_clock(tiny: Path) -> None:
    with Rig(tiny, listen=('mask',), use_sim_time='true') as rig:
        cameras = Cameras(rig)
        cameras.pairs(20)
        cameras.until(lambda: 'nothing publishes /clock' in rig.text())
        cameras.until(lambda: is_ok(rig))
        ending = rig.stop()
        assert_clean(ending)
        assert_balanced(rig)
        assert ending.text.count('nothing publishes /clock') == 1
        line = next(line for line in ending.text.splitlines() if '/clock' in line)
        assert '[WARN]' in line
        assert rig.values()['visible.stamp_age.max_ms'] == 'nan'


def test_fault_26_flat_saturated_and_all_nan_thermal_frames(tiny: Path) -> None:
    with Rig(tiny, listen=('fused', 'mask')) as rig:
        shown = listen(rig, Image, '/fusion/thermal/image')
        cameras = Cameras(rig)
        kinds: list[tuple[float, type]] = [
            (30000, np.uint16),  # flat
            (0, np.uint16),
            (65535, np.uint16),  # saturated
            (255, np.uint8),
            (21.5, np.float32),
            (np.nan, np.float32),
            (np.inf, np.float32),
            (-np.inf, np.float32),
        ]
        for value, dtype in kinds:
            cameras.heat = filled(value, dtype)
            first = cameras.sent['thermal'][-1] + 1 if cameras.sent['thermal'] else 0
            cameras.pairs(3)
            begin = cameras.stamp(first)
            rig.until(lambda: stamps(shown[-1:]) > [begin])  # noqa: B023
            pictures = np.unique(pixels_of(shown[-1]))
            assert len(pictures) == 1, (value, dtype)  # one grey, and no noise made of nothing
            if np.isnan(value):
                assert pictures[0] == 128
        cameras.heat = hot
        cameras.pairs(5)
        ending = rig.stop()
        assert_clean(ending)
        assert_balanced(rig)
        assert 'Warning' not in ending.text, 'NumPy or OpenCV complains'
        assert 'pair dropped' not in ending.text
        assert rig.count('pairs.engine_error') == rig.count('pairs.malformed') == 0
