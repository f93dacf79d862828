"""How long a counted graph would take on a board: a roofline for each kernel, calibrated on peers.

A kernel takes the longer of its arithmetic and its memory traffic, each at a part of the board's
peak, and the kernels run one after the other. The parts of the peak are `Efficiency`. How much of
the tensor cores' peak is reached can't be known without a board, so it is fitted: the same model
must give what Isaac ROS publishes for SegFormer on four Orin boards. The backbone there is not
stated; its file of 204.5 MB suits about 51 million FP32 parameters, between MiT-B3 (47) and MiT-B4
(64), while many believe it to be MiT-B5 (85). All three are kept: with B3 the boards did least
work, which makes the slow case, and B5 makes the fast one. No peer publishes a network of
convolutions at full resolution, which most of PAIF is; nothing calibrates that part.
"""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from benchmarks.boards import BOARDS, Board
from benchmarks.onnx_costs import Costs
from benchmarks.onnx_kernels import Kernel, kernels

ANCHORS = Path(__file__).with_name('roofline_anchors.json')
QUANTISED = ('convolution', 'matrix product')


@dataclass(frozen=True)
class Efficiency:
    """Parts of a peak that are reached.

    Attributes:
        tensor: of tensor cores, fitted.
        memory: of the memory's bandwidth, assumed.
        vector: of CUDA cores, assumed.
        anchor: the backbone that `tensor` was fitted on.
    """

    tensor: float
    memory: float
    vector: float
    anchor: str


# `tensor` is the median of `fit_tensor` over four Orin boards; a test holds it to that.
CASES = {
    'slow': Efficiency(0.196, 0.6, 0.4, 'mit_b3'),
    'expected': Efficiency(0.259, 0.7, 0.5, 'mit_b4'),
    'fast': Efficiency(0.311, 0.8, 0.6, 'mit_b5'),
}


def kernel_seconds(kernel: Kernel, board: Board, efficiency: Efficiency) -> float:
    """Return the time of one kernel.

    Transposes, slices and concatenations take none: TensorRT folds nearly all into their
    neighbours, and the published figures can not be reached if they are counted.
    """
    if kernel.family == 'movement':
        return 0.0
    vector = board.fp32 * efficiency.vector
    arithmetic = kernel.other / vector
    if kernel.padded and kernel.width <= 2:  # 1 byte is INT8, 2 is FP16
        peak = board.int8 if kernel.width == 1 else board.fp16
        arithmetic += kernel.padded / (peak * efficiency.tensor)
    else:  # FP32 (the builder turns TF32 off) and depthwise convolutions: CUDA cores
        arithmetic += kernel.operations / vector
    traffic = sum(
        size / board.cache_bandwidth
        if size <= board.cache / 2
        else size / (board.bandwidth * efficiency.memory)
        for size in kernel.tensors
    )
    return max(arithmetic, traffic) + board.launch


def seconds(work: Sequence[Kernel], board: Board, efficiency: Efficiency) -> float:
    """Return the time of all kernels, one after the other."""
    return sum(kernel_seconds(kernel, board, efficiency) for kernel in work)


def slack(board: Board) -> float:
    """Return how much longer than projected the board's published figure is, at least 1.

    The slow case is longer by it, so that there no board does better than what is published of it:
    Thor's published figure is half of what its peaks say.
    """
    if board.published is None:
        return 1.0
    case = CASES['slow']
    return max(1.0, 1 / (max(board.published.fps) * seconds(_anchor(case.anchor), board, case)))


@lru_cache
def _anchor(name: str) -> tuple[Kernel, ...]:
    return tuple(load_anchors()[name])


def floor_seconds(work: Sequence[Kernel], board: Board) -> float:
    """Return the time at the board's full peaks: no engine with these kernels is faster."""
    return seconds(work, replace(board, launch=0.0), Efficiency(1.0, 1.0, 1.0, ''))


def fit_tensor(
    work: Sequence[Kernel], board: Board, efficiency: Efficiency, target: float
) -> float:
    """Return the `tensor` with which `work` takes `target` seconds.

    Raises:
        ValueError: no value up to 1 is fast enough, or 0.001 already is.
    """

    def taken(tensor: float) -> float:
        return seconds(work, board, replace(efficiency, tensor=tensor))

    low, high = 1e-3, 1.0
    if not taken(high) < target < taken(low):
        msg = f'{board.name}: {target:.4f} s is outside {taken(high):.4f} to {taken(low):.4f} s'
        raise ValueError(msg)
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if taken(middle) > target else (low, middle)
    return high


def calibrate(work: Sequence[Kernel], efficiency: Efficiency) -> dict[str, float]:
    """Fit `tensor` on each board that calibrates, to its highest published figure."""
    return {
        board.name: fit_tensor(work, board, efficiency, 1 / max(board.published.fps))
        for board in BOARDS
        if board.fits and board.published
    }


def median(fits: dict[str, float]) -> float:
    """Return the middle of the fits."""
    return statistics.median(fits.values())


def quantised(costs: Costs, parts: Sequence[str]) -> Costs:
    """Return an FP16 or mixed graph as INT8 would make it, by rule and not by measurement.

    Every convolution and matrix product with weights that computes in FP16 in one of these parts
    of the network reads 8-bit values and weights; everything else stays. A real Q/DQ file is
    counted as it is and needs none of this.
    """
    widths, nodes = dict(costs.widths), []
    for node in costs.nodes:
        chosen = (
            node.family in QUANTISED
            and node.part in parts
            and all(costs.widths[name] == 2 for name in node.reads)
        )
        if chosen:
            widths.update(dict.fromkeys(node.reads, 1))
        nodes.append(replace(node, weight_bytes=node.weight_bytes // 2) if chosen else node)
    return replace(costs, nodes=nodes, widths=widths)


def halved(costs: Costs) -> Costs:
    """Return an FP32 graph as FP16 throughout, as `trtexec --fp16` would make it."""
    widths = {name: 2 if width == 4 else width for name, width in costs.widths.items()}
    nodes = [replace(node, weight_bytes=node.weight_bytes // 2) for node in costs.nodes]
    return replace(costs, nodes=nodes, widths=widths)


def save_anchors(path: Path, graphs: dict[str, Costs]) -> None:
    """Write the kernels of the networks that calibrate, alike ones once with their number."""
    table = {
        name: [
            [number, *vars(kernel).values()]
            for kernel, number in Counter(kernels(halved(costs))).items()
        ]
        for name, costs in graphs.items()
    }
    lines = ',\n'.join(
        f' {json.dumps(name)}: [\n'
        + ',\n'.join(f'  {json.dumps(row, separators=(",", ":"))}' for row in rows)
        + '\n ]'
        for name, rows in table.items()
    )
    path.write_text(f'{{\n{lines}\n}}\n')


def load_anchors(path: Path = ANCHORS) -> dict[str, list[Kernel]]:
    """Read what `save_anchors` wrote."""
    table: dict[str, list[Kernel]] = {}
    for name, rows in json.loads(path.read_text()).items():
        table[name] = []
        for number, family, part, nodes, operations, padded, other, width, tensors in rows:
            figures = (nodes, operations, padded, other, width, tuple(tensors))
            table[name] += [Kernel(family, part, *figures)] * number
    return table
