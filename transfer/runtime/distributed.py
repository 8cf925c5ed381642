"""Training by several processes that torchrun started: the number of this one, and what all do together.

Each process runs the same program on its own windows of a batch. Rank 0 alone reports and writes. In a single process
these functions do nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from transfer.errors import TransferError

PATIENCE = timedelta(hours=12)  # for which the others wait while rank 0 evaluates


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def size() -> int:
    """Number of processes that train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


@contextmanager
def connected() -> Iterator[None]:
    """Connects the processes that torchrun started: gloo for CPU tensors, NCCL for CUDA tensors."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    # The optimizer imports it. Imported while processes are connected it keeps the group, whose threads then live
    # until the interpreter is gone and now and then abort the process (https://github.com/pytorch/pytorch/pull/179291).
    from torch import _dynamo  # noqa: F401

    with _reaching_others():
        dist.init_process_group(backend, timeout=PATIENCE)
    yield
    dist.destroy_process_group()  # not after an error: it would wait for processes that are still training


def own_device(name: str) -> str:
    """The device of this process: "cuda:N" for process N of several on a machine with CUDA devices, else `name`.

    Raises:
        TransferError: fewer CUDA devices than processes, or a name that says which device.
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
    """Raise TransferError unless all processes get equally many of B windows; `key` names the setting."""
    if batch_size % size():
        fitting = max(size(), batch_size - batch_size % size())
        raise TransferError(
            f"{key}={batch_size} cannot be shared equally by {size()} processes. Set {key}={fitting} or another "
            f"multiple of {size()}, or start another number of processes."
        )


@contextmanager
def rank_0_first() -> Iterator[None]:
    """Rank 0 runs the block alone, then the others do and find the files it wrote."""
    if rank() > 0:
        wait()
    yield
    if rank() == 0:
        wait()


def wait() -> None:
    """Wait until every process has called this."""
    if size() > 1:
        with _reaching_others():
            dist.barrier()


def add_up(tensors: Sequence[Tensor]) -> None:
    """Replace tensors of one dtype by their sums over all processes, in one call; shapes are the same in each."""
    if size() == 1:
        return
    whole = torch.cat([tensor.reshape(-1) for tensor in tensors])
    with _reaching_others():
        dist.all_reduce(whole)
    for tensor, part in zip(tensors, whole.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(part.view_as(tensor))


def check_same(what: str, value: object) -> None:
    """Raise TransferError, which begins with `what`, unless the `repr` of a value is the same in every process."""
    if size() == 1:
        return
    values: list[str] = [""] * size()
    with _reaching_others():
        dist.all_gather_object(values, repr(value))
    for other, text in enumerate(values):
        if text != values[0]:
            raise TransferError(f"{what} differs between processes: {values[0]} in process 0, {text} in {other}.")


@contextmanager
def _reaching_others() -> Iterator[None]:
    """Turn the RuntimeError that gloo and NCCL raise when a process is gone into a TransferError."""
    try:
        yield
    except RuntimeError as error:
        raise TransferError(
            f"process {os.environ.get('RANK')} cannot reach another one, which may have ended; see its message "
            f"({str(error).splitlines()[0]})."
        ) from error
