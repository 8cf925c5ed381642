"""The state of an unfinished training: trainable weights, buffers that moved, optimizer moments, step and identity."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from transfer.data.windows import Batches
from transfer.errors import TransferError
from transfer.models.acting import PolicyModel, Trainable
from transfer.numbers import seen
from transfer.storage.files import unwritable
from transfer.storage.fingerprints import check_values, fingerprint
from transfer.storage.pairs import FORMAT, load_pair, save_pair
from transfer.storage.tensors import Header, declared
from transfer.training.callbacks import Callback, names_of

Identity = dict[str, Any]  # of a training, as JSON: settings, seed, data, model, first weights
HEAD = {"step": int, "loss": float, "identity": dict, "callbacks": dict}
MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # AdamW's state of one parameter
SHOWN = 4  # differences between two trainings that a message names
log = logging.getLogger(__name__)


def identity_of(model: Trainable, sampler: Batches, settings: Mapping[str, Any]) -> Identity:
    """The settings and hashes that a saved state and the training that resumes it must have in common.

    Args:
        model: before its first step.
        sampler: of its windows.
        settings: of the training.
    """
    environments = {name: _environment(member) for name, member in model.members().items()}
    configured = {name: m for name, m in model.named_modules() if is_dataclass(getattr(m, "config", None))}
    identity = {
        **settings,
        **sampler.identity(),
        **{name: asdict(module.config) for name, module in configured.items()},
        "environment": environments.get("", environments),
        **({"objective": objective} if (objective := model.weighs()) else {}),
        "buffers": {name: _digest(buffer) for name, buffer in model.named_buffers()},
        "weights": fingerprint(model),
    }
    whole: Identity = json.loads(json.dumps(identity, default=repr))  # lists for tuples, as it is read again
    return whole


def _environment(member: PolicyModel) -> dict[str, Any]:
    """What of the environment of a policy decides a training."""
    spec = member.env_spec
    bounds = [[str(bound) for bound in side] for side in (spec.action_low, spec.action_high)]
    sizes, scale = [spec.state_size, spec.action_size], spec.reference.to_json()
    counted = {"max_episode_steps": spec.max_episode_steps} if "horizon" in member.windows.columns else {}
    return {"name": spec.name, "sizes": sizes, "scale": scale, "bounds": bounds, **counted}


def state_of(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The tensors of a state by name: trainable weights and, where they had a gradient, their moments."""
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    moments = ((key, name, p) for key in MOMENTS for name, p in trained if p in optimizer.state)
    weights = {f"weights.{name}": p.detach() for name, p in trained}
    return weights | {f"{key}.{name}": optimizer.state[p][key] for key, name, p in moments}


def first_not_finite(tensors: Mapping[str, Tensor]) -> str:
    """The name of the first tensor that holds NaN or infinity, "" for none; synchronises a device once.

    Raises TransferError for a tensor on the device "meta".
    """
    if not tensors:
        return ""
    for name, tensor in tensors.items():
        check_values(name, tensor)
    first = next(iter(tensors.values()))
    bad = torch.stack([(~tensor.isfinite()).any().to(first.device) for tensor in tensors.values()]).nonzero()
    return list(tensors)[int(bad[0])] if len(bad) else ""


def save_progress(
    folder: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    identity: Identity,
    step: int,
    loss: float,
    callbacks: Sequence[Callback] = (),
) -> None:
    """Replace the saved state by the one after `step` updates. Windows and noise are functions of (seed, step)."""
    states = {name: one.state() for name, one in zip(names_of(callbacks), callbacks, strict=True)}
    kept = {name: state for name, state in states.items() if state}
    save_pair(
        folder,
        "state",
        {"step": step, "loss": loss, "identity": identity, "callbacks": kept},
        state_of(model, optimizer) | _moved(model, identity),
    )


def load_progress(
    folder: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    identity: Identity,
    steps: int,
    callbacks: Sequence[Callback] = (),
) -> tuple[int, float]:
    """Put a saved state back into a model and its optimizer.

    Args:
        folder: where `save_progress` wrote it.
        model: before its first step.
        optimizer: of its trainable parameters.
        identity: of the training that resumes it.
        steps: of that training.
        callbacks: of that training, which take their states back.

    Returns:
        (updates done, last reported loss); (0, nan) when nothing was saved.

    Raises:
        TransferError: the state is damaged, edited, or of another training; the folder cannot be written.
    """
    _check_writable(folder)
    if not any((folder / name).exists() for name in ("state.json", "state.safetensors")):
        return 0, math.nan
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    buffers = {f"buffers.{name}": buffer for name, buffer in model.named_buffers()}

    def check(head: dict[str, Any], header: Header) -> None:
        _check_head(folder, head, identity, steps)
        if {name: (one.shape, one.dtype) for name, one in header.items()} != _shapes(trained, buffers, header):
            raise TransferError(f"{folder} holds the state of another model; {_again(folder)}")

    try:
        head, tensors = load_pair(folder, "state", {FORMAT: tuple(HEAD)}, check)
    except TransferError as error:
        advice = "" if _again(folder) in str(error) else f" Else {_again(folder)}"
        raise TransferError(f"{error}{advice}") from error
    _check_tensors(folder, head["step"], tensors)
    with torch.no_grad():
        for name, p in trained.items():
            p.copy_(tensors[f"weights.{name}"])
        for name in buffers.keys() & tensors.keys():
            buffers[name].copy_(tensors[name])
    for name, p in trained.items():
        if f"step.{name}" not in tensors:  # no part of the loss: no gradient, no moments
            continue
        optimizer.state[p] = {key: tensors[f"{key}.{name}"].to(p.device, copy=True) for key in MOMENTS}
    _load_callbacks(folder, head["callbacks"], dict(zip(names_of(callbacks), callbacks, strict=True)))
    return head["step"], head["loss"]


def _load_callbacks(folder: Path, states: Mapping[str, Any], callbacks: Mapping[str, Callback]) -> None:
    """Give saved states back; warn of those whose callback is not there now: the next save is without them."""
    for name, state in states.items():
        if name in callbacks:
            callbacks[name].load(state)
        elif state:
            log.warning("%s holds the state of a callback %s, which this training does not have.", folder, name)


def _check_writable(folder: Path) -> None:
    """Raise TransferError unless a state can be saved there."""
    if reason := unwritable(folder):
        raise TransferError(f"checkpoint={folder} cannot hold the state of a training: {reason}.")


def _check_head(folder: Path, head: dict[str, Any], identity: Identity, steps: int) -> None:
    """Raise TransferError, which names the settings that differ, unless a state belongs to this training."""
    if any(type(head[key]) is not kind for key, kind in HEAD.items()) or not math.isfinite(head["loss"]):
        raise TransferError(f"{folder / 'state.json'} was edited; {_again(folder)}")
    if other := list(_differences(head["identity"], identity)):
        more = f" and {len(other) - SHOWN} more" if len(other) > SHOWN else ""
        raise TransferError(
            f"{folder} belongs to another training: {'; '.join(other[:SHOWN])}{more}. Resume with the first "
            f"settings, or {_again(folder)}"
        )
    if not 0 < head["step"] <= steps:
        raise TransferError(f"{folder / 'state.json'}: step {head['step']} of {steps} was edited; {_again(folder)}")


def _check_tensors(folder: Path, step: int, tensors: dict[str, Tensor]) -> None:
    """Raise TransferError unless the tensors are finite and of the step that their JSON says."""
    counts = [float(tensor) for name, tensor in tensors.items() if name.startswith("step.")]
    if name := first_not_finite({key: x for key, x in tensors.items() if not key.startswith("buffers.")}):
        raise TransferError(f"{folder / 'state.safetensors'}: {name} holds NaN or infinity; {_again(folder)}")
    if counts and max(counts) != step:
        raise TransferError(f"{folder}: state.json says step {step}, its moments {max(counts):g}; {_again(folder)}")


def _differences(before: Any, now: Any, name: str = "") -> Iterator[str]:
    """The differences between two identities, one text for each value."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in {**now, **before}:
            yield from _differences(before.get(key), now.get(key), f"{name}.{key}" if name else key)
    elif before != now:
        yield f"{name} was {seen(before)}, is {seen(now)}"


def _moved(model: nn.Module, identity: Identity) -> dict[str, Tensor]:
    """The buffers that training has changed, such as the running means of a part of somebody's own."""
    first = identity["buffers"]
    return {f"buffers.{name}": x.detach() for name, x in model.named_buffers() if _digest(x) != first.get(name)}


def _shapes(trained: dict[str, nn.Parameter], buffers: dict[str, Tensor], tensors: Header) -> dict[str, Any]:
    """The shapes and dtypes a state must have; a parameter without a gradient has no moments, and few buffers move."""
    wanted: dict[str, Any] = {f"weights.{name}": (tuple(p.shape), "F32") for name, p in trained.items()}
    moved = declared({name: buffer for name, buffer in buffers.items() if name in tensors})
    wanted |= {name: (one.shape, one.dtype) for name, one in moved.items()}
    for name, p in trained.items():
        if any(f"{key}.{name}" in tensors for key in MOMENTS):
            wanted |= {f"{key}.{name}": (tuple(p.shape) if key != "step" else (), "F32") for key in MOMENTS}
    return wanted


def _digest(tensor: Tensor) -> str:
    value = tensor.detach().cpu().contiguous()
    content = value.reshape(-1).view(torch.uint8).numpy().tobytes()
    return hashlib.sha256(f"{value.dtype} {tuple(value.shape)};".encode() + content).hexdigest()[:16]


def _again(folder: Path) -> str:
    return f"remove {folder}/state.* to start this training again."
