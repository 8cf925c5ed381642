"""Building an adapter for a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from transfer import registry
from transfer.data.environment.spec import EnvironmentSpec
from transfer.data.episodes import Episodes
from transfer.data.measured.dataset_statistics import Statistics
from transfer.data.measured.measure import bounds, check_bounds, measure
from transfer.errors import check_type
from transfer.models.adapter import Adapter
from transfer.models.provenance import CONTEXT, Provenance
from transfer.models.steps.adapter_config import TUNING, AdapterConfig
from transfer.models.steps.method import make_method
from transfer.models.steps.scales import Scales
from transfer.models.trunk import DEFAULT_METHOD, TrunkConfig
from transfer.numbers import flag
from transfer.registry import PartSpec

if TYPE_CHECKING:
    from transfer.adapters.tokenizers.tokenizer import Tokenizer


def build_adapter(
    episodes: Episodes,
    trunk: TrunkConfig,
    config: AdapterConfig | None = None,
    seed: int = 0,
    *,
    method: PartSpec = DEFAULT_METHOD,
    own: Sequence[str] = (),
    tuning: bool = False,
    like: Adapter | None = None,
    context: int = CONTEXT,
    any_body: bool = False,
) -> Adapter:
    """Builds a new adapter for the environment of some episodes.

    Its statistics and tokenizer are measured on the episodes. Each part's weights depend on (seed, part) alone, so two
    modes that differ in their tuning start from the same embeddings.

    Args:
        episodes: the training data.
        trunk: config of the trunk that it plugs into.
        config: kinds of its parts.
        seed: of the weights.
        method: whose groups it has.
        own: modules that the trunk shares, of which it has copies of its own, as "return".
        tuning: whether it has the tuning of its config.
        like: an adapter whose parts will be inherited. Where the sizes are equal, its bins are used, its action bounds
            (where neither environment has bounds) and, for the same body, its state statistics.
        context: T, steps in a training window.
        any_body: use the state statistics of `like` for another body too.

    Raises:
        TransferError: an argument of another type, an unknown name in `own`, or actions outside the environment's
            bounds if the config refuses them.
    """
    check_type(episodes, Episodes, "episodes")
    check_type(trunk, TrunkConfig, "trunk")
    config = AdapterConfig() if config is None else check_type(config, AdapterConfig, "config")
    tuning, any_body = flag(tuning, "tuning"), flag(any_body, "any_body")
    if like is not None:
        check_type(like, Adapter, "like")
    if tuning:  # named where it is the default, for that may change
        config = replace(config, tuning=config.of(TUNING))
    statistics = measure(episodes)
    if like is not None:
        statistics = _shared(statistics, like, episodes.env_spec, any_body)
    check_bounds(episodes, statistics, config.out_of_bounds)
    scales, steps = Scales(statistics, episodes.env_spec), make_method(method)
    arguments: dict[str, dict[str, Any]] = {}
    bins = _bins(like, config, episodes)
    if bins is not None:
        known = {**config.action.options, "tokenizer": bins.kind, "bins": bins.bins}
        config = replace(config, action=PartSpec(config.action.kind, known))
    for name in (name for name in steps.groups if name not in steps.conditions()):
        spec = config.of(name)
        options = {**spec.options, "tokenizer": bins} if name == "action" and bins is not None else spec.options
        arguments[name] = registry.build(name, PartSpec(spec.kind, options), episodes, scales, trunk.width)
    extras = check_type(steps.fit(episodes), dict, f"what fit() of the method '{method.kind}' returns")
    arguments |= extras | {name: {} for name in own} | ({TUNING: {}} if tuning else {})
    provenance = Provenance(context=context, datasets=episodes.dataset_ids, content_hash=episodes.content_hash)
    sizes = trunk.width, trunk.depth
    return Adapter(config, arguments, episodes.env_spec, statistics, *sizes, method, provenance, seed)


def _bins(like: Adapter | None, config: AdapterConfig, episodes: Episodes) -> Tokenizer | None:
    """The tokenizer of another adapter, where the action embedding takes one and the number of actions is the same."""
    if like is None or like.env_spec.action_size != episodes.action_size or "tokenizer" not in config.action.options:
        return None
    return getattr(like.parts()["action"], "tokenizer", None)


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
