"""Making the bundled datasets that a run needs and that are not there yet, several at a time."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from multiprocessing import get_context

from transfer.envs.bundled.making import make_dataset
from transfer.envs.dataset_ids import BUNDLED, at_hand, is_local
from transfer.recipes.runs.datasets import Say, unmade
from transfer.recipes.watching.progress import Progress


def make(names: Sequence[str], say: Say, jobs: int = 1) -> None:
    """Make the bundled datasets among some data that are not there yet, up to `jobs` of them at a time."""
    missing = list(dict.fromkeys(unmade(names)))
    for name in missing:
        say(f"{name}: made now by playing the bundled policies")
    if jobs > 1:
        _side_by_side(singles(missing), jobs)
    for name in missing:
        if not at_hand(name):
            with Progress(1, name) as progress:
                make_dataset(name, on_progress=progress.update)


def singles(names: Sequence[str]) -> list[str]:
    """The bundled names of one dataset each that some names stand for and that are not there: hopper/medium, ..."""
    ids = dict.fromkeys(one for name in names for one in BUNDLED[name] if not is_local(one))
    return [name for name, made_of in BUNDLED.items() if len(made_of) == 1 and made_of[0] in ids]


def _side_by_side(names: Sequence[str], jobs: int) -> None:
    """Make some datasets in processes of their own; an interruption ends these, and leaves no half of one."""
    if len(names) < 2:
        return
    with get_context("spawn").Pool(min(jobs, len(names)), _begin) as pool, Progress(len(names), "data") as progress:
        for number, _ in enumerate(pool.imap_unordered(make_dataset, names), 1):
            progress.update(number)


def _begin() -> None:
    """Once in each process: Ctrl-C is for the one that waits."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
