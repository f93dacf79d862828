"""The process of the fusion node: it starts, spins, and ends within two seconds of a signal."""

from __future__ import annotations

import os
import signal
import sys
import threading

DONE, FAILED = 0, 1  # exit codes


def main(args: list[str] | None = None) -> None:
    """Run the node until SIGINT or SIGTERM. Exits with 0, or with 1 where it can't start.

    Args:
        args: command line with ROS arguments, that of the process without them.
    """
    stop = threading.Event()
    # Before the slow imports, so that a signal during them ends in silence too.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    sys.exit(_run(args, stop))


def _run(args: list[str] | None, stop: threading.Event) -> int:
    import rclpy
    from rclpy.exceptions import ParameterException
    from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
    from rclpy.signals import SignalHandlerOptions

    from paif_ros.errors import PaifError
    from paif_ros.node import FusionNode

    try:
        # rclpy's own handlers would end the context before the last diagnostics are out.
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
        node = FusionNode()
    # rclpy's errors about arguments are RuntimeErrors, those about its own parameters are not.
    except (PaifError, RuntimeError, ParameterException) as err:
        rclpy.logging.get_logger('fusion').fatal(' '.join(str(err).split()))
        rclpy.try_shutdown()
        return FAILED
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        while not stop.is_set() and node.failure is None:
            executor.spin_once(timeout_sec=0.1)  # signals are seen between two waits
    except ExternalShutdownException:
        pass
    ended = node.stop()
    code = DONE if node.failure is None else FAILED
    executor.shutdown()
    node.destroy_node()
    rclpy.try_shutdown()
    if not ended:
        # Leaving Python under a thread that runs native code can crash; there is nothing to save.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


if __name__ == '__main__':
    main()
