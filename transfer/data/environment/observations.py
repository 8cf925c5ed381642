"""State vectors from observations: flat observations as they are, Dict observations in named slices.

Every key of a Dict observation becomes a slice, so a goal is always part of the state. With Gymnasium's goal interface
(`GoalEnv`: observation, achieved_goal, desired_goal) the goal is written relative to the achieved one, so that it means
the same in every corner of a maze.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from transfer.data.arrays import own
from transfer.errors import TransferError, check_keys
from transfer.numbers import MOST_WIDTH, whole

if TYPE_CHECKING:
    import gymnasium


@dataclass(frozen=True)
class Slice:
    """Consecutive numbers in the state vector.

    Attributes:
        name: what the numbers are.
        size: their count.
        key: of the Dict observation they come from; "" for a flat observation.
        minus: key that is subtracted from it; "" for none.
    """

    name: str
    size: int
    key: str = ""
    minus: str = ""

    def read(self, observation: Any) -> NDArray[Any]:
        """The numbers (..., size) of an observation, a flat array (..., S) or a mapping of arrays (..., n)."""
        if not self.key:
            return _numbers(observation)
        values = _numbers(observation[self.key])
        return values - _numbers(observation[self.minus]) if self.minus else values

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Slice:
        """The inverse of `dataclasses.asdict`. Raises TransferError for other keys or sizes."""
        check_keys("a slice of the observation", data, [f.name for f in fields(cls)])
        size = whole(data["size"], "size of a slice of the observation", least=1, most=MOST_WIDTH)
        return cls(str(data["name"]), size, str(data["key"]), str(data["minus"]))


def _numbers(values: Any) -> NDArray[Any]:
    """An array of real numbers as it is, in its own precision; other values are copied, or refused."""
    if type(values) is np.ndarray and values.dtype.kind in "fiu":
        return values
    return own(values, "the observation's numbers", dtype=np.float64)


Slices = tuple[Slice, ...]


def flat(size: int) -> Slices:
    """The slices of an observation that is a vector already."""
    return (Slice("state", int(size)),)


def slices_of(sizes: Mapping[str, int]) -> Slices:
    """The slices of a Dict observation, by the number of entries under each key.

    `GoalEnv` keys give observation, goal (desired minus achieved) and position (achieved), other keys one slice each in
    alphabetical order. Raises TransferError if desired and achieved goal differ in size.
    """
    if set(sizes) != {"observation", "achieved_goal", "desired_goal"}:
        return tuple(Slice(key, sizes[key], key) for key in sorted(sizes))
    if sizes["desired_goal"] != sizes["achieved_goal"]:
        raise TransferError(
            f"desired_goal has {sizes['desired_goal']} numbers and achieved_goal {sizes['achieved_goal']}; they must "
            "be equal, because the goal is written relative to what was achieved."
        )
    return (
        Slice("observation", sizes["observation"], "observation"),
        Slice("goal", sizes["desired_goal"], "desired_goal", minus="achieved_goal"),
        Slice("position", sizes["achieved_goal"], "achieved_goal"),
    )


def slices_of_space(space: Any) -> Slices:
    """The slices of a Gymnasium space. Raises TransferError unless it is a 1-d Box of numbers or a Dict of such."""
    from gymnasium.spaces import Dict

    if isinstance(space, Dict):
        return slices_of({key: vector_size(one, f"under '{key}'", "fiu") for key, one in space.spaces.items()})
    return flat(vector_size(space, kinds="fiu"))


def vector_size(space: Any, where: str = "", kinds: str = "f") -> int:
    """Size of a flat Gymnasium space. Raises TransferError unless it is a 1-d Box of numbers of some NumPy kinds."""
    from gymnasium.spaces import Box

    if not isinstance(space, Box) or len(space.shape) != 1 or space.dtype.kind not in kinds:
        text = " ".join(str(space).split())[:200]
        advice = "only vectors of real numbers (a 1-d Box) are supported, or a Dict of such as observation"
        if isinstance(space, Box) and len(space.shape) == 3:
            advice += "; images have to be encoded into a vector first"
        raise TransferError(f"{text}{' ' + where if where else ''}: {advice}")
    return int(space.shape[0])


def total(slices: Sequence[Slice]) -> int:
    """S, the size of the state vector."""
    return sum(one.size for one in slices)


def to_state(slices: Slices, observation: Any) -> NDArray[np.float32]:
    """The state vector (..., S) float32 of an observation, or of many with the same leading axes.

    Differences are taken before the numbers become float32.

    Raises:
        TransferError: a key is missing or unknown, or a slice has another size than declared.
    """
    known, keyed = {key for one in slices for key in (one.key, one.minus) if key}, isinstance(observation, Mapping)
    if keyed != bool(known) or (keyed and set(observation) != known):
        have = f"keys {', '.join(sorted(observation))}" if keyed else "a flat vector"
        want = f"keys {', '.join(sorted(known))}" if known else "a flat vector"
        raise TransferError(f"the observation has {have}; {want} wanted.")
    parts = [one.read(observation) for one in slices]
    for one, part in zip(slices, parts, strict=True):
        if part.ndim == 0 or part.shape[-1] != one.size:
            raise TransferError(f"'{one.name}' of the observation has shape {part.shape}; {one.size} numbers wanted.")
    with np.errstate(over="ignore"):  # numbers too large for float32 become infinite; callers check for finite ones
        return np.concatenate([np.asarray(part, dtype=np.float32) for part in parts], axis=-1)


def flattened(env: gymnasium.Env[Any, Any], slices: Slices) -> gymnasium.Env[Any, Any]:
    """The environment with state vectors as observations. Raises TransferError if it has other slices."""
    found = slices_of_space(env.observation_space)
    if found != slices:
        raise TransferError(
            f"its observations have {summary(found)}, the data {summary(slices)}.{ant_hint(found, slices)}"
        )
    if not any(one.key for one in slices):
        return env
    from gymnasium.spaces import Box
    from gymnasium.wrappers import TransformObservation

    space = Box(-np.inf, np.inf, (total(slices),), np.float32)
    return TransformObservation(env, lambda observation: to_state(slices, observation), space)


def summary(slices: Slices) -> str:
    """Sizes for people, as "27 observation + 2 goal + 2 position numbers"."""
    return " + ".join(f"{one.size} {one.name}" for one in slices) + " numbers"


def ant_hint(one: Slices, other: Slices) -> str:
    """The advice for an ant whose observations have contact forces on one side only (27 against 105), else ""."""
    if {one[0].size, other[0].size} != {27, 105}:
        return ""
    return (
        " 27 is an ant without contact forces (the -v4 environments, or include_cfrc_ext_in_observation=False), 105 is "
        "one with them (the -v5 default): data and environment must be of one kind."
    )
