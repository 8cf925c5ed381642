"""Noticing what was edited in the JSON of a checkpoint: values of wrong types or sizes, and contradictions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from transfer.errors import TransferError
from transfer.numbers import seen

RECORD = {
    **{"trunk": str, "datasets": list, "content_hash": str, "training": dict, "inherited": list},
    **{"seed": int, "start": str},
}
Config = TypeVar("Config")


@contextmanager
def building(path: Path) -> Iterator[None]:
    """Inside, what a value of a wrong type or size leads to is an error that names the file it came from."""
    try:
        yield
    except TransferError as error:
        raise error if str(path) in str(error) else TransferError(f"{path} was edited: {error}") from error
    except (TypeError, LookupError, ValueError, AttributeError, RuntimeError, ArithmeticError) as error:
        raise TransferError(f"{path} was edited: {type(error).__name__}: {error}.") from error


def config_of(kind: type[Config], values: Any) -> Config:
    """A config out of JSON. Raises TransferError unless it has exactly the fields of its kind, each a sound value."""
    names = [f.name for f in fields(kind)]  # type: ignore[arg-type]
    if not isinstance(values, dict) or set(values) != set(names):
        raise TransferError(f"config: {kind.__name__} needs exactly {', '.join(names)}; got {seen(values, 200)}.")
    return kind(**values)


def check_finite(module: nn.Module, what: str) -> None:
    """Raise TransferError for weights that are not finite, and for NaN in buffers, whose edges may be infinite."""
    finite = {name for name, _ in module.named_parameters()}
    for name, tensor in module.state_dict().items():
        bad = ~tensor.isfinite() if name in finite else tensor.isnan()
        if bad.any():
            raise TransferError(f"{what}: {name} holds {tensor[bad].flatten()[0].item()}. Its training has diverged.")


def checked_record(record: Any) -> dict[str, Any]:
    """A record whose known entries have their types; others are its owner's."""
    if not isinstance(record, dict):
        raise TransferError(f"record is {seen(record)}; names with values are needed.")
    for key, kind in RECORD.items():
        if key in record and (type(record[key]) is not kind):
            raise TransferError(f"record.{key} is {seen(record[key])}; a {kind.__name__} is needed.")
    return dict(record)


def first_difference(said: Any, meant: Any, where: str) -> str:
    """The first place where parsed JSON is not what would have been written, in words; "" for none."""
    if isinstance(said, dict) and isinstance(meant, dict) and said.keys() == meant.keys():
        return next(filter(None, (first_difference(said[key], meant[key], f"{where}.{key}") for key in meant)), "")
    if isinstance(said, list) and isinstance(meant, list) and len(said) == len(meant):
        pairs = enumerate(zip(said, meant, strict=True))
        return next(filter(None, (first_difference(a, b, f"{where}[{i}]") for i, (a, b) in pairs)), "")
    same = said == meant and isinstance(said, bool) == isinstance(meant, bool)
    return "" if same else f"{where} is {seen(said)}, what belongs there is {seen(meant)}"
