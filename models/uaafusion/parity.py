"""Compare UAAFusion with tensors that the official code produced (see `models.parity`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.attribution.integrated import Weights
from models.checkpoint import load_into
from models.uaafusion.losses import losses
from models.uaafusion.network import UAAFusion, UnfoldingFusion, load_config

Fixture = Mapping[str, NDArray[Any]]
Found = Iterator[tuple[str, Tensor, float]]
FUSED, MEANS, SCORES, LOSS = 5e-4, 5e-4, 1e-5, 1e-5
MAPS, WEIGHTS = 1e-4, 5e-2
CHANNELS = 32
EXACT = 1e-9  # float64 against float64
FAINT = 1e-4  # sum of both maps below which a float32 weight is a ratio of rounding errors


def stored_network(fixture: Fixture) -> UAAFusion:
    """Return the official network with the weights of a fixture."""
    network = UAAFusion(load_config('official'))
    for part, prefix in ((network.fusion, 'wf/'), (network.segmenter, 'ws/')):
        state = {
            key.removeprefix(prefix): torch.from_numpy(np.asarray(value))
            for key, value in fixture.items()
            if key.startswith(prefix)
        }
        load_into(part, state, Path('fixture'))
    return network.eval()


def rounding(fixture: Fixture, key: str) -> float:
    """Return how far the official float32 result lies from the official float64 one."""
    exact = fixture.get(f'{key}_f64')
    return 0.0 if exact is None else float(np.abs(fixture[key] - exact).max())


def modes_of(fixture: Fixture) -> list[str]:
    """Return which masks a fixture has results for: the segmenter's, the given one, or both."""
    return [mode for mode in ('pred', 'onehot') if f'{mode}/f' in fixture]


def compared(fixture: Fixture) -> Found:
    """Run the network with the segmenter's mask and with the given one.

    In float64 both codes must agree nearly to the last digit. In float32 the maps may differ by
    as much more as the official ones are off themselves: gradients jump where a ReLU6 switches.

    Yields:
        Name of every stored tensor, ours, and the tolerance.
    """
    network = stored_network(fixture)
    modes = modes_of(fixture)
    label = torch.from_numpy(fixture['in/label'])
    thermal, luma = torch.from_numpy(fixture['in/ir']), torch.from_numpy(fixture['in/vis'])
    yield 'mid/seg_of_mean', torch.sigmoid(network.mean_logits(thermal, luma)), SCORES
    for mode in modes:
        mask, weights = network.weigh(thermal, luma, label if mode == 'onehot' else None)
        # Where both maps are faint the official float32 weights are noise: not compared.
        clear = (weights.thermal_map + weights.visible_map).sum(1, keepdim=True) > FAINT
        for key, weight in (('w_i', weights.thermal), ('w_v', weights.visible)):
            stored = torch.from_numpy(fixture[f'{mode}/{key}'])
            yield f'{mode}/{key}', torch.where(clear, weight, stored), WEIGHTS
        for name, found in (('i', weights.thermal_map), ('v', weights.visible_map)):
            key = f'{mode}/map_{name}_classmax'
            yield key, found.amax((2, 3)), MAPS + rounding(fixture, key)
        *stages, last = network.stages(thermal, luma, mask)
        for k, stage in enumerate((*stages[1:], last), start=1):
            yield f'{mode}/f{k}', stage.fused, FUSED
            yield f'{mode}/att{k - 1}', stage.attention, FUSED
            assert stage.memory is not None  # only the start has none
            maps = {'h': stage.memory[0], 'c': stage.memory[1], 'lm': stage.long}
            for name, tensor in (maps | {'sm': stage.short}).items():
                yield f'{mode}/{name}{k}__mean', tensor.mean((2, 3)), MEANS
        yield f'{mode}/f', last.fused, FUSED
    if modes[-1] == 'onehot':
        yield from compared_losses(fixture, network, last.fused)
    if any(key.endswith('_f64') for key in fixture):
        yield from compared_exactly(fixture, network.double())


def compared_losses(fixture: Fixture, network: UAAFusion, fused: Tensor) -> Found:
    """Compute the training losses of a fused picture with the official weights."""
    thermal, luma, w_i, w_v, label = (
        torch.from_numpy(fixture[key])
        for key in ('in/ir', 'in/vis', 'onehot/w_i', 'onehot/w_v', 'in/label')
    )
    scores = network.segmenter(fused), network.segmenter(thermal), network.segmenter(luma)
    found = losses(
        fused, thermal, luma, weights=Weights(w_i, w_v, w_i, w_v), scores=scores, label=label
    )
    for name, value in (
        ('int_i', found.thermal),
        ('int_v', found.visible),
        ('grad', found.gradient),
        ('seg', found.segmentation),
        ('total', found.total),
    ):
        yield f'onehot/loss_{name}', value, LOSS


def compared_exactly(fixture: Fixture, network: UAAFusion) -> Found:
    """Run the network in float64."""
    label = torch.from_numpy(fixture['in/label'])
    thermal, luma = (torch.from_numpy(fixture[key]).double() for key in ('in/ir', 'in/vis'))
    for mode in modes_of(fixture):
        mask, weights = network.weigh(thermal, luma, label if mode == 'onehot' else None)
        yield f'{mode}/w_i_f64', weights.thermal, EXACT
        for name, found in (('i', weights.thermal_map), ('v', weights.visible_map)):
            yield f'{mode}/map_{name}_classmax_f64', found.amax((2, 3)), EXACT
        yield f'{mode}/f_f64', network.fuse_luma(thermal, luma, mask), EXACT


def compared_first(fixture: Fixture) -> Found:
    """Run the start and the first stage alone, with the weights of these (`wf/`).

    Yields:
        Name of every stored tensor, ours, and the tolerance.
    """
    fusion = UnfoldingFusion(CHANNELS, stages=1)
    state = {k.removeprefix('wf/'): v for k, v in fixture.items() if k.startswith('wf/')}
    own = {key: value.numpy() for key, value in fusion.state_dict().items()}
    unused = {key: own[key] for key in own if key.startswith(('alpha', 'init_conv_f0'))}
    tensors = {key: torch.from_numpy(value) for key, value in (state | unused).items()}
    load_into(fusion, tensors, Path('fixture'))
    thermal, luma = torch.from_numpy(fixture['in/ir']), torch.from_numpy(fixture['in/vis'])
    start = fusion.start(thermal, luma)
    stage = fusion.blockflow[0](start.fused, start, start.attention)
    yield 'onehot/f1', stage.fused, FUSED
    maps = {'h': stage.memory[0], 'c': stage.memory[1], 'lm': stage.long, 'sm': stage.short}
    for name, tensor in maps.items():
        yield f'onehot/{name}1__mean', tensor.mean((2, 3)), MEANS
