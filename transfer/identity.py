"""Who belongs to whom: a fingerprint for modules, and the checks wherever two things are put together."""

from __future__ import annotations

import hashlib
import json

import torch
from torch import nn

from transfer.adapter import Adapter
from transfer.errors import TransferError, check_type
from transfer.numbers import flag
from transfer.specs import EnvironmentSpec
from transfer.trunk import Trunk


def fingerprint(module: nn.Module) -> str:
    """sha256 of everything that decides what a module computes.

    That is the names, dtypes, shapes and bytes of the tensors in its `state_dict`, and what `decides` says of it and of
    the modules in it that have such a method: a mapping of plain values, as the number of attention heads.
    """
    digest = hashlib.sha256()
    for name, one in module.named_modules():
        if callable(decides := getattr(one, "decides", None)):
            digest.update(f"{name} {json.dumps(decides(), sort_keys=True)};".encode())
    for name, tensor in sorted(module.state_dict().items()):
        value = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)};".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def check_pair(trunk: Trunk, adapter: Adapter, any_trunk: bool = False, name: str = "this adapter") -> None:
    """Raise TransferError unless an adapter belongs to a trunk.

    An adapter that no training has recorded a trunk in yet belongs to every trunk of its shape.

    Args:
        trunk: the one at hand.
        adapter: the one to be put on it.
        any_trunk: take another trunk of the same shape than the recorded one.
        name: of the adapter, for the message.
    """
    check_type(trunk, Trunk, "trunk", "pretrain makes one, Trunk.load reads one.")
    check_type(adapter, Adapter, "adapter", "adapt makes one, Adapter.load reads one.")
    sizes = trunk.config
    if (adapter.width, adapter.depth) != (sizes.width, sizes.depth):
        raise TransferError(
            f"{name} of width {adapter.width} and depth {adapter.depth} does not fit a trunk of width {sizes.width} "
            f"and depth {sizes.depth}."
        )
    wanted = adapter.record.get("trunk")
    if flag(any_trunk, "any_trunk") or adapter.any_trunk or wanted is None:
        return
    have = fingerprint(trunk)
    if wanted != have:
        raise TransferError(
            f"{name} was made on the trunk {wanted}, this trunk is {have}. Use the trunk it belongs to, or pass "
            "any_trunk=True (--any-trunk) if you want this one all the same."
        )


def check_siblings(one: Adapter, other: Adapter, any_trunk: bool = False) -> None:
    """Raise TransferError where two adapters, one of which is to take over parts of the other, name two trunks."""
    trunks = [adapter.record.get("trunk") for adapter in (one, other)]
    if not flag(any_trunk, "any_trunk") and None not in trunks and trunks[0] != trunks[1]:
        raise TransferError(
            f"the two adapters were made on two trunks, {trunks[0]} and {trunks[1]}: what one learned means nothing to "
            "the other. Pass any_trunk=True if you want it all the same."
        )


def check_body(one: EnvironmentSpec, other: EnvironmentSpec, what: str, any_body: bool = False) -> None:
    """Raise TransferError unless two environments have one body.

    Args:
        one: what something was made for.
        other: what it is going to be used for.
        what: it, as in "the adapter".
        any_body: take another body, where the sizes are equal.
    """
    if not flag(any_body, "any_body") and one.body != other.body:
        raise TransferError(
            f"{what} is for '{one.name}' ({one.gym_id}), the environment is '{other.name}' ({other.gym_id}): another "
            "body, whatever its sizes. Adapt to it, or pass any_body=True if you want it all the same."
        )
