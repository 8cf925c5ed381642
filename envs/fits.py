"""Whether the catalog's row of an environment applies to a spec: its reference scores and its step limit.

Reference scores belong to a reward and a task, so they apply if wrappers and arguments change neither. Wrappers and
arguments about observations or the scaling of actions are harmless. Those about rewards, physics, the map, termination
and initial states are not, unless the value is the default of the entry point. The noise of initial states is part of
the task. The episodes of an evaluation may be shorter than the row's limit, which only lowers the score, but not
longer.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from transfer.data.environment.building.parsing import parsed, plain, same, writable
from transfer.data.environment.building.trust import find_registered
from transfer.data.environment.building.wrappers import is_left_out, own_limit
from transfer.data.environment.spec import EnvironmentSpec
from transfer.envs.catalog import KnownEnvironment, find
from transfer.errors import TransferError
from transfer.numbers import seen

if TYPE_CHECKING:
    from gymnasium.envs.registration import EnvSpec

# Arguments about observations and rendering, of Gymnasium's MuJoCo environments and of gymnasium_robotics.
_VIEW = {
    *("render_mode", "width", "height", "camera_id", "camera_name", "default_camera_config", "max_geom"),
    *("visual_options", "visual_option", "exclude_current_positions_from_observation"),
    *("include_cinert_in_observation", "include_cvel_in_observation", "include_qfrc_actuator_in_observation"),
    "include_cfrc_ext_in_observation",
}
_TASK = {"maze_map", "continuing_task", "reset_target"}  # harmless where the dataset gives the scale
_HARMLESS = {
    *("OrderEnforcing", "PassiveEnvChecker", "TimeLimit", "ClipAction", "RescaleAction"),
    *("DtypeObservation", "FilterObservation", "FlattenObservation", "FrameStackObservation", "RescaleObservation"),
    *("ReshapeObservation", "TimeAwareObservation", "NormalizeObservation"),
}
_OTHER_SIZES = {"ant": (27, 105)}  # without and with contact forces, the defaults of versions 4 and 5


def row_of(spec: EnvSpec, state_size: int, action_size: int) -> tuple[KnownEnvironment | None, str]:
    """Returns the row of a Gymnasium spec, and why it does not apply to its settings and sizes, "" if it does."""
    known = find(spec.id)
    return known, "" if known is None else misfit(known, spec, state_size, action_size)


def check_scale(spec: EnvironmentSpec) -> None:
    """Raises TransferError if a spec names a table whose scores differ from its own, or do not apply to it.

    Whether they apply is checked only for registered environments: others cannot be built, and their step limit is not
    known.
    """
    known, reference = find(spec.gym_id), spec.reference
    row = known or find(spec.gym_id.replace("Sparse-v", "-v"))
    rows = [one for one in (row.references if row else ()) if one.table == reference.table]
    if row is None or not rows:
        return
    if reference not in rows:
        raise TransferError(
            f"the scale {reference.minimum:g} to {reference.maximum:g} of {spec.gym_id} is called '{reference.table}'; "
            f"that table has {rows[0].minimum:g} to {rows[0].maximum:g}. It was edited; call one of your own otherwise."
        )
    if find_registered(spec.gym_id) is None:
        return
    gym = parsed(spec.gym_spec)
    if gym.max_episode_steps is None:  # then the spec's own limit applies
        gym.max_episode_steps = spec.max_episode_steps
    if why := misfit(row, gym, spec.state_size, spec.action_size) if known else "it pays other rewards":
        raise TransferError(
            f"the scale of {spec.gym_id} is called '{reference.table}', and that table does not hold for it: {why}. "
            "It was edited; call a scale of your own otherwise, with ReferenceScores."
        )


def misfit(known: KnownEnvironment, spec: EnvSpec, state_size: int, action_size: int) -> str:
    """Says why the row of the table does not apply to an environment, "" if it does.

    Args:
        known: the row.
        spec: of the environment.
        state_size: S of the data, or of the environment.
        action_size: A.
    """
    wrapper = next((one.name for one in spec.additional_wrappers if not _is_harmless(one)), "")
    if wrapper:
        return f"the wrapper {seen(wrapper)} may change rewards or the task"
    free = _VIEW if known.references else _VIEW | _TASK
    odd = next((key for key, value in spec.kwargs.items() if key not in free and not _is_usual(spec, key, value)), "")
    if odd:
        return f"its argument {seen(odd)} may change rewards or the task"
    registered, limit = find_registered(spec.id), own_limit(spec)
    most = max(known.max_episode_steps, (registered and registered.max_episode_steps) or 0)
    if limit is not None and limit > most:
        return f"its episodes last up to {limit} steps, the table's {known.max_episode_steps}"
    if action_size != known.action_size:
        return f"it takes {action_size} action numbers, the table's {known.action_size}"
    sizes = _OTHER_SIZES.get(known.name, (known.state_size,))
    views = any(key in _VIEW for key in spec.kwargs) or bool(spec.additional_wrappers)
    if state_size not in sizes and not views:
        return f"it shows {state_size} numbers, the table's {known.state_size}"
    return ""


def _is_harmless(wrapper: Any) -> bool:
    return is_left_out(wrapper) or (wrapper.name in _HARMLESS and wrapper.entry_point.startswith("gymnasium.wrappers"))


def _is_usual(spec: EnvSpec, key: str, value: Any) -> bool:
    """Whether an argument has its default value."""
    known = find_registered(spec.id)
    if known is None:
        return False
    usual = known.kwargs[key] if key in known.kwargs else _default(known.entry_point, key)
    return writable(usual) and same(plain(usual, key), value)


def _default(entry_point: Any, key: str) -> Any:
    """Returns the default of an argument of a registered entry point, `inspect.Parameter.empty` if it has none."""
    from gymnasium.envs.registration import load_env_creator

    try:
        function = load_env_creator(entry_point) if isinstance(entry_point, str) else entry_point
        return inspect.signature(function).parameters[key].default
    except (ImportError, AttributeError, KeyError, TypeError, ValueError):
        return inspect.Parameter.empty
