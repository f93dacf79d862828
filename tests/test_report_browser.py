"""What a person sees: the report and the view's page in headless Chromium, light and dark.

With PAIF_SCREENSHOTS=FOLDER the pictures are kept there, to be looked at.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import report_runs as runs

playwright = pytest.importorskip('playwright.sync_api', reason='pip install playwright')
pytest.importorskip('matplotlib', reason='pip install -r requirements/report.txt')

from paif_ros.images.codec import pack
from paif_ros.report.key_frames import KeyFrames
from paif_ros.report.make import make_report
from paif_ros.view.gallery import Gallery, Look
from paif_ros.view.pictures import CHOICES, read
from paif_ros.view.server import ViewServer
from paif_ros.view.status import NodeStatus, PictureStatus, ViewStatus

CHROMIUM = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser'))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason='no Chromium: apt install chromium')
QUIET = (
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync',
)  # fmt: skip


@pytest.fixture(scope='module')
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield started
        started.close()


class Page:
    """A page, and everything that it asked for or complained about."""

    def __init__(self, browser: Any, scheme: str, width: int = 1366) -> None:
        size = {'width': width, 'height': 768}
        self.page = browser.new_context(color_scheme=scheme, viewport=size).new_page()
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.page.on('request', lambda request: self.asked.append(request.url))
        self.page.on('console', lambda message: self.complaints.append(message.text))
        self.page.on('pageerror', lambda error: self.complaints.append(str(error)))

    def picture(self, name: str, full: bool = False) -> np.ndarray:
        """Return a screenshot, uint8 [H, W, 3] BGR, and keep it where asked to."""
        data = self.page.screenshot(full_page=full)
        if folder := os.environ.get('PAIF_SCREENSHOTS'):
            Path(folder, f'{name}.png').write_bytes(data)
        return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)

    def until(self, truth: str) -> None:
        """Wait for something to be so; the page's policy forbids what playwright has for it."""
        for _ in range(200):
            if self.page.evaluate(truth):
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(f'waited in vain: {truth}')

    def wider_than_its_window(self) -> bool:
        return bool(self.page.evaluate('document.documentElement.scrollWidth > window.innerWidth'))


@pytest.fixture(scope='module')
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = runs.write_run(tmp_path_factory.mktemp('run'), 120)
    sink = KeyFrames()
    sink.begin(runs.beginning(folder))
    for row in runs.rows(120):
        sink.take(runs.fused(row))
    sink.checkpoint()
    return make_report(folder)


@pytest.mark.parametrize(('scheme', 'width'), [('light', 1366), ('dark', 700)])
def test_a_report_opens_without_network_script_or_complaint(
    browser: Any, report: Path, scheme: str, width: int
) -> None:
    page = Page(browser, scheme, width)
    page.page.goto(report.as_uri(), wait_until='load')
    assert [url for url in page.asked if not url.startswith('data:')] == [report.as_uri()]
    assert page.complaints == []
    assert not page.wider_than_its_window()
    assert page.page.evaluate('[...document.images].every(image => image.naturalWidth > 0)')
    boxes = page.page.evaluate(
        "[...document.querySelectorAll('svg')].map(svg => svg.getBoundingClientRect().width)"
    )
    assert len(boxes) == 7
    assert min(boxes) > 250
    # The letters of the drawings can be read on the ground of the page.
    ink, ground = page.page.evaluate(
        """() => [getComputedStyle(document.querySelector('svg text')).fill,
                  getComputedStyle(document.querySelector('section')).backgroundColor]"""
    )
    assert abs(brightness(ink) - brightness(ground)) > 80
    whole = page.picture(f'report_{scheme}', full=True)
    dark = np.median(whole) < 128
    assert dark == (scheme == 'dark')


def brightness(color: str) -> float:
    return float(np.mean([float(part) for part in re.findall(r'[\d.]+', color)[:3]]))


@pytest.fixture
def site() -> Iterator[ViewServer]:
    """A view without ROS: a red fused picture, a blue mask, a node that says what it does."""
    values = {
        'state': 'active', 'results.rate_hz': '9.90', 'visible.dropped.no_partner': '7',
        'latency.total.p50_ms': '41.5', 'latency.total.p99_ms': '60.0',
        'thermal.agc.mode': 'percentile', 'thermal.agc.low': '1', 'thermal.agc.high': '9',
        'thermal.agc.unit': 'counts', 'engine.backend': '<b>onnxruntime</b>',
    }  # fmt: skip
    gallery = Gallery({choice.name: read for choice in CHOICES}, Look())
    for name, color in (('fused', (200, 0, 0)), ('mask', (0, 0, 200))):
        message = SimpleNamespace()
        pack(message, np.full((48, 64, 3), color, np.uint8), 'rgb8')
        gallery.put(name, message)

    def status(clients: int) -> ViewStatus:
        node = NodeStatus('/fusion', 'WARN', 'thermal frozen for 1.2 s', values)
        problems = {'rgb': 'nothing publishes /color/image_raw'}
        pictures = [
            PictureStatus(c.name, c.title, f'/{c.name}', 1, 9.5, problems.get(c.name, ''))
            for c in CHOICES
        ]
        classes = '[{"id": 1, "name": "car", "color": [0, 120, 255]}]'
        return ViewStatus(node, 0.3, (), tuple(pictures), classes, clients)

    server = ViewServer('127.0.0.1', 0, gallery, status, rate=10.0, streams=4)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    gallery.close()
    server.shutdown()
    server.server_close()
    thread.join(10)


def test_the_view_shows_pictures_and_numbers(browser: Any, site: ViewServer) -> None:
    page = Page(browser, 'dark')
    page.page.goto(f'{site.url}#mask')
    page.page.wait_for_selector('#latency tr.total')
    page.until("document.getElementById('picture').naturalWidth === 64")
    center = page.picture('view_dark')[300, 300]
    assert center[0] > 150 > center[2], 'the mask, which is blue'
    page.page.click('nav button:has-text("Fused")')
    page.until("document.getElementById('picture').src.endsWith('/stream/fused')")
    for _ in range(40):  # the stream's first picture takes as long as the machine is busy
        page.page.wait_for_timeout(250)
        center = page.picture('view_fused')[300, 300]
        if center[2] > 150 > center[0]:
            break
    assert center[2] > 150 > center[0], 'the fused picture, which is red'
    text = page.page.inner_text('body')
    for word in ('WARN', 'thermal frozen for 1.2 s', 'RGB: no partner', '41.5', '9.9 Hz', 'car'):
        assert word in text, word
    assert '<b>onnxruntime</b>' in text, 'what a node says of itself is no HTML'
    assert not page.wider_than_its_window()
    page.page.click('nav button:has-text("RGB")')
    page.page.wait_for_selector('#problem:not([hidden])')
    assert 'nothing publishes /color/image_raw' in page.page.inner_text('#problem')
    assert all(url.startswith((site.url, 'data:')) for url in page.asked), page.asked
    assert page.complaints == []
