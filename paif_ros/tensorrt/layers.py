"""Counts the layers of networks and engines by the type that they compute in."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

_TYPES = (  # how the inspector writes a type, in order: 'BF16' also contains 'F16'
    ('bf16', re.compile(r'\bBF16\b|\bBFloat16\b', re.IGNORECASE)),
    ('fp16', re.compile(r'\bFP16\b|\bHalf\b', re.IGNORECASE)),
    ('fp8', re.compile(r'\bFP8\b', re.IGNORECASE)),
    ('fp32', re.compile(r'\bFP32\b|\bFloat\b', re.IGNORECASE)),
    ('uint8', re.compile(r'\bUInt8\b', re.IGNORECASE)),
    ('int8', re.compile(r'\bInt8\b', re.IGNORECASE)),
    ('int32', re.compile(r'\bInt32\b', re.IGNORECASE)),
    ('int64', re.compile(r'\bInt64\b', re.IGNORECASE)),
    ('bool', re.compile(r'\bBool\b', re.IGNORECASE)),
)
_NAMES = {'FLOAT': 'fp32', 'HALF': 'fp16'} | {
    name: name.lower() for name in ('BF16', 'FP8', 'INT8', 'UINT8', 'INT32', 'INT64', 'BOOL')
}
_NO_WORK = ('constant', 'reformat', 'shuffle', 'noop', 'signal', 'wait', 'shape')


def layer_precisions(information: str) -> dict[str, int]:
    """Count the layers of an engine by the type that they write.

    Args:
        information: JSON of the engine inspector.

    Returns:
        How many layers write 'fp32', 'fp16', 'int8' and so on; 'unknown' where it does not say.
        Layers that only move data are left out.

    Raises:
        ValueError: it is not the inspector's JSON.
    """
    layers = json.loads(information)['Layers']
    counts: Counter[str] = Counter()
    for layer in layers:
        if not isinstance(layer, dict):  # an engine built without detailed verbosity: names only
            counts['unknown'] += 1
        elif not any(word in str(layer.get('LayerType', '')).lower() for word in _NO_WORK):
            counts[_written(layer)] += 1
    return dict(counts)


def _written(layer: dict[str, Any]) -> str:
    for output in layer.get('Outputs') or []:
        text = ' '.join(str(value) for key, value in output.items() if 'datatype' in key.lower())
        for name, pattern in _TYPES:
            if pattern.search(text):
                return name
    return 'unknown'


def asked_precisions(network: Any) -> dict[str, int]:
    """Count the layers of a parsed network by the type that the file asks them to write."""
    counts: Counter[str] = Counter()
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        if not layer.num_outputs or any(word in str(layer.type).lower() for word in _NO_WORK):
            continue
        counts[_NAMES.get(str(layer.get_output(0).dtype.name), 'unknown')] += 1
    return dict(counts)


def half_share(counts: dict[str, int]) -> float | None:
    """Return the part of the layers of floating point that write FP16; None without such."""
    half = counts.get('fp16', 0) + counts.get('bf16', 0)
    total = half + counts.get('fp32', 0)
    return half / total if total else None


def inspect(engine: Any, module: Any) -> str:
    """Return the inspector's JSON of a deserialized engine."""
    if TYPE_CHECKING:
        import tensorrt as trt
    else:
        trt = module
    inspector = engine.create_engine_inspector()
    return str(inspector.get_engine_information(trt.LayerInformationFormat.JSON))
