"""What runs are called in a report: the shortest ends of their paths that tell them apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transfer.errors import TransferError


def labels(runs: Sequence[Path]) -> dict[Path, str]:
    """A label for each run folder, in order: "hop", or "monday/hop" and "tuesday/hop".

    Raises:
        TransferError: one folder is named twice, under whatever paths.
    """
    places = {run: run.resolve() for run in runs}
    if len(set(places.values())) < len(runs):
        raise TransferError(
            f"one run folder is named twice in {', '.join(map(str, runs))}; its seeds would count twice."
        )
    return {run: label(place, [other for other in places.values() if other != place]) for run, place in places.items()}


def label(place: Path, others: Sequence[Path]) -> str:
    """The shortest end of a path that no other path ends in."""
    for count in range(1, len(place.parts) + 1):
        end = place.parts[-count:]
        if not any(other.parts[-count:] == end for other in others):
            return Path(*end).as_posix()
    return place.as_posix()
