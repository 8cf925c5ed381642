"""Checks of the data file, for any environment: are the episodes complete, and do they match the metadata?"""

import re
from collections import Counter
from collections.abc import Callable

from transfer.envs.checks.findings import Found, Severity, share
from transfer.envs.checks.measured import FLAGS, Measured
from transfer.envs.checks.survey import Data

_TINY = 5  # steps
_REPEATED = 0.1  # of the episodes
# Half of D4RL's "cloned" data are demonstrations, repeated until they are as many as the cloned policy's episodes.
_COPIED = re.compile(r"D4RL/(pen|door|hammer|relocate)/cloned-v\d+")
_REPAIR = "Remove or repair these episodes."


def no_episodes(data: Data) -> Found:
    """The data file holds no episode."""
    if not data.episodes:
        yield "error", "no episode in the data file", "Write or download the dataset again."


def odd_names(data: Data) -> Found:
    """A group of the data file is called almost like an episode (episode_x, episode_-1) and would be left out."""
    if data.odd:
        message = f"{', '.join(data.odd[:5])}: {len(data.odd)} in the data file called like episodes, and no episodes"
        yield "error", message, "Call episodes episode_0, episode_1 and so on, or remove what is none."


def empty_episodes(data: Data) -> Found:
    """Episodes have no step."""
    return _where(data, "without a step", lambda one: one.lengths.get("rewards") == 0)


def arrays_missing(data: Data) -> Found:
    """Episodes lack observations, actions or rewards, or hold something else than numbers there."""
    lost = sorted({path for one in data.episodes for path in one.missing})
    return _where(data, f"without {', '.join(lost)}", lambda one: bool(one.missing))


def unsupported_spaces(data: Data) -> Found:
    """Observations or actions are not vectors of real numbers (Discrete, images)."""
    for text in data.unsupported:
        yield "error", text, "Convert the dataset (Minari's writer takes arrays), or choose another one."


def observations_not_t_plus_1(data: Data) -> Found:
    """An episode of T steps does not hold T + 1 observations."""

    def wrong(one: Measured) -> bool:
        counts = {count for path, count in one.lengths.items() if path.startswith("observations")}
        return "rewards" in one.lengths and bool(counts - {one.lengths["rewards"] + 1})

    return _where(data, "with another number of observations than steps + 1", wrong)


def lengths_disagree(data: Data) -> Found:
    """Actions, rewards and flags of an episode differ in length."""

    def wrong(one: Measured) -> bool:
        return len({one.lengths[path] for path in ("actions", "rewards", *FLAGS) if path in one.lengths}) > 1

    return _where(data, "with other numbers of actions, rewards and flags", wrong)


def sizes_differ(data: Data) -> Found:
    """Arrays have other shapes than the dataset declares."""

    def odd(one: Measured) -> list[str]:
        shapes = [(path, one.shapes[path], shape) for path, shape in data.layout.shapes.items() if path in one.shapes]
        return [f"{path} of shape {held} instead of {shape}" for path, held, shape in shapes if held != shape]

    every = sorted({text for one in data.episodes for text in odd(one)})
    return _where(data, f"with {', '.join(every[:3])}", lambda one: bool(odd(one)))


def counts_disagree(data: Data) -> Found:
    """The metadata count other episodes or steps than the data file holds."""
    said = data.metadata.get("total_episodes"), data.metadata.get("total_steps")
    found = len(data.episodes), int(data.steps.sum())
    if None not in said and said != found:
        message = f"the metadata say {said[0]} episodes and {said[1]} steps, the file holds {found[0]} and {found[1]}"
        yield "warning", message, "Get the dataset again if a part of it is missing."


def not_finite(data: Data) -> Found:
    """Arrays hold NaN, infinity, or numbers too large for float32."""
    steps: Counter[str] = Counter()
    for one in data.episodes:
        steps.update(one.unreal)
    where = ", ".join(f"{count:,} steps of {key}" for key, count in steps.items())
    return _where(data, f"with numbers that are not finite in float32 ({where})", lambda one: bool(one.unreal))


def flags_inside(data: Data) -> Found:
    """Episodes are terminated or truncated before the last step: several are stored as one."""
    count = sum(one.early for one in data.episodes)
    advice = "Split them at these flags: return-to-go and context run across the seams."
    return _where(data, f"with {count:,} ends before the last step", lambda one: one.early > 0, advice)


def no_end_flag(data: Data) -> Found:
    """The last step is neither terminated nor truncated. Nothing is computed from it, but a part may be missing."""
    what, advice = "neither terminated nor truncated at the last step", "Check that no steps are missing; "
    advice += "if they were cut on purpose, mark the last step as truncated."
    return _where(data, what, lambda one: one.steps > 0 and not one.ended, advice, "warning")


def duplicate_episodes(data: Data) -> Found:
    """Episodes have the states and actions of an earlier one."""
    counts = Counter(one.digest for one in data.episodes if one.digest)
    copies = sum(counts.values()) - len(counts)
    if not copies:
        return
    message = f"{share(copies, len(data.episodes))} episodes repeat an earlier one"
    if _COPIED.fullmatch(data.dataset_id):
        yield "warning", message, "D4RL copies its demonstrations on purpose; only keep them out of a held-out part."
        return
    advice = "Remove the copies: they count several times in training and leak into held-out parts."
    yield "error" if copies > _REPEATED * len(data.episodes) else "warning", message, advice


def tiny_episodes(data: Data) -> Found:
    """Episodes have fewer than 5 steps."""
    count = int(((data.steps > 0) & (data.steps < _TINY)).sum())
    if count:
        message = f"{share(count, len(data.episodes))} episodes have fewer than {_TINY} steps"
        yield "note", message, "Expected after an early fall; otherwise leave them out."


def _where(
    data: Data, what: str, wrong: Callable[[Measured], bool], advice: str = _REPAIR, severity: Severity = "error"
) -> Found:
    """Yields one finding with the number of wrong episodes and the first of them."""
    names = [one.name for one in data.episodes if wrong(one)]
    if names:
        yield severity, f"{share(len(names), len(data.episodes))} episodes {what}; first {names[0]}", advice


CHECKS = (
    no_episodes, odd_names, empty_episodes, arrays_missing, unsupported_spaces, observations_not_t_plus_1,
    lengths_disagree, sizes_differ, counts_disagree, not_finite, flags_inside, no_end_flag, duplicate_episodes,
    tiny_episodes,
)  # fmt: skip
