"""A trunk and an adapter, put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from transfer.data.batch import Batch, Steps
from transfer.data.environment.spec import EnvironmentSpec
from transfer.data.measured.calibration_table import Calibration
from transfer.data.measured.dataset_statistics import Statistics
from transfer.errors import TransferError, check_type
from transfer.models.acting import Command, PolicyModel
from transfer.models.adapter import Adapter, check_pair
from transfer.models.steps.adapter_config import TUNING
from transfer.models.steps.group import Group, Loss, PredictedGroup
from transfer.models.steps.layout import Layout
from transfer.models.steps.method import make_method
from transfer.models.trunk import Trunk
from transfer.models.tuning import Tuning
from transfer.numbers import real
from transfer.runtime.process import products


class TransferModel(PolicyModel):
    r"""A policy: an adapter's embeddings, interleaved as its method says, through the trunk, to the adapter's readout.

        returns (B,T)   -> R  (B,T,1,D) \
        states (B,T,S)  -> s  (B,T,1,D)  >- + time -> R s a^0 .. | R s a^0 .. -> trunk -> before a -> loss, action
        actions (B,T,A) -> a  (B,T,n,D) /

    Args:
        trunk: the shared transformer.
        adapter: for one environment; `swap` exchanges it.
        any_trunk: take an adapter that was made on another trunk of the same shape.

    Raises:
        TransferError: as `swap`.
    """

    def __init__(self, trunk: Trunk, adapter: Adapter, any_trunk: bool = False) -> None:
        super().__init__()
        self.trunk = trunk
        self.swap(adapter, any_trunk)

    def swap(self, adapter: Adapter, any_trunk: bool = False) -> None:
        """Plug in another adapter; the trunk stays as it is.

        Raises:
            TransferError: the adapter was made on another trunk, or for one of another shape.
        """
        check_pair(self.trunk, adapter, any_trunk)
        method = make_method(adapter.method)
        conditions, own = dict(method.conditions()), adapter.parts()
        shared = method.names_of_shared()
        if lacking := [name for name in shared if name not in own and name not in self.trunk.shared]:
            raise TransferError(
                f"the adapter's method '{adapter.method.kind}' needs {', '.join(lacking)}, which neither the trunk "
                f"(method '{self.trunk.method.kind}') nor the adapter has. Use the trunk that it was made on, or adapt "
                "anew."
            )
        for name in method.predicts:
            check_type(_group(name, conditions, adapter), PredictedGroup, f"the {name} part")
        self.adapter, self.method, self._conditions = adapter.to(self.device), method, conditions
        self.windows = method.windows
        self.layout = Layout(tuple((name, group.tokens) for name, group in self.groups.items()), method.hides)

    @property
    def planner(self) -> str:  # type: ignore[override]  # a model of another class may name its own
        """Of its method."""
        return self.method.planner

    @property
    def env_spec(self) -> EnvironmentSpec:
        """The adapter's environment."""
        return self.adapter.env_spec

    @property
    def statistics(self) -> Statistics:
        """Of the adapter."""
        return self.adapter.statistics

    @property
    def context(self) -> int:
        """T of the adapter."""
        return self.adapter.context

    def keep_calibration(self, calibration: Calibration | None) -> None:
        """Store target and achieved returns in the adapter."""
        self.adapter.scales.keep_calibration(calibration)

    def asked(self, ask: Mapping[str, Any]) -> dict[str, float]:
        """What it is asked for, complete; see its method."""
        found = check_type(self.method.asked(self, ask), Mapping, f"what the method '{self.adapter.method.kind}' asks")
        return {name: real(value, name) for name, value in found.items()}

    def command(self, seeds: NDArray[np.int64], asked: Mapping[str, float]) -> Command:
        """The command of its method for E episodes, seeds (E,)."""
        return self.method.command(self, seeds, asked)

    @property
    def groups(self) -> dict[str, Group]:
        """The groups of a step, in order."""
        return {name: _group(name, self._conditions, self.adapter) for name in self.method.groups}

    @property
    def tuning(self) -> Tuning | None:
        """Of the trunk, the adapter's; None without one."""
        part = self.adapter.parts().get(TUNING)
        return None if part is None else check_type(part, Tuning, "the tuning part")

    @property
    def extras(self) -> dict[str, nn.Module]:
        """Parts of the adapter that are no group and know the body, by name."""
        return {name: part for name, part in self.adapter.parts().items() if name in self.method.extras}

    @property
    def shared(self) -> dict[str, nn.Module]:
        """Modules of the trunk by name; those of the adapter take their place."""
        others = {TUNING, *self.method.extras, *self.groups.keys() - self._conditions.keys()}
        own = {name: part for name, part in self.adapter.parts().items() if name not in others}
        return {**self.trunk.shared, **own}

    def parts(self) -> dict[str, nn.Module]:
        """Every part with parameters by name: `trunk` and those of the adapter."""
        own = {name: part for name, part in self.adapter.parts().items() if any(True for _ in part.parameters())}
        return {"trunk": self.trunk, **own}

    def tokens(self, batch: Batch) -> int:
        """B*T*K, padding included."""
        return batch.mask.numel() * self.layout.tokens

    def values(self, steps: Steps) -> dict[str, Tensor]:
        """The values (B, T, m) of every group.

        Raises:
            TransferError: states or actions of another size than the environment's.
        """
        for what, values, size in (
            ("states", steps.states, self.env_spec.state_size),
            ("actions", steps.actions, self.env_spec.action_size),
        ):
            if values.shape[-1] != size:
                raise TransferError(
                    f"{what} have {values.shape[-1]} numbers, the adapter for '{self.env_spec.name}' takes {size}."
                )
        return {name: group.values(steps, self.adapter.scales) for name, group in self.groups.items()}

    def time(self, times: Tensor) -> Tensor:
        """The vectors (B, T, D) that are added to the tokens of steps (B, T); zeros where the method is not timed."""
        if self.method.timed:
            vectors: Tensor = self.trunk.time(times)
            return vectors
        return self.trunk.ln_in.weight.new_zeros(*times.shape, self.trunk.config.width)

    def embed(self, steps: Steps, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tokens (B, T, n, D) of every group, from the values of each."""
        time, shared = self.time(steps.times)[:, :, None], self.shared  # (B, T, 1, D)
        found = {name: group(values[name], shared) for name, group in self.groups.items()}
        for name, tokens in found.items():
            if tokens.shape != (wanted := (*time.shape[:2], self.groups[name].tokens, time.shape[3])):
                raise TransferError(f"the {name} part embeds as {tuple(tokens.shape)}; {wanted} is needed.")
        return {name: tokens + time for name, tokens in found.items()}

    def hidden(
        self,
        tokens: Mapping[str, Tensor],
        wanted: Sequence[str],
        precision: torch.dtype = torch.float32,
        *,
        real: Tensor | None = None,
        at: bool = False,
    ) -> dict[str, Tensor]:
        """Hidden vectors (B, T, n, D) float32 at the positions that predict the wanted groups.

        Args:
            tokens: (B, T, n, D) of every group.
            wanted: names of groups.
            precision: of the trunk's matrix products.
            real: (B, T) bool, the steps that are no padding; needed where the method is not causal. Padding comes after
                the real steps, so causal attention does not see it.
            at: read the positions of the groups' own tokens, as masked objectives do.

        Raises:
            TransferError: a method that is not causal, without `real`.
        """
        sequence = self.layout.interleave(tokens)
        mask = self._mask(sequence, real)
        steps, place = sequence.shape[1] // self.layout.tokens, self.layout.at if at else self.layout.before

        def pick(x: Tensor) -> Tensor:
            """(B, T*K, D) -> (B, T*n, D), those of the wanted groups side by side."""
            pieces = [place(x, name) for name in wanted]
            return (pieces[0] if len(pieces) == 1 else torch.cat(pieces, 2)).flatten(1, 2)

        with products(sequence.device.type, precision):
            hidden, _ = self.trunk(sequence, self.tuning, mask, pick=pick)
        sizes = [self.layout.span(name)[1] for name in wanted]
        read = hidden.float().unflatten(1, (steps, -1))  # (B, T, sum of n, D)
        return dict(zip(wanted, read.split(sizes, 2) if len(sizes) > 1 else [read], strict=True))

    def _mask(self, sequence: Tensor, real: Tensor | None) -> Tensor | None:
        """Which tokens of sequences (B, T*K, D) look at which, (T*K, T*K) or (B, 1, T*K, T*K); None where causal."""
        mask = self.layout.mask(sequence.shape[1] // self.layout.tokens, self.method.causal)
        mask = None if mask is None else mask.to(sequence.device)
        if self.method.causal:
            return mask
        if real is None:
            name = type(self.method).__name__
            raise TransferError(f"{name} is not causal, so its tokens would look at padding: hidden(real=batch.mask).")
        seen = real.repeat_interleave(self.layout.tokens, 1)[:, None, None]  # (B, 1, 1, T*K)
        return seen if mask is None else mask & seen

    def loss(self, batch: Batch, precision: torch.dtype = torch.float32) -> dict[str, Loss]:
        """The terms of the method's objective by name.

        Args:
            batch: windows; padding contributes to none.
            precision: of the trunk's matrix products; embeddings and readouts are float32.
        """
        return self.method.loss(self, batch, precision)

    def action_error(self, batch: Batch) -> Loss:
        """Squared errors of the scaled actions predicted from the data's past, see its method."""
        return self.method.action_error(self, batch)


def _group(name: str, conditions: Mapping[str, Group], adapter: Adapter) -> Group:
    """A group of a step: a condition of the method, or a part of the adapter."""
    if name in conditions:
        return conditions[name]
    return check_type(adapter.parts()[name], Group, f"the {name} part")
