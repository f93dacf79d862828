"""The SROS2 policy is complete, nothing from outside is run, and everything has a size limit."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from paif_ros import pairs
from paif_ros.contract import MAX_CLASSES, ModelCard
from paif_ros.errors import CalibrationError, EngineMismatch, ImageFormatError, ParameterError
from paif_ros.images import codec, compressed
from paif_ros.registration import calibration
from paif_ros.registration.alignment import points

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(ROOT.glob('paif_ros/**/*.py'))
POLICY = ROOT / 'config' / 'sros2_policy.xml'
ROS = importlib.util.find_spec('rclpy') is not None
LABELS = '/fusion/segmentation/label_info'  # where vision_msgs is installed

# ---- the policy


def resolved(name: str) -> str:
    """Return the full name of a topic or service of a node /fusion, as sros2 reads it."""
    if name.startswith('~/'):
        return f'/fusion/{name[2:]}'
    return name if name.startswith('/') else f'/{name}'


def allowed() -> dict[str, set[str]]:
    """Return what the policy allows, full names by publish, subscribe, reply and request."""
    (profile,) = ElementTree.parse(POLICY).getroot().iter('profile')
    assert (profile.get('ns'), profile.get('node')) == ('/', 'fusion')
    found: dict[str, set[str]] = {
        kind: set() for kind in ('publish', 'subscribe', 'reply', 'request')
    }
    for group in profile:
        for kind, rule in group.attrib.items():
            assert rule == 'ALLOW'
            found[kind] |= {resolved((item.text or '').strip()) for item in group}
    return found


def on_the_graph(tiny: Path, **parameters: str) -> dict[str, set[str]]:
    """Return what the running node has, by what a policy would have to allow."""
    from ros_rig import Rig

    with Rig(tiny, listen=(), raw=not parameters, use_sim_time='true', **parameters) as rig:

        def names(ask: Any) -> set[str]:
            return {name for name, _ in ask('fusion', '/')}

        def look() -> dict[str, set[str]]:
            return {
                'publish': names(rig.node.get_publisher_names_and_types_by_node),
                'subscribe': names(rig.node.get_subscriber_names_and_types_by_node),
                'reply': names(rig.node.get_service_names_and_types_by_node),
                'request': names(rig.node.get_client_names_and_types_by_node),
            }

        found: list[dict[str, set[str]]] = [{}, {}]

        def settled() -> bool:
            """Whether the graph, which comes bit by bit, has not changed for a second."""
            rig.spin(0.5)
            found.append(look())
            still = found[-1] == found[-2] == found[-3]
            return still and '/fusion/validity' in found[-1]['publish']

        rig.until(settled, 60.0)  # of two distros at once, discovery takes its time
        return found[-1]


@pytest.mark.skipif(not ROS, reason='needs ROS 2 (or its wheels) in this Python')
def test_the_policy_allows_what_the_node_has_and_no_more(tiny: Path) -> None:
    raw = on_the_graph(tiny)
    small = on_the_graph(
        tiny, input__color_transport='compressed', input__thermal_transport='compressed'
    )
    has = {kind: raw[kind] | small[kind] for kind in raw}
    assert '/clock' in has['subscribe']
    assert '/fusion/change_state' in has['reply']
    if importlib.util.find_spec('vision_msgs') is None:
        has['publish'].add(LABELS)
    assert allowed() == has


def test_the_policy_is_of_sros2s_schema() -> None:
    """Compare with what sros2 0.15's policy.xsd allows; lxml is not installed to ask it itself."""
    root = ElementTree.parse(POLICY).getroot()
    assert (root.tag, root.attrib) == ('policy', {'version': '0.2.0'})
    children = {
        'policy': {'enclaves'},
        'enclaves': {'enclave'},
        'enclave': {'profiles'},
        'profiles': {'profile'},
        'profile': {'topics', 'services'},
        'topics': {'topic'},
        'services': {'service'},
    }
    attributes = {
        'enclave': {'path'},
        'profile': {'ns', 'node'},
        'topics': {'publish', 'subscribe'},
        'services': {'reply', 'request'},
    }
    for element in root.iter():
        assert {child.tag for child in element} <= children.get(element.tag, set())
        if element is not root:
            assert set(element.attrib) <= attributes.get(element.tag, set())


# ---- nothing from outside is run

UNPICKLERS = {'pickle', 'marshal', 'shelve', 'dill', 'cloudpickle', 'joblib', 'torch'}
NETWORK = {'socket', 'urllib', 'http', 'requests', 'ftplib', 'smtplib', 'asyncio', 'xmlrpc'}
PROCESSES = {'subprocess', 'multiprocessing', 'pty', 'ctypes', 'code', 'runpy'}
VIEWER = ROOT / 'paif_ros' / 'view' / 'server.py'
RAY_HEAD = ROOT / 'paif_ros' / 'replay' / 'ray_head.py'  # starts Ray by its own command
ALLOWED = {
    VIEWER: ['import socket', 'import http', 'import http.server'],
    RAY_HEAD: ['import socket', 'import subprocess'],
}
RUNS = {'eval', 'exec', 'compile', '__import__', 'breakpoint'}
SAFE_YAML = {
    'safe_load', 'safe_dump', 'compose', 'parse', 'SafeLoader', 'YAMLError', 'AliasEvent',
    'CollectionStartEvent', 'CollectionEndEvent',
}  # fmt: skip


def unsafe(tree: ast.AST) -> Iterator[str]:
    """Yield what could run or fetch what comes from outside."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (f'import {alias.name}' for alias in node.names if risky(alias.name))
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ''
            if risky(module) or module == 'yaml':  # which would hide the names below
                yield f'import {module}'
        elif isinstance(node, ast.Name) and node.id in RUNS:
            yield node.id
        elif isinstance(node, ast.keyword) and node.arg in ('allow_pickle', 'shell'):
            yield node.arg
        elif isinstance(node, ast.Attribute) and risky_name(node):
            yield ast.unparse(node)


def risky(module: str) -> bool:
    return module.partition('.')[0] in UNPICKLERS | NETWORK | PROCESSES


def risky_name(node: ast.Attribute) -> bool:
    owner, name = ast.unparse(node.value), node.attr
    return (
        (owner == 'yaml' and name not in SAFE_YAML)
        or (owner == 'os' and name.startswith(('system', 'popen', 'exec', 'spawn')))
        or (owner in ('np', 'numpy') and name in ('load', 'fromfile', 'memmap'))
    )


@pytest.mark.parametrize('path', SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_unpickled_evaluated_or_fetched(path: Path) -> None:
    assert list(unsafe(ast.parse(path.read_text('utf-8')))) == ALLOWED.get(path, [])


def test_only_processes_of_their_own_serve() -> None:
    """`paif-view` (on loopback unless asked), `paif-replay --ray` (a token): never the node."""
    script = (
        'import sys, paif_ros.node; '
        'print([m for m in sys.modules if "paif_ros.view" in m or "ray_head" in m])'
    )
    command = [sys.executable, '-c', script]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout.strip()) == (0, '[]'), done.stderr


@pytest.mark.parametrize(
    ('code', 'found'),
    [
        ('import pickle', 'import pickle'),
        ('def f():\n    from torch import load', 'import torch'),
        ('import urllib.request', 'import urllib.request'),
        ('x = eval(text)', 'eval'),
        ('yaml.load(f, Loader=yaml.Loader)', 'yaml.load'),
        ('yaml.unsafe_load(f)', 'yaml.unsafe_load'),
        ('from yaml import load', 'import yaml'),
        ('np.load(path, allow_pickle=True)', 'np.load'),
        ('os.system(text)', 'os.system'),
    ],
)
def test_the_search_finds_what_is_unsafe(code: str, found: str) -> None:
    assert found in list(unsafe(ast.parse(code)))


# ---- limits

MEBIBYTE = 2**20


def image(height: int, width: int, encoding: str = 'mono8', pixel: int = 1) -> SimpleNamespace:
    """Return an image whose bytes are of the right number, though none of them is in memory."""
    data = np.broadcast_to(np.uint8(0), (1,)) if height * width > 2**29 else None
    return SimpleNamespace(
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=0,
        step=width * pixel,
        data=data if data is not None else bytes(height * width * pixel),
    )


def test_images_have_sides_up_to_8191() -> None:
    assert codec.decode_thermal(image(1, 8191)).shape == (1, 8191)
    assert codec.decode_thermal(image(8191, 1)).shape == (8191, 1)
    for wrong, field in ((image(8192, 1), 'height'), (image(1, 8192), 'width')):
        with pytest.raises(ImageFormatError) as caught:
            codec.check(wrong)
        assert caught.value.field == field


def test_images_have_up_to_256_mebibytes() -> None:
    most = image(4096, 8191, 'rgba16', 8)
    assert most.step * most.height > 255 * MEBIBYTE
    codec.check(most)
    with pytest.raises(ImageFormatError) as caught:
        codec.check(image(4098, 8191, 'rgba16', 8))
    assert caught.value.field == 'step'
    assert codec.MAX_BYTES == 256 * MEBIBYTE


def test_compressed_images_have_the_same_limits() -> None:
    """The size is read from the header of a picture of a few bytes, before it is decoded."""
    import cv2

    def png(height: int, width: int) -> SimpleNamespace:
        data = bytearray(cv2.imencode('.png', np.zeros((8, 8), np.uint8))[1].tobytes())
        data[16:24] = width.to_bytes(4, 'big') + height.to_bytes(4, 'big')
        return SimpleNamespace(format='mono8; png compressed ', data=bytes(data))

    compressed.check(png(1, 8191))
    for height, width, field in ((1, 8192, 'width'), (8192, 1, 'height')):
        with pytest.raises(ImageFormatError) as caught:
            compressed.check(png(height, width))
        assert caught.value.field == field
    with pytest.raises(ImageFormatError, match='what so few bytes can hold'):
        compressed.check(png(8191, 8191))


@pytest.mark.parametrize(
    ('load', 'limit', 'error'),
    [
        (pairs.load, pairs.MAX_BYTES, ParameterError),
        (calibration.load, calibration.MAX_FILE, CalibrationError),
        (points.read, points.MAX_FILE, CalibrationError),
    ],
    ids=['pairs', 'calibration', 'points'],
)
def test_files_have_a_limit_of_a_mebibyte_or_less(
    tmp_path: Path, load: Any, limit: int, error: type[Exception]
) -> None:
    assert limit <= MEBIBYTE
    path = tmp_path / 'file.yaml'
    path.write_text('#' * (limit + 1))
    with pytest.raises(error, match=f'at most {limit} bytes'):
        load(path)
    path.write_text('#' * limit)
    with pytest.raises(error) as caught:  # it says nothing, but is read
        load(path)
    assert 'at most' not in str(caught.value)


def test_a_file_that_contains_itself(tmp_path: Path) -> None:
    path = tmp_path / 'pairs.yaml'
    path.write_text('pairs: {a: {parameters: &a {sync: *a}}}')
    with pytest.raises(ParameterError, match=r'pairs\.a\.parameters'):
        pairs.load(path)


def test_models_have_up_to_256_classes(tiny: Path) -> None:
    import json

    import tiny_model

    good = tiny_model.card((48, 64)).to_metadata()
    (key,) = [key for key, value in good.items() if 'person' in value]

    def metadata(count: int) -> dict[str, str]:
        first = json.loads(good[key])[0]
        entries = [{**first, 'id': number, 'name': f'class {number}'} for number in range(count)]
        return {**good, key: json.dumps(entries)}

    assert len(ModelCard.from_metadata(metadata(256)).classes) == MAX_CLASSES == 256
    with pytest.raises(EngineMismatch):
        ModelCard.from_metadata(metadata(257))
