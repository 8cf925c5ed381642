"""Devices and precisions by the names that users write."""

from __future__ import annotations

import torch

from transfer.errors import TransferError, unknown
from transfer.numbers import seen
from transfer.runtime import native

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "float32", "bfloat16")


def find_device(name: str | torch.device) -> torch.device:
    """The device that "auto", "cpu", "cuda" or "cuda:1" means on this machine.

    Raises:
        TransferError: an unknown kind, or one that this machine does not have.
    """
    wanted = str(name) if isinstance(name, torch.device) else name
    if isinstance(wanted, str) and wanted == "auto":  # arrays of NumPy compare element by element
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if isinstance(wanted, str) and wanted.startswith("gpu"):  # by spelling, the closest known name is cpu
        meant = wanted.replace("gpu", "cuda", 1)
        raise TransferError(f"unknown device {seen(wanted)}. Did you mean {seen(meant)}? Known: {', '.join(DEVICES)}.")
    if not isinstance(wanted, str) or wanted.partition(":")[0] not in DEVICES:
        raise unknown("device", wanted, DEVICES)
    try:
        device = torch.device(wanted)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise TransferError(
            f"device '{wanted}' is not available: {reason}. Try device auto, as in --device auto."
        ) from error
    return device


def kernel_backend() -> str:
    """Whether "C" or "PyTorch" computes attention and decoding on a CPU."""
    return "PyTorch" if native.library() is None else "C"


def best_precision(device: torch.device) -> torch.dtype:
    """bfloat16 where the device multiplies it faster than float32, else float32."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    capable = torch.backends.cpu.get_cpu_capability() == "AVX512" and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.bfloat16 if capable else torch.float32


def find_precision(name: str | torch.dtype | None, device: torch.device) -> torch.dtype:
    """The dtype of a trunk's products: "auto" (or None), "float32", "bfloat16" or a dtype. Raises TransferError."""
    wanted = "auto" if name is None else str(name).removeprefix("torch.") if isinstance(name, torch.dtype) else name
    if not isinstance(wanted, str) or wanted not in PRECISIONS:
        raise unknown("precision", wanted, PRECISIONS)
    if wanted == "auto":
        return best_precision(device)
    return torch.float32 if wanted == "float32" else torch.bfloat16
