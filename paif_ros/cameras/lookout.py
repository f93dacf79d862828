"""Keeps an eye on both cameras: what they send, whether they have stopped, what gets lost.

Whatever is wrong is said in the log, with the topic and the next thing to do, and kept as state
for the diagnostics.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from time import monotonic_ns
from typing import Any

from paif_ros.cameras.freeze import FreezeDetector
from paif_ros.cameras.watch import CameraWatch
from paif_ros.images.messages import NS, is_compressed, is_false_colour
from paif_ros.monitoring.accounting import Source
from paif_ros.monitoring.notices import Level, Notices
from paif_ros.sync.skews import clock_difference

MINUTE = 60.0
ALIKE = 0.02  # part by which two aspect ratios may differ
APART_NS = NS // 10  # clocks further apart than this make pairs of the wrong frames
LOST = (
    'Fast DDS by default loses large images between processes: set config/fastdds_shm.xml in this '
    'process and in the camera driver (README, "Images between processes")'
)


@dataclass(frozen=True)
class CameraState:
    """What is to be said of one camera.

    Attributes:
        silent: ns since its last good frame, or since the activation where none came yet.
        stopped: whether that is longer than sync.timeout.
        missed: frames that must have been lost on the way, going by gaps in their stamps.
        losing: figures where many are lost now, else empty.
        waiting: frames that wait for a partner.
        frozen: ns that it has been sending the same picture, 0 where it does not.
        freezes: how often it has.
    """

    silent: int
    stopped: bool
    missed: int
    losing: str
    waiting: int
    frozen: int
    freezes: int

    @property
    def at_rest(self) -> CameraState:
        """The same while nobody looks at the camera: only the counts still hold."""
        return replace(self, silent=0, stopped=False, losing='', waiting=0, frozen=0)


class Lookout:
    """Watches both cameras from an activation on. For the executor's thread.

    Args:
        topics: the topic of each camera, for texts.
        why_silent: says why no images of a camera come at all.
        timeout: ns of silence after which a camera has stopped.
        notices: says what is wrong.
        clock: ns of the clock that times of receipt are of; it never goes back.
    """

    def __init__(
        self,
        topics: Mapping[Source, str],
        why_silent: Callable[[Source], str],
        timeout: int,
        notices: Notices,
        clock: Callable[[], int] = monotonic_ns,
    ) -> None:
        self._clock = clock
        self._topics = topics
        self._why_silent = why_silent
        self._notices = notices
        self._watches = {source: CameraWatch(timeout) for source in Source}
        for watch in self._watches.values():
            watch.start(self._clock())
        self._freeze = FreezeDetector()
        self._thermal_stamp = 0
        self._formats: dict[Source, str] = {}
        self._aspects: dict[Source, float] = {}  # width to height, of raw images
        self._down: set[Source] = set()  # cameras whose stop was said

    def set_timeout(self, timeout: int) -> None:
        """Change the ns of silence after which a camera has stopped."""
        for watch in self._watches.values():
            watch.timeout = timeout

    def frame(self, source: Source, message: Any, stamp: int, received: int) -> bool:
        """Take note of a good frame.

        Args:
            source: its camera.
            message: sensor_msgs Image or CompressedImage.
            stamp: as it is paired by, in ns.
            received: monotonic ns.

        Returns:
            Whether the camera has been sending this same picture for a while.
        """
        self._watches[source].frame(stamp, received)
        self._say_format(source, message)
        if source is not Source.THERMAL:
            return False
        self._thermal_stamp = stamp
        return self._freeze.update(message.data, stamp)

    def info(self, source: Source, stamp: int) -> None:
        """Take note of a camera_info, so small that it gets through: it tells of lost images."""
        self._watches[source].info(stamp, self._clock())

    def stopped(self, source: Source, now: int) -> bool:
        """Whether a camera has stopped at this monotonic time in ns."""
        return self._watches[source].stopped(now)

    def set_thermal_clock(self) -> None:
        """Take note that thermal stamps are corrected by another offset from now on."""
        self._watches[Source.THERMAL].set_clock()

    def watch(self, source: Source) -> CameraWatch:
        """What is known of a camera's stamps."""
        return self._watches[source]

    @property
    def clock_difference(self) -> int | None:
        """By how many ns thermal stamps are older than RGB ones that come in with them."""
        visible, thermal = (self._watches[source] for source in Source)
        return clock_difference(visible, thermal)

    @property
    def both_send(self) -> bool:
        """Whether good frames of both cameras come."""
        now = self._clock()
        return len(self._formats) == len(Source) and not any(
            watch.stopped(now) for watch in self._watches.values()
        )

    @property
    def trace(self) -> tuple[object, ...]:
        """All that later jobs depend on, as plain values."""
        now = self._clock()
        stopped = [watch.stopped(now) for watch in self._watches.values()]
        return (stopped, self._freeze.frozen_since)

    def state(self, source: Source, waiting: int) -> CameraState:
        """Describe a camera.

        Args:
            source: the camera.
            waiting: its frames that wait for a partner.
        """
        now, watch = self._clock(), self._watches[source]
        thermal, frozen = source is Source.THERMAL, 0
        stopped = watch.stopped(now)
        if thermal and self._freeze.frozen_since is not None and not stopped:
            frozen = self._thermal_stamp - self._freeze.frozen_since
        return CameraState(
            silent=watch.silent_for(now) or 0,
            stopped=stopped,
            missed=watch.missed,
            losing=watch.losing(now) or '',
            waiting=waiting,
            frozen=frozen,
            freezes=self._freeze.count if thermal else 0,
        )

    def look(self, paired_by_stamp: bool, degrade: bool) -> None:
        """Say what is wrong. To be called once or twice a second.

        Args:
            paired_by_stamp: whether a clock that is off makes wrong pairs.
            degrade: whether results of one camera alone are published meanwhile.
        """
        now = self._clock()
        for source in Source:
            self._say_stopped(source, now, degrade)
            if losing := self._watches[source].losing(now):
                text = f'{source}: {losing}. {LOST}'
                self._notices.now_and_then(Level.WARN, f'losing.{source}', text, MINUTE)

        apart = self.clock_difference or 0
        if paired_by_stamp and abs(apart) > APART_NS:
            self._notices.once(
                Level.WARN,
                'clocks',
                f'thermal stamps are {apart / NS:.3f} s behind those of RGB frames that arrive '
                'with them, so pairs may be of the wrong frames: add that to '
                'sync.thermal_offset, or set the clocks',
            )

    def say_stretched(self) -> None:
        """Say that the pictures differ in shape; to be asked where nothing registers them."""
        if len(self._aspects) == len(Source):
            visible, thermal = (self._aspects[source] for source in Source)
            if abs(visible / thermal - 1) > ALIKE:
                self._notices.once(
                    Level.WARN,
                    'stretched',
                    f'the RGB picture is {visible:.2f} times as wide as high, the thermal one '
                    f'{thermal:.2f}: without registration one is stretched to the other, and '
                    'things lie apart. Calibrate with `ros2 run paif_ros calibrate`',
                )

    def _say_stopped(self, source: Source, now: int, degrade: bool) -> None:
        watch, topic = self._watches[source], self._topics[source]
        stopped = watch.stopped(now)
        if stopped == (source in self._down):
            return
        if not stopped:
            self._down.discard(source)
            self._notices.say(Level.INFO, f'{source} camera: images come on {topic}')
            return
        self._down.add(source)
        if source in self._formats:
            silence = (watch.silent_for(now) or 0) / NS
            text = f'{source} camera stopped: no image on {topic} for {silence:.1f} s'
        else:
            text = f'no images on {topic}: {self._why_silent(source)}'
        if degrade and not self._watches[source.other].stopped(now):
            text += f'. Results are of the {source.other} camera alone until it is back'
        self._notices.say(Level.ERROR, text)

    def _say_format(self, source: Source, message: Any) -> None:
        """Say when a camera begins to send something else than before."""
        if is_compressed(message):
            kind = message.format
        else:
            kind = f'{message.width}x{message.height} {message.encoding}'
            self._aspects[source] = message.width / message.height
        before = self._formats.get(source)
        if kind == before:
            return
        self._formats[source] = kind
        if before is not None:
            text = f'{source} images are {kind} from now on, they were {before}'
            self._notices.now_and_then(Level.INFO, f'format.{source}', text)
        if source is Source.THERMAL and is_false_colour(message):
            self._notices.once(
                Level.WARN,
                'false_colour',
                f'{self._topics[source]} sends a coloured picture ({kind}): its '
                'brightness is taken, which is not the temperature. Set the camera driver to '
                'mono16',
            )
