"""The model of a mode before its first step: the kinds of its parts, its trunk, its adapter, what that takes over."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from transfer.adapters.build import build_adapter
from transfer.adapters.inherit import BY_VALUE, inherit
from transfer.data.environment.belonging import check_body
from transfer.data.episodes import Episodes
from transfer.data.measured.measure import check_bounds, measure
from transfer.errors import TransferError, UnknownKind, check_type, unknown
from transfer.models.adapter import Adapter
from transfer.models.mlp import MLPPolicy
from transfer.models.provenance import CONTEXT, Provenance
from transfer.models.sequence_model import TransferModel
from transfer.models.steps.adapter_config import TUNING, AdapterConfig
from transfer.models.steps.method import Method, make_method
from transfer.models.trunk import DEFAULT_METHOD, Trunk, TrunkConfig
from transfer.recipes.programs.arguments import Model
from transfer.recipes.programs.modes import EVERY_GROUP, Mode, named, prepare_trunk
from transfer.registry import PartSpec, complete, resolve

INHERITED = ("none", "action")
logger = logging.getLogger(__name__)


def build_model(
    mode: Mode,
    trunk: Trunk | None,
    episodes: Episodes,
    sizes: TrunkConfig,
    config: AdapterConfig,
    source: Adapter | None,
    inherit_from_source: str,
    seed: int,
    context: int = CONTEXT,
    any_body: bool = False,
    method: PartSpec = DEFAULT_METHOD,
) -> tuple[Model, list[str]]:
    """A model with new parts, and the tensors that its adapter took over from `source`.

    Raises:
        TransferError: see `transfer.recipes.programs.adapt.adapt`.
    """
    if not isinstance(inherit_from_source, str) or inherit_from_source not in INHERITED:
        raise unknown("inherit_from_source", inherit_from_source, INHERITED)
    steps = make_method(method)
    if mode.trunk == "none":  # an MLP with as many parameters as `embeddings` trains on a trunk of this size
        twin = build_adapter(episodes, sizes, config, seed, method=method)
        numbers = sum(p.numel() for p in twin.parameters())
        hidden = MLPPolicy.hidden_for(episodes.env_spec, numbers, len(steps.conditions()))
        return MLPPolicy(episodes.env_spec, measure(episodes), hidden, seed, method, steps.fit(episodes)), []
    mine = prepare_trunk(mode, trunk, sizes, seed, method)
    asked = [inherit_from_source] if inherit_from_source != "none" and mode.trunk != "own" else []
    if source is None and (mode.inherits or asked):
        wanted = ", ".join(named(mode.inherits, steps) or asked)
        raise TransferError(f"mode '{mode.name}' takes over {wanted}: give the adapter the trunk came with.")
    # Parts that stay as they are were fitted to the source's scales and bins, and trained together with its tuning and
    # with its own embeddings in the place of the trunk's.
    like, shared = source if mode.inherits else None, steps.names_of_shared()
    beside = [part for part in (() if like is None else like.parts()) if part == TUNING or part in shared]
    if like is not None and TUNING in beside and (TUNING not in mode.parts or config.tuning is None):
        config = replace(config, tuning=like.config.of(TUNING))
    lacking = [name for name in shared if name not in mine.shared]
    wanted_own = (*named(mode.parts, steps), *beside, *lacking)
    adapter = build_adapter(
        episodes,
        mine.config,
        config,
        seed,
        method=method,
        own=[name for name in shared if name in wanted_own],
        tuning=TUNING in (*mode.parts, *beside),
        like=like,
        context=context,
        any_body=any_body,
    )
    trained = _learned(mode.parts, steps, adapter)
    kept = [name for name in _learned(mode.inherits, steps, adapter) if name not in trained]
    if source is not None and kept:
        _check_body(mode, source, episodes, kept, any_body)
    taken = dict.fromkeys([*(kept or asked), *beside])
    inherited = [name for part in taken for name in inherit(adapter, source, part)] if source is not None else []
    _check_untrained(mode, (*trained, *lacking), adapter, inherited)
    return TransferModel(mine, adapter), inherited


def go_on(
    mode: Mode,
    trunk: Trunk | None,
    episodes: Episodes,
    start: Adapter,
    config: AdapterConfig,
    seed: int,
    context: int,
    any_body: bool = False,
) -> tuple[TransferModel, list[str]]:
    """A model with a copy of an adapter, and the tensors of that copy.

    The copy keeps scales and bins; what is asked for by default is measured on the episodes. A tuning, and embeddings
    in the place of the trunk's, are new where the mode trains them and `start` has none.

    Raises:
        TransferError: see `transfer.recipes.programs.adapt.adapt`.
    """
    if mode.trunk not in ("pretrained", "copy"):
        raise TransferError(
            f"mode '{mode.name}' does not run the trunk that start was made on. Leave start out, or use mode "
            "'embeddings' or 'full'."
        )
    steps = make_method(start.method)
    sizes = [(spec.state_size, spec.action_size) for spec in (start.env_spec, episodes.env_spec)]
    if sizes[0] != sizes[1]:
        raise TransferError(
            f"start is for '{start.env_spec.name}' ({sizes[0][0]} states, {sizes[0][1]} actions), the episodes are of "
            f"'{episodes.env_spec.name}' ({sizes[1][0]} states, {sizes[1][1]} actions). Leave start out: a new adapter "
            "is needed."
        )
    check_body(start.env_spec, episodes.env_spec, "start", any_body)
    arguments, kinds = start.arguments(), config
    if TUNING in arguments:
        kinds = replace(config, tuning=start.config.tuning)
    elif TUNING in mode.parts:
        arguments[TUNING], kinds = {}, replace(config, tuning=config.of(TUNING))
    if mode.tuning and mode.tuning != kinds.of(TUNING).kind:
        raise TransferError(
            f"mode '{mode.name}' trains {mode.tuning}, start has {kinds.of(TUNING).kind}. Use mode "
            f"'{mode.name.removesuffix(mode.tuning)}{TUNING}'."
        )
    learned = start.parts()
    anew = {
        name: given for name, given in steps.fit(episodes).items() if not any(True for _ in learned[name].parameters())
    }
    arguments |= anew  # what is measured and not learned
    arguments |= {name: {} for name in named(mode.parts, steps) if name in steps.conditions() and name not in arguments}
    # The calibration was measured with other weights, and returns to ask for are those of the data.
    statistics = replace(start.statistics, calibration=None, return_quantiles=measure(episodes).return_quantiles)
    check_bounds(episodes, statistics, kinds.out_of_bounds)
    provenance = Provenance(context=context, datasets=episodes.dataset_ids, content_hash=episodes.content_hash)
    shape = start.width, start.depth
    adapter = Adapter(kinds, arguments, episodes.env_spec, statistics, *shape, start.method, provenance, seed)
    other = ("scales", *anew)
    known = {name: x for name, x in start.state_dict().items() if name.partition(".")[0] not in other}
    adapter.load_state_dict({**adapter.state_dict(), **known})
    return TransferModel(prepare_trunk(mode, trunk, TrunkConfig(), seed, start.method), adapter), list(known)


def trained_parts(mode: Mode, model: Model, inherited: Sequence[str] = ()) -> list[str]:
    """Names of the parts of a model that a mode trains.

    Embeddings that the trunk lacks train with the groups; in other modes those that were not inherited do.
    """
    if isinstance(model, MLPPolicy):
        return list(mode.parts)
    have = model.parts()
    taken = set() if EVERY_GROUP in mode.parts else {name.partition(".")[0] for name in inherited}
    lacking = [name for name in model.shared if name in have and name not in model.trunk.shared and name not in taken]
    return list(dict.fromkeys([*_learned(mode.parts, model.method, model.adapter), *lacking]))


def _learned(parts: Sequence[str], method: Method, adapter: Adapter) -> list[str]:
    """Names of the parts with parameters that those of a mode stand for; extras of the method count as its groups."""
    extras = method.extras if EVERY_GROUP in parts else ()
    have = {name for name, part in adapter.parts().items() if any(True for _ in part.parameters())} | {"trunk"}
    return [name for name in (*named(parts, method), *extras) if name in have]


def _check_body(mode: Mode, source: Adapter, episodes: Episodes, kept: Sequence[str], any_body: bool) -> None:
    """Refuse a source for another body whose parts are kept as they are; parts for fewer numbers fit nothing."""
    theirs, mine = source.env_spec, episodes.env_spec
    if "action" in kept and theirs.action_size > mine.action_size:
        raise TransferError(
            f"mode '{mode.name}' keeps the action part of the source adapter, for {theirs.action_size} numbers of "
            f"'{theirs.name}'; '{mine.name}' has {mine.action_size}. Use mode 'embeddings'."
        )
    if theirs.action_size == mine.action_size and ("state" not in kept or theirs.state_size == mine.state_size):
        check_body(theirs, mine, "the source adapter", any_body)


def _check_untrained(mode: Mode, trained: Sequence[str], adapter: Adapter, inherited: list[str]) -> None:
    """Refuse a mode with a part that neither trains nor was taken over whole, whatever its bins."""
    taken = {name.removesuffix(BY_VALUE) for name in inherited}
    for part, module in adapter.parts().items():
        names = {f"{part}.{name}" for name, _ in module.named_parameters()}
        if part not in trained and not names <= taken:
            raise TransferError(
                f"mode '{mode.name}' would run the untrained {', '.join(sorted(names - taken))}: the source "
                f"adapter has nothing of that shape for '{adapter.env_spec.name}'. Use mode 'embeddings'."
            )


def kinds_for(trunk: Trunk | None, config: AdapterConfig | None, source: Adapter | None) -> AdapterConfig:
    """The kinds in `config`, else the source adapter's, else those that the trunk was trained with, else the default.

    A layout of tokens that the trunk never saw is logged.

    Raises:
        TransferError: an argument of another type, or a trunk whose record was edited.
    """
    if source is not None:
        check_type(source, Adapter, "source", "Load one with Adapter.load(folder).")
    if config is None:
        return source.config if source is not None else recorded(trunk) or AdapterConfig()
    check_type(config, AdapterConfig, "adapter_config")
    with suppress(TransferError):  # an unreadable record does not matter where the caller names the kinds
        known = recorded(trunk)
        if known is not None and _layout(known.action.kind) != _layout(config.action.kind):
            logger.warning(
                "the trunk was trained with %s (%s), this adapter has %s (%s), which it never saw. Without "
                "adapter_config it gets the first.",
                *(_layout(known.action.kind), known.action.kind, _layout(config.action.kind), config.action.kind),
            )
    return config


def check_others(config: AdapterConfig | None, method: PartSpec) -> None:
    """Raise TransferError where somebody named kinds of groups that the method does not have."""
    steps = make_method(method)
    groups = [name for name in steps.groups if name not in (*steps.conditions(), "state", "action")]
    for name in config.others if config is not None else ():
        if name not in groups:
            raise unknown(f"group in adapter_config.others for the method '{method.kind}'", name, groups)


def method_for(trunk: Trunk | None, method: str | PartSpec | None) -> PartSpec:
    """The method asked for, else the one that a trunk was pretrained with, else the default.

    Raises:
        TransferError: an unknown kind, or an option that it does not take.
    """
    if method is None:
        return trunk.method if trunk is not None else DEFAULT_METHOD
    return complete("method", PartSpec.of(method, "method"))


def _layout(action: str) -> str:
    """The number of tokens that an action embedding makes of an action, in words."""
    spread = getattr(resolve("action", action), "spread", None)
    if spread is None:  # a user's own embedding that does not say
        return action
    return "a token for each action dimension" if spread else "one token for an action"


def recorded(trunk: Trunk | None) -> AdapterConfig | None:
    """The kinds of the adapter that a trunk was last trained with; None where its record has none.

    Raises:
        TransferError: the record was edited.
    """
    kinds = trunk.provenance.adapter if trunk is not None else None
    if kinds is None:
        return None
    try:
        return AdapterConfig.from_json(kinds)
    except TransferError as error:
        remedy = f" {error.remedy}" if isinstance(error, UnknownKind) else ""
        raise TransferError(f"the trunk's record of its adapter cannot be read: {error}{remedy}") from error
