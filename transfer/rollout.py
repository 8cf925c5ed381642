"""Evaluation: whole episodes in the real environment, each with its own seed and its own slot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from transfer.base import Actor, PolicyModel
from transfer.errors import TransferError
from transfer.freezing import evaluating
from transfer.mixed import MixedModel
from transfer.playing import FIRST_SEED, Played, Seen, Task, play
from transfer.specs import EnvironmentSpec


@dataclass(frozen=True)
class Evaluation:
    """What a policy achieved.

    Attributes:
        returns: (N,) undiscounted return of each episode, raw.
        lengths: (N,) steps of each episode.
        seeds: (N,) environment seed of each episode.
        target_return: what was asked for, raw.
        decode: how action dimensions were chosen.
        env_spec: the environment and its table of reference scores.
        actions: (M, A) a sample of the actions taken, for histograms.
        successes: (N,) whether info["success"] was true at least once; None where the environment says nothing of it.
    """

    returns: NDArray[np.float64]
    lengths: NDArray[np.int64]
    seeds: NDArray[np.int64]
    target_return: float
    decode: str
    env_spec: EnvironmentSpec
    actions: NDArray[np.float32]
    successes: NDArray[np.bool_] | None = None

    @property
    def success_rate(self) -> float | None:
        """Share of the episodes that succeeded, None where the environment says nothing of it."""
        return None if self.successes is None else float(self.successes.mean())

    @property
    def scores(self) -> NDArray[np.float64]:
        """Normalised score of each episode, 100 = reference expert."""
        return self.env_spec.reference.score(self.returns)

    def to_json(self) -> dict[str, Any]:
        """One entry of "evaluations" in a results file."""
        score = self.env_spec.reference.score
        return {
            "target_return": self.target_return,
            "target_score": float(score(self.target_return)),
            "decode": self.decode,
            "returns": self.returns.tolist(),
            "lengths": self.lengths.tolist(),
            "seeds": self.seeds.tolist(),
            "mean_return": float(self.returns.mean()),
            "mean_score": float(self.scores.mean()),
            "mean_length": float(self.lengths.mean()),
            "successes": None if self.successes is None else self.successes.tolist(),
            "success_rate": self.success_rate,
        }

    def __str__(self) -> str:
        spread = self.scores.std() if len(self.scores) > 1 else 0.0
        success = "" if self.success_rate is None else f"success {self.success_rate:.2f}, "
        return (
            f"{self.env_spec.name}: {success}return {self.returns.mean():.1f}, {self.env_spec.reference.table} score "
            f"{self.scores.mean():.1f} (spread over episodes {spread:.1f}), length {self.lengths.mean():.0f}, "
            f"{len(self.returns)} episodes, target return {self.target_return:.0f}"
        )


def evaluate(
    model: PolicyModel,
    env: EnvironmentSpec | None = None,
    num_episodes: int = 100,
    *,
    target: float | None = None,
    target_return: float | None = None,
    num_envs: int = 100,
    decode: str = "autoregressive",
    first_seed: int = FIRST_SEED,
    trust: bool = False,
    any_body: bool = False,
    on_episode: Callable[[int], None] | None = None,
) -> Evaluation:
    """Roll a policy out, one batched forward per step and action dimension.

    Episode i has seed first_seed + i and its own slot: nothing is reset until all episodes of a wave are over, so short
    episodes are not favoured. Environments that are done cost nothing.

    Args:
        model: trunk and adapter.
        env: the environment; default: the adapter's.
        num_episodes: N.
        target: score to ask for (100 = the reference expert).
        target_return: raw return to ask for instead; default: the calibration's best, else the 95th percentile of the
            adapter's dataset.
        num_envs: environments at a time.
        decode: see `transfer.streaming.Stream`.
        first_seed: of the environments.
        trust: build an environment that a file names although this process does not know it.
        any_body: play another body than the adapter's, of the same sizes.
        on_episode: called with the number of finished episodes whenever it has grown.

    Raises:
        TransferError: the environment's sizes are not the adapter's, it cannot be built, or two targets.
    """
    env_spec = env or model.env_spec
    _check_sizes(model, env_spec)
    task = Task(env_spec, return_to_ask(model, env_spec, target, target_return))
    with evaluating(model), torch.inference_mode():
        played = play(
            {"": task},
            lambda rows: Alone(model.stream(rows[""], model.context, decode)),
            model.device,
            num_episodes,
            num_envs,
            first_seed,
            on_episode,
        )
    return _evaluation(task, played[""], first_seed, decode)


def evaluate_together(
    model: MixedModel,
    num_episodes: int = 100,
    *,
    target_returns: Mapping[str, float] | None = None,
    num_envs: int = 100,
    decode: str = "autoregressive",
    first_seed: int = FIRST_SEED,
    on_episode: Callable[[int], None] | None = None,
) -> dict[str, Evaluation]:
    """Roll the policies of all adapters out in lockstep, on their one trunk.

    Seeds, slots and results are those of `evaluate` for each adapter alone.

    Args:
        model: trunk and adapters.
        num_episodes: N for each adapter, in its own environment.
        target_returns: raw returns to ask for, by name; default: the calibration's best, else the 95th percentile of
            the adapter's dataset.
        num_envs: environments of each adapter at a time.
        decode: see `transfer.streaming.Stream`.
        first_seed: of the environments.
        on_episode: called with the number of finished episodes, of all adapters, whenever it has grown.

    Returns:
        an evaluation for each name.

    Raises:
        TransferError: a target for an unknown adapter, or an environment that cannot be built.
    """
    asked = target_returns or {}
    for name in asked:
        model[name]  # an unknown name is an error
    tasks = {
        name: Task(one.env_spec, asked.get(name, one.statistics.best_target)) for name, one in model.models.items()
    }
    with evaluating(model), torch.inference_mode():
        played = play(
            tasks,
            lambda rows: model.stream(rows, decode=decode),
            model.device,
            num_episodes,
            num_envs,
            first_seed,
            on_episode,
        )
    return {name: _evaluation(task, played[name], first_seed, decode) for name, task in tasks.items()}


def return_to_ask(
    model: PolicyModel, env_spec: EnvironmentSpec, target: float | None, target_return: float | None
) -> float:
    """The raw return to ask for: that of a score, the one given, else the best that is known.

    Raises:
        TransferError: both are given.
    """
    if target is not None and target_return is not None:
        raise TransferError("give target (a score) or target_return (a raw return), not both.")
    if target is not None:
        return float(env_spec.reference.returns(target))
    return model.statistics.best_target if target_return is None else target_return


class Alone:
    """One actor as a group."""

    def __init__(self, actor: Actor) -> None:
        self.actor = actor

    def step(self, seen: Mapping[str, Seen]) -> dict[str, Tensor]:
        """See `transfer.playing.Group`."""
        return {name: self.actor.step(*shown) for name, shown in seen.items()}

    def select(self, rows: Mapping[str, Tensor]) -> None:
        """See `transfer.playing.Group`."""
        for kept in rows.values():
            self.actor.select(kept)


def _evaluation(task: Task, played: Played, first_seed: int, decode: str) -> Evaluation:
    # Some environments tell of success only when there is one.
    known = None if (played.successes < 0).all() else played.successes > 0
    seeds = first_seed + np.arange(len(played.returns))
    target = float(task.target_return)
    return Evaluation(played.returns, played.lengths, seeds, target, decode, task.env_spec, played.actions, known)


def _check_sizes(model: PolicyModel, env_spec: EnvironmentSpec) -> None:
    mine = model.env_spec
    if (mine.state_size, mine.action_size) != (env_spec.state_size, env_spec.action_size):
        raise TransferError(
            f"the adapter is for '{mine.name}' ({mine.state_size} states, {mine.action_size} actions), the environment "
            f"is '{env_spec.name}' ({env_spec.state_size} states, {env_spec.action_size} actions). Adapt one to it: "
            "transfer.adapt(trunk, episodes)."
        )
