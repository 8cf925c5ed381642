"""The table of a calibration: target and achieved returns, as an adapter keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from transfer.errors import TransferError, check_keys
from transfer.numbers import real, seen, whole


@dataclass(frozen=True)
class Calibration:
    """Target and achieved returns, all raw, one entry per target in the order of measurement.

    Attributes:
        asked: target returns.
        achieved: mean returns achieved.
        success: share of the episodes that succeeded; None if the environment does not report success.
        episodes: number of episodes for each target.

    Raises:
        TransferError: a value is not a finite number, a success not from 0 to 1, or the lists differ in length or are
            empty.
    """

    asked: tuple[float, ...]
    achieved: tuple[float, ...]
    success: tuple[float, ...] | None
    episodes: int

    def __post_init__(self) -> None:
        for name in ("asked", "achieved", "success"):
            given = getattr(self, name)
            if given is not None:
                bounds = {"least": 0.0, "most": 1.0} if name == "success" else {}
                object.__setattr__(self, name, tuple(real(one, f"calibration.{name}", **bounds) for one in given))
        object.__setattr__(self, "episodes", whole(self.episodes, "calibration.episodes", least=1))
        success = self.asked if self.success is None else self.success
        if not len(self.asked) == len(self.achieved) == len(success) > 0:
            raise TransferError("the calibration was edited: its lists differ in length or are empty.")

    @property
    def best(self) -> float:
        """The target with the most success; ties go to the highest achieved return, then to the smallest target."""
        success = self.success or (0.0,) * len(self.asked)
        return -max(zip(success, self.achieved, (-asked for asked in self.asked), strict=True))[2]

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file; `from_json` restores an equal object."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Calibration:
        """The inverse of `to_json`. Raises TransferError for a missing or unknown key or values that are no lists."""
        check_keys("the calibration", data, [f.name for f in fields(cls)])
        asked, achieved, success = data["asked"], data["achieved"], data["success"]
        if not (isinstance(asked, list) and isinstance(achieved, list) and isinstance(success, list | None)):
            raise TransferError(f"the calibration was edited: it holds {seen(dict(data))}.")
        return cls(**data)

    def __str__(self) -> str:
        entries = [f"{asked:.0f} -> {achieved:.0f}" for asked, achieved in zip(self.asked, self.achieved, strict=True)]
        if self.success is not None:
            entries = [f"{one} (success {rate:.2f})" for one, rate in zip(entries, self.success, strict=True)]
        return f"{', '.join(entries)}; best target {self.best:.0f}, {self.episodes} episodes each"
