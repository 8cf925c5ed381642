"""Training by several processes that torchrun started: which one this is, and what all of them do together.

Every process runs the same program on its own rows of each batch. Process 0, the first, is the only one that reports
and writes. In a single process all of this does nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from transfer.errors import TransferError

T = TypeVar("T")
PATIENCE = timedelta(hours=12)  # the others wait this long while the first process evaluates


def rank() -> int:
    """Number of this process, 0 for the first."""
    return dist.get_rank() if dist.is_initialized() else 0


def size() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


@contextmanager
def connected() -> Iterator[None]:
    """Inside, the processes that torchrun started are connected: gloo for CPU tensors, NCCL for CUDA tensors."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    _try(lambda: dist.init_process_group(backend, timeout=PATIENCE))
    yield
    # Not after an error: the processes that are still training would never come to their end of this.
    dist.destroy_process_group()


def own_device(name: str) -> str:
    """The device of this process: of several processes on a machine, each takes the CUDA device of its number there.

    Args:
        name: as the user wrote it: "auto", "cpu" or "cuda"; in a single process, any.

    Raises:
        TransferError: there are fewer CUDA devices than processes, or a device that they would have to share.
    """
    if size() == 1:
        return name
    if name not in ("auto", "cpu", "cuda"):
        raise TransferError(f"device '{name}' cannot be shared by {size()} processes. Take --device cuda or cpu.")
    if name == "cpu" or not torch.cuda.is_available():
        return name
    local, have = int(os.environ.get("LOCAL_RANK", rank())), torch.cuda.device_count()
    if local >= have:
        raise TransferError(
            f"process {local} of this machine, counted from 0, has no CUDA device of its own: there are {have}. Take "
            f"--nproc-per-node {have}, or --device cpu."
        )
    torch.cuda.set_device(local)
    return f"cuda:{local}"


def check_shares(batch_size: int, key: str = "batch_size") -> None:
    """Raises TransferError unless every process gets equally many rows of a batch.

    Args:
        batch_size: B, of all processes together.
        key: what the setting is called where it was made, as "adapt.batch_size".
    """
    if batch_size % size():
        fitting = max(size(), batch_size - batch_size % size())
        raise TransferError(
            f"{key}={batch_size} cannot be shared equally by {size()} processes. Set {key}={fitting} or another "
            f"multiple of {size()}, or start another number of processes."
        )


@contextmanager
def first_process_first() -> Iterator[None]:
    """The first process runs the block alone, then all others do and find what it left on the disk."""
    if rank() > 0:
        wait()
    yield
    if rank() == 0:
        wait()


def wait() -> None:
    """Until every process is here."""
    if size() > 1:
        _try(dist.barrier)


def add_up(tensors: Sequence[Tensor]) -> None:
    """Replace tensors of one dtype by their sums over all processes, in one go; the shapes are the same in each."""
    if size() == 1:
        return
    whole = torch.cat([tensor.reshape(-1) for tensor in tensors])
    _try(lambda: dist.all_reduce(whole))
    for tensor, part in zip(tensors, whole.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(part.view_as(tensor))


def check_same(what: str, value: object) -> None:
    """Raises TransferError unless a value is the same in every process.

    Args:
        what: the value is, for the message.
        value: with a `repr` that tells values apart.
    """
    if size() == 1:
        return
    values: list[str] = [""] * size()
    _try(lambda: dist.all_gather_object(values, repr(value)))
    for other, seen in enumerate(values):
        if seen != values[0]:
            raise TransferError(f"{what} differs between processes: {values[0]} in process 0, {seen} in {other}.")


def _try(call: Callable[[], T]) -> T:
    """Do something together; gloo and NCCL raise RuntimeError when a process is gone."""
    try:
        return call()
    except RuntimeError as error:
        raise TransferError(
            f"process {os.environ.get('RANK')} cannot reach another one, which may have ended: its message says why "
            f"({str(error).splitlines()[0]})"
        ) from error
