"""Checks for the known faults of Adroit hand datasets."""

import re

import numpy as np

from transfer.envs.checks.findings import Found
from transfer.envs.checks.survey import Data
from transfer.envs.minari.metadata import installed

_FIXED_IN = "1.4.3"  # of gymnasium-robotics; only -v2 is registered there
_HAND = re.compile(r"AdroitHand(Door|Hammer|Relocate)\w*-v(\d+)")


def adroit_reward_sign(data: Data) -> Found:
    """Dense Adroit rewards have the wrong sign of the distance between hand and object.

    Gymnasium-Robotics #220: before 1.4.3 the distance was rewarded instead of punished.
    """
    match, here = _HAND.fullmatch(str(data.collected_in.get("id", ""))), installed("gymnasium-robotics")
    if not match or here is None or data.settings.get("reward_type", "dense") != "dense":
        return
    from packaging.version import Version

    seen: bool | None
    if data.metadata.get("imported"):
        seen, how = False, "as in all of D4RL's own files"
    else:
        seen = _distance_is_rewarded(match.group(1), data)
        how = f"as in {match.group()}" if seen is None else "seen in the numbers"
    in_data = seen if seen is not None else match.group(2) == "1"
    in_evaluation = here < Version(_FIXED_IN)
    words = {True: "rewarded", False: "punished"}
    message = f"distance from hand to object is {words[in_data]} in the data ({how}), {words[in_evaluation]} in the "
    message += f"evaluation (gymnasium-robotics {here})"
    if in_data != in_evaluation:
        fitting = f"<{_FIXED_IN}" if in_data else f">={_FIXED_IN}"
        advice = f"Returns of data and evaluation do not compare: use success only, or gymnasium-robotics{fitting}."
        yield "error", message, advice
    elif in_data:
        advice = f"Report success beside return; returns got with gymnasium-robotics {_FIXED_IN} or later "
        yield "warning", message, advice + "do not compare."


def _distance_is_rewarded(task: str, data: Data) -> bool | None:
    """Whether the first steps of the episodes reward the distance, None if they cannot tell.

    With the correct sign the reward before the first touch is at most -0.1 * distance: exactly that in relocate, and in
    door without the door's own term (adroit_relocate.py and adroit_door.py, step).
    """
    pairs = [(one.opening, one.rewards[: len(one.opening)]) for one in data.episodes if len(one.opening)]
    if not pairs or task == "Hammer" or any(len(states) != len(rewards) for states, rewards in pairs):
        return None
    states, rewards = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    if states.shape[1] != 39:
        return None
    if task == "Door":
        reach, rest = states[:, 35:38], rewards + 0.1 * (states[:, 28] - 1.57) ** 2
    else:
        reach, rest = states[:, 30:33], rewards
    punished = rest + 0.1 * np.linalg.norm(reach, axis=1) <= 1e-4
    return bool(punished.mean() < 0.5)


def pen_steps(data: Data) -> Found:
    """Pen episodes have 100 steps (D4RL) or 200 (Gymnasium); a return belongs to one of them."""
    if not data.known or data.known.name != "pen" or not data.steps.size:
        return
    short, long = int((data.steps <= 100).sum()), int((data.steps > 100).sum())
    counts = ((short, "100"), (long, str(data.steps.max())))
    parts = [f"{count:,} episodes of up to {steps} steps" for count, steps in counts if count]
    own = data.evaluated_in.get("max_episode_steps")
    message = f"{' and '.join(parts)}; an evaluation here ends after {data.limit} (the environment itself: {own})"
    advice = "A return over 200 steps is about twice one over 100: compare returns over equally many steps only."
    yield "warning" if short and long else "note", message, advice


CHECKS = (adroit_reward_sign, pen_steps)
