"""A policy for one environment, in anyone's own loop."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from transfer.base import PolicyModel
from transfer.errors import TransferError
from transfer.freezing import evaluating


class Policy:
    """Acts in one environment; `reset` before each episode, and for what the model has learned since.

        policy.reset()
        observation, _ = env.reset()
        action = policy.act(observation)
        observation, reward, *_ = env.step(action)
        action = policy.act(observation, reward)

    Args:
        model: trunk and adapter.
        target: wanted score (100 = the reference expert).
        target_return: wanted raw return instead; default: the calibration's best, else the 95th percentile
            of the adapter's dataset.
        decode: see `transfer.streaming.Stream`.
    """

    def __init__(
        self,
        model: PolicyModel,
        target: float | None = None,
        target_return: float | None = None,
        decode: str = "autoregressive",
    ) -> None:
        if target is not None and target_return is not None:
            raise TransferError("give target (a score) or target_return (a raw return), not both.")
        if target is not None:
            target_return = float(model.env_spec.reference.returns(target))
        self.model, self.decode = model, decode
        self.target_return = model.statistics.best_target if target_return is None else target_return
        self.reset()

    def reset(self) -> None:
        """Forget the episode so far."""
        self._stream = self.model.stream(1, self.model.context, self.decode)
        self._wanted, self._time = self.target_return, 0

    @property
    def steps(self) -> int:
        """Actions taken since `reset`."""
        return self._time

    def act(self, observation: ArrayLike | Mapping[str, ArrayLike], reward: float | None = None) -> NDArray[np.float32]:
        """The next action (A,) float32, not clipped to the environment's action space as `evaluate` clips it.

        Args:
            observation: the newest observation as the environment gives it, flat or a Dict, or the state vector (S,).
            reward: what the last action earned; needed from the second call on, for the return still wanted.

        Raises:
            TransferError: a reward is missing or one too many, or the observation has another size.
        """
        if (reward is None) != (self._time == 0):
            raise TransferError(
                "act(observation) opens an episode, act(observation, reward) goes on with it; reset() starts a new one."
            )
        device = self.model.device
        still = self._wanted - (reward or 0.0)
        spec = self.model.env_spec
        vector = spec.to_state(observation) if isinstance(observation, Mapping) else np.asarray(observation, np.float32)
        state = torch.as_tensor(vector, device=device)[None]
        wanted = torch.tensor([still], dtype=torch.float32, device=device)
        with evaluating(self.model), torch.inference_mode():
            action = self._stream.step(state, wanted, torch.tensor([self._time], device=device))
        self._wanted, self._time = still, self._time + 1
        return action[0].cpu().numpy()
