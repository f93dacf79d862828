"""The arguments that both commands take: where the pictures are from."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from paif_ros.registration.alignment.refusal import InputError
from paif_ros.registration.alignment.scenes import (
    COLOR_TOPIC,
    THERMAL_TOPIC,
    Scenes,
    from_bag,
    from_folder,
)

FINE, FAILED, WRONG = 0, 1, 2  # exit codes; argparse's own for wrong arguments is 2


def add_scenes(parser: argparse.ArgumentParser, pairs: int) -> None:
    """Add the arguments of `read_scenes`.

    Args:
        parser: to add to.
        pairs: how many pairs are taken by default.
    """
    group = parser.add_argument_group('pictures (one of --bag, --folder and --live)')
    one = group.add_mutually_exclusive_group(required=True)
    one.add_argument('--bag', type=Path, help='ROS 2 bag with both image topics')
    one.add_argument(
        '--folder',
        type=Path,
        help='folder with vi/ and ir/, or visible/ and thermal/: equal names',
    )
    one.add_argument('--live', action='store_true', help='take pairs from running cameras')
    group.add_argument('--color-topic', default=COLOR_TOPIC, help='RGB images (%(default)s)')
    group.add_argument('--thermal-topic', default=THERMAL_TOPIC, help='thermal ones (%(default)s)')
    group.add_argument(
        '--count', type=_count, default=pairs, metavar='PAIRS',
        help='how many pairs are taken (%(default)s)',
    )  # fmt: skip
    group.add_argument(
        '--slop', type=_seconds, default=0.02,
        help='largest difference of stamps in seconds (%(default)s)',
    )  # fmt: skip
    group.add_argument(
        '--thermal-offset', type=_offset, default=0.0, help='seconds added to thermal stamps'
    )
    group.add_argument(
        '--interval', type=_seconds, default=1.0,
        help='seconds between live pairs, to move the board or the robot (%(default)s)',
    )  # fmt: skip
    group.add_argument(
        '--timeout', type=_seconds, default=30.0,
        help='seconds to wait for the next live pair (%(default)s)',
    )  # fmt: skip


def check_scenes(args: argparse.Namespace) -> None:
    """Refuse topics that ROS 2 would not take, before anything is waited for.

    Args:
        args: parsed.

    Raises:
        InputError: one of them.
    """
    if args.live:
        from paif_ros.registration.alignment.live import check_topic

        check_topic('--color-topic', args.color_topic)
        check_topic('--thermal-topic', args.thermal_topic)


def read_scenes(args: argparse.Namespace, ros_args: list[str]) -> Scenes:
    """Read the pairs that the arguments ask for.

    Args:
        args: parsed.
        ros_args: for rclpy.

    Raises:
        CalibrationError: there are none.
    """
    if args.folder is not None:
        return from_folder(args.folder, args.count)
    if args.bag is not None:
        return from_bag(
            args.bag, args.count, color_topic=args.color_topic, thermal_topic=args.thermal_topic,
            slop=args.slop, thermal_offset=args.thermal_offset,
        )  # fmt: skip
    from paif_ros.registration.alignment.live import from_topics

    return from_topics(
        args.count, color_topic=args.color_topic, thermal_topic=args.thermal_topic,
        slop=args.slop, thermal_offset=args.thermal_offset, interval=args.interval,
        timeout=args.timeout, ros_args=ros_args,
    )  # fmt: skip


def split_ros(argv: list[str]) -> tuple[list[str], list[str]]:
    """Return a command line's own arguments, and those for ROS: --ros-args to -- or the end."""
    if '--ros-args' not in argv:
        return argv, []
    start = argv.index('--ros-args')
    end = argv.index('--', start) + 1 if '--' in argv[start:] else len(argv)
    return argv[:start] + argv[end:], argv[start:end]


def check_picture(path: Path) -> None:
    """Refuse a picture that could not be written at the end of the work.

    Raises:
        InputError: its name or folder can't be right.
    """
    if path.suffix.lower() not in ('.png', '.jpg', '.jpeg') or not path.parent.is_dir():
        raise InputError('--overlay', str(path), 'a .png or .jpg in a folder that is there')


def pixels(text: str) -> float:
    """Return a number of pixels above 0, of an argument."""
    value = _number(text)
    if value <= 0.0:
        raise argparse.ArgumentTypeError(f'{text} is not above 0 pixels')
    return value


def metres(text: str) -> float:
    """Return a number of metres above 0, of an argument."""
    value = _number(text)
    if value <= 0.0:
        raise argparse.ArgumentTypeError(f'{text} is not above 0 metres')
    return value


def _count(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f'{text} is not a number from 1 to 1000')
    return int(text)


def _seconds(text: str) -> float:
    value = _number(text)
    if not 0.0 <= value <= 3600.0:
        raise argparse.ArgumentTypeError(f'{text} is not 0 to 3600 seconds')
    return value


def _offset(text: str) -> float:
    value = _number(text)
    if abs(value) > 3600.0:
        raise argparse.ArgumentTypeError(f'{text} is not -3600 to 3600 seconds')
    return value


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError as err:
        raise argparse.ArgumentTypeError(f'{text!r} is no number') from err
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f'{text} is not finite')
    return value
