"""`paif-view`, `ros2 run paif_ros view`: a running node in a browser, on a robot without a screen.

Only programs on this computer can open the page unless `--host` says otherwise.
"""

from __future__ import annotations

import argparse
import sys
import threading
from typing import Any

from paif_ros.command_line import add_version

DONE, FAILED = 0, 1  # exit codes; argparse ends with 2
PORT = 8030
EXAMPLES = """
examples:
  on the robot, and on the computer that you look with:
    paif-view
    ssh -L 8030:127.0.0.1:8030 robot       # then open http://localhost:8030/
  a camera on another topic, another node:
    paif-view --node /front/fusion --color-topic /front/camera/image_raw
  one picture into a file:
    curl -o fused.jpg http://localhost:8030/snapshot/fused.jpg
  open to everybody in the network, without a password:
    paif-view --host 0.0.0.0
ROS arguments follow --ros-args. Exit codes: 0 stopped, 1 could not start, 2 wrong arguments.
"""


def main(argv: list[str] | None = None) -> None:
    """Serve until SIGINT or SIGTERM. Exits with 0, with 1 where it can't start, 2 for arguments.

    Args:
        argv: the arguments without the program's name, those of the process where None.
    """
    from paif_ros.registration.alignment.arguments import split_ros
    from paif_ros.view.listening import stop_event

    stop = stop_event()
    own, ros_args = split_ros(sys.argv[1:] if argv is None else argv)
    sys.exit(_run(_parser().parse_args(own), ros_args, stop))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='paif-view',
        description='Show a running fusion node in a browser: pictures, rates, latency, drops.',
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_version(parser)
    parser.add_argument('--node', default='fusion', help='name of the node (%(default)s)')
    parser.add_argument(
        '--color-topic', default='color/image_raw',
        help='the RGB images; ending in /compressed where they are (%(default)s)',
    )  # fmt: skip
    parser.add_argument(
        '--host', default='127.0.0.1',
        help='address to listen on; 0.0.0.0 lets everybody in the network look (%(default)s)',
    )  # fmt: skip
    parser.add_argument(
        '--port', type=_between(0, 65535), default=PORT, help='0 takes a free one (%(default)s)'
    )
    parser.add_argument(
        '--rate', type=_between(1, 60), default=10,
        help='pictures a second for each browser (%(default)s)',
    )  # fmt: skip
    parser.add_argument(
        '--width', type=_between(64, 8191), default=960,
        help='columns; wider pictures are shrunk (%(default)s)',
    )  # fmt: skip
    parser.add_argument(
        '--quality', type=_between(1, 100), default=80, help='of the JPEGs (%(default)s)'
    )
    parser.add_argument(
        '--clients', type=_between(1, 16), default=4, help='browsers at once (%(default)s)'
    )
    parser.add_argument(
        '--compressed', action='store_true',
        help="take the node's /compressed topics: for paif-view on another computer than the node",
    )  # fmt: skip
    return parser


def _between(least: int, most: int) -> Any:
    def read(text: str) -> int:
        value = int(text) if text.lstrip('-').isdigit() else least - 1
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f'{text!r}, expected a number from {least} to {most}')
        return value

    return read


def _run(args: argparse.Namespace, ros_args: list[str], stop: threading.Event) -> int:
    from paif_ros.view.listening import StartError
    from paif_ros.view.serve import serve

    try:
        serve(args, ros_args, stop)
    except StartError as err:
        print(f'paif-view: {err}', file=sys.stderr)
        return FAILED
    return DONE


if __name__ == '__main__':
    main()
