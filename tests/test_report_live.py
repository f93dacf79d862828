"""A running node watched for a report, and logged to Rerun, each from a process of its own."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2 (or its wheels) in this Python')
pytest.importorskip('matplotlib', reason='pip install -r requirements/report.txt')

import rerun_files
import tiny_model
from ros_checks import PERIOD, START, assert_balanced, camera_pair
from ros_rig import ROOT, Rig, environment, image

RERUN = importlib.util.find_spec('rerun') is not None


def start(module: str, *arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, '-m', module, *map(str, arguments)],
        cwd=ROOT,
        env={**environment(), 'PYTHONUNBUFFERED': '1'},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_running_node_is_reported_on_and_logged(tiny: Path, tmp_path: Path) -> None:
    page, log = tmp_path / 'robot.html', tmp_path / 'robot.rrd'
    with Rig(tiny, listen=()) as rig:
        watchers = [start('paif_ros.report', '--live', '-o', page, '--patience', '60')]
        if RERUN:
            watchers.append(start('paif_ros.view.rerun_node', '--save', log, '--rate', '100'))
        color, heat = camera_pair(0)
        sent = 0

        def send() -> None:
            nonlocal sent
            stamp = START + sent * PERIOD
            rig.send(image(color, stamp, 'rgb'), image(heat, stamp, 'thermal'))
            sent += 1
            rig.spin(0.1)

        masks = '/fusion/segmentation/mask'
        fused = '/fusion/fused/image'
        rig.until(lambda: rig.node.count_subscribers(masks) == len(watchers), 60.0)
        # The report's watcher asks for a key frame's pictures at first, then leaves them alone.
        for _ in range(600):
            send()
            if (
                rig.count('pairs.fused') > 5
                and rig.node.count_subscribers(fused) == len(watchers) - 1
            ):
                break
        else:
            raise AssertionError('no key frame was taken')
        before = rig.count('pairs.fused')
        while rig.count('pairs.fused') < before + 10:
            send()
        if RERUN:  # it has the classes when it says so
            assert watchers[1].stdout is not None
            assert any('classes background' in line for line in watchers[1].stdout)
        for watcher in watchers:
            watcher.send_signal(signal.SIGINT)
        for watcher in watchers:
            text, _ = watcher.communicate(timeout=60)
            assert watcher.returncode == 0, text
            assert 'Traceback' not in text
        ending = rig.stop()
        assert ending.code == 0, ending.text
        assert_balanced(rig)
    text = page.read_text('utf-8')
    assert '<h1>/fusion ' in text
    assert text.count('data:image/jpeg;base64,') == 1
    for name in ('Latency', 'Class areas', 'Key frames', 'rclpy', 'What the node said'):
        assert name in text, name
    marked = set(re.findall(r'class="marked"><th>([\w.]+)</th>', text))
    assert {'model_path', 'diagnostics.rate', 'engine.threads'} <= marked, 'asked from the node'
    for label in tiny_model.CLASSES[1:]:
        assert f'>{label.name}<' in text
    if RERUN:
        logged = rerun_files.entities(log)
        for entity in ('/result/mask', '/result/fused', '/cameras/rgb', '/latency/total', '/log'):
            assert entity in logged, entity
        names = {number: name for number, (name, _) in rerun_files.annotations(log).items()}
        assert names == {label.id: label.name for label in tiny_model.CLASSES}


def test_a_node_that_is_not_there_is_told(tmp_path: Path) -> None:
    process = start('paif_ros.report', '--live', '--patience', '0.5', '-o', tmp_path / 'x.html')
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert 'no diagnostics of /fusion' in text
    assert 'Traceback' not in text
    assert not os.listdir(tmp_path)
