"""SS_Net, UAAFusion's segmenter: DeepLab v3+ on MobileNetV2, one channel in.

Source: Bai et al., "Deep Unfolding Multi-modal Image Fusion Network via Attribution Analysis",
IEEE TCSVT 35(4), 2025; MobileNetV2 after Sandler et al., CVPR 2018, table 2. Attribute names are
the official keys. Written anew from a description of layers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# (expansion, channels, repeats, stride of the first) of MobileNetV2's inverted residuals.
INVERTED = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
FIRST = 32  # channels of the first convolution
LOW = 3  # block whose output, 24 channels at a quarter of the picture, is the low level
DILATED = 14  # from this block on strides become dilations, so the output stays at 1/16
LOW_CHANNELS, HIGH_CHANNELS = 24, 320
SHORTCUT = 48  # channels of the low level in the decoder
DIVISOR = 8  # what a narrowed network's channels are multiples of


def resized(x: Tensor, size: Sequence[int]) -> Tensor:
    """Resize [N, C, h, w] to (H, W) bilinearly, corners on corners."""
    return F.interpolate(x, tuple(size), mode='bilinear', align_corners=True)


class InvertedResidual(nn.Module):
    """Expand, filter each channel, project; with a skip where the shape stays.

    Args:
        cin: channels in.
        cout: channels out.
        stride: of the depthwise convolution.
        expansion: of its channels over `cin`; 1 leaves the first convolution out.
        dilation: of the depthwise convolution.
    """

    def __init__(self, cin: int, cout: int, stride: int, expansion: int, dilation: int) -> None:
        super().__init__()
        wide = cin * expansion
        layers: list[nn.Module] = []
        if expansion > 1:
            layers += [nn.Conv2d(cin, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6()]
        layers += [
            nn.Conv2d(wide, wide, 3, stride, dilation, dilation, groups=wide, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU6(),
            nn.Conv2d(wide, cout, 1, bias=False),
            nn.BatchNorm2d(cout),
        ]
        self.conv = nn.Sequential(*layers)
        self.skip = stride == 1 and cin == cout

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, cin, H, W] to [N, cout, H / stride, W / stride]."""
        y: Tensor = self.conv(x)
        return x + y if self.skip else y


def narrowed(channels: int, multiplier: float) -> int:
    """Return `multiplier` times some channels, a multiple of 8 and no more than a tenth less.

    Source: Sandler et al., section 4 (the multiplier); the rounding is that of its usual code, so
    that a narrowed network here is as wide as anywhere.
    """
    exact = channels * multiplier
    found = max(DIVISOR, int(exact + DIVISOR / 2) // DIVISOR * DIVISOR)
    return found if found >= 0.9 * exact else found + DIVISOR


def inverted_residuals(multiplier: float) -> list[InvertedResidual]:
    """Return MobileNetV2's 17 blocks at an output stride of 16, narrowed."""
    blocks: list[InvertedResidual] = []
    channels = narrowed(FIRST, multiplier)
    for expansion, full, repeats, first_stride in INVERTED:
        cout = narrowed(full, multiplier)
        for repeat in range(repeats):
            stride = first_stride if repeat == 0 else 1
            dilation = 1
            if len(blocks) + 1 >= DILATED:
                dilation, stride = (1, 1) if stride == 2 else (2, 1)
            blocks.append(InvertedResidual(channels, cout, stride, expansion, dilation))
            channels = cout
    return blocks


class MobileNetV2(nn.Module):
    """The feature extractor: [N, 1, H, W] to features at 1/4 and 1/16.

    Args:
        multiplier: of all channels; 1 in the paper.
    """

    def __init__(self, multiplier: float = 1.0) -> None:
        super().__init__()
        wide = narrowed(FIRST, multiplier)
        first = nn.Sequential(
            nn.Conv2d(1, wide, 3, 2, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6()
        )
        self.features = nn.Sequential(first, *inverted_residuals(multiplier))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return both levels: at full width [N, 24, H / 4, W / 4] and [N, 320, H / 16, W / 16]."""
        low = self.features[: LOW + 1](x)
        return low, self.features[LOW + 1 :](low)


class SSNet(nn.Module):
    """The segmenter: independent scores for every class.

    Args:
        classes: labels of the mask.
        width: channels of the decoder; 256 in the paper, where it does nine tenths of the work.
        multiplier: of the feature extractor's channels and of those of its low level in the
            decoder; 1 in the paper.
    """

    def __init__(self, classes: int, width: int = 256, multiplier: float = 1.0) -> None:
        super().__init__()
        self.feature_extractor = MobileNetV2(multiplier)
        low, high = narrowed(LOW_CHANNELS, multiplier), narrowed(HIGH_CHANNELS, multiplier)
        shortcut = narrowed(SHORTCUT, multiplier)
        self.shortcut_conv = nn.Sequential(
            nn.Conv2d(low, shortcut, 1), nn.BatchNorm2d(shortcut), nn.ReLU()
        )
        self.cat_conv = nn.Sequential(
            nn.Conv2d(high + shortcut, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Conv2d(width, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Dropout(0.1),
        )
        self.cls_conv = nn.Conv2d(width, classes, 1)

    def logits(self, x: Tensor) -> Tensor:
        """Map a luma picture [N, 1, H, W] in 0..1 to logits [N, classes, H, W]."""
        low, high = self.feature_extractor(x)
        low = self.shortcut_conv(low)
        features = self.cat_conv(torch.cat((resized(high, low.shape[2:]), low), 1))
        return resized(self.cls_conv(features), x.shape[2:])

    def forward(self, x: Tensor) -> Tensor:
        """Map a luma picture [N, 1, H, W] in 0..1 to scores [N, classes, H, W] in 0..1.

        Each class has its own sigmoid: scores do not sum to 1. Large logits saturate to equal
        scores, so take classes from `logits`.
        """
        return torch.sigmoid(self.logits(x))
