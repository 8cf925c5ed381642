"""One hash over everything that determines what a module computes."""

from __future__ import annotations

import hashlib
import json

import torch
from torch import Tensor, nn

from transfer.errors import TransferError, check_type


def fingerprint(module: nn.Module) -> str:
    """sha256 of names, dtypes, shapes and bytes of the tensors in `state_dict`, and of settings.

    The method `decides` of a module returns the settings that tensors do not show, as the number of attention heads.

    Raises:
        TransferError: no module, or a tensor on the device "meta".
    """
    check_type(module, nn.Module, "module")
    digest = hashlib.sha256()
    for name, one in module.named_modules():
        if callable(decides := getattr(one, "decides", None)):
            digest.update(f"{name} {json.dumps(decides(), sort_keys=True)};".encode())
    for name, tensor in sorted(module.state_dict().items()):
        check_values(name, tensor)
        value = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)};".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def check_values(name: str, tensor: Tensor) -> None:
    """Raise TransferError for a tensor on the device "meta", which has a shape and no values."""
    if tensor.is_meta:
        raise TransferError(f"{name} is on the device 'meta', where tensors have no values. Load the model again.")
