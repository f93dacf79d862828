"""What a recording gives, wherever it comes from: messages in the order of their recording."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from paif_ros.errors import PaifError
from paif_ros.replay.record import Loss

IMAGE = 'sensor_msgs/msg/Image'
COMPRESSED = 'sensor_msgs/msg/CompressedImage'
CAMERA_INFO = 'sensor_msgs/msg/CameraInfo'
# A driver sends an image's camera_info shortly after it. The node, busy with the network, has it
# when the result leaves; here it is looked for this many ns ahead.
AHEAD_NS = 100_000_000


class RecordingError(PaifError):
    """A recording that can't be replayed at all.

    Attributes:
        path: as it was given.
        reason: what is wrong and what to do next.
    """

    def __init__(self, path: Path | str, reason: str) -> None:
        self.path = str(path)
        self.reason = reason
        super().__init__(f'{path}: {reason}')


@dataclass(frozen=True)
class TopicInfo:
    """One topic of a recording.

    Attributes:
        name: full name.
        kind: message type, such as 'sensor_msgs/msg/Image'.
        count: messages, None where the recording does not say.
        definition: text of the type's definition, '' where the recording lacks it.
        digest: RIHS01 hash of the type, '' where the recording lacks it.
    """

    name: str
    kind: str
    count: int | None = None
    definition: str = ''
    digest: str = ''


@dataclass(frozen=True, eq=False)
class Item:
    """One message.

    Attributes:
        topic: its topic.
        log_ns: when it was recorded.
        data: as serialised (CDR); empty where `message` is given.
        message: with the fields of the topic's type, of films and folders.
    """

    topic: TopicInfo
    log_ns: int
    data: bytes = b''
    message: Any = None


class Feed(Protocol):
    """An opened recording. For one thread."""

    @property
    def kind(self) -> str:
        """'bag', 'films' or 'folders'."""

    @property
    def files(self) -> Sequence[Path]:
        """All files of it, for the fingerprint."""

    @property
    def topics(self) -> Sequence[TopicInfo]:
        """What is in it, as far as is known without reading all of it."""

    @property
    def losses(self) -> Sequence[Loss]:
        """What could not be read so far. Grows while messages are read."""

    @property
    def borders(self) -> Sequence[int]:
        """Times at which the recording itself is split into files, the first one left out."""

    @property
    def span(self) -> tuple[int, int] | None:
        """Times of the first and last message, None where that is not known without reading."""

    def messages(
        self,
        topics: Iterable[str] | None = None,
        start: int | None = None,
        stop: int | None = None,
    ) -> Iterator[Item]:
        """Give the messages in order.

        Args:
            topics: only these, None for all.
            start: only from this time on, ns.
            stop: only before this time, ns.
        """

    def close(self) -> None:
        """Close all files."""


@dataclass
class Lookahead:
    """Reads a little ahead, so that what belongs to an image but came after it is known.

    Attributes:
        items: in order.
        seen: read, but not given yet.
    """

    items: Iterator[Item]
    seen: deque[Item] = field(default_factory=deque)

    def __iter__(self) -> Iterator[tuple[Item, list[Item]]]:
        """Give each item with those that were read ahead for it, each once."""
        ended = False
        while True:
            ahead = []
            while not ended and (not self.seen or self._near(self.seen[-1])):
                item = next(self.items, None)
                if item is None:
                    ended = True
                else:
                    self.seen.append(item)
                    ahead.append(item)
            if not self.seen:
                return
            yield self.seen.popleft(), ahead

    def _near(self, last: Item) -> bool:
        return last.log_ns - self.seen[0].log_ns <= AHEAD_NS


def by_name(topics: Iterable[TopicInfo]) -> Mapping[str, TopicInfo]:
    """Return topics by their name; of one with several types the first type counts."""
    found: dict[str, TopicInfo] = {}
    for topic in topics:
        found.setdefault(topic.name, topic)
    return found
