"""Building environments from their Gymnasium specs, and the sizes and bounds of their observations and actions."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from transfer.data.environment.building.importing import cause_of
from transfer.data.environment.building.parsing import id_in
from transfer.data.environment.building.trust import TRUST, allowed, find_registered, told
from transfer.data.environment.building.wrappers import statistics_in, wrapped
from transfer.data.environment.observations import Slices, slices_of_space, vector_size
from transfer.errors import NotAtHand, TransferError, unknown
from transfer.runtime.logs import quiet

if TYPE_CHECKING:
    import gymnasium
    from gymnasium.envs.registration import EnvSpec

logger = logging.getLogger(__name__)
_spaces: dict[tuple[str, bool], tuple[EnvSpec | None, Spaces]] = {}
_RENDER_MODES = ("rgb_array", "human", "ansi", "depth_array", "rgb_array_list", "ansi_list", "rgbd_tuple")


@dataclass(frozen=True)
class Spaces:
    """Observations and actions of an environment.

    Attributes:
        slices: of the observation.
        low: (A,) smallest actions, minus infinity for no bound.
        high: (A,) largest actions.
        statistics: names of wrappers that keep statistics, which start empty when they are built.
    """

    slices: Slices
    low: tuple[float, ...]
    high: tuple[float, ...]
    statistics: tuple[str, ...] = ()

    @classmethod
    def of(cls, observation_space: Any, action_space: Any, name: str) -> Spaces:
        """Reads two Gymnasium spaces. Raises TransferError, with their owner's name, unless they are real vectors."""
        what = "observations"
        try:
            slices = slices_of_space(observation_space)
            what = "actions"
            vector_size(action_space)
        except TransferError as error:
            raise TransferError(f"{name} has {what} in {error}. Discrete actions are not.") from error
        return cls(slices, tuple(map(float, action_space.low)), tuple(map(float, action_space.high)))

    @classmethod
    def unbounded(cls, slices: Slices, action_size: int) -> Spaces:
        """Observations and actions without known bounds."""
        return cls(slices, (-np.inf,) * action_size, (np.inf,) * action_size)


def build(gym_spec: str, render_mode: str | None = None, trust: bool = False) -> gymnasium.Env[Any, Any]:
    """The environment of a Gymnasium `EnvSpec` as JSON; the spec's own render mode is ignored.

    Raises:
        NotAtHand: it cannot be built, or must not be (see `transfer.data.environment.building.trust`), or one of its
            wrappers keeps statistics and nobody has given permission.
    """
    env = _built(gym_spec, render_mode, trust)
    reason = _about_statistics(statistics_in(env), id_in(gym_spec))
    if reason and told("", trust) is None:  # an object handed in stands for its code alone
        env.close()
        raise NotAtHand(f"{reason}. Evaluate in one without it (env=): adapters normalise states themselves. {TRUST}")
    if reason:
        logger.warning("%s", reason)
    return env


def _built(gym_spec: str, render_mode: str | None, trust: bool) -> gymnasium.Env[Any, Any]:
    import gymnasium

    if render_mode not in (None, *_RENDER_MODES):
        raise unknown("render_mode", render_mode, _RENDER_MODES)
    spec = allowed(gym_spec, trust)
    wrappers, spec.additional_wrappers = spec.additional_wrappers, ()  # `wrapped` checks them before it calls them
    options: dict[str, Any] = {} if render_mode is None else {"render_mode": render_mode}
    try:
        with quiet():
            # The checker only warns about the API, and costs a visible share of each step.
            env = gymnasium.make(spec, disable_env_checker=True, **options)
    except Exception as error:  # environments raise anything
        raise NotAtHand(f"cannot build the environment {spec.id}: {cause_of(error)}") from error
    try:
        return wrapped(env, wrappers, told(gym_spec, trust))
    except TransferError as error:
        env.close()
        raise type(error)(f"cannot build the environment {spec.id}: {error}") from error


def spaces_of(gym_spec: str, trust: bool = False) -> Spaces:
    """Observations and actions of the environment of a Gymnasium `EnvSpec` (JSON), which is built once a process.

    Raises NotAtHand if it cannot be built, or must not be, and TransferError if its spaces are not real vectors.
    """
    gym_id = id_in(gym_spec)
    key, known = (gym_spec, told(gym_spec, trust) is None), find_registered(gym_id)
    found = _spaces.get(key)
    if found is None or found[0] is not known:  # an id may be registered again, for another class
        with contextlib.closing(_built(gym_spec, None, trust)) as env:
            spaces = Spaces.of(env.observation_space, env.action_space, f"environment {gym_id}")
            spaces = replace(spaces, statistics=statistics_in(env))
        if reason := _about_statistics(spaces.statistics, gym_id):
            logger.warning("%s", reason)
        found = _spaces[key] = known, spaces
    return found[1]


def spaces_at_hand(gym_spec: str, slices: Slices, action_size: int) -> Spaces:
    """Slices with the bounds of an environment; without bounds if it cannot be built here or has another size."""
    free = Spaces.unbounded(slices, action_size)
    try:
        found = spaces_of(gym_spec)
    except TransferError:
        return free
    return replace(free, low=found.low, high=found.high) if len(found.low) == action_size else free


def _about_statistics(kept: tuple[str, ...], gym_id: str) -> str:
    """Why a score in an environment with such wrappers misleads, "" without any."""
    if not kept:
        return ""
    return (
        f"{', '.join(kept)} of the environment {gym_id} starts with empty statistics in every environment that is "
        "built, so a score depends on how many are played at once"
    )
