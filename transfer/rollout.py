"""Evaluation: whole episodes in the real environment, each with its own seed and its own slot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from transfer.base import PolicyModel
from transfer.errors import TransferError
from transfer.freezing import evaluating
from transfer.specs import EnvironmentSpec

if TYPE_CHECKING:
    import gymnasium

FIRST_SEED = 10_000


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
    env_spec: EnvironmentSpec | None = None,
    num_episodes: int = 100,
    *,
    target_return: float | None = None,
    context: int = 20,
    num_envs: int = 100,
    decode: str = "autoregressive",
    first_seed: int = FIRST_SEED,
    on_episode: Callable[[int], None] | None = None,
) -> Evaluation:
    """Roll a policy out, one batched forward per step and action dimension.

    Episode i has seed first_seed + i and its own slot: nothing is reset until all episodes of a wave are over, so short
    episodes are not favoured. Environments that are done cost nothing.

    Args:
        model: trunk and adapter.
        env_spec: the environment; default: the adapter's.
        num_episodes: N.
        target_return: raw return to ask for; default: the calibration's best, else the 95th percentile of the
            adapter's dataset.
        context: T, as in training.
        num_envs: environments at a time.
        decode: see `transfer.streaming.Stream`.
        first_seed: of the environments.
        on_episode: called with the number of finished episodes whenever it has grown.

    Raises:
        TransferError: the environment's sizes are not the adapter's, or it cannot be built.
    """
    env_spec = env_spec or model.env_spec
    _check_sizes(model, env_spec)
    if num_episodes < 1 or num_envs < 1:
        raise TransferError(f"num_episodes={num_episodes} and num_envs={num_envs} must be at least 1.")
    if target_return is None:
        target_return = model.statistics.best_target
    envs = [env_spec.make() for _ in range(min(num_envs, num_episodes))]
    seeds = first_seed + np.arange(num_episodes)
    waves = []
    try:
        with evaluating(model), torch.inference_mode():
            for wave in np.split(seeds, range(len(envs), num_episodes, len(envs))):
                before = int(wave[0]) - first_seed
                on_end = (lambda ended, before=before: on_episode(before + ended)) if on_episode else None
                waves.append(_wave(model, envs[: len(wave)], wave, env_spec, target_return, context, decode, on_end))
    finally:
        for env in envs:
            env.close()
    returns, lengths, successes, actions = (np.concatenate(column) for column in zip(*waves, strict=True))
    # Some environments tell of success only when there is one.
    known = None if (successes < 0).all() else successes > 0
    return Evaluation(returns, lengths, seeds, float(target_return), decode, env_spec, actions, known)


def _wave(
    model: PolicyModel,
    envs: list[gymnasium.Env[Any, Any]],
    seeds: NDArray[np.int64],
    env_spec: EnvironmentSpec,
    target_return: float,
    context: int,
    decode: str,
    on_end: Callable[[int], None] | None,
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int8], NDArray[np.float32]]:
    """One episode in each environment; `on_end` hears how many are over.

    Returns:
        returns, lengths, successes (1, 0, or -1 where the environment never said), and every tenth action.
    """
    device = model.device
    low, high = envs[0].action_space.low, envs[0].action_space.high  # type: ignore[attr-defined]
    stream, alive = model.stream(len(envs), context, decode), np.arange(len(envs))
    states = np.stack([env.reset(seed=int(seed))[0] for env, seed in zip(envs, seeds, strict=True)])
    returns, lengths, sample = np.zeros(len(envs)), np.zeros(len(envs), np.int64), []
    successes = np.full(len(envs), -1, np.int8)
    for t in range(env_spec.max_episode_steps):
        wanted = torch.from_numpy((target_return - returns[alive]).astype(np.float32)).to(device)
        times = torch.full((len(alive),), t, device=device)
        actions = stream.step(torch.from_numpy(states.astype(np.float32)).to(device), wanted, times).cpu().numpy()
        actions = np.clip(actions, low, high)
        if t % 10 == 0:
            sample.append(actions)
        steps = [envs[i].step(action) for i, action in zip(alive, actions, strict=True)]
        returns[alive] += [float(step[1]) for step in steps]
        lengths[alive] += 1
        successes[alive] = np.maximum(successes[alive], [int(step[4].get("success", -1)) for step in steps])
        going = np.array([not (step[2] or step[3]) for step in steps])
        states = np.stack([step[0] for step in steps])[going]
        if t + 1 == env_spec.max_episode_steps:
            going[:] = False
        if not going.all():
            alive = alive[going]
            if on_end is not None:
                on_end(len(envs) - len(alive))
            if not len(alive):
                break
            stream.select(torch.from_numpy(going).to(device))
    return returns, lengths, successes, np.concatenate(sample)


def _check_sizes(model: PolicyModel, env_spec: EnvironmentSpec) -> None:
    mine = model.env_spec
    if (mine.state_size, mine.action_size) != (env_spec.state_size, env_spec.action_size):
        raise TransferError(
            f"the adapter is for '{mine.name}' ({mine.state_size} states, {mine.action_size} actions), the environment "
            f"is '{env_spec.name}' ({env_spec.state_size} states, {env_spec.action_size} actions). Adapt one to it: "
            "transfer.adapt(trunk, episodes)."
        )
