"""Adapt a trunk to an environment: the library call behind every mode."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from transfer import registry
from transfer.adapters.build import build_adapter
from transfer.adapters.inherit import BY_VALUE, inherit
from transfer.data.environment.belonging import check_body
from transfer.data.episodes import Episodes
from transfer.data.measured.measure import measure
from transfer.errors import TransferError, check_type, unknown
from transfer.models.adapter import Adapter, check_pair
from transfer.models.mlp import MLPPolicy
from transfer.models.provenance import CONTEXT
from transfer.models.sequence_model import TransferModel
from transfer.models.steps.adapter_config import TUNING, AdapterConfig
from transfer.models.steps.method import Method
from transfer.models.trunk import DEFAULT_METHOD, Trunk, TrunkConfig
from transfer.numbers import flag
from transfer.recipes.programs.arguments import LESS, MAKE_EPISODES, MAKE_TRUNK, Model, Training
from transfer.recipes.programs.kinds import kinds_for, method_for
from transfer.recipes.programs.modes import (
    EVERY_GROUP,
    Mode,
    find_modes,
    named,
    prepare_trunk,
    trained_last,
    with_tuning,
)
from transfer.registry import PartSpec
from transfer.runtime.memory import said_when_exhausted
from transfer.runtime.process import isolated
from transfer.storage.fingerprints import fingerprint
from transfer.storage.snapshot import lent, snapshot
from transfer.training.callbacks import Callback
from transfer.training.fit import FitResult
from transfer.training.train_config import TrainConfig
from transfer.training.updates import check_weights

INHERITED = ("none", "action")


@dataclass(frozen=True, repr=False)
class AdaptResult:
    """The result of `adapt`.

    Attributes:
        model: ready to evaluate; `model.trunk` is the very trunk that was given where the mode freezes it and it lies
            on the device of the training.
        fit: what trained, for how long, and the loss at the end.
        before, after: fingerprints of the model's trunk; None for `mlp`.
        inherited: tensors taken over from the source adapter.
    """

    model: Model
    fit: FitResult
    before: str | None
    after: str | None
    inherited: tuple[str, ...]

    @property
    def adapter(self) -> Adapter:
        """The adapter that was trained."""
        if isinstance(self.model, MLPPolicy):
            raise TransferError("mode 'mlp' trains a policy without trunk and adapter.")
        return self.model.adapter

    def __repr__(self) -> str:
        """One line."""
        return f"AdaptResult({self.model.env_spec.name}: {self.fit})"


@said_when_exhausted(LESS)
@isolated()
def adapt(
    trunk: Trunk | None,
    episodes: Episodes,
    mode: str = "embeddings+ia3",
    *,
    steps: int | None = None,
    config: TrainConfig | None = None,
    method: str | PartSpec | None = None,
    adapter_config: AdapterConfig | None = None,
    trunk_config: TrunkConfig | None = None,
    source: Adapter | None = None,
    inherit_from_source: str = "none",
    any_trunk: bool = False,
    any_body: bool = False,
    seed: int = 0,
    device: str | torch.device = "cpu",
    precision: str | torch.dtype | None = None,
    compile: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool = False,
    callbacks: Sequence[Callback] = (),
) -> AdaptResult:
    """Train an adapter for the environment of some episodes around a trunk.

    Args:
        trunk: pretrained; a frozen mode leaves it untouched, which is checked. None for `scratch-*` and `mlp`.
        episodes: the target environment's data.
        mode: see `transfer.recipes.programs.modes.MODES`.
        steps: updates, in place of `config.steps`.
        config: of the training.
        method: kind of the method, or a kind with options; default: the one that the trunk was pretrained with, else
            "dt".
        adapter_config: kinds of the adapter's parts; default: those of `source`, else those that the trunk was trained
            with, else the library's. A layout of tokens that the trunk never saw is taken, and logged.
        trunk_config: size of the trunk of `scratch-*`, and of the one that `mlp` is measured by, where no trunk is
            given; default: the library's.
        source: the adapter the trunk was pretrained with; needed where parts are inherited.
        inherit_from_source: "none" or "action", see `transfer.adapters.inherit.inherit`.
        any_trunk: take a `source` that was made on another trunk of the same shape.
        any_body: let a mode that keeps the state embedding of `source` keep it for another body of the same sizes.
        seed: of weights, windows and noise.
        device: where to train: "cpu", "cuda", "cuda:1", "mps", or "auto" for a GPU where there is one. A trunk that
            lies elsewhere is copied there.
        precision: of the trunk's products: "float32", "bfloat16", the dtype, or "auto" (None) for the faster one.
        compile: see `transfer.training.fit.fit`.
        checkpoint: folder for the state of an unfinished run.
        progress: show a bar on stderr.
        callbacks: see `transfer.training.callbacks.Callback`.

    Raises:
        TransferError: an argument of a wrong type or value, data and settings that do not fit together, a mode whose
            untrained parts cannot be inherited, a source of another trunk or body, a loss or weights that are not
            finite, a trunk that changed.
    """
    chosen = find_modes([mode])
    if len(chosen) > 1:
        raise TransferError(f"'{mode}' stands for {' and '.join(m.name for m in chosen)}; adapt() takes one of them.")
    training = Training(config, steps, seed, device, precision, compile, checkpoint, progress, callbacks)
    check_type(episodes, Episodes, "episodes", MAKE_EPISODES)
    any_trunk, any_body = flag(any_trunk, "any_trunk"), flag(any_body, "any_body")
    sizes = _sizes(trunk, trunk_config)
    kinds = with_tuning(chosen[0], kinds_for(trunk, adapter_config, source))
    if source is not None:
        _check_source(chosen[0], trunk, source, episodes, any_trunk, any_body)
    way = method_for(trunk, method)
    ours = _ours(trunk, training.device)
    model, inherited = build_model(
        chosen[0],
        ours,
        episodes,
        sizes,
        kinds,
        source,
        inherit_from_source,
        training.seed,
        training.config.context,
        any_body,
        way,
    )
    model.to(training.device)
    before = _trunk_of(model)
    result = training.run(model, {"": episodes}, trained_parts(chosen[0], model), f"adapt {mode}")
    after = _trunk_of(model)
    if chosen[0].frozen and before != after:
        raise TransferError(f"the trunk changed although mode '{mode}' freezes it: {before} before, {after} after.")
    if isinstance(model, TransferModel):
        facts = training.facts(mode)
        model.adapter.made_on(model.trunk, training=facts, inherited=inherited)
        if not chosen[0].frozen:
            old, facts = model.trunk.provenance, {**facts, "context": model.context}
            model.trunk.provenance = trained_last(old, [episodes], model.adapter.config, facts, str(before))
        if trunk is not None and model.trunk is ours and _lies_on(trunk, training.device):
            model.trunk = trunk
    return AdaptResult(model, result, before, after, tuple(inherited))


def _sizes(trunk: Trunk | None, trunk_config: TrunkConfig | None) -> TrunkConfig:
    """The size of a trunk. Raises TransferError for something of another type, or a size that is not the trunk's."""
    sizes = TrunkConfig() if trunk_config is None else check_type(trunk_config, TrunkConfig, "trunk_config")
    if trunk is None:
        return sizes
    check_weights(check_type(trunk, Trunk, "trunk", MAKE_TRUNK), "the trunk")
    if trunk_config is not None and trunk_config != trunk.config:
        raise TransferError(f"trunk_config={trunk_config} is not that of the trunk, {trunk.config}. Leave it out.")
    return trunk.config


def _ours(trunk: Trunk | None, device: torch.device) -> Trunk | None:
    """A trunk to train around: the caller's tensors where they lie on the device, in modules and parameters of our own.

    Freezing and training mode are set on these, so several threads can adapt around one trunk at a time.
    """
    if trunk is None:
        return None
    return lent(trunk) if _lies_on(trunk, device) else snapshot(trunk).to(device)


def _lies_on(trunk: Trunk, device: torch.device) -> bool:
    return trunk.ln_in.weight.device == torch.empty(0, device=device).device


def trained_parts(mode: Mode, model: Model) -> list[str]:
    """Names of the parts of a model that a mode trains, those that the trunk lacks too."""
    if isinstance(model, MLPPolicy):
        return list(mode.parts)
    lacking = [name for name in model.adapter.parts() if name in model.shared and name not in model.trunk.shared]
    return list(dict.fromkeys([*named(mode.parts, model.method), *lacking]))


def _trunk_of(model: Model) -> str | None:
    """Fingerprint of a model's trunk, where it has one."""
    return fingerprint(model.trunk) if isinstance(model, TransferModel) else None


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
    """The model of a mode before its first step, and the tensors that its adapter took over.

    Raises:
        TransferError: see `adapt`.
    """
    if not isinstance(inherit_from_source, str) or inherit_from_source not in INHERITED:
        raise unknown("inherit_from_source", inherit_from_source, INHERITED)
    if mode.trunk == "none":  # an MLP with as many parameters as `embeddings+tuning` trains on a trunk of this size
        twin = build_adapter(episodes, sizes, config, seed, method=method, tuning=True)
        hidden = MLPPolicy.hidden_for(episodes.env_spec, sum(p.numel() for p in twin.parameters()))
        return MLPPolicy(episodes.env_spec, measure(episodes), hidden, seed), []
    mine = prepare_trunk(mode, trunk, sizes, seed, method)
    steps: Method = registry.build("method", method)
    trained, kept = named(mode.parts, steps), named(mode.inherits, steps)
    asked = (inherit_from_source,) if inherit_from_source != "none" else ()
    whole = () if mode.trunk == "own" else kept or asked  # from scratch means that nothing is taken over
    if whole and source is None:
        raise TransferError(f"mode '{mode.name}' takes over {', '.join(whole)}: give the adapter the trunk came with.")
    # Parts that stay as they are were fitted to the source's scales and bins, and trained together with its extras.
    like = source if mode.inherits else None
    groups, shared = named((EVERY_GROUP,), steps), steps.names_of_shared()
    theirs = like.parts() if like is not None else ()
    beside = [part for part in theirs if part not in groups]
    if like is not None and TUNING in beside and (TUNING not in trained or config.tuning is None):
        config = replace(config, tuning=like.config.of(TUNING))
    lacking = [name for name in shared if name not in mine.shared]
    own = [name for name in shared if name in (*trained, *beside, *lacking)]
    adapter = build_adapter(
        episodes,
        mine.config,
        config,
        seed,
        method=method,
        own=own,
        tuning=TUNING in (*trained, *beside),
        like=like,
        context=context,
        any_body=any_body,
    )
    taken = (*whole, *beside)
    inherited = [name for part in taken for name in inherit(adapter, source, part)] if source is not None else []
    _check_untrained(mode, (*trained, *lacking), adapter, inherited)
    return TransferModel(mine, adapter), inherited


def _check_source(
    mode: Mode, trunk: Trunk | None, source: Adapter, episodes: Episodes, any_trunk: bool, any_body: bool
) -> None:
    """Refuse a source adapter of another trunk, or one whose state embedding is for another body."""
    check_weights(source, "the source adapter")
    if trunk is not None and mode.needs_pretraining:
        check_pair(trunk, source, any_trunk, "the source adapter")
    if {"state", EVERY_GROUP} & set(mode.inherits) and source.env_spec.state_size == episodes.state_size:
        check_body(source.env_spec, episodes.env_spec, "the source adapter", any_body)


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
