"""The errors that a user can put right, and the wording they share."""

import difflib
from collections.abc import Collection, Iterable
from typing import TypeVar

T = TypeVar("T")


class TransferError(ValueError):
    """A mistake in the input: the message says what, the value seen, the values known and what to do next.

    It is a ValueError, which callers of scikit-learn's estimators expect. The command line prints the message and exits
    with code 2.
    """


class UnknownKind(TransferError):
    """A kind of a part that is not known here: its package is not installed, or not imported yet."""

    remedy = (
        "Install the package that brings it, or import the module that registers it first: transfer --import MODULE."
    )


class BrokenKind(UnknownKind):
    """A kind that a package brings and that cannot be used; the message says what to do."""

    remedy = ""


class NotAtHand(TransferError):
    """An environment that cannot be built here, or must not be; training and saving need none."""


def unknown(kind: str, value: object, known: Iterable[str], hint: str = "") -> TransferError:
    """An error about a name of some `kind`, as "preset", with the closest `known` name first and `hint` as the end."""
    names = [str(name) for name in known]
    near = difflib.get_close_matches(str(value), names, n=1, cutoff=0.4)
    guess = f" Did you mean '{near[0]}'?" if near else ""
    listed = ", ".join(near + [name for name in names if name not in near]) or "none"
    return TransferError(f"unknown {kind} '{value}'.{guess} Known: {listed}.{' ' + hint if hint else ''}")


def check_type(value: object, kind: type[T] | tuple[type[T], ...], name: str, hint: str = "") -> T:
    """The argument called `name`. Raises TransferError, which ends in `hint`, unless it is of (one of) `kind`."""
    if isinstance(value, kind):
        return value
    wanted = " or ".join(one.__name__ for one in (kind if isinstance(kind, tuple) else (kind,)))
    raise TransferError(f"{name} is of type {type(value).__name__}; {wanted} is needed.{' ' + hint if hint else ''}")


def check_keys(what: str, data: Collection[str], known: Collection[str]) -> None:
    """Raise TransferError unless the keys of `data`, which is called `what`, are exactly the known ones."""
    if not isinstance(data, Collection) or isinstance(data, str):
        raise TransferError(f"{what} is {data!r:.60} ({type(data).__name__}); an object with keys is needed.")
    for key in data:
        if key not in known:
            raise unknown(f"key in {what}", key, known)
    missing = [key for key in known if key not in data]
    if missing:
        raise TransferError(
            f"{what} lacks {', '.join(missing)}; it was edited or written by another program. "
            f"Known keys: {', '.join(known)}."
        )
