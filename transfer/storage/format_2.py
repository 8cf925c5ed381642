"""Checkpoints of format 2, as version 0.1 wrote them, in the form of today: JSON to JSON, and names of tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transfer import registry
from transfer.errors import TransferError, check_keys, check_type
from transfer.numbers import seen

CONFIG = ("state", "action", "tokenizer", "bins", "ranges", "readout", "out_of_bounds")
EXTRAS = {"conditioning": "return", "ia3": "tuning"}  # optional parts, and what they are called today


def adapter(content: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON of an adapter. Raises TransferError for keys or values that format 2 does not have."""
    old, extras = dict(content), content["extras"]
    if not isinstance(extras, dict) or set(extras) != set(EXTRAS) or {*map(type, extras.values())} != {bool}:
        raise TransferError(f"extras is {seen(extras)}; true or false for {' and '.join(sorted(EXTRAS))} is needed.")
    environment = check_type(without_targets(old)["environment"], dict, "environment")
    tokenizer = old.pop("tokenizer")
    config = parts(old["config"])
    sizes = {"state": "state_size", "action": "action_size"}
    arguments = {
        part: {"width": old["width"], size: environment.get(size), **_options(part, config[part], tokenizer)}
        for part, size in sizes.items()
    }
    del old["extras"]
    own: dict[str, Any] = {part: {} for name, part in EXTRAS.items() if extras[name]}
    return {
        **old,
        "method": {"kind": "dt"},
        "config": config,
        "arguments": {**arguments, **own},
        "environment": environment,
        "fingerprint": None,  # of other names
    }


def adapter_tensor(name: str) -> str:
    """The name of an adapter's tensor today."""
    part, dot, rest = name.partition(".")
    return f"{EXTRAS.get(part, part)}{dot}{rest}"


def trunk(content: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON of a trunk; its fingerprint is the same."""
    record = content["record"]
    if isinstance(record, dict) and isinstance(record.get("adapter"), dict):
        record = {**record, "adapter": parts(record["adapter"])}
    return {**content, "method": {"kind": "dt"}, "record": record}


def parts(config: Any) -> dict[str, Any]:
    """The kinds of an adapter's parts, each with the options that it takes. Raises TransferError for other keys."""
    check_keys("config", config, CONFIG)
    for part in ("state", "action"):
        registry.check(part, config[part])
    takes = registry.options_of("action", config["action"])
    options = {name: config[name] for name in CONFIG if name in takes}
    return {
        "state": {"kind": config["state"], **registry.options_of("state", config["state"])},
        "action": {"kind": config["action"], **options},
        "tuning": {"kind": "ia3"},
        "out_of_bounds": config["out_of_bounds"],
    }


def _options(part: str, spec: Mapping[str, Any], tokenizer: Any) -> dict[str, Any]:
    """Arguments of a part besides its sizes: its options, the fitted tokenizer in the place of its kind and bins."""
    given = {key: value for key, value in spec.items() if key not in ("kind", "tokenizer", "bins")}
    defaults = registry.options_of(part, spec["kind"])
    if "tokenizer" in defaults:
        return {**given, "tokenizer": tokenizer}
    return {**defaults, **given}


def without_targets(content: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON of a checkpoint without the target returns that early versions wrote into its environment."""
    environment = content.get("environment")
    if not isinstance(environment, dict):
        return dict(content)
    return {**content, "environment": {key: value for key, value in environment.items() if key != "target_returns"}}
