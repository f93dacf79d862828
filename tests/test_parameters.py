"""One truth for the parameters: the YAML against the dataclass, the config file and the checks."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest
import yaml

from paif_ros import parameters
from paif_ros.engines import BACKENDS
from paif_ros.errors import ParameterError
from paif_ros.parameters import Parameters, Spec, markdown, specs

ROOT = Path(__file__).resolve().parents[1]
WILD: tuple[Any, ...] = (
    *(0, 1, -1, 10**9, 0.0, 0.5, 1.0, 2.0, 50.0, 99.0, -273.15, 1e300),
    *(float('nan'), float('inf'), '', 'auto', 'pair', 'raw', 'none', 'clahe', 'x' * 1000),
    *(True, False, None, b'bytes', [1.0], ('pair',)),
)


def leaves(tree: dict[str, Any], prefix: str = '') -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat.update(
            leaves(value, f'{prefix}{key}.') if isinstance(value, dict) else {prefix + key: value}
        )
    return flat


def members(kind: type, prefix: str = '') -> dict[str, type]:
    """Return the leaves of a tree of dataclasses with their types."""
    hints = get_type_hints(kind, vars(parameters))
    flat: dict[str, type] = {}
    for field in fields(kind):
        hint = hints[field.name]
        name = prefix + field.name
        flat.update(members(hint, f'{name}.') if is_dataclass(hint) else {name: hint})
    return flat


def test_the_dataclass_has_these_names_and_types() -> None:
    assert members(Parameters) == {n: parameters.TYPES[s.type] for n, s in specs().items()}


def test_config_file_has_exactly_these_names_at_their_defaults() -> None:
    config = yaml.safe_load((ROOT / 'config' / 'fusion.yaml').read_text('utf-8'))
    values = leaves(config['/**']['ros__parameters'])
    assert values == {name: spec.default for name, spec in specs().items()}
    # ROS takes 1 for an integer and refuses it for a double.
    assert all(type(values[n]) is parameters.TYPES[s.type] for n, s in specs().items())


def test_every_default_is_allowed() -> None:
    for spec in specs().values():
        spec.check(spec.default)


def test_only_keys_of_the_dialect() -> None:
    """generate_parameter_library must be able to read the file too."""
    text = parameters.YAML_PATH.read_text('utf-8')
    known = {
        *('type', 'default_value', 'description'),
        *('read_only', 'additional_constraints', 'validation'),
    }
    rules = {'bounds<>', 'one_of<>'}

    def visit(entry: dict[str, Any]) -> None:
        if 'type' not in entry:
            for child in entry.values():
                visit(child)
            return
        assert set(entry) <= known
        assert entry['type'] in parameters.TYPES
        assert set(entry.get('validation', {})) <= rules

    visit(yaml.safe_load(text)['paif_ros'])


def test_backends_are_those_of_the_engines() -> None:
    assert specs()['engine.backend'].one_of == BACKENDS


@pytest.mark.parametrize(
    ('name', 'good', 'bad'),
    [
        ('overlay.alpha', [0.0, 0.5, 1.0], [-0.1, 1.01, 1, '0.5', None, float('nan')]),
        ('sync.queue_size', [1, 10, 1000], [0, 1001, 1.0, True]),
        ('engine.backend', ['auto', 'onnxruntime', 'tensorrt_rtx'], ['', 'AUTO', 3]),
        ('engine.overlap', ['auto', 'always', 'never'], ['', True, 'on']),
        ('engine.on_mismatch', ['rebuild', 'refuse'], ['', 'ignore']),
        ('engine.optimization_level', [0, 5], [-1, 6, 3.0]),
        ('engine.workspace_mib', [0, 500000], [-1, 500001]),
        ('model_path', ['/a/model.onnx', ''], [5]),
        ('thermal.min_span', [0.0, 2.5], [-1.0, 64]),
        ('autostart', [True, False], ['true', 1]),
    ],
)
def test_checks(name: str, good: list[Any], bad: list[Any]) -> None:
    spec = specs()[name]
    for value in good:
        spec.check(value)
    for value in bad:
        with pytest.raises(ParameterError) as caught:
            spec.check(value)
        assert caught.value.name == name
        assert repr(value) in str(caught.value)
        assert spec.allowed in str(caught.value)


def test_values_become_groups() -> None:
    values = {name: spec.default for name, spec in specs().items()}
    grouped = Parameters.from_values({**values, 'sync.slop': 0.5, 'model_path': 'a.onnx'})
    assert (grouped.model_path, grouped.sync.slop, grouped.sync.queue_size) == ('a.onnx', 0.5, 10)
    with pytest.raises(AttributeError):
        grouped.sync.slop = 1.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ('name', 'value', 'text'),
    [
        ('thermal.range_min', 65535.0, r'below thermal\.range_max \(65535\)'),
        ('registration.mode', 'homography', 'ros2 run paif_ros calibrate'),
    ],
)
def test_values_that_do_not_go_together(name: str, value: Any, text: str) -> None:
    values = {spec_name: spec.default for spec_name, spec in specs().items()}
    with pytest.raises(ParameterError, match=text):
        Parameters.from_values({**values, name: value})


def test_2000_random_sets_are_refused_with_a_text_or_kept() -> None:
    random = np.random.default_rng(3)
    declared = specs()
    kept = 0
    for _ in range(2000):
        values: dict[str, Any] = {name: spec.default for name, spec in declared.items()}
        name = list(values)[random.integers(len(values))]
        values[name] = WILD[random.integers(len(WILD))]
        try:
            declared[name].check(values[name])
            grouped = Parameters.from_values(values)
        except ParameterError as err:
            refused = err
        else:
            kept += 1
            assert leaves(asdict(grouped)) == values
            continue
        assert refused.name in values
        assert repr(refused.value) in str(refused)
    assert 200 < kept < 1800


def test_bool_parameters_are_understood() -> None:
    spec = Spec('x.on', 'bool', True, 'On.')
    spec.check(False)
    with pytest.raises(ParameterError):
        spec.check(1)
    assert spec.allowed == 'bool'


def test_the_table_has_a_row_for_each() -> None:
    rows = markdown().splitlines()[2:]
    assert [row.split('`')[1] for row in rows] == list(specs())
    assert all(row.count('|') == 6 for row in rows)
    result = subprocess.run(
        [sys.executable, '-m', 'paif_ros.parameters', '--markdown'],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=True,
    )
    assert result.stdout.strip() == markdown()


def test_readme_has_the_table() -> None:
    text = (Path(__file__).resolve().parents[1] / 'README.md').read_text('utf-8')
    _, _, rest = text.partition('<!-- parameters: begin -->')
    table, end, _ = rest.partition('<!-- parameters: end -->')
    assert end, 'README.md lost the marks round its parameter table'
    assert table.strip() == markdown(), 'run `make docs` and paste its table into README.md'
