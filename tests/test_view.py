"""`paif-view` and `panel` on a real ROS 2 graph: each in a process of its own, as the node is."""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import tiny_model

pytest.importorskip('rclpy', reason='needs ROS 2 (or its wheels) in this Python')

from ros_checks import PERIOD, START, assert_balanced
from ros_rig import ROOT, Rig, environment, image, pixels_of
from sensor_msgs.msg import Image

from paif_ros.view.panel import draw_panel
from paif_ros.view.panel_node import TOPIC
from paif_ros.view.status import fusion_statuses

SIZE = (48, 64)


@dataclass
class View:
    """A running paif-view."""

    process: subprocess.Popen[str]
    port: int
    said: str

    def get(self, path: str, host: str = '') -> tuple[int, bytes]:
        connection = http.client.HTTPConnection('127.0.0.1', self.port, timeout=10)
        connection.request('GET', path, headers={'Host': host} if host else {})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, body

    def status(self) -> dict[str, object]:
        code, body = self.get('/status.json')
        assert code == 200
        return json.loads(body)


def start(*arguments: str, module: str = 'paif_ros.view') -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, '-m', module, *arguments],
        cwd=ROOT,
        env={**environment(), 'PYTHONUNBUFFERED': '1'},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture
def view() -> Iterator[View]:
    process = start('--port', '0')
    assert process.stdout is not None
    first = process.stdout.readline()
    found = re.search(r'/fusion is at http://127\.0\.0\.1:(\d+)/', first)
    assert found, first + process.stdout.read()
    yield View(process, int(found[1]), process.stdout.readline())
    if process.poll() is None:
        process.kill()
    process.wait()
    process.stdout.close()


@pytest.fixture
def panel() -> Iterator[subprocess.Popen[str]]:
    process = start(module='paif_ros.view.panel_node')
    yield process
    if process.poll() is None:
        process.kill()
    process.communicate()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


def smooth_pair() -> tuple[np.ndarray, np.ndarray]:
    """Return pictures that JPEG keeps: a ramp in every colour, and one of warm to hot."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    color = np.stack([rows * 5, columns * 3, 255 - rows * 5], -1).astype(np.uint8)
    return color, (columns * 4).astype(np.uint8)


def test_a_browser_sees_what_the_node_makes(
    view: View,
    panel: subprocess.Popen[str],
    tiny: Path,
    pool: ThreadPoolExecutor,
    tmp_path: Path,
) -> None:
    assert 'ssh -L' in view.said
    with Rig(tiny, listen=()) as rig:
        color, heat = smooth_pair()
        fused, mask = tiny_model.expected(color, heat)
        sent = 0

        def send() -> None:
            nonlocal sent
            stamp = START + sent * PERIOD
            rig.send(image(color, stamp, 'rgb'), image(heat, stamp, 'thermal'))
            sent += 1

        # Nobody looks: the view has subscribed to nothing, and the node computes nothing.
        rig.until(lambda: view.status()['age'] is not None)
        send()
        rig.until(lambda: rig.count('pairs.no_subscriber') == 1)
        for name in ('fused', 'color_mask', 'overlay'):
            topic = {'fused': 'fused/image'}.get(name, f'segmentation/{name}')
            assert rig.node.count_subscribers(f'/fusion/{topic}') == 0

        stream = http.client.HTTPConnection('127.0.0.1', view.port, timeout=10)
        stream.request('GET', '/stream/fused')
        answer = stream.getresponse()
        kind = answer.headers['Content-Type']
        assert kind.startswith('multipart/x-mixed-replace; boundary=')
        rig.until(lambda: rig.node.count_subscribers('/fusion/fused/image') == 1)
        for _ in range(10):
            send()
            rig.spin(0.05)
        rig.until(lambda: rig.count('pairs.fused') >= 1)
        first = read_part(answer, kind.partition('boundary=')[2])
        assert np.abs(first.astype(int) - fused).mean() < 3

        # A mask and a mosaic, which makes the view subscribe to four topics.
        pictures = {}
        for name in ('mask', 'mosaic'):
            asked = pool.submit(view.get, f'/snapshot/{name}.jpg')
            while not asked.done():
                send()
                rig.spin(0.05)
            code, body = asked.result()
            assert code == 200, body
            pictures[name] = decode(body)
        painted = np.array([label.color for label in tiny_model.CLASSES], np.uint8)[mask]
        assert np.abs(pictures['mask'].astype(int) - painted).mean() < 12  # sharp edges ring
        assert pictures['mosaic'].shape == (2 * SIZE[0], 2 * SIZE[1], 3)

        rig.until(lambda: bool(view.status()['classes']), 15.0)
        status = view.status()
        assert status['node'] == '/fusion'
        assert status['values']['model.network'] == 'tiny'  # type: ignore[index]
        assert [item['name'] for item in status['classes']] == [  # type: ignore[attr-defined]
            label.name for label in tiny_model.CLASSES
        ]
        assert status['clients'] == 1
        check_panel(rig, panel)
        save = start('--save', str(tmp_path / 'a.png'), module='paif_ros.view.panel_node')
        rig.until(lambda: save.poll() is not None, 30.0)
        assert save.communicate()[0] == f'panel: wrote {tmp_path / "a.png"}\n'
        assert cv2.imread(str(tmp_path / 'a.png')).shape == (480, 640, 3)
        # The view ends at once although a browser looks, and the node does not notice.
        view.process.send_signal(signal.SIGINT)
        assert view.process.wait(10) == 0
        assert view.process.stdout is not None
        rest = view.process.stdout.read()
        assert 'Traceback' not in rest, rest
        stream.close()
        rig.spin(0.5)
        ending = rig.stop()
        assert ending.code == 0
        assert 'Traceback' not in ending.text
        assert_balanced(rig)


def check_panel(rig: Rig, panel: subprocess.Popen[str]) -> None:
    """What rviz shows of /diagnostics is one of the node's, drawn as soon as it came."""
    got: list[Image] = []
    rig.node.create_subscription(Image, f'/fusion/{TOPIC}', got.append, 1)
    rig.until(lambda: bool(got))
    told = [status for message in rig.got['diagnostics'] for status in fusion_statuses(message)]
    assert any((pixels_of(got[0]) == draw_panel(status, 0.0)).all() for status in told[::-1])
    panel.send_signal(signal.SIGINT)
    text, _ = panel.communicate(timeout=10)
    assert panel.returncode == 0
    assert text == f'panel: /fusion as pictures on /fusion/{TOPIC}\n'


def read_part(answer: http.client.HTTPResponse, boundary: str) -> np.ndarray:
    """Return the next picture of a stream."""
    assert answer.readline() == f'--{boundary}\r\n'.encode()
    assert answer.readline() == b'Content-Type: image/jpeg\r\n'
    length = int(answer.readline().partition(b':')[2])
    assert answer.readline() == b'\r\n'
    return decode(answer.read(length))


def decode(jpeg: bytes) -> np.ndarray:
    assert jpeg, 'no answer'
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def test_what_can_not_start_says_what_to_do(view: View) -> None:
    taken = start('--port', str(view.port))
    text, _ = taken.communicate(timeout=30)
    assert taken.returncode == 1
    assert f'port {view.port}' in text
    assert f'paif-view --port {view.port + 1}' in text
    for module in ('paif_ros.view', 'paif_ros.view.panel_node'):
        wrong = start('--node', 'two words', module=module)
        text, _ = wrong.communicate(timeout=30)
        assert wrong.returncode == 1
        assert '--node' in text
        assert 'Traceback' not in text
