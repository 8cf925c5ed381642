"""The state of an unfinished training run: weights that train, optimizer moments, and where it stands."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save_file
from torch import nn

from transfer.errors import TransferError
from transfer.files import read_json, read_tensors, recover_folder, replacing_folder, write_json

if TYPE_CHECKING:
    from transfer.training import TrainConfig

MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # AdamW's state of one parameter


def save_progress(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, config: TrainConfig, step: int, loss: float
) -> None:
    """Write the state after `step` updates; the state before it stays until this one is whole.

    Random numbers need no state: windows and noise are functions of (seed, step).
    """
    names = {p: name for name, p in model.named_parameters() if p.requires_grad}
    tensors = {f"weights.{name}": p.detach().cpu().contiguous() for p, name in names.items()}
    for p, state in optimizer.state.items():
        for key in MOMENTS:
            tensors[f"{key}.{names[p]}"] = state[key].detach().cpu().contiguous()
    with replacing_folder(folder) as new:
        save_file(tensors, new / "state.safetensors")
        write_json(new / "state.json", {"step": step, "loss": loss, "config": asdict(config)})


def load_progress(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, config: TrainConfig
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
    head, tensors = read_json(folder / "state.json"), read_tensors(folder / "state.safetensors")
    if head["config"] != asdict(config):
        raise TransferError(f"{folder} belongs to a run with other settings: {head['config']}, not {asdict(config)}.")
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if {name.removeprefix("weights.") for name in tensors if name.startswith("weights.")} != set(trained):
        raise TransferError(f"{folder} holds the state of another model; remove it to start again.")
    with torch.no_grad():
        for name, p in trained.items():
            p.copy_(tensors[f"weights.{name}"])
    for name, p in trained.items():
        optimizer.state[p] = {key: tensors[f"{key}.{name}"].to(p.device, copy=True) for key in MOMENTS}
    return head["step"], head["loss"]
