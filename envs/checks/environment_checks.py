"""Checks of the environment: can it be built, is it the one of the data, its versions, limits and scores."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from typing import TYPE_CHECKING

from transfer.data.environment.building.parsing import parsed
from transfer.envs.checks.findings import Finding, share
from transfer.envs.checks.survey import Data
from transfer.envs.fits import row_of
from transfer.envs.minari.metadata import differ
from transfer.errors import TransferError
from transfer.numbers import real

if TYPE_CHECKING:
    from packaging.requirements import Requirement
    from packaging.version import Version

_SAME_SCALE = 0.01  # of a scale's span, by which two tables of one origin may differ
_SHOWN = 60  # characters of a setting


def no_environment(data: Data) -> list[Finding]:
    """Without one there is training, but no result."""
    if not data.problem:
        return []
    message = f"there is no environment '{data.gym_id}' to evaluate in: {data.problem}"
    advice = "Name one with --env (load_episodes(..., env=) in Python); training works without."
    return [Finding("no-environment", "error", message, advice)]


def other_environment(data: Data) -> list[Finding]:
    """Another version of the environment: 27 numbers of an ant against 105."""
    if not data.mismatch:
        return []
    advice = "Evaluate in the version that made the data (the env_spec of its metadata), or use data of this version."
    return [Finding("other-environment", "error", f"{data.gym_id}: {data.mismatch}", advice)]


def other_bounds(data: Data) -> list[Finding]:
    """One of the two rescales actions, or the data were made in another version."""
    if data.spaces is None or data.spec is None or not differ((data.layout.low, data.layout.high), data.spaces):
        return []
    message = f"the data have actions between {list(data.layout.low)} and {list(data.layout.high)}, "
    message += f"{data.gym_id} between {list(data.spaces.low)} and {list(data.spaces.high)}"
    advice = "If one of them rescales actions, a policy plays other ones than the data hold: name the right one."
    return [Finding("other-bounds", "warning", message, advice)]


def own_statistics(data: Data) -> list[Finding]:
    """A score would depend on how many environments are played at once."""
    if data.spaces is None or not data.spaces.statistics:
        return []
    message = f"{', '.join(data.spaces.statistics)} around {data.gym_id} starts with empty statistics when it is built"
    advice = "Record without it (adapters normalise states themselves), or evaluate in another environment (--env)."
    return [Finding("own-statistics", "error", message, advice)]


def unknown_environment(data: Data) -> list[Finding]:
    """Everything works, on the dataset's own scale."""
    if data.known or not data.gym_id:
        return []
    advice = "Scores and targets come from the dataset's own returns; compare raw returns with other work."
    return [Finding("unknown-environment", "note", f"'{data.gym_id}' is in no table of this library", advice)]


def evaluation_differs(data: Data) -> list[Finding]:
    """Another map, limit or version for the evaluation, as the authors of the dataset chose it."""
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
    """Returns of long episodes are out of reach of an evaluation; pen has a check of its own."""
    limit = data.limit
    count = int((data.steps > limit).sum()) if limit else 0
    if not count or (data.known and data.known.name == "pen"):
        return []
    message = f"{share(count, len(data.episodes))} episodes have more than {limit} steps (up to {data.steps.max()}), "
    message += f"where an evaluation in {data.gym_id} ends"
    advice = "Ask for a return that can be reached within the limit, and compare success rather than return."
    return [Finding("longer-than-limit", "warning", message, advice)]


def mujoco_version(data: Data) -> list[Finding]:
    """The same actions move the body elsewhere: measured between MuJoCo 3 and 4."""
    for wanted, here in _unmet(data):
        if wanted.name == "mujoco" and here and _major(wanted, here):
            message = f"recorded with {wanted}, here is mujoco {here}: the same actions move the body differently"
            advice = "Compare only results of one version, and name it; policies mostly transfer, replays do not."
            return [Finding("mujoco-version", "warning", message, advice)]
    return []


def requirement_differs(data: Data) -> list[Finding]:
    """All other packages that the metadata ask for."""
    odd = [
        f"{wanted} (here {here or 'not installed'})"
        for wanted, here in _unmet(data)
        if not (wanted.name == "mujoco" and here and _major(wanted, here))
    ]
    if not odd:
        return []
    advice = "Mostly harmless; install these versions to reproduce the data exactly."
    return [Finding("requirement-differs", "note", f"recorded with {', '.join(odd)}", advice)]


def _major(wanted: Requirement, here: Version) -> bool:
    """Whether a requirement that is not met names no version of the installed major."""
    from packaging.version import Version

    pinned = [Version(one.version.removesuffix(".*")) for one in wanted.specifier if one.operator in ("==", "~=")]
    return bool(pinned) and all(one.major != here.major for one in pinned)


def _unmet(data: Data) -> Iterator[tuple[Requirement, Version | None]]:
    """Requirements in the metadata that this installation does not meet, with what is installed."""
    from packaging.requirements import InvalidRequirement, Requirement

    for text in data.metadata.get("requirements") or []:
        try:
            wanted = Requirement(text)
        except InvalidRequirement:
            continue
        here = installed(wanted.name)
        if here is None or not wanted.specifier.contains(here, prereleases=True):
            yield wanted, here


def installed(package: str) -> Version | None:
    """The version of a package here, None where it is missing."""
    from packaging.version import Version

    try:
        return Version(importlib.metadata.version(package))
    except importlib.metadata.PackageNotFoundError:
        return None


def no_reference_scores(data: Data) -> list[Finding]:
    """Then the dataset's smallest and largest return are the scale."""
    why = _misfit(data)
    if not data.gym_id or (not why and ((data.known and data.known.references) or _stored_scale(data))):
        return []
    measure = "success rates" if data.known and data.known.success else "raw returns"
    advice = "Scores count from the dataset's smallest return (0) to its largest (100); with other work compare "
    advice += f"{measure}."
    message = f"the table's do not hold: {why}" if why else "no reference scores, in the table or in the metadata"
    return [Finding("no-reference-scores", "note", message, advice)]


def _misfit(data: Data) -> str:
    """Why the scale of the table does not hold for this environment, "" where it does or there is none."""
    if data.spec is None or not data.known or not data.known.references:
        return ""
    return row_of(parsed(data.spec.gym_spec), data.spec.state_size, data.spec.action_size)[1]


def reference_scores_differ(data: Data) -> list[Finding]:
    """Stale or foreign numbers in the metadata, as reported of pen (Minari #303)."""
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
    """The reference scores in the metadata, None where there are none, or what is there is no number."""
    low, high = data.metadata.get("ref_min_score"), data.metadata.get("ref_max_score")
    try:
        return real(low, "ref_min_score"), real(high, "ref_max_score")
    except TransferError:
        return None


def success_unknown(data: Data) -> list[Finding]:
    """Success rates of the evaluation then have nothing to be compared with."""
    if not data.known or not data.known.success or data.successes or not data.episodes:
        return []
    message = f"the data do not tell success ({data.known.success})"
    return [Finding("success-unknown", "note", message, "The evaluation reports it; compare with published rates.")]


CHECKS = (
    no_environment, other_environment, other_bounds, own_statistics, unknown_environment, evaluation_differs,
    longer_than_limit, mujoco_version, requirement_differs, no_reference_scores, reference_scores_differ,
    success_unknown,
)  # fmt: skip
