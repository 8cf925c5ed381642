"""Target calibration: the return that a policy achieves for each of several targets, measured after its training.

The largest target is not always the best one: some returns lie outside the data, and some adapters follow the target
loosely. Each adapter carries a small table of target and achieved returns; the best of them is the default target. The
episodes behind the table have seeds of their own, apart from those of evaluations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from transfer.data.environment.answers import LARGEST
from transfer.data.measured.calibration_table import Calibration
from transfer.errors import TransferError
from transfer.evaluation.evaluate import counted_after, evaluate
from transfer.evaluation.outcome import Evaluation
from transfer.models.acting import PolicyModel, check_model
from transfer.numbers import real, seen

CALIBRATION_SEED = 20_000
"""Environment seed of a calibration's first episode."""
TARGETS = ("p50", "p75", "p90", "p95", "max")


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
    """Play a few episodes for each of several targets and store the outcome in the adapter.

    Episode i has environment seed 20000 + i, so no evaluation plays an episode that chose its target.

    Args:
        model: trunk and adapter; `model.statistics.calibration` is set.
        targets: raw target returns, equal ones once; default: the dataset's `TARGETS`.
        num_episodes: per target.
        num_envs: environments at a time.
        decode: see `transfer.decoding.planner.make_planner`.
        trust: see `transfer.evaluate`.
        on_episode: called with the number of finished episodes of all targets.

    Raises:
        TransferError: no target, or what `transfer.evaluate` raises.
    """
    check_model(model, PolicyModel, "calibrate")
    asked = _returns(model, targets)
    played: list[Evaluation] = []
    for target in asked:
        played.append(
            evaluate(
                model,
                num_episodes=num_episodes,
                target_return=target,
                num_envs=num_envs,
                decode=decode,
                first_seed=CALIBRATION_SEED,
                trust=trust,
                on_episode=counted_after(played, on_episode),
            )
        )
    achieved, rates = tuple(float(one.returns.mean()) for one in played), [one.success_rate for one in played]
    success = None if rates.count(None) == len(rates) else tuple(rate or 0.0 for rate in rates)
    calibration = Calibration(asked, achieved, success, len(played[0].returns))
    model.keep_calibration(calibration)
    return calibration


def _returns(model: PolicyModel, targets: Sequence[float] | None) -> tuple[float, ...]:
    """The target returns, each once. Raises TransferError for none, and for what is no number."""
    if targets is None:
        targets = [value for name, value in model.statistics.return_quantiles.items() if name in TARGETS]
    if isinstance(targets, str) or not isinstance(targets, Iterable):
        raise TransferError(f"targets={seen(targets)}: a list of raw returns is needed.")
    found = tuple(dict.fromkeys(real(one, "targets", least=-LARGEST, most=LARGEST) for one in targets))
    if not found:
        raise TransferError("nothing to calibrate: give at least one target return.")
    return found
