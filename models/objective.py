"""What a stage of training minimises: clean and adversarial losses of one batch of pairs."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from models.attacks import Attack, perturb
from models.data import Batch, blend
from models.losses import FUSION_WEIGHT, SEGMENTATION_WEIGHT, fusion_loss, segmentation_loss
from models.paif import PAIF, recolour, rgb_to_ycrcb
from models.weak_aggressive import OURS, WeakAggressive


def segment(network: PAIF, x: Tensor) -> Tensor:
    """Segment a normalised picture [N, 3, H, W] in bfloat16 where possible; float32 logits.

    The segmenter only: bfloat16 ruins the variances of the guided filter.
    """
    device = x.device.type
    usable = device == 'cpu' or torch.cuda.is_bf16_supported()
    with torch.autocast(device, torch.bfloat16, enabled=usable):
        segmenter = network.denoise_net
        logits = segmenter.decoder.commuted(segmenter.encoder(x))
    return logits.float()


class TargetCascade(nn.Module):
    """A PAIF network whose fusion network is replaced by the picture it is trained towards.

    The segmenter costs a fraction of the fusion network, so it is taught on this first. Attacks go
    through the weighted mean; its weights stay those of the clean pair. The pairs come at the
    segmenter's own scale, `pool` times smaller than the cameras': nothing is pooled here.

    Args:
        network: lends its segmenter.
        weight: share of the thermal picture, [N, 1, H, W] in 0..1.
    """

    def __init__(self, network: PAIF, weight: Tensor) -> None:
        super().__init__()
        self.network, self.weight = network, weight

    def forward(self, thermal: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weighted mean [N, 1, H, W] and logits [N, classes, H / 4, W / 4]."""
        fused = blend(thermal, visible, self.weight)
        rgb = recolour(fused, rgb_to_ycrcb(visible))
        return fused, segment(self.network, self.network.normalise(rgb))


class Cascade(nn.Module):
    """A PAIF network with its segmenter in bfloat16; forward as PAIF's."""

    def __init__(self, network: PAIF) -> None:
        super().__init__()
        self.network = network

    def forward(self, thermal: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        """Return fused luma [N, 1, H, W] and logits [N, classes, H / 4, W / 4]."""
        fused, rgb = self.network.fuse(thermal, visible)
        return fused, segment(self.network, self.network.segmenter_input(rgb))


class FusionOnly(nn.Module):
    """The fusion network of a PAIF alone; its logits are empty."""

    def __init__(self, network: PAIF) -> None:
        super().__init__()
        self.network = network

    def forward(self, thermal: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        """Return fused luma [N, 1, H, W] and logits without classes."""
        fused, _ = self.network.fuse(thermal, visible)
        return fused, fused[:, :0]


@dataclass(frozen=True)
class Objective:
    """The loss of a stage.

    Attributes:
        kind: 'segment', 'fuse' or 'joint', as in `models.recipe.Stage`.
        adversarial: weight lambda of the adversarial loss, 0 for none.
        attack: how adversarial pictures are made.
        class_weights: of the cross-entropy.
        self_supervised: weight beta of the weak-aggressive loss of the fused picture beside the
            fusion loss, 0 for none; 'segment' has no use for it.
        views: of that loss.
    """

    kind: str
    adversarial: float
    attack: Attack
    class_weights: tuple[float, ...]
    self_supervised: float = 0.0
    views: WeakAggressive = OURS

    def cascade(self, network: PAIF, batch: Batch) -> nn.Module:
        """Return the part of a network that this stage trains and attacks."""
        if self.kind == 'segment':
            return TargetCascade(network, batch.weight)
        return Cascade(network) if self.kind == 'joint' else FusionOnly(network)

    def __call__(self, network: PAIF, batch: Batch, generator: torch.Generator) -> Tensor:
        """Return L_tr + lambda L_tr^at of a batch (spec of PAIF, 4.1 and 5), scaled by 1 + lambda.

        With an adversarial part, the first half of the pairs is taken clean and the second one
        attacked: over many batches that is the mean of both losses over all pairs, for half the
        work.

        Args:
            network: in training mode.
            batch: pairs; at least two where there is an adversarial part.
            generator: of the attack's random start and of the views.

        Raises:
            ValueError: an adversarial part with less than two pairs.
        """
        if not self.adversarial:
            fused, logits = self.cascade(network, batch)(batch.thermal, batch.visible)
            return self.loss(generator, fused, logits, batch.target, batch.label)
        half = len(batch.label) // 2
        if not half:
            msg = 'adversarial training with batches of 1: half is attacked, so at least 2'
            raise ValueError(msg)
        attacked = self.attacked(network, batch.part(half, len(batch.label)), generator)
        # One forward for both, so that BatchNorm sees while training what its running statistics
        # hold: attacked pairs normalised by themselves would lose the very shift of the attack.
        fused, logits = self.cascade(network, batch)(
            torch.cat((batch.thermal[:half], attacked.thermal)),
            torch.cat((batch.visible[:half], attacked.visible)),
        )
        # L_F compares with the clean target also where the inputs are attacked (spec 3.1).
        parts = (fused, logits, batch.target, batch.label)
        clean = self.loss(generator, *(part[:half] for part in parts))
        hard = self.loss(generator, *(part[half:] for part in parts))
        return (clean + self.adversarial * hard) / (1 + self.adversarial)

    def attacked(self, network: PAIF, batch: Batch, generator: torch.Generator) -> Batch:
        """Return a batch with adversarial pictures, all else as it was.

        Fusion alone has no task loss, so its attack drives the fused picture away from the clean
        one instead (spec 2.1, `l_2`).
        """
        attack = replace(self.attack, loss='l_2') if self.kind == 'fuse' else self.attack
        thermal, visible = perturb(
            self.cascade(network, batch),
            batch.thermal,
            batch.visible,
            batch.label,
            attack,
            generator,
        )
        return replace(batch, thermal=thermal, visible=visible)

    def loss(
        self,
        generator: torch.Generator,
        fused: Tensor,
        logits: Tensor,
        target: Tensor,
        label: Tensor,
    ) -> Tensor:
        """Return 0.1 L_F + 4 CE (spec 3.1), or the part of it that this stage trains.

        With a self-supervised part, L_F + beta L_WA takes the place of L_F (CrossFuse, spec 2).

        Args:
            generator: of the weak and aggressive views.
            fused: fused luma [N, 1, H, W].
            logits: [N, classes, h, w].
            target: fusion target of the clean pairs, [N, 1, H, W].
            label: int64 [N, H, W], 255 ignored.
        """
        if self.kind == 'fuse':
            return self.fusion(generator, fused, target)
        weights = fused.new_tensor(self.class_weights)
        loss = SEGMENTATION_WEIGHT * segmentation_loss(logits, label, weights)
        if self.kind == 'joint':
            loss = loss + FUSION_WEIGHT * self.fusion(generator, fused, target)
        return loss

    def fusion(self, generator: torch.Generator, fused: Tensor, target: Tensor) -> Tensor:
        """Return L_F, and beta L_WA where there is a self-supervised part; arguments as `loss`."""
        loss = fusion_loss(fused, target)
        if self.self_supervised:
            loss = loss + self.self_supervised * self.views.loss(fused, generator)
        return loss
