"""The file with many pairs of cameras."""

from __future__ import annotations

from pathlib import Path

import pytest

from paif_ros.errors import ParameterError
from paif_ros.pairs import image_remappings, load

ROOT = Path(__file__).resolve().parents[1]


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / 'pairs.yaml'
    path.write_text(text)
    return path


def test_the_shipped_example() -> None:
    front, rear = load(ROOT / 'config' / 'multi.yaml')
    assert (front.namespace, rear.namespace) == ('front', 'rear')
    assert front.parameters == {'engine.threads': 2}
    assert rear.parameters == {
        'engine.threads': 2,
        'sync.mode': 'hold_thermal',
        'sync.max_age': 0.15,
    }
    assert dict(rear.remappings)['thermal/image_raw'] == '/rear/thermal/image_raw'
    assert dict(rear.remappings)['color/camera_info'] == '/rear/color/camera_info'


def test_a_pair_without_anything_has_the_defaults(tmp_path: Path) -> None:
    (pair,) = load(write(tmp_path, 'pairs: {robot/front: }'))
    assert pair.namespace == 'robot/front'
    assert pair.parameters == {}
    assert dict(pair.remappings)['color/image_raw'] == 'color/image_raw'


def test_whole_numbers_for_lengths(tmp_path: Path) -> None:
    (pair,) = load(write(tmp_path, 'pairs: {a: {parameters: {sync.timeout: 3}}}'))
    assert pair.parameters == {'sync.timeout': 3.0}
    assert isinstance(pair.parameters['sync.timeout'], float)


@pytest.mark.parametrize(
    ('text', 'name', 'told'),
    [
        ('pairs: [', 'pairs', 'a YAML file'),
        ('[1]', 'the file', 'a mapping'),
        ('pairs: {}', 'pairs', 'one entry or more'),
        ('pair: {a: }', 'the file', 'only the keys parameters, pairs'),
        ('pairs: {"1 a": }', 'pairs', 'namespaces such as'),
        ('pairs: {3: }', 'pairs', 'namespaces such as'),
        ('pairs: {a: {colour_topic: /x}}', 'pairs.a', 'only the keys color_topic'),
        ('pairs: {a: {color_topic: 3}}', 'pairs.a.color_topic', 'the name of a topic'),
        ('pairs: {a: {color_topic: "a b"}}', 'pairs.a.color_topic', 'the name of a topic'),
        ('pairs: {a: {parameters: {sync.slop: 7}}}', 'sync.slop', 'double from 0 to 1'),
        ('pairs: {a: {parameters: {sync: {slp: 7}}}}', 'pairs.a.parameters.sync.slp', 'README'),
        ('parameters: 3\npairs: {a: }', 'parameters', 'a mapping'),
        (
            'pairs: {a: {color_topic: /x}, a: {color_topic: /y}}',
            'pairs',
            "is 'a', allowed: each key",
        ),
        ('pairs: !!python/object/apply:os.system ["true"]', 'pairs', 'a YAML file'),
        ('# much\n' * 200_000, 'pairs', 'at most 1048576 bytes'),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, name: str, told: str) -> None:
    with pytest.raises(ParameterError) as caught:
        load(write(tmp_path, text))
    assert caught.value.name == name
    assert told in str(caught.value)


def test_qos_of_one_pair(tmp_path: Path) -> None:
    text = 'pairs: {a: {parameters: {qos_overrides./a/x.subscription.depth: 3}}}'
    (pair,) = load(write(tmp_path, text))
    assert pair.parameters == {'qos_overrides./a/x.subscription.depth': 3}


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match='No such file'):
        load(tmp_path / 'none.yaml')


@pytest.mark.parametrize(
    ('given', 'expected'),
    [
        ({}, 'color/camera_info'),
        ({'color_topic': '/camera/image_raw'}, '/camera/camera_info'),
        ({'color_topic': 'image'}, 'camera_info'),
        ({'color_topic': '/a/b', 'color_info_topic': '/other/info'}, '/other/info'),
        ({'color_topic': '/a/b', 'color_info_topic': ''}, '/a/camera_info'),
    ],
)
def test_camera_info_is_beside_the_image(given: dict[str, str], expected: str) -> None:
    """The command in the README names the images only."""
    assert dict(image_remappings(given))['color/camera_info'] == expected
