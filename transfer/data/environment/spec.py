"""What is known about one environment: its sizes, how to build it, its reference scores and targets."""

import logging
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from transfer import registry
from transfer.data.arrays import own
from transfer.data.environment.building.make import Bounds, Spaces, build, spaces_of, unbounded
from transfer.data.environment.building.parsing import id_in, parsed
from transfer.data.environment.building.recording import gym_spec_json
from transfer.data.environment.building.trust import vouch
from transfer.data.environment.building.wrappers import own_limit
from transfer.data.environment.observations import Slice, Slices, ant_hint, flat, flattened, summary, to_state, total
from transfer.data.environment.references import ReferenceScores, checked_text
from transfer.errors import NotAtHand, TransferError, check_keys
from transfer.numbers import MOST_STEPS, MOST_WIDTH, flag, real, seen, whole
from transfer.runtime.logs import warn_once

if TYPE_CHECKING:
    import gymnasium

__all__ = ["EnvironmentSpec", "ReferenceScores", "as_spec", "bounds_from_json", "describe", "gym_spec_json", "spec_of"]
logger = logging.getLogger(__name__)
RAW = ReferenceScores("raw return", 0.0, 100.0)


@dataclass(frozen=True)
class EnvironmentSpec:
    """All that an adapter records about its environment.

    Attributes:
        name: name in the table of environments ("hopper"), else the Gymnasium id.
        state_size: S, numbers in an observation.
        action_size: A, numbers in an action.
        action_low: (A,) smallest actions of the environment, minus infinity where there is no bound.
        action_high: (A,) largest actions.
        max_episode_steps: steps after which an episode is cut.
        gym_spec: the dataset's own Gymnasium `EnvSpec` as JSON; environments are built from it, never from the name.
        reference: scale of the scores.
        slices: what the state vector is made of; S numbers in all. A goal is one of them where there is one.
    """

    name: str
    state_size: int
    action_size: int
    action_low: tuple[float, ...]
    action_high: tuple[float, ...]
    max_episode_steps: int
    gym_spec: str
    reference: ReferenceScores
    slices: Slices

    def __post_init__(self) -> None:
        checked_text(self.name, "the name of an environment")
        id_in(self.gym_spec)
        if not isinstance(self.reference, ReferenceScores):
            raise TransferError(
                f"the reference of '{self.name}' is {seen(self.reference)}; ReferenceScores are needed."
            )
        if not isinstance(self.slices, tuple) or not all(isinstance(one, Slice) for one in self.slices):
            raise TransferError(f"slices of '{self.name}' is {seen(self.slices)}; a tuple of Slice is needed.")
        sizes = {"state_size": MOST_WIDTH, "action_size": MOST_WIDTH, "max_episode_steps": MOST_STEPS}
        for name, most in sizes.items():
            object.__setattr__(self, name, whole(getattr(self, name), f"{name} of '{self.name}'", least=1, most=most))
        if total(self.slices) != self.state_size:
            raise TransferError(
                f"the slices of '{self.name}' hold {total(self.slices)} numbers, its states {self.state_size}."
            )
        for bounds in ("action_low", "action_high"):
            object.__setattr__(self, bounds, self._checked_bounds(bounds))
        for at, (low, high) in enumerate(zip(self.action_low, self.action_high, strict=True)):
            if not low < high:
                raise TransferError(f"action {at} of '{self.name}' lies between {low} and {high}; it needs a range.")

    def _checked_bounds(self, name: str) -> tuple[float, ...]:
        """(A,) numbers or infinities, as Python's."""
        values = own(getattr(self, name), f"{name} of '{self.name}'", 1, np.float64).tolist()
        if len(values) != self.action_size:
            raise TransferError(f"{name} of '{self.name}' has {len(values)} numbers; it takes {self.action_size}.")
        return tuple(one if math.isinf(one) else real(one, f"{name} of '{self.name}'") for one in values)

    @property
    def gym_id(self) -> str:
        """The id inside `gym_spec`, such as "Hopper-v5"."""
        return id_in(self.gym_spec)

    @property
    def body(self) -> str:
        """The robot, whichever version and task: "Hopper" for Hopper-v4 and -v5, "AntMaze" for every maze."""
        name = re.sub(r"-v\d+$", "", self.gym_id)
        return re.sub(r"(?<=Maze)_.*|Dense$|Sparse$", "", name)

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file, null where actions have no bound; `from_json` restores an equal object."""
        lists = {
            "slices": [asdict(one) for one in self.slices],
            "action_low": [one if math.isfinite(one) else None for one in self.action_low],
            "action_high": [one if math.isfinite(one) else None for one in self.action_high],
        }
        return asdict(self) | lists

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "EnvironmentSpec":
        """The inverse of `to_json`.

        Raises:
            TransferError: a key is missing or not known, a value is of a wrong type or size, or the scale is called
                after a table that does not hold for it.
        """
        check_keys("the environment spec", data, [f.name for f in fields(cls)])
        gym_spec = checked_text(data["gym_spec"], "gym_spec")
        low, high = bounds_from_json(_items(data, "action_low"), _items(data, "action_high"))
        spec = cls(
            name=checked_text(data["name"], "name"),
            state_size=data["state_size"],
            action_size=data["action_size"],
            action_low=low,
            action_high=high,
            max_episode_steps=data["max_episode_steps"],
            gym_spec=gym_spec,
            reference=ReferenceScores.from_json(data["reference"]),
            slices=tuple(Slice.from_json(one) for one in _items(data, "slices")),
        )
        check_scale(spec)
        return spec

    def to_state(self, observation: Any) -> NDArray[np.float32]:
        """The state vector (..., S) of what the environment shows, Dict observations too; see `to_state`."""
        return to_state(self.slices, observation)

    def make(self, render_mode: str | None = None, trust: bool = False) -> "gymnasium.Env[Any, Any]":
        """Builds the environment as the dataset describes it; its observations are state vectors (S,).

        Args:
            render_mode: how it is going to be rendered, if at all.
            trust: import and call whatever the spec names, which may come from a file; see
                `transfer.data.environment.building.trust`.

        Raises:
            NotAtHand: Gymnasium cannot build it, for example because a package is missing, or it names other code than
                what is registered here.
            TransferError: its observations are not those of the dataset (another version of the environment).
        """
        env = build(self.gym_spec, render_mode, trust)
        try:
            return flattened(env, self.slices)
        except TransferError as error:
            env.close()
            raise TransferError(f"environment {self.gym_id} of '{self.name}': {error}") from error


def without_targets(content: dict[str, Any]) -> dict[str, Any]:
    """The JSON of a checkpoint without the target returns that earlier versions wrote into its environment."""
    environment = content.get("environment")
    if not isinstance(environment, dict):
        return content
    return {**content, "environment": {key: value for key, value in environment.items() if key != "target_returns"}}


def check_scale(spec: EnvironmentSpec) -> None:
    """Raises TransferError if the scale of a spec is called after a table that does not hold for it."""
    registry.resolve("envs", "check_scale")(spec)


def bounds_from_json(low: Sequence[float | None], high: Sequence[float | None]) -> Bounds:
    """Action bounds as `EnvironmentSpec.to_json` writes them: null is no bound."""
    return tuple(-math.inf if one is None else one for one in low), tuple(
        math.inf if one is None else one for one in high
    )


def _items(data: Mapping[str, Any], key: str) -> list[Any]:
    """A list in JSON. Raises TransferError if there is something else."""
    if isinstance(data[key], list | tuple):
        return list(data[key])
    raise TransferError(f"{key} is {data[key]!r:.60} ({type(data[key]).__name__}); a list is needed.")


def describe(
    gym_spec: str,
    state_size: int,
    action_size: int,
    returns: NDArray[np.float64],
    slices: Slices | None = None,
    bounds: Bounds | None = None,
) -> EnvironmentSpec:
    """The spec of the environment that made some episodes.

    Args:
        gym_spec: Gymnasium `EnvSpec` as JSON.
        state_size: S.
        action_size: A.
        returns: (E,) undiscounted returns of the episodes; they are the scale of an environment that is in no table.
        slices: what the state vector is made of; default: the observation as it is.
        bounds: smallest and largest actions, (A,) each; default: those of the environment, if it is at hand.
    """
    gym = parsed(gym_spec)
    known, misfit = registry.resolve("envs", "row_of")(gym, state_size, action_size)
    if misfit:
        warn_once(
            logger,
            f"{gym.id}: the table's scale does not hold, for {misfit}; the data's own returns are used",
        )
    row = None if misfit else known
    reference = row.reference if row else None
    if reference is None:
        reference = ReferenceScores.of_returns(returns, row.least if row else None)
    # Gymnasium allows no limit at all; an evaluation still needs an end.
    limit = own_limit(gym) or (known.max_episode_steps if known else 1000)
    low, high = bounds or bounds_at_hand(gym_spec, action_size)
    return EnvironmentSpec(
        name=row.name if row else gym.id,
        state_size=int(state_size),
        action_size=int(action_size),
        action_low=low,
        action_high=high,
        max_episode_steps=min(limit, row.max_episode_steps) if row else limit,
        gym_spec=gym_spec,
        reference=reference,
        slices=flat(state_size) if slices is None else slices,
    )


def as_spec(
    env: Any,
    *,
    returns: NDArray[np.float64] | None = None,
    slices: Slices | None = None,
    action_size: int | None = None,
    bounds: Bounds | None = None,
    like: EnvironmentSpec | None = None,
    trust: bool = False,
) -> EnvironmentSpec:
    """The spec that an environment given by a user stands for, on every road that takes one.

    Args:
        env: a Gymnasium id ("Hopper-v5", or "module:EnvId-v0", which imports the module), an environment object, a
            Gymnasium `EnvSpec`, or an `EnvironmentSpec`, which is returned as it is.
        returns: (E,) returns of episodes that were made in it: the scale of an environment that is in no table.
        slices: what the states at hand are made of, where there are some.
        action_size: A of the actions at hand.
        bounds: of the actions at hand, for an environment that cannot be built here.
        like: a spec whose scale holds for this one too, if it is of the same body and in no table.
        trust: import and call whatever a Gymnasium `EnvSpec` names; see `transfer.data.environment.building.trust`.

    Raises:
        TransferError: no such environment, Discrete actions, images, or other sizes than the data have.
    """
    flag(trust, "trust")
    if like is not None and not isinstance(like, EnvironmentSpec):
        raise TransferError(f"like={seen(like)}: an EnvironmentSpec is needed.")
    if isinstance(env, EnvironmentSpec):
        _check_sizes(env.gym_id, Spaces(env.slices, env.action_low, env.action_high), slices, action_size)
        check_scale(env)
        return env
    gym_spec = gym_spec_json(env)
    if hasattr(env, "observation_space") and hasattr(env, "action_space"):
        spaces = Spaces.of(env.observation_space, env.action_space, f"environment {id_in(gym_spec)}")
        _check_sizes(id_in(gym_spec), spaces, slices, action_size)
        slices, action_size, bounds = spaces.slices, len(spaces.low), (spaces.low, spaces.high)
        vouch(gym_spec)
    spec = spec_of(gym_spec, returns=returns, slices=slices, action_size=action_size, bounds=bounds, trust=trust)
    if like is None or returns is not None or spec.reference.table != "dataset":
        return spec
    if like.body == spec.body and like.reference.table == "dataset":
        return replace(spec, reference=like.reference)
    return replace(spec, reference=RAW)  # there is no scale: a score is the return itself


def spec_of(
    gym_spec: str,
    *,
    returns: NDArray[np.float64] | None = None,
    slices: Slices | None = None,
    action_size: int | None = None,
    bounds: Bounds | None = None,
    trust: bool = False,
) -> EnvironmentSpec:
    """The spec of the environment that a Gymnasium `EnvSpec` in JSON describes; arguments and errors as `as_spec`."""
    try:
        spaces = spaces_of(gym_spec, trust)
    except NotAtHand as error:
        if slices is None or action_size is None:
            raise
        warn_once(logger, f"{error} Training works without it, scores do not.")
        spaces = Spaces(slices, *(bounds or unbounded(action_size)))
    _check_sizes(id_in(gym_spec), spaces, slices, action_size)
    scale = np.array([0.0, 1.0]) if returns is None else returns
    sizes = total(spaces.slices), len(spaces.low)
    return describe(gym_spec, *sizes, scale, spaces.slices, (spaces.low, spaces.high))


def bounds_at_hand(gym_spec: str, action_size: int) -> Bounds:
    """Smallest and largest actions (A,) of an environment; none where it cannot be built here."""
    try:
        spaces = spaces_of(gym_spec)
    except TransferError:
        return unbounded(action_size)
    return (spaces.low, spaces.high) if len(spaces.low) == action_size else unbounded(action_size)


def _check_sizes(gym_id: str, spaces: Spaces, slices: Slices | None, action_size: int | None) -> None:
    """Raises TransferError unless data of these sizes can have been made in an environment."""
    have = (spaces.slices, len(spaces.low))
    data = (have[0] if slices is None else slices, have[1] if action_size is None else action_size)
    if data != have:
        raise TransferError(
            f"the data have states of {summary(data[0])} and actions of {data[1]}, but the environment {gym_id} has "
            f"{summary(have[0])} and {have[1]}: another environment, or another version of it, made them."
            f"{ant_hint(data[0], have[0])}"
        )
