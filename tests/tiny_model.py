"""A model that keeps the contract and takes no time: the mean of both, thermal in steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from paif_ros.contract import CONFIDENCE, ClassLabel, ModelCard

CLASSES = (
    ClassLabel(0, 'background', (0, 0, 0)),
    ClassLabel(1, 'car', (0, 120, 255)),
    ClassLabel(2, 'person', (255, 60, 0)),
)
WARM, HOT = 128, 200  # thermal at and above is class 1, class 2


def card(size: tuple[int, int]) -> ModelCard:
    return ModelCard('tiny', 'test', '{}', CLASSES, size, '0' * 64, '0.1.0')


def expected(visible: np.ndarray, thermal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the model answers, in NumPy."""
    total = visible.astype(np.float32) + thermal[..., None].astype(np.float32)
    fused = (total * 0.5).astype(np.uint8)
    mask = (thermal >= WARM).astype(np.uint8) + (thermal >= HOT).astype(np.uint8)
    return fused, mask


def write(
    path: Path,
    size: tuple[int, int] = (48, 64),
    *,
    work: int = 0,
    poison: bool = False,
    nan: bool = False,
    hungry: bool = False,
    stall: int = 0,
    dtype: int = TensorProto.UINT8,
    outputs: tuple[str, str] = ('fused', 'mask'),
    metadata: dict[str, str] | None = None,
    batch: int | str = 1,
    confidence: bool = False,
) -> Path:
    """Write the model.

    Args:
        path: file to write.
        size: (height, width).
        work: how many needless convolutions to run, to be slow.
        poison: fail at run time when the brightest thermal pixel is 255.
        nan: compute with NaN when it is.
        hungry: ask for a tebibyte of memory when it is.
        stall: how many convolutions of a large picture to run, in vain, when it is.
        dtype: element type of the input, UINT8 in the contract.
        outputs: names of the outputs.
        metadata: in place of the right one.
        batch: N of the contract, or a name for it.
        confidence: whether it has that output; it answers the thermal picture.
    """
    height, width = size
    fused, mask = outputs
    nodes = [
        helper.make_node('Cast', ['visible'], ['v'], to=TensorProto.FLOAT),
        helper.make_node('Cast', ['thermal'], ['t'], to=TensorProto.FLOAT),
        helper.make_node('Unsqueeze', ['t', 'axis'], ['t3']),
        helper.make_node('Add', ['v', 't3'], ['sum']),
        helper.make_node('Mul', ['sum', 'half'], ['mean']),
        helper.make_node('GreaterOrEqual', ['t', 'warm'], ['is_warm']),
        helper.make_node('GreaterOrEqual', ['t', 'hot'], ['is_hot']),
        helper.make_node('Cast', ['is_warm'], ['one'], to=TensorProto.FLOAT),
        helper.make_node('Cast', ['is_hot'], ['two'], to=TensorProto.FLOAT),
        helper.make_node('Add', ['one', 'two'], ['ids']),
        helper.make_node('Cast', ['ids'], [mask], to=TensorProto.UINT8),
    ]
    constants = [
        helper.make_tensor('axis', TensorProto.INT64, [1], [3]),
        helper.make_tensor('half', TensorProto.FLOAT, [], [0.5]),
        helper.make_tensor('warm', TensorProto.FLOAT, [], [WARM]),
        helper.make_tensor('hot', TensorProto.FLOAT, [], [HOT]),
        helper.make_tensor('nothing', TensorProto.FLOAT, [], [0.0]),
    ]
    last = 'mean'

    def add_zero(scalar: str) -> None:
        """Add a scalar that is zero, so that its computation can't be left out."""
        nonlocal last
        nodes.append(helper.make_node('Mul', [scalar, 'nothing'], [f'{scalar}_0']))
        nodes.append(helper.make_node('Add', [last, f'{scalar}_0'], [f'{last}_{scalar}']))
        last = f'{last}_{scalar}'

    if poison:  # a table of 255 entries, read at the place of the brightest pixel
        constants.append(helper.make_tensor('table', TensorProto.FLOAT, [255], [0.0] * 255))
        nodes += [
            helper.make_node('ReduceMax', ['t'], ['top'], keepdims=0),
            helper.make_node('Cast', ['top'], ['place'], to=TensorProto.INT64),
            helper.make_node('Gather', ['table', 'place'], ['entry']),
        ]
        add_zero('entry')
    if nan or hungry or stall:
        constants.append(helper.make_tensor('most', TensorProto.FLOAT, [], [255.0]))
        nodes += [
            helper.make_node('ReduceMax', ['t'], ['top_now'], keepdims=0),
            helper.make_node('GreaterOrEqual', ['top_now', 'most'], ['is_255']),
            helper.make_node('Cast', ['is_255'], ['flag'], to=TensorProto.FLOAT),
        ]
    if nan:  # 0 / (1 - flag): 0, or NaN
        constants.append(helper.make_tensor('unity', TensorProto.FLOAT, [], [1.0]))
        nodes += [
            helper.make_node('Sub', ['unity', 'flag'], ['rest']),
            helper.make_node('Div', ['nothing', 'rest'], ['hole']),
        ]
        add_zero('hole')
    if hungry:  # the sum of a vector of one element, or of 2**38
        constants += [
            helper.make_tensor('exponent', TensorProto.FLOAT, [], [38.0]),
            helper.make_tensor('base', TensorProto.FLOAT, [], [2.0]),
            helper.make_tensor('flat', TensorProto.INT64, [1], [1]),
        ]
        nodes += [
            helper.make_node('Mul', ['flag', 'exponent'], ['power']),
            helper.make_node('Pow', ['base', 'power'], ['length']),
            helper.make_node('Cast', ['length'], ['length_id'], to=TensorProto.INT64),
            helper.make_node('Reshape', ['length_id', 'flat'], ['much']),
            helper.make_node('ConstantOfShape', ['much'], ['memory']),
            helper.make_node('ReduceSum', ['memory'], ['eaten'], keepdims=0),
        ]
        add_zero('eaten')
    if stall:
        nodes += _stall(stall, constants)
        add_zero('stalled')
    if work:
        weights = np.full((16, 16, 3, 3), 1e-3, np.float32)
        first = np.full((16, 1, 1, 1), 1e-3, np.float32)
        constants += [
            onnx.numpy_helper.from_array(weights, 'weights'),
            onnx.numpy_helper.from_array(first, 'first'),
        ]
        nodes.append(helper.make_node('Unsqueeze', ['t', 'front'], ['t4']))
        constants.append(helper.make_tensor('front', TensorProto.INT64, [1], [1]))
        nodes.append(helper.make_node('Conv', ['t4', 'first'], ['c0']))
        for step in range(work):
            nodes.append(
                helper.make_node('Conv', [f'c{step}', 'weights'], [f'c{step + 1}'], pads=[1] * 4)
            )
        nodes.append(helper.make_node('ReduceMean', [f'c{work}'], ['busy'], keepdims=0))
        add_zero('busy')
    nodes.append(helper.make_node('Cast', [last], [fused], to=TensorProto.UINT8))
    answers = [(fused, [batch, height, width, 3]), (mask, [batch, height, width])]
    if confidence:
        nodes.append(helper.make_node('Cast', ['t'], [CONFIDENCE], to=TensorProto.UINT8))
        answers.append((CONFIDENCE, [batch, height, width]))
    graph = helper.make_graph(
        nodes,
        'tiny',
        [
            helper.make_tensor_value_info('visible', dtype, [batch, height, width, 3]),
            helper.make_tensor_value_info('thermal', dtype, [batch, height, width]),
        ],
        [helper.make_tensor_value_info(name, TensorProto.UINT8, shape) for name, shape in answers],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 18)])
    model.ir_version = 10
    helper.set_model_props(model, card(size).to_metadata() if metadata is None else metadata)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def _stall(count: int, constants: list[onnx.TensorProto]) -> list[onnx.NodeProto]:
    """Return a loop that runs `count` times where `flag` is 1, else not at all."""
    picture = helper.make_tensor_value_info('state_in', TensorProto.FLOAT, [1, 16, 256, 256])
    body = helper.make_graph(
        [
            helper.make_node('Conv', ['state_in', 'kernel'], ['state_out'], pads=[1] * 4),
            helper.make_node('Identity', ['go'], ['go_on']),
        ],
        'body',
        [
            helper.make_tensor_value_info('turn', TensorProto.INT64, []),
            helper.make_tensor_value_info('go', TensorProto.BOOL, []),
            picture,
        ],
        [
            helper.make_tensor_value_info('go_on', TensorProto.BOOL, []),
            helper.make_tensor_value_info('state_out', TensorProto.FLOAT, [1, 16, 256, 256]),
        ],
    )
    constants += [
        onnx.numpy_helper.from_array(np.full((16, 16, 3, 3), 1e-3, np.float32), 'kernel'),
        helper.make_tensor('canvas', TensorProto.INT64, [4], [1, 16, 256, 256]),
        helper.make_tensor('turns', TensorProto.FLOAT, [], [float(count)]),
        helper.make_tensor('always', TensorProto.BOOL, [], [True]),
    ]
    return [
        helper.make_node('Mul', ['flag', 'turns'], ['turns_now']),
        helper.make_node('Cast', ['turns_now'], ['trips'], to=TensorProto.INT64),
        helper.make_node('ConstantOfShape', ['canvas'], ['start']),
        helper.make_node('Loop', ['trips', 'always', 'start'], ['end'], body=body),
        helper.make_node('ReduceMean', ['end'], ['stalled'], keepdims=0),
    ]
