"""Choose what of a network may be INT8: ranges from pictures, sensitive modules by measurement.

Everything runs in torch on the deployment network: hooks take samples of what flows into every
convolution and linear layer, and fake quantisation (round to INT8 and back, as QuantizeLinear and
DequantizeLinear do) shows what INT8 does to fused picture and mask before anything is exported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from export.islands import Pair, answers
from export.moved import Answer, Moved, compare
from models.deploy import DeployedPAIF

LEVELS = 127  # symmetric INT8: -127 to 127, and 0 is 0
SAMPLES = 20_000  # values of one tensor that are kept of each picture
CLIPS = torch.linspace(0.3, 1.0, 29)  # parts of the largest value that are tried as the range
SPARE = 2.0  # how much better than the gate the chosen modules must be: other pictures come


@dataclass
class Layer:
    """A convolution or linear layer that could be INT8.

    Attributes:
        path: its dotted name in the deployment network.
        group: what it is left out with when it is sensitive.
        macs: multiplications for one pair.
        scale: of its input; real value of one step.
    """

    path: str
    group: str
    macs: int = 0
    scale: float = 0.0


def group_of(path: str) -> str:
    """Return the group of a layer: an operator of a cell, attention of a stage, and so on."""
    parts = path.split('.')
    if parts[0] == 'fusion':
        depth = 3 if parts[1].startswith('chain') else 2
        return '.'.join(parts[:depth])
    if parts[1] == 'decoder':
        return 'segmenter.decoder'
    stage, kind = parts[2], parts[4] if parts[2].startswith('block') else ''
    return f'segmenter.encoder.{stage}.{kind}'.rstrip('.')


def layers_of(network: nn.Module) -> dict[str, nn.Module]:
    """Return the convolutions and linear layers of a deployment network by their paths."""
    return {
        path: module
        for path, module in network.named_modules()
        if isinstance(module, (nn.Conv2d, nn.Linear))
    }


def fake(x: Tensor, scale: Tensor | float, axis: int | None = None) -> Tensor:
    """Round to symmetric INT8 and back, per tensor or per index of `axis`."""
    if axis is not None:
        assert isinstance(scale, Tensor)
        shape = [1] * x.ndim
        shape[axis] = -1
        scale = scale.view(shape)
    return torch.clamp(torch.round(x / scale), -LEVELS - 1, LEVELS) * scale


def best_scale(samples: Tensor) -> float:
    """Return the step of symmetric INT8 with the least squared error on samples [n]."""
    top = float(samples.abs().max())
    if top == 0:
        return 1.0
    scales = [float(clip) * top / LEVELS for clip in CLIPS]
    errors = [float(((fake(samples, scale) - samples) ** 2).mean()) for scale in scales]
    return scales[errors.index(min(errors))]


def weight_scales(weight: Tensor) -> Tensor:
    """Return the steps [cout] of a weight [cout, ...], one for each output channel."""
    top = weight.flatten(1).abs().amax(1)
    return torch.where(top > 0, top / LEVELS, torch.ones_like(top))


@contextmanager
def hooked(network: nn.Module, make: Callable[[str], Callable[..., object]]) -> Iterator[None]:
    """While open, call a hook after every convolution and linear layer."""
    handles = [
        module.register_forward_hook(make(path)) for path, module in layers_of(network).items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def calibrate(network: DeployedPAIF, pairs: Sequence[Pair]) -> list[Layer]:
    """Run pairs and return every layer with the scale of its input and its work."""
    layers = {path: Layer(path, group_of(path)) for path in layers_of(network)}
    samples: dict[str, list[Tensor]] = {path: [] for path in layers}

    def make(path: str) -> Callable[..., object]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            x = inputs[0].detach().float().flatten()
            # Evenly spaced, so that layers with the same input get the same scale.
            picked = x[:: max(1, x.numel() // SAMPLES)]
            samples[path].append(torch.cat((picked, x.amax()[None], x.amin()[None])))
            weight = module.get_parameter('weight')
            layers[path].macs = (
                output.numel() * weight[0].numel()
                if isinstance(module, nn.Conv2d)
                else output.numel() * weight.shape[1]
            )

        return hook

    with hooked(network, make):
        answers(network, pairs)
    for path, layer in layers.items():
        layer.scale = best_scale(torch.cat(samples[path]))
    return list(layers.values())


@contextmanager
def quantised(network: DeployedPAIF, layers: Iterable[Layer]) -> Iterator[None]:
    """While open, the network computes with INT8 inputs and weights in the given layers."""
    modules = layers_of(network)
    kept: dict[str, Tensor] = {}
    handles = []
    for layer in layers:
        module = modules[layer.path]
        weight = module.get_parameter('weight')
        kept[layer.path] = weight.data
        weight.data = fake(weight.data, weight_scales(weight.data), 0)

        def before(
            _: nn.Module, inputs: tuple[Tensor, ...], scale: float = layer.scale
        ) -> tuple[Tensor, ...]:
            return (fake(inputs[0], scale), *inputs[1:])

        handles.append(module.register_forward_pre_hook(before))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for path, data in kept.items():
            modules[path].get_parameter('weight').data = data


@dataclass(frozen=True)
class Choice:
    """What the search found.

    Attributes:
        chosen: layers that become INT8.
        alone: how far the answers move when one group alone is INT8, by group.
        together: how far they move with all chosen ones, in torch.
        macs: part of the multiplications of all layers that become INT8.
    """

    chosen: tuple[Layer, ...]
    alone: dict[str, Moved]
    together: Moved | None
    macs: float


def damage(moved: Moved, noise: float, flips: float) -> float:
    """Return how much of what the gate allows is used up; 1 is all of it."""
    power = 10 ** (-moved.fused_psnr / 10) / 10 ** (-noise / 10)
    return max(power, (1 - moved.agreement) / flips)


def choose(
    network: DeployedPAIF,
    layers: Sequence[Layer],
    pairs: Sequence[Pair],
    bounds: tuple[float, float],
    notice: Callable[[str], None] = lambda _: None,
) -> Choice:
    """Put groups of layers into INT8 as long as the answers stay within the bounds.

    The groups are measured one by one, then taken in the order of damage for the work they save;
    one that breaks the bounds together with those before it is left out.

    Args:
        network: the FP32 deployment network.
        layers: from `calibrate`.
        pairs: pictures to measure on.
        bounds: PSNR of the fused picture in dB and part of the mask that must agree.
        notice: told about each measurement.
    """
    noise, flips = bounds[0], (1 - bounds[1])
    expected = answers(network, pairs)

    def moved(chosen: Iterable[Layer]) -> Moved:
        with quantised(network, chosen):
            found: list[Answer] = answers(network, pairs)
        return compare(found, expected)

    groups: dict[str, list[Layer]] = {}
    for layer in layers:
        groups.setdefault(layer.group, []).append(layer)
    alone = {}
    for name, group in groups.items():
        alone[name] = moved(group)
        notice(f'{name} alone: {alone[name].fused_psnr:.1f} dB, {alone[name].agreement:.4f}')
    cost = {name: damage(found, noise, flips) for name, found in alone.items()}
    work = {name: sum(layer.macs for layer in group) for name, group in groups.items()}
    chosen: list[Layer] = []
    together = None
    used = 0.0  # damage of the chosen ones if it adds up, which it does nearly
    for name in sorted(groups, key=lambda name: cost[name] / max(1, work[name])):
        if used + cost[name] > 2 / SPARE:
            continue  # hopeless by the sum, do not measure
        found = moved([*chosen, *groups[name]])
        if damage(found, noise, flips) <= 1 / SPARE:
            chosen += groups[name]
            together, used = found, damage(found, noise, flips)
            notice(f'{name} taken: {found.fused_psnr:.1f} dB, {found.agreement:.4f}')
        else:
            notice(f'{name} left out: {found.fused_psnr:.1f} dB, {found.agreement:.4f}')
    total = sum(work.values())
    return Choice(tuple(chosen), alone, together, sum(layer.macs for layer in chosen) / total)
