"""The adapter: the parts of a model that belong to one environment."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch import nn

from transfer import registry
from transfer.data.environment.building.recording import warn_of_gaps
from transfer.data.environment.spec import EnvironmentSpec
from transfer.data.measured.dataset_statistics import Statistics, check_sizes
from transfer.errors import TransferError, check_type, unknown
from transfer.models.provenance import CONTEXT, Provenance
from transfer.models.steps.adapter_config import OWN, RESERVED, TUNING, AdapterConfig
from transfer.models.steps.group import check_free
from transfer.models.steps.method import Method, make_method
from transfer.models.steps.scales import Scales
from transfer.models.trunk import DEFAULT_METHOD, Trunk
from transfer.models.tuning import make_tuning
from transfer.numbers import MOST_DEPTH, MOST_WIDTH, flag, seen, whole
from transfer.registry import PartSpec
from transfer.runtime.seeding import seeded
from transfer.storage import format_2
from transfer.storage.checkpoints import Checkpoint, Older
from transfer.storage.fingerprints import fingerprint
from transfer.storage.tensors import Header

_SEEDS = {"return": "conditioning"}  # names that first weights have been drawn under since format 2


class Adapter(nn.Module):
    """The parts of a model that belong to one environment, and the scales of its values.

    A part is a group of its method that is no condition (`state`, `action`), a module of its own in the place of one
    that the trunk shares (`return`), or the `tuning`. Each is an attribute of its name. Make an adapter with
    `transfer.adapters.build.build_adapter`, or `Adapter.load`.

    Args:
        config: kinds of the parts.
        arguments: of the constructor of each part that it has, in the order of their registration.
        env_spec: the environment.
        statistics: of the dataset the adapter was made for.
        width, depth: of the trunk it plugs into.
        method: whose groups these are.
        provenance: where it comes from, and its context; default: a context of `CONTEXT` steps.
        seed: of the weights; the weights of a part are a function of (seed, name of the part).

    Raises:
        TransferError: statistics of other sizes than the environment's, a provenance without a context, a part that the
            method does not have, or one that it lacks.
    """

    def __init__(
        self,
        config: AdapterConfig,
        arguments: Mapping[str, Mapping[str, Any]],
        env_spec: EnvironmentSpec,
        statistics: Statistics,
        width: int,
        depth: int,
        method: PartSpec = DEFAULT_METHOD,
        provenance: Provenance | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_type(config, AdapterConfig, "config")
        if TUNING in arguments and config.tuning is None:
            config = replace(config, tuning=config.of(TUNING))
        self.config = config
        self.env_spec = check_type(env_spec, EnvironmentSpec, "env_spec")
        steps = make_method(method)
        self.method = registry.complete("method", method)
        self.provenance = Provenance(context=CONTEXT) if provenance is None else provenance
        self.width, self.depth = whole(width, "width", 2, MOST_WIDTH), whole(depth, "depth", 1, MOST_DEPTH)
        self.any_trunk = False  # whether any trunk of its shape is accepted
        check_sizes(statistics, env_spec)
        shared = steps.names_of_shared()
        _check_parts(method, steps, shared, arguments)
        for name, given in arguments.items():
            with seeded(seed, self._seed_name(name)):
                if name == TUNING:
                    part: nn.Module = make_tuning(config.of(TUNING), width, depth)
                elif name in shared:
                    part = steps.shared(width)[name]
                else:
                    part = self._made(name, steps, given)
            check_free(self, name, RESERVED)
            self.add_module(name, check_type(part, nn.Module, f"the {name} part"))
        self._parts = tuple(arguments)
        for name, told in self.arguments().items():  # what it could not be loaded without
            if lost := [key for key, value in arguments[name].items() if value is not None and told.get(key) is None]:
                kind = type(getattr(self, name)).__name__
                raise TransferError(f"{kind} loses its {', '.join(lost)}: its arguments() has to tell them.")
        self.scales = Scales(statistics, env_spec)

    def _seed_name(self, part: str) -> str:
        if part == TUNING:
            return str(registry.resolve(TUNING, self.config.of(TUNING).kind).seed_name)
        return _SEEDS.get(part, part)

    def _made(self, name: str, method: Method, arguments: Mapping[str, Any]) -> nn.Module:
        """A group, or one of the method's extras."""
        spec = self.env_spec
        try:
            if name in method.extras:
                return method.make(name, arguments)
            sizes = {"width": self.width, "state_size": spec.state_size, "action_size": spec.action_size}
            self.config.check_arguments(name, arguments, sizes)
            group: nn.Module = registry.resolve(name, self.config.of(name).kind)(**arguments)
        except TypeError as error:
            raise TransferError(f"the {name} part cannot be made of {seen(dict(arguments))}: {error}") from error
        whole(getattr(group, "tokens", None), f"{type(group).__name__}.tokens", 1)
        return group

    def __repr__(self) -> str:
        spec = self.env_spec
        sizes = f"{spec.name}: {spec.state_size} states, {spec.action_size} actions"
        kinds = ", ".join(f"{name} {self._kind(name)}".rstrip() for name in self._parts)
        parameters = sum(p.numel() for p in self.parameters())
        return f"Adapter({sizes}; {kinds}; context {self.context}; {parameters:,} parameters)"

    def _kind(self, part: str) -> str:
        """The kind of a part and its options in words; "" for the adapter's own copy of a module of the trunk."""
        if part not in (*OWN, *self.config.others):
            return ""
        spec = self.config.of(part)
        options = ", ".join(f"{name}={value}" for name, value in spec.options.items())
        return f"{spec.kind}({options})" if options else spec.kind

    def parts(self) -> dict[str, nn.Module]:
        """The parts by name, in the order of their registration; its scales are none."""
        return {name: getattr(self, name) for name in self._parts}

    def decides(self) -> dict[str, Any]:
        """Settings that decide its computation besides its tensors, for its fingerprint."""
        return {
            "method": self.method.to_json(),
            "parts": {name: self.config.of(name).to_json() for name in self._parts if self._kind(name)},
            "context": self.context,
            "slices": [asdict(one) for one in self.env_spec.slices],
        }

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

    def made_on(self, trunk: Trunk, **changes: Any) -> None:
        """Record the trunk that it belongs to, and other fields of its provenance."""
        self.provenance = replace(self.provenance, trunk=fingerprint(check_type(trunk, Trunk, "trunk")), **changes)

    def save(self, folder: str | Path) -> Path:
        """Write `adapter.json` and `adapter.safetensors` into a folder, whose other files stay; logs as `warn_of_gaps`.

        Raises:
            TransferError: the adapter does not know the fingerprint of the trunk that it belongs to.
        """
        if self.provenance.trunk is None:
            raise TransferError("this adapter belongs to no trunk yet; `adapt` records one, or adapter.made_on(trunk).")
        warn_of_gaps(self.env_spec.gym_spec)
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

    def arguments(self) -> dict[str, dict[str, Any]]:
        """The arguments of the constructor of each part."""
        none: Callable[[], dict[str, Any]] = dict
        return {name: getattr(part, "arguments", none)() for name, part in self.parts().items()}

    def to_json(self) -> dict[str, Any]:
        """The values of `adapter.json`, in the order of its keys."""
        record = self.provenance.to_json()
        context, trunk = record.pop("context"), record.pop("trunk", None)
        return {
            "method": self.method.to_json(),
            "config": self.config.to_json(),
            "arguments": self.arguments(),
            "environment": self.env_spec.to_json(),
            "statistics": asdict(self.statistics),
            "width": self.width,
            "depth": self.depth,
            "context": context,
            "trunk": trunk,
            "record": record,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Adapter:
        """An adapter with fresh weights, from what `to_json` returned. Raises TransferError for an unsound value."""
        own = {"trunk": content["trunk"], "context": content["context"]}
        return cls(
            AdapterConfig.from_json(content["config"]),
            check_type(content["arguments"], dict, "arguments"),
            EnvironmentSpec.from_json(content["environment"]),
            Statistics.from_json(content["statistics"]),
            content["width"],
            content["depth"],
            PartSpec.of(content["method"], "method"),
            Provenance.from_json({**check_type(content["record"], dict, "record"), **own}),
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


def _check_parts(spec: PartSpec, method: Method, shared: Collection[str], given: Mapping[str, Any]) -> None:
    """Raise TransferError unless the parts are groups and extras of a method, perhaps shared modules and a tuning."""
    needed = [*(name for name in method.groups if name not in method.conditions()), *method.extras]
    for name in given:
        if name not in needed and name not in shared and name != TUNING:
            known = [*needed, *shared, TUNING]
            raise unknown(f"part in the arguments of an adapter of the method '{spec.kind}'", name, known)
        check_type(given[name], Mapping, f"arguments.{name}")
    if missing := [name for name in needed if name not in given]:
        raise TransferError(f"an adapter of the method '{spec.kind}' lacks its {', '.join(missing)} part.")


def _check_tables(content: Mapping[str, Any], header: Header) -> None:
    """Raise TransferError unless the tensors have tables of the tokenizer's size, which are built from the JSON."""
    shape = header["action.bins.edges"].shape if "action.bins.edges" in header else None
    match check_type(content["arguments"], dict, "arguments").get("action"):
        case {"tokenizer": {"bins": int() | float() as n, "edges": list() as edges}} if shape != (len(edges), n - 1):
            raise TransferError(f"tokenizer has {n} bins for {len(edges)} action numbers, its tensor is {shape}.")


SAVED = Checkpoint(
    name="adapter",
    what="an adapter",
    source="adapt(...) makes one; a run keeps it in MODE/SEED/adapter.",
    keys=tuple("method config arguments environment statistics width depth context trunk record".split()),
    content=Adapter.to_json,
    build=Adapter.from_json,
    check=_check_tables,
    older=Older(
        keys=tuple("config environment statistics tokenizer width depth context extras trunk record".split()),
        content=format_2.adapter,
        tensor=format_2.adapter_tensor,
    ),
)
