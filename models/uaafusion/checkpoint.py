"""Reading and writing UAAFusion's weights: ours and official files, strict about every key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.checkpoint import load_into, read_state, save_weights
from models.uaafusion.network import UAAFusion, UAAFusionConfig, load_config

PARTS = {'model_f': 'fusion', 'model_s': 'segmenter'}  # official names, ours
PARALLEL = 'module.'  # what DataParallel puts before every key


def flat(official: dict[str, dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return the two state_dicts of an official checkpoint as one of ours.

    Raises:
        ValueError: a part is missing, or is no state_dict.
    """
    state = {}
    for name, ours in PARTS.items():
        part = official.get(name)
        if not isinstance(part, dict) or not all(isinstance(v, Tensor) for v in part.values()):
            msg = f'official checkpoint without a state_dict {name!r}; it has {sorted(official)}'
            raise ValueError(msg)
        parallel = all(key.startswith(PARALLEL) for key in part)
        for key, value in part.items():
            state[f'{ours}.{key.removeprefix(PARALLEL) if parallel else key}'] = value
    return state


def read_weights(path: Path) -> tuple[dict[str, Tensor], str | None]:
    """Read weights: ours as `models.checkpoint.read_state`, or an official file of two networks.

    Returns:
        The flat state_dict with our keys, and the configuration JSON of the file if it has one.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file holds something else.
        pickle.UnpicklingError: it holds objects that `weights_only=True` refuses.
    """
    if path.suffix != '.safetensors' and path.is_file():
        loaded: Any = torch.load(path, map_location='cpu', weights_only=True)
        if isinstance(loaded, dict) and PARTS.keys() & loaded.keys():
            return flat(loaded), None
    return read_state(path)


def load_uaafusion(path: str | Path, config: UAAFusionConfig | str | None = None) -> UAAFusion:
    """Build a UAAFusion network and load its weights, in eval mode.

    Args:
        path: ours (safetensors, which carry their configuration) or an official checkpoint.
        config: configuration or its name; needed only where the file carries none.

    Raises:
        CheckpointError: the weights don't fit the configuration; its report names every key.
        FileNotFoundError: no such weights or configuration.
        ValueError: no configuration was given and the file has none, or is another network's.
    """
    path = Path(path)
    state, text = read_weights(path)
    if isinstance(config, str):
        config = load_config(config)
    if config is None:
        if text is None:
            msg = f'{path} carries no configuration: name one, such as --config official'
            raise ValueError(msg)
        config = UAAFusionConfig.from_json(text)
    network = UAAFusion(config)
    load_into(network, state, path)
    return network.eval()


def save_uaafusion(path: Path, network: UAAFusion) -> None:
    """Write a network's weights and configuration (`models.checkpoint.save_weights`)."""
    save_weights(path, network, network.config.to_json())
