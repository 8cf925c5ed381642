"""The tokenizer ceiling: what dataset actions still earn after encoding and decoding, before anything is trained.

    from transfer.recipes.ceiling.ceiling import ceiling
    from transfer.recipes.ceiling.ceiling_files import write

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

from transfer.adapters.build import fit_tokenizer
from transfer.adapters.measure import measure
from transfer.adapters.tokenizers.tokenizer import Tokenizer
from transfer.data.dataset_statistics import Statistics
from transfer.data.environment.spec import ReferenceScores
from transfer.data.episodes import Episodes
from transfer.envs.loading import load_episodes
from transfer.errors import TransferError
from transfer.models.scales import Scales
from transfer.recipes.ceiling.ceiling_report import CeilingReport, CeilingRow
from transfer.recipes.ceiling.recordings import Recording, recordings
from transfer.recipes.ceiling.replay import RAW, Key, Outcome, compare
from transfer.recipes.runs.versions import versions

if TYPE_CHECKING:
    from transfer.recipes.ceiling.replay import Env

BLOCK = 100_000  # steps that are encoded at a time
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
    """Replays episodes of a dataset with encoded and decoded actions, and reports the return that this costs.

    Every episode is played from its own start, in the environment that recorded it and over its own length, three ways:
    the actions as they are; decoded, without looking (open loop); decoded, and put back on the recorded course every
    `replay.HOLD` steps. Errors add up in the open loop, and a body such as Hopper's then falls whatever the vocabulary:
    that score is a lower bound on what a policy that sees states would keep. Held scores compare vocabularies better.

    Args:
        source: Minari ids and bundled names, comma-separated.
        bins: vocabularies to try.
        tokenizers: kinds to try, by their names in `transfer.registry`; each is fitted on all actions.
        episodes: how many to replay, evenly spread over the data; all where there are fewer.
        on_progress: called with (episodes done, episodes in all).
        env: the environment to replay in where the datasets name none; see `load_episodes`.
        trust: import and call whatever the datasets name; see `transfer.data.environment.building.trust`.

    Raises:
        TransferError: as `load_episodes`; nothing to try; an unknown tokenizer; no episode whose start comes back.
    """
    if not bins or not tokenizers or episodes < 1:
        raise TransferError(
            f"a ceiling needs bins, tokenizers and at least 1 episode, got bins {list(bins)}, tokenizers "
            f"{list(tokenizers)} and {episodes} episodes"
        )
    data = load_episodes(source, env, trust)
    keys: list[Key] = [(kind, size) for kind in dict.fromkeys(tokenizers) for size in sorted(set(bins))]
    statistics = measure(data)
    fitted = {key: _as_adapters_do(key, data, statistics) for key in keys}
    on_progress = on_progress or (lambda done, total: None)
    played, outcomes, skipped = _play(recordings(data, episodes), fitted, on_progress, trust)
    if not played:
        raise _no_start(data.dataset_ids, skipped)
    scale = data.env_spec.reference
    return CeilingReport(
        dataset_ids=data.dataset_ids,
        content_hash=data.content_hash,
        environment=data.env_spec.name,
        gym_id=played[0].spec.gym_id,
        reference=scale,
        episodes=len(played),
        skipped=dict(skipped),
        dataset=_dataset_row(played, scale),
        replayed=_row(RAW, outcomes, scale),
        rows=tuple(_row(key, outcomes, scale, one, data.actions) for key, one in fitted.items()),
        versions=versions(),
    )


def _as_adapters_do(key: Key, data: Episodes, statistics: Statistics) -> Tokenizer:
    """A tokenizer of the environment's actions with the bins that an adapter gives their scaled ones."""
    scale = Scales(statistics).action_range()
    return fit_tokenizer(key[0], int(key[1] or 0), data, statistics).unscaled(scale.middle.numpy(), scale.half.numpy())


def _play(
    chosen: Sequence[Recording], fitted: Mapping[Key, Tokenizer], on_progress: Progress, trust: bool
) -> tuple[list[Recording], Outcomes, Counter[str]]:
    """The recordings whose start came back, what each way of playing them brought, and why the others were skipped."""
    played: list[Recording] = []
    outcomes: Outcomes = {key: [] for key in (RAW, *fitted)}
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


def _dataset_row(played: Sequence[Recording], scale: ReferenceScores) -> CeilingRow:
    returned = float(np.mean([one.returned for one in played]))
    return CeilingRow(
        tokenizer="dataset",
        bins=None,
        used_bins=None,
        mean_error=None,
        max_error=None,
        mean_return=returned,
        score=scale.score(returned),
        lost=None,
        lost_error=None,
        mean_length=float(np.mean([len(one.actions) for one in played])),
        held_score=None,
        held_lost=None,
        held_error=None,
        success=_share([one.success for one in played]),
    )


def _row(
    key: Key,
    outcomes: Outcomes,
    scale: ReferenceScores,
    tokenizer: Tokenizer | None = None,
    actions: NDArray[np.float32] | None = None,
) -> CeilingRow:
    """Means over the outcomes of one way of playing, and with a tokenizer its errors on all actions (N, A)."""
    mine, raw = outcomes[key], outcomes[RAW]
    scores, scores_raw = (scale.score(np.array([one.returned for one in some])) for some in (mine, raw))  # (E,)
    held, held_raw = (scale.score(np.array([one.held for one in some], np.float64)) for some in (mine, raw))  # (E,)
    errors = (None, None) if tokenizer is None or actions is None else _errors(tokenizer, actions)
    return CeilingRow(
        tokenizer=key[0],
        bins=key[1],
        used_bins=None if tokenizer is None else float(tokenizer.n_used_.mean()),
        mean_error=errors[0],
        max_error=errors[1],
        mean_return=float(np.mean([one.returned for one in mine])),
        score=float(scores.mean()),
        lost=float((scores_raw - scores).mean()),
        lost_error=_standard_error(scores_raw - scores),
        mean_length=float(np.mean([one.length for one in mine])),
        held_score=_finite(held.mean()),
        held_lost=_finite((held_raw - held).mean()),
        held_error=_standard_error(held_raw - held),
        success=_share([one.success for one in mine]),
    )


def _share(success: Sequence[bool | None]) -> float | None:
    """How many of the episodes succeeded, 0 to 1; None where some do not say."""
    said = [one for one in success if one is not None]
    return sum(said) / len(said) if len(said) == len(success) else None


def _finite(value: float) -> float | None:
    """None for NaN, which a mean is where episodes could not be held."""
    return float(value) if np.isfinite(value) else None


def _standard_error(values: NDArray[np.float64]) -> float | None:
    """Of the mean of values (E,), None for a single one."""
    return _finite(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None


def _errors(tokenizer: Tokenizer, actions: NDArray[np.float32]) -> tuple[float, float]:
    """Mean and largest |action - decoded| over actions (N, A), a block at a time: a million steps are large."""
    total, largest = 0.0, 0.0
    for start in range(0, len(actions), BLOCK):
        block = actions[start : start + BLOCK]
        error = np.abs(tokenizer.decode(tokenizer.encode(block)) - block)
        total += float(error.sum(dtype=np.float64))
        largest = max(largest, float(error.max()))
    return total / actions.size, largest
