"""Kinds of an adapter's parts: which parts there are, and options that are stored as they are compared."""

import json
from typing import Any

import numpy as np
import pytest

from transfer.errors import TransferError, UnknownKind
from transfer.models.steps.adapter_config import AdapterConfig
from transfer.registry import PartSpec


@pytest.mark.parametrize("part", ["filter", "method", "tokenizer", "column", "planner", "envs", "checkpoint", "foo"])
def test_a_part_that_no_method_can_have_is_refused_with_those_that_one_can(part: str) -> None:
    with pytest.raises(UnknownKind, match=f"unknown part of an adapter '{part}'") as said:
        AdapterConfig(others={part: PartSpec("expert")})
    known = str(said.value).partition("Known: ")[2].partition(".")[0].split(", ")
    assert set(known) == {"state", "action", "tuning"}


@pytest.mark.parametrize("part", ["state", "action", "tuning"])
def test_a_part_with_a_place_of_its_own_is_no_other_part(part: str) -> None:
    with pytest.raises(TransferError, match=rf"'{part}', which has a place of its own: AdapterConfig\({part}=\.\.\.\)"):
        AdapterConfig(others={part: PartSpec("linear")})


@pytest.mark.parametrize(
    "tuning",
    [
        "lora",
        {"kind": "lora", "sites": ["q"]},
        {"kind": "lora", "rank": np.int64(2), "sites": ("q", "v")},
        {"kind": "several", "parts": ["ia3", {"kind": "bitfit"}]},
        {"kind": "several", "parts": (PartSpec("ia3"), PartSpec("lora", {"rank": np.int64(3), "sites": ("q",)}))},
        {"kind": "several", "parts": ["ia3", {"kind": "several", "parts": [PartSpec("lora"), "bitfit"]}]},
    ],
)
def test_a_config_is_equal_to_what_its_json_loads(tuning: Any) -> None:
    config = AdapterConfig(tuning=tuning)
    text = json.dumps(config.to_json())
    assert AdapterConfig.from_json(json.loads(text)) == config and json.loads(text) == config.to_json()


def test_nested_parts_have_all_of_their_options() -> None:
    config = AdapterConfig(tuning={"kind": "several", "parts": ["ia3", PartSpec("lora", {"rank": np.int8(3)})]})  # type: ignore[arg-type]
    lora = {"kind": "lora", "rank": 3, "alpha": 16.0, "sites": ["q", "v"]}
    assert config.of("tuning").options == {"parts": [{"kind": "ia3"}, lora]}


def test_an_unsound_nested_part_is_refused() -> None:
    for part, said in (({"kind": "lora", "rank": 0}, "rank=0 is too small"), ("lorra", "Did you mean 'lora'")):
        with pytest.raises(TransferError, match=said):
            AdapterConfig(tuning={"kind": "several", "parts": ["ia3", part]})  # type: ignore[arg-type]
