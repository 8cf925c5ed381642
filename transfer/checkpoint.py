"""Trunks and adapters as folders that a person can read: JSON and safetensors, no pickle.

    trunk.json    {"config", "fingerprint", "record"}                                              + trunk.safetensors
    adapter.json  {"config", "environment", "statistics", "tokenizer", "width", "depth", "context", "extras",
                   "fingerprint", "trunk", "record"}                                               + adapter.safetensors
    mlp.json      {"environment", "statistics", "hidden", "fingerprint"}                           + mlp.safetensors

and what `transfer.pairs` adds to each. Loading is strict: no missing and no unexpected keys or tensors; what the JSON
says and what the tensors' file declares are compared before anything of their size is made or read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from transfer import registry
from transfer.adapter import Adapter, AdapterConfig
from transfer.errors import TransferError
from transfer.files import as_path
from transfer.identity import check_pair, fingerprint
from transfer.mlp import MLPPolicy
from transfer.pairs import load_pair, save_pair
from transfer.process import shapes_alone
from transfer.scales import Statistics
from transfer.seeding import seeded
from transfer.specs import EnvironmentSpec
from transfer.tensors import check_header, declared
from transfer.trunk import Trunk, TrunkConfig

TRUNK_KEYS = ("config", "fingerprint", "record")
ADAPTER_KEYS = (
    *("config", "environment", "statistics", "tokenizer", "width", "depth", "context", "extras"),
    *("fingerprint", "trunk", "record"),
)
MLP_KEYS = ("environment", "statistics", "hidden", "fingerprint")
Config = TypeVar("Config", TrunkConfig, AdapterConfig)
Module = TypeVar("Module", Trunk, Adapter, MLPPolicy)


def save_trunk(trunk: Trunk, folder: str | Path) -> Path:
    """Write a trunk into a folder, whose other files stay."""
    return _save(trunk, folder, "trunk", {"config": asdict(trunk.config), "record": trunk.record})


def load_trunk(folder: str | Path) -> Trunk:
    """Read a trunk, strictly."""
    folder = _inside(folder, "trunk")
    path = folder / "trunk.json"

    def build(content: dict[str, Any]) -> Trunk:
        trunk = Trunk(_config(TrunkConfig, content["config"], path))
        trunk.record = dict(content["record"])
        return trunk

    return _load(folder, "trunk", TRUNK_KEYS, build)


def save_adapter(adapter: Adapter, folder: str | Path) -> Path:
    """Write an adapter into a folder, whose other files stay.

    Raises:
        TransferError: the adapter does not know the fingerprint of the trunk that it belongs to.
    """
    if "trunk" not in adapter.record:
        raise TransferError(
            "this adapter belongs to no trunk yet; `adapt` records one, or set adapter.record['trunk']."
        )
    record = {key: value for key, value in adapter.record.items() if key != "trunk"}
    return _save(adapter, folder, "adapter", {**_content(adapter), "trunk": adapter.record["trunk"], "record": record})


def load_adapter(folder: str | Path, trunk: Trunk | None = None, any_trunk: bool = False) -> Adapter:
    """Read an adapter, strictly; see `Adapter.load`."""
    folder = _inside(folder, "adapter")
    path = folder / "adapter.json"

    def build(content: dict[str, Any]) -> Adapter:
        tokenizer = content["tokenizer"]
        adapter = Adapter(
            _config(AdapterConfig, content["config"], path),
            EnvironmentSpec.from_json(content["environment"]),
            Statistics.from_json(content["statistics"]),
            registry.resolve("reader", "tokenizer")(tokenizer) if tokenizer else None,
            content["width"],
            content["depth"],
            context=content["context"],
            **content["extras"],
        )
        adapter.record = {"trunk": content["trunk"], **content["record"]}
        return adapter

    adapter = _load(folder, "adapter", ADAPTER_KEYS, build)
    adapter.any_trunk = any_trunk
    if trunk is not None:
        check_pair(trunk, adapter, any_trunk, str(folder))
    return adapter


def save_mlp(policy: MLPPolicy, folder: str | Path) -> Path:
    """Write the MLP control as `mlp.json` and `mlp.safetensors`."""
    content = {
        "environment": policy.env_spec.to_json(),
        "statistics": asdict(policy.statistics),
        "hidden": policy.hidden,
    }
    return _save(policy, folder, "mlp", content)


def load_mlp(folder: str | Path) -> MLPPolicy:
    """Read the MLP control, strictly."""

    def build(content: dict[str, Any]) -> MLPPolicy:
        statistics = Statistics.from_json(content["statistics"])
        return MLPPolicy(EnvironmentSpec.from_json(content["environment"]), statistics, content["hidden"])

    return _load(as_path(folder, "folder"), "mlp", MLP_KEYS, build)


def _save(module: nn.Module, folder: str | Path, name: str, content: dict[str, Any]) -> Path:
    folder = as_path(folder, "folder")
    save_pair(folder, name, {**content, "fingerprint": fingerprint(module)}, module.state_dict())
    return folder


def _load(folder: Path, name: str, keys: tuple[str, ...], build: Callable[[dict[str, Any]], Module]) -> Module:
    """Read what `_save` wrote; `build` makes the module, with fresh weights, of the JSON."""
    path, tensors_path = folder / f"{name}.json", folder / f"{name}.safetensors"

    def check(content: dict[str, Any], header: dict[str, Any]) -> None:
        with _building(path), shapes_alone(), seeded(0, name):
            shapes = declared(build(content).state_dict())
        check_header(header, shapes, tensors_path)

    content, tensors = load_pair(folder, name, keys, check)
    with seeded(0, name):  # weights to be replaced: no draw of the caller's is spent on them
        module = build(content)
    module.load_state_dict(tensors)
    found = fingerprint(module)
    if found != content["fingerprint"]:
        raise TransferError(
            f"{tensors_path} was changed after it was saved: its fingerprint is {found}, not {content['fingerprint']}."
        )
    _check_said(module, content, path)
    return module.eval()


def _check_said(module: nn.Module, content: dict[str, Any], path: Path) -> None:
    """Raise TransferError unless the numbers that a person reads in the JSON are those that the tensors hold."""
    held = {} if isinstance(module, Trunk) else {"statistics": asdict(module.statistics)}
    if isinstance(module, Adapter):
        held["tokenizer"] = _tables(module)
    for key, value in held.items():
        if json.loads(json.dumps(value)) != content[key]:
            raise TransferError(f"{path} was edited: its {key} are not those of the tensors beside it.")


def _tables(adapter: Adapter) -> dict[str, Any] | None:
    return None if adapter.tokenizer is None else adapter.tokenizer.to_json()


def _content(adapter: Adapter) -> dict[str, Any]:
    return {
        "config": asdict(adapter.config),
        "environment": adapter.env_spec.to_json(),
        "statistics": asdict(adapter.statistics),
        "tokenizer": _tables(adapter),
        "width": adapter.width,
        "depth": adapter.depth,
        "context": adapter.context,
        "extras": {"ia3": adapter.ia3 is not None, "conditioning": adapter.conditioning is not None},
    }


def _inside(folder: str | Path, name: str) -> Path:
    """The folder itself, or the sub-folder `name` of a SEED folder of a run."""
    folder = as_path(folder, "folder")
    inner = folder / name
    return inner if not (folder / f"{name}.json").exists() and inner.is_dir() else folder


@contextmanager
def _building(path: Path) -> Iterator[None]:
    """Inside, what a value of a wrong type or size leads to is an error that names the file it came from."""
    try:
        yield
    except TransferError as error:
        raise error if str(path) in str(error) else TransferError(f"{path} was edited: {error}") from error
    except (TypeError, KeyError, ValueError, AttributeError, RuntimeError) as error:
        raise TransferError(f"{path} was edited: {type(error).__name__}: {error}.") from error


def _config(kind: type[Config], values: dict[str, Any], path: Path) -> Config:
    names = {f.name for f in fields(kind)}
    if not isinstance(values, dict) or set(values) != names:
        raise TransferError(f"{path}: {kind.__name__} needs exactly {', '.join(sorted(names))}; got {values!r:.200}.")
    settings: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
    }
    return kind(**settings)
