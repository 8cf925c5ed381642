"""Checks for the known faults of AntMaze datasets."""

import re

import numpy as np

from transfer.envs.checks.findings import Found, share
from transfer.envs.checks.measured import Array, Measured, distances
from transfer.envs.checks.survey import Data

_JUMP = 2.0  # half a cell of the maze; an ant moves about 0.2 in a step
_STILL = 0.01  # of the same units in a step
_ROUNDING = 1e-3  # of the distance to the goal, for data stored in float32
_WRONG_REWARDS = 0.01  # share of the steps with a reward or at the goal
_AFTER_GOAL = 0.1  # share of all steps
_OLD = re.compile(r"(?:D4RL/antmaze/|antmaze-)((?:umaze|medium|large)[-\w]*)-v0")


def antmaze_v0(data: Data) -> Found:
    """AntMaze data of version 0 have wrong ends, goals and rewards (D4RL #77)."""
    if match := _OLD.fullmatch(data.dataset_id):
        message = f"{data.dataset_id} is version 0, with known faults in ends, goals and rewards"
        yield "error", message, f"Use the corrected version: minari download D4RL/antmaze/{match.group(1)}-v1"


def antmaze_jumps(data: Data) -> Found:
    """The ant jumps inside an episode: two are stored as one, and in between it is set back to the start."""
    jumps = [(one.name, _moves(way)) for one, way in _ways(data)]
    wrong = [(name, moves) for name, moves in jumps if len(moves) and moves.max() > _JUMP]
    if wrong:
        name, moves = wrong[0]
        message = f"{share(len(wrong), len(jumps))} episodes hold jumps of more than {_JUMP:g} units, up to "
        message += f"{max(found.max() for _, found in wrong):.3g}; first {name} at step {int((moves > _JUMP).argmax())}"
        yield "error", message, "Split the episodes there: their ends were lost."


def antmaze_reward(data: Data) -> Found:
    """Sparse rewards are not 1 exactly where the observation after the action is within the radius of the goal."""
    if data.settings.get("reward_type", "sparse") != "sparse":
        return
    before, after, events = 0, 0, 0
    imported = data.metadata.get("imported") or {}
    radius = data.goal_radius
    for one, way in _ways(data):
        far, paid = distances(way), one.rewards > 0.5
        sure = np.abs(far - radius) > _ROUNDING
        sure[-1] &= not imported.get("repeats_last_observation", False)  # the last observation is missing
        near = far <= radius
        after += int(((near[1:] != paid) & sure[1:]).sum())
        before += int(((near[:-1] != paid) & sure[:-1]).sum())
        events += int((near[1:] | paid).sum())
    if not after:
        return
    message = f"{share(after, events)} steps with a reward or at the goal do not have both (radius {radius})"
    if before < after / 10:
        message += "; the rewards are one step late, they fit the observation before the action"
    advice = "Compute the rewards anew from achieved_goal and desired_goal, or get a corrected version of the dataset."
    yield "error" if after > _WRONG_REWARDS * events else "warning", message, advice


def antmaze_first_goal(data: Data) -> Found:
    """The first observation of an episode shows the goal of the episode before (Minari #265)."""
    ways = [way for _, way in _ways(data) if len(way) > 2]
    stale = sum(bool((way[0, 2:] != way[1, 2:]).any() and (way[1, 2:] == way[2, 2:]).all()) for way in ways)
    if stale:
        message = f"{share(stale, len(ways))} episodes show another goal in their first observation than in the second"
        advice = "Copy the second observation's goal into the first; the policy would see a wrong goal for one step."
        yield "warning", message, advice


def antmaze_after_goal(data: Data) -> Found:
    """A large share of the steps comes after the goal was reached, and the ant mostly stands still (Minari #296)."""
    after, still = 0, 0
    for _, way in _ways(data):
        there = distances(way)[1:] <= data.goal_radius
        first = int(there.argmax()) if there.any() else len(there)
        after += len(there) - first
        still += int((_moves(way)[first:] < _STILL).sum())
    total = int(data.steps.sum())
    if after > _AFTER_GOAL * total:
        message = f"{share(after, total)} steps come after the first success of their episode; the ant stands still in "
        message += f"{100 * still / after:.0f} % of them"
        yield "warning", message, "Expect a policy that learns to stand at the goal; compare success, not return."


def _ways(data: Data) -> list[tuple[Measured, Array]]:
    """Episodes of an AntMaze with position and goal (T + 1, 4) and whole rewards."""
    if not data.antmaze:
        return []
    return [(one, one.way) for one in data.episodes if one.way is not None and len(one.way) == one.steps + 1]


def _moves(way: Array) -> Array:
    """Distances (T,) that the ant moved in each step."""
    return np.linalg.norm(np.diff(way[:, :2], axis=0), axis=1)


CHECKS = (antmaze_v0, antmaze_jumps, antmaze_reward, antmaze_first_goal, antmaze_after_goal)
