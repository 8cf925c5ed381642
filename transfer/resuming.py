"""The state of an unfinished training run: weights that train, optimizer moments, and where it stands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from transfer.errors import TransferError
from transfer.files import read_json, read_tensors, recover_folder, replacing_folder, write_json

Identity = dict[str, Any]  # what one training is: settings, seed, data, parts, fingerprint of the first weights
MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # AdamW's state of one parameter


def save_progress(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, identity: Identity, step: int, loss: float
) -> None:
    """Write the state after `step` updates; the state before it stays until this one is whole.

    Random numbers need no state: windows and noise are functions of (seed, step).
    """
    names: dict[Tensor, str] = {p: name for name, p in model.named_parameters() if p.requires_grad}
    tensors = {f"weights.{name}": p.detach().cpu().contiguous() for p, name in names.items()}
    for p, state in optimizer.state.items():
        for key in MOMENTS:
            tensors[f"{key}.{names[p]}"] = state[key].detach().cpu().contiguous()
    with replacing_folder(folder) as new:
        save_file(tensors, new / "state.safetensors")
        write_json(new / "state.json", {"step": step, "loss": loss, "identity": identity})


def load_progress(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, identity: Identity
) -> tuple[int, float]:
    """Put a saved state back into a model and its optimizer.

    Returns:
        (updates done, last reported loss); (0, nan) when nothing was saved.

    Raises:
        TransferError: the state is of a run with other settings or another model.
    """
    recover_folder(folder)
    if not folder.exists():
        return 0, float("nan")
    head, tensors = _read(folder)
    identity = json.loads(json.dumps(identity))  # as it looks after writing: lists for tuples
    other = [key for key in identity if head["identity"].get(key) != identity[key]]
    if other:
        before, now = ({key: content.get(key) for key in other} for content in (head["identity"], identity))
        raise TransferError(f"{folder} belongs to another training: {before}, not {now}; {_again(folder)}")
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if {name: tensor.shape for name, tensor in tensors.items()} != _shapes(trained, tensors):
        raise TransferError(f"{folder} holds the state of another model; {_again(folder)}")
    with torch.no_grad():
        for name, p in trained.items():
            p.copy_(tensors[f"weights.{name}"])
    for name, p in trained.items():
        if f"step.{name}" not in tensors:  # took no part in the loss, so it has no gradient and no moments
            continue
        optimizer.state[p] = {key: tensors[f"{key}.{name}"].to(p.device, copy=True) for key in MOMENTS}
    return head["step"], head["loss"]


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What `save_progress` wrote. Raises TransferError when it is damaged, edited or not all there."""
    try:
        head, tensors = read_json(folder / "state.json"), read_tensors(folder / "state.safetensors")
    except TransferError as error:
        raise TransferError(f"{error} To do without that state, {_again(folder)}") from error
    if {key: type(value) for key, value in head.items()} != {"step": int, "loss": float, "identity": dict}:
        raise TransferError(f"{folder / 'state.json'} was edited; {_again(folder)}")
    return head, tensors


def _shapes(trained: dict[str, nn.Parameter], tensors: dict[str, Tensor]) -> dict[str, torch.Size]:
    """The shapes that a state must have; a tensor that took no part in the loss has weights and no moments."""
    wanted = {f"weights.{name}": p.shape for name, p in trained.items()}
    for name, p in trained.items():
        if any(f"{key}.{name}" in tensors for key in MOMENTS):
            wanted |= {f"{key}.{name}": p.shape if key != "step" else torch.Size() for key in MOMENTS}
    return wanted


def _again(folder: Path) -> str:
    return f"remove {folder} to start this training again."
