"""Kinds of parts by name, and where their classes live.

Modules are named as strings and imported on the first use, so the core depends on none of them (as Gymnasium's entry
points do). `register` adds a kind of your own. "envs" holds the functions of that folder which the core calls.
"""

from __future__ import annotations

import importlib
from typing import Any

from transfer.errors import unknown

_KINDS: dict[str, dict[str, str]] = {
    "state": {
        "linear": "transfer.adapters.states.linear:LinearState",
        "mlp": "transfer.adapters.states.mlp:MLPState",
    },
    "action": {
        "ActionEmbedding": "transfer.adapters.actions.whole:ActionEmbedding",
        "ActionTokenizedEmbedding": "transfer.adapters.actions.whole:ActionTokenizedEmbedding",
        "ActionSpreadEmbedding": "transfer.adapters.actions.spread:ActionSpreadEmbedding",
        "ActionTokenizedSpreadEmbedding": "transfer.adapters.actions.spread:ActionTokenizedSpreadEmbedding",
    },
    "tokenizer": {
        "quantile": "transfer.adapters.tokenizers.quantile:QuantileTokenizer",
        "uniform": "transfer.adapters.tokenizers.uniform:UniformTokenizer",
        "mu-law": "transfer.adapters.tokenizers.mu_law:MuLawTokenizer",
    },
    "ia3": {"ia3": "transfer.adapters.tuning.ia3:IA3"},
    "checkpoint": {
        "trunk": "transfer.models.trunk:SAVED",
        "adapter": "transfer.models.adapter:SAVED",
        "mlp": "transfer.models.mlp:SAVED",
    },
    "reader": {"tokenizer": "transfer.adapters.tokenizers.tokenizer:tokenizer_from_json"},
    "envs": {
        "find": "transfer.envs.catalog:find",
        "row_of": "transfer.envs.fits:row_of",
        "check_scale": "transfer.envs.fits:check_scale",
        "save_dataset": "transfer.envs.writing.saving:save_dataset",
    },
    "planner": {"tokens": "transfer.decoding.planner:TokenPlanner", "direct": "transfer.decoding.direct:DirectPlanner"},
}


def known(part: str) -> list[str]:
    """The registered kinds of a part."""
    return list(_KINDS[part])


def register(part: str, kind: str, target: str) -> None:
    """Make `kind` available for `part`; `target` reads "package.module:Class"."""
    _KINDS[part][kind] = target


def check(part: str, kind: str) -> None:
    """Raise TransferError unless the kind is registered."""
    if not isinstance(kind, str) or kind not in _KINDS[part]:
        raise unknown(f"{part} kind", kind, _KINDS[part])


def resolve(part: str, kind: str) -> Any:
    """The class registered for a kind of part. Raises TransferError for an unknown kind."""
    check(part, kind)
    module, name = _KINDS[part][kind].split(":")
    return getattr(importlib.import_module(module), name)
