"""Join the nodes of a counted graph into kernels, what an engine runs in one go.

A result that nobody else reads is then not counted as written and read again:

* a pointwise node (addition, activation, cast, quantisation) joins the kernel that makes its
  input, if it is the only reader; of two such inputs, the one that is made last;
* a reshape moves nothing; a transpose, a slice or a concatenation reads and writes;
* a dequantisation is part of what reads its result, which then reads 8-bit values.

Attention is counted unfused: scores are written and read. Caches are not modelled here.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from benchmarks.onnx_costs import Cost, Costs


@dataclass(frozen=True)
class Kernel:
    """Nodes that run as one, with what they move between chip and memory.

    Attributes:
        family: of the first node, as in `Cost`.
        part: of the first node.
        nodes: how many.
        operations: sum, as in `Cost`.
        padded: sum, as in `Cost`.
        other: sum, as in `Cost`.
        width: bytes of an element that the first node reads; the precision it computes in.
        tensors: bytes of every tensor read or written, all weights as one.
    """

    family: str
    part: str
    nodes: int
    operations: int
    padded: int
    other: int
    width: int
    tensors: tuple[int, ...]

    @property
    def moved(self) -> int:
        """Bytes read and written."""
        return sum(self.tensors)


def kernels(costs: Costs) -> list[Kernel]:
    """Join nodes into kernels, as the module describes."""
    readers = Counter(name for node in costs.nodes for name in node.reads)
    readers.update(costs.outputs)
    groups: list[list[Cost]] = []
    end: dict[str, int] = {}  # what the last node of a group makes, to the place of the group
    for node in costs.nodes:
        joined = [end[name] for name in node.reads if readers[name] == 1 and name in end]
        if node.family == 'pointwise' and joined:
            place = max(joined)
            for name in groups[place][-1].writes:
                del end[name]
            groups[place].append(node)
        else:
            place = len(groups)
            groups.append([node])
        end.update(dict.fromkeys(node.writes, place))
    return [_kernel(costs, group, readers) for group in groups]


def _kernel(costs: Costs, group: list[Cost], readers: Counter[str]) -> Kernel:
    first = group[0]
    made = [name for node in group for name in node.writes]
    inside = Counter(name for node in group for name in node.reads)
    reads = set(inside) - set(made)
    written = [name for name in made if readers[name] > inside[name]]
    sizes = [costs.bytes_of(name) for name in (*sorted(reads), *written)]
    weights = sum(node.weight_bytes for node in group)
    return Kernel(
        first.family,
        first.part,
        len(group),
        sum(node.operations for node in group),
        sum(node.padded for node in group),
        sum(node.other for node in group),
        max((costs.widths[name] for name in first.reads), default=4),
        (*sizes, weights) if weights else tuple(sizes),
    )
