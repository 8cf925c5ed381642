"""Target calibration: what a policy achieves for what it is asked, measured after its training.

A return-conditioned policy does not always do best when it is asked for most: some returns lie outside its data, and
some adapters follow the number loosely. So each adapter carries a small table of asked and achieved returns, from
episodes of their own (their seeds are not those of evaluations), and asks for its best row unless it is told otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from transfer.answers import LARGEST
from transfer.errors import TransferError, check_keys
from transfer.numbers import real, seen, whole

if TYPE_CHECKING:
    from transfer.base import PolicyModel
    from transfer.evaluation import Evaluation

FIRST_SEED = 20_000
TARGETS = ("p50", "p75", "p90", "p95", "max")


@dataclass(frozen=True)
class Calibration:
    """Asked against achieved returns, all raw, one entry per target in the order asked.

    Attributes:
        asked: returns asked for.
        achieved: mean returns achieved.
        success: share of the episodes that succeeded; None where the environment says nothing of it.
        episodes: played for each target.
    """

    asked: tuple[float, ...]
    achieved: tuple[float, ...]
    success: tuple[float, ...] | None
    episodes: int

    def __post_init__(self) -> None:
        """Raises TransferError on a value that is no finite number, and on lists that differ in length or are empty."""
        for name in ("asked", "achieved", "success"):
            given = getattr(self, name)
            if given is not None:
                object.__setattr__(self, name, tuple(real(one, f"calibration.{name}") for one in given))
        object.__setattr__(self, "episodes", whole(self.episodes, "calibration.episodes", least=1))
        success = self.asked if self.success is None else self.success
        if not len(self.asked) == len(self.achieved) == len(success) > 0:
            raise TransferError("the calibration was edited: its lists differ in length or are empty.")

    @property
    def best(self) -> float:
        """The return to ask for: most success, then the highest achieved return, then the smallest target."""
        success = self.success or (0.0,) * len(self.asked)
        rows = zip(success, self.achieved, (-asked for asked in self.asked), strict=True)
        return -max(rows)[2]

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file; `from_json` restores an equal object."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Calibration:
        """The inverse of `to_json`.

        Raises:
            TransferError: a key is missing or not known, or the lists differ in length.
        """
        check_keys("the calibration", data, [f.name for f in fields(cls)])
        asked, achieved, success = data["asked"], data["achieved"], data["success"]
        if not (isinstance(asked, list) and isinstance(achieved, list) and isinstance(success, list | None)):
            raise TransferError(f"the calibration was edited: it holds {seen(dict(data))}.")
        return cls(tuple(asked), tuple(achieved), None if success is None else tuple(success), data["episodes"])

    def __str__(self) -> str:
        rows = [f"{asked:.0f} -> {achieved:.0f}" for asked, achieved in zip(self.asked, self.achieved, strict=True)]
        if self.success is not None:
            rows = [f"{row} (success {rate:.2f})" for row, rate in zip(rows, self.success, strict=True)]
        return f"{', '.join(rows)}; best asked {self.best:.0f}, {self.episodes} episodes each"


def calibrate(
    model: PolicyModel,
    targets: Sequence[float] | None = None,
    num_episodes: int = 10,
    *,
    num_envs: int = 100,
    decode: str = "autoregressive",
    trust: bool = False,
    on_episode: Callable[[int], None] | None = None,
) -> Calibration:
    """Play a few episodes for each of several targets and keep the outcome in the adapter.

    Episode i has environment seed 20000 + i, so that no evaluation plays an episode that chose its target.

    Args:
        model: trunk and adapter; `model.statistics.calibration` is set.
        targets: raw returns to ask for, equal ones once; default: the dataset's `TARGETS`.
        num_episodes: per target.
        num_envs: environments at a time.
        decode: see `transfer.streaming.Stream`.
        trust: see `transfer.evaluate`.
        on_episode: called with the number of finished episodes of all targets.

    Raises:
        TransferError: no target, or what `transfer.evaluate` raises.
    """
    from transfer.base import PolicyModel, check_model
    from transfer.playing import Settings
    from transfer.rollout import evaluate

    settings = Settings.of(num_episodes, num_envs, decode, FIRST_SEED, on_episode)
    check_model(model, PolicyModel, "calibrate")
    played: list[Evaluation] = []
    asked = _returns(model, targets)
    for target in asked:
        before = len(played) * settings.num_episodes

        def count(done: int, before: int = before) -> None:
            if on_episode is not None:
                on_episode(before + done)

        played.append(
            evaluate(
                model,
                num_episodes=num_episodes,
                target_return=target,
                num_envs=num_envs,
                decode=decode,
                first_seed=FIRST_SEED,
                trust=trust,
                on_episode=count,
            )
        )
    achieved, rates = tuple(float(one.returns.mean()) for one in played), [one.success_rate for one in played]
    success = None if rates.count(None) == len(rates) else tuple(rate or 0.0 for rate in rates)
    calibration = Calibration(asked, achieved, success, settings.num_episodes)
    model.keep_calibration(calibration)
    return calibration


def _returns(model: PolicyModel, targets: Sequence[float] | None) -> tuple[float, ...]:
    """The returns to ask for, each once. Raises TransferError for none, and for what is no number."""
    if targets is None:
        targets = [value for name, value in model.statistics.return_quantiles.items() if name in TARGETS]
    if isinstance(targets, str) or not isinstance(targets, Iterable):
        raise TransferError(f"targets={seen(targets)}: a list of raw returns is needed.")
    found = tuple(dict.fromkeys(real(one, "targets", least=-LARGEST, most=LARGEST) for one in targets))
    if not found:
        raise TransferError("nothing to calibrate: give at least one target return.")
    return found
