"""Boards the roofline projects for, and what peers have published for them.

Rates are dense ones at the module's highest clocks, from data sheets. NVIDIA states INT8 of Orin
modules with sparsity and, for the larger ones, with the two DLAs, which this package does not use:
what is here is the GPU's share, halved for sparsity, and halved again for FP16.
"""

from __future__ import annotations

from dataclasses import dataclass

TERA = 1e12
GIGA = 1e9
ISAAC = (
    'Isaac ROS SegFormer graph, 512x512, TensorRT FP16, frames a second of the whole graph '
    '(NVIDIA-ISAAC-ROS/isaac_ros_benchmark, results/*segformer_graph*.json)'
)


@dataclass(frozen=True)
class Published:
    """A figure of somebody else's.

    Attributes:
        fps: frames a second.
        source: where it stands.
        network: what ran.
    """

    fps: tuple[float, ...]
    source: str = ISAAC
    network: str = 'PeopleSemSegFormer'


@dataclass(frozen=True)
class Board:
    """One board. Rates in operations a second, a multiply-add being two.

    Attributes:
        name: what people call it.
        bandwidth: of its memory, bytes a second.
        fp32: of CUDA cores.
        fp16: of tensor cores, with FP16 accumulators.
        int8: of tensor cores.
        launch: seconds from one kernel of a CUDA graph to the next.
        cache: bytes of L2 where it holds whole feature maps, else 0.
        cache_bandwidth: of that L2.
        published: of peers.
        fits: whether its published figure calibrates the model.
        remark: on its figures.
    """

    name: str
    bandwidth: float
    fp32: float
    fp16: float
    int8: float
    launch: float
    cache: float = 0.0
    cache_bandwidth: float = 0.0
    published: Published | None = None
    fits: bool = False
    remark: str = ''


def _board(  # noqa: PLR0917 - a table
    name: str,
    gigabytes: float,
    fp32: float,
    fp16: float,
    int8: float,
    microseconds: float,
    cache: tuple[float, float] = (0.0, 0.0),
    fps: tuple[float, ...] = (),
    *,
    fits: bool = False,
    remark: str = '',
) -> Board:
    return Board(
        name,
        gigabytes * GIGA,
        fp32 * TERA,
        fp16 * TERA,
        int8 * TERA,
        microseconds * 1e-6,
        cache[0] * 1e6,
        cache[1] * GIGA,
        Published(fps) if fps else None,
        fits,
        remark,
    )


# GB/s; TFLOPS FP32, FP16, TOPS INT8; microseconds; L2 in MB and its GB/s; published fps.
BOARDS = (
    _board('Orin Nano 8GB', 68, 1.28, 10, 20, 5, fps=(7.9, 10.1), fits=True),
    _board('Orin Nano 8GB Super', 102, 2.09, 16.75, 33.5, 5, fps=(15.7,), fits=True),
    _board(
        *('Orin NX 16GB', 102.4, 1.88, 15, 30, 5),
        fps=(10.2, 13.1),
        fits=True,
        remark='GPU share of its 100 TOPS from general knowledge',
    ),
    _board('AGX Orin 64GB', 204.8, 5.3, 42.5, 85, 5, fps=(27.7, 33.6, 35.5), fits=True),
    _board(
        *('Thor T5000', 273, 8.06, 258, 517, 5, (32, 800)),
        fps=(58.5, 62.8),
        remark='published: about 60 on three different GPUs, so something else set the pace',
    ),
    _board(
        *('RTX 4090', 1008, 82.6, 330, 660, 2, (72, 5000)),
        fps=(210, 261),
        remark='not fitted; its launch time and FP16 accumulators were chosen with it in view',
    ),
    _board('H200', 4800, 67, 989, 1979, 2, (50, 5500), remark='no published figure'),
)
