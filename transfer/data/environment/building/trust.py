"""What a file may have built: environments that are registered here, and Gymnasium's own wrappers with plain arguments.

Checkpoints and datasets describe their environment as a Gymnasium `EnvSpec` in JSON, which names modules, functions and
arguments. A file alone gets none of them imported or called:

    id           registered with Gymnasium, in this process or by an installed package; no "module:" before it
    entry_point  null or the registered one, which is used
    kwargs       plain values: numbers, words, lists and tables of such; no paths, no names of code
    wrappers     Gymnasium's own by name with plain arguments, or those that the registered entry point puts around

Everything else needs a user's permission: `trust=True`, `trusting` (the command's --trust), or the environment object.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from transfer.data.environment.building.parsing import parsed, plain, same, writable
from transfer.errors import NotAtHand
from transfer.numbers import flag, seen
from transfer.runtime.logs import quiet

if TYPE_CHECKING:
    from gymnasium.envs.registration import EnvSpec

logger = logging.getLogger(__name__)
Say = Callable[[str], None]
# Signs of paths and of code: "a/b", "~", ".x", "$HOME", "module:function", "module.function", "call()"; and characters
# that cannot be seen.
_ODD = re.compile(r"[:/\\~\x00-\x1f\x7f]|\$\w|%\w+%|\w\(|^\.|\.\.|[^\W\d]\w*\.\w")
_MODEL = re.compile(r"[\w\-]+\.xml")  # MuJoCo's environments look for a bare name among Gymnasium's own models
_MOST_NESTED = 20
TRUST = "If you know where it comes from: trust=True, or --trust on the command line."
_say: Say | None = None
_own: set[str] = set()


@contextlib.contextmanager
def trusting(say: Say) -> Iterator[None]:
    """Inside, code that files name is imported and called, in every thread; `say` gets each call once, before it."""
    global _say
    before, _say = _say, functools.cache(say)
    try:
        yield
    finally:
        _say = before


def trusted() -> bool:
    """Whether a `trusting` block is open."""
    return _say is not None


def vouch(gym_spec: str) -> None:
    """Remembers for this process that a user handed in the environment of this spec as an object."""
    _own.add(gym_spec)


def told(gym_spec: str, trust: bool) -> Say | None:
    """The function that gets each call before it is made, if all that a spec names may be called; else None."""
    trust = flag(trust, "trust")  # "no" is no yes
    if _say is None and gym_spec in _own:
        return logger.debug
    return _say or (logger.warning if trust else None)


def announce(say: Say, entry_point: object, arguments: Mapping[str, Any]) -> None:
    """Passes a line to `say`, which names a function about to be called and its arguments."""
    given = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
    say(f"calling {place(entry_point)}({given})".encode("unicode_escape").decode())


def place(entry_point: object) -> str:
    """The home of an entry point, as "module:name"."""
    if isinstance(entry_point, str):
        return entry_point
    return f"{getattr(entry_point, '__module__', '?')}:{getattr(entry_point, '__qualname__', seen(entry_point))}"


def allowed(gym_spec: str, trust: bool = False) -> EnvSpec:
    """The spec to build an environment from: the registered entry point, or with `trust` any, and the file's arguments.

    Its wrappers are not checked.

    Raises:
        NotAtHand: the id is not registered here, or the spec names other code or arguments than may be used.
        TransferError: it is no spec.
    """
    spec, say = parsed(gym_spec), told(gym_spec, trust)
    known = find_registered(spec.id)
    problem = _problem(spec, known)
    if problem and say is None:
        raise NotAtHand(problem)
    if known is not None and not _is_other(spec, known):
        # Arguments that no file can hold come from the registration.
        spec.kwargs = {key: value for key, value in known.kwargs.items() if not writable(value)} | spec.kwargs
        spec.entry_point = known.entry_point
    if spec.entry_point is None:
        raise NotAtHand(problem or f"the environment {spec.id} is registered for many at once only.")
    # Callers ask for rendering themselves: "human" in a recording would open a window for each environment.
    spec.kwargs.pop("render_mode", None)
    if problem and say is not None:
        announce(say, spec.entry_point, spec.kwargs)
    return spec


def _problem(spec: EnvSpec, known: EnvSpec | None) -> str:
    """Why a spec must not be used without permission, "" if it may."""
    if known is None:
        named = "" if spec.entry_point is None else f" What the spec names, {seen(spec.entry_point)}, is not imported."
        return (
            f"no environment {seen(spec.id)} is registered here.{named} Import the module that registers it first "
            f"(transfer --import MODULE on the command line), or hand the environment in as env=. {TRUST}"
        )
    if _is_other(spec, known):
        return (
            f"the environment {spec.id} is registered as {place(known.entry_point)}; the spec names "
            f"{seen(spec.entry_point)} for it, which is not called. {TRUST}"
        )
    return problem_of(spec.kwargs, f"the environment {spec.id}", known.kwargs)


def _is_other(spec: EnvSpec, known: EnvSpec) -> bool:
    """Whether a spec names another entry point than the registered one.

    A registered function is not compared: Gymnasium has some in the place of environments that left it.
    """
    return isinstance(known.entry_point, str | type) and spec.entry_point not in (None, place(known.entry_point))


def registered(gym_id: str) -> EnvSpec:
    """The spec of a registered id. Raises gymnasium.error.Error for others. Imports gymnasium_robotics if necessary."""
    import gymnasium

    try:
        return gymnasium.spec(gym_id)
    except gymnasium.error.NameNotFound:
        with quiet(), contextlib.suppress(ImportError):
            import gymnasium_robotics

            gymnasium.register_envs(gymnasium_robotics)
        return gymnasium.spec(gym_id)


def find_registered(gym_id: str) -> EnvSpec | None:
    """The spec of a registered id, None if it is not registered."""
    import gymnasium

    with contextlib.suppress(gymnasium.error.Error):
        return registered(gym_id)
    return None


def problem_of(values: Mapping[str, Any], where: str, known: Mapping[str, Any] | None = None) -> str:
    """Why arguments of `where` are not plain values, "" if they are; those of `known`, as registered, are allowed."""
    for key, value in values.items():
        before = (known or {}).get(key)
        usual = before is not None and writable(before) and same(plain(before, key), value)
        wrong = None if usual else _not_plain([key, value])
        if wrong is not None:
            return f"{where} is to be built with {seen(key)} = {seen(wrong)}: no plain number or word. {TRUST}"
    return ""


def _not_plain(value: Any, depth: int = 0) -> Any:
    """The first part of a JSON value that is not plain, None if all are."""
    if depth > _MOST_NESTED:
        return "lists in lists"
    if isinstance(value, str):
        usual = unicodedata.normalize("NFKC", value)  # as Python reads names: other colons and dots are the same ones
        return value if _ODD.search(usual) and not _MODEL.fullmatch(value) else None
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, list):
        return next((wrong for one in value if (wrong := _not_plain(one, depth + 1)) is not None), None)
    return None
