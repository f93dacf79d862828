"""Turn trained weights into one ONNX file, and prove that it computes the same.

    python export/to_onnx.py models/weights/paif_small.safetensors
    python export/to_onnx.py models/weights/paif_small.safetensors --precision mixed
    python export/to_onnx.py official.pth --config paif_official_b3 --out paif_b3.onnx
    python export/to_onnx.py UAAFusion.pth --network uaafusion --config official
    python export/to_onnx.py crossfuse.safetensors --network crossfuse

Steps: load the weights (strictly), transform the network for deployment and compare it with the
plain one, export (opset 18, static shape, one file), check the file (onnx.checker and the rules of
`export/graph_rules.py`), run it in ONNX Runtime and compare it with torch on real pictures. The
file is written only if everything holds; the exit code is 1 if something does not, 2 on bad
arguments.

`--precision mixed` writes the form for TensorRT: FP16 where that is harmless and pays, FP32 where
it is not (models/precision.py). It is compared with FP32 in FP16 arithmetic too, for ONNX Runtime
on a CPU computes much of it in FP32. On a CPU it is slower than the FP32 file.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # run as a script, only its own folder is there
    sys.path.insert(0, str(ROOT))

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import onnx  # noqa: E402
import torch  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from torch import nn  # noqa: E402
from tqdm import tqdm  # noqa: E402

from export.checks import (  # noqa: E402
    compare_onnx,
    compare_precision,
    compare_transformed,
    worst_of,
)
from export.compact import compact  # noqa: E402
from export.graph_rules import OPSET, broken_precision, broken_rules  # noqa: E402
from export.networks import NETWORKS  # noqa: E402
from models.checkpoint import CheckpointError, sha256  # noqa: E402
from models.precision import FP32, PRECISIONS  # noqa: E402
from paif_ros import __version__  # noqa: E402
from paif_ros.command_line import TRAINING_LIBRARIES, add_version  # noqa: E402
from paif_ros.contract import CONFIDENCE, INPUTS, OUTPUTS, ModelCard  # noqa: E402

PICTURES = ROOT / 'tests' / 'data' / 'pairs'


def read_pairs(
    folder: Path, size: tuple[int, int]
) -> list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Read pairs {vi,ir}/NAME, resized to (height, width).

    Returns:
        Visible uint8 [H, W, 3] RGB and thermal uint8 [H, W] of each pair.

    Raises:
        FileNotFoundError: the folder has no pair.
    """
    pairs = []
    for path in sorted((folder / 'vi').glob('*')):
        partner = next(iter((folder / 'ir').glob(f'{path.stem}.*')), None)
        visible = cv2.imread(str(path), cv2.IMREAD_COLOR)
        thermal = cv2.imread(str(partner), cv2.IMREAD_GRAYSCALE) if partner else None
        if visible is None or thermal is None:
            continue
        shape = (size[1], size[0])
        visible = cv2.cvtColor(cv2.resize(visible, shape), cv2.COLOR_BGR2RGB)
        pairs.append(
            (np.asarray(visible, np.uint8), np.asarray(cv2.resize(thermal, shape), np.uint8))
        )
    if not pairs:
        msg = f'no pictures {{vi,ir}}/NAME in {folder}: name a folder with --pictures'
        raise FileNotFoundError(msg)
    return pairs


def export_onnx(
    deployed: nn.Module,
    size: tuple[int, int],
    batch: int,
    metadata: dict[str, str],
    *,
    small: bool = True,
) -> onnx.ModelProto:
    """Export a module that keeps the contract of exported models.

    Args:
        deployed: takes visible uint8 [N, H, W, 3] and thermal uint8 [N, H, W].
        size: (height, width).
        batch: N.
        metadata: string pairs to put in the file.
        small: make the file smaller and drop the exporter's notes, such as each node's module.
    """
    height, width = size
    visible = torch.zeros(batch, height, width, 3, dtype=torch.uint8)
    thermal = torch.zeros(batch, height, width, dtype=torch.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'model.onnx'
        torch.onnx.export(
            deployed,
            (visible, thermal),
            str(path),
            input_names=list(INPUTS),
            output_names=[*OUTPUTS, CONFIDENCE],
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
        model = onnx.load(path)
    if small:
        compact(model)
    onnx.helper.set_model_props(model, metadata)
    return model


def parse_size(text: str) -> tuple[int, int]:
    """Read 'HEIGHTxWIDTH' in pixels; both must be multiples of 32, the encoder's coarsest stride.

    Raises:
        argparse.ArgumentTypeError: it reads otherwise.
    """
    parts = text.lower().split('x')
    if len(parts) != 2 or not all(
        p.isdecimal() and int(p) > 0 and int(p) % 32 == 0 for p in parts
    ):
        msg = f'size {text!r}: give HEIGHTxWIDTH, both multiples of 32, such as 480x640'
        raise argparse.ArgumentTypeError(msg)
    return int(parts[0]), int(parts[1])


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_version(parser, *TRAINING_LIBRARIES)
    parser.add_argument(
        'weights', type=Path, help='.safetensors of ours, or an official checkpoint (.pth)'
    )
    parser.add_argument(
        '--network', choices=sorted(NETWORKS), default='paif', help='kind of network, default paif'
    )
    parser.add_argument('--config', help='name in models/configs or a path; ours carry their own')
    parser.add_argument('--out', type=Path, help='ONNX file to write; default beside the weights')
    parser.add_argument(
        '--size', type=parse_size, default=(480, 640), help='HEIGHTxWIDTH, default 480x640'
    )
    parser.add_argument(
        '--precision',
        choices=sorted(PRECISIONS),
        default='fp32',
        help="'mixed' for TensorRT: FP16 with FP32 islands; 'safe': mixed, but the transformer in "
        'FP32; default fp32',
    )
    parser.add_argument('--batch', type=int, default=1, help='pairs in a batch, default 1')
    parser.add_argument(
        '--pictures', type=Path, default=PICTURES, help='folder with {vi,ir}/NAME to compare on'
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Export a network; see the module's docstring for the steps and exit codes."""
    args = arguments(argv)
    ending = '' if args.precision == 'fp32' else f'_{args.precision}'
    out = args.out or args.weights.with_name(f'{args.weights.stem}{ending}.onnx')

    bar = tqdm(
        total=6, bar_format='{desc:34s} {n_fmt}/{total_fmt} steps, {elapsed}', file=sys.stderr
    )

    def step(text: str) -> None:
        bar.set_description_str(text)
        bar.update()

    try:
        step('loading and transforming')
        network = NETWORKS[args.network]
        plain = network.load(args.weights, args.config)
        pairs = read_pairs(args.pictures, args.size)
        deployed = network.deploy(plain, args.size, FP32)
        mixed = None
        if args.precision != 'fp32':
            mixed = network.deploy(plain, args.size, PRECISIONS[args.precision])
    except (CheckpointError, OSError, ValueError) as err:
        bar.close()
        print(f'error: {err}', file=sys.stderr)
        return 2
    tensors = [(torch.from_numpy(t)[None], torch.from_numpy(v)[None]) for v, t in pairs]
    step('comparing the transformed network')
    checks = [
        check
        for t, v in tensors
        for check in compare_transformed(plain, deployed, t, v, network.bound)
    ]
    card = ModelCard(
        network=args.network,
        variant=plain.config.variant,
        genotype=network.architecture(plain.config),
        classes=plain.config.classes,
        input_size=args.size,
        weights_sha256=sha256(args.weights),
        version=__version__,
        precision=args.precision,
    )
    step('exporting (about a minute for B3)')
    model = export_onnx(mixed or deployed, args.size, args.batch, card.to_metadata())
    step('checking the graph')
    onnx.checker.check_model(model, full_check=True)
    broken = broken_rules(model, sum(isinstance(m, nn.LayerNorm) for m in deployed.modules()))
    broken += broken_precision(model, args.precision, args.network)
    step('comparing in ONNX Runtime')
    serialized = model.SerializeToString()
    for t, v in tensors:
        repeated = (t.repeat(args.batch, 1, 1), v.repeat(args.batch, 1, 1, 1))
        if mixed is None:
            checks += compare_onnx(serialized, deployed, *repeated)
        else:
            checks += compare_precision(serialized, deployed, mixed, *repeated)
    step('done')
    bar.close()

    worst = worst_of(checks)
    print(f'{len(pairs)} real pairs from {args.pictures}, worst of them:')
    for check in worst:
        print(f'  {check}')
    for sentence in broken:
        print(f'  FAIL the graph {sentence}')
    if broken or not all(check.passed for check in worst):
        print(f'not written: {out}', file=sys.stderr)
        return 1
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(serialized)
    print(
        f'wrote {out}: {len(serialized) / 1e6:.1f} MB, {len(model.graph.node)} nodes, '
        f'opset {OPSET}'
    )
    return 0


if __name__ == '__main__':
    sys.exit(main())
