"""Reads what an ONNX file says of itself: its metadata, inputs and outputs.

A robot has TensorRT, but not always the `onnx` package, which wants a protobuf of its own. These
few fields of the format (https://protobuf.dev/programming-guides/encoding, onnx.proto3) are stable
and read in a moment.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from paif_ros.contract import ModelCard, TensorSpec, check_tensors
from paif_ros.errors import EngineMismatch

GRAPH, METADATA = 7, 14  # fields of ModelProto
INITIALIZER, INPUT, OUTPUT = 5, 11, 12  # of GraphProto
TYPES = {1: 'float32', 2: 'uint8', 3: 'int8', 6: 'int32', 7: 'int64', 9: 'bool', 10: 'float16'}
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MAX_VARINT = 10  # bytes

Field = tuple[int, int, memoryview]  # number, value of a varint, content of a message


@dataclass(frozen=True)
class OnnxFile:
    """What a file says of itself.

    Attributes:
        metadata: its string pairs.
        inputs: by name.
        outputs: by name.
    """

    metadata: dict[str, str]
    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]

    def card(self) -> ModelCard:
        """Return the metadata as a card, after a look at the contract.

        Raises:
            EngineMismatch: it does not keep the contract of exported models.
        """
        card = ModelCard.from_metadata(self.metadata)
        check_tensors(self.inputs, self.outputs, card.input_size)
        return card


def read(model: bytes) -> OnnxFile:
    """Read the bytes of an ONNX file.

    Raises:
        EngineMismatch: they are not those of an ONNX file.
    """
    try:
        return _read(model)
    except ValueError as err:  # UnicodeDecodeError is one
        raise EngineMismatch('file', 'an ONNX model', f'{len(model)} bytes, {err}') from err


def _read(model: bytes) -> OnnxFile:
    metadata: dict[str, str] = {}
    inputs: dict[str, TensorSpec] = {}
    outputs: dict[str, TensorSpec] = {}
    weights: set[str] = set()
    found = False
    for number, _, content in _fields(memoryview(model)):
        if number == METADATA:
            pair = {key: bytes(text).decode() for key, _, text in _fields(content)}
            metadata[pair.get(1, '')] = pair.get(2, '')
        elif number == GRAPH:
            found = True
            for inner, _, value in _fields(content):
                if inner in (INPUT, OUTPUT):
                    spec = _spec(value)
                    (inputs if inner == INPUT else outputs)[spec.name] = spec
                elif inner == INITIALIZER:
                    weights.add(_name(value, 8))
    if not found:
        msg = 'without a graph'
        raise ValueError(msg)
    return OnnxFile(metadata, {k: v for k, v in inputs.items() if k not in weights}, outputs)


def _name(content: memoryview, field: int) -> str:
    return next((bytes(text).decode() for n, _, text in _fields(content) if n == field), '')


def _spec(content: memoryview) -> TensorSpec:
    dtype = 0
    shape: list[int | None] = []
    for number, _, kind in _fields(content):
        if number != 2:
            continue
        for _, _, tensor in (field for field in _fields(kind) if field[0] == 1):
            for inner, value, part in _fields(tensor):
                if inner == 1:
                    dtype = value
                elif inner == 2:
                    shape = [_side(side) for n, _, side in _fields(part) if n == 1]
    return TensorSpec(_name(content, 1), TYPES.get(dtype, f'type {dtype}'), tuple(shape))


def _side(content: memoryview) -> int | None:
    """Return the length of a side, None where it is a name."""
    sizes = [value for number, value, _ in _fields(content) if number == 1]
    return sizes[0] if sizes else None


def _fields(content: memoryview) -> Iterator[Field]:
    place = 0
    while place < len(content):
        tag, place = _varint(content, place)
        number, kind = tag >> 3, tag & 7
        value, end = 0, place
        if kind == VARINT:
            value, end = _varint(content, place)
            place = end
        elif kind == BYTES:
            length, place = _varint(content, place)
            end = place + length
        elif kind in (FIXED32, FIXED64):
            end = place + (4 if kind == FIXED32 else 8)
        else:
            msg = f'a field of unknown kind {kind}'
            raise ValueError(msg)
        if end > len(content) or number == 0:
            msg = 'cut off' if number else 'a field numbered 0'
            raise ValueError(msg)
        yield number, value, content[place:end]
        place = end


def _varint(content: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for step in range(MAX_VARINT):
        if place + step >= len(content):
            break
        byte = content[place + step]
        value |= (byte & 0x7F) << (7 * step)
        if byte < 0x80:
            return value, place + step + 1
    msg = 'a broken number'
    raise ValueError(msg)
