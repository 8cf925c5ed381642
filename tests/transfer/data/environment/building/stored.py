"""Hopper's spec as a file would hold it, with other values in its Gymnasium spec."""

import json
from collections.abc import Callable
from typing import Any

from transfer.data.environment.spec import EnvironmentSpec
from transfer.envs.catalog import environment

Marks = Callable[[], set[str]]


def hopper(**changes: Any) -> EnvironmentSpec:
    """Hopper's spec as a file would hold it, on a scale of its own, with other values in its Gymnasium spec."""
    data = environment("hopper").to_json()
    data["reference"]["table"] = "mine"
    return EnvironmentSpec.from_json({**data, "gym_spec": json.dumps(json.loads(data["gym_spec"]) | changes)})


def around(entry_point: str, name: str = "", **kwargs: Any) -> list[dict[str, Any]]:
    return [{"name": name or entry_point.partition(":")[2], "entry_point": entry_point, "kwargs": kwargs}]
