"""Targets as settings write them: `best`, `calibrated`, `max`, a percentile such as p95, or a raw return."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from transfer.data.environment.answers import LARGEST
from transfer.errors import TransferError, unknown
from transfer.numbers import seen

if TYPE_CHECKING:
    from transfer.data.episodes import Episodes
    from transfer.data.measured.dataset_statistics import Statistics

# `best` is the best target of the calibration, else p95; `calibrated` is an error without a calibration.
BY_CALIBRATION = ("best", "calibrated")
MOST = 100  # targets of one evaluation


def check_targets(targets: Sequence[str], key: str) -> None:
    """Raise TransferError that names the setting `key`: no or too many targets, one unreadable or named twice."""
    if not 1 <= len(targets) <= MOST:
        raise TransferError(f"{key} has {len(targets)} targets; it takes 1 to {MOST}, as in --targets p95,max")
    try:
        known = [canonical(target) for target in targets]
    except TransferError as error:
        raise TransferError(f"{key}: {error}") from error
    for target, name in zip(targets, known, strict=True):
        if known.count(name) > 1:
            raise TransferError(f"{key} names the target {target} twice: {', '.join(targets)}")


def canonical(target: str) -> str:
    """One spelling for each target: p95.0 is p95, 3e3 is 3000.0.

    Raises:
        TransferError: it cannot be read.
    """
    if target in (*BY_CALIBRATION, "max"):
        return target
    share = target.startswith("p")
    try:
        number = float(target.removeprefix("p"))
    except ValueError:
        number = float("nan")
    if share and 0 <= number <= 100:
        return f"p{number:g}"
    if not share and abs(number) <= LARGEST:
        return repr(number + 0.0)
    raise TransferError(
        f"target {seen(target)} is not best, calibrated, max, a percentile like p95, or a return like 3000"
    )


def from_data(target: str, episodes: Episodes, statistics: Statistics) -> float:
    """A target as a raw return, by all returns of the dataset."""
    name = canonical(target)
    if name in BY_CALIBRATION:
        return statistics.best_target
    if name == "max":
        return float(episodes.returns.max())
    return episodes.quantile(float(name[1:]) / 100) if name.startswith("p") else float(name)


def from_adapter(target: str, statistics: Statistics) -> float:
    """A target as a raw return, by the quantiles of returns that an adapter stores.

    Raises:
        TransferError: another percentile, or `calibrated` where the adapter is not.
    """
    name, quantiles = canonical(target), statistics.return_quantiles
    if name == "calibrated" and statistics.calibration is None:
        raise TransferError("this adapter was not calibrated (eval.calibrate): give another target, as --targets best.")
    if name in BY_CALIBRATION and (statistics.calibration is not None or "p95" in quantiles):
        return statistics.best_target
    if name not in quantiles and name[0] in "bmp":  # no number
        raise unknown("target", target, ["best", *quantiles], "Or give a raw return, as in --targets 3000.")
    return quantiles[name] if name in quantiles else float(name)
