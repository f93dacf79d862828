"""What a replay is asked for, as one frozen value that also goes to other processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from paif_ros.parameters import Parameters, Value

STORAGES = ('mcap', 'sqlite3', 'none')
TRANSPORTS = ('raw', 'compressed', 'both')


@dataclass(frozen=True)
class Inputs:
    """One recording.

    Attributes:
        paths: of a bag, or the RGB and the thermal film or folder.
        topics: by role, where the user names them, see `choice.choose`.
        rate: pictures or frames per second; 0 for the recording's own times.
    """

    paths: tuple[str, ...]
    topics: Mapping[str, str] = field(default_factory=dict)
    rate: float = 0.0

    @property
    def name(self) -> str:
        """A name for a folder."""
        path = Path(self.paths[0]).absolute()
        return path.name.removesuffix('.zstd').removesuffix('.mcap').removesuffix('.db3')


@dataclass(frozen=True)
class Options:
    """What comes out, and how.

    Attributes:
        parameters: of the node, every one by dotted name, checked.
        node: full name of the node that the outputs are to be of.
        storage: of the bag that is written, one of `STORAGES`.
        compress: whether an mcap's chunks are compressed (zstd).
        copy: whether the recording's own messages go into it too.
        topics: pictures that go into it, names as in `Wanted`.
        transport: whether as Image, CompressedImage, or both.
        mosaic: of the film, such as 'rgb,thermal/fused,overlay'; '' for no film.
        pictures: names of pictures that are written as PNG files.
        report: whether a report is written, for which key frames are kept.
        rerun: where Rerun's log goes: 'files', the address of a viewer, or '' for nowhere.
        checkpoint: seconds of work after which what was made is safe from a crash.
    """

    parameters: Mapping[str, Value]
    node: str = '/fusion'
    storage: str = 'mcap'
    compress: bool = False
    copy: bool = False
    topics: tuple[str, ...] = ()
    transport: str = 'raw'
    mosaic: str = ''
    pictures: tuple[str, ...] = ()
    report: bool = False
    rerun: str = ''
    checkpoint: float = 30.0

    @property
    def values(self) -> Parameters:
        """The parameters, grouped."""
        return Parameters.from_values(self.parameters)

    @property
    def told(self) -> dict[str, Any]:
        """What of them changes what comes out, beside the parameters."""
        told = asdict(self)
        del told['parameters'], told['checkpoint']
        return {key: list(v) if isinstance(v, tuple) else v for key, v in told.items()}


@dataclass(frozen=True)
class Task:
    """One recording, or a stretch of it, to be replayed into one folder.

    Attributes:
        inputs: the recording.
        folder: of the run.
        options: what comes out.
        start: time in the recording from which on results are made, ns; None from its beginning.
        stop: time before which they are made, ns; None up to its end.
        lead: time from which on the recording is read to get into step before `start`, ns; None
            for its beginning.
        command: command line, for the record.
    """

    inputs: Inputs
    folder: str
    options: Options
    start: int | None = None
    stop: int | None = None
    lead: int | None = None
    command: tuple[str, ...] = ()
