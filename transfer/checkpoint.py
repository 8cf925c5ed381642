"""Trunks and adapters as folders that a person can read: JSON and safetensors, no pickle.

    trunk.json    {"config", "fingerprint", "record"}                                              + trunk.safetensors
    adapter.json  {"config", "environment", "statistics", "tokenizer", "width", "depth", "context", "extras",
                   "fingerprint", "trunk", "record"}                                               + adapter.safetensors
    mlp.json      {"environment", "statistics", "hidden", "fingerprint"}                           + mlp.safetensors

and what `transfer.pairs` adds to each. Loading is strict: no missing and no unexpected keys or tensors; what the JSON
says and what the tensors' file declares are compared before anything of their size is made or read.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from transfer import registry
from transfer.adapter import Adapter, AdapterConfig
from transfer.dataset_statistics import Statistics
from transfer.edits import building, check_finite, checked_record, config_of, first_difference
from transfer.errors import TransferError
from transfer.files import as_json, as_path
from transfer.identity import check_pair, fingerprint
from transfer.mlp import MLPPolicy
from transfer.numbers import flag, seen
from transfer.pairs import load_pair, save_pair
from transfer.process import shapes_alone
from transfer.seeding import seeded
from transfer.specs import EnvironmentSpec
from transfer.tensors import Header, check_header, declared
from transfer.trunk import Trunk, TrunkConfig

TRUNK_KEYS = ("config", "fingerprint", "record")
ADAPTER_KEYS = (
    *("config", "environment", "statistics", "tokenizer", "width", "depth", "context", "extras"),
    *("fingerprint", "trunk", "record"),
)
EXTRAS = {"ia3", "conditioning"}
MLP_KEYS = ("environment", "statistics", "hidden", "fingerprint")
Module = TypeVar("Module", Trunk, Adapter, MLPPolicy)
Build = Callable[[dict[str, Any]], Module]


def save_trunk(trunk: Trunk, folder: str | Path) -> Path:
    """Write a trunk into a folder, whose other files stay."""
    return _save(trunk, folder, "trunk", {"record": trunk.record}, _build_trunk)


def load_trunk(folder: str | Path) -> Trunk:
    """Read a trunk, strictly."""
    return _load(_inside(folder, "trunk"), "trunk", TRUNK_KEYS, _build_trunk)


def _build_trunk(content: dict[str, Any]) -> Trunk:
    """A trunk with fresh weights, of its JSON."""
    trunk = Trunk(config_of(TrunkConfig, content["config"]))
    trunk.record = checked_record(content["record"])
    return trunk


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
    return _save(adapter, folder, "adapter", {"trunk": adapter.record["trunk"], "record": record}, _build_adapter)


def load_adapter(folder: str | Path, trunk: Trunk | None = None, any_trunk: bool = False) -> Adapter:
    """Read an adapter, strictly; see `Adapter.load`."""
    folder = _inside(folder, "adapter")
    adapter = _load(folder, "adapter", ADAPTER_KEYS, _build_adapter)
    adapter.any_trunk = flag(any_trunk, "any_trunk")
    if trunk is not None:
        check_pair(trunk, adapter, any_trunk, str(folder))
    return adapter


def _build_adapter(content: dict[str, Any]) -> Adapter:
    """An adapter with fresh weights, of its JSON."""
    tokenizer, extras = content["tokenizer"], content["extras"]
    if not isinstance(extras, dict) or set(extras) != EXTRAS:
        raise TransferError(f"extras is {seen(extras)}; {' and '.join(sorted(EXTRAS))} are needed.")
    adapter = Adapter(
        config_of(AdapterConfig, content["config"]),
        EnvironmentSpec.from_json(content["environment"]),
        Statistics.from_json(content["statistics"]),
        registry.resolve("reader", "tokenizer")(tokenizer) if tokenizer else None,
        content["width"],
        content["depth"],
        context=content["context"],
        **extras,
    )
    adapter.record = checked_record(checked_record(content["record"]) | {"trunk": content["trunk"]})
    return adapter


def save_mlp(policy: MLPPolicy, folder: str | Path) -> Path:
    """Write the MLP control as `mlp.json` and `mlp.safetensors`."""
    return _save(policy, folder, "mlp", {}, _build_mlp)


def load_mlp(folder: str | Path) -> MLPPolicy:
    """Read the MLP control, strictly."""
    return _load(as_path(folder, "folder"), "mlp", MLP_KEYS, _build_mlp)


def _build_mlp(content: dict[str, Any]) -> MLPPolicy:
    """A policy with fresh weights, of its JSON."""
    statistics = Statistics.from_json(content["statistics"])
    return MLPPolicy(EnvironmentSpec.from_json(content["environment"]), statistics, content["hidden"])


def _save(module: Module, folder: str | Path, name: str, provenance: dict[str, Any], build: Build[Module]) -> Path:
    """Write what `_load` reads; `build` is what will make the module again."""
    folder = as_path(folder, "folder")
    check_finite(module, f"{folder} is not written")
    content = as_json({**_told(module), **provenance, "fingerprint": fingerprint(module)}, str(folder / f"{name}.json"))
    tensors = module.state_dict()
    try:
        _check_sizes(build, folder, name, content, declared(tensors))
    except TransferError as error:
        raise TransferError(f"{folder} is not written, for nobody could read it again: {error}") from error
    save_pair(folder, name, content, tensors)
    return folder


def _load(folder: Path, name: str, keys: tuple[str, ...], build: Build[Module]) -> Module:
    """Read what `_save` wrote; `build` makes the module, with fresh weights, of the JSON."""
    path = folder / f"{name}.json"
    content, tensors = load_pair(folder, name, keys, partial(_check_sizes, build, folder, name))
    with building(path), seeded(0, name):  # weights to be replaced: no draw of the caller's is spent on them
        module = build(content)
        module.load_state_dict(tensors)
    check_finite(module, f"{folder / name}.safetensors is damaged")
    for key, value in as_json(_told(module), str(path)).items():
        if difference := first_difference(content[key], value, key):
            raise TransferError(f"{path} was edited: {difference}.")
    found = fingerprint(module)
    if found != content["fingerprint"]:
        raise TransferError(
            f"{path} was edited: fingerprint is {seen(content['fingerprint'], 70)}, that of tensors and settings "
            f"is {found}."
        )
    return module.eval()


def _check_sizes(build: Build[Any], folder: Path, name: str, content: dict[str, Any], header: Header) -> None:
    """Raise TransferError unless the tensors are exactly those of the module that the JSON tells of."""
    with building(folder / f"{name}.json"), shapes_alone(), seeded(0, name):
        _check_layers(content, header)
        wanted = declared(build(content).state_dict())
    check_header(header, wanted, folder / f"{name}.safetensors")


def _check_layers(content: dict[str, Any], header: Header) -> None:
    """Raise TransferError unless a trunk's JSON says as many layers as there are: a thousand take seconds to build."""
    layers = {name.split(".")[1] for name in header if name.startswith("blocks.")}
    if layers and config_of(TrunkConfig, content["config"]).depth != len(layers):
        raise TransferError(f"config.depth is {content['config']['depth']}, the tensors are of {len(layers)} layers.")


def _told(module: Module) -> dict[str, Any]:
    """What the JSON says of a module, of which some is in its tensors too."""
    if isinstance(module, Trunk):
        return {"config": asdict(module.config)}
    told = {"environment": module.env_spec.to_json(), "statistics": asdict(module.statistics)}
    if isinstance(module, MLPPolicy):
        return {**told, "hidden": module.hidden}
    return {
        "config": asdict(module.config),
        **told,
        "tokenizer": module.tokenizer.to_json() if module.tokenizer is not None else None,
        "width": module.width,
        "depth": module.depth,
        "context": module.context,
        "extras": {"ia3": module.ia3 is not None, "conditioning": module.conditioning is not None},
    }


def _inside(folder: str | Path, name: str) -> Path:
    """The folder itself, or the sub-folder `name` of a SEED folder of a run."""
    folder = as_path(folder, "folder")
    inner = folder / name
    return inner if not os.path.exists(folder / f"{name}.json") and os.path.isdir(inner) else folder
