"""Reading and writing CrossFuse's weights: ours and official files, strict about every key.

An official file has four parts and no segmenter. To get a mask from it, put a segmenter of ours
behind it once; a PAIF network's fits, for it was trained on fused pictures too:

    python -m models.crossfuse.checkpoint OFFICIAL.pth --segmenter PAIF.safetensors --out OURS
"""

from __future__ import annotations

import argparse
import pickle
import sys
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from models.checkpoint import (
    CheckpointError,
    chosen_config,
    load_into,
    load_paif,
    read_parts,
    save_weights,
)
from models.crossfuse.network import CrossFuse, CrossFuseConfig, load_config
from models.paif import PAIF
from paif_ros.command_line import TRAINING_LIBRARIES, add_version

PARTS = {  # official names, ours
    'DIDF_Encoder': 'encoder',
    'DIDF_Decoder': 'decoder',
    'BaseFuseLayer': 'base_fuse',
    'DetailFuseLayer': 'detail_fuse',
}
SEGMENTER = 'denoise_net.'


def with_segmenter(state: dict[str, Tensor], network: CrossFuse) -> dict[str, Tensor]:
    """Return a state with the segmenter of a network, where it has none."""
    if any(key.startswith(SEGMENTER) for key in state):
        return state
    own = network.state_dict()
    return state | {key: value for key, value in own.items() if key.startswith(SEGMENTER)}


def load_crossfuse(
    path: str | Path,
    config: CrossFuseConfig | str | None = None,
    *,
    segmenter: PAIF | CrossFuse | None = None,
    fusion_only: bool = False,
) -> CrossFuse:
    """Build a CrossFuse network and load its weights, in eval mode.

    Args:
        path: ours (safetensors, which carry their configuration) or an official checkpoint.
        config: configuration or its name; needed only where the file carries none.
        segmenter: lends its segmenter, and what that segmenter is to see.
        fusion_only: leave the segmenter as it was initialised where the file has none, and none
            is lent: to train it, or to look at fused pictures alone.

    Raises:
        CheckpointError: the weights don't fit the configuration; its report names every key.
        FileNotFoundError: no such weights or configuration.
        ValueError: no configuration was given and the file has none, or is another network's; or
            there is no segmenter.
    """
    path = Path(path)
    state, text = read_parts(path, PARTS)
    config = chosen_config(
        config, text, path, load=load_config, parse=CrossFuseConfig.from_json, example='official'
    )
    if segmenter is not None:
        lent = segmenter.config
        config = replace(
            config,
            classes=lent.classes,
            backbone=lent.backbone,
            embedding=lent.embedding,
            colour=lent.colour,
            pool=lent.pool,
        )
        state = {key: value for key, value in state.items() if not key.startswith(SEGMENTER)}
    elif not fusion_only and not any(key.startswith(SEGMENTER) for key in state):
        msg = (
            f'{path} has no segmenter, as all official files: put one behind it with '
            '`python -m models.crossfuse.checkpoint`, or train one (docs/crossfuse.md)'
        )
        raise ValueError(msg)
    network = CrossFuse(config)
    if segmenter is not None:
        network.denoise_net.load_state_dict(segmenter.denoise_net.state_dict())
    load_into(network, with_segmenter(state, network), path)
    return network.eval()


def save_crossfuse(path: Path, network: CrossFuse) -> None:
    """Write a network's weights and configuration (`models.checkpoint.save_weights`)."""
    save_weights(path, network, network.config.to_json())


def main(argv: list[str] | None = None) -> int:
    """Put a segmenter behind fusion weights; return 0, or 2 on bad input."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_version(parser, *TRAINING_LIBRARIES)
    parser.add_argument('weights', type=Path, help='official checkpoint (.pth), or ours')
    parser.add_argument('--config', help="default 'official' for files that carry none")
    parser.add_argument('--scale', type=int, help='compute at 1 / scale of the picture, see docs')
    parser.add_argument('--segmenter', type=Path, required=True, help="a PAIF network's weights")
    parser.add_argument('--out', type=Path, required=True, help='.safetensors to write')
    args = parser.parse_args(argv)
    try:
        text = read_parts(args.weights, PARTS)[1]
        config = load_config(args.config or 'official')
        if text is not None and not args.config:
            config = CrossFuseConfig.from_json(text)
        if args.scale:
            config = replace(config, scale=args.scale)
        network = load_crossfuse(args.weights, config, segmenter=load_paif(args.segmenter))
        save_crossfuse(args.out, network)
    except (CheckpointError, OSError, ValueError, pickle.UnpicklingError) as err:
        print(f'error: {err}', file=sys.stderr)
        return 2
    print(f'wrote {args.out}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
