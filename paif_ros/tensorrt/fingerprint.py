"""What an engine was built from and for. An engine serves this, and nothing else."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from paif_ros.contract import ModelCard
from paif_ros.errors import EngineMismatch
from paif_ros.tensorrt import library
from paif_ros.tensorrt.builder import BuildOptions

if TYPE_CHECKING:
    from paif_ros.tensorrt.cuda import Device


@dataclass(frozen=True)
class Fingerprint:
    """Everything that makes one engine another.

    Attributes:
        onnx_sha256: of the ONNX file, in hex.
        library: 'tensorrt' or 'tensorrt_rtx'.
        library_version: as it says it.
        cuda_version: that of the CUDA runtime.
        device_name: of the GPU.
        compute_capability: of the GPU, such as '8.7'.
        precision: what the file was exported for, such as 'mixed'.
        shapes: height and width of the pictures, such as '480x640'.
        flags: how it was built, such as 'optimization_level=3'.
    """

    onnx_sha256: str
    library: str
    library_version: str
    cuda_version: str
    device_name: str
    compute_capability: str
    precision: str
    shapes: tuple[str, ...]
    flags: tuple[str, ...]

    @classmethod
    def of(
        cls, model: bytes, card: ModelCard, options: BuildOptions, module: Any, device: Device
    ) -> Fingerprint:
        """Return what an engine of a file, built here and now, would have."""
        return cls(
            onnx_sha256=hashlib.sha256(model).hexdigest(),
            library=library.kind_of(module),
            library_version=library.version_text(module),
            cuda_version=device.runtime_version,
            device_name=device.name,
            compute_capability=device.compute_capability,
            precision=card.precision,
            shapes=('x'.join(map(str, card.input_size)),),
            flags=options.flags(),
        )

    @classmethod
    def from_dict(cls, values: Any) -> Fingerprint:
        """Read one from parsed JSON.

        Raises:
            EngineMismatch: a field is missing, unknown, or not of its type.
        """
        names = [field.name for field in fields(cls)]
        if not isinstance(values, dict) or sorted(values) != sorted(names):
            found = sorted(values) if isinstance(values, dict) else type(values).__name__
            raise EngineMismatch('fingerprint fields', sorted(names), found, *ENGINE)
        read: dict[str, Any] = {}
        for name in names:
            value = values[name]
            listed = name in ('shapes', 'flags')
            texts = value if listed else [value]
            if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
                kind = 'a list of strings' if listed else 'a string'
                raise EngineMismatch(f'fingerprint {name}', kind, repr(value)[:80], *ENGINE)
            read[name] = tuple(texts) if listed else value
        return cls(**read)

    def to_dict(self) -> dict[str, Any]:
        """Return it as what JSON can hold."""
        values = asdict(self)
        return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}

    def key(self) -> str:
        """Return a name for it, of which no other fingerprint has the same: 64 hex digits."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(',', ':'))
        return hashlib.sha256(text.encode()).hexdigest()


ENGINE = ('engine', 'it has to be built again: engine.on_mismatch rebuild, or export/to_trt.py')
"""Subject and cure of an `EngineMismatch` of a plan."""


def differences(expected: Fingerprint, found: Fingerprint) -> list[tuple[str, object, object]]:
    """Return what differs: field, what is expected, what was found."""
    return [
        (field.name, getattr(expected, field.name), getattr(found, field.name))
        for field in fields(Fingerprint)
        if getattr(expected, field.name) != getattr(found, field.name)
    ]
