"""Adapter configs from options in one row, whichever part takes them."""

from typing import Any

from transfer.models.steps.adapter_config import AdapterConfig
from transfer.registry import PartSpec, options_of


def config_of(
    action: str = "ActionTokenizedSpreadEmbedding", state: str = "mlp", out_of_bounds: str = "clip", **options: Any
) -> AdapterConfig:
    """A config whose action embedding has those of the options that it takes."""
    taken = {name: value for name, value in options.items() if name in options_of("action", action)}
    return AdapterConfig(PartSpec(state), PartSpec(action, taken), out_of_bounds=out_of_bounds)
