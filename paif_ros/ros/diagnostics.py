"""What the node knows of itself, on /diagnostics."""

from __future__ import annotations

from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.duration import Duration
from rclpy.node import Node

from paif_ros.monitoring.diagnostics import Moment, Severity, status

ACKNOWLEDGED = Duration(seconds=0.3)


class DiagnosticsTopic:
    """Publishes one status for a node, until its last words.

    Not by a lifecycle publisher: a node that can't be configured must be able to say so.

    Args:
        node: that it is about.
        first: the moment that the first rates are counted from.
    """

    def __init__(self, node: Node, first: Moment) -> None:
        self._node = node
        self._before = first
        self._publisher: Any = node.create_publisher(DiagnosticArray, '/diagnostics', 10)

    @property
    def done(self) -> bool:
        """Whether the last words are said."""
        return self._publisher is None

    def publish(self, now: Moment, last_words: str = '') -> None:
        """Publish the present moment.

        Args:
            now: the present moment.
            last_words: take the place of the message, and nothing is published after them.
        """
        if self.done:
            return
        told = status(now, self._before)
        self._before = now
        message = DiagnosticArray(
            status=[
                DiagnosticStatus(
                    level=bytes([Severity.OK if last_words else told.level]),
                    name=f'{self._node.get_fully_qualified_name()}: fusion',
                    message=last_words or told.message,
                    hardware_id=dict(told.values)['engine.provider'],
                    values=[KeyValue(key=key, value=value) for key, value in told.values],
                )
            ]
        )
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)
        if last_words:
            self._publisher.wait_for_all_acked(ACKNOWLEDGED)
            self._publisher = None

    def give_up(self) -> None:
        """Publish nothing from now on: the graph is gone."""
        self._publisher = None
