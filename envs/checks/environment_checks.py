"""Checks of the environment: can it be built, does it match the data, its versions, limits and reference scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transfer.data.environment.building.parsing import parsed
from transfer.envs.checks.findings import Found, share
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


def no_environment(data: Data) -> Found:
    """The environment cannot be recovered, so training works and evaluation does not."""
    if data.problem:
        message = f"there is no environment '{data.gym_id}' to evaluate in: {data.problem}"
        yield "error", message, "Name one with --env (load_episodes(..., env=) in Python); training works without."


def other_environment(data: Data) -> Found:
    """The environment has other observations or actions than the data: an ant with 27 or with 105 observations."""
    if data.mismatch:
        advice = "Evaluate in the version that made the data (the env_spec of its metadata), or use data of this "
        yield "error", f"{data.gym_id}: {data.mismatch}", advice + "version."


def other_bounds(data: Data) -> Found:
    """Data and environment have different action bounds: one rescales actions, or their versions differ."""
    low, high = data.layout.low, data.layout.high
    if data.spaces is not None and data.spec is not None and differ((low, high), data.spaces):
        message = f"the data have actions between {list(low)} and {list(high)}, "
        message += f"{data.gym_id} between {list(data.spaces.low)} and {list(data.spaces.high)}"
        advice = "If one of them rescales actions, a policy plays other ones than the data hold: name the right one."
        yield "warning", message, advice


def own_statistics(data: Data) -> Found:
    """Wrappers keep running statistics, so scores depend on the number of parallel environments."""
    if data.spaces is not None and data.spaces.statistics:
        message = f"{', '.join(data.spaces.statistics)} around {data.gym_id} starts with empty statistics when it is "
        advice = "Record without it (adapters normalise states themselves), or evaluate in another environment (--env)."
        yield "error", message + "built", advice


def unknown_environment(data: Data) -> Found:
    """The environment is not in the catalog, so scores are on the dataset's own scale."""
    if data.gym_id and not data.known:
        advice = "Scores and targets come from the dataset's own returns; compare raw returns with other work."
        yield "note", f"'{data.gym_id}' is in no table of this library", advice


def evaluation_differs(data: Data) -> Found:
    """The authors of the dataset chose another map, limit or version for the evaluation than for the collection."""
    if not data.collected_in or data.collected_in == data.evaluated_in:
        return
    before, after = (
        {"id": spec.get("id"), "max_episode_steps": spec.get("max_episode_steps"), **(spec.get("kwargs") or {})}
        for spec in (data.collected_in, data.evaluated_in)
    )
    keys = dict.fromkeys(key for key in (*before, *after) if before.get(key) != after.get(key))
    if keys:
        said = "; ".join(_change(key, before.get(key), after.get(key)) for key in keys)
        advice = "Results are on what the policy has not seen; say so beside them."
        yield "note", f"the evaluation is not the collection: {said}", advice


def _change(key: str, before: object, after: object) -> str:
    mazes = [maze for maze in (before, after) if isinstance(maze, list) and all(isinstance(row, list) for row in maze)]
    if key == "maze_map" and len(mazes) == 2:
        walls = [[[cell == 1 for cell in row] for row in maze] for maze in mazes]
        same = walls[0] == walls[1]
        return "another maze_map, " + ("the same walls, other starts and goals" if same else "other walls")
    return f"{key} {str(before)[:_SHOWN]} -> {str(after)[:_SHOWN]}"


def longer_than_limit(data: Data) -> Found:
    """Episodes are longer than an evaluation, which cannot reach their returns. Pen has its own check."""
    limit = data.limit
    count = int((data.steps > limit).sum()) if limit else 0
    if count and not (data.known and data.known.name == "pen"):
        message = f"{share(count, len(data.episodes))} episodes have more than {limit} steps (up to {data.steps.max()})"
        message += f", where an evaluation in {data.gym_id} ends"
        advice = "Ask for a return that can be reached within the limit, and compare success rather than return."
        yield "warning", message, advice


def mujoco_version(data: Data) -> Found:
    """The data were recorded with another major version of MuJoCo: the same actions move the body differently."""
    for wanted, here in unmet_requirements(data.metadata):
        if _other_mujoco(wanted, here):
            message = f"recorded with {wanted}, here is mujoco {here}: the same actions move the body differently"
            advice = "Compare only results of one version, and name it; policies mostly transfer, replays do not."
            yield "warning", message, advice
            return


def requirement_differs(data: Data) -> Found:
    """The data were recorded with other versions of packages."""
    unmet = [(wanted, here) for wanted, here in unmet_requirements(data.metadata) if not _other_mujoco(wanted, here)]
    if unmet:
        odd = ", ".join(f"{wanted} (here {here or 'not installed'})" for wanted, here in unmet)
        yield "note", f"recorded with {odd}", "Mostly harmless; install these versions to reproduce the data exactly."


def _other_mujoco(wanted: Requirement, here: Version | None) -> bool:
    """Whether an unmet requirement pins other major versions of MuJoCo than the installed one."""
    from packaging.version import Version

    if wanted.name != "mujoco" or here is None:
        return False
    pinned = [Version(one.version.removesuffix(".*")) for one in wanted.specifier if one.operator in ("==", "~=")]
    return bool(pinned) and all(one.major != here.major for one in pinned)


def no_reference_scores(data: Data) -> Found:
    """Neither the catalog nor the metadata have reference scores, so the dataset's returns are the scale."""
    known, why = data.known, ""
    if data.spec is not None and known and known.references:
        why = row_of(parsed(data.spec.gym_spec), data.spec.state_size, data.spec.action_size)[1]
    if data.gym_id and (why or not ((known and known.references) or _stored_scale(data))):
        advice = "Scores count from the dataset's smallest return (0) to its largest (100); with other work compare "
        advice += f"{'success rates' if known and known.success else 'raw returns'}."
        message = f"the table's do not hold: {why}" if why else "no reference scores, in the table or in the metadata"
        yield "note", message, advice


def reference_scores_differ(data: Data) -> Found:
    """The metadata's reference scores are not the catalog's, as reported for pen (Minari #303)."""
    stored, rows = _stored_scale(data), data.known.references if data.known else ()
    if not stored or not rows:
        return
    ends = [(row, max(abs(stored[0] - row.minimum), abs(stored[1] - row.maximum))) for row in rows]
    if all(off > _SAME_SCALE * row.span for row, off in ends):
        known = ", ".join(f"{row.minimum:g} to {row.maximum:g} ({row.table})" for row in rows)
        message = f"the metadata's reference scores are {stored[0]:g} to {stored[1]:g}, the table's {known}"
        advice = f"Scores are shown on the scale of {rows[0].table}; never compare them with scores on the metadata's."
        yield "warning", message, advice


def _stored_scale(data: Data) -> tuple[float, float] | None:
    """The reference scores in the metadata, None if there are none or they are not numbers."""
    low, high = data.metadata.get("ref_min_score"), data.metadata.get("ref_max_score")
    try:
        return real(low, "ref_min_score"), real(high, "ref_max_score")
    except TransferError:
        return None


def success_unknown(data: Data) -> Found:
    """The environment reports success and the data do not, so an evaluation's success rates have no comparison."""
    if data.known and data.known.success and data.episodes and not data.successes:
        message = f"the data do not tell success ({data.known.success})"
        yield "note", message, "The evaluation reports it; compare with published rates."


CHECKS = (
    no_environment, other_environment, other_bounds, own_statistics, unknown_environment, evaluation_differs,
    longer_than_limit, mujoco_version, requirement_differs, no_reference_scores, reference_scores_differ,
    success_unknown,
)  # fmt: skip
