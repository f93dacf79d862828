"""Compare our networks with tensors that the official code produced.

    python -m models.parity tests/data/parity/*_seed0.npz

For each file it prints how far every stored tensor lies from ours and fails past the tolerance
(`../shared/parity/README.md`). Official code computes with cumulative sums and one range for a
whole batch, so parity mode does too.
"""

from __future__ import annotations

import argparse
import re
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from models.attacks import LOSSES, Situation, parse_attack, perturb
from models.checkpoint import load_into
from models.crossfuse import parity as crossfuse
from models.fusion import FusionNet, guide_of
from models.fusion_metrics import fusion_metrics
from models.losses import segmentation_loss
from models.operators import Operator
from models.paif import PAIF, PAIFConfig, load_config, rgb_to_ycrcb
from models.uaafusion.parity import compared, compared_first
from models.vision_alignment import parity as alignment
from paif_ros.command_line import TRAINING_LIBRARIES, add_version

Fixture = Mapping[str, NDArray[Any]]
FUSED, MIDDLE, LOGITS, OPERATOR, METRIC = 1e-4, 5e-4, 2e-4, 1e-5, 1e-5
LOSS, GRADIENT = 1e-5, 1e-3  # the gradient's is a relative L2 norm
# Rounding flips the sign of a gradient near 0, and a whole step with it: few pixels, little loss.
SAME_DELTA, OTHER_PIXELS, PGD_LOSS = 1e-6, 1e-3, 1e-4
RESULTS = ('mid', 'mean', 'out', 'pred', 'onehot')  # first parts of names of what networks gave
GAINS = {'stem_out.0': 0.6, 'stem_out.1': 0.5, 'stem_1': 1.6, 'stem_2': 1.6, 'patch_embed': 1.0}


@dataclass(frozen=True)
class Difference:
    """How far one tensor lies from its reference.

    Attributes:
        name: the stored tensor's name.
        largest: largest absolute difference, NaN where either side holds one.
        bound: tolerance.
    """

    name: str
    largest: float
    bound: float

    @property
    def passed(self) -> bool:
        """Whether the difference is a number within the tolerance."""
        return self.largest <= self.bound


def difference(name: str, found: Tensor, expected: NDArray[Any], bound: float) -> Difference:
    """Compare a tensor with a stored array of the same shape; another shape is infinitely far."""
    if tuple(found.shape) != expected.shape:
        return Difference(f'{name} {tuple(found.shape)} for {expected.shape}', float('inf'), bound)
    largest = np.abs(found.detach().double().numpy() - expected.astype(np.float64)).max()
    return Difference(name, float(largest), bound)


def recipe_weight(
    key: str, shape: tuple[int, ...], siblings: set[str], seed: int
) -> NDArray[np.float32]:
    """Return the seeded random weight that the fixtures' recipe gives a key (parity/README.md).

    Args:
        key: official state_dict key.
        shape: its shape.
        siblings: all keys of the state_dict.
        seed: the fixture's seed.
    """
    rng = np.random.Generator(np.random.Philox(key=[seed, zlib.crc32(key.encode())]))
    n = rng.standard_normal(shape)
    module, _, leaf = key.rpartition('.')
    if leaf == 'num_batches_tracked':
        value = np.zeros(shape)
    elif f'{module}.running_mean' in siblings:
        value = {
            'weight': 1 + 0.2 * n,
            'bias': 0.1 * n,
            'running_mean': 0.2 * n,
            'running_var': np.exp(0.3 * n),
        }[leaf]
    elif len(shape) == 1 and 'norm' in module.rpartition('.')[2]:
        value = 1 + 0.2 * n if leaf == 'weight' else 0.1 * n
    elif shape == (1,) and leaf == 'weight':
        value = 0.25 + 0.05 * n
    elif len(shape) >= 2:
        gain = next((g for part, g in GAINS.items() if part in key), 1.2)
        value = gain * n / np.sqrt(np.prod(shape[1:]))
    else:
        value = 0.1 * n
    return np.asarray(value).astype(np.float32).astype(np.float16).astype(np.float32)


def recipe_state(network: nn.Module, seed: int) -> dict[str, Tensor]:
    """Return the recipe's weights for every key of a network."""
    own = network.state_dict()
    keys = set(own)
    return {
        key: torch.from_numpy(recipe_weight(key, tuple(value.shape), keys, seed)).to(value.dtype)
        for key, value in own.items()
    }


def stored_state(fixture: Fixture, prefix: str) -> dict[str, Tensor]:
    """Return the weights stored in a fixture below `prefix`, by the keys behind it."""
    state = {}
    for key in fixture:
        if key.startswith(prefix):
            value = torch.from_numpy(fixture[key])
            state[key.removeprefix(prefix)] = value.float() if value.is_floating_point() else value
    return state


def official_network(backbone: str) -> PAIF:
    """Return the official network with a backbone, in parity mode and eval mode."""
    config: PAIFConfig = replace(load_config('paif_official_b3'), backbone=backbone).official()
    return PAIF(config).eval()


def inputs(fixture: Fixture) -> tuple[Tensor, Tensor]:
    """Return the stored thermal [1, 1, H, W] and visible [1, 3, H, W] pictures."""
    return torch.from_numpy(fixture['in/ir']), torch.from_numpy(fixture['in/vis'])


def fusion_stages(network: PAIF, thermal: Tensor, visible: Tensor) -> dict[str, Tensor]:
    """Return the fusion network's intermediate tensors by the fixtures' names."""
    net = network.enhance_net
    assert isinstance(net, FusionNet)  # official networks have no baseline in its place
    found: dict[str, Tensor] = {}
    hooks = []

    def watch(module: nn.Module, name: str) -> None:
        hooks.append(
            module.register_forward_hook(lambda _m, _i, out: found.__setitem__(name, out))
        )

    watch(net.stem_1, 'stem_ir')
    watch(net.stem_2, 'stem_vis')
    watch(net.decompation.conv1x1_lf, 'mix_ir')
    watch(net.decompation.conv1x1_hf, 'mix_vis')
    watch(net.decompation.chain, 'chain_ir')
    watch(net.decompation.chain2, 'chain_vis')
    watch(net.spa, 'scale')
    watch(net.chain, 'chain')
    ycrcb = rgb_to_ycrcb(visible)
    found['ycrcb'] = ycrcb
    found['fused'] = net(thermal, ycrcb[:, :1])
    for hook in hooks:
        hook.remove()
    for side in ('ir', 'vis'):
        stem = found[f'stem_{side}']
        found[f'guide_{side}'] = guide_of(stem)
        found[f'lf_{side}'], found[f'hf_{side}'] = net.decompation.bands(stem)
        found[f'chain_{side}'] = (
            found[f'mix_{side}'] + found[f'chain_{side}']
        )  # the skip belongs to the chain there
        found[f'dec_{side}'] = found[f'chain_{side}'] + stem
    gate = found['scale']
    found['agg'] = gate * found['dec_ir'] + (1 - gate) * found['dec_vis']
    found['feat3'] = found['agg'] + found['chain']
    return found


def compare_fusion(fixture: Fixture, seed: int) -> Iterator[Difference]:
    """Compare the fusion network and its intermediate tensors."""
    network = official_network('mit_b0')
    network.load_state_dict(recipe_state(network, seed))
    stored = stored_state(fixture, 'w/enhance_net.')
    if stored:  # the copies in tests/data leave weights out: the recipe makes the same
        load_into(network.enhance_net, stored, Path('fixture'))
    found = fusion_stages(network, *inputs(fixture))
    for key in fixture:
        kind, _, name = key.partition('/')
        base, _, picked = name.partition('__')
        if kind == 'mid':
            tensor = found[base][:, fixture[f'idx/{picked}']] if picked else found[base]
            yield difference(key, tensor, fixture[key], MIDDLE)
        elif kind == 'mean':
            yield difference(key, found[base].mean((2, 3)), fixture[key], MIDDLE)
        elif kind == 'out':
            yield difference(key, found['fused'], fixture[key], FUSED)


def compare_network(fixture: Fixture, network: PAIF) -> Iterator[Difference]:
    """Compare a whole loaded network."""
    thermal, visible = inputs(fixture)
    _, rgb = network.fuse(thermal, visible)
    seen = {'mid/seg_in': network.segmenter_input(rgb), 'out/fused': network(thermal, visible)[0]}
    seen['mid/seg_rgb01'] = seen['mid/seg_in'] * network.std / 255 + network.mean / 255
    maps = network.denoise_net.encoder(seen['mid/seg_in'])
    logits = network.denoise_net.decoder(maps)
    seen |= {'out/logits': logits, 'out/logits_f64': logits}
    for i, stage in enumerate(maps, start=1):
        seen |= {f'mid/c{i}': stage, f'mean/c{i}': stage.mean((2, 3))}
    for key in fixture:
        if key.split('/')[0] in ('mid', 'mean', 'out'):
            bound = LOGITS if 'logits' in key else FUSED if key == 'out/fused' else MIDDLE
            yield difference(key, seen[key], fixture[key], bound)


def compare_mit_b0(fixture: Fixture, seed: int) -> Iterator[Difference]:
    """Compare the network with MiT-B0 and stored weights, and the recipe with those weights."""
    network = official_network('mit_b0')
    recipe, stored = recipe_state(network, seed), stored_state(fixture, 'w/')
    load_into(network, stored or recipe, Path('fixture'))
    if stored:
        far = max(
            float((recipe[key].double() - stored[key].double()).abs().max()) for key in stored
        )
        yield Difference('recipe against stored weights', far, 0.0)
    yield from compare_network(fixture, network)


def compare_mit_b3(fixture: Fixture, seed: int) -> Iterator[Difference]:
    """Compare the network with MiT-B3 and weights made by the recipe."""
    network = official_network('mit_b3')
    state = recipe_state(network, seed)
    load_into(network, state, Path('recipe'))
    count = sum(parameter.numel() for parameter in network.parameters())
    yield Difference('chk/nparams', float(abs(count - int(fixture['chk/nparams']))), 0.0)
    total = sum(float(value.double().sum()) for value in state.values())
    absolute = sum(float(value.double().abs().sum()) for value in state.values())
    yield Difference('chk/weight_sum', abs(total - float(fixture['chk/weight_sum'])), 1e-3)
    yield Difference('chk/weight_abs', abs(absolute - float(fixture['chk/weight_abs'])), 1e-3)
    yield from compare_network(fixture, network)


def compare_operators(fixture: Fixture, seed: int) -> Iterator[Difference]:
    """Compare every stored operator and its number of parameters."""
    del seed
    x = torch.from_numpy(fixture['in/x'])
    for name in sorted({key.split('/')[1] for key in fixture if key.startswith('op/')}):
        operator = Operator(name, x.shape[1]).eval()
        load_into(operator, stored_state(fixture, f'op/{name}/w/'), Path(name))
        count = sum(parameter.numel() for parameter in operator.parameters())
        yield Difference(
            f'op/{name}/nparams', float(abs(count - int(fixture[f'op/{name}/nparams']))), 0.0
        )
        yield difference(f'op/{name}/out', operator(x), fixture[f'op/{name}/out'], OPERATOR)


def compare_alignment(fixture: Fixture, seed: int) -> Iterator[Difference]:
    """Compare Top-k vision alignment, where a copy has it, and the fusion metrics."""
    del seed
    if 'in/target' in fixture:
        yield from compare_top_k(fixture)
    else:
        print('  the 12 metrics only: this copy has no Top-k part (in/, out/, lut/, crop/)')
    yield from compare_fusion_metrics(fixture)


def compare_top_k(fixture: Fixture) -> Iterator[Difference]:
    """Compare means, scores, choice, exponents, tables and crops of Top-k vision alignment."""
    yield from complete(fixture, alignment.compared(fixture))
    yield difference('lut/table', alignment.table(fixture), fixture['lut/table'], 0.0)
    yield Difference('crop/names, others', float(alignment.other_crops(fixture)), 0.0)


def compare_fusion_metrics(fixture: Fixture) -> Iterator[Difference]:
    """Compare the fusion metrics."""
    a, b, fused = (fixture[f'met/{name}'].astype(np.uint8) for name in 'ABF')
    found = asdict(fusion_metrics(a, b, fused))
    found['VIFF'] = found.pop('VIF')
    for key in fixture:
        kind, _, name = key.partition('/')
        if kind == 'met' and name in found:
            value = torch.tensor(found[name], dtype=torch.float64)
            yield difference(key, value, fixture[key], METRIC)


def attacked_network(seed: int) -> PAIF:
    """Return the network that the attack fixtures were made with."""
    network = official_network('mit_b0')
    network.load_state_dict(recipe_state(network, seed))
    return network


def compare_attack_gradients(fixture: Fixture, seed: int) -> Iterator[Difference]:
    """Compare what every attack climbs: the loss and its gradients on both pictures."""
    network = attacked_network(seed)
    label = torch.from_numpy(fixture['in/label'])
    pictures = {'ir': inputs(fixture)[0], 'vis': inputs(fixture)[1]}
    with torch.enable_grad():
        for picture in pictures.values():
            picture.requires_grad_()
        _, logits = network(pictures['ir'], pictures['vis'])
        full = F.interpolate(logits, label.shape[1:], mode='bilinear', align_corners=False)
        situation = Situation(full, label, logits, logits, 0.0)
        loss = LOSSES['ce'](situation)[0]
        grads = torch.autograd.grad(loss, list(pictures.values()))
    yield difference('out/loss', loss, fixture['out/loss'], LOSS)
    yield difference('out/logits_up', full, fixture['out/logits_up'], LOGITS)
    for name, grad in zip(pictures, grads, strict=True):
        stored = torch.from_numpy(fixture[f'out/grad_{name}'])
        far = float((grad - stored).norm() / stored.norm())
        yield Difference(f'out/grad_{name}, relative L2', far, GRADIENT)


def compare_pgd(fixture: Fixture, seed: int) -> Iterator[Difference]:
    """Compare the official attack after one step and after five, and the loss that it reaches."""
    network = attacked_network(seed)
    thermal, visible = inputs(fixture)
    label = torch.from_numpy(fixture['in/label'])
    start = torch.from_numpy(fixture['init/ir']), torch.from_numpy(fixture['init/vis'])

    def loss(pictures: tuple[Tensor, Tensor]) -> Tensor:
        return segmentation_loss(network(*pictures)[1], label)

    yield difference('clean/loss', loss((thermal, visible)), fixture['clean/loss'], LOSS)
    for steps in (1, 5):
        attack = parse_attack(f'pgd{steps}')
        found = perturb(network, thermal, visible, label, attack, start=start)
        for name, clean, moved in zip(('ir', 'vis'), (thermal, visible), found, strict=True):
            stored = torch.from_numpy(fixture[f'iters{steps}/delta_{name}'])
            other = ((moved - clean - stored).abs() > SAME_DELTA).double().mean()
            title = f'iters{steps}/delta_{name}, share of pixels'
            yield Difference(title, float(other), OTHER_PIXELS)
        key = f'iters{steps}/loss'
        yield difference(key, loss(found), fixture[key], PGD_LOSS)


def complete(fixture: Fixture, found: Iterable[tuple[str, Tensor, float]]) -> Iterator[Difference]:
    """Compare tensors by their names; a stored result that nothing is compared with fails."""
    unseen = {key for key in fixture if key.split('/')[0] in RESULTS}
    for key, tensor, bound in found:
        if key in unseen:
            yield difference(key, tensor, fixture[key], bound)
            unseen.remove(key)
    yield from (Difference(f'{key}: not compared', float('inf'), 0.0) for key in sorted(unseen))


def compare_uaafusion(fixture: Fixture, seed: int) -> Iterator[Difference]:
    """Compare UAAFusion: fused pictures, attention, memory, attribution maps, weights, losses.

    A copy with the weights of the first stage alone is compared that far.
    """
    del seed
    whole = any(key.startswith('ws/') for key in fixture)
    yield from complete(fixture, compared(fixture) if whole else compared_first(fixture))


def compare_crossfuse(fixture: Fixture, seed: int) -> Iterator[Difference]:
    """Compare CrossFuse: features, fused and reconstructed pictures, correlations, losses."""
    del seed
    yield from complete(fixture, crossfuse.compared(fixture))


COMPARISONS: dict[str, Callable[[Fixture, int], Iterator[Difference]]] = {
    'paif_attackgrad': compare_attack_gradients,
    'paif_fusion': compare_fusion,
    'paif_mit_b0': compare_mit_b0,
    'paif_mit_b3_recipe': compare_mit_b3,
    'paif_ops': compare_operators,
    'paif_pgd': compare_pgd,
    'crossfuse': compare_crossfuse,
    'crossfuse_topk_metrics': compare_alignment,
    'uaafusion': compare_uaafusion,
}


@torch.no_grad()
def compare_file(path: Path) -> list[Difference]:
    """Compare our networks with one fixture.

    Raises:
        ValueError: the file's name is not one of the known kinds followed by `_seedN.npz`.
    """
    match = re.fullmatch(r'(.+)_seed(\d+)', path.stem)
    if match is None or match[1] not in COMPARISONS:
        msg = (
            f'{path.name}: no comparison for it; '
            f'known are {sorted(COMPARISONS)} followed by _seedN.npz'
        )
        raise ValueError(msg)
    with np.load(path, allow_pickle=False) as archive:
        fixture = {key: archive[key] for key in archive.files}
    return list(COMPARISONS[match[1]](fixture, int(match[2])))


def main(argv: list[str] | None = None) -> int:
    """Print all differences; return 1 when one is past its tolerance, 2 on bad input."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_version(parser, *TRAINING_LIBRARIES)
    parser.add_argument('files', nargs='+', type=Path, metavar='FILE.npz')
    failed = 0
    for path in parser.parse_args(argv).files:
        print(path)
        try:
            rows = compare_file(path)
        except (OSError, ValueError) as err:
            print(f'error: {err}', file=sys.stderr)
            return 2
        for row in rows:
            print(
                f'  {"ok  " if row.passed else "FAIL"} {row.name:36s} '
                f'{row.largest:.3g} (bound {row.bound:g})'
            )
        failed += sum(not row.passed for row in rows)
    print('all within tolerance' if not failed else f'{failed} past tolerance')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
