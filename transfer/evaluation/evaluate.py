"""Evaluation: whole episodes in the real environment, each with its own seed and its own slot."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer import registry
from transfer.data.environment.belonging import check_body
from transfer.data.environment.observations import summary
from transfer.data.environment.spec import EnvironmentSpec, as_spec, check_scale
from transfer.decoding.planner import check_decode, make_planner
from transfer.errors import TransferError
from transfer.evaluation.outcome import Evaluation
from transfer.evaluation.rollout import FIRST_SEED, OnEpisode, rollout
from transfer.evaluation.slots import Task, opened
from transfer.evaluation.targets import asked_of
from transfer.models.acting import Command, Planner, PolicyModel, check_model
from transfer.models.mixed_model import MixedModel
from transfer.numbers import MOST_ENVS, MOST_EPISODES, MOST_SEED, flag, seen, whole

log = logging.getLogger(__name__)


def evaluate(
    model: PolicyModel,
    env: Any = None,
    num_episodes: int = 100,
    *,
    target: float | None = None,
    target_return: float | None = None,
    ask: Mapping[str, Any] | None = None,
    num_envs: int = 100,
    decode: str = "autoregressive",
    first_seed: int = FIRST_SEED,
    trust: bool = False,
    any_body: bool = False,
    on_episode: OnEpisode | None = None,
) -> Evaluation:
    """Roll a policy out, one batched forward per step and action dimension.

    Episode i has seed first_seed + i and its own slot: nothing is reset until all episodes of a wave are over, so short
    episodes are not favoured. Environments that are done cost nothing. The weights are copied at the beginning of a
    wave. The context is the one that the model was trained with.

    Args:
        model: trunk and adapter.
        env: an environment, a Gymnasium id or spec, or an `EnvironmentSpec`; default: the adapter's.
        num_episodes: N.
        target: target score (100 = the reference expert).
        target_return: raw target return instead; default: the calibration's best, else the dataset's 95th percentile.
        ask: what else the policy is asked for, by name.
        num_envs: environments at a time; fewer than N play in waves.
        decode: see `transfer.decoding.planner.make_planner`.
        first_seed: of the environments.
        trust: build an environment that the adapter's file names and this process does not know.
        any_body: play another body than the adapter's, of the same sizes.
        on_episode: called with the number of finished episodes whenever it has grown.

    Raises:
        TransferError: a setting of a wrong type or size, an environment of another body or sizes, that cannot be built,
            that fails, or that answers what is no finite number (with seed and step), or reference scores that are not
            those of the table whose name they have.
    """
    num_episodes = whole(num_episodes, "num_episodes", least=1, most=MOST_EPISODES)
    num_envs = whole(num_envs, "num_envs", least=1, most=MOST_ENVS)
    seeds = whole(first_seed, "first_seed", least=0, most=MOST_SEED - MOST_EPISODES) + np.arange(num_episodes)
    check_decode(decode)
    if on_episode is not None and not callable(on_episode):
        raise TransferError(f"on_episode={seen(on_episode)}: a function of the finished episodes, or None.")
    check_model(model, PolicyModel, "evaluate")
    env_spec = model.env_spec if env is None else as_spec(env, like=model.env_spec, trust=trust)
    flag(trust, "trust")
    _check_fits(model.env_spec, env_spec, flag(any_body, "any_body"))
    _warn_of_bounds(model.env_spec, env_spec)
    check_scale(env_spec)
    task, asked = Task(env_spec, trust), asked_of(model, env_spec, target, target_return, ask)

    def plan(some: NDArray[np.int64]) -> tuple[Planner, Command]:
        return make_planner(model, len(some), decode), model.command(some, asked)

    with opened(task, min(num_envs, num_episodes)) as slots:
        played = rollout(slots, task, plan, model.device, seeds, on_episode)
    # Some environments report success only when there is one.
    successes = played.successes > 0 if (played.successes >= 0).any() or _tells_success(model, env_spec) else None
    return Evaluation(played.returns, played.lengths, seeds, asked, decode, env_spec, played.actions, successes)


def evaluate_together(
    model: MixedModel,
    num_episodes: int = 100,
    *,
    targets: Mapping[str, float] | None = None,
    target_returns: Mapping[str, float] | None = None,
    num_envs: int = 100,
    decode: str = "autoregressive",
    first_seed: int = FIRST_SEED,
    trust: bool = False,
    on_episode: OnEpisode | None = None,
) -> dict[str, Evaluation]:
    """Roll the policies of all adapters out, one after another, each as `evaluate` does.

    Args:
        model: trunk and adapters.
        num_episodes: N for each adapter, in its own environment.
        targets: target scores, by name.
        target_returns: raw target returns, by name; default: as in `evaluate`.
        num_envs: environments at a time.
        decode: see `transfer.decoding.planner.make_planner`.
        first_seed: of the environments.
        trust: see `evaluate`.
        on_episode: called with the number of finished episodes, of all adapters, whenever it has grown.

    Returns:
        an evaluation for each name.

    Raises:
        TransferError: a target for an unknown adapter, or what `evaluate` raises.
    """
    check_model(model, MixedModel, "evaluate_together")
    scores, returns = (_by_name(model, given) for given in (targets, target_returns))
    for name, one in model.models.items():  # all of them are checked before the first one plays
        asked_of(one, one.env_spec, scores.get(name), returns.get(name), None)
    for one in model.models.values():
        check_playable(one, one.env_spec, trust)
    results: dict[str, Evaluation] = {}
    for name, one in model.models.items():
        results[name] = evaluate(
            one,
            num_episodes=num_episodes,
            target=scores.get(name),
            target_return=returns.get(name),
            num_envs=num_envs,
            decode=decode,
            first_seed=first_seed,
            trust=trust,
            on_episode=counted_after(results.values(), on_episode),
        )
    return results


def check_playable(model: PolicyModel, env_spec: EnvironmentSpec, trust: bool = False) -> None:
    """Raise TransferError, before other policies have played, for an environment that does not fit or cannot be built.

    It is built once, and closed.
    """
    _check_fits(model.env_spec, env_spec, any_body=False)
    check_scale(env_spec)
    with opened(Task(env_spec, flag(trust, "trust")), 1):
        pass


def counted_after(played: Collection[Evaluation], on_episode: OnEpisode | None) -> OnEpisode | None:
    """`on_episode` for one of several rollouts: the episodes already played count too."""
    if on_episode is None or not played:  # the first rollout checks it
        return on_episode
    before = sum(len(one.returns) for one in played)
    return lambda finished: on_episode(before + finished)


def _by_name(model: MixedModel, given: Mapping[str, float] | None) -> Mapping[str, float]:
    """Targets by the names of adapters. Raises TransferError for an unknown name."""
    if given is not None and not isinstance(given, Mapping):
        raise TransferError(f"targets={seen(given)}: a mapping from names to numbers is needed.")
    for name in given or {}:
        model[name]  # an unknown name is an error
    return given or {}


def _tells_success(model: PolicyModel, env_spec: EnvironmentSpec) -> bool:
    """Whether the table of environments or the calibration says that the environment reports success."""
    known = registry.resolve("envs", "find")(env_spec.gym_id)
    calibration = model.statistics.calibration if env_spec.gym_id == model.env_spec.gym_id else None
    return bool(known and known.success) or (calibration is not None and calibration.success is not None)


def _check_fits(mine: EnvironmentSpec, other: EnvironmentSpec, any_body: bool) -> None:
    """Raise TransferError unless an adapter's environment and the one to play have one body and one observation."""
    if (mine.state_size, mine.action_size) != (other.state_size, other.action_size):
        raise TransferError(
            f"the adapter is for '{mine.name}' ({mine.state_size} states, {mine.action_size} actions), the environment "
            f"is '{other.name}' ({other.state_size} states, {other.action_size} actions). Adapt one to it: "
            "transfer.adapt(trunk, episodes)."
        )
    check_body(mine, other, "the adapter", any_body)
    if mine.slices != other.slices and not any_body:
        raise TransferError(
            f"the adapter reads {summary(mine.slices)}, the environment shows {summary(other.slices)}: other numbers, "
            "or in another order. To play all the same: any_body=True."
        )


def _warn_of_bounds(mine: EnvironmentSpec, other: EnvironmentSpec) -> None:
    """Warn where the environment to play has other action bounds than the adapter's; infinite ones fit any."""
    have, wanted = (np.array([spec.action_low, spec.action_high]) for spec in (mine, other))  # (2, A)
    both = np.isfinite(have) & np.isfinite(wanted)
    if not np.allclose(have[both], wanted[both], rtol=1e-6, atol=1e-6):
        log.warning(
            "the adapter acts between %s and %s, '%s' takes actions between %s and %s: they are clipped, and where a "
            "wrapper rescales actions they become other ones",
            *(mine.action_low, mine.action_high, other.name, other.action_low, other.action_high),
        )
