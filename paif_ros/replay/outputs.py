"""Hands each result to every sink, as the node hands it to its topics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from time import monotonic_ns
from typing import Any

from paif_ros.fusion.jobs import Job
from paif_ros.fusion.outgoing import (
    FUSED_INFO,
    PICTURES,
    CameraInfos,
    fused_camera_info,
    job_infos,
    picture_messages,
)
from paif_ros.fusion.pipeline import Infos
from paif_ros.fusion.results import Result, Wanted
from paif_ros.monitoring.accounting import Source
from paif_ros.replay.feed import CAMERA_INFO, COMPRESSED, IMAGE
from paif_ros.replay.messages import RosbagsMaker
from paif_ros.replay.options import Options
from paif_ros.replay.record import FrameRow
from paif_ros.replay.sinks import Fused, Outgoing, Sink

Describe = Callable[[Job, Result, int], FrameRow]
"""Makes the line of a result; the last argument is the ns that its messages took."""


class Outputs:
    """The runner's sink: makes the messages of a result and gives all to the sinks.

    Args:
        sinks: take the results.
        options: which messages are made.
        clock: ns in the recording.
        describe: makes the line of frames.csv.
    """

    def __init__(
        self,
        sinks: Sequence[Sink],
        options: Options,
        clock: Callable[[], int],
        describe: Describe,
    ) -> None:
        self._sinks = sinks
        self._options = options
        self._clock = clock
        self._describe = describe
        self._kept = {source: CameraInfos() for source in Source}
        self._quality = options.values.output.jpeg_quality
        wanted = {'mask'}  # for the shares of the classes
        for sink in sinks:
            wanted |= {f.name for f in fields(Wanted) if getattr(sink.wanted, f.name)}
        self._wanted = Wanted(**dict.fromkeys(wanted, True))
        self.row: FrameRow | None = None  # of the last result
        self.write_ns = 0  # that the sinks took for it
        self.failure: Exception | None = None  # of a sink

    def name_of(self, topic: str) -> str:
        """Return the full name of one of the node's topics."""
        return topic.replace('~', self._options.node, 1)

    def add_info(self, source: Source, info: Any) -> None:
        """Keep a camera's camera_info for its picture."""
        self._kept[source].add(info)

    def wanted(self) -> Wanted:
        """Return the pictures that any sink needs."""
        return self._wanted

    def infos(self, job: Job) -> Infos:
        """Return the camera_info messages that belong to a job."""
        return job_infos(self._kept, job)

    def pack(self, job: Job, result: Result) -> Fused:
        """Make the messages and the line of a result."""
        begun, now = monotonic_ns(), self._clock()
        messages = [
            Outgoing(self._topic(picture, small), COMPRESSED if small else IMAGE, message, now)
            for picture, small, message in picture_messages(
                job, result, self._heard, RosbagsMaker(), self._quality
            )
        ]
        if self._options.storage != 'none':
            info = fused_camera_info(self._kept, job, result)
            if info is not None:
                messages.append(Outgoing(self.name_of(FUSED_INFO), CAMERA_INFO, info, now))
        row = self._describe(job, result, monotonic_ns() - begun)
        return Fused(row, job, result, tuple(messages))

    def send(self, packed: Fused) -> None:
        """Give a result to every sink."""
        begun = monotonic_ns()
        try:
            for sink in self._sinks:
                sink.take(packed)
        except Exception as err:
            self.failure = err
            raise
        self.row, self.write_ns = packed.row, monotonic_ns() - begun

    def _topic(self, picture: str, small: bool) -> str:
        name = self.name_of(PICTURES[picture].name)
        return f'{name}/compressed' if small else name

    def _heard(self, picture: str, small: bool) -> bool:
        ways: tuple[str, ...] = ('compressed', 'both') if small else ('raw', 'both')
        if not small and not PICTURES[picture].compressed:
            ways = ('raw', 'compressed', 'both')  # there is no other way for it
        fits = picture in self._options.topics and self._options.transport in ways
        return fits and self._options.storage != 'none'
