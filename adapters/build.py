"""Building an adapter for a dataset."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from transfer.adapters.measure import bounds, check_bounds, measure
from transfer.adapters.tokenizers.tokenizer import Tokenizer, make_tokenizer
from transfer.data.dataset_statistics import Statistics
from transfer.data.environment.spec import EnvironmentSpec
from transfer.data.episodes import Episodes
from transfer.errors import check_type
from transfer.models.adapter import Adapter, AdapterConfig
from transfer.models.provenance import CONTEXT, Provenance
from transfer.models.scales import ActionRange, Scales
from transfer.models.trunk import TrunkConfig
from transfer.numbers import flag
from transfer.registry import resolve


def build_adapter(
    episodes: Episodes,
    trunk: TrunkConfig,
    config: AdapterConfig | None = None,
    seed: int = 0,
    ia3: bool = False,
    conditioning: bool = False,
    like: Adapter | None = None,
    context: int = CONTEXT,
    any_body: bool = False,
) -> Adapter:
    """Builds a new adapter for the environment of some episodes.

    Its statistics and tokenizer are measured on the episodes. Each part's weights depend on (seed, part) alone, so two
    modes that differ in IA3 start from the same embeddings.

    Args:
        episodes: the training data.
        trunk: config of the trunk that it plugs into.
        config: kinds of its parts.
        seed: of the weights.
        ia3: whether it has IA3 vectors.
        conditioning: whether it has its own return embedding.
        like: an adapter whose parts will be inherited. Where the sizes are equal, its bins are used, its action bounds
            (where neither environment has bounds) and, for the same body, its state statistics.
        context: T, steps in a training window.
        any_body: use the state statistics of `like` for another body too.

    Raises:
        TransferError: an argument of another type, or actions outside the environment's bounds if the config refuses
            them.
    """
    check_type(episodes, Episodes, "episodes")
    check_type(trunk, TrunkConfig, "trunk")
    config = AdapterConfig() if config is None else check_type(config, AdapterConfig, "config")
    ia3, conditioning, any_body = flag(ia3, "ia3"), flag(conditioning, "conditioning"), flag(any_body, "any_body")
    if like is not None:
        check_type(like, Adapter, "like")
    statistics, tokenizer = measure(episodes), None
    if like is not None:
        statistics = _shared(statistics, like, episodes.env_spec, any_body)
    check_bounds(episodes, statistics, config.out_of_bounds)
    if resolve("action", config.action).tokenized or config.readout == "categorical":
        if like is not None and like.tokenizer is not None and like.env_spec.action_size == episodes.action_size:
            config = replace(config, tokenizer=like.config.tokenizer, bins=like.config.bins)
            tokenizer = like.tokenizer
        else:
            tokenizer = fit_tokenizer(config.tokenizer, config.bins, episodes, statistics)
    provenance = Provenance(context=context, datasets=episodes.dataset_ids, content_hash=episodes.content_hash)
    sizes = trunk.width, trunk.depth
    return Adapter(config, episodes.env_spec, statistics, tokenizer, *sizes, ia3, conditioning, provenance, seed)


def _shared(statistics: Statistics, like: Adapter, spec: EnvironmentSpec, any_body: bool) -> Statistics:
    """Statistics with another adapter's scales of states and actions, where sizes are equal and there are no bounds.

    A scaled action is a position between the bounds. So a side that only the other environment bounds keeps the limit
    of the data here.
    """
    old = like.statistics
    if like.env_spec.state_size == spec.state_size and (like.env_spec.body == spec.body or any_body):
        statistics = replace(statistics, state_mean=old.state_mean, state_std=old.state_std)
    if like.env_spec.action_size == spec.action_size:
        low, high = bounds(
            spec,
            _of_data(old.action_low, like.env_spec.action_low, statistics.action_low),
            _of_data(old.action_high, like.env_spec.action_high, statistics.action_high),
        )
        statistics = replace(statistics, action_low=tuple(low.tolist()), action_high=tuple(high.tolist()))
    return statistics


def _of_data(theirs: Sequence[float], bounds_there: Sequence[float], mine: Sequence[float]) -> NDArray[np.float64]:
    """Limits of the actions (A,): the other adapter's where it measured them on data, else those of the data here."""
    bounded = np.isclose(theirs, bounds_there, rtol=1e-6, atol=0)
    return np.where(bounded, mine, theirs).astype(np.float64)


def fit_tokenizer(kind: str, bins: int, episodes: Episodes, statistics: Statistics) -> Tokenizer:
    """Fits a tokenizer on the scaled actions of some episodes."""
    whole = Scales(statistics).action_range()

    def columns() -> Iterator[NDArray[np.float32]]:
        for i in range(episodes.action_size):
            column = torch.from_numpy(np.array(episodes.actions[:, i]))
            yield ActionRange(*(bound[i] for bound in whole)).inward(column).numpy()

    return make_tokenizer(kind, bins).fit_columns(columns())
