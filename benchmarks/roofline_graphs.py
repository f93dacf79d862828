"""Exports the networks that the roofline counts, with random weights: only their shapes count."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import onnx

Size = tuple[int, int]
STRIDE = 32  # the encoder's coarsest; sizes are multiples of it


def exported_size(size: Size) -> Size:
    """Return the next size that can be exported: both sides rounded up to multiples of 32."""
    return -(-size[0] // STRIDE) * STRIDE, -(-size[1] // STRIDE) * STRIDE


def paif_graph(config: str, size: Size, precision: str) -> onnx.ModelProto:
    """Export PAIF's deployment form without weights.

    Args:
        config: name in models/configs, or a path.
        size: (height, width), multiples of 32.
        precision: 'fp32' or 'mixed'.
    """
    import torch

    from export.to_onnx import export_onnx
    from models.deploy import deploy
    from models.paif import PAIF, load_config
    from models.precision import PRECISIONS

    torch.manual_seed(0)
    network = deploy(PAIF(load_config(config)).eval(), PRECISIONS[precision])
    return without_weights(export_onnx(network, size, 1, {}))


def segformer_graph(backbone: str, size: Size = (512, 512)) -> onnx.ModelProto:
    """Export a plain SegFormer, such as peers run: two classes, decoder of 768, mask out."""
    import torch
    from torch import Tensor, nn
    from torch.nn.functional import interpolate

    from models.segformer import SegFormer

    class Masks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = SegFormer(backbone, 2, 768)

        def forward(self, x: Tensor) -> Tensor:
            logits = interpolate(self.net(x), x.shape[2:], mode='bilinear', align_corners=False)
            return logits.argmax(1).to(torch.uint8)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'model.onnx'
        torch.onnx.export(
            Masks().eval(),
            (torch.zeros(1, 3, *size),),
            str(path),
            opset_version=18,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
        return without_weights(onnx.load(path))


def without_weights(model: onnx.ModelProto, largest: int = 64) -> onnx.ModelProto:
    """Drop in place the values of initializers over `largest` elements; shapes stay."""
    for tensor in model.graph.initializer:
        if math.prod(tensor.dims) > largest:
            kept = onnx.TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
            tensor.CopyFrom(kept)
    return model
