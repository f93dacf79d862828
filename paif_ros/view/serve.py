"""Starts both sides of the view, ROS and HTTP, and ends them in order."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from paif_ros.view.gallery import Gallery, Look
from paif_ros.view.graph import LOOK_SECONDS, Graph
from paif_ros.view.listening import StartError, listening, resolve, spin
from paif_ros.view.pictures import CHOICES, read
from paif_ros.view.server import ViewServer

JOIN_SECONDS = 2.0
LAST_PORT = 65535


def serve(args: argparse.Namespace, ros_args: list[str], stop: threading.Event) -> None:
    """Serve until told to stop.

    Args:
        args: as the command line has them.
        ros_args: for rclpy.
        stop: ends it, within a second.

    Raises:
        StartError: ROS 2, a name or the port can't be had.
    """
    gallery = Gallery({choice.name: read for choice in CHOICES}, Look(args.width, args.quality))
    with listening('paif_view', ros_args) as node:
        graph = _graph(args, node, gallery)
        with _server(args, gallery, graph) as server:
            _announce(server, graph.fusion)
            spin(node, stop.is_set, {LOOK_SECONDS: graph.look})


def _graph(args: argparse.Namespace, node: Any, gallery: Gallery) -> Graph:
    fusion = resolve(node, '--node', args.node)
    color = resolve(node, '--color-topic', args.color_topic)
    return Graph(node, fusion, color, gallery, compressed=args.compressed)


@contextmanager
def _server(args: argparse.Namespace, gallery: Gallery, graph: Graph) -> Iterator[ViewServer]:
    try:
        server = ViewServer(
            args.host, args.port, gallery, graph.status, rate=args.rate, streams=args.clients
        )
    except OSError as err:
        other = args.port + 1 if args.port < LAST_PORT else 0
        reason = f'{err.strerror or err}. Another one: paif-view --port {other}'
        raise StartError(f'{args.host} port {args.port}', reason) from err
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        gallery.close()  # ends the streams
        server.shutdown()
        server.server_close()
        thread.join(JOIN_SECONDS)


def _announce(server: ViewServer, fusion: str) -> None:
    port = server.server_port
    print(f'paif-view: {fusion} is at {server.url}')
    if server.local:
        print(
            '  Only this computer can open it. From another one: '
            f'ssh -L {port}:127.0.0.1:{port} THIS_COMPUTER, then http://localhost:{port}/'
        )
    else:
        print(
            f'  OPEN TO THE NETWORK: whoever reaches this computer on port {port} sees the '
            'cameras, without password or encryption. Without --host, only this computer can'
        )
    print('  Ctrl-C ends it', flush=True)
