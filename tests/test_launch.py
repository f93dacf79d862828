"""The launch files: what is missing is said before anything starts, and what starts after what.

launch and launch_ros are not on PyPI: the tests that run a launch are skipped without them.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from paif_ros import rosbag2
from paif_ros.errors import ParameterError
from paif_ros.ros_packages import check_packages

ROOT = Path(__file__).resolve().parents[1]
needs_launch = pytest.mark.skipif(
    importlib.util.find_spec('launch_ros') is None, reason='needs launch_ros, which PyPI lacks'
)


def test_a_missing_package_is_named_with_what_brings_it() -> None:
    def check(*installed: str) -> None:
        check_packages(
            'rviz',
            ['rviz2', 'rviz_x'],
            installed,
            debian=['rviz2'],
            instead='that',
            distro='humble',
        )

    check('rviz2', 'rclpy', 'rviz_x')
    with pytest.raises(ParameterError, match='rviz2 not installed') as caught:
        check('rclpy', 'rviz_x')
    assert caught.value.name == 'rviz'
    assert 'rviz_x' not in str(caught.value)
    assert 'sudo apt install ros-humble-rviz2' in caught.value.allowed
    assert caught.value.allowed.endswith('or that')


def test_launch_files_send_no_colours_into_a_pipe() -> None:
    for path in (ROOT / 'launch').glob('*.launch.py'):
        values = [
            ast.unparse(node.value)
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.keyword) and node.arg == 'emulate_tty'
        ]
        values += [
            ast.unparse(value)
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Dict)
            for key, value in zip(node.keys, node.values, strict=True)
            if isinstance(key, ast.Constant) and key.value == 'emulate_tty'
        ]
        assert values == ['sys.stdout.isatty()'], path


@pytest.fixture
def fusion(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """launch/fusion.launch.py, with this checkout as the share folder of paif_ros."""
    spec = importlib.util.spec_from_file_location(
        'fusion_launch', ROOT / 'launch/fusion.launch.py'
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, 'fusion_launch', module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, 'get_package_share_directory', lambda _: str(ROOT))
    return module


def described(module: ModuleType, **given: str) -> list[object]:
    """What the launch would start, in order."""
    from launch import LaunchContext

    context = LaunchContext()
    defaults = {one.name: one.default_value for one in module.arguments(ROOT)}
    for name, value in defaults.items():
        text = ''.join(part.perform(context) for part in value or [])
        context.launch_configurations[name] = given.get(name, text)
    return list(module.fusion_node(context))


@needs_launch
def test_without_rviz_nothing_starts(fusion: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fusion, 'get_packages_with_prefixes', lambda: ['paif_ros'])
    assert len(described(fusion)) == 1
    with pytest.raises(ParameterError, match='rviz2 not installed') as caught:
        described(fusion, rviz='true')
    assert 'paif_ros view' in caught.value.allowed


@needs_launch
def test_rviz_comes_with_the_picture_of_diagnostics(
    fusion: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fusion, 'get_packages_with_prefixes', lambda: ['rviz2'])
    panel, rviz, node = described(fusion, rviz='true')
    executables = [one.node_executable for one in (panel, rviz, node)]  # type: ignore[attr-defined]
    assert executables == ['panel', 'rviz2', 'fusion']


@needs_launch
def test_the_player_waits_for_the_node_and_its_end_ends_all(
    fusion: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from launch.actions import ExecuteProcess, RegisterEventHandler

    (tmp_path / 'drive').mkdir()
    (tmp_path / 'drive' / 'metadata.yaml').touch()
    given = {'bag': str(tmp_path / 'drive'), 'bag_out': str(tmp_path / 'out')}
    monkeypatch.setattr(fusion, 'get_packages_with_prefixes', lambda: list(rosbag2.PACKAGES))
    recorder, active, ended, node = described(fusion, **given)
    assert isinstance(recorder, ExecuteProcess)
    assert isinstance(active, RegisterEventHandler)
    assert isinstance(ended, RegisterEventHandler)
    assert isinstance(node, fusion.LifecycleNode)
    with pytest.raises(ParameterError, match='bag_rate'):
        described(fusion, **given, bag_rate='fast')
