"""Episodes: every trajectory of a dataset as packed arrays, one after another.

Letters: N steps altogether, E episodes, T steps of one of them, S state size, A action size.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transfer import registry
from transfer.data import packed
from transfer.data.arrays import own
from transfer.data.environment.belonging import check_environment, check_joinable, measured
from transfer.data.environment.building.make import Spaces
from transfer.data.environment.spec import EnvironmentSpec, as_spec
from transfer.data.episode import Episode, FloatArray, counted
from transfer.data.mixture import Mixture, mixed
from transfer.data.packed import ARRAYS, STEPS
from transfer.errors import TransferError
from transfer.numbers import real, seen, whole

SAMPLED = 7  # of the draws of `Episodes.sample`, apart from those of windows


@dataclass(frozen=True, eq=False, repr=False)
class Episodes:
    """Trajectories of one environment, ready for gathering windows.

        step      0 1 2 3 4 | 5 6 7 | 8 ...        offsets = [0, 5, 8, ...], offsets[-1] = N
        episode       0     |   1   | 2 ...

    N counts actions: the observation after the last action of each episode is left out. The arrays are read-only:
    copies of the caller's, or memory maps of a loader. `len(episodes)` is E, `episodes[i]` an `Episode`,
    `episodes[2:5]` are `Episodes` again.

    Attributes:
        states: (N, S) float32.
        actions: (N, A) float32.
        rewards: (N,) float32.
        offsets: (E + 1,) int64, first step of each episode, and N.
        env_spec: the environment that made them. A scale called "dataset" is measured on these rewards; a part of some
            episodes has the scale of the whole.
        dataset_ids: where they came from, for results and adapters.

    Raises:
        TransferError: shapes disagree, a number is not finite, there is no episode or an empty one, or the environment
            has other sizes.
    """

    states: FloatArray
    actions: FloatArray
    rewards: FloatArray
    offsets: NDArray[np.int64]
    env_spec: EnvironmentSpec
    dataset_ids: tuple[str, ...]

    def __post_init__(self) -> None:
        name = ", ".join(packed.checked_ids(self.dataset_ids))
        arrays = {key: own(getattr(self, key), f"{name}: {key}", packed.NDIMS[key], ARRAYS[key]) for key in ARRAYS}
        packed.check_arrays(arrays, name)
        packed.check_finite(arrays, name)
        self._take(arrays, self.env_spec, tuple(self.dataset_ids))

    @classmethod
    def over(
        cls,
        arrays: Mapping[str, NDArray[Any]],
        env_spec: EnvironmentSpec,
        dataset_ids: Sequence[str],
        content_hash: str = "",
    ) -> "Episodes":
        """Episodes over arrays that no caller changes, such as a loader's memory maps, without a copy.

        All numbers have to be finite, which is not checked. The hash of the contents is given if it was verified.
        """
        self = object.__new__(cls)
        packed.check_arrays(arrays, ", ".join(dataset_ids))
        self._take(arrays, env_spec, tuple(dataset_ids))
        if content_hash:
            self.__dict__["content_hash"] = content_hash
        return self

    def _take(self, arrays: Mapping[str, NDArray[Any]], env_spec: EnvironmentSpec, ids: tuple[str, ...]) -> None:
        """Keeps arrays that fit together, if they fit the environment too."""
        for key, array in arrays.items():
            array.flags.writeable = False
            object.__setattr__(self, key, array)
        object.__setattr__(self, "dataset_ids", ids)
        check_environment(self.states, self.actions, env_spec, ", ".join(ids))
        packed.check_returns(self.rewards, self.offsets, ", ".join(ids))
        object.__setattr__(self, "env_spec", measured(env_spec, packed.episode_returns(self.rewards, self.offsets)))

    def __setstate__(self, state: dict[str, Any]) -> None:
        # NumPy unpickles and copies arrays as writeable ones.
        self.__dict__.update(state)
        for key in ARRAYS:
            getattr(self, key).flags.writeable = False

    def __len__(self) -> int:
        """E."""
        return len(self.offsets) - 1

    def __repr__(self) -> str:
        low, high = float(self.returns.min()), float(self.returns.max())
        return (
            f"Episodes('{', '.join(self.dataset_ids)}': {counted(len(self), 'episode')}, "
            f"{counted(self.num_steps, 'step')}, S={self.state_size}, A={self.action_size}, "
            f"return {low:.4g}{'' if low == high else f' to {high:.4g}'})"
        )

    @overload
    def __getitem__(self, index: int) -> Episode: ...
    @overload
    def __getitem__(self, index: slice) -> "Episodes": ...
    def __getitem__(self, index: int | slice) -> "Episode | Episodes":
        """One episode, counted from the end if negative, or the episodes of a slice. Raises TransferError for none."""
        if isinstance(index, slice):
            return self._part(index)
        place = whole(index, "the number of an episode", -len(self), len(self) - 1) % len(self)
        steps = slice(self.offsets[place], self.offsets[place + 1])
        return Episode(self.states[steps], self.actions[steps], self.rewards[steps])

    def __iter__(self) -> Iterator[Episode]:
        return (self[index] for index in range(len(self)))

    def _part(self, index: slice) -> "Episodes":
        try:
            chosen = np.arange(len(self))[index]
        except (TypeError, ValueError) as error:
            raise TransferError(f"episodes are numbered by whole numbers, got {index}") from error
        return self.stretches(self.offsets[chosen], self.offsets[chosen + 1])

    def pick(self, chosen: ArrayLike) -> "Episodes":
        """The episodes of some numbers, in that order. Raises TransferError for none, or a number out of range."""
        numbers = own(chosen, "the numbers of episodes", 1, np.int64)
        if not len(numbers) or numbers.min() < 0 or numbers.max() >= len(self):
            raise TransferError(f"episodes {seen(numbers.tolist())} of {len(self)}: one or more, counted from 0.")
        return self.stretches(self.offsets[numbers], self.offsets[numbers + 1])

    def sample(self, count: int, seed: int = 0) -> "Episodes":
        """Some episodes at random, in their order in the data; those of a smaller count are among those of a larger.

        Raises:
            TransferError: more than there are, or none.
        """
        order = np.random.default_rng([whole(seed, "seed", 0), SAMPLED]).permutation(len(self))
        return self.pick(np.sort(order[: whole(count, "the number of episodes", 1, len(self))]))

    def stretches(self, starts: NDArray[np.int64], stops: NDArray[np.int64]) -> "Episodes":
        """Stretches of steps, (E',) first and last but one of each, as episodes; each lies inside one of these.

        Returns, returns to go, times and steps left stay those of the whole episodes.
        """
        part, steps = self._taken(starts, stops), packed.numbers(starts, stops)
        of = np.searchsorted(self.offsets, starts, side="right") - 1  # (E',) the episode that each lies in
        if self.whole is not self or (part.lengths < self.lengths[of]).any():
            every = self.whole
            whole = every._taken(every.offsets[of], every.offsets[of + 1])
            vars(part).update({name: getattr(self, name)[steps] for name in packed.OF_THE_WHOLE}, _whole=whole)
        return part

    def _taken(self, starts: NDArray[np.int64], stops: NDArray[np.int64]) -> "Episodes":
        steps = packed.numbers(starts, stops)
        arrays = {key: getattr(self, key)[steps] for key in STEPS}
        offsets = packed.offsets_from(stops - starts)
        part = Episodes.over({**arrays, "offsets": offsets}, self.env_spec, self.dataset_ids)
        object.__setattr__(part, "env_spec", self.env_spec)  # scores of a part are on the scale of the whole
        if self.mixture is not None:
            vars(part)["_mixture"] = self.mixture.pick(np.searchsorted(self.offsets, starts, side="right") - 1)
        return part

    @property
    def whole(self) -> "Episodes":
        """The whole episodes that these are stretches of, one for each; themselves where nothing was cut off."""
        return vars(self).get("_whole", self)

    @property
    def mixture(self) -> Mixture | None:
        """The share of the windows that each of several joined datasets gets; None where windows are drawn evenly."""
        return vars(self).get("_mixture")

    @property
    def num_episodes(self) -> int:
        """E."""
        return len(self)

    @property
    def num_steps(self) -> int:
        """N."""
        return len(self.actions)

    @property
    def state_size(self) -> int:
        """S."""
        return int(self.states.shape[1])

    @property
    def action_size(self) -> int:
        """A."""
        return int(self.actions.shape[1])

    @functools.cached_property
    def lengths(self) -> NDArray[np.int64]:
        """(E,) steps in each episode, of a stretch those that are left; `whole.lengths` are those of the episodes."""
        return np.diff(self.offsets)

    @functools.cached_property
    def returns(self) -> NDArray[np.float64]:
        """(E,) undiscounted return of each episode, of a stretch that of its whole episode."""
        return packed.episode_returns(self.whole.rewards, self.whole.offsets)

    @functools.cached_property
    def returns_to_go(self) -> FloatArray:
        """(N,) undiscounted sum of the rewards from each step to the end of its episode."""
        return packed.returns_to_go(self.rewards, self.offsets)

    @functools.cached_property
    def times(self) -> NDArray[np.int64]:
        """(N,) step in the episode, from 0."""
        return packed.numbers(np.zeros_like(self.lengths), self.lengths)

    @functools.cached_property
    def steps_left(self) -> NDArray[np.int64]:
        """(N,) steps from each step to the end of its episode, itself included."""
        return np.repeat(self.lengths, self.lengths) - self.times

    @functools.cached_property
    def content_hash(self) -> str:
        """Sha256 of the four arrays; of stretches, of those of the whole episodes too."""
        of = "" if self.whole is self else self.whole.content_hash
        return packed.content_hash({key: getattr(self, key) for key in ARRAYS}, of)

    def quantile(self, q: float) -> float:
        """The q-quantile of the episodes' returns. Raises TransferError unless q is between 0 and 1."""
        return float(np.quantile(self.returns, real(q, "the quantile", 0.0, 1.0)))

    @classmethod
    def from_arrays(
        cls,
        states: ArrayLike | Mapping[str, ArrayLike],
        actions: ArrayLike,
        rewards: ArrayLike,
        lengths: ArrayLike | None = None,
        env: Any = None,
        name: str = "arrays",
        *,
        terminations: ArrayLike | None = None,
        truncations: ArrayLike | None = None,
    ) -> "Episodes":
        """Episodes from your own arrays, the episodes one after another; everything is copied.

        Args:
            states: (N, S) the observation before each action; for a Dict observation {key: (N, n)}.
            actions: (N, A).
            rewards: (N,) the reward after each action.
            lengths: (E,) actions in each episode; their sum is N.
            env: a Gymnasium id ("Hopper-v5"), an environment, its Gymnasium `EnvSpec`, or an `EnvironmentSpec`.
            name: of the data, in errors, results and adapters.
            terminations: (N,) instead of lengths, or beside them: whether the task ended an episode after this step.
                Steps after the last flag are an episode too.
            truncations: (N,) whether an episode was cut after this step, as by a time limit.

        Raises:
            TransferError: no arrays of real numbers, shapes disagree, a number is not finite, there is no episode or an
                empty one, or the environment is not known to Gymnasium or has other sizes.
        """
        flags = {"terminations": terminations, "truncations": truncations}
        arrays, slices = packed.own_arrays(states, actions, rewards, lengths, flags, name)
        returns = packed.episode_returns(arrays["rewards"], arrays["offsets"])
        data = Spaces.unbounded(slices, arrays["actions"].shape[1])
        return cls.over(arrays, as_spec(env, returns=returns, data=data), (name,))

    @classmethod
    def join(cls, parts: Sequence["Episodes"], weights: Sequence[float] | None = None) -> "Episodes":
        """All episodes of several datasets of one environment, in the order given.

        Args:
            parts: the datasets.
            weights: of each: a dataset gets its share of their sum of the windows that are drawn, however many of its
                episodes are used. Statistics, returns and errors count every step once. By default all steps are drawn
                evenly.

        Raises:
            TransferError: nothing to join, the same episodes twice, other sizes, other environments, or weights that
                are negative, all zero or of another number.
        """
        if not isinstance(parts, list | tuple) or not all(isinstance(part, Episodes) for part in parts):
            raise TransferError(f"Episodes.join takes a list of Episodes, got {seen(parts)}")
        if not parts:
            raise TransferError("nothing to join: give at least one dataset")
        for part in parts[1:]:
            check_joinable((parts[0].env_spec, parts[0].dataset_ids), (part.env_spec, part.dataset_ids))
        sizes = [part.num_steps for part in parts]  # a hash is computed only for parts of equal length
        alike = [part.content_hash for part in parts if sizes.count(part.num_steps) > 1]
        if len(set(alike)) < len(alike):
            raise TransferError("the same episodes are to be joined twice; their steps would count twice")
        mixture = mixed([(part.mixture, len(part), ", ".join(part.dataset_ids)) for part in parts], weights)
        joined = cls._joined(parts)
        vars(joined).update({} if mixture is None else {"_mixture": mixture})
        return joined

    @classmethod
    def _joined(cls, parts: Sequence["Episodes"]) -> "Episodes":
        ids = list(dict.fromkeys(name for part in parts for name in part.dataset_ids))
        joined = cls.over(packed.joined(parts), parts[0].env_spec, ids)
        if any(part.whole is not part for part in parts):
            columns = {key: np.concatenate([getattr(part, key) for part in parts]) for key in packed.OF_THE_WHOLE}
            vars(joined).update(columns, _whole=cls._joined([part.whole for part in parts]))
        return joined

    def to_minari(self, dataset_id: str, overwrite: bool = False) -> str:
        """Saves the episodes as a local Minari dataset, which every command finds; see `save_dataset`."""
        return str(registry.resolve("envs", "save_dataset")(self, dataset_id, overwrite=overwrite))
