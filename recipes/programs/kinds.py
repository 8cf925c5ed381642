"""The kinds of the parts of a new adapter; a trunk remembers those that it was trained with."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import fields

from transfer.errors import TransferError, check_type, unknown
from transfer.models.adapter import Adapter, AdapterConfig
from transfer.models.trunk import Trunk
from transfer.registry import resolve

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
        if known is not None and _layout(known.action) != _layout(config.action):
            logger.warning(
                "the trunk was trained with %s (%s), this adapter has %s (%s), which it never saw. Without "
                "adapter_config it gets the first.",
                *(_layout(known.action), known.action, _layout(config.action), config.action),
            )
    return config


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
        known = [field.name for field in fields(AdapterConfig)]
        for key in check_type(kinds, dict, "adapter"):
            if key not in known:
                raise unknown("key", key, known)
        return AdapterConfig(**kinds)
    except TransferError as error:
        raise TransferError(f"the trunk's record of its adapter cannot be read: {error}") from error
