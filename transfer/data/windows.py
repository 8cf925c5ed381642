"""Windows of consecutive steps, gathered from packed episodes."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from transfer import registry
from transfer.data.arrays import own
from transfer.data.batch import Batch
from transfer.data.episodes import Episodes
from transfer.errors import TransferError, check_type
from transfer.numbers import MOST_BATCH, MOST_CONTEXT, MOST_SEED, seen, whole
from transfer.runtime.devices import find_device


@dataclass(frozen=True)
class WindowSpec:
    """What windows hold besides states, actions, rewards and times.

    Args:
        columns: kinds of columns in `transfer.registry`, each a function of (episodes, seed) that returns a number or
            several for each step, (N,) or (N, m) float32.
    """

    columns: tuple[str, ...] = ("returns",)


class Batches(Protocol):
    """Where the batches of a training come from.

    Attributes:
        batch_size: windows of a batch, of each policy.
        seed: of the draws.
    """

    batch_size: int
    seed: int

    def batch(self, step: int, block: int = 0, blocks: int = 1) -> Any:
        """The batch of one training step, or one of equal blocks of it."""
        ...

    def contexts(self) -> Mapping[str, int]:
        """T by the name of the policy; that of one alone is ""."""
        ...

    def identity(self) -> dict[str, Any]:
        """What decides the batches besides the number of the step, as JSON."""
        ...


class WindowSampler:
    """Draws windows uniformly over all (episode, first step) pairs, as CORL's `dt.py` does, or by weights of datasets.

    Joined episodes that have weights (see `Episodes.join`) are drawn by these: each dataset gets its share.

    A window near the end of its episode is shorter and padded on the right with zeros. Which windows a batch holds is a
    function of (seed, step) alone, so a resumed run draws the batches of an uninterrupted one.

    The T steps of a window are adjacent in the packed arrays, so a batch is one gather of B windows from an overlapping
    view of each array: nothing is copied beforehand, and a memory map stays one.

    Args:
        episodes: the data.
        context: T, steps per window.
        batch_size: B.
        seed: of the draws.
        device: of the data and the batches.
        spec: the columns; default: those of a Decision Transformer.

    Raises:
        TransferError: a value of another type or size, a context that no episode fills, or an unknown column.
    """

    def __init__(
        self,
        episodes: Episodes,
        context: int,
        batch_size: int,
        seed: int = 0,
        device: torch.device | str = "cpu",
        spec: WindowSpec | None = None,
    ) -> None:
        if not isinstance(episodes, Episodes):
            raise TransferError(f"a WindowSampler takes Episodes, got {seen(episodes)}.")
        self.context = whole(context, "context", 1, MOST_CONTEXT)
        self.batch_size = whole(batch_size, "batch_size", 1, MOST_BATCH)
        self.seed = whole(seed, "seed", 0, MOST_SEED)
        check_context(episodes, self.context)
        self.device = find_device(device)
        self.content_hash = episodes.content_hash
        self._steps, self._mixture, self._lengths = episodes.num_steps, episodes.mixture, episodes.lengths
        lengths = np.diff(episodes.offsets)
        self._time = episodes.times  # (N,) step in the episode
        self._left = np.repeat(episodes.offsets[1:], lengths) - np.arange(self._steps)  # (N,) steps to the end of it
        self.spec = WindowSpec() if spec is None else spec
        arrays = {"states": episodes.states, "actions": episodes.actions, "rewards": episodes.rewards[:, None]}
        columns = {name: self._column(episodes, name) for name in self.spec.columns}
        self._flat = {name for name, column in columns.items() if column.ndim == 1}
        columns = {name: column.reshape(len(column), -1) for name, column in columns.items()}
        self._views = {name: self._view(array) for name, array in arrays.items()}
        self._columns = {name: self._view(column) for name, column in columns.items()}
        self._last = self._steps - self.context  # first step of the last window

    def _column(self, episodes: Episodes, name: str) -> NDArray[np.float32]:
        """A column of all steps. Raises TransferError for an unknown one, or one that is no float32 for each step."""
        found = registry.resolve("column", name)(episodes, self.seed)
        column: NDArray[np.float32] = check_type(found, np.ndarray, f"what the column '{name}' returns")
        if column.dtype != np.float32 or column.ndim not in (1, 2) or len(column) != self._steps:
            raise TransferError(
                f"the column '{name}' is {column.dtype} {column.shape}; float32 of ({self._steps},) is needed, or of "
                f"({self._steps}, m)."
            )
        return column

    def contexts(self) -> dict[str, int]:
        """T, under the name of a policy alone."""
        return {"": self.context}

    def identity(self) -> dict[str, Any]:
        """What decides the windows besides the number of the step, for `transfer.training.resume`."""
        weighted = {} if self._mixture is None else {"mixture": self._mixture.digest()}
        return {"seed": self.seed, "data": self.content_hash, **weighted}

    def _view(self, array: NDArray[np.float32]) -> Tensor:
        """Every window of T steps of an array (N, S), as (N - T + 1, T * S) over the same memory."""
        data = torch.from_numpy(np.asarray(_Lent(np.ascontiguousarray(array)))).to(self.device)
        size = data.shape[1]
        return data.as_strided((len(data) - self.context + 1, self.context * size), (size, 1))

    def starts(self, step: int) -> Tensor:
        """First steps (B,) of the windows of one batch. Raises TransferError unless the step is a whole number."""
        rng = np.random.default_rng([self.seed, whole(step, "step", 0)])
        if self._chances is not None:
            return torch.from_numpy(np.searchsorted(self._chances, rng.random(self.batch_size), side="right"))
        return torch.from_numpy(rng.integers(0, self._steps, self.batch_size))

    @functools.cached_property
    def _chances(self) -> NDArray[np.float64] | None:
        return None if self._mixture is None else self._mixture.chances(self._lengths)

    def batch(self, step: int, block: int = 0, blocks: int = 1) -> Batch:
        """The batch of one training step, or one of equal blocks of it. Raises TransferError for other blocks."""
        block, blocks = whole(block, "block"), whole(blocks, "blocks", 1)
        count, left = divmod(self.batch_size, blocks)
        if left or not 0 <= block < blocks:
            raise TransferError(f"a batch of {self.batch_size} windows has no block {block} of {blocks} equal ones.")
        return self.windows(self.starts(step)[block * count : (block + 1) * count])

    def windows(self, starts: Tensor) -> Batch:
        """Windows that begin at given steps (B,) of the packed data.

        Padding is computed from small arrays on the host, without a synchronisation with the device. Raises
        TransferError for a step that is not in the data.
        """
        first, steps = own(starts, "starts", 1, np.int64), np.arange(self.context)
        if len(first) and not 0 <= first.min() <= first.max() < self._steps:
            raise TransferError(f"starts from {first.min()} to {first.max()} in data of {self._steps} steps")
        mask = steps < self._left[first][:, None]  # (B, T)
        times = (self._time[first][:, None] + steps) * mask
        index = torch.from_numpy(first.clip(max=self._last)).to(self.device, non_blocking=True)
        real = None if mask.all() else torch.from_numpy(mask[..., None].astype(np.float32)).to(self.device)
        late = [(int(at), self._last - int(first[at])) for at in np.flatnonzero(first > self._last)]
        steps_of = {name: self._gather(view, index, late, real) for name, view in self._views.items()}
        columns = {name: self._gather(view, index, late, real) for name, view in self._columns.items()}
        return Batch(
            states=steps_of["states"],
            actions=steps_of["actions"],
            rewards=steps_of["rewards"][..., 0],
            columns={name: x[..., 0] if name in self._flat else x for name, x in columns.items()},
            times=torch.from_numpy(times).to(self.device, non_blocking=True),
            mask=torch.from_numpy(mask).to(self.device, non_blocking=True),
        )

    def _gather(self, view: Tensor, index: Tensor, late: list[tuple[int, int]], real: Tensor | None) -> Tensor:
        """(B, T, S) windows of a view times `real` (B, T, 1); `late` windows would run over the end of the data."""
        windows = view.index_select(0, index).unflatten(1, (self.context, -1))
        for at, steps in late:  # the last window holds their steps; they are moved to its front
            windows[at] = windows[at].roll(steps, 0)
        return windows if real is None else windows.mul_(real)


class MixedWindows:
    """Batches of several policies: as many windows of each, by name.

    Args:
        samplers: by name, of one batch size and seed.

    Raises:
        TransferError: none, or samplers of different batch sizes or seeds.
    """

    def __init__(self, samplers: Mapping[str, WindowSampler]) -> None:
        kinds = {(one.batch_size, one.seed) for one in samplers.values()}
        if len(kinds) != 1:
            raise TransferError(f"samplers of {len(kinds)} batch sizes and seeds: give one or more of the same.")
        self.samplers = dict(samplers)
        ((self.batch_size, self.seed),) = kinds

    def batch(self, step: int, block: int = 0, blocks: int = 1) -> dict[str, Batch]:
        """A batch of each policy, or one of equal blocks of it."""
        return {name: one.batch(step, block, blocks) for name, one in self.samplers.items()}

    def contexts(self) -> dict[str, int]:
        """T by name."""
        return {name: one.context for name, one in self.samplers.items()}

    def identity(self) -> dict[str, Any]:
        """What decides the windows besides the number of the step."""
        each = {name: one.identity() for name, one in self.samplers.items()}
        named = {key: {name: one[key] for name, one in each.items() if key in one} for key in ("data", "mixture")}
        return {"seed": self.seed, **{key: by_name for key, by_name in named.items() if by_name}}


class _Lent:
    """The memory of an array that may be read-only, without torch's warning of that; nothing here writes to it."""

    def __init__(self, array: NDArray[np.float32]) -> None:
        self.array = array  # keeps the memory alive
        self.__array_interface__ = {**array.__array_interface__, "data": (array.ctypes.data, False)}


def check_context(episodes: Episodes, context: int, key: str = "context") -> None:
    """Raises TransferError, with the setting's name, if every episode is shorter than a window of T steps.

    Full windows would occur in evaluation, untrained.
    """
    longest = int(episodes.lengths.max())
    if longest < context:
        advice = f"Set {key} to {longest} or less."
        if longest < 2:
            advice = f"Set {key} to 1, or join steps that followed each other into episodes."
        raise TransferError(
            f"{', '.join(episodes.dataset_ids)}: every episode is shorter than a window of {context} steps, the "
            f"longest has {longest}. {advice}"
        )
