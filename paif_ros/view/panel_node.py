"""`ros2 run paif_ros panel`: a fusion node's diagnostics as an image topic, for rviz.

rviz brings no display for /diagnostics, but one for pictures. In a process of its own, so that the
fusion node draws nothing; nothing is drawn while nobody looks.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from time import monotonic
from typing import Any

from paif_ros.command_line import add_version
from paif_ros.engines.base import U8
from paif_ros.images.codec import pack
from paif_ros.view.listening import StartError, listening, resolve, spin, stop_event
from paif_ros.view.panel import STALE_SECONDS, draw_panel
from paif_ros.view.status import NodeStatus, fusion_statuses

DONE, FAILED = 0, 1  # exit codes; argparse ends with 2
TOPIC = 'diagnostics/image'  # below the fusion node's name
LOOK_SECONDS = 1.0
EXAMPLES = """
examples:
  beside a node, then an Image display of /fusion/diagnostics/image in rviz or rqt:
    ros2 run paif_ros panel
  another node:
    ros2 run paif_ros panel --node /front/fusion
  one picture into a file, as soon as the node tells of itself:
    ros2 run paif_ros panel --save panel.png
`ros2 launch paif_ros fusion.launch.py rviz:=true` starts it.
ROS arguments follow --ros-args. Exit codes: 0 stopped or saved, 1 could not start or save, 2 wrong
arguments.
"""


class Panel:
    """Publishes a picture for each of a node's diagnostics, and one a second where they stop.

    Args:
        node: an rclpy node of ours.
        fusion: full name of the fusion node.

    Attributes:
        status: the fusion node's last one.
    """

    def __init__(self, node: Any, fusion: str) -> None:
        from diagnostic_msgs.msg import DiagnosticArray
        from sensor_msgs.msg import Image

        self._node, self._image = node, Image
        self.status = NodeStatus(fusion)
        self._status_at: float | None = None
        self._publisher = node.create_publisher(Image, f'{fusion}/{TOPIC}', 1)
        node.create_subscription(DiagnosticArray, '/diagnostics', self._diagnose, 10)

    @property
    def heard(self) -> bool:
        """Whether diagnostics of the fusion node have come."""
        return self._status_at is not None

    def look(self) -> None:
        """Say that nothing comes, where nothing does. Called once a second."""
        if self._status_at is None or monotonic() - self._status_at > STALE_SECONDS:
            self._publish()

    def _diagnose(self, message: Any) -> None:
        for status in fusion_statuses(message):
            if status.node == self.status.node:
                self.status, self._status_at = status, monotonic()
                self._publish()

    def _publish(self) -> None:
        if not self._publisher.get_subscription_count():
            return
        age = None if self._status_at is None else monotonic() - self._status_at
        message = self._image()
        message.header.stamp = self._node.get_clock().now().to_msg()
        pack(message, draw_panel(self.status, age), 'rgb8')
        self._publisher.publish(message)


def main(argv: list[str] | None = None) -> None:
    """Publish until SIGINT or SIGTERM. Exits with 0, with 1 where it can't start, 2 for arguments.

    Args:
        argv: the arguments without the program's name, those of the process where None.
    """
    from paif_ros.registration.alignment.arguments import split_ros

    stop = stop_event()
    own, ros_args = split_ros(sys.argv[1:] if argv is None else argv)
    args = _parser().parse_args(own)
    try:
        with listening('paif_panel', ros_args) as node:
            fusion = resolve(node, '--node', args.node)
            panel = Panel(node, fusion)
            if args.save is None:
                print(f'panel: {fusion} as pictures on {fusion}/{TOPIC}', flush=True)
                spin(node, stop.is_set, {LOOK_SECONDS: panel.look})
            else:
                spin(node, lambda: stop.is_set() or panel.heard, {})
                if panel.heard:
                    _save(args.save, draw_panel(panel.status, 0.0))
    except StartError as err:
        print(f'panel: {err}', file=sys.stderr)
        sys.exit(FAILED)
    sys.exit(DONE)


def _save(path: Path, picture: U8) -> None:
    import cv2

    try:
        written = cv2.imwrite(str(path), picture[..., ::-1])
    except cv2.error:  # it knows no such suffix
        written = False
    if not written:
        raise StartError(str(path), 'not written: is the folder there, and is it a .png or .jpg?')
    print(f'panel: wrote {path}')


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='panel',
        description="Publish a fusion node's diagnostics as pictures, for viewers like rviz.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_version(parser)
    parser.add_argument(
        '--save', type=Path, metavar='FILE', help='write one picture (.png, .jpg) and end'
    )
    parser.add_argument('--node', default='fusion', help='name of the node (%(default)s)')
    return parser


if __name__ == '__main__':
    main()
