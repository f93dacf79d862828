"""Whether /clock goes, where the node's time is that of a bag or a simulation."""

from __future__ import annotations

from rclpy.node import Node

from paif_ros.monitoring.notices import Level, Notices

LOOKS = 10  # without a clock before that is said: a player that is started with the node is slow
TEXT = (
    'use_sim_time is true but nothing publishes /clock: play the bag with --clock, or '
    'set use_sim_time to false. Pairs are made all the same, by their stamps'
)


class ClockLookout:
    """Says once that time stands still.

    Args:
        node: whose clock it is.
        notices: says it.
    """

    def __init__(self, node: Node, notices: Notices) -> None:
        self._node = node
        self._notices = notices
        self._in_vain = 0  # looks in a row

    def look(self) -> None:
        """Look at the clock; to be called twice a second while frames are taken in."""
        clock = self._node.get_clock()
        stands = clock.ros_time_is_active and not clock.now().nanoseconds
        self._in_vain = self._in_vain + 1 if stands else 0
        if self._in_vain > LOOKS:
            self._notices.once(Level.WARN, 'clock', TEXT)
