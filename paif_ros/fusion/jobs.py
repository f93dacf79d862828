"""What the executor's thread hands to the worker's: the frames of one result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from paif_ros.monitoring.statistics import Ticket
from paif_ros.sync.pairing import Frame


@dataclass(frozen=True, eq=False)
class Capture:
    """One image message, and what was noticed about it on receipt.

    Attributes:
        message: sensor_msgs Image or CompressedImage.
        frozen: whether the camera has been sending the same picture for a while.
    """

    message: Any
    frozen: bool = False


@dataclass(frozen=True, eq=False)
class Job:
    """The frames of one result; one of them is None where its camera has stopped.

    Attributes:
        visible: the RGB camera's frame.
        thermal: the thermal camera's frame.
        made: when the job was made, monotonic ns.
        ticket: what it is counted under.
    """

    visible: Frame[Capture] | None
    thermal: Frame[Capture] | None
    made: int
    ticket: Ticket

    @property
    def reference(self) -> Frame[Capture]:
        """The frame whose header and size the outputs carry: the RGB one where there is one."""
        frame = self.visible or self.thermal
        assert frame is not None
        return frame

    @property
    def received(self) -> int:
        """When the newest frame got here, monotonic ns."""
        return max(f.received for f in (self.visible, self.thermal) if f is not None)
