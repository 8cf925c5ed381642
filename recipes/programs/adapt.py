"""Adapt a trunk to an environment: the library call behind every mode."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from transfer.data.episodes import Episodes
from transfer.errors import TransferError, check_type
from transfer.models.adapter import Adapter, check_pair
from transfer.models.mlp import MLPPolicy
from transfer.models.sequence_model import TransferModel
from transfer.models.steps.adapter_config import TUNING, AdapterConfig
from transfer.models.trunk import Trunk, TrunkConfig
from transfer.numbers import flag
from transfer.recipes.programs.arguments import LESS, MAKE_EPISODES, MAKE_TRUNK, Model, Training
from transfer.recipes.programs.building import build_model, check_others, go_on, kinds_for, method_for, trained_parts
from transfer.recipes.programs.modes import Mode, find_modes, trained_last, with_tuning
from transfer.registry import PartSpec
from transfer.runtime.memory import said_when_exhausted
from transfer.runtime.process import isolated
from transfer.storage.fingerprints import fingerprint
from transfer.storage.snapshot import lent, snapshot
from transfer.training.callbacks import Callback
from transfer.training.fit import FitResult
from transfer.training.train_config import TrainConfig
from transfer.training.updates import check_weights

logger = logging.getLogger(__name__)


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
    start: Adapter | None = None,
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
        mode: see `transfer.recipes.programs.modes.MODES`. All take `steps`: "scratch-total" is longer in a run alone.
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
        start: an adapter for these episodes' body to go on from, with its scales and bins; it is copied. Its method
            and kinds are kept, and without `config` its context. Returns to ask for are those of the episodes.
        any_trunk: take a `source` or `start` that was made on another trunk of the same shape.
        any_body: let a mode that keeps the state embedding of `source` keep it for another body of the same sizes, and
            go on from a `start` for one.
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
            untrained parts cannot be inherited, a source or start of another trunk or body, a loss or weights that are
            not finite, a trunk that changed.
    """
    chosen = find_modes([mode])
    if len(chosen) > 1:
        raise TransferError(f"'{mode}' stands for {' and '.join(m.name for m in chosen)}; adapt() takes one of them.")
    training = Training(config, steps, seed, device, precision, compile, checkpoint, progress, callbacks)
    check_type(episodes, Episodes, "episodes", MAKE_EPISODES)
    any_trunk, any_body = flag(any_trunk, "any_trunk"), flag(any_body, "any_body")
    sizes = _sizes(trunk, trunk_config)
    ours = _ours(trunk, training.device)
    model: Model
    if start is not None:
        kinds = with_tuning(chosen[0], _kinds_of(trunk, start, adapter_config, any_trunk), adapter_config is not None)
        _check_start(start, method, source, inherit_from_source)
        context = start.context if config is None else training.config.context
        if context != start.context:
            logger.warning("start was trained on windows of %d steps, config says %d.", start.context, context)
        training.config = replace(training.config, context=context)
        model, inherited = go_on(chosen[0], ours, episodes, start, kinds, training.seed, context, any_body)
    else:
        kinds = with_tuning(chosen[0], kinds_for(trunk, adapter_config, source), adapter_config is not None)
        way = method_for(trunk, method)
        check_others(adapter_config, way)
        if inherit_from_source == "action" and not chosen[0].needs_pretraining:
            raise TransferError(f"mode '{chosen[0].name}' takes nothing over: leave inherit_from_source='action' out.")
        if source is not None:
            _check_source(chosen[0], trunk, source, any_trunk)
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
    result = training.run(model, {"": episodes}, trained_parts(chosen[0], model, inherited), f"adapt {mode}")
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


def _trunk_of(model: Model) -> str | None:
    """Fingerprint of a model's trunk, where it has one."""
    return fingerprint(model.trunk) if isinstance(model, TransferModel) else None


def _check_source(mode: Mode, trunk: Trunk | None, source: Adapter, any_trunk: bool) -> None:
    """Refuse a source adapter of another trunk."""
    check_weights(source, "the source adapter")
    if trunk is not None and mode.needs_pretraining:
        check_pair(trunk, source, any_trunk, "the source adapter")


def _kinds_of(trunk: Trunk | None, start: Adapter, config: AdapterConfig | None, any_trunk: bool) -> AdapterConfig:
    """The kinds of the parts of an adapter to go on from, and of a tuning that it may lack.

    Raises:
        TransferError: no adapter, one of another trunk, or a config of other kinds.
    """
    check_type(start, Adapter, "start", "Load one with Adapter.load(folder).")
    check_weights(start, "the adapter to start from")
    if trunk is None:
        raise TransferError("start goes on from an adapter on its trunk: give the trunk, too.")
    check_pair(trunk, start, any_trunk, "the adapter to start from")
    mine = replace(start.config, tuning=start.config.tuning if TUNING in start.parts() else None)
    if config is None:
        return mine
    check_type(config, AdapterConfig, "adapter_config")
    if replace(config, tuning=None) not in (replace(mine, tuning=None), AdapterConfig()):
        raise TransferError(
            f"adapter_config names other parts than start has, {start}. Leave it out, or name nothing but a tuning."
        )
    if mine.tuning is None:
        return replace(mine, tuning=config.tuning)
    if config.tuning not in (None, mine.tuning):
        raise TransferError(
            f"adapter_config names the tuning {config.tuning.to_json()}, start has {mine.tuning.to_json()}, which goes "
            "on. Leave it out, or start from an adapter without a tuning."
        )
    return mine


def _check_start(
    start: Adapter, method: str | PartSpec | None, source: Adapter | None, inherit_from_source: str
) -> None:
    """Refuse arguments that say otherwise than an adapter to go on from."""
    if source is not None or inherit_from_source != "none":
        raise TransferError(
            "start and source: an adapter that goes on from another one takes nothing over from a third. Leave source "
            "and inherit_from_source out."
        )
    if method is not None and method_for(None, method) != start.method:
        raise TransferError(f"start was trained with the method '{start.method.kind}'. Leave method out.")
