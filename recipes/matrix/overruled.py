"""Keys of settings that a later layer sets in vain, because the `[matrix]` of an earlier one decides them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from transfer.errors import TransferError
from transfer.recipes.matrix.axes import INSTEAD
from transfer.recipes.settings.layers import AXES, FOR_EACH, MATRIX, Layer, Table, several
from transfer.recipes.settings.sections import SourceConfig
from transfer.recipes.settings.typed import fields_of, flatten

OPTIONS = {"modes": ("adapt", "modes"), "seeds": ("run", "seeds")}
"""Keys of `[matrix]` that have an option of the command, `--modes` and `--seeds`, and what that option sets."""


def same_as_options(changes: Table, matrix: Table) -> dict[str, Any]:
    """The layer of `--set` where `--modes` and `--seeds`, or the keys that they set, are those of the matrix.

    Args:
        changes: the layer.
        matrix: `[matrix]` below it.

    Raises:
        TransferError: both are set.
    """
    found = dict(changes)
    for key, (section, name) in OPTIONS.items():
        plain, own = changes.get(section, {}), changes.get(MATRIX, {})
        if name in plain and key in own:
            raise TransferError(f"--set {MATRIX}.{key} and {section}.{name} are both given: keep one of them")
        if name in plain and key in matrix:
            found[MATRIX] = {**found.get(MATRIX, {}), key: plain[name]}
        elif key in own:
            found[section] = {**found.get(section, {}), name: own[key]}
    return found


def check_overruled(layers: Sequence[Layer], changes: Table, quick: bool) -> None:
    """Raise TransferError for a key that a layer sets and the `[matrix]` of an earlier one decides.

    Args:
        layers: of files, weakest first.
        changes: of `--set`, the last layer.
        quick: whether `[quick]` applies.
    """
    matrix: dict[str, Any] = {}

    def with_own(table: Table) -> dict[str, Any]:
        return several([{MATRIX: matrix}, {MATRIX: table.get(MATRIX, {})}])[MATRIX]

    for layer in layers:
        _check(f"{layer.place} sets", layer.table, matrix)
        matrix = with_own(layer.table)
        _check(f"[quick] of {layer.place} sets", layer.quick, matrix)
    for layer in layers if quick else ():
        matrix = with_own(layer.quick)
    _check("--set", changes, matrix)


def _check(who: str, layer: Table, matrix: Table) -> None:
    """Raise TransferError for a key of a layer that a matrix below it decides and its own does not."""
    own = {name for _, name in _decided(layer.get(MATRIX, {}))}
    keys = [key for name, values in layer.items() if name != MATRIX for key in flatten({name: values})]
    for decided, name in _decided(matrix):
        for key in keys:
            if name not in own and (key == decided or (key.startswith(f"{decided}.") and decided != "source")):
                instead = f"{MATRIX}.{name}" if name in matrix else f"{MATRIX}.{AXES}.{name}"
                raise TransferError(
                    f"{who} {key}, and [{MATRIX}] decides it, so it would change nothing. Set {instead}, a list of "
                    "values, instead"
                )


def _decided(matrix: Table) -> Iterator[tuple[str, str]]:
    """Keys of settings, each with the key or the axis of a matrix that decides it."""
    yield from ((key, name) for key, name in INSTEAD.items() if name in matrix)
    if "sources" in matrix:  # "source": a list of [[source]] tables
        keys = [f"source.{key}" for key in fields_of(SourceConfig) if key not in FOR_EACH]
        yield from ((key, "sources") for key in ("source", *keys))
    yield from ((axis, axis) for axis in flatten(matrix.get(AXES, {})))
