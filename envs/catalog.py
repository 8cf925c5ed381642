"""The environments this library knows: ids, sizes, step limits, reference scores, and what counts as success."""

import re
from dataclasses import dataclass

import numpy as np

from transfer.data.environment.building.make import spaces_at_hand
from transfer.data.environment.observations import flat, slices_of
from transfer.data.environment.spec import EnvironmentSpec, ReferenceScores, gym_spec_json, spec_of_data
from transfer.errors import unknown


@dataclass(frozen=True)
class KnownEnvironment:
    """One row of the table."""

    name: str  # the short name
    gym_id: str  # the version that the datasets are evaluated in
    state_size: int  # S there, with goal and position
    action_size: int
    max_episode_steps: int  # after which an evaluation truncates an episode
    references: tuple[ReferenceScores, ...]  # the default first; empty where only the dataset has any
    success: str = ""  # what makes an episode a success, "" where the environment has no such thing
    gym_names: tuple[str, ...] = ()  # Gymnasium names, without version, of the environments that share this row
    # Return of a policy that does nothing: the lower end of the scale where only a dataset gives the upper.
    least: float | None = None

    @property
    def reference(self) -> ReferenceScores | None:
        """The default reference scores, None where only a dataset has any."""
        return self.references[0] if self.references else None


def _d4rl(minimum: float, maximum: float) -> ReferenceScores:
    """D4RL's REF_MIN_SCORE and REF_MAX_SCORE.

    Fu et al. 2020; github.com/Farama-Foundation/D4RL, d4rl/infos.py. Its authors measured them in the v2 locomotion and
    v0 Adroit environments, with a random policy and an expert. Later versions have no official numbers, so scores on
    this scale compare exactly within this library and only roughly with D4RL's.
    """
    return ReferenceScores("D4RL", minimum, maximum)


def _minari(minimum: float, maximum: float) -> ReferenceScores:
    """The ref_min_score and ref_max_score in the metadata of Minari's D4RL datasets (minari.farama.org)."""
    return ReferenceScores("Minari", minimum, maximum)


def _locomotion(name: str, gym_name: str, sizes: tuple[int, int], reference: ReferenceScores) -> KnownEnvironment:
    # Minari's mujoco/* datasets carry no reference scores (Minari #323).
    return KnownEnvironment(name, f"{gym_name}-v5", *sizes, 1000, (reference,), "", (gym_name,))


def _hand(name: str, sizes: tuple[int, int], steps: int, references: tuple[ReferenceScores, ...]) -> KnownEnvironment:
    gym_name, success = f"AdroitHand{name.title()}", "info['success'] at least once"
    return KnownEnvironment(name, f"{gym_name}-v1", *sizes, steps, references, success, (gym_name, f"{gym_name}Dense"))


def _maze(size: str, steps: int, *variants: str) -> KnownEnvironment:
    # D4RL's 0 and 1 are for episodes that end at the goal. Minari's episodes continue there and earn one point a step,
    # so the dataset's own returns are the scale, and the success rate is what compares with other work.
    name, success = f"AntMaze_{size}", "info['success'] (within 0.45 of the goal) at least once"
    names = (name, *(f"{name}_{variant}" for variant in variants))
    return KnownEnvironment(f"antmaze-{size.lower()}", f"{name}-v4", 31, 8, steps, (), success, names, 0.0)


# Pen: D4RL's numbers belong to episodes of 100 steps, Minari's to 200 (and were reported stale, Minari #303).
_TABLE = {
    known.name: known
    for known in (
        _locomotion("hopper", "Hopper", (11, 3), _d4rl(-20.272305, 3234.3)),
        _locomotion("walker2d", "Walker2d", (17, 6), _d4rl(1.629008, 4592.3)),
        _locomotion("halfcheetah", "HalfCheetah", (17, 6), _d4rl(-280.178953, 12135.0)),
        _locomotion("ant", "Ant", (105, 8), _d4rl(-325.6, 3879.7)),
        _hand("pen", (45, 24), 100, (_d4rl(96.262799, 3076.8331), _minari(137.93, 8820.51))),
        _hand("door", (39, 28), 200, (_d4rl(-56.512833, 2880.5693), _minari(-45.807, 2940.578))),
        _hand("hammer", (46, 26), 200, (_d4rl(-274.856578, 12794.1348), _minari(-267.074, 12635.713))),
        _hand("relocate", (39, 30), 200, (_d4rl(-6.425911, 4233.8778), _minari(9.189, 4287.705))),
        _maze("UMaze", 700, "Diverse_G", "Diverse_GR"),
        _maze("Medium", 1000, "Diverse_G", "Diverse_GR"),
        _maze("Large", 1000, "Diverse_G", "Diverse_GR"),
    )
}
_BY_GYM_NAME = {gym_name: known for known in _TABLE.values() for gym_name in known.gym_names}
ENVIRONMENTS = tuple(_TABLE)


def known_environment(name: str) -> KnownEnvironment:
    """Returns a row of the table by its short name.

    Raises:
        TransferError: the name is not in the table.
    """
    if not isinstance(name, str) or name not in _TABLE:
        raise unknown("environment", name, ENVIRONMENTS, "Other environments come with their dataset.")
    return _TABLE[name]


def environment(name: str) -> EnvironmentSpec:
    """Returns the spec of a known environment.

    Args:
        name: one of `ENVIRONMENTS`, such as "hopper", "pen" or "antmaze-umaze".

    Raises:
        TransferError: the name is not in the table.
    """
    known = known_environment(name)
    goal = {"observation": known.state_size - 4, "achieved_goal": 2, "desired_goal": 2}
    slices = slices_of(goal) if name.startswith("antmaze") else flat(known.state_size)
    # Without reference scores the returns of a dataset are the scale; here there are none, so it is 0 to 1.
    gym_spec = gym_spec_json(known.gym_id)
    return spec_of_data(gym_spec, spaces_at_hand(gym_spec, slices, known.action_size), np.array([0.0, 1.0]))


def find(gym_id: str) -> KnownEnvironment | None:
    """Returns the row of a Gymnasium id of any version, None if there is none; "Hopper-v4" and "-v5" share a row."""
    match = re.fullmatch(r"(\w+)-v\d+", gym_id)
    return _BY_GYM_NAME.get(match.group(1)) if match else None
