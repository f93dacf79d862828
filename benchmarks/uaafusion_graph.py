"""Time UAAFusion's exported graph in ONNX Runtime against the eager network of the same weights.

    python -m benchmarks.uaafusion_graph --size 128x160
    python -m benchmarks.uaafusion_graph --weights ../shared/parity/uaafusion_seed0.npz --threads 1 --cpu

The yardstick is `official`: all that the official code computes for a frame, attribution weights
of every class that is present included. As in `benchmarks.deploy_graph` each way has its own
process and they take turns, so that noise on the machine falls on all alike. Without weights they
are random ones by the recipe of `models.parity`, whose mask has few classes; those of the parity
fixture have many. The frame is a real pair.
"""  # noqa: E501 - a command line

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.deploy_graph import serve
from benchmarks.graph_turns import add_options, clock_of, parse, report_turns
from paif_ros.command_line import TRAINING_LIBRARIES, add_version

WAYS = ('official', 'plain', 'deployed', 'onnxruntime', 'unguided')
MEANING = {
    'official': 'eager torch, all that the official code computes',
    'plain': 'eager torch without the attribution weights, which reach no output',
    'deployed': 'deployment graph in torch',
    'onnxruntime': 'deployment graph in ONNX Runtime',
    'unguided': 'the same without attention (--network uaafusion_unguided), an approximation',
}


def build(way: str, args: argparse.Namespace) -> Callable[[], object]:
    """Return a function that computes one frame in the given way."""
    from export.to_onnx import PICTURES, read_pairs

    visible, thermal = read_pairs(PICTURES, parse(args.size))[0]
    if way in ('onnxruntime', 'unguided'):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = args.threads
        session = onnxruntime.InferenceSession(
            str(args.models / f'{way}.onnx'), options, providers=['CPUExecutionProvider']
        )
        return lambda: session.run(None, {'visible': visible[None], 'thermal': thermal[None]})
    import torch

    from models.paif import rgb_to_ycrcb
    from models.uaafusion.checkpoint import load_uaafusion
    from models.uaafusion.deploy import deploy

    torch.set_num_threads(args.threads)
    torch.set_grad_enabled(False)
    network = load_uaafusion(args.weights)
    v, t = torch.from_numpy(visible)[None], torch.from_numpy(thermal)[None]
    if way == 'deployed':
        deployed = deploy(network, parse(args.size))
        return lambda: deployed(v, t)
    gray, rgb = t[:, None].float() / 255, v.permute(0, 3, 1, 2).float() / 255
    if way == 'plain':
        return lambda: network(gray, rgb)
    luma = rgb_to_ycrcb(rgb)[:, :1]

    def official() -> object:
        mask, weights = network.weigh(gray, luma)
        *_, last = network.stages(gray, luma, mask, weights)
        return network.segmenter.logits(last.fused)

    return official


def prepare(args: argparse.Namespace, folder: Path) -> tuple[Path, str]:
    """Write weights, where none are given, and the exported graphs.

    Returns:
        Path of the weights, and a description.
    """
    import torch

    from export.to_onnx import PICTURES, export_onnx, read_pairs
    from models.parity import recipe_state
    from models.uaafusion.checkpoint import load_uaafusion, save_uaafusion
    from models.uaafusion.deploy import deploy
    from models.uaafusion.network import UAAFusion, load_config
    from models.uaafusion.parity import stored_network

    weights = args.weights
    if weights is None:
        config = load_config(args.config)
        network = UAAFusion(replace(config, variant=f'{config.variant}, random weights'))
        network.load_state_dict(recipe_state(network, 0))
        weights = folder / 'weights.safetensors'
        save_uaafusion(weights, network)
    elif weights.suffix == '.npz':
        with np.load(weights, allow_pickle=False) as archive:
            network = stored_network({key: archive[key] for key in archive.files})
        weights = folder / 'weights.safetensors'
        save_uaafusion(weights, network)
    network = load_uaafusion(weights)
    size = parse(args.size)
    for way, guided in (('onnxruntime', True), ('unguided', False)):
        deployed = deploy(network, size, guided=guided)
        model = export_onnx(deployed, size, 1, {})
        (folder / f'{way}.onnx').write_bytes(model.SerializeToString())
    visible, thermal = read_pairs(PICTURES, size)[0]
    with torch.no_grad():
        luma = torch.from_numpy(visible).float().mean(2)[None, None] / 255
        logits = network.mean_logits(torch.from_numpy(thermal)[None, None].float() / 255, luma)
    config = network.config
    present = len(logits.argmax(1).unique())
    return weights, (
        f'UAAFusion {config.variant}: {config.channels} channels, decoder {config.decoder}, '
        f'{config.stages} stages, {present} of {len(config.classes)} classes present'
    )


def main(argv: list[str] | None = None) -> int:
    """Measure and print a table; return 0."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_version(parser, *TRAINING_LIBRARIES)
    parser.add_argument('--config', default='official', help='in models/uaafusion/configs')
    parser.add_argument(
        '--weights', type=Path, help='weights of ours or a parity fixture, instead of --config'
    )
    add_options(parser, WAYS)
    args = parser.parse_args(argv)
    if args.worker:
        serve(build(args.worker, args), clock_of(args))
        return 0
    report_turns(
        args, WAYS, MEANING, 'benchmarks.uaafusion_graph', lambda folder: prepare(args, folder)
    )
    return 0


if __name__ == '__main__':
    sys.exit(main())
