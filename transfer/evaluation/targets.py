"""What a policy is asked for: names and raw values, of a score or a raw return too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transfer.data.environment.answers import LARGEST
from transfer.data.environment.spec import EnvironmentSpec
from transfer.errors import TransferError
from transfer.models.acting import PolicyModel
from transfer.numbers import real, seen


def asked_of(
    model: PolicyModel, env_spec: EnvironmentSpec, target: object, target_return: object, ask: Mapping[str, Any] | None
) -> dict[str, float]:
    """What a model is asked for, complete; see `transfer.models.acting.PolicyModel.asked`.

    Args:
        model: its defaults are used.
        env_spec: the environment, whose reference scores fix the scale.
        target: a score (100 = the reference expert), or None.
        target_return: a raw return, or None.
        ask: values by name, as {"return": 3000.0}, or None.

    Raises:
        TransferError: a return is given in two ways, or is no finite number below `LARGEST`; what the model raises.
    """
    if ask is not None and not isinstance(ask, Mapping):
        raise TransferError(f"ask={seen(ask)}: a mapping from names to numbers is needed.")
    given = {name: value for name, value in (ask or {}).items() if value is not None}
    if sum(one is not None for one in (target, target_return, given.get("return"))) > 1:
        raise TransferError("give target (a score) or target_return (a raw return), not both.")
    if target is not None:
        raw = float(env_spec.reference.returns(real(target, "target")))
        given["return"] = real(raw, f"target={target}: its return", least=-LARGEST, most=LARGEST)
    elif target_return is not None:
        given["return"] = target_return
    return model.asked(given)
