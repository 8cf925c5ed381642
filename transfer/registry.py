"""Kinds of parts by name, where their classes live, and the options that each takes.

Modules are named as strings and imported on the first use, so the core depends on none of them (as Gymnasium's entry
points do). `transfer.adapters.KINDS` names the kinds of parts of a model, this file the core's own: "envs" holds the
functions of that folder which the core calls, "checkpoint" the kinds of checkpoints, which `transfer.storage` names
without importing them. Other packages add tables through the entry-point group "transfer.plugins", `register` adds a
kind of your own.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from typing import Any, NamedTuple

from transfer.errors import BrokenKind, TransferError, UnknownKind, check_type, unknown
from transfer.numbers import plain, seen

ADAPTERS = "transfer.adapters"
PLUGINS = "transfer.plugins"
"""Entry-point group of other packages, whose values are tables like `transfer.adapters.KINDS`."""
_TARGET = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
_PART = re.compile(r"[^\W\d][\w-]*")
_CORE: dict[str, dict[str, str]] = {
    "checkpoint": {
        "trunk": "transfer.models.trunk:SAVED",
        "adapter": "transfer.models.adapter:SAVED",
        "mlp": "transfer.models.mlp:SAVED",
    },
    "envs": {
        "find": "transfer.envs.catalog:find",
        "row_of": "transfer.envs.fits:row_of",
        "check_scale": "transfer.envs.fits:check_scale",
        "save_dataset": "transfer.envs.writing.saving:save_dataset",
    },
    "planner": {"tokens": "transfer.decoding.planner:TokenPlanner", "direct": "transfer.decoding.direct:DirectPlanner"},
}
_CLOSED = [part for part in _CORE if part != "planner"]  # to plug-ins: a method may need a planner of its own

_NO_GROUPS = ("method", "tuning", "tokenizer", "column", "filter")
_BASES = {
    "method": "transfer.models.steps.method:Method",
    "tuning": "transfer.models.tuning:Tuning",
    "tokenizer": "transfer.adapters.tokenizers.tokenizer:Tokenizer",
}
_GROUP = "transfer.models.steps.group:Group"
"""Where the class lies that every group derives from; `_BASES` has those of other parts."""


class _Owner(NamedTuple):  # whose a kind is: the distribution, and the plug-in in words
    name: str
    plugin: str


_OURS, _HERE = _Owner("this library", ""), _Owner("this process", "")
_OWNERS: dict[tuple[str, str], _Owner] = {}
"""(part, kind) -> owner, for messages; filled beside `_table`."""


@dataclass(frozen=True)
class PartSpec:
    """A kind of a part, and its options.

    Args:
        kind: a name of `known`.
        options: by name; those that are not given have the defaults of the kind.
    """

    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises TransferError for options that are no table."""
        check_type(self.options, Mapping, f"the options of kind {seen(self.kind)}")

    @classmethod
    def of(cls, value: PartSpec | str | Mapping[str, Any], name: str = "a part") -> PartSpec:
        """A spec, from one, from the name of a kind, or from a table such as {"kind": "mlp", "hidden": 64}.

        Raises:
            TransferError: something else, or a table without a kind; calls it `name`.
        """
        if isinstance(value, PartSpec):
            return value
        if isinstance(value, str):
            return cls(value)
        if not isinstance(value, Mapping) or not isinstance(value.get("kind"), str):
            raise TransferError(f"{name} is {seen(value)}; the name of a kind is needed, or a table with a key 'kind'.")
        return cls(value["kind"], {key: one for key, one in value.items() if key != "kind"})

    def to_json(self) -> dict[str, Any]:
        """The table that `of` reads."""
        return {"kind": self.kind, **self.options}


def known(part: str) -> list[str]:
    """The registered kinds of a part. Raises TransferError for an unknown part."""
    return list(_kinds(part))


def groups() -> list[str]:
    """The parts that may be groups of a method: `state`, `action`, and those that other packages or `register` add."""
    return [part for part in _table() if part not in (*_CORE, *_NO_GROUPS)]


def register(part: str, kind: str, target: str | Callable[..., Any]) -> None:
    """Make `kind` available for `part`, in this process; a plug-in does it in every one.

    Args:
        part: what it is a kind of; a new name is a new part, for groups of methods.
        kind: its name.
        target: a class, a function, or text such as "package.module:Class" that is imported on the first use.

    Raises:
        TransferError: a name that is none, a target of another form, or a kind that this library or a plug-in has.
    """
    _check_entry(part, kind, target)
    if kind in _table().get(part, ()) and (owner := _OWNERS.get((part, kind), _HERE)) is not _HERE:
        raise TransferError(f"{part} kind '{kind}' is that of {owner.name}. Register yours under another name.")
    _table().setdefault(part, {})[kind] = target
    _OWNERS[part, kind] = _HERE


def _check_entry(part: object, kind: object, target: object) -> None:
    """Raise TransferError for what cannot stand in the table of kinds."""
    if not isinstance(part, str) or not _PART.fullmatch(part):
        raise TransferError(f"part {seen(part)}: a name of letters, digits, '_' and '-' is needed, as \"goal\".")
    if not isinstance(kind, str) or not kind:
        raise TransferError(f"{part} kind {kind!r:.80}: a name in text is needed.")
    if not callable(target) and not (isinstance(target, str) and _TARGET.fullmatch(target)):
        raise TransferError(
            f"target {target!r:.80} of {part} kind '{kind}': a class, a function, or text such as "
            "my_package.parts:MyClass is needed."
        )


def check(part: str, kind: str) -> None:
    """Raise TransferError unless the kind is registered."""
    kinds = _kinds(part)
    if not isinstance(kind, str) or kind not in kinds:
        others = [name for name, some in _table().items() if name not in _CORE and kind in list(some)]
        raise UnknownKind(str(unknown(f"{part} kind", kind, kinds, f"It is a kind of {others[0]}." if others else "")))


def resolve(part: str, kind: str) -> Any:
    """The class or function registered for a kind of part.

    Raises TransferError for an unknown kind, a target that cannot be imported, or one of another type than is needed.
    """
    check(part, kind)
    target = _kinds(part)[kind]
    found = _imported(part, kind, target) if isinstance(target, str) else target
    base = _BASES.get(part, _GROUP if part in groups() else "")
    if part in _CORE or (isinstance(found, type) and issubclass(found, _at(base)) if base else callable(found)):
        return found
    needed = f"a subclass of {base.replace(':', '.')}" if base else "a class or a function"
    raise BrokenKind(f"{_called(part, kind)} is {seen(found)}; {needed} is needed.")


def _at(target: str) -> Any:
    """What lies at "package.module:Name"."""
    module, name = target.split(":")
    return getattr(importlib.import_module(module), name)


def _called(part: str, kind: str) -> str:
    """A kind as messages name it: with the plug-in that it is of."""
    plugin = _OWNERS.get((part, kind), _HERE).plugin
    return f"{part} kind '{kind}'{f' of {plugin}' if plugin else ''}"


def _imported(part: str, kind: str, target: str) -> Any:
    """What lies at a target. Raises BrokenKind for a stranger's that is not there, or whose module fails."""
    owner, module = _OWNERS.get((part, kind), _HERE), target.partition(":")[0]
    try:
        return _at(target)
    except (Exception, SystemExit) as error:  # whatever a stranger's module does
        if owner is _OURS:
            raise
        absent = isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}.")
        cause = f"which cannot be imported: {type(error).__name__}: {error}. Repair what it needs"
        if absent or (isinstance(error, AttributeError) and module in sys.modules):
            cause = "which is not there. Install its package"
        anew = f"register it anew: transfer.registry.register('{part}', '{kind}', 'package.module:Class')"
        raise BrokenKind(
            f"{_called(part, kind)} is registered as {target}, {cause}, or "
            f"{f'uninstall {owner.name}' if owner.plugin else anew}."
        ) from error


def options_of(part: str, kind: str) -> dict[str, Any]:
    """The options of a kind with their defaults; `inspect.Parameter.empty` for one without a default.

    They are the keyword-only parameters of what makes it: of the class method `fit` of a group, of the constructor of
    every other class, of the function itself.
    """
    parameters = inspect.signature(_maker(part, kind)).parameters.values()
    return {one.name: one.default for one in parameters if one.kind is one.KEYWORD_ONLY}


def check_options(part: str, spec: PartSpec) -> None:
    """Raise TransferError for an unknown kind, an option that it does not take, or one that it lacks."""
    takes = options_of(part, spec.kind)
    for name in spec.options:
        if name not in takes:
            raise unknown(f"option of {part} '{spec.kind}'", name, takes)
    for name, default in takes.items():
        if default is inspect.Parameter.empty and name not in spec.options:
            raise TransferError(
                f"{part} '{spec.kind}' needs its option '{name}', which has no default: give it beside the kind, as "
                f'{{kind = "{spec.kind}", {name} = ...}}. Its options: {", ".join(takes)}.'
            )


def complete(part: str, spec: PartSpec) -> PartSpec:
    """The spec with every option as a plain value for JSON, those not given at their defaults.

    Raises TransferError as `check_options`, or as the kind's own `check`. Options that this returns are used instead.
    """
    check_options(part, spec)
    takes = options_of(part, spec.kind)
    options = {name: plain(spec.options.get(name, like), f"{part}.{name}", like) for name, like in takes.items()}
    if sound := getattr(resolve(part, spec.kind), "check", None):
        found = _call(part, spec.kind, sound, **options)
        options |= found if isinstance(found, Mapping) else {}
    return PartSpec(spec.kind, options)


def build(part: str, spec: PartSpec, *arguments: Any) -> Any:
    """What comes of what makes a kind, see `options_of`, from some arguments and its options.

    Raises TransferError as `check_options`, or for other arguments than it takes.
    """
    check_options(part, spec)
    return _call(part, spec.kind, _maker(part, spec.kind), *arguments, **spec.options)


def _maker(part: str, kind: str) -> Callable[..., Any]:
    """What makes a kind and has its options as keyword-only parameters."""
    made: Any = resolve(part, kind)
    if part in groups() and not inspect.ismethod(made.fit):
        raise BrokenKind(f"{_called(part, kind)}: fit of {made.__name__} is no class method.")
    return made.fit if part in groups() else made


def _call(part: str, kind: str, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """What a function returns. Raises BrokenKind where it takes other arguments, or a stranger's one fails."""
    try:
        inspect.signature(function).bind(*arguments, **options)
    except TypeError as error:
        raise BrokenKind(f"{_called(part, kind)}: {function.__qualname__} cannot be called: {error}.") from error
    try:
        return function(*arguments, **options)
    except (TransferError, MemoryError):
        raise
    except Exception as error:  # whatever a stranger's part does
        if _OWNERS.get((part, kind), _HERE) is _OURS:
            raise
        raise BrokenKind(f"{_called(part, kind)} failed: {type(error).__name__}: {error}.") from error


def _kinds(part: str) -> dict[str, Any]:
    """The kinds of a part and their targets. Raises TransferError for an unknown part."""
    table = _table()
    if not isinstance(part, str) or part not in table:
        raise UnknownKind(str(unknown("part", part, table)))
    return table[part]


@cache
def _table() -> dict[str, dict[str, Any]]:
    """Part -> kind -> "package.module:Name", or the class or function itself."""
    table = {part: dict(kinds) for part, kinds in {**_CORE, **importlib.import_module(ADAPTERS).KINDS}.items()}
    owners = {(part, kind): _OURS for part, kinds in table.items() for kind in kinds}
    for plugin in metadata.entry_points(group=PLUGINS):
        name = plugin.dist.name if plugin.dist else plugin.value
        owner = _Owner(name, f"the plug-in '{plugin.name}' of {name} ({plugin.value})")
        for part, kinds in _loaded(plugin, owner).items():
            for kind, target in kinds.items():
                if (part, kind) in owners:
                    raise BrokenKind(
                        f"two plug-ins name a {part} kind '{kind}': {owners[part, kind].name} and {name}. Uninstall "
                        "one, or rename its kind."
                    )
                owners[part, kind] = owner
                table.setdefault(part, {})[kind] = target
    _OWNERS.update(owners)
    return table


def _loaded(plugin: metadata.EntryPoint, owner: _Owner) -> Mapping[str, Mapping[str, Any]]:
    """The kinds of a plug-in: part -> kind -> target. Raises BrokenKind where it fails, or is no such table."""
    try:
        kinds = plugin.load()
    except (Exception, SystemExit) as error:  # whatever a stranger's module does
        raise BrokenKind(
            f"{owner.plugin} cannot be imported: {type(error).__name__}: {error}. Repair or uninstall {owner.name}."
        ) from error
    if not isinstance(kinds, Mapping) or any(part in _CLOSED or not isinstance(kinds[part], Mapping) for part in kinds):
        raise BrokenKind(
            f"{owner.plugin} is {seen(kinds)}; a table such as "
            '{"action": {"my-kind": "my_package.parts:MyAction"}} is needed.'
        )
    try:
        for part, kind, target in ((part, *one) for part, some in kinds.items() for one in some.items()):
            _check_entry(part, kind, target)
    except TransferError as error:
        raise BrokenKind(f"{owner.plugin}: {error} Repair or uninstall {owner.name}.") from error
    return kinds
