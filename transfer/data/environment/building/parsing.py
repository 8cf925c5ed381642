"""Gymnasium's `EnvSpec` as JSON: strict reading, which imports nothing, and the values that JSON can hold."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from transfer.errors import TransferError, unknown
from transfer.numbers import MOST_STEPS, flag, real, seen, whole

if TYPE_CHECKING:
    from gymnasium.envs.registration import EnvSpec, WrapperSpec

T = TypeVar("T")
_WORDS: dict[type, str] = {str: "text", dict: "a table", list: "a list"}
_MOST_WRAPPERS = 100  # each is a call inside another one
_EARLIER = ("autoreset", "apply_api_compatibility")  # keys of Gymnasium before 1.0, without a meaning now
KEYS = (
    *("id", "entry_point", "reward_threshold", "nondeterministic", "max_episode_steps", "order_enforce"),
    *("disable_env_checker", "kwargs", "additional_wrappers", "vector_entry_point"),
)


def checked(value: Any, kind: type[T], name: str) -> T:
    """The value, if it is of a type. Raises TransferError otherwise, and for text with a null character."""
    if isinstance(value, kind) and "\0" not in (value if isinstance(value, str) else ""):
        return value
    wanted = _WORDS.get(kind, kind.__name__)
    raise TransferError(f"{name} is {seen(value)} ({type(value).__name__}); {wanted} is needed.")


def id_in(gym_spec: str) -> str:
    """The id in a spec in JSON. Raises TransferError if there is none."""
    return str(_fields(gym_spec)["id"])


def parsed(gym_spec: str) -> EnvSpec:
    """Reads an `EnvSpec` from JSON and imports nothing. An entry point in a script (`__main__`) becomes None.

    Raises TransferError for text that is no JSON, missing or unknown keys, and values of other types or sizes.
    """
    from gymnasium.envs.registration import EnvSpec
    from gymnasium.error import Error

    data = _fields(gym_spec)
    entry_point = data.get("entry_point")
    if entry_point is not None and checked(entry_point, str, "entry_point of the environment").startswith("__main__:"):
        entry_point = None
    try:
        spec = EnvSpec(data["id"], entry_point)
    except Error as error:
        raise TransferError(f"the environment's id is {seen(data['id'])}: {error}") from error
    if (threshold := data.get("reward_threshold")) is not None:
        spec.reward_threshold = real(threshold, "reward_threshold of the environment")
    if (limit := data.get("max_episode_steps")) is not None:
        spec.max_episode_steps = whole(limit, "max_episode_steps of the environment", least=1, most=MOST_STEPS)
    for name in ("nondeterministic", "order_enforce", "disable_env_checker"):
        setattr(spec, name, flag(data.get(name, getattr(spec, name)), f"{name} of the environment"))
    spec.kwargs = checked(data.get("kwargs", {}), dict, "kwargs of the environment")
    wrappers = checked(data.get("additional_wrappers", []), list, "additional_wrappers of the environment")
    if len(wrappers) > _MOST_WRAPPERS:
        raise TransferError(f"the environment has {len(wrappers):,} wrappers; {_MOST_WRAPPERS} are taken at most.")
    spec.additional_wrappers = tuple(map(_wrapper, wrappers))
    return spec


def _fields(gym_spec: str) -> dict[str, Any]:
    """The keys and values of a spec in JSON. Raises TransferError for unknown keys and for no id."""
    what = "the environment's Gymnasium spec"
    text = checked(gym_spec, str, what)
    try:
        read = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TransferError(f"{what} is no JSON: {error}") from error
    data = checked(read, dict, what)
    for key in data:
        if key not in KEYS + _EARLIER:
            raise unknown(f"key in {what}", key, KEYS)
    if "id" not in data:
        raise TransferError(f"{what} has no id.")
    checked(data["id"], str, "id of the environment")
    return data


def _wrapper(data: Any) -> WrapperSpec:
    from gymnasium.envs.registration import WrapperSpec

    if not isinstance(data, dict) or set(data) != {"name", "entry_point", "kwargs"}:
        raise TransferError(f"a wrapper of the environment is {seen(data)}; name, entry_point and kwargs are needed.")
    name, entry_point = (checked(data[key], str, f"{key} of a wrapper") for key in ("name", "entry_point"))
    kwargs = None if data["kwargs"] is None else checked(data["kwargs"], dict, "kwargs of a wrapper")
    return WrapperSpec(name, entry_point, kwargs)


def plain(value: Any, name: str) -> Any:
    """A value as JSON holds it: arrays as lists, NumPy's numbers as Python's, types of numbers as their names.

    Raises TransferError for other values, such as functions.
    """
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biuf":
        return value.tolist()
    if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic)):
        return np.dtype(value).name
    if isinstance(value, list | tuple):
        return [plain(one, name) for one in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: plain(one, f"{key} of {name}") for key, one in value.items()}
    raise TransferError(
        f"{name} is {seen(value)}, which no file can hold. Register an id whose entry point builds the environment "
        "with it."
    )


def writable(value: Any) -> bool:
    """Whether JSON can hold a value."""
    try:
        plain(value, "")
    except TransferError:
        return False
    return True


def same(one: Any, two: Any) -> bool:
    """Whether two values are equal; arrays are equal if all their elements are."""
    if isinstance(one, np.ndarray) or isinstance(two, np.ndarray):
        return np.array_equal(one, two)
    try:
        return bool(one == two)
    except (TypeError, ValueError):  # containers of arrays
        return False
