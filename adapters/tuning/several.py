"""Several tunings, one around the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from transfer import registry
from transfer.errors import TransferError
from transfer.models.tuning import Affine, Tuning, fold_of, make_tuning, tuned
from transfer.numbers import seen
from transfer.registry import PartSpec


class Several(Tuning):
    """The first tuning changes the trunk, the second what comes out of that, and so on.

    Args:
        width, depth: of the trunk.
        parts: kinds with their options, as [{"kind": "ia3"}, {"kind": "bitfit"}].
    """

    seed_name = "several"

    def __init__(self, width: int, depth: int, *, parts: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(width, depth)
        specs = map(PartSpec.of, self.check(parts=parts)["parts"])
        self.tunings = nn.ModuleList(make_tuning(spec, width, depth) for spec in specs)
        self.sites = {site for tuning in self._each() for site in tuning.sites}

    @classmethod
    def check(cls, *, parts: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
        """The parts with all of their options. Raises TransferError for fewer than two tunings, or an unsound one."""
        if isinstance(parts, str) or not isinstance(parts, Sequence) or len(parts) < 2:
            raise TransferError(f"adapter.tuning.parts is {seen(parts)}; a list of two tunings or more is needed.")
        specs = [PartSpec.of(part, "adapter.tuning.parts") for part in parts]
        return {"parts": [registry.complete("tuning", spec).to_json() for spec in specs]}

    def change(self, layer: int, site: str, compute: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """The output of a layer, changed by one after the other."""
        for tuning in self._each():
            compute = partial(tuned, tuning, layer, site, compute)
        return compute(x)

    def fold(self, layer: int, site: str, weight: Tensor, bias: Tensor) -> Affine | None:
        """One after the other; None where one cannot be folded."""
        found: Affine | None = (weight, bias)
        for tuning in self._each():
            if found is not None and site in tuning.sites:
                found = fold_of(tuning, layer, site, *found)
        return found

    def _each(self) -> list[Tuning]:
        return [tuning for tuning in self.tunings if isinstance(tuning, Tuning)]
