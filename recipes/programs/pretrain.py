"""Pretrain a trunk and the adapter of the source environment, together, from random weights."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from transfer.adapters.build import build_adapter
from transfer.data.episodes import Episodes
from transfer.errors import TransferError, check_type
from transfer.models.adapter import Adapter
from transfer.models.mixed_model import MixedModel, Weights
from transfer.models.sequence_model import TransferModel
from transfer.models.steps.adapter_config import AdapterConfig
from transfer.models.trunk import DEFAULT_METHOD, Trunk, TrunkConfig
from transfer.numbers import seen
from transfer.recipes.programs.arguments import LESS, MAKE_EPISODES, Training
from transfer.recipes.programs.building import check_others, method_for
from transfer.recipes.programs.modes import new_trunk, trained_last
from transfer.recipes.programs.source_names import NAME, default_name
from transfer.registry import PartSpec
from transfer.runtime.memory import said_when_exhausted
from transfer.runtime.process import isolated
from transfer.training.callbacks import Callback
from transfer.training.fit import FitResult
from transfer.training.train_config import TrainConfig

Sources = Episodes | Sequence[Episodes] | Mapping[str, Episodes]


@dataclass(frozen=True, repr=False)
class PretrainResult:
    """A pretrained trunk with its source adapters, and how training went.

    Attributes:
        model: of one source, or a `MixedModel` of several.
        fit: what trained, for how long, and the loss at the end.
    """

    model: TransferModel | MixedModel
    fit: FitResult

    @property
    def trunk(self) -> Trunk:
        """The trunk; `trunk.provenance` holds its seed and the fingerprint of its first weights."""
        return self.model.trunk

    @property
    def adapters(self) -> dict[str, Adapter]:
        """The adapters of the sources by name; that of one alone is called ""."""
        return {name: one.adapter for name, one in self.model.members().items() if isinstance(one, TransferModel)}

    @property
    def adapter(self) -> Adapter:
        """The adapter of the source environment. Raises TransferError where there are several."""
        if len(self.adapters) > 1:
            raise TransferError(f"there are adapters for {', '.join(self.adapters)}: result.adapters[name] is one.")
        return next(iter(self.adapters.values()))

    def __repr__(self) -> str:
        """One line."""
        names = ", ".join(adapter.env_spec.name for adapter in self.adapters.values())
        return f"PretrainResult({names}: {self.fit})"


@said_when_exhausted(LESS)
@isolated()
def pretrain(
    episodes: Sources,
    *,
    weights: Weights | None = None,
    steps: int | None = None,
    config: TrainConfig | None = None,
    trunk_config: TrunkConfig | None = None,
    method: str | PartSpec = DEFAULT_METHOD,
    adapter_config: AdapterConfig | None = None,
    seed: int = 0,
    device: str | torch.device = "cpu",
    precision: str | torch.dtype | None = None,
    compile: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool = False,
    callbacks: Sequence[Callback] = (),
) -> PretrainResult:
    """Train a trunk and the adapters of one environment or of several.

    Of several environments, a step takes as many windows of each, and each has the same weight in the objective.

    Args:
        episodes: the source environment's data; or those of several environments, in a list, whose adapters have the
            environments' names (with '-' for what is no letter or digit), or by names of your own.
        weights: of the environments in the objective, by name, or a list in their order; default: 1 each.
        steps: updates, in place of `config.steps`.
        config: of the training.
        trunk_config: size of the trunk.
        method: kind of the method, or a kind with options.
        adapter_config: kinds of the adapter's parts.
        seed: of weights, windows and noise.
        device: where to train: "cpu", "cuda", "cuda:1", "mps", or "auto" for a GPU where there is one.
        precision: of the trunk's products: "float32", "bfloat16", the dtype, or "auto" (None) for the faster one.
        compile: see `transfer.training.fit.fit`.
        checkpoint: folder for the state of an unfinished run.
        progress: show a bar on stderr.
        callbacks: see `transfer.training.callbacks.Callback`.

    Raises:
        TransferError: an argument of a wrong type or value, data and settings that do not fit together, a loss or
            weights that are not finite.
    """
    training = Training(config, steps, seed, device, precision, compile, checkpoint, progress, callbacks)
    sources = named_sources(episodes)
    sizes = TrunkConfig() if trunk_config is None else check_type(trunk_config, TrunkConfig, "trunk_config")
    kinds = AdapterConfig() if adapter_config is None else check_type(adapter_config, AdapterConfig, "adapter_config")
    way = method_for(None, method)
    check_others(adapter_config, way)
    trunk = new_trunk(sizes, training.seed, way)
    adapters = {
        name: build_adapter(one, sizes, kinds, training.seed, method=way, context=training.config.context)
        for name, one in sources.items()
    }
    alone = not isinstance(episodes, (Mapping, Sequence))
    if alone and weights is not None:
        raise TransferError(f"weights={seen(weights)}: one source has none. Give several: pretrain([a, b]).")
    model = TransferModel(trunk, adapters[""]) if alone else MixedModel(trunk, adapters, weights=weights)
    result = training.run(model.to(training.device), sources, list(model.parts()), "pretrain")
    facts, first = training.facts("pretrain"), next(iter(adapters.values()))
    last = {**facts, "context": first.context}
    trunk.provenance = trained_last(trunk.provenance, list(sources.values()), first.config, last)
    for adapter in adapters.values():
        adapter.made_on(trunk, training=facts, inherited=())
    return PretrainResult(model, result)


def named_sources(episodes: Sources) -> dict[str, Episodes]:
    """The data of each source by name; one alone is called "".

    Raises:
        TransferError: something else than episodes, none, or two sources of one name.
    """
    if isinstance(episodes, Episodes):
        return {"": episodes}
    if not isinstance(episodes, (Mapping, Sequence)) or isinstance(episodes, str) or not episodes:
        check_type(episodes, Episodes, "episodes", f"{MAKE_EPISODES} Several lie in a list, or a mapping by name.")
    each = list(episodes.values()) if isinstance(episodes, Mapping) else list(episodes)
    for one in each:
        check_type(one, Episodes, "episodes", MAKE_EPISODES)
    names = list(episodes) if isinstance(episodes, Mapping) else [default_name(one.env_spec.name) for one in each]
    for name in names:
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise TransferError(f"the source name {seen(name)}: letters, digits, '-' and '_' are needed.")
        if names.count(name) > 1:
            raise TransferError(
                f"two sources are called '{name}': join their data, or name them: pretrain({{'one': a, 'other': b}})."
            )
    return dict(zip(names, each, strict=True))
