"""Episodes: every trajectory of a dataset as packed arrays, one after another.

Letters: N steps altogether, E episodes, S state size, A action size.
"""

import functools
import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transfer.errors import TransferError
from transfer.observations import ant_hint, slices_of, to_state
from transfer.specs import EnvironmentSpec, describe, gym_spec_json

logger = logging.getLogger(__name__)
FloatArray = NDArray[np.float32]
ARRAYS = {"states": np.float32, "actions": np.float32, "rewards": np.float32, "offsets": np.int64}


@dataclass(frozen=True, eq=False)
class Episodes:
    """Trajectories of one environment, ready for gathering windows.

        step      0 1 2 3 4 | 5 6 7 | 8 ...        offsets = [0, 5, 8, ...], offsets[-1] = N
        episode       0     |   1   | 2 ...

    N counts actions: the observation after the last action of each episode is left out. Arrays that come from a
    loader are read-only memory maps.

    Attributes:
        states: (N, S) float32.
        actions: (N, A) float32.
        rewards: (N,) float32.
        offsets: (E + 1,) int64, first step of each episode, and N.
        env_spec: the environment that made them.
        dataset_ids: where they came from, for results and adapters.
        content_hash: sha256 of the four arrays.
    """

    states: FloatArray
    actions: FloatArray
    rewards: FloatArray
    offsets: NDArray[np.int64]
    env_spec: EnvironmentSpec
    dataset_ids: tuple[str, ...]
    content_hash: str

    def __post_init__(self) -> None:
        check_arrays(self.states, self.actions, self.rewards, self.offsets, ", ".join(self.dataset_ids))
        sizes = (self.env_spec.state_size, self.env_spec.action_size)
        if sizes != (self.state_size, self.action_size):
            raise TransferError(
                f"{', '.join(self.dataset_ids)}: states and actions have sizes {self.state_size} and "
                f"{self.action_size}, but the environment '{self.env_spec.name}' has {sizes[0]} and {sizes[1]}"
            )

    @property
    def num_episodes(self) -> int:
        """E."""
        return len(self.offsets) - 1

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
        """(E,) steps in each episode."""
        return np.diff(self.offsets)

    @functools.cached_property
    def returns(self) -> NDArray[np.float64]:
        """(E,) undiscounted return of each episode."""
        return episode_returns(self.rewards, self.offsets)

    @functools.cached_property
    def returns_to_go(self) -> FloatArray:
        """(N,) undiscounted sum of the rewards from this step to the end of its episode.

        Differences of one running sum, taken backwards from each episode's end in float64: a million steps with
        rewards of size 10 lose less than 1e-8, which float32 rounds away.
        """
        running = np.concatenate([[0.0], np.cumsum(self.rewards, dtype=np.float64)])  # (N + 1,)
        ends = np.repeat(running[self.offsets[1:]], self.lengths)  # (N,)
        return np.asarray(ends - running[:-1], dtype=np.float32)

    def quantile(self, q: float) -> float:
        """The q-quantile (0 to 1) of the episodes' returns.

        Raises:
            TransferError: q is outside 0 to 1.
        """
        if not 0.0 <= q <= 1.0:
            raise TransferError(f"a quantile lies between 0 and 1, got {q}")
        return float(np.quantile(self.returns, q))

    @classmethod
    def from_arrays(
        cls,
        states: ArrayLike | Mapping[str, ArrayLike],
        actions: ArrayLike,
        rewards: ArrayLike,
        lengths: ArrayLike,
        env: Any,
        name: str = "arrays",
    ) -> "Episodes":
        """Episodes from your own arrays, the episodes one after another.

        Args:
            states: (N, S) the observation before each action; for a Dict observation {key: (N, n)}.
            actions: (N, A).
            rewards: (N,) the reward after each action.
            lengths: (E,) actions in each episode; their sum is N.
            env: a Gymnasium id ("Hopper-v5"), a Gymnasium `EnvSpec`, or an `EnvironmentSpec`.
            name: how errors, results and adapters call this data.

        Raises:
            TransferError: shapes disagree, a number is not finite, there is no episode or an empty one, or the
                environment is not known to Gymnasium.
        """
        slices = None
        if isinstance(states, Mapping):
            keyed = {key: np.asarray(values) for key, values in states.items()}
            slices = slices_of({key: values.shape[-1] for key, values in keyed.items()})
            states = to_state(slices, keyed)
        packed = {
            "states": _as_float32(states, "states", name),
            "actions": _as_float32(actions, "actions", name),
            "rewards": _as_float32(rewards, "rewards", name),
            "offsets": np.concatenate([[0], np.cumsum(np.asarray(lengths, dtype=np.int64))]),
        }
        check_arrays(**packed, name=name)
        check_finite(packed, name)
        if not isinstance(env, EnvironmentSpec):
            sizes = packed["states"].shape[1], packed["actions"].shape[1]
            returns = episode_returns(packed["rewards"], packed["offsets"])
            env = describe(gym_spec_json(env), *sizes, returns, slices)
        return cls(**packed, env_spec=env, dataset_ids=(name,), content_hash=content_hash(packed))

    @classmethod
    def join(cls, parts: Sequence["Episodes"]) -> "Episodes":
        """All episodes of several datasets of one environment, in the order given.

        Raises:
            TransferError: nothing to join, different state or action sizes, or different environments.
        """
        if not parts:
            raise TransferError("nothing to join: give at least one dataset")
        for part in parts[1:]:
            check_joinable((parts[0].env_spec, parts[0].dataset_ids), (part.env_spec, part.dataset_ids))
        starts = np.cumsum([0] + [part.num_steps for part in parts])
        packed = {
            key: np.concatenate([getattr(part, key) for part in parts]) for key in ("states", "actions", "rewards")
        }
        packed["offsets"] = np.concatenate(
            [p.offsets[:-1] + s for p, s in zip(parts, starts, strict=False)] + [starts[-1:]]
        )
        spec = parts[0].env_spec
        if spec.reference.table == "dataset":
            returns = np.concatenate([part.returns for part in parts])
            spec = describe(spec.gym_spec, spec.state_size, spec.action_size, returns, spec.slices)
        ids = tuple(name for part in parts for name in part.dataset_ids)
        return cls(**packed, env_spec=spec, dataset_ids=ids, content_hash=content_hash(packed))


def episode_returns(rewards: FloatArray, offsets: NDArray[np.int64]) -> NDArray[np.float64]:
    """(E,) sums of the rewards (N,) between the offsets (E + 1,), added up in float64."""
    return np.add.reduceat(rewards, offsets[:-1], dtype=np.float64)


def content_hash(arrays: dict[str, NDArray[Any]]) -> str:
    """Sha256 over name, dtype, shape and bytes of states, actions, rewards and offsets."""
    digest = hashlib.sha256()
    for key in ARRAYS:
        array = np.ascontiguousarray(arrays[key])
        digest.update(json.dumps([key, array.dtype.str, array.shape]).encode())
        digest.update(array.data)
    return digest.hexdigest()


def check_arrays(states: Any, actions: Any, rewards: Any, offsets: Any, name: str) -> None:
    """Raises TransferError, naming the dataset, unless the four arrays fit together."""
    given = dict(states=states, actions=actions, rewards=rewards, offsets=offsets)
    for (key, array), ndim in zip(given.items(), (2, 2, 1, 1), strict=True):
        if array.ndim != ndim or array.dtype != ARRAYS[key]:
            raise TransferError(
                f"{name}: {key} must be {ndim}-d {np.dtype(ARRAYS[key])}, got {array.ndim}-d {array.dtype}"
            )
    if len(offsets) < 2:
        raise TransferError(f"{name}: no episode in it; at least one is needed")
    lengths = np.diff(offsets)
    if lengths.min() <= 0:
        raise TransferError(
            f"{name}: episode {int(lengths.argmin())} has {int(lengths.min())} steps; each needs at least one"
        )
    if offsets[0] != 0 or not len(states) == len(actions) == len(rewards) == offsets[-1]:
        raise TransferError(
            f"{name}: {len(states)} states, {len(actions)} actions and {len(rewards)} rewards for episodes of "
            f"{int(offsets[-1])} steps altogether; all four must be equal"
            + ("; leave out the last observation of each episode" if len(states) > len(actions) else "")
        )
    if 0 in (states.shape[1], actions.shape[1]):
        raise TransferError(f"{name}: states and actions need a size, got shapes {states.shape} and {actions.shape}")


def first_not_finite(values: NDArray[Any]) -> int | None:
    """The first step of an array (N, ...) with a NaN or an infinity, None where there is none."""
    finite = np.isfinite(values)
    return None if finite.all() else int(np.argmin(finite.reshape(len(finite), -1).all(axis=1)))


def check_finite(arrays: dict[str, NDArray[Any]], name: str) -> None:
    """Raises TransferError, naming dataset, array and episode, if a number is NaN or infinite."""
    for key in ("states", "actions", "rewards"):
        step = first_not_finite(arrays[key])
        if step is not None:
            episode = int(np.searchsorted(arrays["offsets"], step, side="right")) - 1
            raise TransferError(
                f"{name}: {key} of episode {episode}, step {step - int(arrays['offsets'][episode])}, are not finite: "
                f"{arrays[key][step]}. Remove or repair that episode."
            )


def _as_float32(values: ArrayLike, key: str, name: str) -> FloatArray:
    try:
        with np.errstate(over="ignore"):  # too large for float32 becomes infinite, which check_finite reports
            return np.ascontiguousarray(values, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise TransferError(f"{name}: {key} are not an array of numbers: {error}") from error


def check_joinable(first: tuple[EnvironmentSpec, Sequence[str]], other: tuple[EnvironmentSpec, Sequence[str]]) -> None:
    """Raises TransferError unless both (environment, dataset ids) have the same sizes in the same environment."""
    (spec, ids), (spec_2, ids_2) = (first[0], ", ".join(first[1])), (other[0], ", ".join(other[1]))
    sizes = [(one.state_size, one.action_size) for one in (spec, spec_2)]
    if sizes[0] != sizes[1] or spec.slices != spec_2.slices:
        raise TransferError(
            f"cannot join {ids} and {ids_2}: state and action sizes {sizes[0]} and {sizes[1]}"
            f"{'' if sizes[0] != sizes[1] else ', made of other slices'}. Join datasets of one environment only."
            f"{ant_hint(spec.slices, spec_2.slices)}"
        )
    if spec.gym_id != spec_2.gym_id:
        raise TransferError(
            f"cannot join {ids} of {spec.gym_id} and {ids_2} of {spec_2.gym_id}: equal sizes, but not the same "
            "environment"
        )
    if spec.gym_spec != spec_2.gym_spec:
        logger.warning("%s and %s differ in their environment's settings; those of the first are used", ids, ids_2)
