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
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from typing import Any, cast

from transfer.errors import TransferError, unknown
from transfer.numbers import flag, real, seen, whole

ADAPTERS = "transfer.adapters"
PLUGINS = "transfer.plugins"
"""Entry-point group of other packages, whose values are tables like `transfer.adapters.KINDS`."""
_TARGET = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
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
    "command": {
        "return": "transfer.decoding.command:ReturnToGo",
        "return asked": "transfer.decoding.command:return_asked",
    },
    "planner": {"tokens": "transfer.decoding.planner:TokenPlanner", "direct": "transfer.decoding.direct:DirectPlanner"},
}


@dataclass(frozen=True)
class PartSpec:
    """A kind of a part, and its options.

    Args:
        kind: a name of `known`.
        options: by name; those that are not given have the defaults of the kind.
    """

    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)

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


def register(part: str, kind: str, target: str | type) -> None:
    """Make `kind` available for `part`.

    Args:
        part: what it is a kind of.
        kind: its name.
        target: a class, or text such as "package.module:Class" that is imported on the first use.

    Raises:
        TransferError: an unknown part, or a target of another form.
    """
    kinds = _kinds(part)
    if not isinstance(kind, str) or not kind:
        raise TransferError(f"{part} kind {kind!r:.80}: a name in text is needed.")
    if not isinstance(target, type) and not (isinstance(target, str) and _TARGET.fullmatch(target)):
        raise TransferError(
            f"target {target!r:.80} of {part} kind '{kind}': a class, or text such as my_package.parts:MyClass is "
            "needed."
        )
    kinds[kind] = target


def check(part: str, kind: str) -> None:
    """Raise TransferError unless the kind is registered."""
    kinds = _kinds(part)
    if not isinstance(kind, str) or kind not in kinds:
        raise unknown(f"{part} kind", kind, kinds)


def resolve(part: str, kind: str) -> Any:
    """The class registered for a kind of part.

    Raises:
        TransferError: an unknown kind, or a target that is not there.
    """
    check(part, kind)
    target = _kinds(part)[kind]
    if not isinstance(target, str):
        return target
    module, name = target.split(":")
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if not f"{module}.".startswith(f"{error.name}."):  # the module is there, and needs another one
            raise
        raise _missing(part, kind, target) from error
    if not hasattr(found, name):
        raise _missing(part, kind, target)
    return getattr(found, name)


def _missing(part: str, kind: str, target: str) -> TransferError:
    return TransferError(
        f"{part} kind '{kind}' is registered as {target}, which is not there. Install its package, or "
        f"register it anew: transfer.registry.register('{part}', '{kind}', 'package.module:Class')."
    )


def options_of(part: str, kind: str) -> dict[str, Any]:
    """The options of a kind with their defaults: the keyword-only parameters of its `fit`, else of its constructor."""
    made = resolve(part, kind)
    parameters = inspect.signature(getattr(made, "fit", made)).parameters.values()
    return {one.name: one.default for one in parameters if one.kind is one.KEYWORD_ONLY}


def check_options(part: str, spec: PartSpec) -> None:
    """Raise TransferError for an unknown kind, or an option that it does not take."""
    takes = options_of(part, spec.kind)
    for name in spec.options:
        if name not in takes:
            raise unknown(f"option of {part} '{spec.kind}'", name, takes)


def complete(part: str, spec: PartSpec) -> PartSpec:
    """The spec with every option, those not given at their defaults.

    Raises:
        TransferError: as `check_options`, or an unsound value, by the kind's own `check`.
    """
    check_options(part, spec)
    options = options_of(part, spec.kind)
    options |= {name: _plain(f"{part}.{name}", value, options[name]) for name, value in spec.options.items()}
    if sound := getattr(resolve(part, spec.kind), "check", None):
        sound(**options)
    return PartSpec(spec.kind, options)


def _plain(name: str, value: Any, default: Any) -> Any:
    """A number of NumPy or PyTorch as Python's, where the default is a number. Raises TransferError for none."""
    if isinstance(default, bool):
        return flag(value, name)
    if isinstance(default, int):
        return whole(value, name)
    return real(value, name) if isinstance(default, float) else value


def build(part: str, spec: PartSpec, *arguments: Any) -> Any:
    """An instance of a kind, of some arguments and its options. Raises TransferError as `check_options`."""
    check_options(part, spec)
    return resolve(part, spec.kind)(*arguments, **spec.options)


def _kinds(part: str) -> dict[str, Any]:
    """The kinds of a part and their targets. Raises TransferError for an unknown part."""
    table = _table()
    if not isinstance(part, str) or part not in table:
        raise unknown("part", part, table)
    return table[part]


@cache
def _table() -> dict[str, dict[str, Any]]:
    """Part -> kind -> "package.module:Name", or the class itself."""
    table = {part: dict(kinds) for part, kinds in {**_CORE, **importlib.import_module(ADAPTERS).KINDS}.items()}
    owners = {(part, kind): "this library" for part, kinds in table.items() for kind in kinds}
    for plugin in metadata.entry_points(group=PLUGINS):
        owner = f"{plugin.dist.name if plugin.dist else plugin.value}"
        for part, kinds in _loaded(plugin, owner).items():
            for kind, target in kinds.items():
                if (part, kind) in owners:
                    raise TransferError(
                        f"two plug-ins name a {part} kind '{kind}': {owners[part, kind]} and {owner}. Uninstall one, "
                        "or rename its kind."
                    )
                owners[part, kind] = owner
                table.setdefault(part, {})[kind] = target
    return table


def _loaded(plugin: metadata.EntryPoint, owner: str) -> Mapping[str, Mapping[str, Any]]:
    """The kinds of a plug-in: part -> kind -> target.

    Raises:
        TransferError: it cannot be imported, or is no such table.
    """
    try:
        kinds = plugin.load()
    except Exception as error:  # whatever a stranger's module does
        raise TransferError(
            f"the plug-in '{plugin.name}' of {owner} ({plugin.value}) cannot be imported: {type(error).__name__}: "
            f"{error}. Repair or uninstall {owner}."
        ) from error
    sound = isinstance(kinds, Mapping) and all(
        isinstance(part, str) and part not in _CORE and isinstance(some, Mapping) for part, some in kinds.items()
    )
    if not sound:
        raise TransferError(
            f"the plug-in '{plugin.name}' of {owner} ({plugin.value}) is {seen(kinds)}; a table such as "
            '{"action": {"my-kind": "my_package.parts:MyAction"}} is needed.'
        )
    return cast(Mapping[str, Mapping[str, Any]], kinds)
