"""Modules as folders that a person can read: NAME.json and NAME.safetensors, no pickle.

`Checkpoint` names the functions that turn a module into JSON and JSON into a module. The JSON has the keys of its kind,
a fingerprint, and the keys of `transfer.storage.pairs`. Loading is strict: missing and unexpected keys or tensors are
errors. The sizes in the JSON and in the tensors' file are compared before anything of that size is built or read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Generic, TypeVar

from torch import nn

from transfer import registry
from transfer.errors import TransferError, UnknownKind
from transfer.numbers import seen
from transfer.runtime.process import shapes_alone
from transfer.runtime.seeding import seeded
from transfer.storage.files import as_json, as_path, read_json
from transfer.storage.fingerprints import check_values, fingerprint
from transfer.storage.pairs import ADDED, FORMAT, Check, load_pair, save_pair
from transfer.storage.tensors import Header, check_header, declared

Module = TypeVar("Module", bound=nn.Module)
Config = TypeVar("Config")
Value = TypeVar("Value")
OLDER = 2  # format that is read besides `transfer.storage.pairs.FORMAT`


@dataclass(frozen=True)
class Older:
    """How a kind of checkpoint was written in format 2.

    Attributes:
        keys: of its JSON, besides the fingerprint and those of `transfer.storage.pairs`.
        content: its JSON -> that of today; a fingerprint of None is not compared.
        tensor: the name of a tensor -> that of today.
    """

    keys: tuple[str, ...]
    content: Callable[[dict[str, Any]], dict[str, Any]]
    tensor: Callable[[str], str] = str


@dataclass(frozen=True)
class Checkpoint(Generic[Module]):
    """One kind of checkpoint.

    Attributes:
        name: of both files.
        what: the kind in words, as "an adapter".
        source: where one comes from, as a sentence.
        keys: of the JSON, besides the fingerprint and those of `transfer.storage.pairs`.
        content: a module -> the values of these keys.
        build: these values -> the module, with fresh weights; raises TransferError for an unsound value.
        check: raises TransferError where JSON and declared tensors contradict each other; called before `build`.
        older: how it was written before.
        optional: further keys, which `content` leaves out where they say what an older file means without them.
    """

    name: str
    what: str
    source: str
    keys: tuple[str, ...]
    content: Callable[[Module], dict[str, Any]]
    build: Callable[[dict[str, Any]], Module]
    older: Older
    check: Check = lambda content, header: None
    optional: tuple[str, ...] = ()

    def save(self, module: Module, folder: str | Path) -> Path:
        """Write a module into a folder, whose other files stay.

        Raises:
            TransferError: weights that are not finite, a module that could not be loaded again, a full disk.
        """
        folder = as_path(folder, "folder")
        check_finite(module, f"{folder} is not written")
        told = {**self.content(module), "fingerprint": fingerprint(module)}
        content, tensors = as_json(told, str(folder / f"{self.name}.json")), module.state_dict()
        try:
            self._check_sizes(folder, content, declared(tensors))
        except TransferError as error:
            raise TransferError(f"{folder} is not written, as it could not be loaded again: {error}") from error
        save_pair(folder, self.name, content, tensors)
        return folder

    def load(self, folder: str | Path) -> Module:
        """Read a module, strictly; it is in eval mode.

        Args:
            folder: where it was saved, or the folder above with NAME inside.

        Raises:
            TransferError: missing, truncated or edited files, or a checkpoint of another kind.
        """
        folder = self.home(folder)
        path = folder / f"{self.name}.json"
        content, tensors = self._read(folder)
        with _building(path), seeded(0, self.name):  # leaves the caller's random state as it is
            module = self.build(content)
            module.load_state_dict(tensors)
        check_finite(module, f"{folder / self.name}.safetensors is damaged")
        for key, value in as_json(self.content(module), str(path)).items():
            if difference := _first_difference(content.get(key), value, key):
                raise TransferError(f"{path} was edited: {difference}.")
        if content["fingerprint"] is not None and (found := fingerprint(module)) != content["fingerprint"]:
            told = seen(content["fingerprint"], 70)
            raise TransferError(f"{path} was edited: fingerprint is {told}, that of tensors and settings is {found}.")
        return module.eval()

    def home(self, folder: str | Path) -> Path:
        """The folder itself, or the sub-folder NAME of a SEED folder of a run."""
        folder = as_path(folder, "folder")
        inner = folder / self.name
        return inner if not os.path.exists(folder / f"{self.name}.json") and os.path.isdir(inner) else folder

    def _read(self, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
        """JSON and tensors. Raises TransferError, which names a checkpoint of another kind."""
        path = folder / f"{self.name}.json"

        def check(content: dict[str, Any], header: Header) -> None:
            self._check_sizes(folder, self._current(path, content), self._renamed(content, header))

        keys = {FORMAT: (*self.keys, "fingerprint"), OLDER: (*self.older.keys, "fingerprint")}
        try:
            content, tensors = load_pair(folder, self.name, keys, check, self.optional)
        except TransferError as error:
            if other := self._other_kind(folder):
                raise TransferError(other) from error
            raise
        if not isinstance(content["fingerprint"], str):
            raise TransferError(f"{path} was edited: fingerprint is {seen(content['fingerprint'])}.")
        return self._current(path, content), self._renamed(content, tensors)

    def _current(self, path: Path, content: dict[str, Any]) -> dict[str, Any]:
        """The JSON as it is written today."""
        if content["format"] == FORMAT:
            return content
        with _building(path):
            return self.older.content(content)

    def _renamed(self, content: dict[str, Any], tensors: Mapping[str, Value]) -> dict[str, Value]:
        """What belongs to the tensors, by their names of today."""
        name = str if content["format"] == FORMAT else self.older.tensor
        return {name(key): value for key, value in tensors.items()}

    def _check_sizes(self, folder: Path, content: dict[str, Any], header: Header) -> None:
        """Raise TransferError unless the tensors are exactly those of the module that the JSON describes."""
        with _building(folder / f"{self.name}.json"), shapes_alone(), seeded(0, self.name):
            self.check(content, header)
            wanted = declared(self.build(content).state_dict())
        check_header(header, wanted, folder / f"{self.name}.safetensors")

    def _other_kind(self, folder: Path) -> str:
        """What a folder holds in place of this kind, and that this kind is needed, as a message; "" for no folder."""
        path = folder / f"{self.name}.json"
        others = [registry.resolve("checkpoint", name) for name in registry.known("checkpoint") if name != self.name]
        if os.path.exists(path):  # `Path.exists` raises for a path that is too long
            keys = set(read_json(path)) - {*ADDED, "fingerprint"}
            ways = [(one, form) for one in others for form in (one.keys, one.older.keys)]
            said = [
                f"{path} is the JSON of {one.what}, {one.name}.json"
                for one, form in ways
                if set(form) == keys - {*one.optional}
            ]
        else:
            there = [one.what for one in others if os.path.isfile(folder / f"{one.name}.json")]
            holds = f"{' and '.join(there)}, and no {path.name}" if there else f"no {path.name}"
            said = [f"{folder} holds {holds}"] if os.path.isdir(folder) else []
        return f"{said[0]}: {self.what} is needed here. {self.source} `transfer ls` lists runs." if said else ""


@contextmanager
def _building(path: Path) -> Iterator[None]:
    """Turn errors about a value of a wrong type or size into a TransferError that names its file."""
    try:
        yield
    except UnknownKind as error:
        if str(path) in str(error):
            raise
        raise type(error)(f"{path} cannot be loaded here: {error} {error.remedy}".rstrip()) from error
    except TransferError as error:
        raise error if str(path) in str(error) else TransferError(f"{path} was edited: {error}") from error
    except (TypeError, LookupError, ValueError, AttributeError, RuntimeError, ArithmeticError) as error:
        raise TransferError(f"{path} was edited: {type(error).__name__}: {error}.") from error


def config_of(kind: type[Config], values: Any) -> Config:
    """A config from JSON. Raises TransferError unless it has exactly the fields of its kind, with sound values."""
    names = [f.name for f in fields(kind)]  # type: ignore[arg-type]
    if not isinstance(values, dict) or set(values) != set(names):
        raise TransferError(f"config: {kind.__name__} needs exactly {', '.join(names)}; got {seen(values, 200)}.")
    return kind(**values)


def check_finite(module: nn.Module, what: str) -> None:
    """Raise TransferError for parameters that are not finite and for NaN in buffers, which may hold infinite bins.

    Also for tensors on the device "meta".
    """
    finite = {name for name, _ in module.named_parameters()}
    for name, tensor in module.state_dict().items():
        check_values(f"{what}: {name}", tensor)
        bad = ~tensor.isfinite() if name in finite else tensor.isnan()
        if bad.any():
            raise TransferError(f"{what}: {name} holds {tensor[bad].flatten()[0].item()}. Its training has diverged.")


def _first_difference(said: Any, meant: Any, where: str) -> str:
    """The first place where parsed JSON differs from the JSON of the loaded module, in words; "" for none."""
    if isinstance(said, dict) and isinstance(meant, dict) and said.keys() == meant.keys():
        inner = [(said[key], meant[key], f"{where}.{key}") for key in meant]
        return next(filter(None, (_first_difference(*one) for one in inner)), "")
    if isinstance(said, list) and isinstance(meant, list) and len(said) == len(meant):
        return next(filter(None, (_first_difference(said[i], x, f"{where}[{i}]") for i, x in enumerate(meant))), "")
    same = said == meant and isinstance(said, bool) == isinstance(meant, bool)
    return "" if same else f"{where} is {seen(said)}, not {seen(meant)}"
