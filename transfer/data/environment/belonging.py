"""Whether episodes and environments belong together, and the scale of an environment on some episodes.

Letters: N steps altogether, E episodes, S state size, A action size.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer.data.environment.building.parsing import checked
from transfer.data.environment.observations import ant_hint
from transfer.data.environment.spec import EnvironmentSpec, spec_of_data
from transfer.errors import TransferError
from transfer.numbers import flag

logger = logging.getLogger(__name__)


def check_environment(states: NDArray[Any], actions: NDArray[Any], spec: EnvironmentSpec, name: str) -> None:
    """Raises TransferError unless the states (N, S) and actions (N, A) of a dataset have an environment's sizes."""
    checked(spec, EnvironmentSpec, f"{name}: env_spec")
    sizes = states.shape[1], actions.shape[1]
    if sizes != (spec.state_size, spec.action_size):
        raise TransferError(
            f"{name}: states and actions have sizes {sizes[0]} and {sizes[1]}, but the environment '{spec.name}' has "
            f"{spec.state_size} and {spec.action_size}"
        )


def measured(spec: EnvironmentSpec, returns: NDArray[np.float64]) -> EnvironmentSpec:
    """The spec with its scale measured on these returns (E,), if the scale is the dataset's own."""
    if spec.reference.table != "dataset":
        return spec
    new = spec_of_data(spec.gym_spec, spec.spaces, returns).reference
    return replace(spec, reference=new) if new.table == "dataset" else spec


def check_joinable(first: tuple[EnvironmentSpec, Sequence[str]], other: tuple[EnvironmentSpec, Sequence[str]]) -> None:
    """Raises TransferError unless both (environment, dataset ids) have the same sizes in the same environment."""
    (spec, ids), (spec_2, ids_2) = (first[0], ", ".join(first[1])), (other[0], ", ".join(other[1]))
    sizes = [(one.state_size, one.action_size) for one in (spec, spec_2)]
    if sizes[0] != sizes[1] or spec.slices != spec_2.slices:
        raise TransferError(
            f"cannot join {ids} and {ids_2}: state and action sizes {sizes[0]} and {sizes[1]}"
            f"{'' if sizes[0] != sizes[1] else ', made of other slices'}. Join datasets of one environment only."
            f"{ant_hint(spec.slices, spec_2.slices)}"
        )
    if spec.gym_id != spec_2.gym_id:
        raise TransferError(
            f"cannot join {ids} of {spec.gym_id} and {ids_2} of {spec_2.gym_id}: equal sizes, but not the same "
            "environment"
        )
    if spec.gym_spec != spec_2.gym_spec:
        logger.warning("%s and %s differ in their environment's settings; those of the first are used", ids, ids_2)


def check_body(one: EnvironmentSpec, other: EnvironmentSpec, what: str, any_body: bool = False) -> None:
    """Raises TransferError unless `what`, made for one environment, is used for the same body, or `any_body` is set."""
    if not flag(any_body, "any_body") and one.body != other.body:
        raise TransferError(
            f"{what} is for '{one.name}' ({one.gym_id}), the environment is '{other.name}' ({other.gym_id}): another "
            "body, whatever its sizes. Adapt to it, or pass any_body=True if you want it all the same."
        )
