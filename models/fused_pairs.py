"""Pairs whose two pictures are both what the fusion network made of them.

The segmenter learns on these without paying for the fusion network in every step. An attack within
eps of either picture is one within eps of the fused luma: a stand-in for attacks through the
fusion network, which a short joint stage has to follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from tqdm import tqdm

from models.data import LabelledPair
from models.evaluation.masks import Tensors
from models.paif import PAIF, rgb_to_ycrcb


@torch.no_grad()
def fuse_pairs(network: PAIF, pairs: Sequence[LabelledPair], what: str) -> list[LabelledPair]:
    """Fuse pairs as they are, before any crop is cut out of them.

    Args:
        network: its fusion network is used in eval mode and left as it was.
        pairs: of any sizes.
        what: title of the progress bar.

    Returns:
        The same names and labels; `visible` is the fused picture in colours, or grey where the
        segmenter sees no colours, and `thermal` its luma.
    """
    training, device = network.training, next(network.parameters()).device
    network.eval()
    found = []
    for pair in tqdm(pairs, desc=f'fusing {what}', unit='pair', mininterval=5):
        tensors = Tensors.of([pair], device)
        _, rgb = network.fuse(tensors.thermal, tensors.visible)
        luma = rgb_to_ycrcb(rgb)[0, 0]
        if not network.config.colour:
            rgb = luma.expand(1, 3, -1, -1)
        grey, colours = (
            (255 * x).round().clamp(0, 255).to('cpu', torch.uint8).numpy() for x in (luma, rgb[0])
        )
        colours = np.ascontiguousarray(colours.transpose(1, 2, 0))
        found.append(replace(pair, visible=colours, thermal=grey))
    network.train(training)
    return found
