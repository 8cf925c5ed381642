"""A checkpoint whose parts come from a package that is not here: not edited, but not to be loaded either."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from transfer import registry
from transfer.adapters.methods.dt import DT
from transfer.adapters.states.linear import LinearState
from transfer.adapters.tuning.lora import LoRA
from transfer.errors import TransferError
from transfer.models.adapter import Adapter
from transfer.models.sequence_model import TransferModel
from transfer.models.steps.adapter_config import AdapterConfig
from transfer.models.trunk import Trunk
from transfer.recipes.programs.building import recorded
from transfer.registry import PartSpec

TABLE = {"state": LinearState, "tuning": LoRA, "method": DT}
REMEDY = "Install the package that brings it, or import the module that registers it first: transfer --import MODULE."


@pytest.fixture(autouse=True)
def table(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    own = {part: dict(kinds) for part, kinds in registry._table().items()}
    monkeypatch.setattr(registry, "_table", lambda: own)
    return own


@pytest.mark.parametrize("part", TABLE)
def test_a_kind_that_is_not_installed_is_named_with_those_that_are(
    part: str, table: dict[str, dict[str, Any]], make_model: Callable[..., TransferModel], tmp_path: Path
) -> None:
    registry.register(part, "strangers", TABLE[part])
    model = make_model()
    if part == "method":
        trunk = Trunk(model.trunk.config, PartSpec("strangers"))
        trunk.save(tmp_path)
        load: Any = Trunk.load
        file = "trunk.json"
    else:
        old = model.adapter
        config = replace(old.config, **{"state": PartSpec("linear"), part: PartSpec("strangers")})
        given = {**old.arguments(), "state": {"state_size": old.env_spec.state_size, "width": old.width}}
        given |= {"tuning": {}} if part == "tuning" else {}
        adapter = Adapter(config, given, old.env_spec, old.statistics, old.width, old.depth)
        adapter.made_on(model.trunk)
        adapter.save(tmp_path)
        load, file = Adapter.load, "adapter.json"
    load(tmp_path)
    del table[part]["strangers"]
    with pytest.raises(TransferError, match=f"{file} cannot be loaded here: unknown {part} kind 'strangers'") as said:
        load(tmp_path)
    assert "edited" not in str(said.value) and str(said.value).endswith(REMEDY)
    assert set(table[part]) <= set(str(said.value).partition("Known: ")[2].partition(". ")[0].split(", "))
    registry.register(part, "strangers", "no_such_package:Mine")
    with pytest.raises(TransferError, match=f"{part} kind 'strangers' is registered as no_such_package:Mine") as said:
        load(tmp_path)
    assert "edited" not in str(said.value) and REMEDY not in str(said.value)
    registry.register(part, "strangers", len)
    with pytest.raises(TransferError, match=f"cannot be loaded here: {part} kind 'strangers' is .*; a subclass of"):
        load(tmp_path)


def test_a_trunk_s_record_of_a_kind_that_is_not_installed_says_what_to_do(
    table: dict[str, dict[str, Any]], make_model: Callable[..., TransferModel]
) -> None:
    trunk = make_model().trunk
    trunk.provenance = type(trunk.provenance)(adapter={**AdapterConfig().to_json(), "state": {"kind": "strangers"}})
    with pytest.raises(
        TransferError, match="record of its adapter cannot be read: unknown state kind 'strangers'"
    ) as said:
        recorded(trunk)
    assert str(said.value).endswith(REMEDY)
