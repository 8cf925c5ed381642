"""Kinds of parts by name, and where their classes live.

Modules are named as strings and imported on the first use, so the core depends on none of them (as Gymnasium's entry
points do). `register` adds a kind of your own. "envs" holds the functions of that folder which the core calls,
"checkpoint" the kinds of checkpoints, which `transfer.storage` names without importing them.
"""

from __future__ import annotations

import importlib
import re
from typing import Any

from transfer.errors import TransferError, unknown

_TARGET = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
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
    """The registered kinds of a part. Raises TransferError for an unknown part."""
    return list(_kinds(part))


def register(part: str, kind: str, target: str) -> None:
    """Make `kind` available for `part`; `target` reads "package.module:Class" and is imported on the first use.

    Raises:
        TransferError: an unknown part, or a target of another form.
    """
    kinds = _kinds(part)
    if not isinstance(kind, str) or not kind:
        raise TransferError(f"{part} kind {kind!r:.80}: a name in text is needed.")
    if not isinstance(target, str) or not _TARGET.fullmatch(target):
        raise TransferError(
            f"target {target!r:.80} of {part} kind '{kind}': text such as my_package.parts:MyClass is needed."
        )
    kinds[kind] = target


def check(part: str, kind: str) -> None:
    """Raise TransferError unless the kind is registered."""
    kinds = _kinds(part)
    if not isinstance(kind, str) or kind not in kinds:
        raise unknown(f"{part} kind", kind, kinds)


def resolve(part: str, kind: str) -> Any:
    """The class registered for a kind of part.

    Raises:
        TransferError: an unknown kind, or a target that is not there.
    """
    check(part, kind)
    target = _KINDS[part][kind]
    module, name = target.split(":")
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if not f"{module}.".startswith(f"{error.name}."):  # the module is there, and needs another one
            raise
        raise _missing(part, kind, target) from error
    if not hasattr(found, name):
        raise _missing(part, kind, target)
    return getattr(found, name)


def _missing(part: str, kind: str, target: str) -> TransferError:
    return TransferError(
        f"{part} kind '{kind}' is registered as {target}, which is not there. Install its package, or "
        f"register it anew: transfer.registry.register('{part}', '{kind}', 'package.module:Class')."
    )


def _kinds(part: str) -> dict[str, str]:
    """The kinds of a part and their targets. Raises TransferError for an unknown part."""
    if not isinstance(part, str) or part not in _KINDS:
        raise unknown("part", part, _KINDS)
    return _KINDS[part]
