"""`paif-report`, `ros2 run paif_ros report`: one HTML file on a run, with nothing else needed."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from paif_ros.command_line import add_version
from paif_ros.errors import PaifError
from paif_ros.report.make import DEFAULT, run_of
from paif_ros.report.page import check_libraries, write
from paif_ros.report.run import Run

DONE, FAILED = 0, 1  # exit codes; argparse ends with 2
EXAMPLES = """
examples:
  on a run of paif-replay, into its folder:
    paif-report runs/drive
  on a bag with the topics of a node, /diagnostics among them:
    paif-report recorded_outputs -o outputs.html
  on a running node, for ten minutes or until Ctrl-C:
    paif-report --live --seconds 600 -o robot.html
  the same, without making the node compute anything for the report:
    paif-report --live --seconds 600 --no-pictures
ROS arguments follow --ros-args. Exit codes: 0 written, 1 not, 2 wrong arguments.
"""


def main(argv: list[str] | None = None) -> None:
    """Write a report and exit with 0, with 1 where it can't be made, 2 for arguments.

    Args:
        argv: the arguments without the program's name, those of the process where None.
    """
    from paif_ros.registration.alignment.arguments import split_ros

    own, ros_args = split_ros(sys.argv[1:] if argv is None else argv)
    parser = _parser()
    args = parser.parse_args(own)
    if args.live == (args.path is not None):
        parser.error('name a run or a bag, or take --live')
    try:
        check_libraries()
        run = (
            _watched(args, ros_args)
            if args.live
            else run_of(args.path, args.node, args.color_topic)
        )
        target = args.out or _target(args)
        write(run, target)
    except PaifError as err:
        print(f'paif-report: {err}', file=sys.stderr)
        sys.exit(FAILED)
    print(f'wrote {target}')
    sys.exit(DONE)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='paif-report',
        description='Write one HTML file on a run: rates, latency, skew, drops, classes, frames.',
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_version(parser)
    parser.add_argument(
        'path', type=Path, nargs='?', help="folder of paif-replay, or a node's bag"
    )
    parser.add_argument('-o', '--out', type=Path, help=f'file to write (RUN/{DEFAULT})')
    parser.add_argument('--live', action='store_true', help='watch a running node')
    parser.add_argument('--node', default='', help='name of the node (fusion; in a bag, its own)')
    parser.add_argument(
        '--color-topic', default='/color/image_raw', help='the RGB images (%(default)s)'
    )
    parser.add_argument(
        '--seconds', type=_seconds, default=0.0, help='how long to watch; 0 until Ctrl-C (0)'
    )
    parser.add_argument(
        '--patience', type=_seconds, default=20.0,
        help="seconds to wait for the node's first word (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        '--no-pictures', action='store_true', help='listen to diagnostics only, with --live'
    )
    return parser


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 86400:
        raise argparse.ArgumentTypeError(f'{text!r}, expected seconds from 0 to 86400')
    return value


def _target(args: argparse.Namespace) -> Path:
    """Return where the report goes by default: into a run's folder, else where we are."""
    from paif_ros.replay.record import RUN

    if args.path is not None and (args.path / RUN).is_file():
        return Path(args.path) / DEFAULT
    return Path(DEFAULT)


def _watched(args: argparse.Namespace, ros_args: list[str]) -> Run:
    from paif_ros.report.live import watch_node
    from paif_ros.view.listening import stop_event

    stop = stop_event()
    end = f'for {args.seconds:g} s' if args.seconds else 'until Ctrl-C'
    print(f'paif-report: watching {args.node or "fusion"} {end}', flush=True)
    return watch_node(
        args.node or 'fusion', args.color_topic, args.seconds, ros_args, stop.is_set,
        pictures=not args.no_pictures, patience=args.patience,
    )  # fmt: skip


if __name__ == '__main__':
    main()
