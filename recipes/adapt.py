"""Adapting a trunk to an environment: the library call behind every mode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from transfer.adapter import Adapter, AdapterConfig
from transfer.adapters.build import build_adapter
from transfer.adapters.inheriting import BY_VALUE, inherit
from transfer.adapters.measuring import measure
from transfer.episodes import Episodes
from transfer.errors import TransferError
from transfer.freezing import Selection
from transfer.identity import check_body, check_pair, fingerprint
from transfer.mlp import MLPPolicy
from transfer.model import TransferModel
from transfer.process import isolated
from transfer.recipes.hooks import with_model
from transfer.recipes.modes import Mode, find_modes, prepare_trunk
from transfer.sampler import WindowSampler
from transfer.training import FitResult, OnLog, TrainConfig, fit
from transfer.trunk import Trunk, TrunkConfig

Model = TransferModel | MLPPolicy


@dataclass(frozen=True)
class AdaptResult:
    """What adapting leaves behind.

    Attributes:
        model: ready to evaluate; `model.trunk` is the very trunk that was given where the mode freezes it.
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


@isolated()
def adapt(
    trunk: Trunk | None,
    episodes: Episodes,
    mode: str = "embeddings+ia3",
    *,
    steps: int | None = None,
    config: TrainConfig | None = None,
    adapter_config: AdapterConfig | None = None,
    trunk_config: TrunkConfig | None = None,
    source: Adapter | None = None,
    inherit_from_source: str = "none",
    any_trunk: bool = False,
    any_body: bool = False,
    seed: int = 0,
    device: str = "cpu",
    precision: torch.dtype | None = None,
    compile: bool = False,
    checkpoint: Path | None = None,
    on_start: Callable[[Selection, int], None] | None = None,
    on_log: OnLog | None = None,
    on_step: Callable[[int, Model], None] | None = None,
) -> AdaptResult:
    """Train an adapter for the environment of some episodes around a trunk.

    Args:
        trunk: pretrained; a frozen mode leaves it untouched, which is checked. None for `scratch-*`.
        episodes: the target environment's data.
        mode: see `transfer.recipes.modes.MODES`.
        steps: updates, in place of `config.steps`.
        config: how to train.
        adapter_config: kinds of the adapter's parts; default: those of `source`, or the library's.
        trunk_config: size of the trunk of `scratch-*`, and of the one that `mlp` is measured by, where no trunk is
            given; default: the library's.
        source: the adapter the trunk was pretrained with; needed where parts are inherited.
        inherit_from_source: "none" or "action", see `transfer.adapters.inheriting.inherit`.
        any_trunk: take a `source` that was made on another trunk of the same shape.
        any_body: let a mode that keeps the state embedding of `source` keep it for another body of the same sizes.
        seed: of weights, windows and noise.
        device: where to train.
        precision: of the trunk's products; None chooses the fastest that the device has.
        compile: see `transfer.training.fit`.
        checkpoint: folder for the state of an unfinished run.
        on_start: see `transfer.training.fit`.
        on_log: see `transfer.training.fit`.
        on_step: called after every step with its number and the model; see `with_model` for resumed runs.

    Raises:
        TransferError: an unknown mode, a mode whose untrained parts cannot be inherited, a source of another trunk or
            body, a trunk that changed.
    """
    chosen = find_modes([mode])
    if len(chosen) > 1:
        raise TransferError(f"'{mode}' stands for {' and '.join(m.name for m in chosen)}; adapt() takes one of them.")
    config = config or TrainConfig()
    config = config if steps is None else replace(config, steps=steps)
    trunk = trunk.to(device) if trunk is not None else None
    sizes = trunk.config if trunk is not None else trunk_config or TrunkConfig()
    if source is not None:
        _check_source(chosen[0], trunk, source, episodes, any_trunk, any_body)
    model, inherited = build_model(
        chosen[0], trunk, episodes, sizes, adapter_config, source, inherit_from_source, seed, config.context, any_body
    )
    model.to(device)
    before = fingerprint(model.trunk) if isinstance(model, TransferModel) else None
    result = fit(
        model,
        WindowSampler(episodes, config.context, config.batch_size, seed, device),
        config,
        list(chosen[0].parts),
        precision=precision,
        compile=compile,
        checkpoint=checkpoint,
        on_log=on_log,
        **with_model(model, on_start, on_step),
    )
    model.eval()
    after = fingerprint(model.trunk) if isinstance(model, TransferModel) else None
    if chosen[0].frozen and before != after:
        raise TransferError(f"the trunk changed although mode '{mode}' freezes it: {before} before, {after} after.")
    if isinstance(model, TransferModel):
        training = {"mode": mode, "seed": seed, "steps": config.steps, "context": config.context}
        model.adapter.record |= {"trunk": after, "training": training, "inherited": list(inherited)}
    return AdaptResult(model, result, before, after, tuple(inherited))


def build_model(
    mode: Mode,
    trunk: Trunk | None,
    episodes: Episodes,
    sizes: TrunkConfig,
    config: AdapterConfig | None,
    source: Adapter | None,
    inherit_from_source: str,
    seed: int,
    context: int = 20,
    any_body: bool = False,
) -> tuple[Model, list[str]]:
    """The model of a mode before its first step, and what its adapter took over.

    Raises:
        TransferError: see `adapt`.
    """
    config = config or (source.config if source is not None else AdapterConfig())
    if mode.trunk == "none":
        return _mlp(episodes, config, sizes, seed), []
    mine = prepare_trunk(mode, trunk, sizes, seed)
    asked = (inherit_from_source,) if inherit_from_source != "none" else ()
    whole = () if mode.trunk == "own" else mode.inherits or asked  # from scratch means that nothing is taken over
    if whole and source is None:
        raise TransferError(f"mode '{mode.name}' takes over {', '.join(whole)}: give the adapter the trunk came with.")
    extras, like = (mode.ia3, mode.conditioning), _shared(mode, source)
    adapter = build_adapter(episodes, mine.config, config, seed, *extras, like, context, any_body)
    inherited = [name for part in whole for name in inherit(adapter, source, part)] if source is not None else []
    _check_untrained(mode, adapter, inherited)
    return TransferModel(mine, adapter), inherited


def _check_source(
    mode: Mode, trunk: Trunk | None, source: Adapter, episodes: Episodes, any_trunk: bool, any_body: bool
) -> None:
    """Refuse a source adapter that means nothing to this trunk, or whose state embedding is for another body."""
    if trunk is not None and mode.needs_pretraining:
        check_pair(trunk, source, any_trunk, "the source adapter")
    if "state" in mode.inherits and source.env_spec.state_size == episodes.state_size:
        check_body(source.env_spec, episodes.env_spec, "the source adapter", any_body)


def _shared(mode: Mode, source: Adapter | None) -> Adapter | None:
    """The adapter whose statistics and bins a new one must share, because parts fitted to them stay as they are."""
    return source if mode.inherits else None


def _check_untrained(mode: Mode, adapter: Adapter, inherited: list[str]) -> None:
    """Refuse a mode that would run a part that neither trains nor was taken over whole, at whatever bins."""
    taken = {name.removesuffix(BY_VALUE) for name in inherited}
    for part, module in adapter.parts().items():
        names = {f"{part}.{name}" for name, _ in module.named_parameters()}
        if part not in mode.parts and not names <= taken:
            raise TransferError(
                f"mode '{mode.name}' would run the untrained {', '.join(sorted(names - taken))}: the source "
                f"adapter has nothing of that shape for '{adapter.env_spec.name}'. Use mode 'embeddings'."
            )


def _mlp(episodes: Episodes, config: AdapterConfig, trunk: TrunkConfig, seed: int) -> MLPPolicy:
    """An MLP with as many numbers as `embeddings+ia3` trains on a trunk of this size."""
    twin = build_adapter(episodes, trunk, config, seed, ia3=True)
    hidden = MLPPolicy.hidden_for(episodes.env_spec, sum(p.numel() for p in twin.parameters()))
    return MLPPolicy(episodes.env_spec, measure(episodes), hidden, seed)
