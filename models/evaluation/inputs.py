"""The same segmenter with and without fusion: is the fused picture better than its sources?"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from models.crossfuse.network import CrossFuse
from models.metrics import Scores
from models.paif import PAIF, rgb_to_ycrcb, stretch_image
from models.uaafusion.network import UAAFusion

INPUTS = ('fused', 'visible', 'thermal')


class OneInput(nn.Module):
    """A network whose segmenter sees one camera's picture instead of the fused one.

    Args:
        network: lends its segmenter.
        camera: 'visible' in its colours, or 'thermal' as grey; UAAFusion's segmenter sees luma.
    """

    def __init__(self, network: PAIF | UAAFusion | CrossFuse, camera: str) -> None:
        super().__init__()
        if camera not in INPUTS[1:]:
            msg = f'input {camera!r}: choose one of {INPUTS[1:]}'
            raise ValueError(msg)
        self.network, self.camera = network, camera

    def forward(self, thermal: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        """Return the camera's luma [N, 1, H, W] and logits [N, classes, h, w]."""
        if self.camera == 'visible':
            luma, rgb = rgb_to_ycrcb(visible)[:, :1], visible
        else:
            luma, rgb = thermal[:, :1], thermal[:, :1].expand(-1, 3, -1, -1)
        if isinstance(self.network, UAAFusion):
            return luma, self.network.segmenter.logits(luma)
        return luma, self.network.denoise_net(self.network.segmenter_input(rgb))


class Stretched(nn.Module):
    """A UAAFusion network that returns its fused luma as its pictures show it: stretched."""

    def __init__(self, network: UAAFusion) -> None:
        super().__init__()
        self.network = network

    def forward(self, thermal: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        """Return fused luma [N, 1, H, W] over all of 0..1 and logits [N, classes, H, W]."""
        fused, logits = self.network(thermal, visible)
        return stretch_image(fused), logits


def feed(network: PAIF | UAAFusion | CrossFuse, name: str) -> nn.Module:
    """Return the network with its fused picture for 'fused', else its segmenter on one camera."""
    if name != INPUTS[0]:
        return OneInput(network, name)
    return Stretched(network) if isinstance(network, UAAFusion) else network


def verdicts(found: Mapping[str, Mapping[str, Scores]]) -> list[str]:
    """Say under each attack whether fusion beats its inputs in foreground IoU.

    Args:
        found: scores by input and attack; 'fused' among the inputs.
    """
    lines = []
    for attack, fused in found[INPUTS[0]].items():
        others = {name: found[name][attack].miou_foreground for name in found if name != INPUTS[0]}
        if not others:
            continue
        best = max(others, key=lambda name: others[name])
        gain = 100 * (fused.miou_foreground - others[best])
        word = 'beats its inputs' if gain > 0 else 'does NOT beat its inputs'
        lines.append(
            f'{attack}: fusion {word}: foreground IoU {100 * fused.miou_foreground:.1f}, '
            f'{best} alone {100 * others[best]:.1f} ({gain:+.1f})'
        )
    return lines
