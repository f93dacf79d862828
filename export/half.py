"""FP16 arithmetic on a CPU in reasonable time.

torch's FP16 kernels on CPUs sum in FP32 and round the result once, but its convolution takes up to
300 times as long as in FP32. `FastHalf` computes the same: FP16 operands, FP32 sums, one rounding.
(ONNX Runtime on a CPU does not: it computes neighbouring nodes in FP32 and hides the rounding.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

PRODUCTS = {torch.conv2d, torch.nn.functional.linear, torch.matmul, Tensor.matmul}


def widened(value: Any) -> Any:
    """Return FP16 tensors as FP32 ones, anything else as it is."""
    half = isinstance(value, Tensor) and value.dtype == torch.float16
    return value.float() if half else value


class FastHalf(TorchFunctionMode):
    """While active, convolutions and matrix products of FP16 run as FP32 and are rounded once."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Compute one torch function."""
        kwargs = kwargs or {}
        if func in PRODUCTS and args[0].dtype == torch.float16:
            wide = {key: widened(value) for key, value in kwargs.items()}
            return func(*map(widened, args), **wide).half()
        return func(*args, **kwargs)
