"""Replay recorded actions from the start of their recording.

Letters: S state size, A action size, T steps of an episode.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from transfer.data.environment.answers import success as told
from transfer.recipes.ceiling.recordings import Recording

if TYPE_CHECKING:
    import gymnasium

    from transfer.adapters.actions.vocabulary import Vocabulary

    Env = gymnasium.Env[Any, Any]

logger = logging.getLogger(__name__)
Key = tuple[str, int | None]  # kind and bins of a tokenizer
RAW: Key = ("raw replay", None)
# Steps after which a held replay is put back on the recorded course. Compared with a closed loop: the bundled Hopper
# expert, its actions encoded at every step, scores 74, 97, 99 and 100 with 4, 8, 16 and 64 quantile bins, and held
# replays 84, 95, 99 and 100. Put back every 10 steps they score 100 throughout, every 100 steps 50, 70, 83 and 98.
HOLD = 50
EVERYTHING = mujoco.mjtState.mjSTATE_INTEGRATION
Marks = dict[int, NDArray[np.float64]]  # states of the simulation by step


@dataclass(frozen=True)
class Outcome:
    """Return, length and success of T played actions.

    Attributes:
        returned: undiscounted return.
        length: steps until the environment or the actions ended.
        success: whether the infos ever told of one, None where they never told.
        held: the return when put back on the recorded course every `HOLD` steps, None where that is impossible.
    """

    returned: float
    length: int
    success: bool | None
    held: float | None = None


def compare(env: Env, recording: Recording, vocabularies: Mapping[Key, Vocabulary]) -> tuple[dict[Key, Outcome], str]:
    """Replay the actions as they are (`RAW`), then encoded and decoded by each vocabulary.

    Returns:
        The outcomes and "", or none and why the start cannot be brought back.
    """
    reason = restore(env, recording)
    if reason:
        return {}, reason
    task: Any = env.unwrapped
    simulated = isinstance(getattr(task, "model", None), mujoco.MjModel)
    marks: Marks | None = {} if simulated and isinstance(getattr(task, "data", None), mujoco.MjData) else None
    raw = replay(env, recording.actions, marks)
    actions = {RAW: recording.actions}
    actions |= {key: one.decoded(recording.actions) for key, one in vocabularies.items()}  # (T, A) each
    outcomes = {}
    for key, decoded in actions.items():
        restore(env, recording)
        outcome = raw if key == RAW else replay(env, decoded)
        restore(env, recording)
        held = None if marks is None else _held(env, decoded[: raw.length], marks)
        outcomes[key] = replace(outcome, held=held)
    return outcomes, ""


def restore(env: Env, recording: Recording) -> str:
    """Bring the environment to the start of a recording: by its seed, else by the simulation's state in the infos.

    Returns:
        "", or why the environment does not show the recording's first state now.
    """
    reason = "neither a seed nor qpos and qvel in the infos"
    if recording.seed is not None or recording.options:
        state = env.reset(seed=recording.seed, options=recording.options or None)[0]
        if _same(state, recording.first):
            return ""
        reason = "the seed leads to another start here"
    if {"qpos", "qvel"} <= set(recording.infos):
        try:
            if _same(recording.spec.to_state(_set_state(env, recording.infos)), recording.first):
                return ""
        except Exception as error:  # environments raise anything at a state that is not theirs
            logger.debug("the infos hold no state of %s: %s", recording.spec.gym_id, error)
        reason = "the state in the infos is another start here"
    return reason


def _same(state: NDArray[Any], first: NDArray[np.float32]) -> bool:
    return state.shape == first.shape and bool(np.allclose(state, first, rtol=1e-4, atol=1e-5))


def _set_state(env: Env, infos: Mapping[str, Any]) -> Any:
    """Set the simulation to the first row of the infos; returns the observation of the bare environment."""
    env.reset(seed=0)
    task: Any = env.unwrapped
    if hasattr(task, "set_env_state"):  # Adroit, where targets are no part of qpos
        task.set_env_state({name: np.asarray(infos[name], np.float64) for name in task._state_space.spaces})
        return task._get_obs()
    body = getattr(task, "ant_env", task)
    if body is not task and "goal" in infos:
        task.goal = np.asarray(infos["goal"])
    body.set_state(infos["qpos"], infos["qvel"])
    observation = body._get_obs()
    return observation if body is task else task._get_obs(observation)


def replay(env: Env, actions: NDArray[np.float32], marks: Marks | None = None) -> Outcome:
    """Play actions (T, A) in open loop, until the environment or the actions end.

    Args:
        env: at the start of the actions.
        actions: (T, A).
        marks: filled with the simulation's state before every `HOLD`-th step, by step.
    """
    task: Any = env.unwrapped
    returned, length, success = 0.0, 0, -1  # -1: the infos have not told
    for action in actions:
        if marks is not None and length % HOLD == 0:
            marks[length] = np.empty(mujoco.mj_stateSize(task.model, EVERYTHING))
            mujoco.mj_getState(task.model, task.data, marks[length], EVERYTHING)
        _, reward, terminated, truncated, info = env.step(action)
        returned, length = returned + float(reward), length + 1
        success = max(success, told(info))
        if terminated or truncated:
            break
    return Outcome(returned, length, None if success < 0 else success > 0)


def _held(env: Env, actions: NDArray[np.float32], marks: Marks) -> float:
    """The return of actions (T, A) when put back at every mark; a fall costs the rewards up to the next one."""
    task: Any = env.unwrapped
    returned = 0.0
    for step, mark in marks.items():
        mujoco.mj_setState(task.model, task.data, mark, EVERYTHING)
        mujoco.mj_forward(task.model, task.data)  # rewards are made of values derived from the state
        returned += replay(env, actions[step : step + HOLD]).returned
    return returned
