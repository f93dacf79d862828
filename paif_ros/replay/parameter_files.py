"""The node's parameters without ROS: the same YAML files and the same `-p` as for the node."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from paif_ros.errors import ParameterError
from paif_ros.pairs import MAX_BYTES, flat
from paif_ros.parameters import Parameters, Value, specs

# What belongs to ROS: it may stand in the file, and says nothing to a replay.
OF_ROS = ('qos_overrides.', 'use_sim_time', 'start_type_description_service')


def read_parameters(
    files: Sequence[Path], given: Sequence[str], model: str, node: str = '/fusion'
) -> dict[str, Value]:
    """Return every parameter by dotted name.

    Args:
        files: as `--params-file` of ROS takes them; later ones win.
        given: `name:=value` each, the value as YAML; they win over the files.
        model: value of model_path where nobody sets one.
        node: full name of the node that they are for.

    Raises:
        ParameterError: a file can't be read, or a name or value is not allowed.
    """
    declared = specs()
    values: dict[str, Value] = {name: spec.default for name, spec in declared.items()}
    wanted = [*(pair for path in files for pair in _of_file(path, node)), *map(_of_line, given)]
    for name, value in wanted:
        if name.startswith(OF_ROS):
            continue
        if name not in declared:
            near = get_close_matches(name, declared, 1)
            hint = f'is it {near[0]}?' if near else 'docs/node.md lists them'
            raise ParameterError(name, value, f'a parameter of the node; {hint}')
        spec = declared[name]
        # YAML's 1 is an integer; nobody who writes it for a length in seconds means that.
        whole = spec.type == 'double' and type(value) is int
        values[name] = float(value) if whole else value
        spec.check(values[name])
    if not values['model_path']:
        values['model_path'] = model
    Parameters.from_values(values)  # checks those that depend on each other
    return values


def _of_line(text: str) -> tuple[str, Any]:
    import yaml

    name, mark, value = text.partition(':=')
    if not mark or not name:
        raise ParameterError('-p', text, 'name:=value')
    try:
        return name, yaml.safe_load(value) if value else ''
    except yaml.YAMLError as err:
        raise ParameterError(name, value, 'a value in YAML') from err


def _of_file(path: Path, node: str) -> Iterator[tuple[str, Any]]:
    """Yield what a file has for the node; what is more specific comes later."""
    import yaml

    try:
        with path.open('rb') as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise ParameterError('params-file', str(path), f'at most {MAX_BYTES} bytes')
        tree = yaml.safe_load(raw)
    except OSError as err:
        raise ParameterError('params-file', str(path), f'a readable file ({err})') from err
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as err:
        text = ' '.join(str(err).split())
        raise ParameterError('params-file', str(path), f'a YAML file ({text})') from err
    if not isinstance(tree, dict):
        raise ParameterError('params-file', str(path), 'NODE: ros__parameters: name: value')
    name = node.rpartition('/')[2]
    known = ('/**', '**', f'/**/{name}', name, node)
    found = False
    for key in known:
        entry = tree.get(key)
        if isinstance(entry, dict) and isinstance(entry.get('ros__parameters'), dict):
            found = True
            yield from flat(entry['ros__parameters'])
    if not found:
        text = f'an entry /** or {node} with ros__parameters, as in config/fusion.yaml'
        raise ParameterError('params-file', str(path), text)


def shipped_model() -> str:
    """Return the path of the model that comes with this package, '' where there is none."""
    here = Path(__file__).resolve()
    checkout = here.parents[2] / 'models' / 'weights'
    installed = [parent / 'share' / 'paif_ros' / 'models' for parent in here.parents]
    for folder in (checkout, *installed):
        if (folder / 'paif_small.onnx').is_file():
            return str(folder / 'paif_small.onnx')
    return ''
