"""Findings of the checks, and all their codes."""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
CODES: dict[str, str] = {
    # the stored arrays of any dataset
    "no-episodes": "the data file holds no episode",
    "odd-names": "the data file holds something that is called like an episode and is none (episode_x, episode_-1)",
    "empty-episodes": "episodes without a single step",
    "arrays-missing": "episodes lack observations, actions or rewards, or what is there is no numbers",
    "unsupported-spaces": "observations or actions are not vectors of real numbers (Discrete, images)",
    "observations-not-t-plus-1": "an episode of T steps does not hold T+1 observations",
    "lengths-disagree": "actions, rewards and flags of an episode differ in length",
    "sizes-differ": "the numbers per step are not those that the dataset declares, or differ between episodes",
    "counts-disagree": "the metadata count other episodes or steps than the data file holds",
    "not-finite": "NaN, infinity, or a number too large for float32",
    "flags-inside": "terminated or truncated before the last step: episodes glued together",
    "no-end-flag": "the last step is neither terminated nor truncated",
    "duplicate-episodes": "episodes that repeat an earlier one number for number",
    "tiny-episodes": "episodes of fewer than 5 steps",
    # the values of any dataset
    "actions-out-of-range": "actions outside the action space",
    "saturated-actions": "many actions at a bound of the action space",
    "constant-actions": "action numbers that never change",
    "constant-states": "state numbers that never change",
    "constant-rewards": "every reward is the same",
    # the environment, its versions and its scores
    "no-environment": "the environment cannot be recovered, so nothing can be evaluated",
    "other-environment": "the environment shows or takes other numbers than the data hold",
    "other-bounds": "data and environment have other bounds of actions",
    "own-statistics": "wrappers of the environment keep statistics of their own, which start empty",
    "unknown-environment": "the environment is not in this library's table",
    "evaluation-differs": "the evaluation has other settings than the collection had",
    "longer-than-limit": "episodes longer than an evaluation is",
    "mujoco-version": "recorded with another major version of MuJoCo",
    "requirement-differs": "recorded with other versions of packages",
    "no-reference-scores": "neither the table nor the metadata have reference scores",
    "reference-scores-differ": "the metadata's reference scores are not the table's",
    "success-unknown": "the environment knows success, the data do not tell it",
    # known faults of known datasets
    "antmaze-v0": "AntMaze data of version 0: wrong ends, goals and rewards",
    "antmaze-jumps": "the ant jumps inside an episode",
    "antmaze-reward": "sparse rewards that do not fit the distance to the goal",
    "antmaze-first-goal": "the first goal of episodes is that of the episode before",
    "antmaze-after-goal": "a large share of the steps comes after the goal was reached",
    "adroit-reward-sign": "dense Adroit rewards with the wrong sign of the distance between hand and object",
    "pen-steps": "pen episodes of 100 or of 200 steps",
}


@dataclass(frozen=True)
class Finding:
    """One finding of a check.

    Attributes:
        code: one of `CODES`.
        severity: "error": results would be wrong; "warning": they may mislead; "note": good to know.
        message: one line: the fault, with the values seen.
        advice: one line: what to do.
    """

    code: str
    severity: Severity
    message: str
    advice: str

    def __post_init__(self) -> None:
        if self.code not in CODES or self.severity not in SEVERITIES:
            raise ValueError(f"code {self.code!r} with severity {self.severity!r} is not one of the documented ones")


def share(count: float, total: float) -> str:
    """Formats a part of a whole: "12 of 1,400 (0.86 %)"."""
    return f"{count:,} of {total:,} ({100 * count / max(total, 1):.3g} %)"
