"""Checks of the data file, for any environment: are the episodes complete, and do they match the metadata?"""

import re
from collections import Counter
from collections.abc import Callable

from transfer.envs.checks.findings import Finding, share
from transfer.envs.checks.measured import FLAGS, Measured
from transfer.envs.checks.survey import Data

_TINY = 5  # steps
_REPEATED = 0.1  # of the episodes
# Half of D4RL's "cloned" data are demonstrations, repeated until they are as many as the cloned policy's episodes.
_COPIED = re.compile(r"D4RL/(pen|door|hammer|relocate)/cloned-v\d+")
_REPAIR = "Remove or repair these episodes."


def no_episodes(data: Data) -> list[Finding]:
    """The file has no episode."""
    if data.episodes:
        return []
    return [Finding("no-episodes", "error", "no episode in the data file", "Write or download the dataset again.")]


def odd_names(data: Data) -> list[Finding]:
    """A group with a similar name would be left out silently."""
    if not data.odd:
        return []
    message = f"{', '.join(data.odd[:5])}: {len(data.odd)} in the data file called like episodes, and no episodes"
    advice = "Call episodes episode_0, episode_1 and so on, or remove what is none."
    return [Finding("odd-names", "error", message, advice)]


def empty_episodes(data: Data) -> list[Finding]:
    """Episodes without steps."""
    return _where(data, "empty-episodes", "without a step", lambda one: one.lengths.get("rewards") == 0)


def arrays_missing(data: Data) -> list[Finding]:
    """Episodes without a required array."""
    lost = sorted({path for one in data.episodes for path in one.missing})
    return _where(data, "arrays-missing", f"without {', '.join(lost)}", lambda one: bool(one.missing))


def unsupported_spaces(data: Data) -> list[Finding]:
    """Discrete actions, images and other spaces that are not vectors."""
    advice = "Convert the dataset (Minari's writer takes arrays), or choose another one."
    return [Finding("unsupported-spaces", "error", text, advice) for text in data.unsupported]


def observations_not_t_plus_1(data: Data) -> list[Finding]:
    """An episode has one observation before each action and one after the last."""

    def wrong(one: Measured) -> bool:
        counts = {count for path, count in one.lengths.items() if path.startswith("observations")}
        return "rewards" in one.lengths and bool(counts - {one.lengths["rewards"] + 1})

    return _where(data, "observations-not-t-plus-1", "with another number of observations than steps + 1", wrong)


def lengths_disagree(data: Data) -> list[Finding]:
    """Each step has one action, reward and flag."""

    def wrong(one: Measured) -> bool:
        return len({one.lengths[path] for path in ("actions", "rewards", *FLAGS) if path in one.lengths}) > 1

    return _where(data, "lengths-disagree", "with other numbers of actions, rewards and flags", wrong)


def sizes_differ(data: Data) -> list[Finding]:
    """The shapes of the arrays match the declared spaces."""
    declared = data.layout.shapes

    def wrong(one: Measured) -> bool:
        return any(one.shapes[path] != shape for path, shape in declared.items() if path in one.shapes)

    odd = {
        f"{path} of shape {one.shapes[path]} instead of {declared[path]}"
        for one in data.episodes
        for path in declared
        if one.shapes.get(path, declared[path]) != declared[path]
    }
    return _where(data, "sizes-differ", f"with {', '.join(sorted(odd)[:3])}", wrong)


def counts_disagree(data: Data) -> list[Finding]:
    """The counts in metadata and file differ: a part was lost, or the metadata were edited."""
    said = data.metadata.get("total_episodes"), data.metadata.get("total_steps")
    found = len(data.episodes), int(data.steps.sum())
    if None in said or said == found:
        return []
    message = f"the metadata say {said[0]} episodes and {said[1]} steps, the file holds {found[0]} and {found[1]}"
    return [Finding("counts-disagree", "warning", message, "Get the dataset again if a part of it is missing.")]


def not_finite(data: Data) -> list[Finding]:
    """NaN and infinity; one finding for all arrays."""
    steps: Counter[str] = Counter()
    for one in data.episodes:
        steps.update(one.unreal)
    where = ", ".join(f"{count:,} steps of {key}" for key, count in steps.items())
    what = f"with numbers that are not finite in float32 ({where})"
    return _where(data, "not-finite", what, lambda one: bool(one.unreal))


def flags_inside(data: Data) -> list[Finding]:
    """Flags before the last step: several episodes are stored as one."""
    count = sum(one.early for one in data.episodes)
    advice = "Split them at these flags: return-to-go and context run across the seams."
    return _where(data, "flags-inside", f"with {count:,} ends before the last step", lambda one: one.early > 0, advice)


def no_end_flag(data: Data) -> list[Finding]:
    """Episodes without a flag at the end. Nothing is computed from it, but a part may be missing."""
    advice = "Check that no steps are missing; if they were cut on purpose, mark the last step as truncated."
    found = _where(data, "no-end-flag", "neither terminated nor truncated at the last step", _open_end, advice)
    return [Finding(one.code, "warning", one.message, one.advice) for one in found]


def _open_end(one: Measured) -> bool:
    return one.steps > 0 and not one.ended


def duplicate_episodes(data: Data) -> list[Finding]:
    """Episodes with equal states and actions."""
    counts = Counter(one.digest for one in data.episodes if one.digest)
    copies = sum(counts.values()) - len(counts)
    if not copies:
        return []
    copied = _COPIED.fullmatch(data.dataset_id)
    wrong = copies > _REPEATED * len(data.episodes) and not copied
    message = f"{share(copies, len(data.episodes))} episodes repeat an earlier one"
    advice = "Remove the copies: they count several times in training and leak into held-out parts."
    if copied:
        advice = "D4RL copies its demonstrations on purpose; only keep them out of a held-out part."
    return [Finding("duplicate-episodes", "error" if wrong else "warning", message, advice)]


def tiny_episodes(data: Data) -> list[Finding]:
    """Episodes too short to hold a behaviour."""
    count = int(((data.steps > 0) & (data.steps < _TINY)).sum())
    if not count:
        return []
    message = f"{share(count, len(data.episodes))} episodes have fewer than {_TINY} steps"
    return [Finding("tiny-episodes", "note", message, "Expected after an early fall; otherwise leave them out.")]


def _where(data: Data, code: str, what: str, wrong: Callable[[Measured], bool], advice: str = _REPAIR) -> list[Finding]:
    """Returns an error with the number of wrong episodes and the first of them."""
    names = [one.name for one in data.episodes if wrong(one)]
    if not names:
        return []
    message = f"{share(len(names), len(data.episodes))} episodes {what}; first {names[0]}"
    return [Finding(code, "error", message, advice)]


CHECKS = (
    no_episodes, odd_names, empty_episodes, arrays_missing, unsupported_spaces, observations_not_t_plus_1,
    lengths_disagree, sizes_differ, counts_disagree, not_finite, flags_inside, no_end_flag, duplicate_episodes,
    tiny_episodes,
)  # fmt: skip
