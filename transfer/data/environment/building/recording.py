"""Writing down a Gymnasium spec so that a later process can build the environment from it."""

from __future__ import annotations

import difflib
import json
import logging
import sys
import types
from typing import TYPE_CHECKING

from transfer.data.environment.building.importing import import_named
from transfer.data.environment.building.parsing import KEYS, id_in, plain, same, writable
from transfer.data.environment.building.trust import find_registered, place, registered
from transfer.errors import TransferError
from transfer.numbers import seen
from transfer.runtime.logs import warn_once

if TYPE_CHECKING:
    from gymnasium.envs.registration import EnvSpec

logger = logging.getLogger(__name__)


def to_json(spec: EnvSpec) -> str:
    """JSON of a spec, with Gymnasium's own keys.

    An entry point that is a class or a function, or in a script, becomes null, which stands for the one registered for
    the id. Registered arguments that JSON cannot hold are left out, as are `render_mode` and `vector_entry_point`.
    `warn_of_gaps` names them. Raises TransferError if another entry point or argument cannot be written down.
    """
    known, entry_point = find_registered(spec.id), spec.entry_point
    if not _by_text(entry_point):
        if known is None and entry_point is not None:
            raise TransferError(
                f"the entry point of {seen(spec.id)} is {seen(entry_point)}, which only this process knows; register "
                "the id with it: gymnasium.register(id, entry_point=...)"
            )
        if known is not None and _differ(entry_point, known.entry_point):
            raise TransferError(
                f"the entry point of {seen(spec.id)} is {place(entry_point)}, but the id is registered with "
                f"{place(known.entry_point)}, which a file would stand for; register it under an id of its own"
            )
        entry_point = None
    kept = {} if known is None else known.kwargs
    kwargs = {
        key: value
        for key, value in spec.kwargs.items()
        if key != "render_mode" and not (key in kept and same(kept[key], value) and not writable(value))
    }
    wrappers = [
        {"name": one.name, "entry_point": one.entry_point, "kwargs": plain(one.kwargs, f"the wrapper {one.name}")}
        for one in spec.additional_wrappers
    ]
    content = {key: getattr(spec, key) for key in KEYS} | {"entry_point": entry_point, "vector_entry_point": None}
    content |= {"kwargs": plain(kwargs, spec.id), "additional_wrappers": wrappers}
    return json.dumps(plain(content, spec.id))


def gym_spec_json(env: object) -> str:
    """JSON of the Gymnasium `EnvSpec` of an environment: an object, a spec, or a registered id.

    Raises TransferError if it is none of these, its module cannot be imported, or an argument cannot be written down.
    """
    import gymnasium

    try:
        if isinstance(env, str):
            module, _, gym_id = env.rpartition(":")
            if module:
                import_named(module)
            env = registered(gym_id)
        spec = env if isinstance(env, gymnasium.envs.registration.EnvSpec) else getattr(env, "spec", None)
        if isinstance(env, gymnasium.vector.VectorEnv):
            raise TransferError("it is many environments in one; give one of them")
        if not isinstance(spec, gymnasium.envs.registration.EnvSpec):
            raise TransferError("it has no Gymnasium spec; register it and make it with gymnasium.make")
        return to_json(spec)
    except (gymnasium.error.Error, TransferError) as error:
        near = (
            difflib.get_close_matches(env.rpartition(":")[2], gymnasium.registry, n=1) if isinstance(env, str) else []
        )
        guess = f" Did you mean '{near[0]}'?" if near else ""
        raise TransferError(
            f"no environment for {seen(env)}: {str(error).partition(' Did you mean')[0].rstrip('.')}.{guess} Give a "
            "Gymnasium id such as 'Hopper-v5' (registered first, if it is your own, or as 'module:EnvId-v0'), an "
            "environment, a Gymnasium EnvSpec or an EnvironmentSpec."
        ) from error


def warn_of_gaps(gym_spec: str) -> None:
    """Log once what a saved spec leaves to the registration of its id in this process, why, and what to do."""
    gymnasium = sys.modules.get("gymnasium")  # where it is not imported, nothing is registered
    known = None if gymnasium is None else gymnasium.registry.get(id_in(gym_spec))
    if known is None:
        return
    stored = json.loads(gym_spec)
    given = stored.get("kwargs") or {}
    gaps = [f"{key}={seen(value)}" for key, value in known.kwargs.items() if key not in given and not writable(value)]
    advice = "an entry_point that builds it without such arguments"
    if stored.get("entry_point") is None and not _by_text(known.entry_point) and not _of_gymnasium(known.entry_point):
        gaps.insert(0, f"what it is registered with, {place(known.entry_point)}")
        advice = f"entry_point={_text_of(known.entry_point)!r}"
    if gaps:
        warn_once(
            logger,
            f"the environment {known.id} is saved by its id, without {' and '.join(gaps)}: no file can hold Python "
            "objects. Another process has to register the same id before it builds the environment. To have all of it "
            f'in the file, register the id by a text "module:Name": {advice}.',
        )


def _by_text(entry_point: object) -> bool:
    """Whether another process finds an entry point by its text, which one in a script is not."""
    return isinstance(entry_point, str) and not entry_point.startswith("__main__:")


def _of_gymnasium(entry_point: object) -> bool:
    return entry_point is None or place(entry_point).partition(".")[0] == "gymnasium"


def _differ(one: object, other: object) -> bool:
    """Whether a class or function is another one than what is registered, by their names."""
    return isinstance(one, type | types.FunctionType) and place(one) != place(other)


def _text_of(entry_point: object) -> str:
    """The text that finds an entry point, "module:Name" where there is none yet."""
    module, _, name = place(entry_point).partition(":")
    at_hand = getattr(sys.modules.get(module), name, None) is entry_point
    return f"{module}:{name}" if at_hand and module != "__main__" else "module:Name"
