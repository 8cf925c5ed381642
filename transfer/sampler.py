"""Windows of consecutive steps, gathered from packed episodes."""

from __future__ import annotations

import numpy as np
import torch

from transfer.batch import Batch
from transfer.episodes import Episodes
from transfer.errors import TransferError


class WindowSampler:
    """Draws windows uniformly over all (episode, first step) pairs, as CORL's `dt.py` does.

    A window near the end of its episode is shorter and padded on the right with zeros. Which windows a batch holds is a
    function of (seed, step) alone, so a resumed run sees the batches of an unbroken one.

    Args:
        episodes: the data.
        context: T, steps per window.
        batch_size: B.
        seed: of the draws.
        device: where the data lie and batches are gathered.
    """

    def __init__(
        self, episodes: Episodes, context: int, batch_size: int, seed: int = 0, device: torch.device | str = "cpu"
    ) -> None:
        if context < 1 or batch_size < 1:
            raise TransferError(f"context={context} and batch_size={batch_size} must be at least 1.")
        self.context, self.batch_size, self.seed = context, batch_size, seed
        self.device = torch.device(device)
        self.content_hash = episodes.content_hash
        self._steps = episodes.num_steps
        lengths = np.diff(episodes.offsets)
        first = np.repeat(episodes.offsets[:-1], lengths)
        self._time = self._tensor(np.arange(self._steps) - first)  # (N,) step in the episode
        self._end = self._tensor(first + np.repeat(lengths, lengths))  # (N,) one past the episode
        self._states, self._actions = self._tensor(episodes.states), self._tensor(episodes.actions)
        self._returns = self._tensor(episodes.returns_to_go)

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        if not array.flags.writeable:  # a memory map: torch only wants to know that nobody writes
            array = np.array(array) if self.device.type == "cpu" else np.ascontiguousarray(array).copy()
        return torch.from_numpy(array).to(self.device)

    def starts(self, step: int) -> torch.Tensor:
        """First steps (B,) of the windows of one batch."""
        rng = np.random.default_rng([self.seed, step])
        return torch.from_numpy(rng.integers(0, self._steps, self.batch_size)).to(self.device)

    def batch(self, step: int) -> Batch:
        """The batch of one training step."""
        return self.windows(self.starts(step))

    def windows(self, starts: torch.Tensor) -> Batch:
        """Windows that begin at given steps (B,) of the packed data."""
        rows = starts[:, None] + torch.arange(self.context, device=self.device)  # (B, T)
        mask = rows < self._end[starts][:, None]
        rows = torch.where(mask, rows, starts[:, None])  # padding reads a row that exists, then is set to zero
        real = mask[..., None]
        return Batch(
            states=self._states[rows] * real,
            actions=self._actions[rows] * real,
            returns=self._returns[rows] * mask,
            times=self._time[rows] * mask,
            mask=mask,
        )
