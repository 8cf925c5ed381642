"""Wrappers that a spec may put around an environment: Gymnasium's own by name, with plain arguments of known kinds."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from transfer.data.environment.building.importing import cause_of
from transfer.data.environment.building.trust import TRUST, Say, announce, problem_of
from transfer.errors import NotAtHand, TransferError
from transfer.numbers import flag, real, seen, whole

if TYPE_CHECKING:
    import gymnasium
    from gymnasium.envs.registration import EnvSpec, WrapperSpec

_MOST = 1_000  # steps that one step may stand for, or frames that an observation may hold, by all wrappers together
_TIMES = ("num_repeats", "skip", "stack_size", "repeat_action_duration")  # arguments that multiply either


def _counts(value: Any, name: str) -> Any:
    counts = [whole(one, name, least=0, most=_MOST) for one in (value if isinstance(value, list) else [value])]
    return tuple(counts) if isinstance(value, list) else counts[0]


def _numbers(value: Any, name: str) -> Any:
    """A number, or the array that lists of numbers stand for; None for no bound."""
    if isinstance(value, list):
        try:
            return np.array(value, dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise TransferError(f"{name}={seen(value)}: numbers are needed.") from error
    return value if value is None or value in (np.inf, -np.inf) else real(value, name)


def _bounds(value: Any, name: str) -> Any:
    found = _numbers(value, name)  # float32, as action spaces are: Gymnasium warns of anything else
    return found if isinstance(found, np.ndarray) else np.float32(found)


def _words(value: Any, name: str) -> Any:
    """Text, or a list of texts and numbers: keys of an observation, or the name of a kind."""
    if isinstance(value, str) or (isinstance(value, list) and all(isinstance(one, str | int) for one in value)):
        return value
    raise TransferError(f"{name}={seen(value)}: text, or a list of it, is needed.")


_PLAIN: dict[str, dict[str, Callable[[Any, str], Any]]] = {
    "Autoreset": {},
    "ClipAction": {},
    "ClipReward": {"min_reward": _numbers, "max_reward": _numbers},
    "DelayObservation": {"delay": _counts},
    "DtypeObservation": {"dtype": _words},
    "FilterObservation": {"filter_keys": _words},
    "FlattenObservation": {},
    "FrameStackObservation": {"stack_size": _counts, "padding_type": _words},
    "MaxAndSkipObservation": {"skip": _counts},
    "OrderEnforcing": {"disable_render_order_enforcing": flag},
    "PassiveEnvChecker": {},
    "RepeatAction": {"num_repeats": _counts},
    "RescaleAction": {"min_action": _bounds, "max_action": _bounds},
    "RescaleObservation": {"min_obs": _numbers, "max_obs": _numbers},
    "ReshapeObservation": {"shape": _counts},
    "StickyAction": {"repeat_action_probability": _numbers, "repeat_action_duration": _counts},
    "TimeAwareObservation": {"flatten": flag, "normalize_time": flag, "dict_time_key": _words},
    "TimeLimit": {"max_episode_steps": whole},
    # Their statistics start empty in every environment that is built: `statistics_in` finds them.
    "NormalizeObservation": {"epsilon": _numbers},
    "NormalizeReward": {"gamma": _numbers, "epsilon": _numbers},
}
# They show or record episodes and leave them as they are.
_LEFT_OUT = {
    *("HumanRendering", "RecordVideo", "RenderCollection", "AddWhiteNoise", "ObstructView"),
    *("RecordEpisodeStatistics", "DataCollector", "DataCollectorV0", "Recorder"),
}


def wrapped(
    env: gymnasium.Env[Any, Any], wrappers: tuple[WrapperSpec, ...], say: Say | None
) -> gymnasium.Env[Any, Any]:
    """An environment with the wrappers of its spec around it, the innermost first; its entry point may have put some.

    `say` gets a line before other code than Gymnasium's own is called. If it is None, such wrappers and those whose
    arguments are not plain raise NotAtHand.
    """
    if say is None:
        _check_times(wrappers)
    made = env.spec.additional_wrappers if env.spec is not None else ()
    first = [(one.name, one.entry_point) for one in wrappers[: len(made)]]
    rest = wrappers[len(made) :] if first == [(one.name, one.entry_point) for one in made] else wrappers
    for wrapper in rest:
        if not is_left_out(wrapper):
            env = _around(env, wrapper, say)
    return env


def _check_times(wrappers: tuple[WrapperSpec, ...]) -> None:
    """Raises NotAtHand if wrappers inside each other repeat and stack more than one wrapper may."""
    times = 1
    for value in ((one.kwargs or {}).get(key) for one in wrappers for key in _TIMES):
        values = value if isinstance(value, list) else [value]
        times *= max([1, *(one for one in values if isinstance(one, int))])  # `_PLAIN` refuses other types
    if times > _MOST:
        raise NotAtHand(f"its wrappers repeat and stack {times:,} times; {_MOST:,} are the most. {TRUST}")


def is_left_out(wrapper: WrapperSpec) -> bool:
    """Whether a wrapper only shows or records, and is not built again."""
    package = wrapper.entry_point.partition(":")[0].partition(".")[0]
    return wrapper.name in _LEFT_OUT and package in ("gymnasium", "minari", "transfer")


def _around(env: gymnasium.Env[Any, Any], wrapper: WrapperSpec, say: Say | None) -> gymnasium.Env[Any, Any]:
    import gymnasium.wrappers
    from gymnasium.envs.registration import load_env_creator

    problem, name, given = _problem(wrapper), wrapper.name, wrapper.kwargs or {}
    if problem:
        if say is None or wrapper.kwargs is None:
            raise NotAtHand(problem)
        announce(say, wrapper.entry_point, given)
    try:
        if problem:
            make: Any = load_env_creator(wrapper.entry_point)
        else:  # by its name: a file alone imports no module below gymnasium.wrappers either
            make = getattr(gymnasium.wrappers, name)
            given = {key: _PLAIN[name][key](value, f"{key} of the wrapper {name}") for key, value in given.items()}
        return make(env, **given)
    except TransferError as error:
        raise NotAtHand(str(error)) from error
    except Exception as error:  # wrappers raise anything
        raise NotAtHand(f"the wrapper {seen(name)} cannot be put around it: {cause_of(error)}") from error


def _problem(wrapper: WrapperSpec) -> str:
    """Why a wrapper must not be built without permission, "" if it may."""
    where = f"the wrapper {seen(wrapper.name)} ({seen(wrapper.entry_point)})"
    if wrapper.kwargs is None:
        return (
            f"{where} does not record its arguments, so nobody can build it again: let it inherit "
            "gymnasium.utils.RecordConstructorArgs, or register an id whose entry point puts it around."
        )
    module, _, name = wrapper.entry_point.partition(":")
    if not f"{module}.".startswith("gymnasium.wrappers.") or name != wrapper.name or name not in _PLAIN:
        return f"{where} is none of Gymnasium's own that are allowed: {', '.join(_PLAIN)}. {TRUST}"
    odd = [key for key in wrapper.kwargs if key not in _PLAIN[name]]
    if odd:
        return f"{where} has the argument {seen(odd[0])}; known: {', '.join(_PLAIN[name]) or 'none'}. {TRUST}"
    return problem_of(wrapper.kwargs, where)


def own_limit(spec: EnvSpec) -> int | None:
    """Steps after which a spec truncates an episode, by itself or through wrappers; None without a limit."""
    limits = [
        (one.kwargs or {}).get("max_episode_steps") for one in spec.additional_wrappers if one.name == "TimeLimit"
    ]
    return min((one for one in (spec.max_episode_steps, *limits) if isinstance(one, int) and one > 0), default=None)


def statistics_in(env: gymnasium.Env[Any, Any]) -> tuple[str, ...]:
    """Names of the wrappers around an environment that keep statistics, which start empty when they are built."""
    found: list[str] = []
    layer: Any = env
    while layer is not None and layer is not getattr(layer, "unwrapped", layer):
        if any(type(one).__name__.startswith("Running") for one in vars(layer).values()):
            found.append(type(layer).__name__)
        layer = getattr(layer, "env", None)
    return tuple(found)
