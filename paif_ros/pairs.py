"""The file that names many pairs of cameras, for launch/multi.launch.py and `fusion --pairs`.

config/multi.yaml is an example. Its `parameters` hold for every pair, those of a pair for that
one alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paif_ros.errors import ParameterError
from paif_ros.parameters import Value, specs

MAX_BYTES = 2**20
MAX_NESTING = 8  # of parameters; YAML can name a mapping inside itself
NAMESPACE = re.compile(r'[A-Za-z][A-Za-z0-9_]*(/[A-Za-z][A-Za-z0-9_]*)*')
TOPICS = ('color_topic', 'color_info_topic', 'thermal_topic', 'thermal_info_topic')


@dataclass(frozen=True)
class CameraPair:
    """One pair of cameras.

    Attributes:
        namespace: of its node, without a leading slash.
        remappings: the node's topics to the cameras'.
        parameters: values by dotted name, checked.
    """

    namespace: str
    remappings: tuple[tuple[str, str], ...]
    parameters: Mapping[str, Value]


def load(path: Path | str) -> list[CameraPair]:
    """Read the file.

    Raises:
        ParameterError: it can't be read, or what it says is not allowed; it names the key.
    """
    import yaml

    path = Path(path)
    try:
        with path.open('rb') as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as err:
        raise ParameterError('pairs', str(path), f'a file that can be read ({err})') from err
    if len(raw) > MAX_BYTES:
        raise ParameterError('pairs', str(path), f'a file of at most {MAX_BYTES} bytes')
    try:
        twice = _named_twice(yaml.compose(raw, Loader=yaml.SafeLoader))
        tree = yaml.safe_load(raw)
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as err:
        text = ' '.join(str(err).split())
        raise ParameterError('pairs', str(path), f'a YAML file ({text})') from err
    if twice:
        raise ParameterError('pairs', twice, 'each key once')
    top = _mapping('the file', tree, ('parameters', 'pairs'))
    shared = _parameters('parameters', top.get('parameters') or {})
    pairs = _mapping('pairs', top.get('pairs'))
    if not pairs:
        raise ParameterError('pairs', pairs, 'one entry or more, each named by its namespace')
    return [_pair(name, entry, shared) for name, entry in pairs.items()]


def image_remappings(topics: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the remappings for a node from launch-style topic names.

    Args:
        topics: any of `TOPICS`; without an info topic the one beside the image topic is taken,
            where drivers put it.
    """
    remappings = []
    for camera in ('color', 'thermal'):
        image = topics.get(f'{camera}_topic') or f'{camera}/image_raw'
        folder, slash, _ = image.rpartition('/')
        info = topics.get(f'{camera}_info_topic') or f'{folder}{slash}camera_info'
        remappings += [
            (f'{camera}/image_raw', image),
            (f'{camera}/camera_info', info),
        ]
    return remappings


def _pair(name: object, entry: object, shared: Mapping[str, Value]) -> CameraPair:
    if not isinstance(name, str) or not NAMESPACE.fullmatch(name):
        raise ParameterError('pairs', name, 'namespaces such as front or robot/front')
    values = _mapping(f'pairs.{name}', entry or {}, (*TOPICS, 'parameters'))
    topics = {key: values[key] for key in TOPICS if key in values}
    for key, topic in topics.items():
        if not isinstance(topic, str) or not topic or re.search(r'\s', topic):
            raise ParameterError(f'pairs.{name}.{key}', topic, 'the name of a topic')
    own = _parameters(f'pairs.{name}.parameters', values.get('parameters') or {})
    return CameraPair(name, tuple(image_remappings(topics)), {**shared, **own})


def _named_twice(node: Any, depth: int = 0) -> str:
    """Return the first key that its mapping has twice, which YAML readers swallow, or ''."""
    if type(node).__name__ != 'MappingNode' or depth > MAX_NESTING:
        return ''
    seen: set[str] = set()
    for key, value in node.value:
        if (name := str(key.value)) in seen:
            return name
        seen.add(name)
        if found := _named_twice(value, depth + 1):
            return found
    return ''


def _mapping(key: str, tree: object, known: tuple[str, ...] = ()) -> Mapping[Any, Any]:
    if not isinstance(tree, dict):
        raise ParameterError(key, tree, 'a mapping')
    if known and (strange := [name for name in tree if name not in known]):
        raise ParameterError(key, strange[0], f'only the keys {", ".join(known)}')
    return tree


def _parameters(key: str, tree: object) -> dict[str, Value]:
    declared = specs()
    values: dict[str, Value] = {}
    for name, value in flat(_mapping(key, tree)):
        if name.startswith('qos_overrides.'):  # the node checks these when it is activated
            values[name] = value
            continue
        if name not in declared:
            raise ParameterError(f'{key}.{name}', value, 'a parameter of the README table')
        spec = declared[name]
        # YAML's 1 is an integer; nobody who writes it for a length in seconds means that.
        as_float = spec.type == 'double' and type(value) is int
        values[name] = float(value) if as_float else value
        spec.check(values[name])
    return values


def flat(tree: Mapping[Any, Any], prefix: str = '') -> Iterator[tuple[str, Any]]:
    """Yield the parameters of nested mappings by dotted name, to a depth of `MAX_NESTING`."""
    for key, value in tree.items():
        if isinstance(value, dict) and prefix.count('.') < MAX_NESTING:
            yield from flat(value, f'{prefix}{key}.')
        else:
            yield f'{prefix}{key}', value
