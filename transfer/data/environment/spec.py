"""An environment's spec: its sizes, how to build it, and its reference scores."""

import logging
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from transfer import registry
from transfer.data.arrays import own
from transfer.data.environment.building.make import Spaces, build, spaces_of
from transfer.data.environment.building.parsing import checked, id_in, parsed
from transfer.data.environment.building.recording import gym_spec_json
from transfer.data.environment.building.trust import vouch
from transfer.data.environment.building.wrappers import own_limit
from transfer.data.environment.observations import Slice, Slices, ant_hint, flattened, summary, to_state, total
from transfer.data.environment.references import ReferenceScores
from transfer.errors import NotAtHand, TransferError, check_keys
from transfer.numbers import MOST_STEPS, MOST_WIDTH, flag, real, seen, whole
from transfer.runtime.logs import warn_once

if TYPE_CHECKING:
    import gymnasium

__all__ = ["EnvironmentSpec", "ReferenceScores", "as_spec", "gym_spec_json", "spec_of", "spec_of_data"]
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EnvironmentSpec:
    """An environment as an adapter records it.

    Attributes:
        name: name in the table of environments ("hopper"), else the Gymnasium id.
        state_size: S.
        action_size: A.
        action_low: (A,) smallest actions of the environment, minus infinity for no bound.
        action_high: (A,) largest actions.
        max_episode_steps: steps after which an episode is truncated.
        gym_spec: the dataset's own Gymnasium `EnvSpec` as JSON; environments are built from it, never from the name.
        reference: scale of the scores.
        slices: parts of the state vector, S numbers in all; a goal is one of them.

    Raises:
        TransferError: a value of another type or size, or sizes that contradict each other.
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
        checked(self.name, str, "the name of an environment")
        id_in(self.gym_spec)
        checked(self.reference, ReferenceScores, f"the reference of '{self.name}'")
        if not isinstance(self.slices, tuple) or not all(isinstance(one, Slice) for one in self.slices):
            raise TransferError(f"slices of '{self.name}' is {seen(self.slices)}; a tuple of Slice is needed.")
        sizes = {"state_size": MOST_WIDTH, "action_size": MOST_WIDTH, "max_episode_steps": MOST_STEPS}
        for key, most in sizes.items():
            object.__setattr__(self, key, whole(getattr(self, key), f"{key} of '{self.name}'", least=1, most=most))
        if total(self.slices) != self.state_size:
            raise TransferError(
                f"the slices of '{self.name}' hold {total(self.slices)} numbers, its states {self.state_size}."
            )
        for key in ("action_low", "action_high"):
            what = f"{key} of '{self.name}'"
            bounds = own(getattr(self, key), what, 1, np.float64).tolist()
            if len(bounds) != self.action_size:
                raise TransferError(f"{what} has {len(bounds)} numbers; it takes {self.action_size}.")
            object.__setattr__(self, key, tuple(one if math.isinf(one) else real(one, what) for one in bounds))
        for at, (low, high) in enumerate(zip(self.action_low, self.action_high, strict=True)):
            if not low < high:
                raise TransferError(f"action {at} of '{self.name}' lies between {low} and {high}; it needs a range.")

    @property
    def gym_id(self) -> str:
        """The id inside `gym_spec`, such as "Hopper-v5"."""
        return id_in(self.gym_spec)

    @property
    def spaces(self) -> Spaces:
        """Observations and actions."""
        return Spaces(self.slices, self.action_low, self.action_high)

    @property
    def body(self) -> str:
        """The robot without version and task: "Hopper" for Hopper-v4 and -v5, "AntMaze" for every maze."""
        name = re.sub(r"-v\d+$", "", self.gym_id)
        return re.sub(r"(?<=Maze)_.*|Dense$|Sparse$", "", name)

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file, null for actions without bound; `from_json` restores an equal object."""
        data = asdict(self)
        for key in ("action_low", "action_high"):
            data[key] = [one if math.isfinite(one) else None for one in data[key]]
        return data | {"slices": list(data["slices"])}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "EnvironmentSpec":
        """The inverse of `to_json`. Raises TransferError for other keys and values, and for a table's scale, edited."""
        check_keys("the environment spec", data, [f.name for f in fields(cls)])
        read: dict[str, Any] = {
            "reference": ReferenceScores.from_json(data["reference"]),
            "slices": tuple(Slice.from_json(one) for one in checked(data["slices"], list, "slices")),
        }
        for key, no_bound in (("action_low", -math.inf), ("action_high", math.inf)):
            read[key] = [no_bound if one is None else one for one in checked(data[key], list, key)]
        spec = cls(**{**data, **read})
        check_scale(spec)
        return spec

    def to_state(self, observation: Any) -> NDArray[np.float32]:
        """The state vector (..., S) of an observation, Dict observations too."""
        return to_state(self.slices, observation)

    def make(self, render_mode: str | None = None, trust: bool = False) -> "gymnasium.Env[Any, Any]":
        """Builds the environment as the dataset describes it; its observations are state vectors (S,).

        Args:
            render_mode: of the environment.
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


def check_scale(spec: EnvironmentSpec) -> None:
    """Raises TransferError if the scale of a spec has the name of a table that does not apply."""
    registry.resolve("envs", "check_scale")(spec)


def spec_of_data(gym_spec: str, spaces: Spaces, returns: NDArray[np.float64]) -> EnvironmentSpec:
    """The spec of the environment of some episodes; their returns (E,) are its scale, unless it is in a table."""
    gym, state_size, action_size = parsed(gym_spec), total(spaces.slices), len(spaces.low)
    known, misfit = registry.resolve("envs", "row_of")(gym, state_size, action_size)
    if misfit:
        warn_once(logger, f"{gym.id}: the table's scale does not hold, for {misfit}; the data's own returns are used")
    row = None if misfit else known
    # Gymnasium allows environments without a limit; an evaluation needs one.
    limit = own_limit(gym) or (known.max_episode_steps if known else 1000)
    return EnvironmentSpec(
        name=row.name if row else gym.id,
        state_size=state_size,
        action_size=action_size,
        action_low=spaces.low,
        action_high=spaces.high,
        max_episode_steps=min(limit, row.max_episode_steps) if row else limit,
        gym_spec=gym_spec,
        reference=(row and row.reference) or ReferenceScores.of_returns(returns, row.least if row else None),
        slices=spaces.slices,
    )


def as_spec(
    env: Any,
    *,
    returns: NDArray[np.float64] | None = None,
    data: Spaces | None = None,
    like: EnvironmentSpec | None = None,
    trust: bool = False,
) -> EnvironmentSpec:
    """The spec of an environment given by a user.

    Args:
        env: a Gymnasium id ("Hopper-v5", or "module:EnvId-v0", which imports the module), an environment object, a
            Gymnasium `EnvSpec`, or an `EnvironmentSpec`, which is returned as it is.
        returns: (E,) returns of its episodes, the scale of an environment that is in no table.
        data: spaces of the episodes at hand, which are used if the environment cannot be built here.
        like: a spec whose scale holds for this one too, if it is of the same body and in no table.
        trust: import and call whatever a Gymnasium `EnvSpec` names; see `transfer.data.environment.building.trust`.

    Raises:
        TransferError: no such environment, Discrete actions, images, or other sizes than the data have.
    """
    flag(trust, "trust")
    if like is not None:
        checked(like, EnvironmentSpec, "like")
    if isinstance(env, EnvironmentSpec):
        _check_sizes(env.gym_id, env.spaces, data)
        check_scale(env)
        return env
    gym_spec = gym_spec_json(env)
    if hasattr(env, "observation_space") and hasattr(env, "action_space"):
        spaces = Spaces.of(env.observation_space, env.action_space, f"environment {id_in(gym_spec)}")
        _check_sizes(id_in(gym_spec), spaces, data)
        vouch(gym_spec)
        data = spaces
    spec = spec_of(gym_spec, returns=returns, data=data, trust=trust)
    if like is None or returns is not None or spec.reference.table != "dataset":
        return spec
    if like.body == spec.body and like.reference.table == "dataset":
        return replace(spec, reference=like.reference)
    return replace(spec, reference=ReferenceScores("raw return", 0.0, 100.0))  # a score is a return


def spec_of(
    gym_spec: str, *, returns: NDArray[np.float64] | None = None, data: Spaces | None = None, trust: bool = False
) -> EnvironmentSpec:
    """The spec of the environment of a Gymnasium `EnvSpec` in JSON; arguments and errors as `as_spec`."""
    try:
        spaces = spaces_of(gym_spec, trust)
    except NotAtHand as error:
        if data is None:
            raise
        warn_once(logger, f"{error} Training works without it, scores do not.")
        spaces = data
    _check_sizes(id_in(gym_spec), spaces, data)
    return spec_of_data(gym_spec, spaces, np.array([0.0, 1.0]) if returns is None else returns)


def _check_sizes(gym_id: str, spaces: Spaces, data: Spaces | None) -> None:
    """Raises TransferError if data have other slices or action sizes than an environment."""
    if data is not None and (data.slices, len(data.low)) != (spaces.slices, len(spaces.low)):
        raise TransferError(
            f"the data have states of {summary(data.slices)} and actions of {len(data.low)}, but the environment "
            f"{gym_id} has {summary(spaces.slices)} and {len(spaces.low)}: another environment, or another version of "
            f"it, made them.{ant_hint(data.slices, spaces.slices)}"
        )
