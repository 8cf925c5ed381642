"""The tokenizer ceiling: the return of dataset actions after encoding and decoding, before anything is trained.

    from transfer.recipes.ceiling.ceiling import ceiling
    from transfer.recipes.ceiling.ceiling_text import write

    write(ceiling("hopper/medium-expert"), Path("."))

Letters: N steps of the data, A action size, E replayed episodes.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from transfer.adapters.actions.action import fit_tokenizer
from transfer.adapters.actions.vocabulary import Vocabulary
from transfer.data.environment.spec import ReferenceScores
from transfer.data.measured.measure import measure
from transfer.envs.loading import load_episodes
from transfer.errors import TransferError
from transfer.models.steps.scales import Scales
from transfer.recipes.ceiling.ceiling_report import CeilingReport, CeilingRow
from transfer.recipes.ceiling.recordings import Recording, recordings
from transfer.recipes.ceiling.replay import RAW, Key, Outcome, compare
from transfer.recipes.runs.versions import versions

if TYPE_CHECKING:
    from transfer.recipes.ceiling.replay import Env

BLOCK = 100_000  # steps encoded at a time: a million steps are large
DATA: Key = ("dataset", None)
Outcomes = dict[Key, list[Outcome]]
Progress = Callable[[int, int], None]


def ceiling(
    source: str,
    bins: Sequence[int] = (16, 64, 256),
    tokenizers: Sequence[str] = ("quantile", "uniform", "mu-law"),
    episodes: int = 20,
    on_progress: Progress | None = None,
    env: Any = None,
    trust: bool = False,
) -> CeilingReport:
    """Replay episodes of a dataset with encoded and decoded actions, and report the return that this costs.

    Every episode is played from its own start, in the environment that recorded it and over its own length, three ways:
    raw actions; decoded actions in open loop; decoded actions, put back on the recorded course every `replay.HOLD`
    steps. Errors add up in the open loop, and a body such as Hopper's then falls with any vocabulary: that score is a
    lower bound on what a policy that sees states keeps. Held scores compare vocabularies better.

    Args:
        source: Minari ids and bundled names, comma-separated.
        bins: vocabularies to try.
        tokenizers: kinds to try, by their names in `transfer.registry`; each is fitted on all actions.
        episodes: how many to replay, evenly spread over the data; all where there are fewer.
        on_progress: called with (episodes done, episodes in all).
        env: the environment to replay in where the datasets name none; see `load_episodes`.
        trust: import and call what the datasets name; see `transfer.data.environment.building.trust`.

    Raises:
        TransferError: as `load_episodes`; nothing to try; an unknown tokenizer; no episode whose start comes back.
    """
    if not bins or not tokenizers or episodes < 1:
        raise TransferError(
            f"a ceiling needs bins, tokenizers and at least 1 episode, got bins {list(bins)}, tokenizers "
            f"{list(tokenizers)} and {episodes} episodes"
        )
    data = load_episodes(source, env, trust)
    statistics = measure(data)
    fitted: dict[Key, Vocabulary] = {}
    scales = Scales(statistics, data.env_spec)
    for kind in dict.fromkeys(tokenizers):
        for size in sorted(set(bins)):  # fitted to scaled actions, as in an adapter
            fitted[kind, size] = Vocabulary(fit_tokenizer(kind, size, data, scales), scales.action_range())
    played, outcomes, skipped = _play(recordings(data, episodes), fitted, on_progress or (lambda *_: None), trust)
    if not played:
        raise _no_start(data.dataset_ids, skipped)
    reference = data.env_spec.reference
    return CeilingReport(
        dataset_ids=data.dataset_ids,
        content_hash=data.content_hash,
        environment=data.env_spec.name,
        gym_id=played[0].spec.gym_id,
        reference=reference,
        episodes=len(played),
        skipped=dict(skipped),
        dataset=_row(DATA, outcomes, reference),
        replayed=_row(RAW, outcomes, reference),
        rows=tuple(_row(key, outcomes, reference, **_errors(one, data.actions)) for key, one in fitted.items()),
        versions=versions(),
    )


def _play(
    chosen: Sequence[Recording], fitted: Mapping[Key, Vocabulary], on_progress: Progress, trust: bool
) -> tuple[list[Recording], Outcomes, Counter[str]]:
    """The recordings whose start came back, their outcomes, and why the others were skipped."""
    played: list[Recording] = []
    outcomes: Outcomes = {key: [] for key in (DATA, RAW, *fitted)}
    skipped: Counter[str] = Counter()
    envs: dict[str, Env] = {}
    with contextlib.ExitStack() as stack:
        for done, recording in enumerate(chosen):
            on_progress(done, len(chosen))
            gym_spec = recording.spec.gym_spec
            if gym_spec not in envs:
                envs[gym_spec] = stack.enter_context(contextlib.closing(recording.spec.make(trust=trust)))
            found, reason = compare(envs[gym_spec], recording, fitted)
            if reason:
                skipped[reason] += 1
                continue
            played.append(recording)
            found[DATA] = Outcome(recording.returned, len(recording.actions), recording.success)
            for key, outcome in found.items():
                outcomes[key].append(outcome)
    on_progress(len(chosen), len(chosen))
    return played, outcomes, skipped


def _no_start(dataset_ids: Sequence[str], skipped: Mapping[str, int]) -> TransferError:
    reasons = "; ".join(f"{reason} ({count})" for reason, count in skipped.items())
    return TransferError(
        f"{', '.join(dataset_ids)}: no episode can be replayed, because none of the {sum(skipped.values())} chosen "
        f"starts here as it was recorded: {reasons}. A seed brings a start back only in the version of the environment "
        "that made the data. Use data with seeds, or with qpos and qvel in the infos, or install the versions that the "
        "data were recorded with."
    )


def _row(key: Key, outcomes: Outcomes, reference: ReferenceScores, **errors: float) -> CeilingRow:
    """Means over the outcomes of one way of playing, beside the errors of its tokenizer."""
    mine, raw = outcomes[key], outcomes[RAW]
    scores, scores_raw = (reference.score(np.array([one.returned for one in some])) for some in (mine, raw))  # (E,)
    held, held_raw = (reference.score(np.array([one.held for one in some], float)) for some in (mine, raw))  # (E,)
    success = [one.success for one in mine if one.success is not None]
    compared = key != DATA
    return CeilingRow(
        tokenizer=key[0],
        bins=key[1],
        **errors,
        mean_return=float(np.mean([one.returned for one in mine])),
        score=float(scores.mean()),
        lost=float((scores_raw - scores).mean()) if compared else None,
        lost_error=_standard_error(scores_raw - scores) if compared else None,
        mean_length=float(np.mean([one.length for one in mine])),
        held_score=_finite(held.mean()),
        held_lost=_finite((held_raw - held).mean()),
        held_error=_standard_error(held_raw - held),
        success=sum(success) / len(success) if len(success) == len(mine) else None,
    )


def _finite(value: float) -> float | None:
    """None for NaN, the mean where an episode could not be held."""
    return float(value) if np.isfinite(value) else None


def _standard_error(values: NDArray[np.float64]) -> float | None:
    """The standard error of the mean of values (E,), None for a single one."""
    return _finite(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None


def _errors(vocabulary: Vocabulary, actions: NDArray[np.float32]) -> dict[str, float]:
    """Mean and largest |action - decoded| over actions (N, A), and the mean number of used bins."""
    total, largest = 0.0, 0.0
    for start in range(0, len(actions), BLOCK):
        block = actions[start : start + BLOCK]
        error = np.abs(vocabulary.decoded(block) - block)
        total += float(error.sum(dtype=np.float64))
        largest = max(largest, float(error.max()))
    return {
        "used_bins": float(vocabulary.tokenizer.n_used_.mean()),
        "mean_error": total / actions.size,
        "max_error": largest,
    }
