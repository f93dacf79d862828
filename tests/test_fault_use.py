"""Faults 23 and 24 of the list: subscribers that come and go, parameters that never rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2 (or its wheels) in this Python')

from faults import LONG, RATE, RELIABLE, Cameras, Remote, descriptors, is_ok, matched
from ros_checks import assert_balanced, assert_clean
from ros_rig import Rig
from sensor_msgs.msg import Image

TIMES = 100
SECONDS = 3.0


def test_fault_23_a_subscriber_comes_and_goes_100_times(tiny: Path) -> None:
    """Nothing is computed without one, and nothing is left of those that have gone."""
    with Rig(tiny, listen=()) as rig:
        cameras, got = Cameras(rig), []  # type: ignore[var-annotated]
        opened: list[int] = []
        for number in range(TIMES):
            heard = len(got)
            subscription = rig.node.create_subscription(
                Image, '/fusion/fused/image', got.append, 10
            )
            cameras.until(lambda: len(got) > heard)  # noqa: B023
            rig.node.destroy_subscription(subscription)
            if number % 20 == 19:
                idle = rig.count('pairs.no_subscriber')
                cameras.until(lambda: rig.count('pairs.no_subscriber') > idle + 2)  # noqa: B023
                fused = rig.count('pairs.fused')
                cameras.play(0.2)
                rig.spin(0.15)
                assert rig.count('pairs.fused') == fused, 'computed for nobody'
                opened.append(descriptors(rig))
        ending = rig.stop()
        assert_clean(ending)
        assert_balanced(rig)
        assert len(got) >= TIMES
        assert max(opened[-2:]) <= max(opened[:2]) + 2, opened
        assert rig.count('pairs.no_subscriber') >= 15
        assert rig.count('pairs.engine_error') == 0


def test_fault_24_parameters_change_100_times_a_second(tiny: Path) -> None:
    """Each change is accepted, or refused with a reason; pairs flow and none is lost by it."""
    with Rig(tiny, listen=('mask',), qos=RELIABLE) as rig:
        remote, cameras = Remote(rig), Cameras(rig)
        matched(rig)
        cameras.pairs(5)
        wishes: list[tuple[str, Any, bool]] = [
            ('sync.slop', 0.01, True),
            ('thermal.smoothing', 0.1, True),
            ('overlay.alpha', 2.0, False),
            ('sync.max_age', 5.0, True),
            ('thermal.agc', 'equalize', True),
            ('thermal.low_percentile', 'low', False),
            ('sync.slop', 0.02, True),
            ('thermal.agc', 'fixed', True),
            ('diagnostics.rate', 5.0, False),
            ('thermal.range_min', 70000.0, False),
            ('engine.timeout', 4.0, True),
            ('no.such.parameter', 1, False),
        ]
        asked: list[tuple[tuple[str, Any, bool], Any]] = []
        for number in range(round(SECONDS * 100)):
            wish = wishes[number % len(wishes)]
            asked.append((wish, remote.ask(*wish[:2])))
            cameras.play(0.01)
        cameras.until(lambda: all(future.done() for _, future in asked), LONG)
        for (name, value, right), future in asked:
            result = future.result().results[0]
            assert result.successful == right, (name, value, result.reason)
            assert right or result.reason, name
        cameras.until(lambda: is_ok(rig))
        sent = len(cameras.sent['visible'])
        rig.until(lambda: rig.count('thermal.received') >= sent)
        ending = rig.stop()
        assert_clean(ending)
        assert_balanced(rig)
        assert sent >= SECONDS * RATE / 4, 'this machine is too slow to say anything'
        assert rig.count('visible.received') == rig.count('thermal.received') == sent
        # A frame whose partner comes with the next change waits for it; none finds none.
        assert rig.count('pairs.made') == sent
        lost = {'superseded', 'shutdown'}
        assert rig.count('pairs.fused') + sum(rig.count(f'pairs.{why}') for why in lost) == sent
