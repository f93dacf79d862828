"""Small recordings, and replays of them in this process."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from paif_ros.images.compressed import encode
from paif_ros.monitoring.notices import Level
from paif_ros.replay import messages
from paif_ros.replay.options import Inputs, Options, Task
from paif_ros.replay.parameter_files import read_parameters
from paif_ros.replay.record import RunRecord
from paif_ros.replay.run import Run
from paif_ros.replay.work import Done, work

START = 1_700_000_000 * 10**9
PERIOD = 10**8
SIZE = (48, 64)
COLOR, THERMAL = '/color/image_raw', '/thermal/image_raw'
INFO, NOTE = '/color/camera_info', '/note'
STRING = 'std_msgs/msg/String'
PLUGINS = {'mcap': StoragePlugin.MCAP, 'sqlite3': StoragePlugin.SQLITE3}


def pictures(number: int, size: tuple[int, int] = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """RGB and 16-bit thermal picture number so-and-so; the thermal range drifts."""
    random = np.random.default_rng(number)
    color = random.integers(0, 256, (*size, 3), np.uint8)
    heat = random.integers(20_000, 24_000 + 40 * number, size).astype(np.uint16)
    return color, heat


def camera_info(stamp: int, size: tuple[int, int] = SIZE) -> Any:
    """A camera_info that tells its stamp."""
    types = messages.store().types
    k = np.array([100.0 + stamp % 997, 0, 32, 0, 100, 24, 0, 0, 1])
    return types['sensor_msgs/msg/CameraInfo'](
        messages.header(stamp, 'rgb'), *size, 'plumb_bob', np.zeros(5), k, np.eye(3).ravel(),
        np.zeros(12), 0, 0, types['sensor_msgs/msg/RegionOfInterest'](0, 0, 0, 0, False),
    )  # fmt: skip


def recording(
    count: int, *, small: bool = False, skew: int = 10**6, first: int = 0, size: Any = SIZE
) -> list[tuple[str, str, int, Any]]:
    """Topic, type, time and message of every message of a recording, in order.

    The RGB camera's camera_info comes a little after its picture, as drivers send it.
    """
    rows: list[tuple[str, str, int, Any]] = []
    for number in range(first, first + count):
        color, heat = pictures(number, size)
        stamp = START + number * PERIOD
        if small:
            kinds = [('/compressed', messages.COMPRESSED)] * 2
            seen = messages.compressed_image(
                encode(color, 'rgb8', 'png')[1].tobytes(), 'png', stamp, 'rgb'
            )
            felt = messages.compressed_image(
                encode(heat, 'mono16', 'png')[1].tobytes(), 'png', stamp + skew, 'ir'
            )
        else:
            kinds = [('', messages.IMAGE)] * 2
            seen = messages.image(color, 'rgb8', stamp, 'rgb')
            felt = messages.image(heat, 'mono16', stamp + skew, 'ir')
        rows += [
            (COLOR + kinds[0][0], kinds[0][1], stamp, seen),
            (NOTE, STRING, stamp, messages.store().types[STRING](f'note {number}')),
            (THERMAL + kinds[1][0], kinds[1][1], stamp + skew, felt),
            (INFO, messages.CAMERA_INFO, stamp + skew + 10**6, camera_info(stamp, size)),
        ]
    return rows


def write_bag(
    path: Path,
    rows: list[tuple[str, str, int, Any]],
    storage: str = 'mcap',
    mode: CompressionMode = CompressionMode.NONE,
) -> Path:
    """Write them as a bag."""
    writer = Writer(path, version=8, storage_plugin=PLUGINS[storage])
    writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        topics: dict[str, Any] = {}
        for topic, kind, when, message in rows:
            if topic not in topics:
                topics[topic] = writer.add_connection(topic, kind, typestore=messages.store())
            data = messages.store().serialize_cdr(message, kind)
            writer.write(topics[topic], when, data)
    return path


def read_bag(path: Path) -> dict[str, list[tuple[int, Any]]]:
    """Messages by topic with their times, by the rosbags library's own reader."""
    found: dict[str, list[tuple[int, Any]]] = {}
    with AnyReader([path], default_typestore=messages.store()) as reader:
        for connection, when, raw in reader.messages():
            message = reader.deserialize(raw, connection.msgtype)
            found.setdefault(connection.topic, []).append((when, message))
    return found


def raw_bag(path: Path, but: tuple[str, ...] = ('/diagnostics',)) -> list[tuple[str, int, bytes]]:
    """Topic, time and bytes of every message. Diagnostics hold times that were measured."""
    with AnyReader([path], default_typestore=messages.store()) as reader:
        return [
            (connection.topic, when, bytes(raw))
            for connection, when, raw in reader.messages()
            if connection.topic not in but
        ]


def options(model: Path, *parameters: str, **more: Any) -> Options:
    """Options of a replay; parameters as name:=value."""
    values = read_parameters((), ('engine.threads:=1', *parameters), str(model))
    return Options(values, **{'topics': ('fused', 'mask'), **more})


def task(recorded: Path, folder: Path, opts: Options, **more: Any) -> Task:
    return Task(Inputs((str(recorded),)), str(folder), opts, **more)


class Silent:
    """A progress that counts."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int]] = []
        self.span: int | None = None

    def begin(self, name: str, span_ns: int | None) -> None:
        self.span = span_ns

    def update(self, done_ns: int, results: int) -> None:
        self.calls.append((done_ns, results))

    def end(self) -> None:
        pass


def run(todo: Task, stop_after: int | None = None, **more: Any) -> tuple[RunRecord, list[str]]:
    """Do a task here; `stop_after` so many messages. Returns its record and what was said."""
    said: list[str] = []
    left = [stop_after]

    def stopped() -> bool:
        if left[0] is None:
            return False
        left[0] -= 1
        return left[0] < 0

    def say(level: Level, text: str) -> None:
        said.append(f'{level.value}: {text}')

    return Run(todo, say, Silent(), stopped, **more).run(), said


def die_after(messages_taken: int) -> Callable[[], bool]:
    """Ends this process by kill -9 when so many messages were taken."""
    taken = [0]

    def stopped() -> bool:
        taken[0] += 1
        if taken[0] > messages_taken:
            os.kill(os.getpid(), signal.SIGKILL)
        return False

    return stopped


def work_that_dies_once(todo: Task, resume: bool) -> Done:
    """Work on the recording 'long', or its first stretch, whose first process is killed."""
    folder = Path(todo.folder)
    marker = folder.parents[1] / f'{folder.name}.died'
    if folder.name in ('long', '00000') and not marker.exists():
        folder.mkdir(parents=True, exist_ok=True)
        marker.write_text(str(os.getpid()))
        Run(todo, lambda *_: None, Silent(), die_after(9)).run()
    return work(todo, resume)
