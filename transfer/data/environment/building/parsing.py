"""A Gymnasium `EnvSpec` out of JSON, strictly: every value has the type that it has to have. Nothing is imported."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from transfer.errors import TransferError, unknown
from transfer.numbers import MOST_STEPS, flag, real, seen, whole

if TYPE_CHECKING:
    from gymnasium.envs.registration import EnvSpec, WrapperSpec

_MOST_WRAPPERS = 100  # each is a call inside another one
_EARLIER = ("autoreset", "apply_api_compatibility")  # keys of Gymnasium before 1.0, without a meaning now


def id_in(gym_spec: str) -> str:
    """The id in a spec in JSON. Raises TransferError if there is none."""
    return _text(_fields(gym_spec)["id"], "id")


def parsed(gym_spec: str) -> EnvSpec:
    """A Gymnasium `EnvSpec` out of JSON, every value of the type that it has to have; nothing is imported.

    Raises:
        TransferError: no JSON, keys that are missing or not known, values of other types or sizes.
    """
    from gymnasium.envs.registration import EnvSpec
    from gymnasium.error import Error

    data = _fields(gym_spec)
    try:
        spec = EnvSpec(_text(data["id"], "id"), _entry_point(data["entry_point"]))
    except Error as error:
        raise TransferError(f"the environment's id is {seen(data['id'])}: {error}") from error
    threshold, limit = data.get("reward_threshold"), data.get("max_episode_steps")
    spec.reward_threshold = None if threshold is None else real(threshold, "reward_threshold of the environment")
    if limit is not None:
        spec.max_episode_steps = whole(limit, "max_episode_steps of the environment", least=1, most=MOST_STEPS)
    for name in ("nondeterministic", "order_enforce", "disable_env_checker"):
        setattr(spec, name, flag(data.get(name, getattr(spec, name)), f"{name} of the environment"))
    spec.kwargs = _table(data.get("kwargs", {}), "kwargs")
    wrappers = data.get("additional_wrappers", [])
    if not isinstance(wrappers, list):
        raise TransferError(f"additional_wrappers of the environment is {seen(wrappers)}; a list is needed.")
    if len(wrappers) > _MOST_WRAPPERS:
        raise TransferError(f"the environment has {len(wrappers):,} wrappers; {_MOST_WRAPPERS} are taken at most.")
    spec.additional_wrappers = tuple(map(_wrapper, wrappers))
    return spec


def _fields(gym_spec: str) -> dict[str, Any]:
    """The keys and values of a spec in JSON, those of earlier versions of Gymnasium left out."""
    try:
        data = json.loads(gym_spec)
    except (ValueError, TypeError, RecursionError) as error:
        raise TransferError(f"the environment's Gymnasium spec is no JSON: {error}") from error
    if not isinstance(data, dict):
        raise TransferError(f"the environment's Gymnasium spec is {seen(data)}; an object is needed.")
    known = (
        *("id", "entry_point", "reward_threshold", "nondeterministic", "max_episode_steps", "order_enforce"),
        *("disable_env_checker", "kwargs", "additional_wrappers", "vector_entry_point"),
    )
    for key in data:
        if key not in known + _EARLIER:
            raise unknown("key in the environment's Gymnasium spec", key, known)
    if "id" not in data:
        raise TransferError("the environment's Gymnasium spec has no id.")
    return {"entry_point": None} | {key: value for key, value in data.items() if key not in _EARLIER}


def _wrapper(data: Any) -> WrapperSpec:
    from gymnasium.envs.registration import WrapperSpec

    if not isinstance(data, dict) or set(data) != {"name", "entry_point", "kwargs"}:
        raise TransferError(f"a wrapper of the environment is {seen(data)}; name, entry_point and kwargs are needed.")
    kwargs = None if data["kwargs"] is None else _table(data["kwargs"], "kwargs of a wrapper")
    return WrapperSpec(_text(data["name"], "name of a wrapper"), _text(data["entry_point"], "entry_point"), kwargs)


def _table(value: Any, name: str) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    raise TransferError(f"{name} of the environment is {seen(value)}; a table is needed.")


def _text(value: Any, name: str) -> str:
    if isinstance(value, str) and "\0" not in value:
        return value
    raise TransferError(f"{name} of the environment is {seen(value)}; text is needed.")


def _entry_point(value: Any) -> str | None:
    """The module and function that a spec names; None stands for the registered one, as what was in a script does."""
    return None if value is None or _text(value, "entry_point").startswith("__main__:") else value
