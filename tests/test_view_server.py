"""The view's HTTP side with real sockets: limits, slow browsers, strangers, the end. No ROS."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from paif_ros.images.codec import pack
from paif_ros.view.gallery import Gallery, Look
from paif_ros.view.pictures import CHOICES, read
from paif_ros.view.serve import _announce
from paif_ros.view.server import MAX_CONNECTIONS, ViewServer
from paif_ros.view.status import NodeStatus, ViewStatus

STREAMS = 3


def message(value: int, size: tuple[int, int] = (48, 64)) -> SimpleNamespace:
    """Return an Image of one colour, as rclpy or rosbags would have it."""
    made = SimpleNamespace()
    pack(made, np.full((*size, 3), value, np.uint8), 'rgb8')
    return made


def status(clients: int) -> ViewStatus:
    return ViewStatus(NodeStatus('/fusion'), None, (), (), '', clients)


class Site:
    def __init__(self, gallery: Gallery, server: ViewServer) -> None:
        self.gallery = gallery
        self.server = server
        self.port = server.server_port

    def get(self, path: str, host: str | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection('127.0.0.1', self.port, timeout=10)
        connection.request('GET', path, headers={} if host is None else {'Host': host})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, body

    def ask(self, path: str) -> socket.socket:
        """Ask for something, and read nothing of the answer."""
        connection = socket.create_connection(('127.0.0.1', self.port), timeout=10)
        connection.sendall(f'GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n'.encode())
        return connection

    def until(self, condition: object) -> None:
        for _ in range(1000):
            if condition():  # type: ignore[operator]
                return
            threading.Event().wait(0.01)
        raise AssertionError('waited in vain')


@pytest.fixture
def site() -> Iterator[Site]:
    gallery = Gallery({choice.name: read for choice in CHOICES}, Look(width=64))
    server = ViewServer('127.0.0.1', 0, gallery, status, rate=1000.0, streams=STREAMS)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield Site(gallery, server)
    gallery.close()
    server.shutdown()
    server.server_close()
    thread.join(10)
    assert not thread.is_alive()


def mean(jpeg: bytes) -> float:
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return float(picture.mean())


def test_the_page_loads_nothing_from_elsewhere(site: Site) -> None:
    pages = [site.get(path) for path in ('/', '/page.css', '/page.js')]
    assert [code for code, _ in pages] == [200] * 3
    assert not any(b'http:' in body or b'https:' in body for _, body in pages)
    code, body = site.get('/status.json')
    assert (code, json.loads(body)['node']) == (200, '/fusion')


@pytest.mark.parametrize(
    'path', ['/../server.py', '/page/', '/stream/', '/stream/x', '/snapshot/x']
)
def test_other_addresses_are_not_there(site: Site, path: str) -> None:
    assert site.get(path)[0] == 404


def test_a_page_of_another_site_can_not_read_the_cameras(site: Site) -> None:
    """A name that points to 127.0.0.1 makes a browser send that name as Host."""
    assert site.get('/status.json', host='evil.example:80')[0] == 403
    assert site.get('/snapshot/fused.jpg', host='127.0.0.1.evil.example')[0] == 403
    for host in ('localhost', f'localhost:{site.port}', '127.0.0.1:1', '[::1]:8030', '[::1]'):
        assert site.get('/status.json', host=host)[0] == 200, host


def test_a_snapshot_is_the_newest_picture_and_wide_ones_are_shrunk(site: Site) -> None:
    site.gallery.put('fused', message(10))
    site.gallery.put('fused', message(200, (96, 128)))
    code, jpeg = site.get('/snapshot/fused.jpg')
    assert code == 200
    assert abs(mean(jpeg) - 200) < 2
    assert cv2.imdecode(np.frombuffer(jpeg, np.uint8), 1).shape == (48, 64, 3)


def test_a_malformed_picture_is_told_and_the_next_one_shown(site: Site) -> None:
    broken = message(7)
    broken.step = 5
    site.gallery.put('fused', broken)
    assert site.gallery.next('fused', 0, 0.0) is None
    assert 'step' in site.gallery.problem('fused')
    site.gallery.put('fused', message(7))
    assert site.gallery.next('fused', 0, 0.0) is not None
    assert site.gallery.problem('fused') == ''


def test_a_mosaic_of_what_there_is(site: Site) -> None:
    site.gallery.put('fused', message(100))
    site.gallery.put('rgb', message(200, (24, 32)))
    frame = site.gallery.next('mosaic', 0, 0.0)
    assert frame is not None
    picture = cv2.imdecode(np.frombuffer(frame.jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (48, 64, 3)
    corners = [picture[y, x].mean() for y, x in ((5, 5), (5, 58), (42, 5), (42, 58))]
    assert np.abs(np.array(corners) - (200, 24, 100, 24)).max() < 4
    site.gallery.put('rgb', message(40, (24, 32)))  # one tile is news enough
    newer = site.gallery.next('mosaic', frame.number, 0.0)
    assert newer is not None
    assert abs(cv2.imdecode(np.frombuffer(newer.jpeg, np.uint8), 0)[5, 5] - 40.0) < 4


def test_a_browser_that_reads_nothing_holds_up_nobody(site: Site) -> None:
    stuck = site.ask('/stream/fused')
    site.until(lambda: site.server.streaming == 1)
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    heavy = SimpleNamespace()
    pack(heavy, noise, 'rgb8')
    for _ in range(20_000):  # far more than its buffers take: the thread that receives goes on
        site.gallery.put('fused', heavy)
    site.gallery.put('fused', message(77))
    code, jpeg = site.get('/snapshot/fused.jpg')
    assert code == 200
    assert abs(mean(jpeg) - 77) < 2
    exhibit = site.gallery._exhibits['fused']
    assert exhibit.message is not heavy, 'only the newest is kept'
    stuck.close()
    site.until(lambda: site.server.streaming == 0)


def test_one_browser_too_many_is_told(site: Site) -> None:
    watching = [site.ask('/stream/fused') for _ in range(STREAMS)]
    site.until(lambda: site.server.streaming == STREAMS)
    code, body = site.get('/stream/fused')
    assert code == 503
    assert b'--clients' in body
    assert site.get('/status.json')[0] == 200
    # One leaves while no picture comes at all: its place is free again.
    watching.pop().close()
    site.until(lambda: site.server.streaming == STREAMS - 1)
    watching.append(site.ask('/stream/fused'))
    site.until(lambda: site.server.streaming == STREAMS)
    for connection in watching:
        connection.close()


def test_connections_are_bounded(site: Site) -> None:
    idle = [
        socket.create_connection(('127.0.0.1', site.port), timeout=10)
        for _ in range(MAX_CONNECTIONS)
    ]
    site.until(lambda: not site.server._connections._value)  # type: ignore[attr-defined]
    refused = socket.create_connection(('127.0.0.1', site.port), timeout=10)
    assert refused.recv(1) == b''  # closed at once, without a thread
    for connection in (*idle, refused):
        connection.close()
    site.until(lambda: site.server._connections._value == MAX_CONNECTIONS)  # type: ignore[attr-defined]
    assert site.get('/status.json')[0] == 200


def test_what_is_watched(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    gallery, clock = site.gallery, [100.0]
    monkeypatch.setattr('paif_ros.view.gallery.monotonic', lambda: clock[0])
    assert gallery.watched() == set()
    with gallery.watching('mosaic'):
        assert gallery.watched() == {'rgb', 'thermal', 'fused', 'overlay'}
        with gallery.watching('mask'):
            assert 'mask' in gallery.watched()
    clock[0] += 1.0
    assert 'mask' in gallery.watched(), 'a page that changes pictures finds the other one running'
    clock[0] += 10.0
    assert gallery.watched() == set()
    gallery.put('mask', message(5))
    gallery.forget('mask')
    assert gallery.next('mask', 0, 0.0) is None, 'an old picture is not shown'


def test_the_end_ends_streams(site: Site) -> None:
    with ThreadPoolExecutor() as pool:
        stream = pool.submit(site.get, '/stream/fused')
        site.until(lambda: site.server.streaming == 1)
        site.gallery.put('fused', message(50))
        site.gallery.close()
        code, body = stream.result(10)
    assert code == 200
    assert body.startswith(b'--')


@pytest.mark.parametrize(
    ('host', 'word'), [('127.0.0.1', 'ssh -L'), ('0.0.0.0', 'OPEN TO THE NETWORK')]
)
def test_who_can_look_is_said(host: str, word: str, capsys: pytest.CaptureFixture[str]) -> None:
    gallery = Gallery({}, Look())
    with ViewServer(host, 0, gallery, status, rate=1.0, streams=1) as server:
        assert server.local == (host == '127.0.0.1')
        _announce(server, '/fusion')
    said = capsys.readouterr().out
    assert word in said
    assert ('without password' in said) == (host == '0.0.0.0')


def test_the_page_is_shipped() -> None:
    import paif_ros.view.server as module

    assert {path.name for path in module.PAGE.iterdir()} == {'page.html', 'page.css', 'page.js'}
    assert "'view/page/*'" in Path(module.__file__).parents[2].joinpath('setup.py').read_text()
