"""Reading and writing weights: strict about every key, and never unpickling code."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from models.paif import PAIF, PAIFConfig, load_config

CONFIG_KEY = 'config'
PARALLEL = 'module.'  # what DataParallel puts before every key

Config = TypeVar('Config')


@dataclass(frozen=True)
class KeyReport:
    """How the keys and shapes of a checkpoint differ from a network's.

    Attributes:
        missing: keys of the network that the checkpoint lacks.
        unexpected: keys of the checkpoint that the network lacks.
        reshaped: keys of both whose shapes differ, as 'key: network shape, checkpoint shape'.
    """

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    reshaped: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.reshaped)

    def __str__(self) -> str:
        lines = []
        for name in ('missing', 'unexpected', 'reshaped'):
            keys = getattr(self, name)
            lines.append(f'{name}: {len(keys)}')
            lines.extend(f'    {key}' for key in keys)
        return '\n'.join(lines)


class CheckpointError(Exception):
    """A checkpoint that does not fit its network.

    Attributes:
        path: the file.
        report: which keys differ.
    """

    def __init__(self, path: Path, report: KeyReport) -> None:
        self.path = path
        self.report = report
        super().__init__(
            f'{path} does not fit the network; nothing was loaded. Check the configuration: '
            f'classes and channels, for PAIF also genotype, backbone and embedding.\n{report}'
        )


def compare_keys(network: nn.Module, state: dict[str, Tensor]) -> KeyReport:
    """Compare the keys and shapes of a state_dict with a network's."""
    own = network.state_dict()
    return KeyReport(
        missing=tuple(sorted(own.keys() - state.keys())),
        unexpected=tuple(sorted(state.keys() - own.keys())),
        reshaped=tuple(
            f'{key}: {tuple(own[key].shape)}, {tuple(state[key].shape)}'
            for key in sorted(own.keys() & state.keys())
            if own[key].shape != state[key].shape
        ),
    )


def read_state(path: Path) -> tuple[dict[str, Tensor], str | None]:
    """Read a checkpoint: `.safetensors`, or a PyTorch file of nothing but tensors.

    Returns:
        The flat state_dict, and the configuration JSON of the file's header if it has one.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file holds something other than a flat dict of tensors.
        pickle.UnpicklingError: a PyTorch file holds objects that `weights_only=True` refuses.
    """
    if not path.is_file():
        msg = f'no weights at {path}'
        raise FileNotFoundError(msg)
    if path.suffix == '.safetensors':
        with safe_open(path, framework='pt') as file:
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no dict
            return state, (file.metadata() or {}).get(CONFIG_KEY)
    state = torch.load(path, map_location='cpu', weights_only=True)
    if not isinstance(state, dict) or not all(
        isinstance(value, Tensor) for value in state.values()
    ):
        msg = f'{path} is not a flat state_dict of tensors; save `network.state_dict()` alone'
        raise ValueError(msg)
    return dict(state), None


def flat_parts(official: Mapping[str, Any], parts: Mapping[str, str]) -> dict[str, Tensor]:
    """Return an official checkpoint of several state_dicts as one of ours.

    Args:
        official: state_dicts by official name.
        parts: our names, by official ones; they go before the keys.

    Raises:
        ValueError: a part is missing, or is no state_dict.
    """
    state = {}
    for name, ours in parts.items():
        part = official.get(name)
        if not isinstance(part, dict) or not all(isinstance(v, Tensor) for v in part.values()):
            msg = f'official checkpoint without a state_dict {name!r}; it has {sorted(official)}'
            raise ValueError(msg)
        parallel = all(key.startswith(PARALLEL) for key in part)
        for key, value in part.items():
            state[f'{ours}.{key.removeprefix(PARALLEL) if parallel else key}'] = value
    return state


def read_parts(path: Path, parts: Mapping[str, str]) -> tuple[dict[str, Tensor], str | None]:
    """Read weights: ours as `read_state`, or an official file of several state_dicts.

    Args:
        path: of the file.
        parts: as `flat_parts` takes them; a file that has one of the official names is official.

    Returns:
        The flat state_dict with our keys, and the configuration JSON of the file if it has one.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file holds something else.
        pickle.UnpicklingError: it holds objects that `weights_only=True` refuses.
    """
    if path.suffix != '.safetensors' and path.is_file():
        loaded: Any = torch.load(path, map_location='cpu', weights_only=True)
        if isinstance(loaded, dict) and parts.keys() & loaded.keys():
            return flat_parts(loaded, parts), None
    return read_state(path)


def chosen_config(
    given: Config | str | None,
    text: str | None,
    path: Path,
    *,
    load: Callable[[str], Config],
    parse: Callable[[str], Config],
    example: str,
) -> Config:
    """Return the configuration of weights: the one given, else the one that their file carries.

    Args:
        given: a configuration, its name, or None.
        text: JSON of the file's header, if it has one.
        path: of the file, for the error.
        load: takes a name.
        parse: takes JSON text.
        example: name of a configuration, for the error.

    Raises:
        FileNotFoundError: no configuration has that name.
        ValueError: neither is there, or it can't be used.
    """
    if isinstance(given, str):
        return load(given)
    if given is not None:
        return given
    if text is None:
        msg = f'{path} carries no configuration: name one, such as --config {example}'
        raise ValueError(msg)
    return parse(text)


def load_into(network: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    """Load a state_dict, refusing any key or shape that differs.

    Raises:
        CheckpointError: something is missing, unexpected or of another shape; nothing was changed.
    """
    report = compare_keys(network, state)
    if report:
        raise CheckpointError(path, report)
    network.load_state_dict(
        {
            key: value.float() if value.is_floating_point() else value
            for key, value in state.items()
        }
    )


def load_paif(path: str | Path, config: PAIFConfig | str | None = None) -> PAIF:
    """Build a PAIF network and load its weights, in eval mode.

    Args:
        path: weights: ours (safetensors, which carry their configuration) or an official
        checkpoint.
        config: configuration or its name; needed only where the file carries none.

    Raises:
        CheckpointError: the weights don't fit the configuration; its report names every key.
        FileNotFoundError: no such weights or configuration.
        ValueError: no configuration was given and the file has none.
    """
    path = Path(path)
    state, text = read_state(path)
    network = PAIF(
        chosen_config(
            config,
            text,
            path,
            load=load_config,
            parse=PAIFConfig.from_json,
            example='paif_official_b3',
        )
    )
    load_into(network, state, path)
    return network.eval()


def warm_start(network: PAIF, source: PAIF) -> tuple[str, ...]:
    """Take over every weight of `source` whose key and shape `network` has.

    Returns:
        Keys of `network` that keep their fresh weights, for the log.
    """
    state, own = source.state_dict(), network.state_dict()
    fitting = {k: v for k, v in state.items() if k in own and own[k].shape == v.shape}
    network.load_state_dict(fitting, strict=False)
    return tuple(sorted(own.keys() - fitting.keys()))


def save_weights(path: Path, network: nn.Module, config: str) -> None:
    """Write weights and a configuration's JSON text as safetensors.

    Weights of two or more dimensions are rounded to float16, which halves the file; statistics,
    biases and slopes stay float32. What is evaluated and exported is read back from the file.
    """
    state = {
        key: (value.half() if value.ndim > 1 else value).detach().cpu().contiguous()
        for key, value in network.state_dict().items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, path, {CONFIG_KEY: config})


def save_paif(path: Path, network: PAIF) -> None:
    """Write a network's weights and configuration (`save_weights`)."""
    save_weights(path, network, network.config.to_json())


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file in hex."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
