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

from paif_ros.command_line import add_version
from paif_ros.errors import ParameterError

Value = str | int | float | bool
TYPES: Mapping[str, type] = {'string': str, 'int': int, 'double': float, 'bool': bool}
# When a change counts, by the additional_constraints of parameters.yaml, and what the table says.
TAKEN: Mapping[str, str] = {
    '': 'yes',
    'Taken by the next activate.': 'at activate',
    'Taken by the next configure.': 'at configure',
}
YAML_PATH = Path(__file__).with_name('parameters.yaml')
EXAMPLES = """
examples:
  python3 -m paif_ros.parameters                 # each with what it may be and its default
  python3 -m paif_ros.parameters --markdown      # the table of README.md
  ros2 param describe /fusion sync.slop          # of a running node
"""


@dataclass(frozen=True)
class Spec:
    """One parameter as parameters.yaml declares it.

    Attributes:
        name: dotted name.
        type: 'string', 'int', 'double' or 'bool'.
        default: value where nobody sets one.
        description: one or two sentences.
        read_only: whether it is fixed once the node runs.
        taken: the sentence that says when a change counts; empty where it counts at once.
        bounds: smallest and largest allowed value, or None.
        one_of: the allowed values, or empty where all are.
    """

    name: str
    type: str
    default: Value
    description: str
    read_only: bool = False
    taken: str = ''
    bounds: tuple[float, float] | None = None
    one_of: tuple[Value, ...] = ()

    @property
    def allowed(self) -> str:
        """What the parameter may be, in words."""
        if self.bounds:
            return f'{self.type} from {self.bounds[0]:g} to {self.bounds[1]:g}'
        if self.one_of:
            return 'one of ' + ', '.join(map(str, self.one_of))
        return self.type

    def check(self, value: object) -> None:
        """Refuse a value that this parameter may not have.

        Raises:
            ParameterError: wrong type, out of bounds, or not one of the choices.
        """
        fits = type(value) is TYPES[self.type]
        if fits and self.bounds:
            assert isinstance(value, (int, float))
            fits = self.bounds[0] <= value <= self.bounds[1]
        if fits and self.one_of:
            fits = value in self.one_of
        if not fits:
            raise ParameterError(self.name, value, self.allowed)


@dataclass(frozen=True)
class EngineParameters:
    """What runs the network, see parameters.yaml; timeout in seconds."""

    backend: str
    provider: str
    threads: int
    pinning: bool
    nice: int
    overlap: str
    on_mismatch: str
    workspace_mib: int
    optimization_level: int
    cache_dir: str
    timeout: float
    max_failures: int


@dataclass(frozen=True)
class InputParameters:
    """How images come: 'raw' or 'compressed'."""

    color_transport: str
    thermal_transport: str


@dataclass(frozen=True)
class SyncParameters:
    """How frames become pairs: times in seconds, queue size in frames."""

    mode: str
    slop: float
    thermal_offset: float
    max_age: float
    queue_size: int
    timeout: float
    on_missing: str


@dataclass(frozen=True)
class ThermalParameters:
    """How a thermal frame becomes 8 bit: percentiles from 0 to 100, smoothing in seconds."""

    scale: float
    offset: float
    agc: str
    range_min: float
    range_max: float
    low_percentile: float
    high_percentile: float
    min_span: float
    equalizer: str
    smoothing: float


@dataclass(frozen=True)
class RegistrationParameters:
    """How the thermal frame comes into the RGB frame; plane_depth in metres, 0 for the file's."""

    mode: str
    file: str
    plane_depth: float


@dataclass(frozen=True)
class MaskParameters:
    """How steady the mask is: hold in frames, confidence and motion from 0 to 255."""

    hold: int
    confidence: int
    motion: int


@dataclass(frozen=True)
class OverlayParameters:
    """How the overlay is drawn; alpha is the weight of the class colours, 0 to 1."""

    alpha: float
    source: str
    outlines: bool
    legend: bool


@dataclass(frozen=True)
class OutputParameters:
    """Size, depth of the output queues in messages, and quality of JPEG pictures, 1 to 100."""

    size: str
    queue_size: int
    jpeg_quality: int


@dataclass(frozen=True)
class DiagnosticsParameters:
    """Messages per second."""

    rate: float


@dataclass(frozen=True)
class Parameters:
    """All values of one moment, grouped as the dotted names are."""

    model_path: str
    autostart: bool
    engine: EngineParameters
    input: InputParameters
    sync: SyncParameters
    thermal: ThermalParameters
    registration: RegistrationParameters
    mask: MaskParameters
    overlay: OverlayParameters
    output: OutputParameters
    diagnostics: DiagnosticsParameters

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Parameters:
        """Group checked values by their dotted names, and check those that depend on each other.

        Args:
            values: one value for each name of `specs`.

        Raises:
            ParameterError: two values do not go together.
        """

        def group(kind: Callable[..., Any], prefix: str) -> Any:
            start = f'{prefix}.'
            return kind(**{k[len(start) :]: v for k, v in values.items() if k.startswith(start)})

        new = cls(
            model_path=values['model_path'],
            autostart=values['autostart'],
            engine=group(EngineParameters, 'engine'),
            input=group(InputParameters, 'input'),
            sync=group(SyncParameters, 'sync'),
            thermal=group(ThermalParameters, 'thermal'),
            registration=group(RegistrationParameters, 'registration'),
            mask=group(MaskParameters, 'mask'),
            overlay=group(OverlayParameters, 'overlay'),
            output=group(OutputParameters, 'output'),
            diagnostics=group(DiagnosticsParameters, 'diagnostics'),
        )
        thermal, registration = new.thermal, new.registration
        if thermal.range_min >= thermal.range_max:
            raise ParameterError(
                'thermal.range_min',
                thermal.range_min,
                f'below thermal.range_max ({thermal.range_max:g}); set both in one request',
            )
        if registration.mode != 'none' and not registration.file:
            raise ParameterError(
                'registration.file',
                registration.file,
                f'a calibration YAML for registration.mode {registration.mode}; make one with '
                '`ros2 run paif_ros calibrate`',
            )
        return new


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
        default = 'empty' if spec.default == '' else f'`{_yaml(spec.default)}`'
        dynamic = 'no' if spec.read_only else TAKEN[spec.taken]
        rows.append(
            f'| `{spec.name}` | {default} | {spec.allowed} | {dynamic} | {spec.description} |'
        )
    return '\n'.join(rows)


def _yaml(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


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
            taken=entry.get('additional_constraints', ''),
            bounds=(bounds[0], bounds[1]) if bounds else None,
            one_of=tuple(rules['one_of<>'][0]) if 'one_of<>' in rules else (),
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog='paif_ros.parameters',
        description='The parameters of the fusion node.',
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_version(parser)
    parser.add_argument('--markdown', action='store_true', help='print the README table')
    if parser.parse_args().markdown:
        print(markdown())
    else:
        for spec in specs().values():
            print(f'{spec.name}: {spec.allowed} (default {spec.default!r})')


if __name__ == '__main__':
    main()
