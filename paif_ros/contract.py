"""What every exported model promises, and the metadata that travels in its file.

Inputs  `visible` uint8 [N, H, W, 3] RGB and `thermal` uint8 [N, H, W].
Outputs `fused` uint8 [N, H, W, 3] RGB and `mask` uint8 [N, H, W], class ids at the input's size;
        and, where a model has it, `confidence` uint8 [N, H, W]: 255 times the probability of the
        mask's class.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from paif_ros.errors import EngineMismatch

CONTRACT_VERSION = '1'
INPUTS = ('visible', 'thermal')
OUTPUTS = ('fused', 'mask')
CONFIDENCE = 'confidence'  # an output that a model may have: files without it stay good
DTYPE = 'uint8'
MAX_CLASSES = 256  # a mask holds uint8 ids


@dataclass(frozen=True)
class TensorSpec:
    """Name, dtype and shape of one input or output. A side that is not static is None."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class ClassLabel:
    """One class of the mask: its id, name, and RGB colour (0 to 255 each)."""

    id: int
    name: str
    color: tuple[int, int, int]


@dataclass(frozen=True)
class ModelCard:
    """The metadata of an exported model.

    Attributes:
        network: which network it is, such as 'paif'.
        variant: its size or recipe, such as 'small'.
        genotype: the searched architecture as JSON text.
        classes: the labels of the mask, id i at place i.
        input_size: (height, width) in pixels.
        weights_sha256: SHA-256 of the weights file in hex.
        version: version of paif_ros that exported it.
        precision: what the graph computes in, such as 'fp32', 'mixed' or 'int8'.
    """

    network: str
    variant: str
    genotype: str
    classes: tuple[ClassLabel, ...]
    input_size: tuple[int, int]
    weights_sha256: str
    version: str
    precision: str = 'fp32'

    def to_metadata(self) -> dict[str, str]:
        """Return the card as the string pairs that ONNX files and engine side files hold."""
        metadata = {
            'contract': CONTRACT_VERSION,
            'network': self.network,
            'variant': self.variant,
            'genotype': self.genotype,
            'classes': json.dumps([asdict(label) for label in self.classes]),
            'input_size': json.dumps(list(self.input_size)),
            'weights_sha256': self.weights_sha256,
            'version': self.version,
        }
        if self.precision != 'fp32':  # files from before this key was there are FP32
            metadata['precision'] = self.precision
        return metadata

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> ModelCard:
        """Read a card from string pairs.

        Raises:
            EngineMismatch: a key is missing or its value can't be read.
        """
        found = metadata.get('contract', 'no contract version')
        if found != CONTRACT_VERSION:
            raise EngineMismatch('metadata contract', CONTRACT_VERSION, found)
        try:
            classes = tuple(
                ClassLabel(int(item['id']), str(item['name']), _color(item['color']))
                for item in json.loads(metadata['classes'])
            )
            height, width = (int(side) for side in json.loads(metadata['input_size']))
            card = cls(
                network=metadata['network'],
                variant=metadata['variant'],
                genotype=metadata['genotype'],
                classes=classes,
                input_size=(height, width),
                weights_sha256=metadata['weights_sha256'],
                version=metadata['version'],
                precision=metadata.get('precision', 'fp32'),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as err:  # int() of an infinity
            raise EngineMismatch('metadata', 'readable class and size entries', repr(err)) from err
        ids = [label.id for label in classes]
        if not 1 <= len(ids) <= MAX_CLASSES or ids != list(range(len(ids))):
            raise EngineMismatch('classes', f'1 to {MAX_CLASSES} ids counting from 0', ids)
        return card


def _color(value: object) -> tuple[int, int, int]:
    red, green, blue = (int(part) for part in value)  # type: ignore[attr-defined]
    if not all(0 <= part <= 255 for part in (red, green, blue)):
        msg = f'colour {value} is not three numbers from 0 to 255'
        raise ValueError(msg)
    return red, green, blue


def check_tensors(
    inputs: Mapping[str, TensorSpec], outputs: Mapping[str, TensorSpec], size: tuple[int, int]
) -> None:
    """Compare an engine's inputs and outputs with the contract.

    Args:
        inputs: the engine's inputs by name.
        outputs: the engine's outputs by name.
        size: (height, width) that the metadata names.

    Raises:
        EngineMismatch: a name, dtype or shape differs; it names the first that does.
    """
    if set(inputs) != set(INPUTS):
        raise EngineMismatch('inputs', sorted(INPUTS), sorted(inputs))
    if set(outputs) - {CONFIDENCE} != set(OUTPUTS):
        expected = f'{sorted(OUTPUTS)}, {CONFIDENCE!r} allowed'
        raise EngineMismatch('outputs', expected, sorted(outputs))
    for spec in (*inputs.values(), *outputs.values()):
        if spec.dtype != DTYPE:
            raise EngineMismatch(f'tensor {spec.name} dtype', DTYPE, spec.dtype)
        want = (*size, 3) if spec.name in ('visible', 'fused') else size
        if len(spec.shape) != len(want) + 1 or tuple(spec.shape[1:]) != want:
            expected = f'[N, {", ".join(map(str, want))}]'
            raise EngineMismatch(f'tensor {spec.name} shape', expected, spec.shape)
