"""The adapter: everything that knows one environment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from transfer import registry
from transfer.calibration import Calibration
from transfer.errors import TransferError, check_keys, unknown
from transfer.numbers import MOST_BINS, whole
from transfer.seeding import seeded
from transfer.specs import EnvironmentSpec
from transfer.trunk import Gains, Trunk

RANGES = ("per-dimension", "shared", "shared+index")
READOUTS = ("regression", "categorical")


@dataclass(frozen=True)
class AdapterConfig:
    """What an adapter is made of.

    Args:
        state: state embedding, "linear" (the papers') or "mlp".
        action: action embedding, one of the four class names of the tokenized-action paper.
        tokenizer: "quantile", "uniform" or "mu-law".
        bins: V, bins per action dimension.
        ranges: "per-dimension" (the paper's eq. 4), "shared" or "shared+index".
        readout: "regression" or, for spread embeddings, "categorical".
    """

    state: str = "mlp"
    action: str = "ActionTokenizedSpreadEmbedding"
    tokenizer: str = "quantile"
    bins: int = 64
    ranges: str = "shared+index"
    readout: str = "regression"

    def __post_init__(self) -> None:
        for part in ("state", "action", "tokenizer"):
            registry.check(part, getattr(self, part))
        for name, known in (
            ("ranges", RANGES),
            ("readout", READOUTS),
        ):
            if getattr(self, name) not in known:
                raise unknown(f"adapter.{name}", getattr(self, name), known)
        object.__setattr__(self, "bins", whole(self.bins, "adapter.bins", 2, MOST_BINS))


@dataclass(frozen=True)
class Statistics:
    """What a dataset, and the policy's own episodes after its training, say about an environment.

    Attributes:
        state_mean, state_std: one number per state dimension; constant dimensions have a deviation of 1.
        return_quantiles: {"p50": ..., "p95": ..., "max": ...} of the episode returns, raw.
        calibration: asked against achieved returns; None before it was measured.
    """

    state_mean: tuple[float, ...]
    state_std: tuple[float, ...]
    return_quantiles: dict[str, float] = field(default_factory=dict)
    calibration: Calibration | None = None

    @property
    def best_target(self) -> float:
        """The raw return to ask for: the calibration's best, before that the 95th percentile of the dataset."""
        return self.return_quantiles["p95"] if self.calibration is None else self.calibration.best

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Statistics:
        """The inverse of `dataclasses.asdict`. Raises TransferError on a key that is missing or not known."""
        check_keys("the statistics", data, [f.name for f in fields(cls)])
        mean, std = (tuple(map(float, data[key])) for key in ("state_mean", "state_std"))
        measured = data["calibration"]
        calibration = None if measured is None else Calibration.from_json(measured)
        return cls(mean, std, {str(k): float(v) for k, v in data["return_quantiles"].items()}, calibration)


class Adapter(nn.Module):
    """State embedding, action embedding and readout, optional IA3 vectors and return embedding, and statistics.

    Build one with `transfer.adapters.build.build_adapter`, or `Adapter.load`.

    Args:
        config: kinds of the parts.
        env_spec: the environment, with the reference scores that scale returns.
        statistics: of the dataset the adapter was made for.
        tokenizer: fitted on its actions; None when the action embedding needs none.
        width, depth: of the trunk it plugs into.
        ia3: with IA3 vectors.
        conditioning: with a return embedding of its own instead of the trunk's.
        seed: a part's weights are a function of (seed, name of the part), whatever other parts there are.
    """

    state_mean: Tensor
    state_std: Tensor

    def __init__(
        self,
        config: AdapterConfig,
        env_spec: EnvironmentSpec,
        statistics: Statistics,
        tokenizer: Any,
        width: int,
        depth: int,
        ia3: bool = False,
        conditioning: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.config, self.env_spec, self.statistics, self.tokenizer = config, env_spec, statistics, tokenizer
        self.width, self.depth = width, depth
        self.record: dict[str, Any] = {}  # provenance: datasets, training, fingerprint of the trunk it was made on
        sizes = env_spec.state_size, env_spec.action_size
        if len(statistics.state_mean) != sizes[0] or len(statistics.state_std) != sizes[0]:
            raise TransferError(
                f"statistics of {len(statistics.state_mean)} state numbers for '{env_spec.name}', which has {sizes[0]}."
            )
        with seeded(seed, "state"):
            self.state = registry.resolve("state", config.state)(sizes[0], width)
        with seeded(seed, "action"):
            action = registry.resolve("action", config.action)
            self.action = action(width, sizes[1], tokenizer, config.ranges, config.readout)
        with seeded(seed, "conditioning"):
            self.conditioning = nn.Linear(1, width) if conditioning else None
        with seeded(seed, "ia3"):
            self.ia3 = registry.resolve("ia3", "ia3")(width, depth) if ia3 else None
        mean, std = (torch.tensor(v, dtype=torch.float32) for v in (statistics.state_mean, statistics.state_std))
        self.register_buffer("state_mean", mean, persistent=False)
        self.register_buffer("state_std", std, persistent=False)

    def parts(self) -> dict[str, nn.Module]:
        """The parts this adapter has, by name."""
        return {name: module for name, module in self.named_children()}

    def embed_state(self, states: Tensor) -> Tensor:
        """Raw states (B, T, S) -> tokens (B, T, n, D)."""
        if states.shape[-1] != self.env_spec.state_size:
            raise TransferError(
                f"states have {states.shape[-1]} numbers, the adapter for '{self.env_spec.name}' takes "
                f"{self.env_spec.state_size}."
            )
        return self.state((states - self.state_mean) / self.state_std)

    def scale_returns(self, returns: Tensor) -> Tensor:
        """Raw returns -> parts of the reference span (max - min); no minimum is subtracted."""
        return returns / self.env_spec.reference.span

    def gains(self) -> Sequence[Gains] | None:
        """IA3 scales for the trunk, None without IA3."""
        return self.ia3.gains() if self.ia3 is not None else None

    def save(self, folder: str | Path) -> Path:
        """Write `adapter.json` and `adapter.safetensors`. See `transfer.checkpoint`."""
        from transfer.checkpoint import save_adapter

        return save_adapter(self, folder)

    @classmethod
    def load(cls, folder: str | Path, trunk: Trunk | None = None, any_trunk: bool = False) -> Adapter:
        """Read a saved adapter.

        Args:
            folder: where `save` wrote it.
            trunk: the trunk it is going to be used with; its fingerprint must be the one the adapter was made on.
            any_trunk: accept another trunk of the same shape.

        Raises:
            TransferError: missing, truncated or edited files, another trunk.
        """
        from transfer.checkpoint import load_adapter

        return load_adapter(folder, trunk, any_trunk)
