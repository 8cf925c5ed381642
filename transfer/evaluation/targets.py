"""The target return of a policy."""

from __future__ import annotations

from transfer.data.environment.answers import LARGEST
from transfer.data.environment.spec import EnvironmentSpec
from transfer.errors import TransferError
from transfer.models.acting import PolicyModel
from transfer.numbers import real


def return_to_ask(model: PolicyModel, env_spec: EnvironmentSpec, target: object, target_return: object) -> float:
    """The raw return of a score, or the one given, else the best one known for the model.

    Args:
        model: its default is the calibration's best, else the 95th percentile of its dataset.
        env_spec: the environment, whose reference scores fix the scale.
        target: a score (100 = the reference expert), or None.
        target_return: a raw return, or None.

    Raises:
        TransferError: both are given, one is no finite number below `LARGEST`, or none is given and none is known.
    """
    if target is not None and target_return is not None:
        raise TransferError("give target (a score) or target_return (a raw return), not both.")
    if target is not None:
        raw = float(env_spec.reference.returns(real(target, "target")))
        return real(raw, f"target={target}: its return", least=-LARGEST, most=LARGEST)
    if target_return is not None:
        return real(target_return, "target_return", least=-LARGEST, most=LARGEST)
    return model.statistics.best_target
