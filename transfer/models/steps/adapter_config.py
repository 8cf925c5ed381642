"""The kinds of the parts of an adapter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from transfer import registry
from transfer.errors import TransferError, UnknownKind, check_keys, check_type, unknown
from transfer.numbers import seen
from transfer.registry import PartSpec

OUT_OF_BOUNDS = ("clip", "refuse")
TUNING = "tuning"
"""Name of the part that changes layers of the trunk."""
RESERVED = ("trunk", "scales", "others", "out_of_bounds")
"""Names that no part can have: they are taken in models and in settings."""
OWN = ("state", "action", TUNING)
"""Parts with a field of their own in a config."""
ADD_PARTS = "Packages with plug-ins add others, as does transfer.registry.register."
DEFAULT_TUNING = PartSpec("ia3")


@dataclass(frozen=True)
class AdapterConfig:
    """Kinds of the parts of an adapter, with their options: a `PartSpec`, a table with a key "kind", or a kind's name.

    Args:
        state: state embedding: "linear" (the papers') or "mlp".
        action: action embedding: one of the four class names of the tokenized-action paper.
        tuning: small changes of the trunk, for modes that train them; None stands for `DEFAULT_TUNING`.
        out_of_bounds: "clip" the data's actions outside the environment's bounds, or "refuse" the data.
        others: of further groups of a method, by name.

    Raises:
        TransferError: a part that no method can have, an unknown kind, or an option that it does not take.
    """

    state: PartSpec = PartSpec("mlp")
    action: PartSpec = PartSpec("ActionTokenizedSpreadEmbedding")
    tuning: PartSpec | None = None
    out_of_bounds: str = "clip"
    others: Mapping[str, PartSpec] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for part in OWN:
            if part != TUNING or self.tuning is not None:
                object.__setattr__(self, part, _spec(part, getattr(self, part)))
        if not isinstance(self.others, Mapping):
            raise TransferError(f"adapter.others is {seen(self.others)}; a table by the name of a group is needed.")
        for part in self.others:
            if part in OWN:
                raise TransferError(
                    f"adapter.others has '{part}', which has a place of its own: AdapterConfig({part}=...)."
                )
            if part not in registry.groups():
                raise UnknownKind(str(unknown("part of an adapter", part, [*registry.groups(), TUNING], ADD_PARTS)))
        object.__setattr__(self, "others", {part: _spec(part, spec) for part, spec in self.others.items()})
        if not isinstance(self.out_of_bounds, str) or self.out_of_bounds not in OUT_OF_BOUNDS:
            raise unknown("adapter.out_of_bounds", self.out_of_bounds, OUT_OF_BOUNDS)

    def of(self, part: str) -> PartSpec:
        """The kind of a part. Raises TransferError where the config names none."""
        tuning = _spec(TUNING, DEFAULT_TUNING) if self.tuning is None else self.tuning
        known = {"state": self.state, "action": self.action, TUNING: tuning, **self.others}
        if part not in known:
            kinds = registry.known(part) if part in registry.groups() else []
            raise TransferError(
                f"the config names no kind for the part '{part}'. Kinds of it that are registered: "
                f"{', '.join(kinds) or 'none'}. {_advice(part, kinds)}"
            )
        return known[part]

    def check_arguments(self, part: str, given: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
        """Raise TransferError where the arguments of a group contradict its options here, or the sizes of the adapter.

        Args:
            part: name of the group.
            given: arguments of its constructor.
            sizes: by the names that such arguments have.
        """
        options, told = self.of(part).options, dict(given)
        for name, value in given.items():
            if isinstance(value, Mapping) and "kind" in value:  # something fitted: a tokenizer, with its kind and bins
                told |= {**{key: one for key, one in value.items() if key in options}, name: value["kind"]}
        for whose, facts in (("the config says", options), ("the adapter's is", sizes)):
            for name in facts:
                if told.get(name) not in (None, facts[name]):
                    raise TransferError(f"the {part} part has {name}={seen(told[name])}, {whose} {seen(facts[name])}.")

    def to_json(self) -> dict[str, Any]:
        """Plain values, with every option; `from_json` restores an equal object."""
        parts: dict[str, Any] = {part: self.of(part).to_json() for part in ("state", "action")}
        parts[TUNING] = None if self.tuning is None else self.tuning.to_json()
        others = {part: spec.to_json() for part, spec in self.others.items()}
        return {**parts, "out_of_bounds": self.out_of_bounds, **({"others": others} if others else {})}

    @classmethod
    def from_json(cls, data: Any) -> AdapterConfig:
        """The inverse of `to_json`. Raises TransferError for an unknown key or an unsound value."""
        given = dict(check_type(data, dict, "config"))
        others = given.pop("others", {})
        check_keys("config", given, (*OWN, "out_of_bounds"))
        return cls(**given, others=others)


def _advice(part: str, kinds: Sequence[str]) -> str:
    """How to name a kind for a part that has none."""
    if not kinds:
        return f"Install a package that has one, or register one: transfer.registry.register('{part}', 'mine', Mine)."
    return (
        f'Write kind = "{kinds[0]}" under [adapter.{part}], or in Python '
        f"AdapterConfig(others={{'{part}': '{kinds[0]}'}})."
    )


def _spec(part: str, value: Any) -> PartSpec:
    return registry.complete(part, PartSpec.of(value, f"adapter.{part}"))
