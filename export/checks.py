"""The differences that an export is judged by, each with its bound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from export.half import FastHalf
from export.moved import FUSED_PSNR, MASK_AGREEMENT
from export.networks import Plain
from paif_ros.contract import CONFIDENCE, OUTPUTS

LEVEL_BOUND = (
    1  # grey levels of the fused picture, parts of 255 of the confidence: one step of rounding
)
FLIP_BOUND = 1e-2  # part of the values that may round the other way
MARGIN_BOUND = 1e-3  # a class may flip only where the two best logits are closer than this
NOISE_BOUND = 255 / 10 ** (
    FUSED_PSNR / 20
)  # grey levels, root of the mean square: the gate's PSNR


class Deployed(Protocol):
    """The deployment form of a network: the contract of exported models."""

    def __call__(self, visible: Tensor, thermal: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return fused picture, mask and confidence of camera pictures, all uint8."""
        ...

    def compute(self, thermal: Tensor, visible: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return fused luma, fused RGB and logits of pictures in 0..1."""
        ...


@dataclass(frozen=True)
class Check:
    """One measured difference and its bound."""

    name: str
    value: float
    bound: float

    @property
    def passed(self) -> bool:
        """Whether the value is a number within the bound."""
        return self.value <= self.bound

    def __str__(self) -> str:
        verdict = 'ok  ' if self.passed else 'FAIL'
        return f'{verdict} {self.name}: {self.value:.3g} (bound {self.bound:g})'


def to_floats(thermal: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
    """Return uint8 [N, H, W] and [N, H, W, 3] as [N, 1, H, W] and [N, 3, H, W] in 0..1."""
    return thermal[:, None].float() / 255, visible.permute(0, 3, 1, 2).float() / 255


@torch.no_grad()
def compare_transformed(
    plain: Plain, deployed: Deployed, thermal: Tensor, visible: Tensor, bound: float
) -> list[Check]:
    """Compare transformed and plain network on a pair, uint8 [1, H, W] and [1, H, W, 3].

    Args:
        plain: the trained network.
        deployed: its deployment form.
        thermal: uint8 [1, H, W].
        visible: uint8 [1, H, W, 3].
        bound: of the fused luma; of the logits as part of the largest where that is over 1.
    """
    gray, rgb = to_floats(thermal, visible)
    fused, logits = plain(gray, rgb)
    fused_2, _, logits_2 = deployed.compute(gray, rgb)
    # Float32 rounds in proportion: logits of 20 can't agree to what logits of 1 do.
    scale = max(1.0, float(logits.abs().max()))
    return [
        Check(
            'transformed against plain, fused luma',
            float((fused - fused_2).abs().max()),
            bound,
        ),
        Check(
            'transformed against plain, logits (of the largest, if over 1)',
            float((logits - logits_2).abs().max()) / scale,
            bound,
        ),
    ]


@torch.no_grad()
def class_margin(
    deployed: Deployed, thermal: Tensor, visible: Tensor, mask: NDArray[np.uint8]
) -> float:
    """Return how far below the best logit the classes of `mask` [1, H, W] lie at worst."""
    logits = deployed.compute(*to_floats(thermal, visible))[2]
    logits = nn.functional.interpolate(
        logits, mask.shape[1:], mode='bilinear', align_corners=False
    )
    chosen = logits.gather(1, torch.from_numpy(mask).long()[:, None])
    return float((logits.amax(1, keepdim=True) - chosen).max())


def compare_onnx(
    model: bytes, deployed: Deployed, thermal: Tensor, visible: Tensor
) -> list[Check]:
    """Compare the exported model in ONNX Runtime with the transformed network on one pair."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=['CPUExecutionProvider'])
    fused, mask, confidence = session.run(
        [*OUTPUTS, CONFIDENCE], {'visible': visible.numpy(), 'thermal': thermal.numpy()}
    )
    with torch.no_grad():
        expected, _, sure = (output.numpy() for output in deployed(visible, thermal))
    levels = np.abs(fused.astype(int) - expected.astype(int))
    doubt = np.abs(confidence.astype(int) - sure.astype(int))
    return [
        Check(
            'ONNX Runtime against torch, fused picture in grey levels',
            float(levels.max()),
            LEVEL_BOUND,
        ),
        Check(
            'ONNX Runtime against torch, part of fused values that differ',
            float((levels > 0).mean()),
            FLIP_BOUND,
        ),
        Check(
            'ONNX Runtime against torch, logit margin of its classes',
            class_margin(deployed, thermal, visible, mask),
            MARGIN_BOUND,
        ),
        Check(
            'ONNX Runtime against torch, confidence in parts of 255',
            float(doubt.max()),
            LEVEL_BOUND,
        ),
        Check(
            'ONNX Runtime against torch, part of confidences that differ',
            float((doubt > 0).mean()),
            FLIP_BOUND,
        ),
    ]


@torch.no_grad()
def compare_precision(
    model: bytes, full: Deployed, mixed: Deployed, thermal: Tensor, visible: Tensor
) -> list[Check]:
    """Compare a mixed network with the FP32 one: in torch's FP16, and its file in ONNX Runtime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=['CPUExecutionProvider'])
    feed = {'visible': visible.numpy(), 'thermal': thermal.numpy()}
    fused, mask, _ = (output.numpy() for output in full(visible, thermal))
    with FastHalf():
        half = [output.numpy() for output in mixed(visible, thermal)]
    checks = []
    for what, found in (
        ('mixed against FP32, in FP16 arithmetic', half),
        ('its file in ONNX Runtime against FP32', session.run([*OUTPUTS], feed)),
    ):
        noise = np.sqrt(np.mean((found[0].astype(np.float64) - fused) ** 2))
        flips = (found[1] != mask).mean()
        checks += [
            Check(f'{what}, noise of the fused picture in grey levels', float(noise), NOISE_BOUND),
            Check(f'{what}, part of classes that differ', float(flips), 1 - MASK_AGREEMENT),
        ]
    return checks


def worst_of(checks: list[Check]) -> list[Check]:
    """Return the worst check of each name."""
    worst: dict[str, Check] = {}
    for check in checks:
        if check.name not in worst or not check.value <= worst[check.name].value:
            worst[check.name] = check
    return list(worst.values())
