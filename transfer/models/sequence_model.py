"""A trunk and an adapter, put together."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from transfer.data.batch import Batch
from transfer.data.calibration_table import Calibration
from transfer.data.dataset_statistics import Statistics
from transfer.data.environment.spec import EnvironmentSpec
from transfer.models.acting import PolicyModel
from transfer.models.adapter import Adapter, check_pair
from transfer.models.layout import Layout
from transfer.models.trunk import Trunk


class TransferModel(PolicyModel):
    r"""A return-conditioned policy: an adapter's embeddings, interleaved, through the trunk, to the adapter's readout.

        returns (B,T)   -> R  (B,T,1,D) \
        states (B,T,S)  -> s  (B,T,1,D)  >- + time -> R s a^0 .. | R s a^0 .. -> trunk -> read "action" -> loss, action
        actions (B,T,A) -> a  (B,T,n,D) /

    Args:
        trunk: the shared transformer.
        adapter: for one environment; `swap` exchanges it.
        any_trunk: take an adapter that was made on another trunk of the same shape.

    Raises:
        TransferError: as `swap`.
    """

    planner = "tokens"

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
        self.adapter = adapter.to(self.device)
        self.layout = Layout((("return", 1), ("state", adapter.state.tokens), ("action", adapter.action.tokens)))

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

    def keep_calibration(self, calibration: Calibration) -> None:
        """Store target and achieved returns in the adapter."""
        self.adapter.scales.keep_calibration(calibration)

    @property
    def tokens_per_step(self) -> int:
        """K."""
        return self.layout.tokens

    def parts(self) -> dict[str, nn.Module]:
        """Every selectable part by name: `trunk` and those of the adapter."""
        return {"trunk": self.trunk, **self.adapter.parts()}

    def embed_return(self, returns: Tensor) -> Tensor:
        """Scaled returns (B, T) -> tokens (B, T, 1, D), by the adapter's own embedding where it has one."""
        embedding = self.trunk.returns if self.adapter.conditioning is None else self.adapter.conditioning
        return embedding(returns[..., None])[:, :, None]

    def tokens(self, states: Tensor, actions: Tensor, returns: Tensor, times: Tensor) -> Tensor:
        """The sequence the trunk reads, (B, T*K, D).

        Args:
            states: (B, T, S), raw.
            actions: (B, T, A), scaled.
            returns: (B, T), raw.
            times: (B, T).
        """
        time = self.trunk.time(times)[:, :, None]  # (B, T, 1, D)
        groups = {
            "return": self.embed_return(self.adapter.scale_returns(returns, times)) + time,
            "state": self.adapter.embed_state(states) + time,
            "action": self.adapter.action(actions) + time,
        }
        return self.layout.interleave(groups)

    def hidden(self, batch: Batch, precision: torch.dtype = torch.float32) -> Tensor:
        """Hidden vectors at the positions that predict the action tokens, (B, T, n, D) float32.

        Padding comes after the real steps, so causal attention needs no padding mask.
        """
        actions = self.adapter.scale_actions(batch.actions)
        tokens = self.tokens(batch.states, actions, batch.returns, batch.times)
        with torch.autocast(tokens.device.type, precision, enabled=precision != torch.float32):
            hidden, _ = self.trunk(tokens, self.adapter.gains(), pick=self._action_positions)
        return hidden.float().unflatten(1, (batch.mask.shape[1], -1))

    def _action_positions(self, x: Tensor) -> Tensor:
        """(B, T*K, D) -> (B, T*n, D) at the positions that predict the action tokens."""
        return self.layout.read(x, "action").flatten(1, 2)

    def loss(self, batch: Batch, precision: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
        """Sum of the readout's loss over real tokens, and their count.

        Args:
            batch: windows; padding contributes to neither.
            precision: of the trunk's matrix products; embeddings and readout are float32.
        """
        actions = self.adapter.scale_actions(batch.actions)
        return self.adapter.action.loss(self.hidden(batch, precision), actions, batch.mask)
