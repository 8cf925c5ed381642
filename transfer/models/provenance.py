"""Where the weights of a trunk or an adapter come from, and the context that an adapter acts on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from transfer.errors import TransferError
from transfer.numbers import MOST_CONTEXT, seen, whole

CONTEXT = 20
"""T of a new adapter, unless another one is asked for."""


@dataclass(frozen=True)
class Provenance:
    """Where weights come from. What is not known is None; `dataclasses.replace` makes a changed one.

    Attributes:
        trunk: fingerprint of the trunk that an adapter was made on.
        context: T, steps of past that an adapter is trained with and acts on. Every other place reads it here.
        seed: from which the first weights of a trunk were drawn.
        start: fingerprint of these first weights.
        shuffled: {"seed": ...} of a trunk whose weights were permuted.
        datasets: ids of the data that the weights were trained on.
        content_hash: of that data.
        training: mode, seed and steps of the last training, of a trunk its context too.
        inherited: tensors of an adapter that were copied from the source adapter.
        adapter: the `AdapterConfig` that a trunk was last trained with, as JSON.
        before: provenance of a trunk before its last training, with its fingerprint as `trunk`.
        more: entries of a user's own, plain values; saved and loaded as they are.

    Raises:
        TransferError: a value of a wrong type, or an entry in `more` with the name of a field.
    """

    trunk: str | None = None
    context: int | None = None
    seed: int | None = None
    start: str | None = None
    shuffled: Mapping[str, Any] | None = None
    datasets: tuple[str, ...] | None = None
    content_hash: str | None = None
    training: Mapping[str, Any] | None = None
    inherited: tuple[str, ...] | None = None
    adapter: Mapping[str, Any] | None = None  # not checked here: `recipes.kinds` says what is wrong with it
    before: Provenance | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, convert in _CONVERT.items():
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, convert(value, f"record.{name}"))
        if self.before is not None and not isinstance(self.before, Provenance):
            raise TransferError(f"record.before is {seen(self.before)}; a Provenance is needed.")
        taken = sorted({"from", *_FIELDS} & {*_mapping(self.more, "record.more")})
        if taken:
            raise TransferError(f"record.more has {', '.join(taken)}: fields of a Provenance have these names.")

    def to_json(self) -> dict[str, Any]:
        """Everything that is known, as plain values where `more` holds such; `from_json` restores an equal object."""
        known = {name: getattr(self, name) for name in _FIELDS if getattr(self, name) is not None}
        before = {} if self.before is None else {"from": self.before.to_json()}
        return {key: list(value) if isinstance(value, tuple) else value for key, value in known.items()} | {
            **before,
            **self.more,
        }

    @classmethod
    def from_json(cls, data: Any) -> Provenance:
        """The inverse of `to_json`.

        Raises:
            TransferError: no mapping, or a value of a wrong type.
        """
        given = dict(_mapping(data, "record"))
        before = given.pop("from", None)
        known = {name: given.pop(name) for name in _FIELDS if name in given}
        for name, value in known.items():
            if value is None or (name in _WANTED and not isinstance(value, list)):
                raise TransferError(f"record.{name} is {seen(value)}; {_WANTED.get(name, 'a value')} is needed.")
        return cls(**known, before=None if before is None else cls.from_json(before), more=given)


_WANTED = dict.fromkeys(("datasets", "inherited"), "a list")  # tuples once loaded
_FIELDS = tuple(one.name for one in fields(Provenance) if one.name not in ("before", "more"))


def _text(value: object, name: str) -> str:
    if isinstance(value, str):
        return value
    raise TransferError(f"{name} is {seen(value)}; text is needed.")


def _texts(value: object, name: str) -> tuple[str, ...]:
    if isinstance(value, Iterable) and not isinstance(value, str):
        return tuple(_text(one, f"{name}[{i}]") for i, one in enumerate(value))
    raise TransferError(f"{name} is {seen(value)}; a list of texts is needed.")


def _mapping(value: object, name: str) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise TransferError(f"{name} is {seen(value)}; names with values are needed.")


_CONVERT: dict[str, Callable[[Any, str], Any]] = {
    **dict.fromkeys(("trunk", "start", "content_hash"), _text),
    **dict.fromkeys(("datasets", "inherited"), _texts),
    **dict.fromkeys(("shuffled", "training", "more"), _mapping),
    "seed": lambda value, name: whole(value, name, 0),
    "context": lambda value, name: whole(value, "context", 1, MOST_CONTEXT),
}
