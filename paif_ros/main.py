"""The process of the fusion node: it starts, spins, and ends within two seconds of a signal.

`--pairs FILE` starts one node for each pair of cameras that the file names (see `pairs`). Each is
spun by a thread of its own, so that one that loads its model does not hold up the others.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

TYPE_CHECKING = False  # as typing has it, without the time that importing it takes
if TYPE_CHECKING:
    from paif_ros.node import FusionNode

DONE, FAILED = 0, 1  # exit codes; argparse ends with 2
SIGNALS = (signal.SIGINT, signal.SIGTERM)
EXAMPLES = """
examples:
  with the shipped model, which the launch file finds:
    ros2 launch paif_ros fusion.launch.py color_topic:=/camera/image_raw
  the node alone; ROS arguments follow --ros-args:
    ros2 run paif_ros fusion --ros-args -p model_path:=model.onnx -r color/image_raw:=/image_raw
  many pairs of cameras, a node for each:
    ros2 run paif_ros fusion --pairs multi.yaml
exit codes: 0 stopped, 1 could not start, 2 wrong arguments
"""


def main(args: list[str] | None = None) -> None:
    """Run until SIGINT or SIGTERM. Exits with 0, with 1 where it can't start, 2 for arguments.

    Args:
        args: command line with ROS arguments, that of the process without them.
    """
    stop = threading.Event()
    # Before the slow imports, so that a signal during them ends in silence too.
    for number in SIGNALS:
        signal.signal(number, lambda *_: stop.set())
    code = _run(sys.argv if args is None else args, stop)
    for number in SIGNALS:
        # Who presses Ctrl-C twice must not see Python end in the middle of its end.
        signal.signal(number, signal.SIG_IGN)
    sys.exit(code)


def _run(args: list[str], stop: threading.Event) -> int:
    import rclpy.logging
    from rclpy.exceptions import ParameterException
    from rclpy.utilities import remove_ros_args

    from paif_ros.errors import PaifError

    nodes: list[FusionNode] = []
    try:
        pairs_file = _pairs_file(remove_ros_args(args)[1:])
        _start_ros(args)
        _make_nodes(pairs_file, stop, nodes)
    # rclpy's errors about arguments are RuntimeErrors, those about its own parameters are not.
    except (PaifError, RuntimeError, ParameterException) as err:
        rclpy.logging.get_logger('fusion').fatal(' '.join(str(err).split()))
        for node in nodes:
            node.destroy_node()
        rclpy.try_shutdown()
        return FAILED
    failures: list[BaseException] = []
    threads = [threading.Thread(target=_live, args=(node, stop, failures)) for node in nodes]
    for thread in threads:
        thread.start()
    while not stop.wait(0.1):  # signals are handled between two waits
        pass
    for thread in threads:
        thread.join()
    ended = [node.stop() for node in nodes]
    for node in nodes:
        node.destroy_node()
    rclpy.try_shutdown()
    code = FAILED if failures else DONE
    if not all(ended):
        # Leaving Python under a thread that runs native code can crash; there is nothing to save.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _live(node: FusionNode, stop: threading.Event, failures: list[BaseException]) -> None:
    """Spin a node until the process is to stop, and end it. A bug in it ends the process."""
    from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor

    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        while not stop.is_set():
            executor.spin_once(timeout_sec=0.1)
    except ExternalShutdownException:
        pass
    except BaseException as err:
        import traceback

        failures.append(err)
        traceback.print_exc()
    stop.set()
    node.stop()  # here, since each may wait a while for its network
    executor.shutdown()


def _start_ros(args: list[str]) -> None:
    """Start rclpy, without log files where none can be written, as on a read-only disk."""
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    # rclpy's own handlers would end the context before the last diagnostics are out.
    handlers = SignalHandlerOptions.NO
    try:
        rclpy.init(args=args, signal_handler_options=handlers)
    except RuntimeError as err:
        if 'initialize logging' not in str(err):
            raise
        rclpy.try_shutdown()
        without = [*args, '--ros-args', '--disable-external-lib-logs']
        rclpy.init(args=without, signal_handler_options=handlers)
        rclpy.logging.get_logger('fusion').warning(
            f'no log files, only this output: {" ".join(str(err).split())}. To have them, set '
            'ROS_LOG_DIR to a folder that can be written'
        )


def _pairs_file(arguments: list[str]) -> str:
    import argparse

    from paif_ros.command_line import add_version

    parser = argparse.ArgumentParser(
        prog='fusion',
        description='Fuses and segments the frames of a thermal and an RGB camera.',
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_version(parser)
    parser.add_argument(
        '--pairs', default='', metavar='FILE', help='YAML with many pairs, one node for each'
    )
    return str(parser.parse_args(arguments).pairs)


def _make_nodes(pairs_file: str, stop: threading.Event, nodes: list[FusionNode]) -> None:
    """Make the nodes, appending each to the list as soon as it is there."""
    from paif_ros.node import FusionNode

    if not pairs_file:
        nodes.append(FusionNode(stopping=stop.is_set))
        return
    from rclpy.parameter import Parameter

    from paif_ros import pairs

    for pair in pairs.load(pairs_file):
        rules = [part for rule in pair.remappings for part in ('-r', ':='.join(rule))]
        overrides = [Parameter(name, value=value) for name, value in pair.parameters.items()]
        nodes.append(
            FusionNode(
                stopping=stop.is_set,
                namespace=pair.namespace,
                cli_args=['--ros-args', *rules],
                parameter_overrides=overrides,
            )
        )


if __name__ == '__main__':
    main()
