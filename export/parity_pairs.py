"""Store real pairs and what the FP32 network answers to them: the yardstick of every engine.

    python -m export.parity_pairs models/weights/paif_small.safetensors

The NPZ lies beside the model and goes to the robot with it; an engine that was just built there
must answer its pairs as FP32 does (paif_ros/tensorrt/parity.py). It holds plain arrays of uint8,
`visible` [N, H, W, 3], `thermal` [N, H, W] and what the FP32 deployment network answers in torch,
`fused` [N, H, W, 3], `mask` [N, H, W] and `confidence` [N, H, W]; and strings, `names` [N] and
`weights_sha256` []. Nothing in it needs unpickling: read it with `allow_pickle=False`.
"""

from __future__ import annotations

import argparse
import sys
import zipfile
from pathlib import Path

import numpy as np
import torch
from numpy.lib import format as npy
from numpy.typing import NDArray

from export.networks import NETWORKS
from export.to_onnx import PICTURES, parse_size, read_pairs
from models.checkpoint import CheckpointError, sha256
from models.precision import FP32
from paif_ros.command_line import TRAINING_LIBRARIES, add_version

LARGEST = 6_000_000  # bytes of the file: it travels with every model
SUFFIX = '.parity.npz'


@torch.no_grad()
def answer(
    weights: Path,
    config: str | None,
    folder: Path,
    size: tuple[int, int],
    count: int,
    *,
    network: str = 'paif',
) -> dict[str, NDArray[np.generic]]:
    """Compute the arrays of the file for the first `count` pairs of a folder {vi,ir}/NAME.

    Args:
        weights: the trained weights that the model was exported from.
        config: their configuration, for weights that carry none.
        folder: pairs as `export.to_onnx.read_pairs` takes them.
        size: (height, width) of the model.
        count: pairs to store.
        network: kind of network, a name of `export.networks.NETWORKS`.
    """
    pairs = read_pairs(folder, size)[:count]
    names = [path.stem for path in sorted((folder / 'vi').glob('*'))][: len(pairs)]
    kind = NETWORKS[network]
    deployed = kind.deploy(kind.load(weights, config), size, FP32)
    visible, thermal = (np.stack(pictures) for pictures in zip(*pairs, strict=True))
    answers = [
        deployed(torch.from_numpy(v[None]), torch.from_numpy(t[None]))
        for v, t in zip(visible, thermal, strict=True)
    ]
    fused, mask, confidence = (
        torch.cat(outputs).numpy() for outputs in zip(*answers, strict=True)
    )
    return {
        'visible': visible,
        'thermal': thermal,
        'fused': fused,
        'mask': mask,
        'confidence': confidence,
        'names': np.array(names),
        'weights_sha256': np.array(sha256(weights)),
    }


def write(path: Path, arrays: dict[str, NDArray[np.generic]]) -> None:
    """Write arrays as a compressed NPZ whose bytes depend on the arrays alone, not on the time."""
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f'{name}.npy', (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, 'w') as file:
                npy.write_array(file, np.asarray(array, order='C'), allow_pickle=False)


def main(argv: list[str] | None = None) -> int:
    """Write the file; return 0, 1 if it is too large to travel, 2 on bad arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_version(parser, *TRAINING_LIBRARIES)
    parser.add_argument('weights', type=Path, help='what the model was exported from')
    parser.add_argument(
        '--network', choices=sorted(NETWORKS), default='paif', help='kind of network, default paif'
    )
    parser.add_argument('--config', help='name in models/configs or a path; not for ours')
    parser.add_argument('--out', type=Path, help='default: beside the weights')
    parser.add_argument(
        '--size', type=parse_size, default=(480, 640), help='HEIGHTxWIDTH, default 480x640'
    )
    parser.add_argument('--pictures', type=Path, default=PICTURES, help='folder with {vi,ir}/NAME')
    parser.add_argument('--count', type=int, default=4, help='pairs to store, default 4')
    args = parser.parse_args(argv)
    out = args.out or args.weights.with_suffix(SUFFIX)
    try:
        arrays = answer(
            args.weights, args.config, args.pictures, args.size, args.count, network=args.network
        )
    except (CheckpointError, OSError, ValueError) as err:
        print(f'error: {err}', file=sys.stderr)
        return 2
    write(out, arrays)
    size = out.stat().st_size
    if size > LARGEST:
        out.unlink()
        print(
            f'{out} would be {size / 1e6:.1f} MB, allowed are {LARGEST / 1e6:.0f}: '
            'store fewer pairs with --count',
            file=sys.stderr,
        )
        return 1
    print(f'wrote {out}: {size / 1e6:.1f} MB, {len(arrays["visible"])} pairs')
    return 0


if __name__ == '__main__':
    sys.exit(main())
