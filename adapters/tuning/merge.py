"""Folding the tuning of an adapter into a copy of its trunk."""

from __future__ import annotations

from dataclasses import replace

import torch

from transfer.errors import TransferError, check_type
from transfer.models.adapter import Adapter, check_pair
from transfer.models.steps.adapter_config import TUNING
from transfer.models.trunk import Trunk
from transfer.models.tuning import ENDS, Tuning, fold_of
from transfer.storage.fingerprints import fingerprint
from transfer.storage.snapshot import snapshot


@torch.no_grad()
def merge(trunk: Trunk, adapter: Adapter, any_trunk: bool = False) -> tuple[Trunk, Adapter]:
    """A trunk that computes what the two compute together, and the adapter without its tuning.

    Neither argument is changed. The new trunk fits this adapter alone: others were made on the old one.

    Args:
        trunk: of the adapter.
        adapter: with a tuning.
        any_trunk: take an adapter that was made on another trunk of the same shape.

    Raises:
        TransferError: an adapter of another trunk, one without a tuning, or a tuning that cannot be folded.
    """
    check_pair(trunk, adapter, any_trunk)
    part = adapter.parts().get(TUNING)
    if part is None:
        raise TransferError(f"the adapter for '{adapter.env_spec.name}' has no tuning: there is nothing to merge.")
    tuning, merged = check_type(part, Tuning, "the tuning part"), snapshot(trunk)
    for layer in range(trunk.config.depth):
        for site in tuning.sites:
            if layer == 0 or site not in ENDS:
                _fold(tuning, layer, site, merged)
    kind = adapter.config.of(TUNING).kind
    merged.provenance = replace(
        trunk.provenance,
        before=trunk.provenance.as_before(fingerprint(trunk)),
        more={**trunk.provenance.more, "merged": {"tuning": kind, "adapter": fingerprint(adapter)}},
    )
    arguments = {name: given for name, given in adapter.arguments().items() if name != TUNING}
    sizes = adapter.width, adapter.depth
    kinds, spec, statistics = replace(adapter.config, tuning=None), adapter.env_spec, adapter.statistics
    plain = Adapter(kinds, arguments, spec, statistics, *sizes, adapter.method, adapter.provenance)
    tensors = adapter.state_dict()
    plain.load_state_dict({name: tensors[name] for name in plain.state_dict()})
    plain.made_on(merged)
    return merged, plain.eval()


def _fold(tuning: Tuning, layer: int, site: str, trunk: Trunk) -> None:
    """Replace weight and bias of a layer. Raises TransferError where the tuning cannot be folded."""
    module = trunk.at(layer, site)
    found = fold_of(tuning, layer, site, module.weight, module.bias)
    if found is None:
        raise TransferError(f"{type(tuning).__name__} cannot be folded into weights, so nothing can be merged.")
    module.weight.copy_(found[0])
    module.bias.copy_(found[1])
