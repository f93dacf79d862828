"""Time CrossFuse's exported graph in ONNX Runtime and OpenVINO against the eager network.

    python -m benchmarks.crossfuse_graph --size 240x320 --threads 1 --cpu --rounds 1
    python -m benchmarks.crossfuse_graph --weights OURS.safetensors --rounds 3

The yardstick is `official`: the eager network as the official code computes it, the encoder once
for each modality, and no segmenter; every other way computes the mask too. As in
`benchmarks.deploy_graph` each has its own process and they take turns, so that noise on the
machine falls on all alike. Random weights take as long as trained ones. The frame is a real pair.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from benchmarks.deploy_graph import serve
from benchmarks.graph_turns import add_options, clock_of, parse, report_turns
from paif_ros.command_line import add_version

MEANING = {
    'official': 'eager torch, fusion alone',
    'deployed': 'deployment graph in torch',
    'onnxruntime': 'deployment graph in ONNX Runtime',
    'openvino': 'deployment graph in OpenVINO',
    'half': 'the same weights at half resolution, guided upsampling, ONNX Runtime',
    'small': 'the configuration `small`, ONNX Runtime',
}
WARM_UP = (64, 96)  # of the eager network, whose frame takes a minute on a busy machine


def build(way: str, args: argparse.Namespace) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return functions that compute one frame in the given way, and that warm it up."""
    from export.to_onnx import PICTURES, read_pairs

    visible, thermal = read_pairs(PICTURES, parse(args.size))[0]
    if way == 'openvino':
        import openvino

        settings = {'INFERENCE_PRECISION_HINT': 'f32', 'INFERENCE_NUM_THREADS': args.threads}
        model = openvino.Core().compile_model(args.models / 'onnxruntime.onnx', 'CPU', settings)
        request, feeds = model.create_infer_request(), [visible[None], thermal[None]]
        return (lambda: request.infer(feeds),) * 2
    if way not in ('official', 'deployed'):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = args.threads
        session = onnxruntime.InferenceSession(
            str(args.models / f'{way}.onnx'), options, providers=['CPUExecutionProvider']
        )
        feed = {'visible': visible[None], 'thermal': thermal[None]}
        return (lambda: session.run(None, feed),) * 2
    import torch

    from models.crossfuse.checkpoint import load_crossfuse
    from models.crossfuse.deploy import deploy
    from models.paif import rgb_to_ycrcb

    torch.set_num_threads(args.threads)
    torch.set_grad_enabled(False)
    network = load_crossfuse(args.weights)
    v, t = torch.from_numpy(visible)[None], torch.from_numpy(thermal)[None]
    if way == 'deployed':
        deployed = deploy(network)
        return (lambda: deployed(v, t)), (lambda: deployed(*(x[:, :64, :96] for x in (v, t))))
    gray = t[:, None].float() / 255
    luma = rgb_to_ycrcb(v.permute(0, 3, 1, 2).float() / 255)[:, :1]
    rows, columns = WARM_UP
    small = gray[..., :rows, :columns], luma[..., :rows, :columns]
    return (lambda: network.fuse_luma(gray, luma)), (lambda: network.fuse_luma(*small))


def prepare(args: argparse.Namespace, ways: list[str], folder: Path) -> tuple[Path, str]:
    """Write weights, where none are given, and the exported graphs.

    Returns:
        Path of the weights, and a description.
    """
    import torch

    from export.to_onnx import export_onnx
    from models.crossfuse.checkpoint import load_crossfuse, save_crossfuse
    from models.crossfuse.deploy import deploy
    from models.crossfuse.network import CrossFuse, load_config

    torch.manual_seed(0)
    weights = args.weights
    if weights is None:
        config = load_config(args.config)
        weights = folder / 'weights.safetensors'
        save_crossfuse(
            weights, CrossFuse(replace(config, variant=f'{args.config}, random weights'))
        )
    network = load_crossfuse(weights)
    graphs = {'onnxruntime': network, 'small': CrossFuse(load_config('small')).eval()}
    if 'half' in ways:
        graphs['half'] = load_crossfuse(weights, replace(network.config, scale=2))
    for way, exported in graphs.items():
        if way in ways or (way == 'onnxruntime' and 'openvino' in ways):
            model = export_onnx(deploy(exported), parse(args.size), 1, {})
            (folder / f'{way}.onnx').write_bytes(model.SerializeToString())
    config = network.config
    return weights, (
        f'CrossFuse {config.variant}: {config.channels} channels, {config.blocks} and '
        f'{config.decoder_blocks} blocks, scale {config.scale}, {config.backbone}'
    )


def main(argv: list[str] | None = None) -> int:
    """Measure and print a table; return 0."""
    parser = argparse.ArgumentParser(
        prog='benchmarks.crossfuse_graph',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_version(parser)
    add = parser.add_argument
    add('--config', default='official', help='in models/crossfuse/configs, with random weights')
    add('--weights', type=Path, help='weights of ours, instead of --config')
    add('--ways', default=','.join(MEANING), help='some of the default, with commas between them')
    add_options(parser, MEANING)
    args = parser.parse_args(argv)
    if args.worker:
        frame, warm_up = build(args.worker, args)
        serve(frame, clock_of(args), warm_up)
        return 0
    ways = ['official', *(way for way in args.ways.split(',') if way != 'official')]
    if not set(ways) <= MEANING.keys():
        parser.error(f'--ways {args.ways}: some of {",".join(MEANING)}')
    report_turns(
        args,
        ways,
        MEANING,
        'benchmarks.crossfuse_graph',
        lambda folder: prepare(args, ways, folder),
    )
    return 0


if __name__ == '__main__':
    sys.exit(main())
