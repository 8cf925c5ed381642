"""One trunk, several adapters: a batch that mixes environments shares passes through the trunk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transfer.data.batch import Batch
from transfer.errors import TransferError, check_type, unknown
from transfer.models.acting import Trainable
from transfer.models.adapter import Adapter
from transfer.models.sequence_model import TransferModel
from transfer.models.steps.group import Loss
from transfer.models.trunk import Trunk
from transfer.models.tuning import Tuning
from transfer.numbers import real, seen
from transfer.runtime.process import products

Weights = Mapping[str, float] | Sequence[float]
"""Of adapters in the objective: by name, or in their order."""


class MixedModel(Trainable):
    r"""Several adapters on one trunk; each window of a pass has the embeddings, readout and tuning of its adapter.

        walker2d     (B1, T*8, D)  R s a0 a1 a2 a3 a4 a5 | R s a0 ..     \
                                                                          > (B1+B2, T*10, D) -> trunk -> read each
        ant          (B2, T*10, D) R s a0 a1 a2 a3 a4 a5 a6 a7 | R ..    /

    Sequences whose lengths differ by less than a quarter share a pass, padded behind their real tokens; others have one
    each. Attention is causal, so padding changes no output of an adapter. A method with a loss of its own has a pass of
    its own, and so has a sum of tunings.

    Args:
        trunk: the shared transformer.
        adapters: by names of your own; several may be for the same environment.
        any_trunk: take adapters that were made on another trunk of the same shape.
        weights: of the adapters in the objective, by name, or as many numbers in their order; default: 1 each.

    Raises:
        TransferError: no adapter, weights that are negative, all zero, too few or of unknown names, or an adapter that
            was made on another trunk, or for one of another shape.
    """

    def __init__(
        self,
        trunk: Trunk,
        adapters: Mapping[str, Adapter],
        any_trunk: bool = False,
        weights: Weights | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(adapters, Mapping) or not adapters:
            raise TransferError("a mixed model needs at least one adapter: MixedModel(trunk, {'hopper': adapter}).")
        self.weights = checked_weights(adapters, weights)
        self.trunk = trunk
        self.adapters = nn.ModuleList()
        # In a dict, which registers no modules: trunk and adapters are registered once each.
        self.models: dict[str, TransferModel] = {
            name: _Member(trunk, each, any_trunk, self.adapters) for name, each in adapters.items()
        }

    def __getitem__(self, name: str) -> TransferModel:
        """The policy of one adapter, on the shared trunk. Raises TransferError for an unknown name."""
        if name not in self.models:
            raise unknown("adapter", name, self.models)
        return self.models[name]

    def members(self) -> Mapping[str, TransferModel]:
        """The policies by the names of their adapters."""
        return self.models

    def weighs(self) -> dict[str, float]:
        """The weights of the adapters in the objective."""
        return self.weights

    def parts(self) -> dict[str, nn.Module]:
        """Every selectable part by name: `trunk`, and those of each adapter as NAME.PART."""
        parts = {name: model.parts() for name, model in self.models.items()}
        own = {f"{name}.{part}": one for name, each in parts.items() for part, one in each.items() if part != "trunk"}
        return {"trunk": self.trunk, **own}

    def tokens(self, batches: Mapping[str, Batch]) -> int:
        """Of all batches, padding included."""
        return sum(self[name].tokens(batch) for name, batch in batches.items())

    def loss(self, batches: Mapping[str, Batch], precision: torch.dtype = torch.float32) -> dict[str, Loss]:
        """The terms of each adapter's objective, as NAME/TERM.

        Args:
            batches: windows by the name of their adapter; sizes and lengths may differ.
            precision: of the trunk's matrix products; embeddings and readouts are float32.

        Raises:
            TransferError: no batch, one under an unknown name, or one without a name.
        """
        known = f"Known adapters: {', '.join(self.models)}."
        if not check_type(batches, Mapping, "batches", f"Give {{name: batch}}. {known}"):
            raise TransferError(f"no batch was given. {known}")
        found: dict[str, dict[str, Loss]] = {}
        together = {name: batch for name, batch in batches.items() if _shares(self[name])}
        values = {name: self[name].values(batch) for name, batch in together.items()}
        hidden = self._hidden(together, values, precision)
        for name, batch in batches.items():
            model = self[name]
            if name in together:
                found[name] = model.method.terms(model, batch, values[name], hidden[name])
            else:
                found[name] = model.loss(batch, precision)
        return {
            f"{name}/{term}": loss._replace(weight=self.weights[name] * loss.weight)
            for name, terms in found.items()
            for term, loss in terms.items()
        }

    def _hidden(
        self, batches: Mapping[str, Batch], values: Mapping[str, dict[str, Tensor]], precision: torch.dtype
    ) -> dict[str, dict[str, Tensor]]:
        """Hidden vectors before the predicted groups of each adapter, in few passes through the trunk."""
        sequences = {}
        for name, batch in batches.items():
            model = self[name]
            sequences[name] = model.layout.interleave(model.embed(batch, values[name]))
        found: dict[str, dict[str, Tensor]] = {}
        for names in passes({name: x.shape[1] for name, x in sequences.items()}):
            longest = max(sequences[name].shape[1] for name in names)
            padded = [F.pad(sequences[name], (0, 0, 0, longest - sequences[name].shape[1])) for name in names]
            tuning = self._tuning({name: len(sequences[name]) for name in names})
            with products(self.device.type, precision):
                hidden, _ = self.trunk(torch.cat(padded), tuning)  # (sum B_i, max L_i, D)
            for name, part in zip(names, hidden.float().split([len(x) for x in padded]), strict=True):
                layout, own = self[name].layout, part[:, : sequences[name].shape[1]]
                found[name] = {group: layout.before(own, group) for group in self[name].method.predicts}
        return found

    def _tuning(self, windows: Mapping[str, int]) -> Tuning | None:
        """The tunings of some adapters, by the number of windows of each; None where no adapter has one."""
        own = [self[name].tuning for name in windows]
        if not any(own):
            return None
        config = self.trunk.config
        return _ByWindow(own, list(windows.values()), config.width, config.depth)


def checked_weights(names: Iterable[str], weights: Weights | None) -> dict[str, float]:
    """A weight for each name, 1 where none is given; a list has one for each in their order.

    Raises:
        TransferError: neither a mapping nor such a list, unknown names, negative weights, or none above zero.
    """
    known = list(names)
    if isinstance(weights, list | tuple) and len(weights) == len(known):
        weights = dict(zip(known, weights, strict=True))
    if weights is not None and not isinstance(weights, Mapping):
        wanted = ", ".join(f"'{name}': 1.0" for name in known)
        raise TransferError(
            f"weights={seen(weights)}: give them by name, {{{wanted}}}, or in a list of {len(known)} in that order."
        )
    given = dict(weights or {})
    for name in given:
        if name not in known:
            raise unknown("name of a weight", name, known)
    found = {name: real(given.get(name, 1.0), f"weight of '{name}'", 0) for name in known}
    if not any(found.values()):
        raise TransferError(f"all weights are zero ({', '.join(known)}): give one above zero.")
    return found


def _shares(model: TransferModel) -> bool:
    """Whether the sequences of an adapter can be read in one pass with others."""
    return model.method.plain and (model.tuning is None or type(model.tuning).change is Tuning.change)


def passes(lengths: Mapping[str, int]) -> list[list[str]]:
    """Names by which sequences share a pass: lengths in a pass differ by less than a quarter of the longest."""
    found: list[list[str]] = []
    for name in sorted(lengths, key=lambda name: -lengths[name]):  # stable: equal ones keep their order
        if found and lengths[name] > 0.75 * lengths[found[-1][0]]:
            found[-1].append(name)
        else:
            found.append([name])
    return found


class _ByWindow(Tuning):
    """The tunings of several adapters, each for its own windows of a batch.

    Args:
        tunings: of the adapters, None where one has none.
        counts: windows of each, one after another in the batch.
        width, depth: of the trunk.
    """

    def __init__(self, tunings: Sequence[Tuning | None], counts: Sequence[int], width: int, depth: int) -> None:
        super().__init__(width, depth)
        self.tunings, self.counts = tuple(tunings), list(counts)  # a tuple registers no modules
        self.sites = {site for tuning in tunings if tuning is not None for site in tuning.sites}

    def before(self, layer: int, site: str, x: Tensor) -> Tensor:
        """The input of a layer, each window's changed by its own tuning."""
        pieces = zip(self.tunings, x.split(self.counts), strict=True)
        return torch.cat([each.before(layer, site, x) if _has(each, site) else x for each, x in pieces])

    def after(self, layer: int, site: str, x: Tensor, y: Tensor) -> Tensor:
        """The output of a layer, each window's changed by its own tuning."""
        pieces = zip(self.tunings, x.split(self.counts), y.split(self.counts), strict=True)
        return torch.cat([each.after(layer, site, x, y) if _has(each, site) else y for each, x, y in pieces])


def _has(tuning: Tuning | None, site: str) -> TypeGuard[Tuning]:
    return tuning is not None and site in tuning.sites


class _Member(TransferModel):
    """The policy of one adapter in a mixed model; swapping an adapter changes both."""

    def __init__(self, trunk: Trunk, adapter: Adapter, any_trunk: bool, adapters: nn.ModuleList) -> None:
        self._place = adapters, len(adapters)  # in a tuple, which registers no module
        super().__init__(trunk, adapter, any_trunk)

    def swap(self, adapter: Adapter, any_trunk: bool = False) -> None:
        """Plug in another adapter, here and in the mixed model; raises TransferError as `TransferModel.swap`."""
        super().swap(adapter, any_trunk)
        adapters, position = self._place
        if position < len(adapters):
            adapters[position] = self.adapter
        else:
            adapters.append(self.adapter)
