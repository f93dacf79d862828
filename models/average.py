"""Average the weights of networks that were trained from the same start.

    python -m models.average runs/a/weights.safetensors runs/b/weights.safetensors --out MEAN

Networks fine-tuned from one start lie in one valley of the loss, and their mean is often better
than each ("Model soups": Wortsman et al., ICML 2022; for robust networks: Croce et al., CVPR
2023). Choose on pairs that nothing was trained on: run `models.adjust` on the mean, too.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from models.checkpoint import load_paif, save_paif
from models.paif import PAIF
from paif_ros.command_line import TRAINING_LIBRARIES, add_version


@torch.no_grad()
def average(networks: Sequence[PAIF]) -> PAIF:
    """Return the first network with the mean of all weights and running statistics.

    Raises:
        ValueError: fewer than two networks, or their configurations differ.
    """
    if len(networks) < 2:
        msg = f'{len(networks)} network to average: name at least two'
        raise ValueError(msg)
    first = networks[0]
    if any(network.config != first.config for network in networks):
        msg = 'the configurations of these networks differ: average runs of one start'
        raise ValueError(msg)
    states = [network.state_dict() for network in networks]
    mean = {
        name: torch.stack([state[name] for state in states]).mean(0)
        if value.is_floating_point()
        else value
        for name, value in states[0].items()
    }
    first.load_state_dict(mean)
    return first


def main(argv: list[str] | None = None) -> int:
    """Average and write; return 0, or 2 on bad input."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_version(parser, *TRAINING_LIBRARIES)
    parser.add_argument('weights', type=Path, nargs='+', help='at least two')
    parser.add_argument('--out', type=Path, required=True)
    args = parser.parse_args(argv)
    try:
        save_paif(args.out, average([load_paif(path) for path in args.weights]))
    except (OSError, ValueError) as err:
        print(f'error: {err}', file=sys.stderr)
        return 2
    print(f'wrote {args.out}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
