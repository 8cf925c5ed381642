"""Trunks and adapters as folders that a person can read: JSON and safetensors, no pickle.

    trunk.json    {"format", "library", "config", "fingerprint", "record", "checksum"}            + trunk.safetensors
    adapter.json  {"format", "library", "config", "environment", "statistics", "tokenizer", "width", "depth",
                   "extras", "fingerprint", "trunk", "record", "checksum"}                        + adapter.safetensors

Loading is strict: no missing and no unexpected keys or tensors; the fingerprint of the tensors and the checksum of the
JSON must be those that were written.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

from safetensors.torch import save_file
from torch import Tensor, nn

from transfer import registry
from transfer.adapter import Adapter, AdapterConfig, Statistics
from transfer.errors import TransferError, check_keys
from transfer.files import read_json, read_tensors, recover_folder, replacing_folder, write_json
from transfer.freezing import fingerprint
from transfer.mlp import MLPPolicy
from transfer.observations import flat
from transfer.seeding import seeded
from transfer.specs import EnvironmentSpec
from transfer.trunk import Trunk, TrunkConfig

FORMAT = 1
TRUNK_KEYS = ("format", "library", "config", "fingerprint", "record", "checksum")
ADAPTER_KEYS = (
    *("format", "library", "config", "environment", "statistics", "tokenizer", "width", "depth", "extras"),
    *("fingerprint", "trunk", "record", "checksum"),
)
MLP_KEYS = ("format", "library", "environment", "statistics", "hidden", "fingerprint", "checksum")
Config = TypeVar("Config", TrunkConfig, AdapterConfig)


def save_trunk(trunk: Trunk, folder: Path) -> Path:
    """Write a trunk; a folder that was there is replaced in one rename."""
    content = {"config": asdict(trunk.config), "fingerprint": fingerprint(trunk), "record": trunk.record}
    with replacing_folder(folder) as new:
        _write(new / "trunk.json", content)
        save_file(_tensors(trunk), new / "trunk.safetensors")
    return folder


def load_trunk(folder: Path) -> Trunk:
    """Read a trunk, strictly."""
    path = folder / "trunk.json"
    folder = _inside(folder, "trunk")
    content = _read(folder, "trunk.json", TRUNK_KEYS)
    with _building(path), seeded(0, "trunk"):  # weights to be replaced: no draw of the caller's is spent on them
        trunk = Trunk(_config(TrunkConfig, content["config"], path))
        trunk.record = dict(content["record"])
    _fill(trunk, folder / "trunk.safetensors")
    _check(fingerprint(trunk), content["fingerprint"], folder / "trunk.safetensors")
    return trunk.eval()


def save_adapter(adapter: Adapter, folder: Path) -> Path:
    """Write an adapter; a folder that was there is replaced in one rename.

    Raises:
        TransferError: the adapter does not know the fingerprint of the trunk that it belongs to.
    """
    if "trunk" not in adapter.record:
        raise TransferError(
            "this adapter belongs to no trunk yet; `adapt` records one, or set adapter.record['trunk']."
        )
    record = {key: value for key, value in adapter.record.items() if key != "trunk"}
    content = {**_content(adapter), "fingerprint": fingerprint(adapter)}
    with replacing_folder(folder) as new:
        _write(new / "adapter.json", {**content, "trunk": adapter.record["trunk"], "record": record})
        save_file(_tensors(adapter), new / "adapter.safetensors")
    return folder


def load_adapter(folder: Path, trunk: Trunk | None = None, any_trunk: bool = False) -> Adapter:
    """Read an adapter, strictly; see `Adapter.load`."""
    folder = _inside(folder, "adapter")
    path = folder / "adapter.json"
    content = _completed(_read(folder, "adapter.json", ADAPTER_KEYS))
    tokenizer = content["tokenizer"]
    with _building(path):
        adapter = Adapter(
            _config(AdapterConfig, content["config"], path),
            EnvironmentSpec.from_json(content["environment"]),
            Statistics.from_json(content["statistics"]),
            registry.resolve("reader", "tokenizer")(tokenizer) if tokenizer else None,
            content["width"],
            content["depth"],
            **content["extras"],
        )
        adapter.record = {"trunk": content["trunk"], **content["record"]}
    _fill(adapter, folder / "adapter.safetensors")
    _check(fingerprint(adapter), content["fingerprint"], folder / "adapter.safetensors")
    if trunk is not None and not any_trunk:
        check_trunk(adapter, trunk, str(folder))
    return adapter.eval()


def save_mlp(policy: MLPPolicy, folder: Path) -> Path:
    """Write the MLP control as `mlp.json` and `mlp.safetensors`."""
    content = {
        "environment": policy.env_spec.to_json(),
        "statistics": asdict(policy.statistics),
        "hidden": policy.hidden,
        "fingerprint": fingerprint(policy),
    }
    with replacing_folder(folder) as new:
        _write(new / "mlp.json", content)
        save_file(_tensors(policy), new / "mlp.safetensors")
    return folder


def load_mlp(folder: Path) -> MLPPolicy:
    """Read the MLP control, strictly."""
    path = folder / "mlp.json"
    content = _completed(_read(folder, "mlp.json", MLP_KEYS))
    with _building(path):
        statistics = Statistics.from_json(content["statistics"])
        policy = MLPPolicy(EnvironmentSpec.from_json(content["environment"]), statistics, content["hidden"])
    _fill(policy, folder / "mlp.safetensors")
    _check(fingerprint(policy), content["fingerprint"], folder / "mlp.safetensors")
    return policy.eval()


def check_trunk(adapter: Adapter, trunk: Trunk, name: str = "this adapter") -> None:
    """Raise TransferError unless the adapter was made on exactly this trunk."""
    have = fingerprint(trunk)
    if adapter.record.get("trunk") != have:
        raise TransferError(
            f"{name} was made on the trunk {adapter.record.get('trunk')}, this trunk is {have}. Load the trunk it "
            "belongs to, or pass any_trunk=True if you want this one all the same."
        )


def _content(adapter: Adapter) -> dict[str, Any]:
    return {
        "config": asdict(adapter.config),
        "environment": adapter.env_spec.to_json(),
        "statistics": asdict(adapter.statistics),
        "tokenizer": adapter.tokenizer.to_json() if adapter.tokenizer is not None else None,
        "width": adapter.width,
        "depth": adapter.depth,
        "extras": {"ia3": adapter.ia3 is not None, "conditioning": adapter.conditioning is not None},
    }


def _write(path: Path, content: dict[str, Any]) -> None:
    """Write the JSON of a checkpoint, with the checksum of everything in it."""
    from transfer import __version__

    whole = {"format": FORMAT, "library": __version__, **content}
    write_json(path, {**whole, "checksum": _checksum(whole)})


def _checksum(content: dict[str, Any]) -> str:
    rest = {key: value for key, value in content.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}


def _inside(folder: Path, name: str) -> Path:
    """The folder itself, or the sub-folder `name` of a SEED folder of a run."""
    inner = folder / name
    recover_folder(inner)
    return inner if not (folder / f"{name}.json").exists() and inner.is_dir() else folder


def _read(folder: Path, name: str, keys: tuple[str, ...]) -> dict[str, Any]:
    recover_folder(folder)
    content = read_json(folder / name)
    check_keys(str(folder / name), content, keys)
    if content["format"] != FORMAT:
        raise TransferError(f"{folder / name} has format {content['format']}; this version reads format {FORMAT}.")
    if content["checksum"] != _checksum(content):
        raise TransferError(f"{folder / name} was edited after it was saved: its checksum is another one.")
    return content


def _completed(content: dict[str, Any]) -> dict[str, Any]:
    """What files from before Dict observations and calibration lack, as it was then."""
    environment, statistics = dict(content["environment"]), dict(content["statistics"])
    environment.setdefault("slices", [asdict(one) for one in flat(environment["state_size"])])
    statistics.setdefault("calibration", None)
    return {**content, "environment": environment, "statistics": statistics}


@contextmanager
def _building(path: Path) -> Iterator[None]:
    """Inside, what a value of a wrong type or size leads to is an error that names the file it came from."""
    try:
        yield
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


def _fill(module: nn.Module, path: Path) -> None:
    """Load every tensor of a module from a file; names, shapes and dtypes must be exactly the module's."""
    found, wanted = read_tensors(path), module.state_dict()
    missing, extra = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    if missing or extra:
        raise TransferError(f"{path} does not fit its JSON: missing tensors {missing}, unexpected tensors {extra}.")
    for name, tensor in wanted.items():
        if found[name].shape != tensor.shape or found[name].dtype != tensor.dtype:
            raise TransferError(
                f"{path}: tensor '{name}' is {found[name].dtype} {tuple(found[name].shape)}, "
                f"its JSON wants {tensor.dtype} {tuple(tensor.shape)}."
            )
    module.load_state_dict(found)


def _check(found: str, written: str, path: Path) -> None:
    if found != written:
        raise TransferError(f"{path} was changed after it was saved: its fingerprint is {found}, not {written}.")
