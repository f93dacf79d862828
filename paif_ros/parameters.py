"""Parameters from one truth, parameters.yaml: checked, frozen, and printed for the README.

The YAML keeps the dialect of generate_parameter_library, so its users know it; reading it here
saves the robot a build-time dependency. `python -m paif_ros.parameters --markdown` prints the
table.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paif_ros.errors import ParameterError

Value = str | int | float | bool
TYPES: Mapping[str, type] = {'string': str, 'int': int, 'double': float, 'bool': bool}
YAML_PATH = Path(__file__).with_name('parameters.yaml')


@dataclass(frozen=True)
class Spec:
    """One parameter as parameters.yaml declares it.

    Attributes:
        name: dotted name.
        type: 'string', 'int', 'double' or 'bool'.
        default: value where nobody sets one.
        description: one or two sentences.
        read_only: whether it is fixed once the node runs.
        bounds: smallest and largest allowed value, or None.
        one_of: the allowed values, or empty where all are.
        not_empty: whether an empty string is refused.
    """

    name: str
    type: str
    default: Value
    description: str
    read_only: bool = False
    bounds: tuple[float, float] | None = None
    one_of: tuple[Value, ...] = ()
    not_empty: bool = False

    @property
    def allowed(self) -> str:
        """What the parameter may be, in words."""
        if self.bounds:
            return f'{self.type} from {self.bounds[0]:g} to {self.bounds[1]:g}'
        if self.one_of:
            return 'one of ' + ', '.join(map(str, self.one_of))
        return f'{self.type}, not empty' if self.not_empty else self.type

    def check(self, value: object) -> None:
        """Refuse a value that this parameter may not have.

        Raises:
            ParameterError: wrong type, out of bounds, not one of the choices, or empty.
        """
        fits = type(value) is TYPES[self.type]
        if fits and self.bounds:
            assert isinstance(value, (int, float))
            fits = self.bounds[0] <= value <= self.bounds[1]
        if fits and self.one_of:
            fits = value in self.one_of
        if not fits:
            raise ParameterError(self.name, value, self.allowed)
        if self.not_empty and value == '':
            # Only the description says what to put there.
            raise ParameterError(self.name, value, f'{self.allowed}. {self.description}')


@dataclass(frozen=True)
class EngineParameters:
    """What runs the network, see parameters.yaml."""

    backend: str
    provider: str
    threads: int


@dataclass(frozen=True)
class SyncParameters:
    """How frames become pairs: slop in seconds, queue size in frames."""

    slop: float
    queue_size: int


@dataclass(frozen=True)
class ThermalParameters:
    """How 16 bit become 8: percentiles from 0 to 100, smallest span in counts."""

    low_percentile: float
    high_percentile: float
    min_span: int


@dataclass(frozen=True)
class OverlayParameters:
    """Weight of the class colours, 0 to 1."""

    alpha: float


@dataclass(frozen=True)
class OutputParameters:
    """Depth of the output queues in messages."""

    queue_size: int


@dataclass(frozen=True)
class DiagnosticsParameters:
    """Messages per second."""

    rate: float


@dataclass(frozen=True)
class Parameters:
    """All values of one moment, grouped as the dotted names are."""

    model_path: str
    engine: EngineParameters
    sync: SyncParameters
    thermal: ThermalParameters
    overlay: OverlayParameters
    output: OutputParameters
    diagnostics: DiagnosticsParameters

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Parameters:
        """Group checked values by their dotted names.

        Args:
            values: one value for each name of `specs`.
        """

        def group(kind: Callable[..., Any], prefix: str) -> Any:
            start = f'{prefix}.'
            return kind(**{k[len(start) :]: v for k, v in values.items() if k.startswith(start)})

        return cls(
            model_path=values['model_path'],
            engine=group(EngineParameters, 'engine'),
            sync=group(SyncParameters, 'sync'),
            thermal=group(ThermalParameters, 'thermal'),
            overlay=group(OverlayParameters, 'overlay'),
            output=group(OutputParameters, 'output'),
            diagnostics=group(DiagnosticsParameters, 'diagnostics'),
        )


def specs() -> dict[str, Spec]:
    """Read parameters.yaml.

    Returns:
        The declared parameters by dotted name, in the file's order.
    """
    import yaml

    tree = yaml.safe_load(YAML_PATH.read_text(encoding='utf-8'))
    return {spec.name: spec for spec in _walk(tree['paif_ros'], '')}


def markdown() -> str:
    """Return the README's table of parameters."""
    rows = ['| Parameter | Default | Allowed | Change while running | What it does |']
    rows.append('|---|---|---|---|---|')
    for spec in specs().values():
        default = f'`{spec.default}`' if spec.default != '' else 'empty'
        dynamic = 'no' if spec.read_only else 'yes'
        rows.append(
            f'| `{spec.name}` | {default} | {spec.allowed} | {dynamic} | {spec.description} |'
        )
    return '\n'.join(rows)


def _walk(tree: Mapping[str, Any], prefix: str) -> Iterator[Spec]:
    for key, entry in tree.items():
        if 'type' not in entry:
            yield from _walk(entry, f'{prefix}{key}.')
            continue
        rules = entry.get('validation', {})
        bounds = rules.get('bounds<>')
        yield Spec(
            name=prefix + key,
            type=entry['type'],
            default=entry['default_value'],
            description=entry['description'],
            read_only=entry.get('read_only', False),
            bounds=(bounds[0], bounds[1]) if bounds else None,
            one_of=tuple(rules['one_of<>'][0]) if 'one_of<>' in rules else (),
            not_empty='not_empty<>' in rules,
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description='The parameters of the fusion node.')
    parser.add_argument('--markdown', action='store_true', help='print the README table')
    if parser.parse_args().markdown:
        print(markdown())
    else:
        for spec in specs().values():
            print(f'{spec.name}: {spec.allowed} (default {spec.default!r})')


if __name__ == '__main__':
    main()
