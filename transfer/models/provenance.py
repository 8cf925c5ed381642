"""Where the weights of a trunk or an adapter come from, and the context that an adapter acts on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from transfer.errors import TransferError
from transfer.numbers import MOST_CONTEXT, seen, whole

CONTEXT = 20
"""Default T of a new adapter."""
GENERATIONS = 50
"""Trainings before the last one that the provenance of a trunk keeps; JSON files have 100 levels at most."""


@dataclass(frozen=True)
class Provenance:
    """Where weights come from; None where it is not known.

    Attributes:
        trunk: fingerprint of the trunk that an adapter was made on.
        context: T, steps that an adapter is trained with and acts on.
        seed: of the first weights of a trunk.
        start: fingerprint of these first weights.
        shuffled: {"seed": ...} of a trunk whose weights were permuted.
        datasets: ids of the data that the weights were trained on.
        content_hash: of that data.
        training: mode, seed and steps of the last training, of a trunk its context too.
        inherited: tensors of an adapter that were copied from the source adapter.
        adapter: the `AdapterConfig` that a trunk was last trained with, as JSON.
        before: provenance of a trunk before its last training, with its fingerprint as `trunk`; see `as_before`.
        more: entries of your own, plain values; saved and loaded unchanged.

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
    adapter: Mapping[str, Any] | None = (
        None  # not checked here: `transfer.recipes.programs.building` says what is wrong with it
    )
    before: Provenance | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, convert in _CONVERT.items():
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, convert(value, f"record.{name}"))
        taken = sorted({"from", *_FIELDS} & {*_mapping(self.more, "record.more")})
        if taken:
            raise TransferError(f"record.more has {', '.join(taken)}: fields of a Provenance have these names.")

    def as_before(self, trunk: str) -> Provenance:
        """This provenance as the `before` of the next one, with the fingerprint of its trunk.

        Of what was before it, the newest are kept, `GENERATIONS` in all.
        """
        chain = [self]
        while chain[-1].before is not None and len(chain) < GENERATIONS:
            chain.append(chain[-1].before)
        kept = None
        for one in reversed(chain):
            kept = replace(one, before=kept)
        return replace(self, trunk=trunk, before=None if kept is None else kept.before)

    def to_json(self) -> dict[str, Any]:
        """Everything that is known, as plain values; `from_json` restores an equal object."""
        values = {name: getattr(self, name) for name in _FIELDS}
        known = {name: list(x) if isinstance(x, tuple) else x for name, x in values.items() if x is not None}
        before = {} if self.before is None else {"from": self.before.to_json()}
        return {**known, **before, **self.more}

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
            if value is None:
                raise TransferError(f"record.{name} is None; a value is needed.")
        return cls(**known, before=None if before is None else cls.from_json(before), more=given)


_FIELDS = tuple(one.name for one in fields(Provenance) if one.name not in ("before", "more"))


def _need(value: object, name: str, kind: Any, needed: str) -> Any:
    if isinstance(value, kind):
        return value
    raise TransferError(f"{name} is {seen(value)}; {needed} is needed.")


def _text(value: object, name: str) -> Any:
    return _need(value, name, str, "text")


def _texts(value: object, name: str) -> tuple[str, ...]:
    texts = _need(value, name, (list, tuple), "a list of texts")
    return tuple(_text(one, f"{name}[{i}]") for i, one in enumerate(texts))


def _mapping(value: object, name: str) -> dict[str, Any]:
    return dict(_need(value, name, Mapping, "an object of names and values"))


_CONVERT: dict[str, Callable[[Any, str], Any]] = {
    **dict.fromkeys(("trunk", "start", "content_hash"), _text),
    **dict.fromkeys(("datasets", "inherited"), _texts),
    **dict.fromkeys(("shuffled", "training", "more"), _mapping),
    "before": lambda value, name: _need(value, name, Provenance, "a Provenance"),
    "seed": lambda value, name: whole(value, name, 0),
    "context": lambda value, name: whole(value, "context", 1, MOST_CONTEXT),
}
