"""The processes that train and evaluate one trial together.

Each takes its share of every batch, so that the batches are those of one process. What they tell each other goes over
torch's process group: gloo on CPUs, NCCL between GPUs with gloo beside it for what lies on the CPU.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

T = TypeVar("T")

TIMEOUT_SECONDS = 1800.0
"""How long a process waits for another: longer than decoding a video may take and a checkpoint to be written. One that
dies or fails is noticed at once, by whoever started them all."""
LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"


@dataclass(frozen=True)
class Group:
    """Where a process stands among those of its trial. The default is the only one; none of its methods communicates.

    Attributes:
        rank: number of this process, from 0; the first leads: it alone writes.
        size: number of processes.
        device: what this process computes on; None for what the trial asks for.
    """

    rank: int = 0
    size: int = 1
    device: torch.device | None = None

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def locate(self, items: int) -> slice:
        """Which of ``items`` in a row this process takes; shares differ by one at most."""
        return slice(items * self.rank // self.size, items * (self.rank + 1) // self.size)

    def share(self, batch: Sequence[T], most: int) -> list[T]:
        """What this process takes of a batch that goes through the network in passes of ``most`` items."""
        starts = range(0, len(batch), most)
        passes = (batch[start : start + most] for start in starts)
        return [item for items in passes for item in items[self.locate(len(items))]]

    def split(self, items: Tensor, *, whole: int, most: int) -> tuple[Tensor, ...]:
        """The share of a batch that is this process', pass by pass: as many passes as the other processes make.

        Args:
            items: what is there of its share. Videos that could not be decoded are missing, so that a part may be
                empty.
            whole: items of the whole batch that are there.
            most: items of one pass, over all processes.
        """
        if self.size == 1:
            return torch.split(items, most)
        mine = self.locate(most)
        left, sizes = len(items), []
        for start in range(0, whole, most):
            size = left if start + most >= whole else min(left, mine.stop - mine.start)
            sizes.append(size)
            left -= size
        return torch.split(items, sizes)

    def wrap(self, model: nn.Module) -> nn.Module:
        """``model``, or what averages its gradients over the processes."""
        if self.size == 1:
            return model
        devices = [self.device] if self.device is not None and self.device.type == "cuda" else None
        # Its buckets are laid out row by row, images are not; that costs a copy.
        warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
        with warnings.catch_warnings():
            # What takes the place of broadcast_buffers is newer than the oldest torch that will do.
            warnings.simplefilter("ignore", FutureWarning)
            # BatchNorm's statistics are over all processes already, and so the same in each. That every parameter
            # gets a gradient is tested for all blocks and networks (tests/conformance).
            return DistributedDataParallel(model, device_ids=devices, broadcast_buffers=False)

    def sum(self, value: Tensor) -> Tensor:
        """The sum of ``value`` over the processes, in place."""
        if self.size > 1:
            dist.all_reduce(value)
        return value

    def join(self, indices: Tensor, most: int) -> Tensor:
        """The ``indices`` (n,) of all processes, n at most ``most``, in their order; on the CPU, no GPU waits."""
        if self.size == 1:
            return indices
        padded = torch.full((most,), -1, dtype=torch.int64)
        padded[: len(indices)] = indices
        everyone = [torch.empty_like(padded) for _ in range(self.size)]
        dist.all_gather(everyone, padded)
        joined = torch.cat(everyone)
        return joined[joined >= 0]

    def broadcast(self, value: T) -> T:
        """The ``value`` of the process that leads. What the others give is not looked at."""
        if self.size == 1:
            return value
        values: list[Any] = [value if self.leads else None]
        dist.broadcast_object_list(values, device=torch.device("cpu"))
        answer: T = values[0]
        return answer

    def gather(self, value: T) -> list[T]:
        """The values of all processes in the one that leads, an empty list in the others."""
        if self.size == 1:
            return [value]
        values: list[Any] | None = [None] * self.size if self.leads else None
        dist.gather_object(value, values)
        return values or []


SINGLE = Group()
"""A trial of one process."""


def choose_backend(device: torch.device) -> str:
    """What processes that compute on ``device`` talk through."""
    return "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"


def open_group(rank: int, size: int, meeting_file: str, device: torch.device) -> Group:
    """Meet the other processes of a trial on this machine. No port is open to other machines.

    Args:
        rank: number of this process.
        size: number of processes.
        meeting_file: a file that does not exist yet, the same for all. A server would listen on all interfaces.
        device: what this process computes on.
    """
    # Where names of this machine lead elsewhere, the processes would listen there.
    os.environ["GLOO_SOCKET_IFNAME"] = os.environ["NCCL_SOCKET_IFNAME"] = LOOPBACK
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group(
        choose_backend(device),
        init_method=f"file://{meeting_file}",
        rank=rank,
        world_size=size,
        timeout=timedelta(seconds=TIMEOUT_SECONDS),
    )
    return Group(rank, size, device)


def close_group() -> None:
    """Leave the others, once all is done."""
    dist.destroy_process_group()
