"""One process, or several under torchrun that train one network on shares of each batch."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Workers:
    """The processes of a training.

    Attributes:
        rank: this process's number, from 0.
        count: number of processes.
        device: where this one computes.
    """

    rank: int
    count: int
    device: torch.device

    @classmethod
    def from_environment(cls, device: str = 'auto') -> Workers:
        """Join the processes that torchrun started, or be the only one.

        Args:
            device: 'cpu', 'cuda', or 'auto' for CUDA where there is one.

        Raises:
            ValueError: CUDA was asked for and is not there.
        """
        cuda = torch.cuda.is_available()
        if device == 'cuda' and not cuda:
            msg = 'device cuda: torch finds none here; choose cpu, or install a CUDA build'
            raise ValueError(msg)
        kind = device if device != 'auto' else ('cuda' if cuda else 'cpu')
        count = int(os.environ.get('WORLD_SIZE', '1'))
        if count == 1:
            return cls(0, 1, torch.device(kind))
        local = int(os.environ.get('LOCAL_RANK', '0'))
        if kind == 'cuda':
            torch.cuda.set_device(local)
        dist.init_process_group('nccl' if kind == 'cuda' else 'gloo')
        place = torch.device(kind, local) if kind == 'cuda' else torch.device(kind)
        return cls(dist.get_rank(), count, place)

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by its mean over all processes; they come in the same order."""
        found = list(tensors)
        if self.count == 1 or not found:
            return
        flat = torch.cat([t.reshape(-1) for t in found])  # one message instead of hundreds
        dist.all_reduce(flat)
        flat /= self.count
        for tensor, mean in zip(found, flat.split([t.numel() for t in found]), strict=True):
            tensor.copy_(mean.view_as(tensor))

    def close(self) -> None:
        """Leave the other processes."""
        if self.count > 1:
            dist.destroy_process_group()
