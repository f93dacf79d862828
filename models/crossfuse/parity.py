"""Compare CrossFuse with tensors that the official code produced (see `models.parity`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from models.checkpoint import flat_parts, load_into
from models.crossfuse.checkpoint import PARTS, with_segmenter
from models.crossfuse.losses import correlation, fusion
from models.crossfuse.network import CrossFuse, load_config
from models.paif import stretch_image

Fixture = Mapping[str, NDArray[Any]]
TOLERANCE, EXACT = 2e-5, 1e-9  # float32, and float64 against float64


def tolerance(stored: NDArray[Any]) -> float:
    """Return how far features may lie apart: float32 rounds in proportion if over 1."""
    return TOLERANCE * max(1.0, float(abs(stored).max()))


def stored_network(fixture: Fixture) -> CrossFuse:
    """Return the official network with the weights of a fixture."""
    network = CrossFuse(load_config('official'))
    parts = {
        name: {
            key.removeprefix(f'w/{name}/'): torch.from_numpy(value)
            for key, value in fixture.items()
            if key.startswith(f'w/{name}/')
        }
        for name in PARTS
    }
    load_into(network, with_segmenter(flat_parts(parts, PARTS), network), Path('fixture'))
    return network.eval()


def compared(fixture: Fixture) -> Iterator[tuple[str, Tensor, float]]:
    """Run the network as the official test and training code do, then in float64.

    Yields:
        Name of every stored tensor, ours, and the tolerance.
    """
    network = stored_network(fixture)
    thermal, luma = torch.from_numpy(fixture['in/ir']), torch.from_numpy(fixture['in/vis'])
    found = {}
    encoded = {'ir': network.encoder(thermal), 'vis': network.encoder(luma)}
    for side, features in encoded.items():
        found[f'{side}_base'], found[f'{side}_detail'] = features.base, features.detail
        found[f'{side}_level1'] = features.shared
    base, detail = network.fuse_features(encoded['ir'], encoded['vis'])
    found |= {'fuse_base': base, 'fuse_detail': detail}
    found['dec_reduce'] = network.decoder.change(base, detail)[1]
    for name, tensor in found.items():
        chosen = tensor[:, fixture['idx/ch64']]
        for key, value in ((f'mean/{name}', tensor.mean((2, 3))), (f'mid/{name}__ch64', chosen)):
            yield key, value, tolerance(fixture[key])
    fused = network.decoder(base, detail, luma)
    yield 'out/fused_sigmoid', fused, TOLERANCE
    yield 'out/fused_minmax', stretch_image(fused), TOLERANCE
    yield 'out/fused_noresidual', network.decoder(base, detail), TOLERANCE
    yield 'out/recon_vis', network.decoder(*encoded['vis'][:2], luma), TOLERANCE
    for kind in ('base', 'detail'):
        pair = (getattr(encoded[side], kind) for side in ('vis', 'ir'))
        yield f'out/cc_{kind}', correlation(*pair), TOLERANCE
    loss = fusion(fused, thermal, luma)
    yield 'out/loss_in', loss.intensity, TOLERANCE
    yield 'out/loss_grad', loss.gradient, TOLERANCE
    yield 'out/loss_total', loss.total, TOLERANCE
    exact = network.double().fuse_luma(thermal.double(), luma.double())
    yield 'out/fused_sigmoid_f64', exact, EXACT
