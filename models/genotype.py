"""A searched architecture as data: which two operators make each of the three cells."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from models.operators import parse_operator

FOLDER = Path(__file__).parent / 'genotypes'


@dataclass(frozen=True)
class Genotype:
    """The operators of PAIF's cells (PAIF section 3.2; the released one is `genotypes/paif.json`).

    A cell is a chain of two operators with one skip round both. Names are those of
    `models.operators`: `Name_kernel_dilation`, or `Name_kernel` for ECAattention and SPAattention.

    Attributes:
        name: name of the genotype.
        normal_1: operators of the thermal chain.
        normal_2: operators of the visible chain.
        normal_3: operators of the fused chain.
    """

    name: str
    normal_1: tuple[str, str]
    normal_2: tuple[str, str]
    normal_3: tuple[str, str]

    def __post_init__(self) -> None:
        for field in ('normal_1', 'normal_2', 'normal_3'):
            operators = getattr(self, field)
            if len(operators) != 2:
                msg = f'genotype {self.name!r}: {field} has {len(operators)} operators, needs 2'
                raise ValueError(msg)
            for operator in operators:
                parse_operator(operator)

    def to_json(self) -> str:
        """Return the genotype as JSON text, as it travels in exported models."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Genotype:
        """Read a genotype from JSON text.

        Raises:
            ValueError: a cell is missing, has not two operators, or names an unknown one.
        """
        data = json.loads(text)
        try:
            return cls(
                name=str(data['name']),
                normal_1=tuple(data['normal_1']),
                normal_2=tuple(data['normal_2']),
                normal_3=tuple(data['normal_3']),
            )
        except KeyError as err:
            msg = f'genotype lacks {err.args[0]!r}; it needs name, normal_1, normal_2 and normal_3'
            raise ValueError(msg) from err


def read_named(name: str | Path, folder: Path, what: str) -> str:
    """Read a JSON file given by its path, or by name from a folder.

    Raises:
        FileNotFoundError: neither exists; the message lists the names in the folder.
    """
    for path in (Path(name), folder / f'{name}.json'):
        if path.is_file():
            return path.read_text()
    known = sorted(path.stem for path in folder.glob('*.json'))
    msg = f'no {what} {str(name)!r}: give the path of a JSON file or one of {known}'
    raise FileNotFoundError(msg)


def load_genotype(name: str | Path) -> Genotype:
    """Load a genotype by the path of its JSON file, or by name from `models/genotypes`.

    Raises:
        FileNotFoundError: neither exists; the message lists the known names.
        ValueError: the file is not a genotype.
    """
    return Genotype.from_json(read_named(name, FOLDER, 'genotype'))
