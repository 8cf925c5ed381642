"""The trunk: one causal transformer over ready-made vectors. It knows no environment."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transfer import registry
from transfer.errors import TransferError, check_type
from transfer.models.provenance import Provenance
from transfer.models.steps.group import check_free
from transfer.models.steps.method import make_method
from transfer.models.tuning import Tuning, check_depth, tuned
from transfer.numbers import MOST_DEPTH, MOST_WIDTH, real, whole
from transfer.registry import PartSpec
from transfer.runtime.layers.attention import causal_attention
from transfer.runtime.layers.cache import Cache
from transfer.runtime.layers.dropout import Dropout
from transfer.runtime.layers.linear import Linear
from transfer.storage import format_2
from transfer.storage.checkpoints import Checkpoint, Older, config_of
from transfer.storage.tensors import Header

DEFAULT_METHOD = PartSpec("dt")
_ATTRIBUTES = {"return": "returns"}  # of shared modules that files of format 2 know by another name
Pick = Callable[[Tensor], Tensor]


def _all(x: Tensor) -> Tensor:
    return x


@dataclass(frozen=True)
class TrunkConfig:
    """Size of a trunk.

    Args:
        width: D, numbers per token.
        depth: number of layers.
        heads: attention heads; must divide `width`.
        dropout: on token vectors and on each residual branch, while the trunk trains.
    """

    width: int = 128
    depth: int = 3
    heads: int = 4
    dropout: float = 0.1

    def __post_init__(self) -> None:
        for name, least, most in (("width", 2, MOST_WIDTH), ("depth", 1, MOST_DEPTH), ("heads", 1, MOST_WIDTH)):
            object.__setattr__(self, name, whole(getattr(self, name), f"trunk.{name}", least, most))
        object.__setattr__(self, "dropout", real(self.dropout, "trunk.dropout", 0, below=1))
        if self.width % 2 or self.width % self.heads:
            raise TransferError(
                f"trunk.width={self.width}, depth={self.depth}, heads={self.heads} do not fit together: "
                "width must be even and a multiple of heads."
            )


class Attention(nn.Module):
    """Multi-head attention with separate projections, so that a tuning can change each of them."""

    def __init__(self, config: TrunkConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.q = Linear(config.width, config.width)
        self.k = Linear(config.width, config.width)
        self.v = Linear(config.width, config.width)
        self.o = Linear(config.width, config.width)

    def forward(
        self, x: Tensor, tuning: Tuning | None, mask: Tensor | None, cache: Cache | None, layer: int, pick: Pick = _all
    ) -> Tensor:
        """(B, L, D) -> (B, L, D). `mask` is boolean, True where a query may look; None means causal."""
        q, k, v = self.project(x, tuning, layer)
        past = 0 if cache is None else cache.length
        if cache is not None:
            k, v = cache.append(layer, k, v)  # (B, H, past + L, D/H)
        if mask is None and past == 0:
            y = causal_attention(q, k.to(q.dtype), v.to(q.dtype))
        else:
            if mask is None and x.shape[1] > 1:
                mask = x.new_ones(x.shape[1], past + x.shape[1], dtype=torch.bool).tril(past)
            y = F.scaled_dot_product_attention(q, k.to(q.dtype), v.to(q.dtype), attn_mask=mask)
        return tuned(tuning, layer, "o", self.o, pick(y.transpose(1, 2).flatten(2)))  # (B, L, D)

    def project(self, x: Tensor, tuning: Tuning | None, layer: int) -> tuple[Tensor, Tensor, Tensor]:
        """(B, L, D) -> queries, keys and values, (B, H, L, D/H) each."""
        q = self._split(tuned(tuning, layer, "q", self.q, x))
        k = self._split(tuned(tuning, layer, "k", self.k, x))
        return q, k, self._split(tuned(tuning, layer, "v", self.v, x))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, L, D) -> (B, H, L, D/H)


def _narrow(x: Tensor) -> Tensor:
    """Cast x to the dtype that autocast multiplies in, once instead of once in each of the layers that read it."""
    kind = x.device.type
    return x.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else x


class FeedForward(nn.Module):
    """Two layers with GELU, four times as wide inside."""

    def __init__(self, config: TrunkConfig) -> None:
        super().__init__()
        self.fc = Linear(config.width, 4 * config.width)
        self.proj = Linear(4 * config.width, config.width)

    def forward(self, x: Tensor, tuning: Tuning | None, layer: int) -> Tensor:
        """(B, L, D) -> (B, L, D)."""
        return tuned(tuning, layer, "proj", self.proj, F.gelu(tuned(tuning, layer, "fc", self.fc, x)))


class Block(nn.Module):
    """Pre-LayerNorm residual block."""

    def __init__(self, config: TrunkConfig) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.width)
        self.attn = Attention(config)
        self.ln_2 = nn.LayerNorm(config.width)
        self.mlp = FeedForward(config)
        self.drop = Dropout(config.dropout)

    def forward(
        self, x: Tensor, tuning: Tuning | None, mask: Tensor | None, cache: Cache | None, layer: int, pick: Pick = _all
    ) -> Tensor:
        """(B, L, D) -> (B, L, D); arguments as in `Attention.forward`."""
        y = _narrow(tuned(tuning, layer, "ln_1", self.ln_1, x))
        x = pick(x) + self.drop(self.attn(y, tuning, mask, cache, layer, pick))
        y = _narrow(tuned(tuning, layer, "ln_2", self.ln_2, x))
        return x + self.drop(self.mlp(y, tuning, layer))


class TimeEmbedding(nn.Module):
    """Fixed sinusoids of the step in its episode (periods from 4 to 4,000 steps), then a learned linear map.

    A learned table would leave the rows past the longest pretraining episode random, and then frozen. Sinusoids as in
    Vaswani et al. 2017, section 3.5.
    """

    waves: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)
        # On the CPU first: the same bits everywhere, and PyTorch takes a second for its first `linspace` on "meta".
        periods = 4.0 * 1000.0 ** torch.linspace(0, 1, width // 2, device="cpu")
        self.register_buffer("waves", (2 * math.pi / periods).to(self.linear.weight.device), persistent=False)

    def forward(self, steps: Tensor) -> Tensor:
        """(B, T) step numbers -> (B, T, D)."""
        angle = steps[..., None].float() * self.waves  # (B, T, D/2)
        return self.linear(torch.cat([angle.sin(), angle.cos()], -1))


class Trunk(nn.Module):
    """A pre-LayerNorm causal transformer with the embeddings that mean the same in every environment.

    Owns the embedding of time, the modules that its method shares between environments (the return's embedding, say),
    the LayerNorm over token vectors, the blocks and the last LayerNorm; all of it is frozen when the trunk is. Shape
    and initialisation follow the Decision Transformer (Chen et al. 2021; CORL `dt.py`): N(0, 0.02), dropout 0.1. Unlike
    there, attention weights are not dropped, so that the fused kernel runs in training too, and the order of tokens
    inside a step is told by embeddings alone.

        x (B, L, D) -> LayerNorm -> depth x [x + attn(LN(x)); x + mlp(LN(x))] -> LayerNorm -> (B, L, D)

    Args:
        config: its size; default: the library's.
        method: that it is pretrained with.

    Raises:
        TransferError: a config of another type, or an unknown method.
    """

    def __init__(self, config: TrunkConfig | None = None, method: PartSpec = DEFAULT_METHOD) -> None:
        super().__init__()
        self.config = config = TrunkConfig() if config is None else check_type(config, TrunkConfig, "config")
        made = make_method(method)
        self.method, self.provenance = registry.complete("method", method), Provenance()
        self.time = TimeEmbedding(config.width)
        own = made.shared(config.width)
        self._shared = {name: _ATTRIBUTES.get(name, name) for name in own}
        for name, module in own.items():
            check_free(self, self._shared[name], ("ln_in", "drop", "blocks", "ln_out"))
            self.add_module(self._shared[name], module)
        self.ln_in = nn.LayerNorm(config.width)
        self.drop = Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.ln_out = nn.LayerNorm(config.width)
        self.apply(_initialise)
        nn.init.normal_(self.time.linear.weight, std=0.02 / 8)  # else time would drown the other embeddings at start

    @property
    def provenance(self) -> Provenance:
        """Where its weights come from. Setting anything else raises TransferError."""
        return self._provenance

    @provenance.setter
    def provenance(self, value: Provenance) -> None:
        self._provenance = check_type(value, Provenance, "provenance", "transfer.models.provenance has its fields.")

    @property
    def shared(self) -> dict[str, nn.Module]:
        """The modules that its method shares between environments, by name."""
        return {name: getattr(self, attribute) for name, attribute in self._shared.items()}

    def at(self, layer: int, site: str) -> Any:
        """The linear layer or LayerNorm at a site, see `transfer.models.tuning.SITES`."""
        block = self.blocks[layer]
        home = {"fc": block.mlp, "proj": block.mlp, "ln_in": self, "ln_out": self, "ln_1": block, "ln_2": block}
        return getattr(home.get(site, block.attn), site)

    def decides(self) -> dict[str, Any]:
        """Settings that decide its computation besides its tensors, for its fingerprint."""
        return {"heads": self.config.heads}

    def forward(
        self,
        x: Tensor,
        tuning: Tuning | None = None,
        mask: Tensor | None = None,
        cache: Cache | None = None,
        pick: Pick = _all,
    ) -> tuple[Tensor, Cache | None]:
        """Hidden vectors of a token sequence.

        Args:
            x: (B, L, D) token vectors, in order.
            tuning: changes its layers; None leaves them as they are.
            mask: boolean, broadcastable to (B, H, L, past + L), True where a query may look; None is causal.
            cache: the tokens before `x`, from an earlier call or `empty_cache`.
            pick: takes the wanted positions W out of (B, L, D); the last block computes its output for these alone.

        Returns:
            hidden (B, L, D), or (B, W, D) where picked, and the cache with `x` appended (None without one).
        """
        if tuning is not None:
            check_depth(tuning, self.config.width, self.config.depth)
        cache = cache.reserve(x.shape[1]) if cache is not None else None
        x = self.drop(tuned(tuning, 0, "ln_in", self.ln_in, x))
        tokens, last = x.shape[1], len(self.blocks) - 1
        for layer, block in enumerate(self.blocks):
            x = block(x, tuning, mask, cache, layer, pick if layer == last else _all)
        x = tuned(tuning, 0, "ln_out", self.ln_out, x)
        return x, cache.advanced(tokens) if cache is not None else None

    def empty_cache(self, sequences: int, capacity: int, dtype: torch.dtype = torch.float32) -> Cache:
        """A cache for `sequences` sequences of up to `capacity` tokens (it grows when more come)."""
        c = self.config
        return Cache.empty(c.depth, sequences, c.heads, c.width // c.heads, capacity, self.ln_in.weight, dtype)

    def save(self, folder: str | Path) -> Path:
        """Write `trunk.json` and `trunk.safetensors` into a folder, whose other files stay."""
        return SAVED.save(self, folder)

    @classmethod
    def load(cls, folder: str | Path) -> Trunk:
        """Read a saved trunk. Raises TransferError for missing, truncated or edited files and for another kind."""
        return SAVED.load(folder)

    def to_json(self) -> dict[str, Any]:
        """The values of `trunk.json`, in the order of its keys."""
        return {
            "config": asdict(self.config),
            "method": self.method.to_json(),
            "record": self.provenance.to_json(),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Trunk:
        """A trunk with fresh weights, from what `to_json` returned. Raises TransferError for an unsound value."""
        trunk = cls(config_of(TrunkConfig, content["config"]), PartSpec.of(content["method"], "method"))
        trunk.provenance = Provenance.from_json(content["record"])
        return trunk


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)


def _check_layers(content: Mapping[str, Any], header: Header) -> None:
    """Raise TransferError unless the JSON says as many layers as there are: a thousand take seconds to build."""
    layers = {name.split(".")[1] for name in header if name.startswith("blocks.")}
    if layers and config_of(TrunkConfig, content["config"]).depth != len(layers):
        raise TransferError(f"config.depth is {content['config']['depth']}, the tensors are of {len(layers)} layers.")


SAVED = Checkpoint(
    name="trunk",
    what="a trunk",
    source="pretrain(...) makes one; a run keeps it in trunk/SEED/trunk.",
    keys=("config", "method", "record"),
    content=Trunk.to_json,
    build=Trunk.from_json,
    check=_check_layers,
    older=Older(keys=("config", "record"), content=format_2.trunk),
)
