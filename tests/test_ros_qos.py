"""QoS: which profiles fit, against what real publishers and subscriptions do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import product

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2 (or its wheels) in this Python')

import rclpy
from rclpy.context import Context
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, LivelinessPolicy, QoSProfile, ReliabilityPolicy
from ros_rig import environment
from std_msgs.msg import String

from paif_ros.ros.qos import fits, matching

BEST, SURE = ReliabilityPolicy.BEST_EFFORT, ReliabilityPolicy.RELIABLE
GONE, KEPT = DurabilityPolicy.VOLATILE, DurabilityPolicy.TRANSIENT_LOCAL
PROFILES = {
    f'{reliability.name} {durability.name} {name}': QoSProfile(
        depth=3, reliability=reliability, durability=durability, **more
    )
    for reliability, durability in product((BEST, SURE), (GONE, KEPT))
    for name, more in {
        'plain': {},
        'deadline': {'deadline': Duration(seconds=5)},
        'alive': {'liveliness': LivelinessPolicy.MANUAL_BY_TOPIC},
    }.items()
}


@pytest.fixture(scope='module')
def context() -> Iterator[Context]:
    os.environ.update(environment())
    context = Context()
    rclpy.init(context=context)
    yield context
    rclpy.shutdown(context=context)


def test_what_fits_is_what_gets_through(context: Context) -> None:
    """Each offered profile against each asked one, by the endpoints that the graph shows."""
    node = rclpy.create_node('qos', context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    pairs = list(product(PROFILES, PROFILES))
    publishers = {}
    for number, (offered, asked) in enumerate(pairs):
        publishers[number] = node.create_publisher(String, f'q{number}', PROFILES[offered])
        node.create_subscription(String, f'q{number}', lambda _: None, PROFILES[asked])
    for _ in range(300):
        executor.spin_once(timeout_sec=0.01)
    for number, (offered, asked) in enumerate(pairs):
        (there,) = node.get_publishers_info_by_topic(f'/q{number}')
        (here,) = node.get_subscriptions_info_by_topic(f'/q{number}')
        real = publishers[number].get_subscription_count() == 1
        told = (
            fits(there.qos_profile, here.qos_profile),
            fits(PROFILES[offered], here.qos_profile),
            fits(there.qos_profile, PROFILES[asked]),
        )
        assert told == (real,) * 3, (offered, asked)
    executor.shutdown()
    node.destroy_node()


@pytest.mark.parametrize(
    ('offered', 'reliability'),
    [([], BEST), ([BEST], BEST), ([SURE], SURE), ([SURE, SURE], SURE), ([SURE, BEST], BEST)],
)
def test_the_subscription_takes_what_all_publishers_offer(
    offered: list[ReliabilityPolicy], reliability: ReliabilityPolicy
) -> None:
    profile = matching([QoSProfile(depth=1, reliability=policy) for policy in offered])
    assert profile.reliability == reliability
    assert profile.durability == GONE
