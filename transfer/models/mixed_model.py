"""One trunk, several adapters: a batch that mixes environments is one pass through the trunk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transfer.data.batch import Batch
from transfer.errors import TransferError, check_type, unknown
from transfer.models.adapter import Adapter
from transfer.models.sequence_model import TransferModel
from transfer.models.trunk import Gains, Trunk


class MixedModel(nn.Module):
    r"""Several adapters on one trunk; each window of a pass has the embeddings, readout and IA3 vectors of its adapter.

        hopper    (B1, T*5, D)  R s a0 a1 a2 | R s a0 ..           \
                                                                    > one (B1+B2, T*8, D) -> trunk -> read each
        walker2d  (B2, T*8, D)  R s a0 a1 a2 a3 a4 a5 | R s a0 ..  /

    Sequences are padded behind their real tokens. Attention is causal, so padding changes no output of an adapter.

    Args:
        trunk: the shared transformer.
        adapters: by names of your own; several may be for the same environment.
        any_trunk: take adapters that were made on another trunk of the same shape.

    Raises:
        TransferError: no adapter, or one that was made on another trunk, or for one of another shape.
    """

    def __init__(self, trunk: Trunk, adapters: Mapping[str, Adapter], any_trunk: bool = False) -> None:
        super().__init__()
        if not isinstance(adapters, Mapping) or not adapters:
            raise TransferError("a mixed model needs at least one adapter: MixedModel(trunk, {'hopper': adapter}).")
        self.trunk = trunk
        self.adapters = nn.ModuleList()
        # In a dict, which registers no modules: trunk and adapters are registered once each.
        self.models: dict[str, TransferModel] = {
            name: _Member(trunk, each, any_trunk, self.adapters) for name, each in adapters.items()
        }

    @property
    def device(self) -> torch.device:
        """Of the weights."""
        return self.trunk.ln_in.weight.device

    def __getitem__(self, name: str) -> TransferModel:
        """The policy of one adapter, on the shared trunk. Raises TransferError for an unknown name."""
        if name not in self.models:
            raise unknown("adapter", name, self.models)
        return self.models[name]

    def parts(self) -> dict[str, nn.Module]:
        """Every selectable part by name: `trunk`, and those of each adapter as NAME.PART."""
        parts = {name: model.adapter.parts() for name, model in self.models.items()}
        own = {f"{name}.{part}": module for name, each in parts.items() for part, module in each.items()}
        return {"trunk": self.trunk, **own}

    def hidden(self, batches: Mapping[str, Batch], precision: torch.dtype = torch.float32) -> dict[str, Tensor]:
        """`TransferModel.hidden` for each name, (B, T, n, D) float32, from one forward of the trunk.

        Raises:
            TransferError: no batch, one under an unknown name, or one without a name.
        """
        known = f"Known adapters: {', '.join(self.models)}."
        if not check_type(batches, Mapping, "batches", f"Give {{name: batch}}. {known}"):  # type: ignore[type-abstract]
            raise TransferError(f"no batch was given. {known}")
        models = [self[name] for name in batches]
        sequences = [
            model.tokens(batch.states, model.adapter.scale_actions(batch.actions), batch.returns, batch.times)
            for model, batch in zip(models, batches.values(), strict=True)
        ]
        gains = self.gains({name: len(batch.mask) for name, batch in batches.items()})
        longest = max(x.shape[1] for x in sequences)
        stack = torch.cat([F.pad(x, (0, 0, 0, longest - x.shape[1])) for x in sequences])  # (sum B_i, max L_i, D)
        with torch.autocast(self.device.type, precision, enabled=precision != torch.float32):
            hidden, _ = self.trunk(stack, gains)
        parts = hidden.float().split([len(x) for x in sequences])  # (B_i, max L_i, D) each
        each = zip(batches, models, parts, sequences, strict=True)
        return {name: model.layout.read(part[:, : x.shape[1]], "action") for name, model, part, x in each}

    def loss(
        self, batches: Mapping[str, Batch], precision: torch.dtype = torch.float32
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """Sum of the readout's loss over real tokens, and their count, for each name.

        Args:
            batches: windows by the name of their adapter; sizes and lengths may differ.
            precision: of the trunk's matrix products; embeddings and readouts are float32.

        Raises:
            TransferError: no batch, one under an unknown name, or one without a name.
        """
        hidden = self.hidden(batches, precision)
        adapters = {name: self[name].adapter for name in batches}
        return {
            name: adapters[name].action.loss(hidden[name], adapters[name].scale_actions(batch.actions), batch.mask)
            for name, batch in batches.items()
        }

    def gains(self, windows: Mapping[str, int]) -> Sequence[Gains] | None:
        """IA3 scales for the windows of each adapter, one after another: (B, D) and (B, 4D) a layer.

        Windows whose adapter has no IA3 are scaled by one. None when no adapter has it.
        """
        own = [(self[name].adapter.gains(), count) for name, count in windows.items()]
        if all(gains is None for gains, _ in own):
            return None
        weight = self.trunk.ln_in.weight
        ones = Gains(*(weight.new_ones(n * len(weight)) for n in (1, 1, 4)))
        layers = []
        for layer in range(self.trunk.config.depth):
            each = [(ones if gains is None else gains[layer], count) for gains, count in own]
            columns = zip(*([vector.expand(count, -1) for vector in gain] for gain, count in each), strict=True)
            layers.append(Gains(*(torch.cat(column) for column in columns)))
        return layers


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
