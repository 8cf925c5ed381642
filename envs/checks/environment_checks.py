"""Checks of the environment: can it be built, does it match the data, its versions, limits and reference scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transfer.data.environment.building.parsing import parsed
from transfer.envs.checks.findings import Finding, share
from transfer.envs.checks.survey import Data
from transfer.envs.fits import row_of
from transfer.envs.minari.metadata import differ, unmet_requirements
from transfer.errors import TransferError
from transfer.numbers import real

if TYPE_CHECKING:
    from packaging.requirements import Requirement
    from packaging.version import Version

_SAME_SCALE = 0.01  # share of a scale's span by which two tables of one origin may differ
_SHOWN = 60  # characters of a setting in a message


def no_environment(data: Data) -> list[Finding]:
    """Without an environment training works and evaluation does not."""
    if not data.problem:
        return []
    message = f"there is no environment '{data.gym_id}' to evaluate in: {data.problem}"
    advice = "Name one with --env (load_episodes(..., env=) in Python); training works without."
    return [Finding("no-environment", "error", message, advice)]


def other_environment(data: Data) -> list[Finding]:
    """The environment is of another version than the data: an ant with 27 or with 105 observations."""
    if not data.mismatch:
        return []
    advice = "Evaluate in the version that made the data (the env_spec of its metadata), or use data of this version."
    return [Finding("other-environment", "error", f"{data.gym_id}: {data.mismatch}", advice)]


def other_bounds(data: Data) -> list[Finding]:
    """Data and environment have different bounds: one rescales actions, or their versions differ."""
    if data.spaces is None or data.spec is None or not differ((data.layout.low, data.layout.high), data.spaces):
        return []
    message = f"the data have actions between {list(data.layout.low)} and {list(data.layout.high)}, "
    message += f"{data.gym_id} between {list(data.spaces.low)} and {list(data.spaces.high)}"
    advice = "If one of them rescales actions, a policy plays other ones than the data hold: name the right one."
    return [Finding("other-bounds", "warning", message, advice)]


def own_statistics(data: Data) -> list[Finding]:
    """With running statistics in a wrapper, scores depend on the number of parallel environments."""
    if data.spaces is None or not data.spaces.statistics:
        return []
    message = f"{', '.join(data.spaces.statistics)} around {data.gym_id} starts with empty statistics when it is built"
    advice = "Record without it (adapters normalise states themselves), or evaluate in another environment (--env)."
    return [Finding("own-statistics", "error", message, advice)]


def unknown_environment(data: Data) -> list[Finding]:
    """An environment outside the catalog works, on the dataset's own scale."""
    if data.known or not data.gym_id:
        return []
    advice = "Scores and targets come from the dataset's own returns; compare raw returns with other work."
    return [Finding("unknown-environment", "note", f"'{data.gym_id}' is in no table of this library", advice)]


def evaluation_differs(data: Data) -> list[Finding]:
    """The authors of the dataset chose another map, limit or version for the evaluation."""
    one, two = data.collected_in, data.evaluated_in
    if not one or one == two:
        return []
    before, after = (
        {"id": spec.get("id"), "max_episode_steps": spec.get("max_episode_steps"), **(spec.get("kwargs") or {})}
        for spec in (one, two)
    )
    keys = [key for key in (*before, *after) if before.get(key) != after.get(key)]
    said = [_change(key, before.get(key), after.get(key)) for key in dict.fromkeys(keys)]
    if not said:
        return []
    advice = "Results are on what the policy has not seen; say so beside them."
    return [Finding("evaluation-differs", "note", f"the evaluation is not the collection: {'; '.join(said)}", advice)]


def _change(key: str, before: object, after: object) -> str:
    mazes = [maze for maze in (before, after) if isinstance(maze, list) and all(isinstance(row, list) for row in maze)]
    if key == "maze_map" and len(mazes) == 2:
        walls = [[[cell == 1 for cell in row] for row in maze] for maze in mazes]
        same = walls[0] == walls[1]
        return "another maze_map, " + ("the same walls, other starts and goals" if same else "other walls")
    return f"{key} {str(before)[:_SHOWN]} -> {str(after)[:_SHOWN]}"


def longer_than_limit(data: Data) -> list[Finding]:
    """An evaluation cannot reach the returns of longer episodes. Pen has its own check."""
    limit = data.limit
    count = int((data.steps > limit).sum()) if limit else 0
    if not count or (data.known and data.known.name == "pen"):
        return []
    message = f"{share(count, len(data.episodes))} episodes have more than {limit} steps (up to {data.steps.max()}), "
    message += f"where an evaluation in {data.gym_id} ends"
    advice = "Ask for a return that can be reached within the limit, and compare success rather than return."
    return [Finding("longer-than-limit", "warning", message, advice)]


def mujoco_version(data: Data) -> list[Finding]:
    """The same actions move the body differently; measured between MuJoCo 3 and 4."""
    for wanted, here in unmet_requirements(data.metadata):
        if wanted.name == "mujoco" and here and _major(wanted, here):
            message = f"recorded with {wanted}, here is mujoco {here}: the same actions move the body differently"
            advice = "Compare only results of one version, and name it; policies mostly transfer, replays do not."
            return [Finding("mujoco-version", "warning", message, advice)]
    return []


def requirement_differs(data: Data) -> list[Finding]:
    """The other packages that the metadata require."""
    odd = [
        f"{wanted} (here {here or 'not installed'})"
        for wanted, here in unmet_requirements(data.metadata)
        if not (wanted.name == "mujoco" and here and _major(wanted, here))
    ]
    if not odd:
        return []
    advice = "Mostly harmless; install these versions to reproduce the data exactly."
    return [Finding("requirement-differs", "note", f"recorded with {', '.join(odd)}", advice)]


def _major(wanted: Requirement, here: Version) -> bool:
    """Whether an unmet requirement pins other major versions than the installed one."""
    from packaging.version import Version

    pinned = [Version(one.version.removesuffix(".*")) for one in wanted.specifier if one.operator in ("==", "~=")]
    return bool(pinned) and all(one.major != here.major for one in pinned)


def no_reference_scores(data: Data) -> list[Finding]:
    """Without reference scores the dataset's smallest and largest return are the scale."""
    why = _misfit(data)
    if not data.gym_id or (not why and ((data.known and data.known.references) or _stored_scale(data))):
        return []
    measure = "success rates" if data.known and data.known.success else "raw returns"
    advice = "Scores count from the dataset's smallest return (0) to its largest (100); with other work compare "
    advice += f"{measure}."
    message = f"the table's do not hold: {why}" if why else "no reference scores, in the table or in the metadata"
    return [Finding("no-reference-scores", "note", message, advice)]


def _misfit(data: Data) -> str:
    """Says why the catalog's scale does not apply to this environment, "" if it does or there is none."""
    if data.spec is None or not data.known or not data.known.references:
        return ""
    return row_of(parsed(data.spec.gym_spec), data.spec.state_size, data.spec.action_size)[1]


def reference_scores_differ(data: Data) -> list[Finding]:
    """The metadata have outdated or foreign reference scores, as reported for pen (Minari #303)."""
    stored, rows = _stored_scale(data), data.known.references if data.known else ()
    if not stored or not rows:
        return []
    tolerance = {row: _SAME_SCALE * row.span for row in rows}
    if any(max(abs(stored[0] - row.minimum), abs(stored[1] - row.maximum)) <= tolerance[row] for row in rows):
        return []
    known = ", ".join(f"{row.minimum:g} to {row.maximum:g} ({row.table})" for row in rows)
    message = f"the metadata's reference scores are {stored[0]:g} to {stored[1]:g}, the table's {known}"
    advice = f"Scores are shown on the scale of {rows[0].table}; never compare them with scores on the metadata's."
    return [Finding("reference-scores-differ", "warning", message, advice)]


def _stored_scale(data: Data) -> tuple[float, float] | None:
    """The reference scores in the metadata, None if there are none or they are not numbers."""
    low, high = data.metadata.get("ref_min_score"), data.metadata.get("ref_max_score")
    try:
        return real(low, "ref_min_score"), real(high, "ref_max_score")
    except TransferError:
        return None


def success_unknown(data: Data) -> list[Finding]:
    """Without success in the data, an evaluation's success rates have no comparison."""
    if not data.known or not data.known.success or data.successes or not data.episodes:
        return []
    message = f"the data do not tell success ({data.known.success})"
    return [Finding("success-unknown", "note", message, "The evaluation reports it; compare with published rates.")]


CHECKS = (
    no_environment, other_environment, other_bounds, own_statistics, unknown_environment, evaluation_differs,
    longer_than_limit, mujoco_version, requirement_differs, no_reference_scores, reference_scores_differ,
    success_unknown,
)  # fmt: skip
