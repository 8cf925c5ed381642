"""The adapter: the parts of a model that belong to one environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from transfer import registry
from transfer.data.dataset_statistics import Statistics, check_sizes
from transfer.data.environment.spec import EnvironmentSpec, without_targets
from transfer.errors import TransferError, check_type, unknown
from transfer.models.provenance import CONTEXT, Provenance
from transfer.models.scales import Scales
from transfer.models.trunk import Gains, Trunk
from transfer.numbers import MOST_BINS, MOST_DEPTH, MOST_WIDTH, flag, seen, whole
from transfer.runtime.seeding import seeded
from transfer.storage.checkpoints import Checkpoint, config_of
from transfer.storage.fingerprints import fingerprint
from transfer.storage.tensors import Header

RANGES = ("per-dimension", "shared", "shared+index")
READOUTS = ("regression", "categorical")
OUT_OF_BOUNDS = ("clip", "refuse")
EXTRAS = {"ia3", "conditioning"}


@dataclass(frozen=True)
class AdapterConfig:
    """Kinds of the parts of an adapter.

    Args:
        state: state embedding, "linear" (the papers') or "mlp".
        action: action embedding, one of the four class names of the tokenized-action paper.
        tokenizer: "quantile", "uniform" or "mu-law".
        bins: V, bins per action dimension.
        ranges: "per-dimension" (the paper's eq. 4), "shared" or "shared+index".
        readout: "regression" or, for spread embeddings, "categorical".
        out_of_bounds: "clip" the data's actions outside the environment's bounds, or "refuse" the data.
    """

    state: str = "mlp"
    action: str = "ActionTokenizedSpreadEmbedding"
    tokenizer: str = "quantile"
    bins: int = 64
    ranges: str = "shared+index"
    readout: str = "regression"
    out_of_bounds: str = "clip"

    def __post_init__(self) -> None:
        for part in ("state", "action", "tokenizer"):
            registry.check(part, getattr(self, part))
        for name, known in (("ranges", RANGES), ("readout", READOUTS), ("out_of_bounds", OUT_OF_BOUNDS)):
            value = getattr(self, name)
            if not isinstance(value, str) or value not in known:
                raise unknown(f"adapter.{name}", value, known)
        object.__setattr__(self, "bins", whole(self.bins, "adapter.bins", 2, MOST_BINS))


class Adapter(nn.Module):
    """State embedding, action embedding and readout, optional IA3 vectors and return embedding, and scales.

    Make one with `transfer.adapters.build.build_adapter`, or `Adapter.load`.

    Args:
        config: kinds of the parts.
        env_spec: the environment.
        statistics: of the dataset the adapter was made for.
        tokenizer: fitted on its scaled actions; None when the action embedding needs none.
        width, depth: of the trunk it plugs into.
        ia3: with IA3 vectors.
        conditioning: with a return embedding of its own instead of the trunk's.
        provenance: where it comes from, and its context; default: a context of `CONTEXT` steps.
        seed: of the weights; the weights of a part are a function of (seed, name of the part).

    Raises:
        TransferError: statistics or a tokenizer of other sizes than the environment's, a tokenizer of another kind than
            the config's, a provenance without a context, or an action part that does not keep its tokenizer.
    """

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
        provenance: Provenance | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.config = check_type(config, AdapterConfig, "config")
        self.env_spec = check_type(env_spec, EnvironmentSpec, "env_spec")
        self.provenance = Provenance(context=CONTEXT) if provenance is None else provenance
        self.width, self.depth = whole(width, "width", 2, MOST_WIDTH), whole(depth, "depth", 1, MOST_DEPTH)
        ia3, conditioning = flag(ia3, "ia3"), flag(conditioning, "conditioning")
        self.any_trunk = False  # whether any trunk of its shape is accepted
        check_sizes(statistics, env_spec)
        _check_tokenizer(tokenizer, config, env_spec)
        with seeded(seed, "state"):
            self.state = registry.resolve("state", config.state)(env_spec.state_size, width)
        with seeded(seed, "action"):
            action = registry.resolve("action", config.action)
            self.action = action(width, env_spec.action_size, tokenizer, config.ranges, config.readout)
        if getattr(action, "tokenized", False) and self.tokenizer is None:
            raise TransferError(f"{config.action} loses its tokenizer: keep it as self.bins, a `Bins`.")
        with seeded(seed, "conditioning"):
            self.conditioning = nn.Linear(1, width) if conditioning else None
        with seeded(seed, "ia3"):
            self.ia3 = registry.resolve("ia3", "ia3")(width, depth) if ia3 else None
        self.scales = Scales(statistics)

    def __repr__(self) -> str:
        spec, config = self.env_spec, self.config
        bins = "" if self.tokenizer is None else f" over {config.bins} {config.tokenizer} bins"
        extras = [name for name in ("conditioning", "ia3") if name in self.parts()]
        sizes = f"{spec.name}: {spec.state_size} states, {spec.action_size} actions"
        kinds = ", ".join([f"state {config.state}", f"{config.action}{bins}", config.readout, *extras])
        parameters = sum(p.numel() for p in self.parameters())
        return f"Adapter({sizes}; {kinds}; context {self.context}; {parameters:,} parameters)"

    def parts(self) -> dict[str, nn.Module]:
        """The trainable parts by name; scales have no parameters."""
        return {name: module for name, module in self.named_children() if name != "scales"}

    def decides(self) -> dict[str, Any]:
        """Settings that decide its computation besides its tensors, for its fingerprint."""
        kinds = {name: getattr(self.config, name) for name in ("state", "action", "ranges", "readout")}
        return {**kinds, "context": self.context, "slices": [asdict(one) for one in self.env_spec.slices]}

    @property
    def provenance(self) -> Provenance:
        """Where it comes from, and its context. Setting anything else, or one without context, raises TransferError."""
        return self._provenance

    @provenance.setter
    def provenance(self, value: Provenance) -> None:
        _context_of(value)
        self._provenance = value

    @property
    def context(self) -> int:
        """T, steps that it is trained with and acts on, from its provenance."""
        return _context_of(self.provenance)

    @property
    def statistics(self) -> Statistics:
        """Of the dataset, read from the buffers of `scales`."""
        return self.scales.statistics

    @property
    def tokenizer(self) -> Any:
        """The tokenizer, read from the buffers of the action part; None where that part has none."""
        bins = getattr(self.action, "bins", None)
        return None if bins is None else bins.tokenizer(self.config.tokenizer)

    def embed_state(self, states: Tensor) -> Tensor:
        """Raw states (B, T, S) -> tokens (B, T, n, D)."""
        self._check_size("states", states, self.env_spec.state_size)
        return self.state(self.scales.scale_states(states))

    def scale_actions(self, actions: Tensor) -> Tensor:
        """The environment's actions (..., A) -> -1 to 1, the range of the action part."""
        self._check_size("actions", actions, self.env_spec.action_size)
        return self.scales.scale_actions(actions)

    def scale_returns(self, returns: Tensor, times: Tensor) -> Tensor:
        """Raw returns to go and their steps, both (...) -> scaled returns, see `transfer.models.scales`."""
        return self.scales.scale_returns(returns, times)

    def _check_size(self, what: str, values: Tensor, size: int) -> None:
        if values.shape[-1] != size:
            raise TransferError(
                f"{what} have {values.shape[-1]} numbers, the adapter for '{self.env_spec.name}' takes {size}."
            )

    def gains(self) -> Sequence[Gains] | None:
        """IA3 scales for the trunk, None without IA3."""
        return self.ia3.gains() if self.ia3 is not None else None

    def made_on(self, trunk: Trunk, **changes: Any) -> None:
        """Record the trunk that it belongs to, and other fields of its provenance."""
        self.provenance = replace(self.provenance, trunk=fingerprint(check_type(trunk, Trunk, "trunk")), **changes)

    def save(self, folder: str | Path) -> Path:
        """Write `adapter.json` and `adapter.safetensors` into a folder, whose other files stay.

        Raises:
            TransferError: the adapter does not know the fingerprint of the trunk that it belongs to.
        """
        if self.provenance.trunk is None:
            raise TransferError("this adapter belongs to no trunk yet; `adapt` records one, or adapter.made_on(trunk).")
        return SAVED.save(self, folder)

    @classmethod
    def load(cls, folder: str | Path, trunk: Trunk | None = None, any_trunk: bool = False) -> Adapter:
        """Read a saved adapter.

        Args:
            folder: where `save` wrote it.
            trunk: its trunk; the fingerprint is compared with the recorded one.
            any_trunk: accept another trunk of the same shape, here and later.

        Raises:
            TransferError: missing, truncated or edited files, a checkpoint of another kind, another trunk.
        """
        adapter = SAVED.load(folder)
        adapter.any_trunk = flag(any_trunk, "any_trunk")
        if trunk is not None:
            check_pair(trunk, adapter, any_trunk, str(SAVED.home(folder)))
        return adapter

    def to_json(self) -> dict[str, Any]:
        """The values of `adapter.json`, in the order of its keys."""
        record = self.provenance.to_json()
        context, trunk = record.pop("context"), record.pop("trunk", None)
        return {
            "config": asdict(self.config),
            "environment": self.env_spec.to_json(),
            "statistics": asdict(self.statistics),
            "tokenizer": None if self.tokenizer is None else self.tokenizer.to_json(),
            "width": self.width,
            "depth": self.depth,
            "context": context,
            "extras": {"ia3": self.ia3 is not None, "conditioning": self.conditioning is not None},
            "trunk": trunk,
            "record": record,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Adapter:
        """An adapter with fresh weights, from what `to_json` returned. Raises TransferError for an unsound value."""
        tokenizer, extras = content["tokenizer"], content["extras"]
        if not isinstance(extras, dict) or set(extras) != EXTRAS:
            raise TransferError(f"extras is {seen(extras)}; {' and '.join(sorted(EXTRAS))} are needed.")
        own = {"trunk": content["trunk"], "context": content["context"]}
        return cls(
            config_of(AdapterConfig, content["config"]),
            EnvironmentSpec.from_json(content["environment"]),
            Statistics.from_json(content["statistics"]),
            registry.resolve("reader", "tokenizer")(tokenizer) if tokenizer else None,
            content["width"],
            content["depth"],
            provenance=Provenance.from_json({**check_type(content["record"], dict, "record"), **own}),
            **extras,
        )


def check_pair(trunk: Trunk, adapter: Adapter, any_trunk: bool = False, name: str = "this adapter") -> None:
    """Raise TransferError unless an adapter belongs to a trunk.

    An adapter without a recorded trunk belongs to every trunk of its shape.

    Args:
        trunk: the trunk.
        adapter: the adapter.
        any_trunk: accept another trunk than the recorded one, of the same shape.
        name: of the adapter, for the message.
    """
    check_type(trunk, Trunk, "trunk", "pretrain makes one, Trunk.load reads one.")
    check_type(adapter, Adapter, "adapter", "adapt makes one, Adapter.load reads one.")
    sizes = trunk.config
    if (adapter.width, adapter.depth) != (sizes.width, sizes.depth):
        raise TransferError(
            f"{name} of width {adapter.width} and depth {adapter.depth} does not fit a trunk of width {sizes.width} "
            f"and depth {sizes.depth}."
        )
    wanted = adapter.provenance.trunk
    if flag(any_trunk, "any_trunk") or adapter.any_trunk or wanted is None:
        return
    have = fingerprint(trunk)
    if wanted != have:
        raise TransferError(
            f"{name} was made on the trunk {wanted}, this trunk is {have}. Use the trunk it belongs to, or pass "
            "any_trunk=True (--any-trunk) to use this one."
        )


def _context_of(provenance: Provenance) -> int:
    """T. Raises TransferError where a provenance names none."""
    context = check_type(provenance, Provenance, "provenance").context
    if context is None:
        raise TransferError("provenance.context is None; an adapter needs the number of steps that it acts on.")
    return context


def _check_tokenizer(tokenizer: Any, config: AdapterConfig, env_spec: EnvironmentSpec) -> None:
    """Raise TransferError unless a tokenizer is the one that a config describes, fitted on scaled actions."""
    if tokenizer is None:
        return
    if not callable(getattr(tokenizer, "check", None)):
        raise TransferError(f"tokenizer is of type {type(tokenizer).__name__}; transfer.adapters.tokenizers has some.")
    have = tokenizer.kind, tokenizer.bins, len(tokenizer.edges_)
    wanted = config.tokenizer, config.bins, env_spec.action_size
    if have != wanted:
        raise TransferError(
            f"a {have[0]} tokenizer of {have[1]} bins for {have[2]} action numbers; the adapter for '{env_spec.name}' "
            f"needs a {wanted[0]} one of {wanted[1]} bins for {wanted[2]}."
        )
    tokenizer.check()
    if abs(tokenizer.centers_).max() > 1:
        raise TransferError("the tokenizer was fitted on actions beyond -1 and 1: fit it on scaled ones.")


def _check_tables(content: Mapping[str, Any], header: Header) -> None:
    """Raise TransferError unless the tensors have tables of the tokenizer's size, which are built from the JSON."""
    shape = header["action.bins.edges"].shape if "action.bins.edges" in header else None
    match content["tokenizer"]:
        case {"bins": int() | float() as bins, "edges": list() as edges} if shape != (len(edges), bins - 1):
            raise TransferError(f"tokenizer has {bins} bins for {len(edges)} action numbers, its tensor is {shape}.")


SAVED = Checkpoint(
    name="adapter",
    what="an adapter",
    source="adapt(...) makes one; a run keeps it in MODE/SEED/adapter.",
    keys=tuple("config environment statistics tokenizer width depth context extras trunk record".split()),
    content=Adapter.to_json,
    build=Adapter.from_json,
    check=_check_tables,
    current=without_targets,
)
