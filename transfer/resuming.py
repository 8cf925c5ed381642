"""The state of an unfinished training run: weights that train, optimizer moments, and where it stands."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from transfer.errors import TransferError
from transfer.pairs import load_pair, save_pair
from transfer.tensors import Header

Identity = dict[str, Any]  # what one training is: settings, seed, data, parts, fingerprint of the first weights
MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # AdamW's state of one parameter


def save_progress(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, identity: Identity, step: int, loss: float
) -> None:
    """Write the state after `step` updates; the state before it stays until this one is whole.

    Random numbers need no state: windows and noise are functions of (seed, step).
    """
    names: dict[Tensor, str] = {p: name for name, p in model.named_parameters() if p.requires_grad}
    tensors: dict[str, Tensor] = {f"weights.{name}": p for p, name in names.items()}
    for p, state in optimizer.state.items():
        for key in MOMENTS:
            tensors[f"{key}.{names[p]}"] = state[key]
    head = {"step": step, "loss": None if math.isnan(loss) else loss, "identity": identity}
    save_pair(folder, "state", head, tensors)


def load_progress(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, identity: Identity
) -> tuple[int, float]:
    """Put a saved state back into a model and its optimizer.

    Returns:
        (updates done, last reported loss); (0, nan) when nothing was saved.

    Raises:
        TransferError: the state is of a run with other settings or another model.
    """
    if not any((folder / name).exists() for name in ("state.json", "state.safetensors")):
        return 0, math.nan
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    identity = json.loads(json.dumps(identity))  # as it looks after writing: lists for tuples

    def check(head: dict[str, Any], header: Header) -> None:
        _check_head(folder, head, identity)
        if {name: one.shape for name, one in header.items()} != _shapes(trained, header):
            raise TransferError(f"{folder} holds the state of another model; {_again(folder)}")

    try:
        head, tensors = load_pair(folder, "state", ("step", "loss", "identity"), check)
    except TransferError as error:
        advice = "" if _again(folder) in str(error) else f" To do without that state, {_again(folder)}"
        raise TransferError(f"{error}{advice}") from error
    with torch.no_grad():
        for name, p in trained.items():
            p.copy_(tensors[f"weights.{name}"])
    for name, p in trained.items():
        if f"step.{name}" not in tensors:  # took no part in the loss, so it has no gradient and no moments
            continue
        optimizer.state[p] = {key: tensors[f"{key}.{name}"].to(p.device, copy=True) for key in MOMENTS}
    return head["step"], math.nan if head["loss"] is None else head["loss"]


def _check_head(folder: Path, head: dict[str, Any], identity: Identity) -> None:
    """Raise TransferError unless it is of this training."""
    kinds = [type(head[key]) for key in ("step", "loss", "identity")]
    if kinds not in ([int, float, dict], [int, type(None), dict]) or head["step"] < 0:
        raise TransferError(f"{folder / 'state.json'} was edited; {_again(folder)}")
    other = [key for key in identity if head["identity"].get(key) != identity[key]]
    if other:
        before, now = ({key: content.get(key) for key in other} for content in (head["identity"], identity))
        raise TransferError(f"{folder} belongs to another training: {before}, not {now}; {_again(folder)}")


def _shapes(trained: dict[str, nn.Parameter], tensors: Header) -> dict[str, torch.Size]:
    """The shapes that a state must have; a tensor that took no part in the loss has weights and no moments."""
    wanted = {f"weights.{name}": p.shape for name, p in trained.items()}
    for name, p in trained.items():
        if any(f"{key}.{name}" in tensors for key in MOMENTS):
            wanted |= {f"{key}.{name}": p.shape if key != "step" else torch.Size() for key in MOMENTS}
    return wanted


def _again(folder: Path) -> str:
    return f"remove {folder} to start this training again."
