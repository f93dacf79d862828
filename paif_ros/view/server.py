"""The HTTP side of the view, by Python's own server: the page, its numbers, and MJPEG streams.

Each browser has a thread of its own here, up to a limit; none of them can hold up another one or
the node. Addresses:

    /                     the page
    /status.json          what the page shows beside the picture
    /stream/NAME          multipart/x-mixed-replace, one JPEG after the other
    /snapshot/NAME.jpg    the next picture alone
"""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from time import monotonic
from typing import Any

from paif_ros.view.gallery import Gallery
from paif_ros.view.status import ViewStatus

PAGE = Path(__file__).parent / 'page'
FILES = {
    '/': ('page.html', 'text/html; charset=utf-8'),
    '/page.css': ('page.css', 'text/css; charset=utf-8'),
    '/page.js': ('page.js', 'text/javascript; charset=utf-8'),
}
MAX_CONNECTIONS = 32
PATIENCE = 10.0  # seconds that a browser may take to read what it was sent, or to ask
WAIT = 0.5  # seconds between two looks at whether a browser is still there
SNAPSHOT_PATIENCE = 5.0
SEND_BUFFER = 128 * 1024  # bytes: what a slow browser gets is at most this much older
BOUNDARY = 'paif-ros-frame'
BETWEEN = f'--{BOUNDARY}\r\n'.encode()
LOOPBACK_NAMES = ('localhost', '127.0.0.1', '[::1]')
POLICY = (
    "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'"
)


class ViewServer(ThreadingHTTPServer):
    """Serves one gallery.

    Args:
        host: address to listen on.
        port: 0 for any free one.
        gallery: gives the pictures.
        status: gives the numbers; its argument is how many streams there are.
        rate: pictures a second that one browser gets at most.
        streams: how many browsers may look at once.

    Raises:
        OSError: the address or port can't be had.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 16

    def __init__(
        self,
        host: str,
        port: int,
        gallery: Gallery,
        status: Callable[[int], ViewStatus],
        *,
        rate: float,
        streams: int,
    ) -> None:
        if ':' in host:
            self.address_family = socket.AF_INET6
        self.gallery = gallery
        self.status = status
        self.rate = rate
        self.streams = threading.BoundedSemaphore(streams)
        self.most_streams = streams
        self.streaming = 0
        self.counting = threading.Lock()
        self._connections = threading.BoundedSemaphore(MAX_CONNECTIONS)
        super().__init__((host, port), Handler)

    @property
    def url(self) -> str:
        """The page's address."""
        host, port = str(self.server_address[0]), self.server_address[1]
        return f'http://{f"[{host}]" if ":" in host else host}:{port}/'

    @property
    def local(self) -> bool:
        """Whether only programs on this computer can connect."""
        return ip_address(str(self.server_address[0])).is_loopback

    def server_bind(self) -> None:
        """Bind, without the look-up of our own name in DNS that HTTPServer makes."""
        socket.socket.setsockopt(self.socket, socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread for a connection, or refuse it where there are too many."""
        if not self._connections.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._connections.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of browsers that went away; whatever else it was is printed."""
        import sys

        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """Answers one request of one browser."""

    server: ViewServer
    timeout = PATIENCE
    server_version = 'paif_view'
    sys_version = ''

    def do_GET(self) -> None:
        """Answer."""
        if not self._is_for_us():
            # A page of another site can point its own name at 127.0.0.1 and would read this one.
            self.send_error(HTTPStatus.FORBIDDEN, 'open it as http://localhost:PORT/')
            return
        path = self.path.partition('?')[0]
        kind, _, rest = path.lstrip('/').partition('/')
        if path in FILES:
            name, content_type = FILES[path]
            self._send((PAGE / name).read_bytes(), content_type)
        elif path == '/status.json':
            status = self.server.status(self.server.streaming)
            self._send(status.to_json(), 'application/json')
        elif kind == 'stream' and rest in self.server.gallery.names:
            self._limited(self._stream, rest)
        elif kind == 'snapshot' and rest.removesuffix('.jpg') in self.server.gallery.names:
            self._limited(self._snapshot, rest.removesuffix('.jpg'))
        else:
            self.send_error(HTTPStatus.NOT_FOUND, 'no such page, see /')

    def end_headers(self) -> None:
        """Add what holds for every answer."""
        self.send_header('Content-Security-Policy', POLICY)
        self.send_header('X-Content-Type-Options', 'nosniff')
        self.send_header('Cross-Origin-Resource-Policy', 'same-origin')
        self.send_header('Cache-Control', 'no-store')
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        """Log nothing: a page asks every second."""

    def _is_for_us(self) -> bool:
        if not self.server.local:
            return True
        host = self.headers.get('Host', '')
        name = host if host.endswith(']') else host.rpartition(':')[0] or host
        return name.lower() in LOOPBACK_NAMES

    def _send(self, body: bytes, content_type: str) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header('Content-Type', content_type)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _limited(self, serve: Callable[[str], None], name: str) -> None:
        """Serve pictures to one more browser, where there are not too many."""
        if not self.server.streams.acquire(blocking=False):
            text = f'{self.server.most_streams} browsers look already, see --clients'
            self.send_error(HTTPStatus.SERVICE_UNAVAILABLE, text)
            return
        with self.server.counting:
            self.server.streaming += 1
        try:
            with self.server.gallery.watching(name):
                serve(name)
        finally:
            with self.server.counting:
                self.server.streaming -= 1
            self.server.streams.release()

    def _snapshot(self, name: str) -> None:
        frame = self.server.gallery.next(name, 0, SNAPSHOT_PATIENCE)
        if frame is None:
            text = f'no picture in {SNAPSHOT_PATIENCE:g} s, see /status.json'
            self.send_error(HTTPStatus.SERVICE_UNAVAILABLE, text)
            return
        self._send(frame.jpeg, 'image/jpeg')

    def _stream(self, name: str) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        self.send_response(HTTPStatus.OK)
        self.send_header('Content-Type', f'multipart/x-mixed-replace; boundary={BOUNDARY}')
        self.end_headers()
        self.wfile.write(BETWEEN)
        gallery, seen, again = self.server.gallery, 0, b''
        while not gallery.closed and not self._gone():
            due = monotonic() + 1.0 / self.server.rate
            frame = gallery.next(name, seen, WAIT)
            if frame is not None:
                seen = frame.number
                again = _part(frame.jpeg)
                self.wfile.write(again)
            elif again:
                # Chromium shows a picture when the next one begins: the last of all comes twice.
                self.wfile.write(again)
                again = b''
            # Also after one that can't be read: without this, the loop would spin on it.
            self._pause(due)

    def _pause(self, due: float) -> None:
        """Wait until it is time for the next picture, or the browser goes."""
        while (left := due - monotonic()) > 0 and not self.server.gallery.closed:
            if self._gone(min(left, WAIT)):
                return

    def _gone(self, timeout: float = 0.0) -> bool:
        """Whether the browser has closed the connection. What else it says is of no interest."""
        readable, _, _ = select.select([self.connection], [], [], timeout)
        return bool(readable) and not self.connection.recv(4096)


def _part(jpeg: bytes) -> bytes:
    """Return one part of a stream and the boundary after it, which makes browsers show it."""
    head = f'Content-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n'
    return b'%b%b\r\n%b' % (head.encode(), jpeg, BETWEEN)
