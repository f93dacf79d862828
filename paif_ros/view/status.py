"""What the page shows of the node's diagnostics, as plain values for JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SUFFIX = ': fusion'  # of the status names that fusion nodes use on /diagnostics
LEVELS = ('OK', 'WARN', 'ERROR', 'STALE')


@dataclass(frozen=True)
class NodeStatus:
    """One diagnostic status of a fusion node.

    Attributes:
        node: its full name, such as '/fusion'.
        level: one of `LEVELS`.
        message: what is wrong, or what it does.
        values: by key, see docs/node.md.
    """

    node: str
    level: str = 'STALE'
    message: str = ''
    values: Mapping[str, str] = field(default_factory=dict)


def fusion_statuses(message: Any) -> list[NodeStatus]:
    """Return the statuses of fusion nodes in a diagnostic_msgs/DiagnosticArray."""
    return [
        NodeStatus(
            node=status.name.removesuffix(SUFFIX),
            level=LEVELS[min(level_of(status), len(LEVELS) - 1)],
            message=status.message,
            values={item.key: item.value for item in status.values},
        )
        for status in message.status
        if status.name.endswith(SUFFIX)
    ]


def level_of(status: Any) -> int:
    """Return the level of a DiagnosticStatus: rclpy has it as one byte, rosbags as a number."""
    level = status.level
    return level[0] if isinstance(level, bytes) else int(level)


@dataclass(frozen=True)
class PictureStatus:
    """What is known of one kind of picture.

    Attributes:
        name: of the `Choice`.
        title: for people.
        topic: where it comes from, '' for the mosaic.
        publishers: of that topic.
        rate: pictures a second that come in, 0 while nobody looks.
        problem: why it can't be shown, else ''.
    """

    name: str
    title: str
    topic: str
    publishers: int
    rate: float
    problem: str


@dataclass(frozen=True)
class ViewStatus:
    """Everything that the page shows beside the picture.

    Attributes:
        node: the fusion node's last status.
        age: seconds since it came, None where none has come.
        others: fusion nodes that are there besides.
        pictures: all kinds.
        classes: as the node's parameter `classes` has them, JSON; '' until known.
        clients: browsers that a stream goes to.
    """

    node: NodeStatus
    age: float | None
    others: tuple[str, ...]
    pictures: tuple[PictureStatus, ...]
    classes: str
    clients: int

    def to_json(self) -> bytes:
        """Return it as the page reads it."""
        return json.dumps(
            {
                'node': self.node.node,
                'level': self.node.level,
                'message': self.node.message,
                'values': dict(self.node.values),
                'age': self.age,
                'others': self.others,
                'pictures': [vars(picture) for picture in self.pictures],
                'classes': json.loads(self.classes) if self.classes else [],
                'clients': self.clients,
            }
        ).encode()
