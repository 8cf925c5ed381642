"""Plain numbers out of an environment's observations, rewards and infos, in the types in use.

A value that is not a finite number is an error here, before it becomes an action or a score.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer.data.arrays import own
from transfer.errors import TransferError
from transfer.numbers import seen

# Gymnasium-Robotics, Meta-World and ManiSkill; Stable-Baselines3 and panda-gym; RoboCasa; D4RL's Adroit; navigation.
SUCCESS = frozenset(("success", "is_success", "task_success", "goal_achieved", "goal_reached"))
LARGEST = 1e30  # of returns and rewards: above it, sums in float32 become infinite


def vector(observation: Any, size: int) -> NDArray[np.float32]:
    """A state (S,) from an array, a list or a tensor. Raises TransferError unless it is S finite numbers."""
    return checked(own(observation, "the observation's numbers"), size)


def checked(state: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """The state itself. Raises TransferError unless it is S finite numbers."""
    if state.shape != (size,):
        raise TransferError(misshapen(state.shape, size))
    if not np.isfinite(state).all():
        raise TransferError(f"the observation is not finite: {first_infinite(state)}.")
    return state


def misshapen(shape: tuple[int, ...], size: int) -> str:
    """The error about an observation of another shape than (S,)."""
    return f"the observation has shape {shape}, {size} numbers in one row are wanted."


def first_infinite(numbers: NDArray[Any]) -> str:
    """The first of some numbers (N,) that is not finite, in words."""
    where = int(np.flatnonzero(~np.isfinite(numbers))[0])
    return f"number {where} of {len(numbers)} is {numbers[where]}"


def reward(value: Any) -> float:
    """The reward of a step as a float, also from a truth value, or an array or tensor of one number.

    Raises TransferError if it is no number, not finite, or beyond `LARGEST`.
    """
    if isinstance(value, (float, int, np.bool_, np.floating)):
        paid = float(value)
    else:
        numbers = own(value, "the reward's numbers", dtype=float)
        if numbers.size != 1:
            raise TransferError(f"the reward is {seen(value)}; one number is wanted.")
        paid = float(numbers.flat[0])
    if not abs(paid) < LARGEST:
        raise TransferError(f"the reward is {paid}; a finite number below {LARGEST:g} is wanted.")
    return paid


def success(info: Mapping[str, Any]) -> int:
    """Whether an environment reports success: 1 yes, 0 no, -1 no report.

    It is read under the names of `SUCCESS`, as a truth value or a number, also in an array or tensor of one. A partial
    success is none. None, NaN and negative numbers are no report.
    """
    if SUCCESS.isdisjoint(info):
        return -1
    return max(_done(info[name]) for name in SUCCESS if name in info)


def _done(value: Any) -> int:
    if value is True or value is False:
        return int(value)
    try:
        number = float(value.reshape(()) if hasattr(value, "reshape") else value)
    except (TypeError, ValueError, RuntimeError):  # text, or the numbers of several agents
        return -1
    return int(number >= 1) if number >= 0 else -1
