"""QoS profiles: matched to what a publisher offers, overridden by the user, told in words."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    LivelinessPolicy,
    QoSProfile,
    ReliabilityPolicy,
)

from paif_ros.errors import ParameterError

DEPTH = 5
MAX_DEPTH = 1000
FOR_EVER = 2**62  # ns
_POLICIES: dict[str, dict[str, Any]] = {
    'reliability': {
        'reliable': ReliabilityPolicy.RELIABLE,
        'best_effort': ReliabilityPolicy.BEST_EFFORT,
    },
    'durability': {
        'volatile': DurabilityPolicy.VOLATILE,
        'transient_local': DurabilityPolicy.TRANSIENT_LOCAL,
    },
    'history': {'keep_last': HistoryPolicy.KEEP_LAST, 'keep_all': HistoryPolicy.KEEP_ALL},
}


def matching(offered: Sequence[QoSProfile]) -> QoSProfile:
    """Return the profile to subscribe with.

    Reliable where every publisher offers that, so that no image is lost that need not be; else
    best effort, which takes images of both kinds. Volatile: an image from before the subscription
    is of no use.

    Args:
        offered: the profiles of the topic's publishers, none where there is none yet.
    """
    reliable = bool(offered) and all(
        profile.reliability == ReliabilityPolicy.RELIABLE for profile in offered
    )
    kind = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
    return QoSProfile(depth=DEPTH, reliability=kind)


class Overrides:
    """The user's own choice for one topic: `qos_overrides.TOPIC.KIND.POLICY`.

    The names are those of rclpy's QoSOverridingOptions. Those would fix the first profile for
    good, though; these leave what the user did not choose to `matching`, and declare no parameter
    for it.

    Args:
        node: gets the parameters that were given, read-only.
        topic: fully resolved.
        kind: 'subscription' or 'publisher'.

    Raises:
        ParameterError: a value is not allowed.
    """

    def __init__(self, node: Node, topic: str, kind: str) -> None:
        self._chosen: dict[str, Any] = {}
        for policy in ('reliability', 'durability', 'history', 'depth'):
            name = f'qos_overrides.{topic}.{kind}.{policy}'
            value = _declared(node, name, policy, topic)
            if value is not None:
                self._chosen[policy] = _read(name, policy, value)

    def apply(self, profile: QoSProfile) -> QoSProfile:
        """Return a profile with what the user chose in place."""
        new = QoSProfile(
            depth=profile.depth,
            history=profile.history,
            reliability=profile.reliability,
            durability=profile.durability,
        )
        for policy, value in self._chosen.items():
            setattr(new, policy, value)
        return new


def fits(offered: QoSProfile, asked: QoSProfile) -> bool:
    """Whether a subscription gets the messages of a publisher.

    rclpy's qos_check_compatible takes a deadline that nobody set for one of zero seconds on one
    side and for an infinite one on the other, and then for a conflict.
    """
    reliable = asked.reliability != ReliabilityPolicy.RELIABLE or (
        offered.reliability == ReliabilityPolicy.RELIABLE
    )
    durable = asked.durability != DurabilityPolicy.TRANSIENT_LOCAL or (
        offered.durability == DurabilityPolicy.TRANSIENT_LOCAL
    )
    alive = asked.liveliness != LivelinessPolicy.MANUAL_BY_TOPIC or (
        offered.liveliness == LivelinessPolicy.MANUAL_BY_TOPIC
    )
    in_time = all(
        _limit(getattr(offered, policy)) <= _limit(getattr(asked, policy))
        for policy in ('deadline', 'liveliness_lease_duration')
    )
    return reliable and durable and alive and in_time


def _limit(duration: Any) -> float:
    """Return a duration in ns; one that nobody set, 0 here and huge there, is infinite."""
    return duration.nanoseconds if 0 < duration.nanoseconds < FOR_EVER else inf


def words(profile: QoSProfile) -> str:
    """Describe a profile: 'best_effort, volatile, keep_last 5'."""
    history = profile.history.name.lower()
    if profile.history == HistoryPolicy.KEEP_LAST:
        history += f' {profile.depth}'
    if history == 'unknown':  # DDS does not tell it to the other side
        history = ''
    parts = [profile.reliability.name.lower(), profile.durability.name.lower(), history]
    return ', '.join(part for part in parts if part)


def name_of(endpoint: Any) -> str:
    """Return the full name of the node that a publisher or subscription belongs to.

    Args:
        endpoint: an rclpy TopicEndpointInfo. Its node is not known when it was discovered a moment
            ago, nor where it belongs to a program without ROS.
    """
    if endpoint.node_name in ('', '_NODE_NAME_UNKNOWN_'):
        return 'an unnamed node'
    return f'{endpoint.node_namespace.rstrip("/")}/{endpoint.node_name}'


def given(node: Node) -> dict[str, Any]:
    """Return the parameters that were given to a node at its start, by name."""
    return dict(getattr(node, '_parameter_overrides', {}))  # rclpy has no public way


def _declared(node: Node, name: str, policy: str, topic: str) -> Any:
    """Return the user's value of a parameter, None where there is none."""
    if name not in given(node):
        return None
    if not node.has_parameter(name):
        descriptor = ParameterDescriptor(
            description=f'QoS {policy} for {topic}.', read_only=True, dynamic_typing=True
        )
        node.declare_parameter(name, None, descriptor)
    return node.get_parameter(name).value


def _read(name: str, policy: str, value: object) -> Any:
    if policy == 'depth':
        if type(value) is not int or not 1 <= value <= MAX_DEPTH:
            raise ParameterError(name, value, f'an integer from 1 to {MAX_DEPTH}')
        return value
    choices = _POLICIES[policy]
    if not isinstance(value, str) or value not in choices:
        raise ParameterError(name, value, f'one of {", ".join(choices)}')
    return choices[value]
