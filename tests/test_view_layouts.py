"""rviz's and Foxglove's files name what the node publishes, with a QoS that gets it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from paif_ros.fusion.outgoing import PICTURES
from paif_ros.monitoring.statistics import STAGES
from paif_ros.view.panel_node import TOPIC

ROOT = Path(__file__).resolve().parents[1]
NODE = '/fusion'
# Topic -> whether the node offers it reliably. A camera of any kind gets through best effort only.
OFFERED = {topic.name.replace('~', NODE, 1): True for topic in PICTURES.values()}
OFFERED |= {f'{NODE}/{TOPIC}': True}
CAMERAS = {'/color/image_raw': False, '/thermal/image_raw': False}
LOOKED_AT = {
    '/color/image_raw', '/fusion/thermal/image', '/fusion/fused/image',
    '/fusion/segmentation/overlay', '/fusion/segmentation/color_mask',
}  # fmt: skip


def rviz() -> dict[str, Any]:
    return yaml.safe_load((ROOT / 'rviz' / 'fusion.rviz').read_text('utf-8'))


def displays() -> list[dict[str, Any]]:
    return rviz()['Visualization Manager']['Displays']


def test_rviz_shows_what_is_published() -> None:
    shown = {display['Topic']['Value'] for display in displays()}
    assert shown == {*LOOKED_AT, f'{NODE}/{TOPIC}'}
    assert shown <= set(OFFERED) | set(CAMERAS)


@pytest.mark.parametrize('display', displays(), ids=lambda display: display['Name'])
def test_rviz_asks_for_a_qos_that_fits(display: dict[str, Any]) -> None:
    """By ROS 2's rules: best effort and volatile take everything, reliable needs reliable."""
    assert display['Class'] == 'rviz_default_plugins/Image'
    topic = display['Topic']
    assert topic['Durability Policy'] == 'Volatile'
    assert topic['History Policy'] == 'Keep Last'
    assert 1 <= topic['Depth'] <= 10
    offered = {**OFFERED, **CAMERAS}[topic['Value']]
    assert topic['Reliability Policy'] == 'Best Effort' or offered


def test_every_window_of_rviz_has_its_place() -> None:
    """Qt's saved state names a dock as UTF-16; one that it does not name opens anywhere."""
    geometry = rviz()['Window Geometry']
    state = bytes.fromhex(geometry['QMainWindow State'])
    for display in displays():
        name = display['Name']
        assert name in geometry
        assert name.encode('utf-16-be') in state, name


def test_the_launch_file_leads_rviz_into_a_namespace() -> None:
    text = (ROOT / 'launch' / 'fusion.launch.py').read_text('utf-8')
    for display in displays():
        topic = display['Topic']['Value']
        assert repr(topic.removeprefix(f'{NODE}/')) in text or repr(topic) in text, topic


def foxglove() -> dict[str, Any]:
    return json.loads((ROOT / 'foxglove' / 'fusion.json').read_text('utf-8'))


def test_foxglove_shows_what_is_published() -> None:
    panels = foxglove()['configById']
    images = {
        panel['imageMode']['imageTopic']
        for name, panel in panels.items()
        if name.startswith('Image!')
    }
    assert images == LOOKED_AT
    diagnostics = [panel for name, panel in panels.items() if name.startswith('Diagnostic')]
    assert {panel['topicToRender'] for panel in diagnostics} == {'/diagnostics'}
    assert panels['DiagnosticStatusPanel!fusion']['selectedName'] == f'{NODE}: fusion'


def test_foxglove_plots_keys_that_the_node_has() -> None:
    from paif_ros.monitoring.diagnostics import Moment, status
    from paif_ros.monitoring.statistics import Statistics
    from paif_ros.parameters import Parameters, specs

    values = Parameters.from_values({name: spec.default for name, spec in specs().items()})
    moment = Moment(0, 'active', '', Statistics().snapshot(), values)
    known = dict(status(moment, moment).values)
    paths = [
        path
        for name, panel in foxglove()['configById'].items()
        if name.startswith('Plot!')
        for path in panel['paths']
    ]
    assert len(paths) >= 6
    for path in paths:
        found = re.fullmatch(
            r'/diagnostics\.status\[:\]\{name=="/fusion: fusion"\}'
            r'\.values\[:\]\{key=="([\w.]+)"\}\.value',
            path['value'],
        )
        assert found, path
        assert found[1] in known
        assert path['enabled'], 'a path without it draws nothing'
    assert f'latency.{STAGES[-1]}.p99_ms' in json.dumps(paths)


def test_foxglove_places_every_panel_once() -> None:
    tree = foxglove()
    placed: list[str] = []

    def walk(part: Any) -> None:
        if isinstance(part, str):
            placed.append(part)
            return
        assert part['direction'] in ('row', 'column')
        assert 0 < part['splitPercentage'] < 100
        walk(part['first'])
        walk(part['second'])

    walk(tree['layout'])
    assert sorted(placed) == sorted(tree['configById'])
