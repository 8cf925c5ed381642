"""Building environments from their Gymnasium specs, without the chatter of the packages that do it."""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from transfer.errors import TransferError
from transfer.observations import Slices, slices_of_space, vector_size

if TYPE_CHECKING:
    import gymnasium
    from gymnasium.envs.registration import EnvSpec

logger = logging.getLogger(__name__)
_lock = threading.Lock()
_building = threading.local()
_seen: dict[str, tuple[EnvSpec | None, Spaces]] = {}
Bounds = tuple[tuple[float, ...], tuple[float, ...]]


class NotAtHand(TransferError):
    """An environment that cannot be built here; what needs none works all the same."""


@dataclass(frozen=True)
class Spaces:
    """What an environment shows and takes.

    Attributes:
        slices: of the observation.
        low: (A,) smallest actions, minus infinity where there is no bound.
        high: (A,) largest actions.
    """

    slices: Slices
    low: tuple[float, ...]
    high: tuple[float, ...]

    @classmethod
    def of(cls, observation_space: Any, action_space: Any, name: str) -> Spaces:
        """The sizes and bounds of two Gymnasium spaces.

        Raises:
            TransferError: spaces that are not vectors of real numbers, with `name` as the one that has them.
        """
        what = "observations"
        try:
            slices = slices_of_space(observation_space)
            what = "actions"
            vector_size(action_space)
        except TransferError as error:
            raise TransferError(f"{name} has {what} in {error}. Discrete actions are not.") from error
        low, high = (tuple(map(float, bound)) for bound in (action_space.low, action_space.high))
        return cls(slices, low, high)


def unbounded(action_size: int) -> Bounds:
    """The bounds of actions of which none are known."""
    return (-np.inf,) * action_size, (np.inf,) * action_size


def build(gym_spec: str, render_mode: str | None = None) -> gymnasium.Env[Any, Any]:
    """The environment of a Gymnasium `EnvSpec` as JSON.

    Raises:
        NotAtHand: Gymnasium cannot build it.
    """
    import gymnasium

    options: dict[str, Any] = {} if render_mode is None else {"render_mode": render_mode}
    try:
        with quiet():
            # The checker only warns about the API, and costs a visible share of each step.
            spec = gymnasium.envs.registration.EnvSpec.from_json(gym_spec)
            return gymnasium.make(spec, disable_env_checker=True, **options)
    except Exception as error:  # environments raise anything, and all of it ends in the same advice
        gym_id = json.loads(gym_spec).get("id")
        raise NotAtHand(
            f"cannot build the environment {gym_id}: {type(error).__name__}: {error}. "
            'Its packages may be missing: pip install "gymnasium[mujoco]" gymnasium-robotics'
        ) from error


def spaces_of(gym_spec: str) -> Spaces:
    """What the environment of a Gymnasium `EnvSpec` (JSON) shows and takes; it is built to be asked, once a process.

    Raises:
        NotAtHand: it cannot be built.
        TransferError: its spaces are not vectors of real numbers.
    """
    import gymnasium

    gym_id = json.loads(gym_spec)["id"]
    found = _seen.get(gym_spec)
    # An id may be registered again, for another class.
    if found is None or found[0] is not gymnasium.registry.get(gym_id):
        with contextlib.closing(build(gym_spec)) as env:
            spaces = Spaces.of(env.observation_space, env.action_space, f"environment {gym_id}")
        found = _seen[gym_spec] = gymnasium.registry.get(gym_id), spaces
    return found[1]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Inside, what packages say while environments are built goes to this module's logger as debug messages.

    gymnasium_robotics prints a notice about Adroit at its import, and MuJoCo 4 writes warnings about HalfCheetah's
    model to stderr and to MUJOCO_LOG.TXT in the working folder unless a handler takes them. stderr stays as it is:
    environments may hand it to a process, and what they print is theirs to print.
    """
    _forget_notices()
    _take_mujoco_warnings()
    depth = getattr(_building, "depth", 0)
    _building.depth = depth + 1
    try:
        yield
    finally:
        _building.depth = depth


@functools.cache
def _forget_notices() -> None:
    with contextlib.suppress(ImportError):
        from farama_notifications import notifications

        notifications.pop("gymnasium_robotics", None)


def _take_mujoco_warnings() -> None:
    """MuJoCo has one handler for all threads; ours stays, since its warnings come while it is stepped, too."""
    try:
        import mujoco
    except ImportError:
        return
    with _lock:
        if mujoco.get_mju_user_warning() is None:
            mujoco.set_mju_user_warning(_log_warning)


def _log_warning(message: str) -> None:
    """Warnings about a model as it is built are for nobody; those of a running simulation are said once each."""
    if getattr(_building, "depth", 0):
        logger.debug("mujoco: %s", message)
    else:
        _say_once("mujoco: " + message)


@functools.lru_cache(maxsize=256)
def _say_once(message: str) -> None:
    logger.warning("%s", message)


def registered(gym_id: str) -> EnvSpec:
    """The spec of a registered id; Adroit and AntMaze are registered by importing gymnasium_robotics."""
    import gymnasium

    try:
        return gymnasium.spec(gym_id)
    except gymnasium.error.NameNotFound:
        with quiet(), contextlib.suppress(ImportError):
            import gymnasium_robotics

            gymnasium.register_envs(gymnasium_robotics)
        return gymnasium.spec(gym_id)
