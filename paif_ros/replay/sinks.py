"""What takes the results of a replay: bag, film, pictures, viewers. Each one is a sink.

A sink keeps what it is given in parts. `checkpoint` closes the present part, and from then on the
part is readable whatever happens to the process; a replay that is resumed goes on with the next
part. `finish` puts the parts together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from paif_ros.contract import ClassLabel
from paif_ros.engines.base import EngineInfo
from paif_ros.fusion.jobs import Job
from paif_ros.fusion.results import Result, Wanted
from paif_ros.parameters import Parameters
from paif_ros.replay.record import DropRow, FrameRow


@dataclass(frozen=True)
class Beginning:
    """What is known before the first result.

    Attributes:
        folder: of the run; it exists.
        engine: what computes; its card has the classes of the mask.
        parameters: of the node.
        topics: the topic of each role ('color', 'thermal', 'color_info', 'thermal_info').
        part: number of the part that is written next; above 0 where a replay is resumed, and
            whatever a sink has of this part and later ones is to be thrown away.
    """

    folder: Path
    engine: EngineInfo
    parameters: Parameters
    topics: Mapping[str, str] = field(default_factory=dict)
    part: int = 0

    @property
    def classes(self) -> tuple[ClassLabel, ...]:
        """The classes of the mask, id i at place i."""
        return self.engine.card.classes


@dataclass(frozen=True, eq=False)
class Outgoing:
    """One message that leaves.

    Attributes:
        topic: full name, such as '/fusion/fused/image'.
        kind: its type, such as 'sensor_msgs/msg/Image'.
        message: with the fields of that type (a type of the rosbags library).
        log_ns: time in the recording.
    """

    topic: str
    kind: str
    message: Any
    log_ns: int


@dataclass(frozen=True, eq=False)
class Fused:
    """One result.

    Attributes:
        row: its line of frames.csv; `times_ms` lacks 'write', which is not known yet.
        job: the frames it was made of: `job.visible.payload.message` is the RGB message as
            recorded.
        result: all pictures that some sink wants, see `Result`; `result.scene.color` is the RGB
            picture, uint8 [H, W, 3], `result.scene.heat` the thermal one in its frame.
        messages: the node's messages for it.
    """

    row: FrameRow
    job: Job
    result: Result
    messages: tuple[Outgoing, ...]


@dataclass(frozen=True, eq=False)
class Original:
    """A message of the recording, passed on untouched where a sink asks for it.

    Attributes:
        topic: full name.
        kind: its type, such as 'sensor_msgs/msg/Imu'.
        definition: text of the type's definition as recorded, '' where it is not known.
        digest: RIHS01 hash of the type, '' where it is not known.
        log_ns: when it was recorded.
        data: as serialised.
    """

    topic: str
    kind: str
    definition: str
    digest: str
    log_ns: int
    data: bytes


class Sink(Protocol):
    """Takes every result, in order. All methods are called from one thread."""

    @property
    def wanted(self) -> Wanted:
        """The pictures that it needs."""

    @property
    def wants_originals(self) -> bool:
        """Whether `original` is to be called with the recording's own messages."""

    @property
    def outputs(self) -> Mapping[str, str]:
        """What it makes, for run.json: name to path inside the run's folder."""

    def begin(self, beginning: Beginning) -> None:
        """Get ready. Called once, before anything else.

        Raises:
            OSError: it can't write.
        """

    def take(self, fused: Fused) -> None:
        """Take a result.

        Raises:
            OSError: it can't write.
        """

    def drop(self, row: DropRow) -> None:
        """Take note of a frame that ends in no result."""

    def message(self, outgoing: Outgoing) -> None:
        """Take a message that belongs to no one result: diagnostics, label_info."""

    def original(self, original: Original) -> None:
        """Take a message of the recording itself, see `wants_originals`."""

    def checkpoint(self) -> None:
        """Close the present part, so that all taken so far outlasts a crash.

        Raises:
            OSError: it can't write.
        """

    def finish(self) -> None:
        """Put the parts together. Called once, after the last checkpoint of a whole run."""

    def close(self) -> None:
        """Free everything, whatever came before. Called in any case, also after an error."""


class QuietSink:
    """A sink that does nothing: a base for those that need few of its methods."""

    @property
    def wanted(self) -> Wanted:
        """No pictures."""
        return Wanted()

    @property
    def wants_originals(self) -> bool:
        """No originals."""
        return False

    @property
    def outputs(self) -> Mapping[str, str]:
        """Nothing is made."""
        return {}

    def begin(self, beginning: Beginning) -> None:
        """Nothing to get ready."""

    def take(self, fused: Fused) -> None:
        """Not used."""

    def drop(self, row: DropRow) -> None:
        """Not used."""

    def message(self, outgoing: Outgoing) -> None:
        """Not used."""

    def original(self, original: Original) -> None:
        """Not used."""

    def checkpoint(self) -> None:
        """Nothing is held back."""

    def finish(self) -> None:
        """Nothing to put together."""

    def close(self) -> None:
        """Nothing to free."""
