"""Reading and writing UAAFusion's weights: ours and official files, strict about every key."""

from __future__ import annotations

from pathlib import Path

from models.checkpoint import chosen_config, load_into, read_parts, save_weights
from models.uaafusion.network import UAAFusion, UAAFusionConfig, load_config

PARTS = {'model_f': 'fusion', 'model_s': 'segmenter'}  # official names, ours


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
    state, text = read_parts(path, PARTS)
    network = UAAFusion(
        chosen_config(
            config,
            text,
            path,
            load=load_config,
            parse=UAAFusionConfig.from_json,
            example='official',
        )
    )
    load_into(network, state, path)
    return network.eval()


def save_uaafusion(path: Path, network: UAAFusion) -> None:
    """Write a network's weights and configuration (`models.checkpoint.save_weights`)."""
    save_weights(path, network, network.config.to_json())
