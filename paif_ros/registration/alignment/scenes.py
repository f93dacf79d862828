"""Pairs of pictures to calibrate with or to check: from folders or from a bag."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paif_ros.errors import CalibrationError, ImageFormatError
from paif_ros.images.messages import reader_of, stamp_of
from paif_ros.monitoring.accounting import Source
from paif_ros.registration.alignment.refusal import InputError
from paif_ros.registration.intrinsics import Intrinsics, Size, intrinsics_from_camera_info
from paif_ros.sync.pairing import Frame, Pair, Pairer
from paif_ros.thermal.agc import Agc
from paif_ros.thermal.ranges import ThermalConfig

U8 = NDArray[np.uint8]

FOLDERS = (('vi', 'ir'), ('visible', 'thermal'), ('visible', 'infrared'), ('color', 'thermal'))
COLOR_TOPIC, THERMAL_TOPIC = 'color/image_raw', 'thermal/image_raw'
_SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff')
_QUEUE = 64  # frames that wait for their partner; a recording has them out of order at times
_IMAGE, _COMPRESSED = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'
_INFO = 'sensor_msgs/msg/CameraInfo'


@dataclass(frozen=True, eq=False)
class Scenes:
    """Pairs that both cameras took at the same time.

    Attributes:
        origin: where they are from, in words.
        pairs: RGB uint8 [H, W, 3] and thermal uint8 [h, w] of each, all of one size per camera.
        visible_camera: lens of the RGB camera, None where nothing says it.
        thermal_camera: lens of the thermal camera, None where nothing says it.
    """

    origin: str
    pairs: list[tuple[U8, U8]]
    visible_camera: Intrinsics | None = None
    thermal_camera: Intrinsics | None = None

    def __post_init__(self) -> None:
        if not self.pairs:
            raise CalibrationError('pairs', f'0 in {self.origin}', 'one or more')
        for visible, thermal in self.pairs:
            if (visible.shape, thermal.shape) != tuple(side.shape for side in self.pairs[0]):
                raise CalibrationError(
                    'pairs', f'pictures of several sizes in {self.origin}', 'one size per camera'
                )

    @property
    def visible_size(self) -> Size:
        """Width and height of the RGB pictures."""
        height, width = self.pairs[0][0].shape[:2]
        return width, height

    @property
    def thermal_size(self) -> Size:
        """Width and height of the thermal pictures."""
        height, width = self.pairs[0][1].shape
        return width, height

    def __str__(self) -> str:
        sizes = [f'{wide}x{high}' for wide, high in (self.visible_size, self.thermal_size)]
        return f'{len(self.pairs)} pairs, RGB {sizes[0]}, thermal {sizes[1]}, from {self.origin}'


def to_grey(thermal: NDArray[Any]) -> U8:
    """Return a thermal picture as 8 bit by its own range, without regard to those before."""
    return Agc().apply(np.ascontiguousarray(thermal), ThermalConfig(), 0)


def spread(items: Sequence[Any], count: int) -> list[Any]:
    """Return up to `count` items, evenly spread over all."""
    if len(items) <= count:
        return list(items)
    return [items[index] for index in np.linspace(0, len(items) - 1, count).round().astype(int)]


def from_folder(folder: Path, count: int) -> Scenes:
    """Read pictures of equal names in two folders.

    Args:
        folder: with `vi` and `ir`, or `visible` and `thermal` (`infrared`), or `color` and
            `thermal`.
        count: how many pairs at most, spread over all.

    Raises:
        CalibrationError: there are no such folders, no pairs, or unreadable pictures.
    """
    for names in FOLDERS:
        sides = [folder / name for name in names]
        if all(side.is_dir() for side in sides):
            break
    else:
        known = ', '.join('+'.join(names) for names in FOLDERS)
        raise InputError('--folder', str(folder), f'two folders in it: {known}')
    found = [
        {path.stem: path for path in sorted(side.iterdir()) if path.suffix.lower() in _SUFFIXES}
        for side in sides
    ]
    names_of_both = sorted(set(found[0]) & set(found[1]))
    if not names_of_both:
        raise InputError('--folder', str(folder), 'pictures of equal names in both folders')
    chosen = spread(names_of_both, count)
    return Scenes(str(folder), [_read_pair(found[0][name], found[1][name]) for name in chosen])


def from_bag(
    bag: Path,
    count: int,
    *,
    color_topic: str = COLOR_TOPIC,
    thermal_topic: str = THERMAL_TOPIC,
    slop: float = 0.02,
    thermal_offset: float = 0.0,
) -> Scenes:
    """Read pairs of a ROS 2 bag, paired by stamps as the node does.

    Args:
        bag: folder of the bag, or a single mcap or db3 file.
        count: how many pairs at most, spread over the bag.
        color_topic: Image or CompressedImage of the RGB camera.
        thermal_topic: the same of the thermal camera.
        slop: largest difference of a pair's stamps, seconds.
        thermal_offset: seconds added to thermal stamps.

    Raises:
        CalibrationError: rosbags is not installed, or the bag has no such pairs.
    """
    try:
        from rosbags.highlevel import AnyReader
        from rosbags.typesys import Stores, get_typestore
    except ImportError as err:
        raise InputError(
            '--bag', 'without rosbags', '`pip install rosbags`, or play the bag and use --live'
        ) from err
    if not bag.exists():
        raise InputError('--bag', str(bag), 'a bag that is there')
    collector = Collector(slop, thermal_offset)
    try:
        with AnyReader([bag], default_typestore=get_typestore(Stores.ROS2_HUMBLE)) as reader:
            images = _connections(reader, color_topic, thermal_topic)
            for number, (source, message) in enumerate(_messages(reader, images)):
                collector.push(source, stamp_of(message), number)
            chosen = spread(collector.pairs, count)
            wanted = {number for pair in chosen for number in pair}
            pictures: dict[int, U8] = {}
            for number, (source, message) in enumerate(_messages(reader, images)):
                if number in wanted:
                    pictures[number] = decode(source, message)
            lenses = [_lens(reader, topic) for topic in (color_topic, thermal_topic)]
    except CalibrationError:
        raise
    except ImageFormatError as err:
        raise InputError('--bag', str(bag), f'readable images ({err})') from err
    except Exception as err:  # rosbags and the storage below it raise what they like
        reason = ' '.join(str(err).split())[:200]
        raise InputError('--bag', str(bag), f'a readable ROS 2 bag ({reason})') from err
    if not chosen:
        raise CalibrationError('pairs', collector.words(), 'other --slop or --thermal-offset')
    pairs = [(pictures[first], pictures[second]) for first, second in chosen]
    return Scenes(str(bag), pairs, *lenses)


class Collector:
    """Pairs whatever is pushed by its stamps, as the node does.

    Args:
        slop: largest difference of a pair's stamps, seconds.
        thermal_offset: seconds added to thermal stamps.
    """

    def __init__(self, slop: float, thermal_offset: float) -> None:
        self.pairs: list[tuple[Any, Any]] = []
        self.received = dict.fromkeys(Source, 0)
        self._slop = slop
        self._offset = round(thermal_offset * 1e9)
        self._pairer: Pairer[Any] = Pairer(round(slop * 1e9), _QUEUE, lambda *_: None)

    def push(self, source: Source, stamp: int, payload: Any) -> int:
        """Take a frame; return how many pairs it made.

        Args:
            source: its camera.
            stamp: nanoseconds.
            payload: what to find in `pairs`.
        """
        self.received[source] += 1
        if source is Source.THERMAL and stamp > 0:
            stamp += self._offset
        made: list[Pair[Any]] = self._pairer.push(Frame(source, stamp, 0, payload))
        self.pairs += [(pair.visible.payload, pair.thermal.payload) for pair in made]
        return len(made)

    def words(self) -> str:
        """Say what came, for an error."""
        counts = [self.received[source] for source in (Source.VISIBLE, Source.THERMAL)]
        skews = [abs(skew) / 1e6 for skew in self._pairer.last_skews]
        nearest = f', the nearest {min(skews):.1f} ms apart' if skews else ''
        return (
            f'0 of {counts[0]} RGB and {counts[1]} thermal frames within '
            f'{self._slop * 1e3:g} ms{nearest}'
        )


def decode(source: Source, message: Any) -> U8:
    """Return the picture of an Image or CompressedImage, RGB or 8 bit thermal.

    Raises:
        ImageFormatError: it can't be read.
    """
    reader = reader_of(message)
    if source is Source.VISIBLE:
        return reader.decode_visible(message)
    return to_grey(reader.decode_thermal(message))


def info_topic(topic: str) -> str:
    """Return where drivers put the camera_info of an image topic."""
    base = topic.removesuffix('/compressed')
    folder, slash, _ = base.rpartition('/')
    return f'{folder}{slash}camera_info'


def read_lens(info: Any) -> Intrinsics | None:
    """Return the lens that a camera_info says, None where it says none that can be right."""
    try:
        return intrinsics_from_camera_info(info)
    except CalibrationError:
        return None


def _read_pair(visible: Path, thermal: Path) -> tuple[U8, U8]:
    import cv2

    color: Any = cv2.imread(str(visible), cv2.IMREAD_COLOR)
    heat: Any = cv2.imread(str(thermal), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH)
    for path, picture in ((visible, color), (thermal, heat)):
        if picture is None:
            raise InputError('picture', str(path), 'one that OpenCV reads')
    try:
        return np.asarray(cv2.cvtColor(color, cv2.COLOR_BGR2RGB), np.uint8), to_grey(heat)
    except ImageFormatError as err:
        raise InputError('picture', str(thermal), f'8 or 16 bit grey ({err})') from err


def _absolute(topic: str) -> str:
    return topic if topic.startswith('/') else f'/{topic}'


def _connections(reader: Any, color: str, thermal: str) -> list[tuple[Source, Any]]:
    images = [c for c in reader.connections if c.msgtype in (_IMAGE, _COMPRESSED)]
    chosen = []
    options = ('--color-topic', '--thermal-topic')
    for source, option, topic in zip(Source, options, (color, thermal), strict=True):
        found = [c for c in images if c.topic == _absolute(topic)]
        if not found:
            there = ', '.join(sorted({c.topic for c in images})) or 'none'
            raise InputError(option, topic, f'an image topic of the bag, which are: {there}')
        chosen += [(source, connection) for connection in found]
    return chosen


def _messages(reader: Any, images: list[tuple[Source, Any]]) -> Iterator[tuple[Source, Any]]:
    sources = {connection.topic: source for source, connection in images}
    for connection, _, raw in reader.messages([connection for _, connection in images]):
        yield sources[connection.topic], reader.deserialize(raw, connection.msgtype)


def _lens(reader: Any, topic: str) -> Intrinsics | None:
    wanted = _absolute(info_topic(topic))
    found = [c for c in reader.connections if c.topic == wanted and c.msgtype == _INFO]
    for connection, _, raw in reader.messages(found) if found else ():
        return read_lens(_Lower(reader.deserialize(raw, connection.msgtype)))
    return None


class _Lower:
    """A CameraInfo whose K and D are found as k and d: ROS 1 and early ROS 2 bags shout."""

    def __init__(self, message: Any) -> None:
        self._message = message

    def __getattr__(self, name: str) -> Any:
        if name in ('k', 'd') and not hasattr(self._message, name):
            return getattr(self._message, name.upper())
        return getattr(self._message, name)
