"""Copying learned parts of one adapter into another."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from transfer.adapters.tokenizers.bins import Bins
from transfer.errors import TransferError, check_type, unknown
from transfer.models.adapter import Adapter
from transfer.models.steps.adapter_config import OWN
from transfer.numbers import flag

BY_VALUE = " (by value)"
AMONG_BINS = ("tokenizer", "bins", "readout")
"""Options of an action part that may differ: rows are interpolated between bins, and readouts left out."""


def inherit(target: Adapter, source: Adapter, part: str, any_trunk: bool = False) -> list[str]:
    """Copies a part of one adapter into the same part of a new one.

    Of the action part, these tensors are copied:

    - a table with a shared range, and a readout that all dimensions share: whole;
    - rows that belong to a dimension (index vectors, readout offsets): those of the dimensions that both have. The
      others stay new;
    - tables with a range per dimension (eq. 4): only between equal numbers of dimensions.

    A row of a bin stands for an action. If the bins of the two adapters differ, a row is interpolated linearly between
    the two source rows whose actions are the nearest below and above.

    Args:
        target: the new adapter, changed in place.
        source: the adapter that came with the trunk.
        part: a part that both have, as "action", "state" or "tuning".
        any_trunk: copy between adapters of two trunks.

    Returns:
        names of the copied tensors, with the number of rows if not all were copied, and `BY_VALUE` if rows were
        interpolated.

    Raises:
        TransferError: an adapter without that part, two parts without a tensor of a fitting shape in common, or
            adapters of two trunks.
    """
    for name, adapter in (("target", target), ("source", source)):
        if not isinstance(part, str) or part not in check_type(adapter, Adapter, name).parts():
            raise unknown("part", part, adapter.parts(), f"The adapter for '{adapter.env_spec.name}' has no other.")
    trunks = [adapter.provenance.trunk for adapter in (target, source)]
    if not flag(any_trunk, "any_trunk") and None not in trunks and trunks[0] != trunks[1]:
        raise TransferError(
            f"the two adapters were made on two trunks, {trunks[0]} and {trunks[1]}: what one learned means nothing to "
            "the other. Pass any_trunk=True if you want it all the same."
        )
    mine, theirs = (_tensors(adapter.parts()[part]) for adapter in (target, source))
    kinds = [_kind(adapter, part) for adapter in (target, source)]
    common = [name for name in mine if name in theirs] if kinds[0] == kinds[1] else []
    copied = [_copy(f"{part}.{name}", mine[name], theirs[name], target, source) for name in common]
    copied = [name for name in copied if name]
    if not copied:
        raise TransferError(
            f"nothing to inherit for the {part} part of '{target.env_spec.name}' ({kinds[0]}; "
            f"{target.env_spec.state_size} states, {target.env_spec.action_size} actions) from "
            f"'{source.env_spec.name}' ({kinds[1]}; {source.env_spec.state_size} states, "
            f"{source.env_spec.action_size} actions)."
        )
    return copied


def _tensors(part: nn.Module) -> dict[str, Tensor]:
    """Parameters and saved buffers (running means, say), but not the tables of bins, which each adapter has fitted."""
    saved = part.state_dict()
    buffers = {name: x for name, x in part.named_buffers() if name in saved and not name.startswith("bins.")}
    return {**dict(part.named_parameters()), **buffers}


def _kind(adapter: Adapter, part: str) -> str:
    """The kind of a part and the options that say what its tensors mean, in words."""
    if part not in (*OWN, *adapter.config.others):
        return part
    spec, among = adapter.config.of(part), AMONG_BINS if part == "action" else ()
    return ", ".join([spec.kind, *(f"{name} {value}" for name, value in spec.options.items() if name not in among)])


def _copy(name: str, mine: Tensor, theirs: Tensor, target: Adapter, source: Adapter) -> str:
    """Copies one tensor, or the rows of common dimensions. Returns its name and rows, "" if nothing was copied."""
    moved = _at_bins_of(target, source, name, theirs)
    per_dimension = name in ("action.index", "action.readout.rows")
    fits = mine.shape[1:] == moved.shape[1:] if per_dimension else mine.shape == moved.shape
    if not fits:
        return ""
    if not mine.dim():
        mine.copy_(moved)
        return name
    rows = min(len(mine), len(moved))
    with torch.no_grad():
        mine[:rows] = moved[:rows].to(mine.device)
    said = name if rows == len(mine) else f"{name}[:{rows}]"
    return said if moved is theirs else f"{said}{BY_VALUE}"


def _at_bins_of(target: Adapter, source: Adapter, name: str, theirs: Tensor) -> Tensor:
    """A tensor of the source's action part, with its rows interpolated at the bins of the target.

    Returns the tensor itself if the bins are the same or its rows do not belong to bins.
    """
    bins, others = (getattr(adapter.action, "bins", None) for adapter in (target, source))
    per_bin = name == "action.table.rows.weight"
    readouts = {adapter.config.action.options.get("readout") for adapter in (target, source)}
    if readouts == {"categorical"}:
        per_bin |= name in ("action.readout.weight", "action.readout.bias", "action.readout.rows")
    if not per_bin or bins is None or others is None:
        return theirs
    if all(torch.equal(one.cpu(), other.cpu()) for one, other in zip(bins.buffers(), others.buffers(), strict=True)):
        return theirs
    theirs = theirs.detach()
    if name == "action.table.rows.weight" and source.config.action.options.get("ranges") == "per-dimension":
        each = theirs.unflatten(0, (len(others.edges), -1))  # (A, V, D)
        return theirs[:0] if len(bins.edges) != len(each) else _moved(bins, others, each).flatten(0, 1)
    return _moved(bins, others, theirs) if name == "action.readout.rows" else _row_between(bins, others, theirs)


def _moved(bins: Bins, others: Bins, each: Tensor) -> Tensor:
    """Rows (A', V', D) of each dimension's own bins -> (A, V, D), for the dimensions that both have."""
    dims = min(len(bins.edges), len(each))
    return torch.stack([_row_between(bins, others, each[i], i) for i in range(dims)])


def _row_between(bins: Bins, others: Bins, rows: Tensor, dimension: int | None = None) -> Tensor:
    """Rows (V', ...) of the source's bins -> (V, ...), interpolated linearly at the actions of the target's bins.

    Args:
        bins: the target's.
        others: the source's.
        rows: one for each of the source's ids.
        dimension: whose actions the ids stand for; None if all dimensions share the ids: then their mean action.
    """
    wanted, have = _actions(bins, dimension), _actions(others, dimension)
    known = np.flatnonzero(np.isfinite(have))
    values, first = np.unique(have[known], return_index=True)
    known = known[first]
    place = np.interp(np.nan_to_num(wanted), values, np.arange(len(values)))
    before = np.floor(place).astype(np.int64)
    low, high = (torch.from_numpy(known[i]).to(rows.device) for i in (before, np.ceil(place).astype(np.int64)))
    share = torch.from_numpy((place - before).astype(np.float32)).to(rows.device)
    return torch.lerp(rows[low], rows[high], share.view(-1, *(1,) * (rows.dim() - 1)))


def _actions(bins: Bins, dimension: int | None) -> NDArray[np.float64]:
    """(V,) the action that each id stands for, NaN for an unused id."""
    picked = slice(None) if dimension is None else slice(dimension, dimension + 1)
    used = (~bins.unused()[picked]).cpu().numpy()
    centers = bins.centers[picked].cpu().numpy().astype(np.float64)
    with np.errstate(invalid="ignore"):
        means: NDArray[np.float64] = (centers * used).sum(0) / used.sum(0)
    return means
