"""The commands with which `fusion.launch.py bag:=PATH` replays a bag and records what comes out.

Nothing here needs ROS. The QoS files in config/ name every topic of the node as it is called by
default; here they get the names that a launch uses, since rosbag2 wants full ones.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paif_ros.errors import ParameterError
from paif_ros.pairs import image_remappings
from paif_ros.ros_packages import check_packages

NODE = '/fusion'
CLOCK_RATE = 100  # Hz of /clock; timers and rates of the node are no finer than that
SUFFIXES = ('.mcap', '.db3')
STATIC = ('/tf', '/tf_static')  # played for rviz, where the bag has them
PACKAGES = ('ros2bag', 'rosbag2_transport')  # whose absence means that rosbag2 is not installed


@dataclass(frozen=True)
class Names:
    """How a launch calls the topics.

    Attributes:
        namespace: of the node, with or without slashes.
        topics: any of `paif_ros.pairs.TOPICS`, as for `image_remappings`.
    """

    namespace: str = ''
    topics: Mapping[str, str] = field(default_factory=dict)

    def full(self, topic: str) -> str:
        """Return the full name of a topic as the node resolves it."""
        space = self.namespace.strip('/')
        start = f'/{space}' if space else ''
        if topic.startswith('/'):
            return topic
        if topic.startswith('~/'):
            return f'{start}{NODE}{topic[1:]}'
        return f'{start}/{topic}'

    def of(self, shipped: str) -> str:
        """Return what a topic of the shipped QoS files is called in this launch."""
        plain = shipped.removesuffix('/compressed')
        for default, given in image_remappings(self.topics):
            if plain == f'/{default}':
                return self.full(given) + shipped[len(plain) :]
        if shipped.startswith(f'{NODE}/'):
            return self.full(f'~{shipped[len(NODE) :]}')
        return shipped


def check_bag(path: str) -> Path:
    """Return the absolute path of a bag.

    Raises:
        ParameterError: there is none.
    """
    bag = Path(path).expanduser()
    if bag.is_dir():
        if (bag / 'metadata.yaml').is_file():
            return bag.resolve()
        raise ParameterError(
            'bag',
            path,
            'a bag with metadata.yaml; `ros2 bag reindex` makes it, and paif-replay needs none',
        )
    if bag.is_file() and bag.suffix in SUFFIXES:
        return bag.resolve()
    raise ParameterError(
        'bag', path, f'a folder of a ROS 2 bag, or a {" or ".join(SUFFIXES)} file'
    )


def check_installed(installed: Iterable[str], distro: str | None = None) -> None:
    """Refuse to go on without rosbag2.

    Args:
        installed: names of the ROS packages that are here.
        distro: such as 'jazzy'; ROS_DISTRO where None.

    Raises:
        ParameterError: it says what to install.
    """
    check_packages(
        'bag',
        PACKAGES,
        installed,
        debian=('rosbag2', 'rosbag2-storage-mcap'),
        instead='`ros2 run paif_ros replay BAG`, which needs neither rosbag2 nor a graph',
        distro=distro,
    )


def check_target(path: str, bag: Path) -> Path:
    """Return the absolute folder that outputs are recorded into.

    Args:
        path: as the user gave it; empty for BAG_outputs in the folder that we are in.
        bag: what is played.

    Raises:
        ParameterError: something is there already, which rosbag2 would refuse later.
    """
    target = Path(path).expanduser() if path else Path(f'{bag.stem}_outputs')
    if target.exists():
        raise ParameterError(
            'bag_out', str(target), 'a folder that is not there yet; move it, or name another'
        )
    return target.resolve()


def overrides(shipped: Path, names: Names) -> dict[str, Any]:
    """Return a shipped QoS file with the names of this launch."""
    import yaml

    tree = yaml.safe_load(shipped.read_text('utf-8'))
    return {names.of(topic): policies for topic, policies in tree.items()}


def write_overrides(shipped: Path, names: Names) -> Path:
    """Write `overrides` into a file for rosbag2. The file stays, for rosbag2 opens it later."""
    import yaml

    with tempfile.NamedTemporaryFile(
        'w', prefix='paif_ros_qos_', suffix='.yaml', delete=False, encoding='utf-8'
    ) as file:
        yaml.safe_dump(overrides(shipped, names), file)
    return Path(file.name)


def play_command(bag: Path, qos: Path, names: Names, rate: str = '1.0') -> list[str]:
    """Return the player's command: the cameras of the bag alone, with /clock.

    What a node has published into the bag stays out: it would come beside what this one publishes.

    Args:
        bag: of `check_bag`.
        qos: of `write_overrides`.
        names: of this launch.
        rate: as the user gave it; 1 is as fast as it was recorded.

    Raises:
        ParameterError: the rate is no number above 0.
    """
    try:
        times = float(rate)
    except ValueError:
        times = math.nan
    if not 0 < times < math.inf:
        raise ParameterError('bag_rate', rate, 'a number above 0')
    cameras = [topic for _, topic in image_remappings(names.topics)]
    images = [f'{topic}/compressed' for topic in cameras if not topic.endswith('camera_info')]
    topics = [names.full(topic) for topic in (*cameras, *images)]
    return [
        *('ros2', 'bag', 'play', str(bag), '--clock', str(CLOCK_RATE), '--rate', f'{times:g}'),
        *('--qos-profile-overrides-path', str(qos), '--topics', *topics, *STATIC),
    ]


def record_command(target: Path, qos: Path, shipped: Path, names: Names) -> list[str]:
    """Return the recorder's command: every output of the node, and /diagnostics.

    Args:
        target: of `check_target`.
        qos: of `write_overrides`.
        shipped: config/rosbag2_record_qos.yaml, which names all topics.
        names: of this launch.
    """
    import yaml

    known = yaml.safe_load(shipped.read_text('utf-8'))
    outputs = [
        names.of(topic)
        for topic in known
        if topic == '/diagnostics'
        or (topic.startswith(f'{NODE}/') and not topic.endswith('/compressed'))
    ]
    # Topics at the end and without --topics: Humble has no such option.
    return [
        *('ros2', 'bag', 'record', '-o', str(target)),
        *('--qos-profile-overrides-path', str(qos), *outputs),
    ]
