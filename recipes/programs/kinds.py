"""The kinds of the parts of a new adapter; a trunk remembers those that it was trained with."""

from __future__ import annotations

import logging
from contextlib import suppress

from transfer.errors import TransferError, check_type
from transfer.models.adapter import Adapter
from transfer.models.steps.adapter_config import AdapterConfig
from transfer.models.trunk import DEFAULT_METHOD, Trunk
from transfer.registry import PartSpec, complete, resolve

logger = logging.getLogger(__name__)


def kinds_for(trunk: Trunk | None, config: AdapterConfig | None, source: Adapter | None) -> AdapterConfig:
    """The kinds in `config`, else the source adapter's, else those that the trunk was trained with, else the default.

    A layout of tokens that the trunk never saw is logged.

    Raises:
        TransferError: an argument of another type, or a trunk whose record was edited.
    """
    if source is not None:
        check_type(source, Adapter, "source", "Load one with Adapter.load(folder).")
    if config is None:
        return source.config if source is not None else recorded(trunk) or AdapterConfig()
    check_type(config, AdapterConfig, "adapter_config")
    with suppress(TransferError):  # an unreadable record does not matter where the caller names the kinds
        known = recorded(trunk)
        if known is not None and _layout(known.action.kind) != _layout(config.action.kind):
            logger.warning(
                "the trunk was trained with %s (%s), this adapter has %s (%s), which it never saw. Without "
                "adapter_config it gets the first.",
                *(_layout(known.action.kind), known.action.kind, _layout(config.action.kind), config.action.kind),
            )
    return config


def method_for(trunk: Trunk | None, method: str | PartSpec | None) -> PartSpec:
    """The method asked for, else the one that a trunk was pretrained with, else the default.

    Raises:
        TransferError: an unknown kind, or an option that it does not take.
    """
    if method is None:
        return trunk.method if trunk is not None else DEFAULT_METHOD
    return complete("method", PartSpec.of(method, "method"))


def _layout(action: str) -> str:
    """The number of tokens that an action embedding makes of an action, in words."""
    spread = getattr(resolve("action", action), "spread", None)
    if spread is None:  # a user's own embedding that does not say
        return action
    return "a token for each action dimension" if spread else "one token for an action"


def recorded(trunk: Trunk | None) -> AdapterConfig | None:
    """The kinds of the adapter that a trunk was last trained with; None where its record has none.

    Raises:
        TransferError: the record was edited.
    """
    kinds = trunk.provenance.adapter if trunk is not None else None
    if kinds is None:
        return None
    try:
        return AdapterConfig.from_json(kinds)
    except TransferError as error:
        raise TransferError(f"the trunk's record of its adapter cannot be read: {error}") from error
