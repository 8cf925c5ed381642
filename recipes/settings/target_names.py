"""What a policy is asked for, as settings write it: tables such as {return = "p95", horizon = 500}.

A return is `best`, `calibrated`, `max`, a percentile such as p95, or a raw return; the method of the policy reads every
other name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from transfer.data.environment.answers import LARGEST
from transfer.errors import TransferError, unknown
from transfer.numbers import real, seen

if TYPE_CHECKING:
    from transfer.data.episodes import Episodes
    from transfer.data.measured.dataset_statistics import Statistics

# `best` is the best target of the calibration, else p95; `calibrated` is an error without a calibration.
BY_CALIBRATION = ("best", "calibrated")
MOST = 100  # entries of one evaluation
_NAME = re.compile(r"[a-z][a-z_]{0,39}")


Ask = Mapping[str, Any]
"""What is asked for, by name; a name that is not there has the method's default."""


def check_asks(asks: Sequence[Ask], key: str) -> None:
    """Raise TransferError that names the setting `key`: no or too many entries, one unreadable or there twice."""
    if not 1 <= len(asks) <= MOST:
        raise TransferError(f'{key} has {len(asks)} entries; it takes 1 to {MOST}, as in [{{return = "p95"}}, {{}}]')
    try:
        known = [{name: _checked(name, value) for name, value in ask.items()} for ask in asks]
    except TransferError as error:
        raise TransferError(f"{key}: {error}") from error
    for ask, values in zip(asks, known, strict=True):
        if known.count(values) > 1:
            raise TransferError(f"{key} asks for {said(ask) or 'the default'} twice")


def _checked(name: str, value: object) -> str | float:
    """A value as text in one spelling, or as a number. Raises TransferError for neither, or a return that is none."""
    if not _NAME.fullmatch(name):
        raise TransferError(f"{seen(name)} is no name of what can be asked for, as return or horizon")
    if isinstance(value, bool) or not isinstance(value, str | int | float) or value == "":
        raise TransferError(f"{name} is {seen(value)}; a number or text is needed")
    if name == "return":
        return canonical(value if isinstance(value, str) else repr(value))
    return value if isinstance(value, str) else real(value, name)


def read_ask(text: str) -> dict[str, Any]:
    """An entry as the command line has it: "return=p95,horizon=500". Raises TransferError for another form."""
    found: dict[str, Any] = {}
    for item in filter(None, map(str.strip, text.split(","))):
        name, equals, value = map(str.strip, item.partition("="))
        if not equals or not name or not value:
            raise TransferError(f"--ask wants NAME=VALUE, as return=3000,horizon=500; got {seen(text)}")
        if name in found:
            raise TransferError(f"--ask names {name} twice: {seen(text)}")
        found[name] = value if name == "return" else _number(value)
    return found


def _number(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text


def said(ask: Ask) -> str:
    """An entry in words, "" for the default."""
    words = {"target" if name == "return" else name: value for name, value in ask.items()}
    return ", ".join(f"{name} {value}" for name, value in words.items())


def target_of(ask: Ask, asked: Mapping[str, float]) -> str:
    """The name of the return in an entry, "best" for the default one, "" where the policy is asked for none.

    Args:
        ask: the entry.
        asked: what the policy was asked for, complete.
    """
    return str(ask.get("return", "best")) if "return" in asked else ""


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


def of_data(ask: Ask, episodes: Episodes, statistics: Statistics) -> dict[str, Any]:
    """An entry whose return is a number, by all returns of the dataset."""
    return {name: from_data(str(one), episodes, statistics) if name == "return" else one for name, one in ask.items()}


def of_adapter(ask: Ask, statistics: Statistics) -> dict[str, Any]:
    """An entry whose return is a number, by what an adapter stores. Raises TransferError as `from_adapter`."""
    return {name: from_adapter(str(one), statistics) if name == "return" else one for name, one in ask.items()}


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
