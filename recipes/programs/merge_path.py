"""Merging the tuning of a saved adapter into a copy of its trunk."""

from __future__ import annotations

import shutil
from pathlib import Path

from transfer.adapters.tuning.merge import merge
from transfer.errors import TransferError
from transfer.models.sequence_model import TransferModel
from transfer.recipes.programs.evaluate_path import find_policies
from transfer.storage.files import write_errors


def merge_path(path: Path, out: Path, trunk: Path | None = None, any_trunk: bool = False) -> Path:
    """Write the merged trunk and the adapter without its tuning, as OUT/trunk and OUT/adapter.

    Args:
        path: an adapter, or a MODE/SEED folder of a run.
        out: a folder that does not exist yet.
        trunk: folder of the trunk, where it is not in the adapter's run.
        any_trunk: take that trunk even if the adapter was made on another of its shape.

    Raises:
        TransferError: several adapters or none, a policy without trunk or tuning, a folder that exists.
    """
    if out.exists():
        raise TransferError(f"{out} exists and is left as it is; choose another name with --out.")
    found = list(find_policies(path, "cpu", trunk, any_trunk))
    if len(found) != 1:
        named = ", ".join(str(home) for home, _ in found)
        raise TransferError(f"{path} holds {len(found)} policies: {named}. Merge one of them.")
    ((home, model),) = found
    if not isinstance(model, TransferModel):
        raise TransferError(f"{home} holds a policy without a trunk, which has nothing to merge.")
    merged, adapter = merge(model.trunk, model.adapter, any_trunk)
    part = out.with_name(f".{out.name}.part")
    try:
        merged.save(part / "trunk")
        adapter.save(part / "adapter")
        with write_errors(out):
            part.rename(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return out
