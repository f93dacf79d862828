"""`paif-rerun`, `ros2 run paif_ros rerun`: logs a running node to Rerun, from its own process."""

from __future__ import annotations

import argparse
import sys
import threading
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

from paif_ros.command_line import add_version
from paif_ros.errors import ImageFormatError
from paif_ros.fusion.outgoing import PICTURES
from paif_ros.images.messages import reader_of, stamp_of
from paif_ros.monitoring.statistics import STAGES
from paif_ros.view.classes import ClassesClient
from paif_ros.view.listening import StartError, listening, resolve, spin, stop_event
from paif_ros.view.rerun_logger import VIEWER, RerunLogger, Target
from paif_ros.view.status import NodeStatus, fusion_statuses

DONE, FAILED = 0, 1  # exit codes; argparse ends with 2
LOOK_SECONDS = 0.1
LEVELS = {'OK': 'INFO', 'WARN': 'WARN', 'ERROR': 'ERROR', 'STALE': 'WARN'}
EXAMPLES = """
examples:
  into a file, until Ctrl-C:
    paif-rerun --save drive.rrd            # then: rerun drive.rrd
  to a viewer on this computer, which listens to this computer only:
    rerun --bind 127.0.0.1 &
    paif-rerun --connect
  a robot to a viewer at your desk, through ssh:
    rerun --bind 127.0.0.1 &  ssh -R 9876:127.0.0.1:9876 robot paif-rerun --connect
ROS arguments follow --ros-args. Exit codes: 0 stopped, 1 could not start, 2 wrong arguments.
"""


class NodeLogger:
    """Subscribes to a node, best effort so that it can't hold it up, and logs what comes.

    Args:
        node: an rclpy node of ours.
        fusion: full name of the fusion node.
        color_topic: full name of the RGB camera's.
        logger: takes everything.
        rate: pictures of each kind a second at most.
    """

    def __init__(
        self, node: Any, fusion: str, color_topic: str, logger: RerunLogger, rate: float
    ) -> None:
        from diagnostic_msgs.msg import DiagnosticArray
        from rclpy.qos import QoSProfile, ReliabilityPolicy
        from sensor_msgs.msg import Image

        self.pictures = 0
        self._logger, self._fusion = logger, fusion
        self._period = 1.0 / rate
        self._due: dict[str, float] = {}
        self._classes = ClassesClient(node, fusion)
        self._told = ''
        self._said = ('', '')
        topics = {
            name: PICTURES[name].name.replace('~', fusion, 1)
            for name in ('fused', 'thermal', 'mask')
        }
        topics['rgb'] = color_topic
        profile = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        for name, topic in topics.items():
            node.create_subscription(Image, topic, partial(self._take, name), profile)
        node.create_subscription(DiagnosticArray, '/diagnostics', self._diagnose, 10)

    def look(self) -> None:
        """Ask for the classes, and log them where they are new. Called now and then."""
        self._classes.look()
        if self._classes.text != self._told:
            self._told = self._classes.text
            labels = self._classes.labels
            self._logger.classes(labels)
            print(f'paif-rerun: classes {", ".join(one.name for one in labels)}', flush=True)

    def _take(self, name: str, message: Any) -> None:
        now = monotonic()
        if now < self._due.get(name, 0.0):
            return
        self._due[name] = now + self._period
        try:
            if name == 'mask':
                pixels = reader_of(message).decode_thermal(message)
            else:
                pixels = reader_of(message).decode_visible(message)
        except ImageFormatError as err:
            self._logger.say(f'{name}: {err}', 'WARN')
            return
        self._logger.at(stamp_of(message))
        if name == 'mask':
            self._logger.mask(pixels)
        else:
            self._logger.picture(name, pixels)
        self.pictures += 1

    def _diagnose(self, message: Any) -> None:
        for status in fusion_statuses(message):
            if status.node == self._fusion:
                self._logger.at(stamp_of(message))
                self._log(status)

    def _log(self, status: NodeStatus) -> None:
        values = status.values
        self._logger.scalars('latency', _picked(values, STAGES, 'latency.{}.p50_ms'))
        self._logger.scalars('latency', _picked(values, ('total',), 'latency.{}.p99_ms', '_p99'))
        self._logger.scalars(
            'rates', _picked(values, ('results', 'visible', 'thermal'), '{}.rate_hz')
        )
        self._logger.scalars('skew', _picked(values, ('p50', 'p99'), 'skew.{}_ms'))
        self._logger.scalars('agc', _picked(values, ('low', 'high'), 'thermal.agc.{}'))
        if (said := (status.level, status.message)) != self._said:
            self._said = said
            self._logger.say(f'{status.level}: {status.message}', LEVELS[status.level])


def _picked(values: Any, names: tuple[str, ...], key: str, suffix: str = '') -> dict[str, float]:
    """Return the numbers of diagnostic keys made of names."""
    found = {}
    for name in names:
        try:
            found[name + suffix] = float(values.get(key.format(name), 'nan'))
        except ValueError:
            continue
    return found


def main(argv: list[str] | None = None) -> None:
    """Log until SIGINT or SIGTERM. Exits with 0, with 1 where it can't start, 2 for arguments.

    Args:
        argv: the arguments without the program's name, those of the process where None.
    """
    from paif_ros.registration.alignment.arguments import split_ros

    stop = stop_event()
    own, ros_args = split_ros(sys.argv[1:] if argv is None else argv)
    args = _parser().parse_args(own)
    try:
        pictures = _run(args, ros_args, stop)
    except StartError as err:
        print(f'paif-rerun: {err}', file=sys.stderr)
        sys.exit(FAILED)
    print(f'paif-rerun: logged {pictures} pictures')
    sys.exit(DONE)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='paif-rerun',
        description='Log a running fusion node to Rerun: pictures, classes, latency.',
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_version(parser)
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument('--save', type=Path, metavar='FILE', help='write an .rrd file')
    target.add_argument(
        '--connect', nargs='?', const=VIEWER, metavar='URL', help=f'a running viewer ({VIEWER})'
    )
    parser.add_argument('--node', default='fusion', help='name of the node (%(default)s)')
    parser.add_argument(
        '--color-topic', default='color/image_raw', help='the RGB images (%(default)s)'
    )
    parser.add_argument(
        '--rate', type=_rate, default=10.0, help='pictures a second at most (%(default)s)'
    )
    return parser


def _rate(text: str) -> float:
    value = float(text)
    if not 0.01 <= value <= 1000:
        raise argparse.ArgumentTypeError(f'{text!r}, expected 0.01 to 1000')
    return value


def _run(args: argparse.Namespace, ros_args: list[str], stop: threading.Event) -> int:
    target = Target(file=args.save) if args.save is not None else Target(url=args.connect)
    logger = RerunLogger(target)
    try:
        with listening('paif_rerun', ros_args) as node:
            fusion = resolve(node, '--node', args.node)
            color = resolve(node, '--color-topic', args.color_topic)
            logged = NodeLogger(node, fusion, color, logger, args.rate)
            print(f'paif-rerun: logging {fusion} to {args.save or args.connect}', flush=True)
            spin(node, stop.is_set, {LOOK_SECONDS: logged.look})
            return logged.pictures
    finally:
        logger.close()


if __name__ == '__main__':
    main()
