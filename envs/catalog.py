"""The environments this library knows: ids, sizes, limits, reference scores, targets, and what counts as success."""

import re
from dataclasses import dataclass

import numpy as np

from transfer.errors import unknown
from transfer.observations import slices_of
from transfer.specs import EnvironmentSpec, ReferenceScores, bounds_at_hand, describe, gym_spec_json


@dataclass(frozen=True)
class KnownEnvironment:
    """One row of the table.

    Attributes:
        name: the short name.
        gym_id: the version that the datasets are evaluated in.
        state_size: S there, goal and position included.
        action_size: A.
        max_episode_steps: steps after which an evaluation cuts an episode.
        references: scales of the scores, the default first; none where only the dataset gives one.
        minari: datasets on Minari's remote.
        target_returns: undiscounted returns to ask for by default; none: the reference expert's, or the dataset's best.
        success: what makes an episode a success, "" where there is no such thing.
        gym_names: Gymnasium names, without version, of the environments that share this row.
        least: return of doing nothing, the lower end of the scale where only the dataset gives the upper one.
    """

    name: str
    gym_id: str
    state_size: int
    action_size: int
    max_episode_steps: int
    references: tuple[ReferenceScores, ...]
    minari: tuple[str, ...]
    target_returns: tuple[float, ...] = ()
    success: str = ""
    gym_names: tuple[str, ...] = ()
    least: float | None = None

    @property
    def reference(self) -> ReferenceScores | None:
        """The default scale, None where only a dataset gives one."""
        return self.references[0] if self.references else None


def _d4rl(minimum: float, maximum: float) -> ReferenceScores:
    """D4RL's REF_MIN_SCORE and REF_MAX_SCORE.

    Fu et al. 2020; github.com/Farama-Foundation/D4RL, d4rl/infos.py. Measured by its authors in the v2 locomotion and
    v0 Adroit environments, with a random policy and an expert. No official numbers exist for later versions, so a score
    on this scale compares well with our own and only roughly with D4RL's.
    """
    return ReferenceScores("D4RL", minimum, maximum)


def _minari(minimum: float, maximum: float) -> ReferenceScores:
    """The ref_min_score and ref_max_score in the metadata of Minari's D4RL datasets (minari.farama.org)."""
    return ReferenceScores("Minari", minimum, maximum)


def _mujoco(name: str) -> tuple[str, ...]:
    return tuple(f"mujoco/{name}/{label}-v0" for label in ("simple", "medium", "expert"))


def _adroit(name: str) -> tuple[str, ...]:
    return tuple(f"D4RL/{name}/{label}-v2" for label in ("human", "cloned", "expert"))


def _locomotion(
    name: str, gym_name: str, sizes: tuple[int, int], reference: ReferenceScores, targets: tuple[float, ...] = ()
) -> KnownEnvironment:
    # Minari's mujoco/* datasets carry no reference scores (Minari #323).
    return KnownEnvironment(name, f"{gym_name}-v5", *sizes, 1000, (reference,), _mujoco(name), targets, "", (gym_name,))


def _hand(name: str, sizes: tuple[int, int], steps: int, references: tuple[ReferenceScores, ...]) -> KnownEnvironment:
    gym_name, success = f"AdroitHand{name.title()}", "info['success'] at least once"
    return KnownEnvironment(
        name, f"{gym_name}-v1", *sizes, steps, references, _adroit(name), (), success, (gym_name, f"{gym_name}Dense")
    )


def _maze(size: str, steps: int, labels: tuple[str, ...], *more: str) -> KnownEnvironment:
    # D4RL's scale is 0 and 1 for episodes that end at the goal; Minari's go on there and earn one point a step. So the
    # dataset's own returns are the scale, and the success rate is what to compare.
    name = f"AntMaze_{size}"
    return KnownEnvironment(
        f"antmaze-{size.lower()}", f"{name}-v4", 31, 8, steps, (), tuple(f"D4RL/antmaze/{one}-v1" for one in labels),
        (), "info['success'] (within 0.45 of the goal) at least once", (name, *(f"{name}_{one}" for one in more)), 0.0,
    )  # fmt: skip


# Targets of the first three: the returns that Decision Transformer asks for (Chen et al. 2021;
# github.com/kzl/decision-transformer, gym/experiment.py, env_targets), the higher one first.
# Pen: D4RL's numbers belong to episodes of 100 steps, Minari's to 200 (and were reported stale, Minari #303).
_TABLE = {
    known.name: known
    for known in (
        _locomotion("hopper", "Hopper", (11, 3), _d4rl(-20.272305, 3234.3), (3600.0, 1800.0)),
        _locomotion("walker2d", "Walker2d", (17, 6), _d4rl(1.629008, 4592.3), (5000.0, 2500.0)),
        _locomotion("halfcheetah", "HalfCheetah", (17, 6), _d4rl(-280.178953, 12135.0), (12000.0, 6000.0)),
        _locomotion("ant", "Ant", (105, 8), _d4rl(-325.6, 3879.7)),
        _hand("pen", (45, 24), 100, (_d4rl(96.262799, 3076.8331), _minari(137.93, 8820.51))),
        _hand("door", (39, 28), 200, (_d4rl(-56.512833, 2880.5693), _minari(-45.807, 2940.578))),
        _hand("hammer", (46, 26), 200, (_d4rl(-274.856578, 12794.1348), _minari(-267.074, 12635.713))),
        _hand("relocate", (39, 30), 200, (_d4rl(-6.425911, 4233.8778), _minari(9.189, 4287.705))),
        _maze("UMaze", 700, ("umaze", "umaze-diverse"), "Diverse_G", "Diverse_GR"),
        _maze("Medium", 1000, ("medium-play", "medium-diverse"), "Diverse_G", "Diverse_GR"),
        _maze("Large", 1000, ("large-play", "large-diverse"), "Diverse_G", "Diverse_GR"),
    )
}
_BY_GYM_NAME = {gym_name: known for known in _TABLE.values() for gym_name in known.gym_names}
ENVIRONMENTS = tuple(_TABLE)


def known_environment(name: str) -> KnownEnvironment:
    """A row of the table by its short name.

    Raises:
        TransferError: the name is not in the table.
    """
    if not isinstance(name, str) or name not in _TABLE:
        raise unknown("environment", name, ENVIRONMENTS, "Other environments come with their dataset.")
    return _TABLE[name]


def environment(name: str) -> EnvironmentSpec:
    """The spec of a known environment.

    Args:
        name: one of `ENVIRONMENTS`, such as "hopper", "pen" or "antmaze-umaze".

    Raises:
        TransferError: the name is not in the table.
    """
    known = known_environment(name)
    goal = {"observation": known.state_size - 4, "achieved_goal": 2, "desired_goal": 2}
    slices = slices_of(goal) if name.startswith("antmaze") else None
    # Where there is no reference the returns of a dataset would be the scale; without one it is 0 to 1.
    gym_spec = gym_spec_json(known.gym_id)
    bounds = bounds_at_hand(gym_spec, known.action_size)
    return describe(gym_spec, known.state_size, known.action_size, np.array([0.0, 1.0]), slices, bounds)


def find(gym_id: str) -> KnownEnvironment | None:
    """The row of a Gymnasium id of any version ("Hopper-v4" and "Hopper-v5" share one), None if there is none."""
    match = re.fullmatch(r"(\w+)-v\d+", gym_id)
    return _BY_GYM_NAME.get(match.group(1)) if match else None
