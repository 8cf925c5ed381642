"""A policy for one environment in a loop of your own."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from transfer.data.environment.answers import checked, first_infinite, vector
from transfer.data.environment.answers import reward as paid
from transfer.decoding.planner import check_decode, make_planner
from transfer.errors import TransferError
from transfer.evaluation.targets import asked_of
from transfer.models.acting import PolicyModel, Step, check_model
from transfer.runtime.process import inference_only

log = logging.getLogger(__name__)
SEED = np.zeros(1, np.int64)  # of an episode in a loop that does not tell its seed


class Policy:
    """Acts in one environment; call `reset` before each episode.

        policy.reset()
        observation, _ = env.reset()
        action = policy.act(observation)
        observation, reward, *_ = env.step(action)
        action = policy.act(observation, reward)

    Args:
        model: trunk and adapter.
        target: target score (100 = the reference expert).
        target_return: raw target return instead; default: the calibration's best, else the dataset's 95th percentile.
        decode: see `transfer.decoding.planner.make_planner`.
        ask: what else the policy is asked for, by name.

    Raises:
        TransferError: two targets or one that is no finite number, an unknown decode, no model.
    """

    def __init__(
        self,
        model: PolicyModel,
        target: float | None = None,
        target_return: float | None = None,
        decode: str = "autoregressive",
        ask: Mapping[str, Any] | None = None,
    ) -> None:
        check_model(model, PolicyModel, "Policy")
        self.model, self.decode, self._ask = model, check_decode(decode), (target, target_return, ask)
        self.reset()

    def reset(self) -> None:
        """Start an episode with the adapter, weights (copied) and best target that the model has now."""
        model, spec = self.model, self.model.env_spec
        self._spec, self._adapter, self._device = spec, getattr(model, "adapter", None), model.device
        self.asked = asked_of(model, spec, *self._ask)
        self._low, self._high = (np.asarray(bound, np.float32) for bound in (spec.action_low, spec.action_high))
        self._planner, self._command = make_planner(model, 1, self.decode), model.command(SEED, self.asked)
        self._time = 0

    @property
    def target_return(self) -> float | None:
        """The raw target return of this episode; None where the policy takes none."""
        return self.asked.get("return")

    @property
    def steps(self) -> int:
        """Actions taken since `reset`."""
        return self._time

    def __repr__(self) -> str:
        asked = "".join(f"target {name} {value:.4g}, " for name, value in self.asked.items())
        return f"Policy({self._spec.name}: {asked}{self.decode}, step {self._time})"

    def act(
        self,
        observation: ArrayLike | Mapping[str, ArrayLike] | None = None,
        reward: float | None = None,
        *,
        state: ArrayLike | None = None,
    ) -> NDArray[np.float32]:
        """The next action (A,) float32, within the environment's bounds.

        Args:
            observation: the newest observation as the environment gives it, flat or a Dict.
            reward: what the last action earned; needed from the second call on, for the return to go.
            state: instead of an observation, the state vector (S,) in the order of the spec's slices.

        Raises:
            TransferError: a reward is missing, one too many or no finite number; the observation is not that of one
                environment, or not finite; another adapter was plugged in after the last `reset`.
        """
        self._check_turn(reward)
        action = self._choose(self._state(observation, state), 0.0 if reward is None else paid(reward))
        if not np.isfinite(action).all():
            raise self._refused(f"the action is not finite: {first_infinite(action)}.")
        self._time += 1
        return np.clip(action, self._low, self._high)

    def _check_turn(self, reward: object) -> None:
        """Raise TransferError for a call out of turn; warn of an episode that is too long."""
        if getattr(self.model, "adapter", None) is not self._adapter:
            raise TransferError("another adapter was plugged into the model: reset() opens an episode with it.")
        if (reward is None) != (self._time == 0):
            raise TransferError(
                "act(observation) opens an episode, act(observation, reward) goes on with it; reset() starts a new one."
            )
        if self._time == self._spec.max_episode_steps:
            log.warning(
                "'%s': an episode has %d steps, this one goes on. Was reset forgotten?", self._spec.name, self._time
            )

    def _state(self, observation: Any, state: Any) -> NDArray[np.float32]:
        """The state vector (S,)."""
        if (observation is None) == (state is None):
            raise TransferError("act takes an observation, or the state vector as state=, and not both.")
        try:
            size = self._spec.state_size
            return checked(self._spec.to_state(observation), size) if state is None else vector(state, size)
        except TransferError as error:
            hint = "A policy acts in one environment, on what it shows or, as state=, on the state vector."
            raise self._refused(f"{str(error).rstrip('.')}. {hint}") from error

    def _refused(self, why: str) -> TransferError:
        return TransferError(f"'{self._spec.name}', step {self._time}: {why}")

    @inference_only
    def _choose(self, state: NDArray[np.float32], reward: float) -> NDArray[np.float32]:
        """The action (A,) in a state (S,), after a reward."""
        device, rewards = self._device, torch.from_numpy(np.array([reward]))  # float64
        states, times = torch.from_numpy(state[None]).to(device), torch.from_numpy(np.array([self._time])).to(device)
        columns = self._command.columns(Step(states, rewards, times))
        step = Step(states, rewards, times, columns)
        action: NDArray[np.float32] = self._planner.act(step)[0].float().cpu().numpy()
        if action.shape != self._low.shape:
            raise self._refused(f"the planner's action has shape {action.shape}; {self._low.shape} is needed.")
        return action
