"""What is known about one environment: its sizes, how to build it, its reference scores and targets."""

import contextlib
import importlib
import io
import json
import logging
import threading
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from transfer.errors import TransferError, check_keys
from transfer.observations import Slice, Slices, flat, flattened, to_state, total

if TYPE_CHECKING:
    import gymnasium

logger = logging.getLogger(__name__)
# The core names the table of environments as a string: it imports nothing of transfer.envs until somebody asks.
_TABLE = "transfer.envs.specs"
_stderr_lock = threading.RLock()
FloatOrArray = TypeVar("FloatOrArray", float, NDArray[np.float64])


@dataclass(frozen=True)
class ReferenceScores:
    """Two returns that fix a scale: `minimum` scores 0, `maximum` scores 100 (Fu et al. 2020, D4RL, section 4).

    Scores from different tables must never be compared, so the table's name travels with the numbers.
    """

    table: str
    minimum: float
    maximum: float

    def __post_init__(self) -> None:
        if not self.maximum > self.minimum:
            raise TransferError(
                f"reference scores of table '{self.table}' need maximum > minimum, got minimum {self.minimum} and "
                f"maximum {self.maximum}"
            )

    @property
    def span(self) -> float:
        """Maximum minus minimum, in units of return; returns are conditioned as return-to-go / span."""
        return self.maximum - self.minimum

    def score(self, returns: FloatOrArray) -> FloatOrArray:
        """Normalised score of undiscounted returns: 100 * (return - minimum) / (maximum - minimum)."""
        return 100.0 * (returns - self.minimum) / self.span

    def returns(self, score: FloatOrArray) -> FloatOrArray:
        """The return that has this score: the inverse of `score`."""
        return self.minimum + score * self.span / 100.0

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file; `from_json` restores an equal object."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "ReferenceScores":
        """The inverse of `to_json`.

        Raises:
            TransferError: a key is missing or not known.
        """
        check_keys("the reference scores", data, [f.name for f in fields(cls)])
        return cls(table=str(data["table"]), minimum=float(data["minimum"]), maximum=float(data["maximum"]))

    @classmethod
    def of_returns(cls, returns: NDArray[np.float64], least: float | None = None) -> "ReferenceScores":
        """The scale of an environment in no table: its dataset's smallest and largest return, (E,) each an episode.

        Equal returns have no span to normalise by; then the minimum is set the return's own size (at least 1) below.

        Args:
            returns: (E,).
            least: the return of doing nothing, where that is known: the minimum then, at least 1 below the maximum.
        """
        if least is not None:
            return cls("dataset", least, max(float(returns.max()), least + 1.0))
        low, high = float(returns.min()), float(returns.max())
        return cls("dataset", low if low < high else high - max(abs(high), 1.0), high)


@dataclass(frozen=True)
class EnvironmentSpec:
    """All that an adapter records about its environment.

    Attributes:
        name: name in the table of environments ("hopper"), else the Gymnasium id.
        state_size: S, numbers in an observation.
        action_size: A, numbers in an action.
        max_episode_steps: steps after which an episode is cut.
        gym_spec: the dataset's own Gymnasium `EnvSpec` as JSON; environments are built from it, never from the name.
        reference: scale of the scores.
        target_returns: undiscounted returns to ask for when nobody chose one.
        slices: what the state vector is made of; S numbers in all. A goal is one of them where there is one.
    """

    name: str
    state_size: int
    action_size: int
    max_episode_steps: int
    gym_spec: str
    reference: ReferenceScores
    target_returns: tuple[float, ...]
    slices: Slices

    def __post_init__(self) -> None:
        if total(self.slices) != self.state_size:
            raise TransferError(
                f"the slices of '{self.name}' hold {total(self.slices)} numbers, its states {self.state_size}."
            )

    @property
    def gym_id(self) -> str:
        """The id inside `gym_spec`, such as "Hopper-v5"."""
        return str(json.loads(self.gym_spec)["id"])

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file; `from_json` restores an equal object."""
        return asdict(self) | {"target_returns": list(self.target_returns), "slices": [asdict(s) for s in self.slices]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "EnvironmentSpec":
        """The inverse of `to_json`.

        Raises:
            TransferError: a key is missing or not known.
        """
        check_keys("the environment spec", data, [f.name for f in fields(cls)])
        targets = tuple(float(value) for value in data["target_returns"])
        reference = ReferenceScores.from_json(data["reference"])
        slices = tuple(Slice.from_json(one) for one in data["slices"])
        return cls(**{**data, "reference": reference, "target_returns": targets, "slices": slices})

    def to_state(self, observation: Any) -> NDArray[np.float32]:
        """The state vector (..., S) of what the environment shows, Dict observations too; see `to_state`."""
        return to_state(self.slices, observation)

    def make(self, render_mode: str | None = None) -> "gymnasium.Env[Any, Any]":
        """Builds the environment as the dataset describes it; its observations are state vectors (S,).

        Raises:
            TransferError: Gymnasium cannot build it, for example because a package is missing, or its observations are
                not those of the dataset (another version of the environment).
        """
        import gymnasium

        options: dict[str, Any] = {} if render_mode is None else {"render_mode": render_mode}
        try:
            with quiet():
                # The checker only warns about the API, and costs a visible share of each step.
                spec = gymnasium.envs.registration.EnvSpec.from_json(self.gym_spec)
                env = gymnasium.make(spec, disable_env_checker=True, **options)
        except Exception as error:  # environments raise anything, and all of it ends in the same advice
            raise TransferError(
                f"cannot build the environment {self.gym_id} of '{self.name}': {type(error).__name__}: {error}. "
                'Its packages may be missing: pip install "gymnasium[mujoco]" gymnasium-robotics'
            ) from error
        try:
            return flattened(env, self.slices)
        except TransferError as error:
            env.close()
            raise TransferError(f"environment {self.gym_id} of '{self.name}': {error}") from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Turns the chatter of building environments into debug messages of this module's logger.

    gymnasium_robotics prints a notice about Adroit on stderr at its import, and MuJoCo 4 writes warnings about
    HalfCheetah's model to stderr and to MUJOCO_LOG.TXT in the working folder unless a handler takes them.
    """
    caught = io.StringIO()
    with _stderr_lock, contextlib.redirect_stderr(caught), _mujoco_warnings_to_log():
        yield
    for line in filter(None, map(str.strip, caught.getvalue().splitlines())):
        logger.debug("while building an environment: %s", line)


@contextlib.contextmanager
def _mujoco_warnings_to_log() -> Iterator[None]:
    try:
        import mujoco
    except ImportError:
        yield
        return
    before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(lambda message: logger.debug("mujoco: %s", message))
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(before)


def describe(
    gym_spec: str, state_size: int, action_size: int, returns: NDArray[np.float64], slices: Slices | None = None
) -> EnvironmentSpec:
    """The spec of the environment that made some episodes.

    Args:
        gym_spec: Gymnasium `EnvSpec` as JSON.
        state_size: S.
        action_size: A.
        returns: (E,) undiscounted returns of the episodes; they are the scale of an environment that is in no table.
        slices: what the state vector is made of; default: the observation as it is.
    """
    parsed = json.loads(gym_spec)
    known = importlib.import_module(_TABLE).find(parsed["id"])
    reference = known.reference if known else None
    if reference is None:
        reference = ReferenceScores.of_returns(returns, known.least if known else None)
    # Gymnasium allows no limit at all; an evaluation still needs an end.
    limit = int(parsed["max_episode_steps"] or 1000)
    return EnvironmentSpec(
        name=known.name if known else parsed["id"],
        state_size=int(state_size),
        action_size=int(action_size),
        max_episode_steps=min(limit, known.max_episode_steps) if known else limit,
        gym_spec=gym_spec,
        reference=reference,
        target_returns=(known.target_returns if known else ()) or (reference.maximum,),
        slices=flat(state_size) if slices is None else slices,
    )


def gym_spec_json(env: object) -> str:
    """JSON of a Gymnasium `EnvSpec` or of a registered id such as "Hopper-v5" or "AdroitHandPen-v1".

    Raises:
        TransferError: the id is not registered, or the spec holds something that JSON cannot.
    """
    import gymnasium

    try:
        spec = registered(env) if isinstance(env, str) else env
        return cast("gymnasium.envs.registration.EnvSpec", spec).to_json()
    except (gymnasium.error.Error, AttributeError, TypeError, ValueError) as error:
        raise TransferError(
            f"no environment for {env!r}: {error}. Give a Gymnasium id such as 'Hopper-v5' (registered first, if it is "
            "your own), a Gymnasium EnvSpec or an EnvironmentSpec."
        ) from error


def registered(gym_id: str) -> "gymnasium.envs.registration.EnvSpec":
    """The spec of a registered id; Adroit and AntMaze are registered by importing gymnasium_robotics."""
    import gymnasium

    try:
        return gymnasium.spec(gym_id)
    except gymnasium.error.NameNotFound:
        with quiet(), contextlib.suppress(ImportError):
            import gymnasium_robotics

            gymnasium.register_envs(gymnasium_robotics)
        return gymnasium.spec(gym_id)
