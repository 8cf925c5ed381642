"""Writing down a Gymnasium spec so that a later process can build the environment from it."""

from __future__ import annotations

import difflib
import json
from typing import TYPE_CHECKING

from transfer.data.environment.building.importing import import_named
from transfer.data.environment.building.parsing import KEYS, plain, same, writable
from transfer.data.environment.building.trust import find_registered, registered
from transfer.errors import TransferError
from transfer.numbers import seen

if TYPE_CHECKING:
    from gymnasium.envs.registration import EnvSpec


def to_json(spec: EnvSpec) -> str:
    """JSON of a spec, with Gymnasium's own keys.

    An entry point that is a class or lives in a script becomes null, which stands for the one registered for the id.
    Registered arguments that JSON cannot hold are left out, as are `render_mode` and `vector_entry_point`. Raises
    TransferError if another entry point or argument cannot be written down.
    """
    known, entry_point = find_registered(spec.id), spec.entry_point
    if not isinstance(entry_point, str) or entry_point.startswith("__main__:"):
        if known is None and entry_point is not None:
            raise TransferError(
                f"the entry point of {seen(spec.id)} is {seen(entry_point)}, which only this process knows; register "
                "the id with it: gymnasium.register(id, entry_point=...)"
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
