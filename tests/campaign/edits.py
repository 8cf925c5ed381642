"""Damage that fits every file, and edits that fit every JSON: what all families of files share."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Keys = tuple[str | int, ...]
HUGE = 10**400  # a whole number that no float holds
DEEP = "[" * 100_000 + "]" * 100_000


def _replaced(make: Callable[[Path], object]) -> Callable[[Path], None]:
    """Damage that puts something else in the place of a file."""

    def damage(file: Path) -> None:
        file.unlink()
        make(file)

    return damage


def _edited(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Damage to the bytes of a file."""
    return lambda file: file.write_bytes(change(file.read_bytes())) and None


# What no file survives.
DAMAGE: dict[str, Callable[[Path], None]] = {
    "cut in the middle": _edited(lambda whole: whole[: len(whole) // 2]),
    "cut by a byte": _edited(lambda whole: whole.rstrip()[:-1]),
    "emptied": _edited(lambda whole: b""),
    "zeros": _edited(lambda whole: bytes(len(whole))),
    "noise": _edited(lambda whole: random.Random(0).randbytes(len(whole))),
    "doubled": _edited(lambda whole: whole + whole),
    "missing": Path.unlink,
    "a folder in its place": _replaced(Path.mkdir),
    "a link to nowhere": _replaced(lambda file: file.symlink_to("nowhere")),
    "a link to itself": _replaced(lambda file: file.symlink_to(file.name)),
    "a pipe in its place": _replaced(lambda file: os.mkfifo(file)),
    "a device in its place": _replaced(lambda file: file.symlink_to("/dev/zero")),
}
# What JSON does not survive besides.
JSON_DAMAGE: dict[str, Callable[[Path], None]] = {
    "a list": _edited(lambda whole: b"[" + whole + b"]"),
    "a number": _edited(lambda whole: b"3"),
    "null": _edited(lambda whole: b"null"),
    "a comma too many": _edited(lambda whole: whole.rstrip()[:-1] + b",}"),
    "UTF-16": _edited(lambda whole: whole.decode().encode("utf-16")),
    "a NUL behind it": _edited(lambda whole: whole + b"\0"),
    "lists a hundred thousand deep": _edited(lambda whole: whole.rstrip()[:-1] + f', "x": {DEEP}}}'.encode()),
    "a number of a megabyte": _edited(lambda whole: whole.rstrip()[:-1] + b', "x": 1' + b"0" * 2**20 + b"}"),
}


@dataclass(frozen=True)
class Edit:
    """One value of a JSON file is another, is gone, or is new.

    Attributes:
        keys: the way to it.
        value: the new one; None with `gone`.
        gone: whether the key is removed.
    """

    keys: Keys
    value: Any = None
    gone: bool = False

    def __str__(self) -> str:
        what = "removed" if self.gone else f"= {json.dumps(self.value):.40}"
        return f"{'.'.join(map(str, self.keys))} {what}"

    def __call__(self, content: dict[str, Any]) -> None:
        """Make the edit."""
        inner: Any = content
        for key in self.keys[:-1]:
            inner = inner[key]
        if self.gone:
            del inner[self.keys[-1]]
        else:
            inner[self.keys[-1]] = self.value


def leaves(content: Any, keys: Keys = ()) -> Iterator[tuple[Keys, Any]]:
    """Every value that is no dict and no list, with the way to it; of lists the first two items."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield from leaves(value, (*keys, key))
    elif isinstance(content, list) and content:
        for index, value in enumerate(content[:2]):
            yield from leaves(value, (*keys, index))
    else:
        yield keys, content


def groups(content: Any, keys: Keys = ()) -> Iterator[tuple[Keys, Any]]:
    """Every dict and list below the whole, with the way to it."""
    items = (
        content.items() if isinstance(content, dict) else enumerate(content[:2] if isinstance(content, list) else ())
    )
    for key, value in items:
        if isinstance(value, dict | list):
            yield (*keys, key), value
        yield from groups(value, (*keys, key))


def wrong_values(value: Any) -> tuple[Any, ...]:
    """What is wrong in the place of a value, whatever it stands for: other types, and numbers that are none."""
    nothing: tuple[Any, ...] = ([], {}, [[]], {"a": 1})
    if isinstance(value, bool):
        return (None, "x", 3, 0.5, *nothing)
    if isinstance(value, int | float):
        return (None, "x", str(value), True, float("nan"), float("inf"), -float("inf"), HUGE, [value], *nothing)
    if isinstance(value, str):
        return (None, 3, 0.5, True, *nothing)
    return (3, "x", True)


def wrong_edit(rng: random.Random, content: dict[str, Any], free: Callable[[Keys], bool]) -> Edit:
    """An edit that no reader may take, at a place that is not free to say what it likes."""
    places = [(keys, value) for keys, value in leaves(content) if not free(keys)]
    wholes = [(keys, value) for keys, value in groups(content) if not free(keys)]
    kind = rng.random()
    if kind < 0.7:
        keys, value = rng.choice(places)
        return Edit(keys, rng.choice(wrong_values(value)))
    if kind < 0.85 and wholes:
        keys, value = rng.choice(wholes)
        return Edit(keys, rng.choice((None, 3, "x", True, [] if isinstance(value, dict) else {})))
    keys, _ = rng.choice([(keys, value) for keys, value in (*places, *wholes) if isinstance(keys[-1], str)])
    return Edit(keys, gone=True)
